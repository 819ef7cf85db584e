//! `trace`: the driver's flight recorder, from the driver or from a crash dump.

mod dump;

use crate::device::{Device, DeviceError, open_driver};
use crate::failure::Failure;
use crate::ntstatus::NtStatus;
use crate::report::{self, octets, say};
use crate::{interrupt, status};
use clap::Args;
use control::Record;
use control::driver::{EventRow, EventsHeader, EventsRequest, IOCTL_EVENTS};
use serde_json::json;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;
use trace::{Event, Kind, Level, Reason, Recorded};

/// Events that one request has room for.
const ROOM: usize = 256;
/// STATUS_BUFFER_OVERFLOW: there are more.
const MORE: NtStatus = NtStatus(0x8000_0005_u32.cast_signed());
/// Units of 100 ns in a second.
const SECOND: f64 = 1e7;

/// What `trace` shows.
#[derive(Args)]
pub(crate) struct Options {
    /// Go on and show what happens, until Ctrl-C.
    #[arg(long, conflicts_with = "file")]
    follow: bool,
    /// Read a kernel or complete memory dump (or any file that has the recorder's pages), and not the driver.
    #[arg(long, value_name = "DUMP")]
    file: Option<PathBuf>,
    /// Only events of these names, for example Connected,FellBack.
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = kind)]
    event: Vec<Kind>,
    /// Only events at least so important.
    #[arg(long, value_name = "LEVEL", value_parser = level, default_value = "information")]
    level: Level,
    /// Only events with this local or remote address.
    #[arg(long, value_name = "ADDRESS")]
    address: Option<IpAddr>,
    /// Only events with this reason, for example peer-unreachable.
    #[arg(long, value_name = "NAME", value_parser = reason)]
    reason: Option<Reason>,
    /// Only the last N of them.
    #[arg(long, value_name = "N")]
    last: Option<usize>,
}

fn names<T: Copy>(all: &[T], name: impl Fn(T) -> &'static str) -> String {
    all.iter().map(|one| name(*one)).collect::<Vec<_>>().join(", ")
}

fn kind(text: &str) -> Result<Kind, String> {
    let found = Kind::ALL.into_iter().find(|kind| kind.name().eq_ignore_ascii_case(text));
    found.ok_or_else(|| format!("there are {}", names(&Kind::ALL, Kind::name)))
}

fn reason(text: &str) -> Result<Reason, String> {
    let found = Reason::ALL.into_iter().find(|reason| reason.name() == text);
    found.ok_or_else(|| format!("there are {}", names(&Reason::ALL, Reason::name)))
}

fn level(text: &str) -> Result<Level, String> {
    match text {
        "error" => Ok(Level::Error),
        "warning" => Ok(Level::Warning),
        "information" => Ok(Level::Information),
        _ => Err("there are error, warning, information".to_owned()),
    }
}

fn level_name(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warning => "warning",
        Level::Information => "information",
    }
}

impl Options {
    fn wants(&self, recorded: &Recorded) -> bool {
        let e = &recorded.event;
        let about = |ip: IpAddr| [e.local, e.remote].into_iter().flatten().any(|a| a.ip() == ip);
        (self.event.is_empty() || self.event.contains(&e.kind))
            && e.kind.level() <= self.level
            && self.address.is_none_or(about)
            && self.reason.is_none_or(|reason| reason == e.reason)
    }

    /// Prints those of the events that are wanted. Returns the sequence number of the last one, wanted or not.
    fn tell(&self, json: bool, events: &[Recorded], last: Option<usize>) -> u64 {
        let wanted: Vec<_> = events.iter().filter(|one| self.wants(one)).collect();
        let first = last.map_or(0, |last| wanted.len().saturating_sub(last));
        for one in wanted.get(first..).unwrap_or_default() {
            if json { report::object(&to_json(one)) } else { say!("{}", line(one)) }
        }
        events.last().map_or(0, |one| one.sequence)
    }
}

/// The command.
pub(crate) fn run(json: bool, options: &Options) -> Result<(), Failure> {
    if let Some(file) = &options.file {
        let events = dump::read(file)?;
        if events.is_empty() {
            return Err(format!(
                "{} has no recorder of wskrdma: it is no dump, or a small one, or the driver was not loaded",
                file.display()
            )
            .into());
        }
        options.tell(json, &events, options.last);
        return Ok(());
    }
    let driver = open_driver()?;
    status::ask_version(&*driver, control::driver::IOCTL_VERSION)?;
    let mut after = 0;
    let all = read(&*driver, &mut after)?;
    options.tell(json, &all, options.last);
    if !options.follow {
        return Ok(());
    }
    interrupt::listen()?;
    while interrupt::sleep(Duration::from_millis(200)) {
        let before = after;
        let new = read(&*driver, &mut after)?;
        let lost = after.saturating_sub(before).saturating_sub(new.len() as u64);
        if lost != 0 && !json {
            say!("({lost} events came too fast to be read)");
        } else if lost != 0 {
            report::object(&json!({ "event": "lost", "events": lost }));
        }
        options.tell(json, &new, None);
    }
    Ok(())
}

/// Every event after `after`, which moves to the last one there is.
fn read(driver: &dyn Device, after: &mut u64) -> Result<Vec<Recorded>, DeviceError> {
    let what = "ask for events";
    let mut events = Vec::new();
    loop {
        let (mut question, mut reply) =
            (vec![0; EventsRequest::SIZE], vec![0; EventsHeader::SIZE + ROOM * EventRow::SIZE]);
        EventsRequest { after: *after }.encode(&mut question).map_err(|_| DeviceError::Malformed(what))?;
        let (status, n) = driver.ioctl(IOCTL_EVENTS, &question, &mut reply);
        if status != MORE && !status.ok() {
            return Err(DeviceError::Status { what, status });
        }
        let reply = reply.get(..n).unwrap_or_default();
        let header = EventsHeader::decode(reply).map_err(|_| DeviceError::Malformed(what))?;
        let rows = reply.get(EventsHeader::SIZE..).unwrap_or_default().chunks(EventRow::SIZE);
        let rows = rows.map(EventRow::decode).collect::<Result<Vec<_>, _>>();
        let rows = rows.map_err(|_| DeviceError::Malformed(what))?;
        *after = match rows.last() {
            Some(row) if status == MORE => row.sequence,
            _ => header.last,
        };
        // What a newer driver tells of that this program does not know is left out.
        events.extend(rows.iter().filter_map(recorded));
        if status != MORE {
            return Ok(events);
        }
    }
}

fn recorded(row: &EventRow) -> Option<Recorded> {
    let event = Event {
        kind: Kind::from_code(row.kind)?,
        reason: Reason::from_code(row.reason.into())?,
        status: row.status.cast_signed(),
        value: row.value,
        local: row.local.to_socket_addr(),
        remote: row.remote.to_socket_addr(),
    };
    Some(Recorded { sequence: row.sequence, time: row.time, event })
}

fn to_json(recorded: &Recorded) -> serde_json::Value {
    let e = &recorded.event;
    json!({
        "event": "event", "sequence": recorded.sequence, "seconds": recorded.time as f64 / SECOND,
        "name": e.kind.name(), "level": level_name(e.kind.level()), "reason": e.reason.code(),
        "reason_name": e.reason.name(), "status": format!("{:#010x}", e.status.cast_unsigned()), "value": e.value,
        "local": e.local.map(|a| a.to_string()), "remote": e.remote.map(|a| a.to_string()),
    })
}

/// One event in one line.
fn line(recorded: &Recorded) -> String {
    let e = &recorded.event;
    let mut line =
        format!("{:6} {:12.6} s  {}", recorded.sequence, recorded.time as f64 / SECOND, e.kind.name());
    let mut add = |text: String| {
        line.push_str("  ");
        line.push_str(&text);
    };
    match (e.local, e.remote) {
        (Some(local), Some(remote)) => add(format!("{local} to {remote}")),
        (Some(local), None) => add(local.to_string()),
        (None, Some(remote)) => add(format!("to {remote}")),
        (None, None) => {}
    }
    if e.reason != Reason::Undecided {
        add(e.reason.name().to_owned());
    }
    if e.status != 0 {
        add(NtStatus(e.status).to_string());
    }
    match e.kind.value() {
        "" => {}
        what if what.starts_with("octets") => add(format!("{} sent and received", octets(e.value))),
        what => add(format!("{what} {}", e.value)),
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> Options {
        Options {
            follow: false,
            file: None,
            event: vec![],
            level: Level::Information,
            address: None,
            reason: None,
            last: None,
        }
    }

    #[test]
    fn filters_leave_out_what_is_not_asked_for() {
        let event = Event {
            kind: Kind::FellBack,
            reason: Reason::NoAdapter,
            status: 0,
            value: 0,
            local: "10.0.0.1:5".parse().ok(),
            remote: "10.0.0.2:6".parse().ok(),
        };
        let recorded = Recorded { sequence: 1, time: 2, event };
        assert!(options().wants(&recorded));
        assert!(Options { event: vec![Kind::FellBack], ..options() }.wants(&recorded));
        assert!(!Options { event: vec![Kind::Closed], ..options() }.wants(&recorded));
        assert!(Options { level: Level::Warning, ..options() }.wants(&recorded));
        assert!(!Options { level: Level::Error, ..options() }.wants(&recorded));
        assert!(Options { address: "10.0.0.2".parse().ok(), ..options() }.wants(&recorded));
        assert!(!Options { address: "10.0.0.3".parse().ok(), ..options() }.wants(&recorded));
        assert!(!Options { reason: Some(Reason::Rdma), ..options() }.wants(&recorded));
        assert!(
            line(&recorded).ends_with("FellBack  10.0.0.1:5 to 10.0.0.2:6  no-adapter"),
            "{}",
            line(&recorded)
        );
    }

    #[test]
    fn names_are_found_and_others_are_told_what_there_is() {
        assert_eq!(kind("fellback"), Ok(Kind::FellBack));
        assert!(kind("nothing").unwrap_err().contains("DriverStarted"));
        assert_eq!(reason("rdma-timeout"), Ok(Reason::RdmaTimeout));
        assert!(reason("x").unwrap_err().contains("policy-never"));
    }
}
