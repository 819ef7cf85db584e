//! `watch`: the status again and again, with what has changed in between.

use crate::device::open_driver;
use crate::failure::Failure;
use crate::interrupt;
use crate::report::{self, octets};
use crate::status::{self, Options as Order, Status, received, sent};
use clap::Args;
use comfy_table::{CellAlignment, Table};
use console::Term;
use control::driver::{SocketRow, Work};
use control::{Address, Record};
use serde_json::json;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// What `watch` does.
#[derive(Args)]
pub(crate) struct Options {
    /// Seconds between two looks.
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0, value_parser = seconds)]
    interval: f64,
    /// End after so many looks; 0: with Ctrl-C.
    #[arg(long, value_name = "N", default_value_t = 0)]
    count: u32,
    #[command(flatten)]
    order: Order,
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse::<f64>().ok().filter(|s| (0.05..=3_600.0).contains(s));
    seconds.ok_or_else(|| "from 0.05 to 3600 seconds".to_owned())
}

/// What tells one socket from the others: its kind and both addresses, as they cross the boundary.
type Key = [u8; 4 + 2 * Address::SIZE];

/// The counters of one look.
struct Look {
    at: Instant,
    total: Work,
    sockets: HashMap<Key, Work>,
}

fn key(row: &SocketRow) -> Key {
    let mut octets = [0; 4 + 2 * Address::SIZE];
    let (kind, addresses) = octets.split_at_mut(4);
    kind.copy_from_slice(&row.kind.to_le_bytes());
    let (local, remote) = addresses.split_at_mut(Address::SIZE);
    // The places have the sizes of the records.
    let _ = row.local.encode(local);
    let _ = row.remote.encode(remote);
    octets
}

impl Look {
    fn new(status: &Status, at: Instant) -> Self {
        let sockets = status.sockets.iter().map(|s| (key(s), s.work)).collect();
        Self { at, total: status.header.total, sockets }
    }
}

/// What happens each second.
#[derive(Clone, Copy, Default)]
struct Rate {
    sent: f64,
    received: f64,
    stalls: f64,
    completions: f64,
}

impl Rate {
    /// Between two looks. Counters only grow; a socket that was closed and made anew begins again.
    fn between(before: &Work, now: &Work, time: Duration) -> Self {
        let seconds = time.as_secs_f64().max(f64::MIN_POSITIVE);
        let each = |f: fn(&Work) -> u64| f(now).saturating_sub(f(before)) as f64 / seconds;
        Self {
            sent: each(sent),
            received: each(received),
            stalls: each(|w| w.stalls),
            completions: each(|w| w.completions),
        }
    }

    fn to_json(self) -> serde_json::Value {
        json!({
            "sent": self.sent, "received": self.received, "stalls": self.stalls, "completions": self.completions,
        })
    }
}

/// The command.
pub(crate) fn run(json: bool, options: &Options) -> Result<(), Failure> {
    let driver = open_driver()?;
    status::ask_version(&*driver, control::driver::IOCTL_VERSION)?;
    interrupt::listen()?;
    let screen = Term::stdout();
    let (mut before, mut looks) = (None::<Look>, 0u32);
    loop {
        let mut status = status::read(&*driver)?;
        let now = Look::new(&status, Instant::now());
        status.arrange(&options.order);
        let rates = Rates { before: before.as_ref(), now: &now };
        if json {
            report::object(&rates.to_json(&status, looks));
        } else {
            if screen.is_term() {
                // What does not work on this terminal leaves the lines one below the other.
                let _ = screen.clear_screen();
            }
            report::text(&rates.text(&status, looks));
        }
        before = Some(now);
        looks = looks.saturating_add(1);
        if looks == options.count || !interrupt::sleep(Duration::from_secs_f64(options.interval)) {
            return Ok(());
        }
    }
}

/// Two looks, the first of which may be missing.
struct Rates<'a> {
    before: Option<&'a Look>,
    now: &'a Look,
}

impl Rates<'_> {
    fn total(&self) -> Rate {
        let Some(before) = self.before else { return Rate::default() };
        Rate::between(&before.total, &self.now.total, self.now.at.duration_since(before.at))
    }

    fn of(&self, row: &SocketRow) -> Rate {
        let Some(before) = self.before else { return Rate::default() };
        let nothing = Work::default();
        let then = before.sockets.get(&key(row)).unwrap_or(&nothing);
        Rate::between(then, &row.work, self.now.at.duration_since(before.at))
    }

    fn to_json(&self, status: &Status, look: u32) -> serde_json::Value {
        let mut object = status::show::to_json(status);
        report::set(&mut object, "event", "watch");
        report::set(&mut object, "look", look);
        report::set(&mut object, "per_second", self.total().to_json());
        if let Some(rows) = object.get_mut("sockets").and_then(|rows| rows.as_array_mut()) {
            for (row, socket) in rows.iter_mut().zip(&status.sockets) {
                report::set(row, "per_second", self.of(socket).to_json());
            }
        }
        object
    }

    fn text(&self, status: &Status, look: u32) -> String {
        let total = self.total();
        let per_second = |n: f64| format!("{}/s", octets(n as u64));
        let mut table = Table::new();
        table.set_header([
            "local",
            "remote",
            "path",
            "reason",
            "sent",
            "received",
            "stalls/s",
            "total sent",
            "total received",
        ]);
        for s in &status.sockets {
            let rate = self.of(s);
            table.add_row([
                status::show::address(&s.local),
                status::show::address(&s.remote),
                status::path_name(s.path).to_owned(),
                status::show::reason_name(s.reason),
                per_second(rate.sent),
                per_second(rate.received),
                format!("{:.0}", rate.stalls),
                octets(sent(&s.work)),
                octets(received(&s.work)),
            ]);
        }
        for column in 4..9 {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        format!(
            "look {look}: {} sent, {} received, {:.0} stalls/s, {:.0} completions/s; {} adapters, {} sockets, {} IRPs outstanding\n{table}\n",
            per_second(total.sent),
            per_second(total.received),
            total.stalls,
            total.completions,
            status.adapters.len(),
            status.sockets.len(),
            status.header.irps_outstanding
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_per_second_and_never_below_zero() {
        let before = Work { octets_sent: 1000, stalls: 9, ..Work::default() };
        let now = Work { octets_sent: 3000, tcp_octets_sent: 1000, stalls: 2, ..Work::default() };
        let rate = Rate::between(&before, &now, Duration::from_millis(500));
        assert_eq!((rate.sent, rate.received, rate.stalls), (6000.0, 0.0, 0.0));
    }
}
