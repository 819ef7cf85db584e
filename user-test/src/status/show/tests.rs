use super::super::{Column, Options, Path};
use super::*;
use control::driver::{ReasonRow, StatusHeader};
use std::net::SocketAddr;

fn socket(kind: u32, path: u32, local: &str, remote: Option<&str>, octets_sent: u64) -> SocketRow {
    let address = |text: &str| Address::from(text.parse::<SocketAddr>().unwrap());
    SocketRow {
        kind,
        path,
        reason: path,
        state: if kind == 1 { 2 } else { 7 },
        interface_index: NO_INTERFACE,
        failure: 0,
        sends_waiting: 0,
        receives_waiting: 0,
        unsent: 0,
        unread: 0,
        local: address(local),
        remote: remote.map(address).unwrap_or_default(),
        work: Work { octets_sent, stalls: 3, ..Work::default() },
    }
}

fn status() -> Status {
    Status {
        header: StatusHeader {
            contract: 0,
            adapters: 0,
            sockets: 4,
            irps_outstanding: 2,
            reasons: 1,
            reserved: 0,
            total: Work::default(),
        },
        adapters: vec![],
        sockets: vec![
            socket(1, PATH_RDMA, "127.0.0.1:9", None, 0),
            socket(2, PATH_RDMA, "127.0.0.1:10", Some("127.0.0.1:9"), 5),
            socket(2, PATH_TCP, "10.0.0.1:11", Some("10.0.0.2:9"), 7),
            socket(8, 0, "10.0.0.1:12", None, 6),
        ],
        reasons: vec![ReasonRow { reason: 1, reserved: 0, count: 12 }],
    }
}

#[test]
fn the_tree_has_every_socket_under_its_path() {
    let text = text(&status(), false);
    let expected = [
        "wskrdma",
        "├── adapters",
        "│   └── none; no connection can run over RDMA",
        "├── sockets over RDMA: 2",
        "│   ├── listen 127.0.0.1:9, listening, rdma",
        "│   └── connection 127.0.0.1:10 to 127.0.0.1:9, connected, rdma, 5 B sent, 0 B received, 3 stalls, 0/0 credits",
        "├── sockets over TCP: 1",
        "│   └── connection 10.0.0.1:11 to 10.0.0.2:9, connected, no-adapter, 7 B sent, 0 B received",
        "├── sockets undecided: 1",
    ];
    let lines: Vec<_> = text.lines().skip(1).take(expected.len()).collect();
    assert_eq!(lines, expected, "{text}");
    assert!(text.contains("12 times rdma"), "{text}");
}

#[test]
fn rows_are_sorted_and_chosen() {
    let ports = |sort, reverse, path| {
        let mut status = status();
        status.arrange(&Options { sort, reverse, path });
        let port = |s: &SocketRow| s.local.to_socket_addr().unwrap().port();
        status.sockets.iter().map(port).collect::<Vec<_>>()
    };
    assert_eq!(ports(None, false, None), [9, 10, 11, 12]);
    assert_eq!(ports(Some(Column::Sent), true, None), [11, 12, 10, 9]);
    assert_eq!(ports(Some(Column::Local), false, None), [11, 12, 9, 10]);
    assert_eq!(ports(Some(Column::Path), false, None), [12, 9, 10, 11]);
    assert_eq!(ports(None, false, Some(Path::Rdma)), [9, 10]);
    assert_eq!(ports(None, false, Some(Path::None)), [12]);
}

#[test]
fn numbers_that_this_program_does_not_know_are_shown_as_numbers() {
    let mut row = socket(2, 9, "127.0.0.1:1", None, 0);
    (row.state, row.reason, row.kind) = (77, 4711, 3);
    assert_eq!(
        (state(&row).as_str(), reason_name(row.reason).as_str(), kind(&row)),
        ("state 77", "4711", "other")
    );
}
