//! The driver's versions and status tree.

pub(crate) mod show;

use crate::device::{Device, DeviceError, open_client, open_driver};
use crate::failure::Failure;
use crate::ntstatus::NtStatus;
use crate::report;
use crate::report::say;
use clap::{Args, ValueEnum};
use control::driver::{
    AdapterRow, IOCTL_STATUS, PATH_TCP, ReasonRow, SocketRow, StatusHeader, Version, Work,
};
use control::{Address, Record};
use serde_json::json;

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
    /// Leaves out and sorts as the options say. What is equal stays in the driver's order.
    pub(crate) fn arrange(&mut self, options: &Options) {
        if let Some(path) = options.path {
            let path = match path {
                Path::None => control::driver::PATH_NONE,
                Path::Rdma => control::driver::PATH_RDMA,
                Path::Tcp => PATH_TCP,
            };
            self.sockets.retain(|socket| socket.path == path);
        }
        match options.sort {
            None => {}
            Some(Column::Kind) => self.sockets.sort_by_key(|s| s.kind),
            Some(Column::Path) => self.sockets.sort_by_key(|s| s.path),
            Some(Column::Reason) => self.sockets.sort_by_key(|s| s.reason),
            Some(Column::State) => self.sockets.sort_by_key(|s| s.state),
            Some(Column::Local) => self.sockets.sort_by_key(|s| s.local.to_socket_addr()),
            Some(Column::Remote) => self.sockets.sort_by_key(|s| s.remote.to_socket_addr()),
            Some(Column::Sent) => self.sockets.sort_by_key(|s| sent(&s.work)),
            Some(Column::Received) => self.sockets.sort_by_key(|s| received(&s.work)),
            Some(Column::Stalls) => self.sockets.sort_by_key(|s| s.work.stalls),
        }
        if options.reverse {
            self.sockets.reverse();
        }
    }

    /// The row of the connection between `local` and `remote`.
    pub(crate) fn connection(&self, local: &Address, remote: &Address) -> Option<&SocketRow> {
        self.sockets.iter().find(|s| s.local == *local && s.remote == *remote)
    }
}

/// What of the status is shown, and how.
#[derive(Args, Clone, Default)]
#[group(skip)]
pub(crate) struct Options {
    /// Show the sockets as a table in this order, and not as a tree.
    #[arg(long, value_enum, value_name = "COLUMN")]
    pub(crate) sort: Option<Column>,
    /// The other way round.
    #[arg(long)]
    pub(crate) reverse: bool,
    /// Only sockets with this path.
    #[arg(long, value_enum)]
    pub(crate) path: Option<Path>,
}

/// What sockets may be sorted by.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Column {
    /// Listening, connection, stream.
    Kind,
    /// RDMA or TCP.
    Path,
    /// Why.
    Reason,
    /// The state's number.
    State,
    /// Local address.
    Local,
    /// Remote address.
    Remote,
    /// Octets sent.
    Sent,
    /// Octets received.
    Received,
    /// Times a send waited.
    Stalls,
}

/// A path that may be asked for.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Path {
    /// The stream runs over an NDK adapter, or the socket listens there.
    Rdma,
    /// Over the system's TCP.
    Tcp,
    /// Not decided.
    None,
}

/// The command.
pub(crate) fn run(json: bool, options: &Options) -> Result<(), Failure> {
    let driver = open_driver()?;
    ask_version(&*driver, control::driver::IOCTL_VERSION)?;
    let mut status = read(&*driver)?;
    status.arrange(options);
    if json {
        report::object(&show::to_json(&status));
    } else {
        report::text(&show::text(&status, options.sort.is_some()));
    }
    Ok(())
}

/// Asks for the versions of both devices.
pub(crate) fn version(json: bool) -> Result<(), Failure> {
    for (name, device, code) in [
        ("wskrdma", open_driver()?, control::driver::IOCTL_VERSION),
        ("wskrdma-client", open_client()?, control::client::IOCTL_VERSION),
    ] {
        let v = ask_version(&*device, code)?;
        let text = format!("{}.{}.{}", v.major, v.minor, v.patch);
        if json {
            report::object(&json!({ "device": name, "version": text, "contract": v.contract }));
        } else {
            say!("{name} {text}, IOCTL contract {}", v.contract);
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

/// Octets sent, on either way.
pub(crate) fn sent(work: &Work) -> u64 {
    work.octets_sent + work.tcp_octets_sent
}

/// Octets received. Over TCP the driver sees those that the system indicates, not those of a WskReceive.
pub(crate) fn received(work: &Work) -> u64 {
    work.octets_received + work.tcp_octets_indicated
}

/// A path in one word.
pub(crate) fn path_name(path: u32) -> &'static str {
    match path {
        control::driver::PATH_RDMA => "rdma",
        PATH_TCP => "tcp",
        _ => "none",
    }
}
