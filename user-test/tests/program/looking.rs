//! Looking at the driver.

use super::{done, objects, run};

#[test]
fn the_status_of_an_idle_driver_is_a_tree_with_its_adapter() {
    let text = done(&["status"]);
    assert!(text.contains("software adapter (loopback), NDKPI 2.1: open; 0 connections"), "{text}");
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

#[test]
fn why_says_what_each_part_says() {
    let text = done(&["why", "127.0.0.1:4000"]);
    for part in [
        "no rule matches",
        "software adapter (loopback), from 127.0.0.1",
        "not failed there",
        "RDMA is tried",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let object = objects(&done(&["--json", "--host-ports", "4000", "why", "127.0.0.1:4000"])).pop().unwrap();
    assert_eq!(object["policy"]["text"], "require any any port 4000");
    assert_eq!((object["policy"]["rule"].as_u64(), object["falls_back"].as_bool()), (Some(1), Some(false)));
    let (code, _, error) = run(&["why", "127.0.0.1:1", "--from", "[::1]:0"]);
    assert_eq!(code, 1);
    assert!(error.contains("STATUS_INVALID_PARAMETER") && error.contains("one family"), "{error}");
}

#[test]
fn rules_are_shown_checked_and_put_into_force() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rules");
    let name = file.to_str().unwrap();
    assert!(done(&["policy"]).contains("no rules"));
    assert_eq!(
        objects(&done(&["--json", "--host-ports", "9", "policy", "show"]))[0]["rules"][0],
        "require any any port 9"
    );
    std::fs::write(&file, "# storage\nnever out 10.0.0.0/8\n\nprefer any any\n").unwrap();
    assert_eq!(done(&["policy", "check", name]), "2 rules are right\n");
    assert_eq!(done(&["policy", "reload", name]), "2 rules are in force\n");
    std::fs::write(&file, "never out 10.0.0.0/8\nsometimes any any\n").unwrap();
    for word in ["check", "reload"] {
        let (code, out, error) = run(&["policy", word, name]);
        assert_eq!((code, out.as_str()), (1, ""));
        assert!(error.contains("line 2") && error.contains("sometimes any any"), "{error}");
    }
    std::fs::write(&file, vec![b'#'; 20_000]).unwrap();
    assert!(run(&["policy", "check", name]).2.contains("there may be 64"));
    assert!(run(&["policy", "check", "/no/such/file"]).2.contains("/no/such/file"));
    assert!(run(&["policy", "reload"]).2.contains("name a file"), "there is no registry here");
}

#[test]
fn the_recorder_is_read_from_the_driver_and_filtered() {
    let events = objects(&done(&["trace", "--json"]));
    let names: Vec<_> = events.iter().map(|e| e["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["AdapterArrived", "DriverStarted"]);
    assert!(done(&["trace", "--event", "driverstarted"]).contains("DriverStarted"));
    assert_eq!(done(&["trace", "--level", "error"]), "");
    assert_eq!(done(&["trace", "--last", "1"]).lines().count(), 1);
    let (code, _, error) = run(&["trace", "--event", "Nothing"]);
    assert!(code == 2 && error.contains("FellBack"), "{error}");
    let (code, _, error) = run(&["trace", "--file", "/dev/null"]);
    assert!(code == 1 && error.contains("/dev/null has no recorder"), "{error}");
}
