//! The status as a tree, as tables, and as one JSON object.

use super::{Status, adapter_name, path_name, received, sent};
use crate::ntstatus::NtStatus;
use crate::report::octets;
use comfy_table::{CellAlignment, Table};
use control::Address;
use control::driver::{
    ADAPTER_DISABLED, ADAPTER_FAILED, ADAPTER_GOING, ADAPTER_OPEN, ADAPTER_STUCK, ADAPTER_UNFIT,
    ADAPTER_WRONG_VERSION, AdapterRow, NO_INTERFACE, PATH_RDMA, PATH_TCP, SocketRow, Work,
};
use serde_json::{Value, json};
use std::fmt::Write;
use termtree::Tree;
use trace::Reason;

/// An open adapter, and what its driver does against the rules.
fn open_state(row: &AdapterRow) -> String {
    let counts =
        [row.answered_twice, row.events_too_many, row.entries_too_many, row.entries_missing, row.unanswered];
    match counts.iter().map(|count| u64::from(*count)).sum::<u64>() {
        0 => "open".to_owned(),
        broken => format!("open; its driver has broken NDKPI {broken} times: update it"),
    }
}

/// Whether an adapter is open, and what to do where it is not.
pub(crate) fn adapter_state(row: &AdapterRow) -> String {
    match row.state {
        ADAPTER_OPEN => open_state(row),
        ADAPTER_DISABLED => "RDMA is disabled on the NIC: Enable-NetAdapterRdma".to_owned(),
        ADAPTER_WRONG_VERSION => {
            "the NIC's driver has no NDKPI version from 1.2 to 2.1: update it".to_owned()
        }
        ADAPTER_UNFIT => "the adapter's limits are too low for a connection".to_owned(),
        ADAPTER_FAILED => format!("not opened: {}", NtStatus(row.status.cast_signed())),
        ADAPTER_GOING => "going: NDK or the NIC is being disabled or removed".to_owned(),
        ADAPTER_STUCK => "closing: its driver does not let go of it".to_owned(),
        other => format!("state {other}"),
    }
}

/// A reason's name; its number where this program does not know it.
pub(crate) fn reason_name(code: u32) -> String {
    Reason::from_code(code).map_or_else(|| code.to_string(), |reason| reason.name().to_owned())
}

pub(crate) fn address(a: &Address) -> String {
    a.to_socket_addr().map_or_else(|| "-".to_owned(), |a| a.to_string())
}

fn kind(row: &SocketRow) -> &'static str {
    match row.kind {
        1 => "listen",
        2 => "connection",
        8 => "stream",
        _ => "other",
    }
}

/// A state in words, as in the operations chapter.
fn state(row: &SocketRow) -> String {
    let listening = ["created", "binding", "listening", "dead", "closed"];
    let connecting = [
        "created",
        "binding",
        "bound",
        "listening",
        "connecting",
        "clearing away",
        "accepting",
        "connected",
        "closing",
    ];
    let names: &[&str] = if row.kind == 1 { &listening } else { &connecting };
    let name = names.get(row.state as usize).copied();
    name.map_or_else(|| format!("state {}", row.state), str::to_owned)
}

/// What went to the system's sockets.
fn tcp(work: &Work) -> Value {
    json!({
        "calls": work.tcp_calls, "octets_sent": work.tcp_octets_sent, "octets_indicated": work.tcp_octets_indicated,
    })
}

/// Everything, for programs.
pub(crate) fn to_json(status: &Status) -> Value {
    let h = &status.header;
    json!({
        "event": "status",
        "irps_outstanding": h.irps_outstanding,
        "octets_sent": h.total.octets_sent,
        "octets_received": h.total.octets_received,
        "stalls": h.total.stalls,
        "tcp": tcp(&h.total),
        "reasons": status.reasons.iter().map(|r| json!({
            "reason": r.reason, "name": reason_name(r.reason), "count": r.count,
        })).collect::<Vec<_>>(),
        "adapters": status.adapters.iter().map(adapter_to_json).collect::<Vec<_>>(),
        "sockets": status.sockets.iter().map(socket_to_json).collect::<Vec<_>>(),
    })
}

/// One adapter, for programs.
pub(crate) fn adapter_to_json(a: &AdapterRow) -> Value {
    json!({
        "name": adapter_name(a), "ndkpi": format!("{}.{}", a.major, a.minor), "interface": a.interface_index,
        "open": a.state == ADAPTER_OPEN, "state": adapter_state(a), "broken_promises": {
            "answered_twice": a.answered_twice, "events_too_many": a.events_too_many,
            "entries_too_many": a.entries_too_many, "entries_missing": a.entries_missing,
            "unanswered": a.unanswered,
        },
        "registered_octets": a.registered,
        "prepared": { "ready": a.prepared, "hits": a.prepared_hits, "misses": a.prepared_misses },
        "connections": a.connections, "octets_sent": a.work.octets_sent, "octets_received": a.work.octets_received,
        "stalls": a.work.stalls, "completions": a.work.completions,
        "work_requests": a.work.writes + a.work.sends + a.work.receives,
    })
}

fn socket_to_json(s: &SocketRow) -> Value {
    json!({
        "kind": kind(s), "path": path_name(s.path), "reason": s.reason, "reason_name": reason_name(s.reason),
        "state": state(s), "local": address(&s.local), "remote": address(&s.remote),
        "octets_sent": s.work.octets_sent, "octets_received": s.work.octets_received, "stalls": s.work.stalls,
        "credits_sent": s.work.credits_sent, "credits_received": s.work.credits_received,
        "interface": (s.interface_index != NO_INTERFACE).then_some(s.interface_index),
        "failure": (s.failure != 0).then(|| NtStatus(s.failure.cast_signed()).to_string()),
        "sends_waiting": s.sends_waiting, "receives_waiting": s.receives_waiting,
        "unsent": s.unsent, "unread": s.unread, "tcp": tcp(&s.work),
    })
}

/// Everything, for people: a tree, or tables whose rows are in the order that was asked for.
pub(crate) fn text(status: &Status, tables: bool) -> String {
    let h = &status.header;
    let mut text = format!(
        "over RDMA: {} sent, {} received, {} stalls; over TCP: {} sent, {} indicated, {} calls; {} IRPs outstanding\n",
        octets(h.total.octets_sent),
        octets(h.total.octets_received),
        h.total.stalls,
        octets(h.total.tcp_octets_sent),
        octets(h.total.tcp_octets_indicated),
        h.total.tcp_calls,
        h.irps_outstanding
    );
    if tables {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}\n{}", adapters(&status.adapters), sockets(status));
        if !status.reasons.is_empty() {
            let _ = writeln!(text, "{}", reasons(status));
        }
    } else {
        let _ = write!(text, "{}", tree(status));
    }
    text
}

fn branch(title: String, leaves: Vec<Tree<String>>, none: &str) -> Tree<String> {
    let leaves = if leaves.is_empty() { vec![Tree::new(none.to_owned())] } else { leaves };
    Tree::new(title).with_leaves(leaves)
}

fn tree(status: &Status) -> Tree<String> {
    let adapters = status.adapters.iter().map(|a| {
        let version = if a.major == 0 { String::new() } else { format!(", NDKPI {}.{}", a.major, a.minor) };
        let mut line = format!("{}{version}: {}", adapter_name(a), adapter_state(a));
        if a.state == ADAPTER_OPEN {
            let (sent, received) = (octets(a.work.octets_sent), octets(a.work.octets_received));
            let _ = write!(line, "; {} connections, {sent} sent, {received} received", a.connections);
        }
        Tree::new(line)
    });
    let on = |path: u32| {
        let sockets = status.sockets.iter().filter(|s| s.path == path);
        sockets.map(|s| Tree::new(socket_line(s))).collect::<Vec<_>>()
    };
    let decisions = status.reasons.iter().map(|r| {
        let meaning = Reason::from_code(r.reason).map_or("", Reason::explanation);
        Tree::new(format!("{} times {}: {meaning}", r.count, reason_name(r.reason)))
    });
    let mut leaves =
        vec![branch("adapters".to_owned(), adapters.collect(), "none; no connection can run over RDMA")];
    for (name, path) in [("over RDMA", PATH_RDMA), ("over TCP", PATH_TCP), ("undecided", 0)] {
        let sockets = on(path);
        leaves.push(branch(format!("sockets {name}: {}", sockets.len()), sockets, "none"));
    }
    leaves.push(branch("decisions since the driver was started".to_owned(), decisions.collect(), "none"));
    Tree::new("wskrdma".to_owned()).with_leaves(leaves)
}

fn socket_line(s: &SocketRow) -> String {
    let mut line = format!("{} {}", kind(s), address(&s.local));
    if s.remote.to_socket_addr().is_some() {
        let _ = write!(line, " to {}", address(&s.remote));
    }
    let _ = write!(line, ", {}, {}", state(s), reason_name(s.reason));
    if s.kind != 1 {
        let _ = write!(line, ", {} sent, {} received", octets(sent(&s.work)), octets(received(&s.work)));
        if s.path == PATH_RDMA {
            let w = &s.work;
            let _ = write!(line, ", {} stalls, {}/{} credits", w.stalls, w.credits_sent, w.credits_received);
        }
    }
    for (what, n) in [("unsent", s.unsent), ("unread", s.unread)] {
        if n != 0 {
            let _ = write!(line, ", {} {what}", octets(n));
        }
    }
    for (what, n) in [("sends", s.sends_waiting), ("receives", s.receives_waiting)] {
        if n != 0 {
            let _ = write!(line, ", {n} {what} wait");
        }
    }
    if s.failure != 0 {
        let _ = write!(line, ", ended by {}", NtStatus(s.failure.cast_signed()));
    }
    line
}

/// The adapters as a table.
pub(crate) fn adapters(rows: &[AdapterRow]) -> Table {
    let mut table = Table::new();
    table.set_header(["adapter", "NDKPI", "interface", "state", "connections", "sent", "received", "stalls"]);
    for a in rows {
        table.add_row([
            adapter_name(a),
            format!("{}.{}", a.major, a.minor),
            a.interface_index.to_string(),
            adapter_state(a),
            a.connections.to_string(),
            octets(a.work.octets_sent),
            octets(a.work.octets_received),
            a.work.stalls.to_string(),
        ]);
    }
    table
}

fn sockets(status: &Status) -> Table {
    let mut table = Table::new();
    table.set_header([
        "socket", "path", "reason", "state", "local", "remote", "sent", "received", "stalls", "credits",
    ]);
    for s in &status.sockets {
        table.add_row([
            kind(s).to_owned(),
            path_name(s.path).to_owned(),
            reason_name(s.reason),
            state(s),
            address(&s.local),
            address(&s.remote),
            sent(&s.work).to_string(),
            // Over TCP only what the system has indicated is known.
            received(&s.work).to_string(),
            s.work.stalls.to_string(),
            format!("{}/{}", s.work.credits_sent, s.work.credits_received),
        ]);
    }
    for column in 6..10 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

fn reasons(status: &Status) -> Table {
    let mut table = Table::new();
    table.set_header(["reason", "decisions", "meaning"]);
    for r in &status.reasons {
        let meaning = Reason::from_code(r.reason).map_or("", Reason::explanation);
        table.add_row([reason_name(r.reason), r.count.to_string(), meaning.to_owned()]);
    }
    table
}

#[cfg(test)]
mod tests;
