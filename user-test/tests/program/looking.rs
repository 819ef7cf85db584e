//! Looking at the driver.

use super::{done, objects};

#[test]
fn the_status_of_an_idle_driver_is_a_tree_with_its_adapter() {
    let text = done(&["status"]);
    assert!(text.contains("software adapter (loopback), NDKPI 2.1: open"), "{text}");
    assert!(text.contains("├── sockets over RDMA: 0"), "{text}");
    assert!(!text.contains('\u{1b}'), "colours or cursor movements in a pipe");
    let tables = done(&["status", "--sort", "sent", "--reverse"]);
    assert!(tables.contains("| socket "), "{tables}");
}

#[test]
fn adapters_and_versions_are_there_for_people_and_programs() {
    assert!(done(&["adapters"]).contains("software adapter (loopback)"));
    let adapters = objects(&done(&["adapters", "--json"]));
    assert_eq!((adapters.len(), adapters[0]["open"].as_bool()), (1, Some(true)));
    let versions = objects(&done(&["--json", "version"]));
    let devices: Vec<_> = versions.iter().map(|v| v["device"].as_str().unwrap()).collect();
    assert_eq!(devices, ["wskrdma", "wskrdma-client"]);
}

#[test]
fn watching_looks_as_often_as_asked() {
    let looks = objects(&done(&["watch", "--json", "--count", "3", "--interval", "0.05"]));
    let numbers: Vec<_> = looks.iter().map(|look| look["look"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [0, 1, 2]);
    assert!(looks.iter().all(|look| look["per_second"]["sent"].is_number()));
    let text = done(&["watch", "--count", "2", "--interval", "0.05"]);
    assert_eq!(text.lines().filter(|line| line.starts_with("look ")).count(), 2, "{text}");
    assert!(!text.contains('\u{1b}'), "cursor movements in a pipe");
}

#[test]
fn a_benchmark_measures_each_size_and_counts_every_message() {
    let measured = objects(&done(&[
        "bench",
        "--json",
        "--sizes",
        "1,4K",
        "--depth",
        "4",
        "--connections",
        "2",
        "--duration",
        "0.2",
        "--histogram",
    ]));
    assert_eq!(measured.iter().map(|m| m["size"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 4096]);
    for one in &measured {
        let messages = one["messages"].as_u64().unwrap();
        let classes = one["histogram_ns"].as_array().unwrap();
        assert!(messages > 0, "{one}");
        assert_eq!(classes.iter().map(|class| class["messages"].as_u64().unwrap()).sum::<u64>(), messages);
        assert_eq!(one["path"], "rdma");
    }
    let text = done(&["bench", "--sizes", "64", "--duration", "0.1", "--histogram"]);
    assert!(text.contains("MiB/s") && text.contains("up to "), "{text}");
}

#[test]
fn what_is_echoed_inside_one_program_is_unchanged() {
    let echo = objects(&done(&["echo", "--json", "--count", "20"])).pop().unwrap();
    assert_eq!((echo["messages"].as_u64(), echo["path"].as_str()), (Some(20), Some("rdma")));
}

#[test]
fn cases_are_listed_and_run_with_a_junit_file() {
    let folder = tempfile::tempdir().unwrap();
    let junit = folder.path().join("junit.xml");
    let listed = done(&["cases", "--list", "send-*"]);
    assert!(listed.lines().count() > 3 && listed.lines().all(|line| line.starts_with("send-")), "{listed}");
    let text = done(&["cases", "send-small", "--junit", junit.to_str().unwrap()]);
    assert!(text.contains("passed") && text.contains("1 passed, 0 failed"), "{text}");
    assert!(std::fs::read_to_string(junit).unwrap().contains("tests=\"1\" failures=\"0\""));
}
