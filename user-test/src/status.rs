//! The driver's versions and status tree.

use crate::device::{Device, DeviceError, open_client, open_driver};
use crate::ntstatus::NtStatus;
use crate::report;
use comfy_table::Table;
use control::driver::{
    ADAPTER_DISABLED, ADAPTER_FAILED, ADAPTER_GOING, ADAPTER_OPEN, ADAPTER_STUCK, ADAPTER_UNFIT,
    ADAPTER_WRONG_VERSION, AdapterRow, IOCTL_STATUS, PATH_TCP, ReasonRow, SocketRow, StatusHeader, Version,
    Work,
};
use control::{Address, Record};
use serde_json::json;
use trace::Reason;

/// STATUS_BUFFER_OVERFLOW: rows are missing.
const BUFFER_OVERFLOW: NtStatus = NtStatus(0x8000_0005_u32.cast_signed());
/// Rows for which the first question has room.
const FIRST_ROOM: usize = 64;

/// A whole status reply.
pub(crate) struct Status {
    /// Totals.
    pub header: StatusHeader,
    /// The adapters.
    pub adapters: Vec<AdapterRow>,
    /// The sockets.
    pub sockets: Vec<SocketRow>,
    /// How often each reason occurred.
    pub reasons: Vec<ReasonRow>,
}

impl Status {
    /// The row of the connection between `local` and `remote`.
    pub(crate) fn connection(&self, local: &Address, remote: &Address) -> Option<&SocketRow> {
        self.sockets.iter().find(|s| s.local == *local && s.remote == *remote)
    }
}

/// Asks for the versions of both devices.
pub(crate) fn version(json: bool) -> Result<(), DeviceError> {
    for (name, device, code) in [
        ("wskrdma", open_driver()?, control::driver::IOCTL_VERSION),
        ("wskrdma-client", open_client()?, control::client::IOCTL_VERSION),
    ] {
        let v = ask_version(&*device, code)?;
        let text = format!("{}.{}.{}", v.major, v.minor, v.patch);
        if json {
            report::object(&json!({ "device": name, "version": text, "contract": v.contract }));
        } else {
            println!("{name} {text}, IOCTL contract {}", v.contract);
        }
    }
    Ok(())
}

/// Asks one device for its version and refuses a contract that this program does not speak.
pub(crate) fn ask_version(device: &dyn Device, code: u32) -> Result<Version, DeviceError> {
    let mut reply = [0; Version::SIZE];
    let (status, n) = device.ioctl(code, &[], &mut reply);
    if !status.ok() {
        return Err(DeviceError::Status { what: "version", status });
    }
    let version =
        Version::decode(reply.get(..n).unwrap_or_default()).map_err(|_| DeviceError::Malformed("version"))?;
    if version.contract != control::driver::CONTRACT_VERSION {
        return Err(DeviceError::Unavailable(format!(
            "the driver speaks IOCTL contract {}, this program {}: install driver and program of the same version",
            version.contract,
            control::driver::CONTRACT_VERSION
        )));
    }
    Ok(version)
}

/// Reads the whole status tree, with a larger buffer when rows were missing.
pub(crate) fn read(driver: &dyn Device) -> Result<Status, DeviceError> {
    let mut room = StatusHeader::SIZE + FIRST_ROOM * SocketRow::SIZE;
    loop {
        let mut reply = vec![0; room];
        let (status, n) = driver.ioctl(IOCTL_STATUS, &[], &mut reply);
        if status != BUFFER_OVERFLOW && !status.ok() {
            return Err(DeviceError::Status { what: "status", status });
        }
        let reply = reply.get(..n).unwrap_or_default();
        let malformed = || DeviceError::Malformed("status");
        let header = StatusHeader::decode(reply).map_err(|_| malformed())?;
        let (adapters, sockets) = (header.adapters as usize, header.sockets as usize);
        let reasons = header.reasons as usize;
        if status == BUFFER_OVERFLOW {
            // Sockets come and go between two questions: leave room for more.
            room = StatusHeader::SIZE
                + adapters * AdapterRow::SIZE
                + (sockets + FIRST_ROOM) * SocketRow::SIZE
                + reasons * ReasonRow::SIZE;
            continue;
        }
        let rows = reply.get(StatusHeader::SIZE..).unwrap_or_default();
        let (first, rows) = rows.split_at_checked(adapters * AdapterRow::SIZE).ok_or_else(malformed)?;
        let (second, third) = rows.split_at_checked(sockets * SocketRow::SIZE).ok_or_else(malformed)?;
        return Ok(Status {
            header,
            adapters: decode(first).ok_or_else(malformed)?,
            sockets: decode(second).ok_or_else(malformed)?,
            reasons: decode(third).filter(|r| r.len() == reasons).ok_or_else(malformed)?,
        });
    }
}

fn decode<R: Record>(bytes: &[u8]) -> Option<Vec<R>> {
    bytes.chunks(R::SIZE).map(|row| R::decode(row).ok()).collect()
}

/// An adapter's name.
pub(crate) fn adapter_name(row: &AdapterRow) -> String {
    String::from_utf8_lossy(&row.name).trim_end_matches('\0').to_owned()
}

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
fn adapter_state(row: &AdapterRow) -> String {
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

/// A path in one word.
pub(crate) fn path_name(path: u32) -> &'static str {
    match path {
        control::driver::PATH_RDMA => "rdma",
        PATH_TCP => "tcp",
        _ => "none",
    }
}

/// A reason's name; its number where this program does not know it.
fn reason_name(code: u32) -> String {
    Reason::from_code(code).map_or_else(|| code.to_string(), |reason| reason.name().to_owned())
}

fn address(a: &Address) -> String {
    a.to_socket_addr().map_or_else(|| "-".to_owned(), |a| a.to_string())
}

/// What went to the system's sockets.
fn tcp(work: &Work) -> serde_json::Value {
    json!({
        "calls": work.tcp_calls, "octets_sent": work.tcp_octets_sent, "octets_indicated": work.tcp_octets_indicated,
    })
}

/// Octets received. Over TCP the driver sees those that the system indicates, not those of a WskReceive.
fn received(row: &SocketRow) -> String {
    if row.path == PATH_TCP {
        format!("{} indicated", row.work.tcp_octets_indicated)
    } else {
        row.work.octets_received.to_string()
    }
}

/// Prints the status tree.
pub(crate) fn show(json: bool, status: &Status) {
    let h = &status.header;
    if json {
        report::object(&json!({
            "irps_outstanding": h.irps_outstanding,
            "octets_sent": h.total.octets_sent,
            "octets_received": h.total.octets_received,
            "tcp": tcp(&h.total),
            "reasons": status.reasons.iter().map(|r| json!({
                "reason": r.reason, "name": reason_name(r.reason), "count": r.count,
            })).collect::<Vec<_>>(),
            "adapters": status.adapters.iter().map(|a| json!({
                "name": adapter_name(a), "ndkpi": format!("{}.{}", a.major, a.minor), "interface": a.interface_index,
                "state": adapter_state(a), "broken_promises": {
                    "answered_twice": a.answered_twice, "events_too_many": a.events_too_many,
                    "entries_too_many": a.entries_too_many, "entries_missing": a.entries_missing,
                    "unanswered": a.unanswered,
                },
                "registered_octets": a.registered,
                "prepared": { "ready": a.prepared, "hits": a.prepared_hits, "misses": a.prepared_misses },
            })).collect::<Vec<_>>(),
            "sockets": status.sockets.iter().map(|s| json!({
                "kind": kind(s), "path": path_name(s.path), "reason": s.reason,
                "reason_name": reason_name(s.reason), "local": address(&s.local),
                "remote": address(&s.remote), "octets_sent": s.work.octets_sent,
                "octets_received": s.work.octets_received, "stalls": s.work.stalls,
                "tcp": tcp(&s.work),
            })).collect::<Vec<_>>(),
        }));
        return;
    }
    println!(
        "over RDMA: {} octets sent, {} received; over TCP: {} sent, {} indicated, in {} calls; {} IRPs outstanding",
        h.total.octets_sent,
        h.total.octets_received,
        h.total.tcp_octets_sent,
        h.total.tcp_octets_indicated,
        h.total.tcp_calls,
        h.irps_outstanding
    );
    let mut table = Table::new();
    table.set_header(["adapter", "NDKPI", "interface", "registered", "made ahead", "state"]);
    for a in &status.adapters {
        table.add_row([
            adapter_name(a),
            format!("{}.{}", a.major, a.minor),
            a.interface_index.to_string(),
            a.registered.to_string(),
            format!("{} ready, {} hits, {} misses", a.prepared, a.prepared_hits, a.prepared_misses),
            adapter_state(a),
        ]);
    }
    println!("{table}");
    let mut table = Table::new();
    table.set_header(["socket", "path", "reason", "local", "remote", "sent", "received", "stalls"]);
    for s in &status.sockets {
        table.add_row([
            kind(s).to_owned(),
            path_name(s.path).to_owned(),
            reason_name(s.reason),
            address(&s.local),
            address(&s.remote),
            (s.work.octets_sent + s.work.tcp_octets_sent).to_string(),
            received(s),
            s.work.stalls.to_string(),
        ]);
    }
    println!("{table}");
    let mut table = Table::new();
    table.set_header(["reason", "decisions", "meaning"]);
    for r in &status.reasons {
        let meaning = Reason::from_code(r.reason).map_or("", Reason::explanation);
        table.add_row([reason_name(r.reason), r.count.to_string(), meaning.to_owned()]);
    }
    println!("{table}");
}

fn kind(row: &SocketRow) -> &'static str {
    match row.kind {
        1 => "listen",
        2 => "connection",
        8 => "stream",
        _ => "other",
    }
}
