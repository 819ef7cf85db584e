//! `bench`: messages of several sizes go to an echoing listener and come back.
//!
//! A connection has `depth` messages under way: one is sent whenever one has come back. A message's time is from the
//! WskSend that carries it to the WskReceive that completes it. Throughput counts the octets of one direction.

mod show;

use crate::echo;
use crate::failure::Failure;
use crate::files::path_of;
use crate::interrupt;
use crate::socket::{self, Client, Socket};
use crate::transfer::Pair;
use clap::Args;
use hdrhistogram::Histogram;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// What `bench` does.
#[derive(Args)]
pub(crate) struct Options {
    /// An echoing listener (wskrdma-test echo --listen); without it both ends are in this program.
    address: Option<SocketAddr>,
    /// Octets of a message, one or more sizes; K and M may follow a number.
    #[arg(long, value_name = "OCTETS", value_delimiter = ',', default_values = ["64", "4K", "64K"], value_parser = size)]
    sizes: Vec<u32>,
    /// Messages under way on each connection.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    depth: u32,
    /// Connections at the same time.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    connections: u32,
    /// Seconds for each size.
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0, value_parser = seconds)]
    duration: f64,
    /// Show how the times of messages are spread, for each size.
    #[arg(long)]
    histogram: bool,
}

/// A size with its unit.
fn size(text: &str) -> Result<u32, String> {
    let (digits, shift) = match text.as_bytes().last().map(u8::to_ascii_uppercase) {
        Some(b'K') => (text.get(..text.len() - 1).unwrap_or_default(), 10),
        Some(b'M') => (text.get(..text.len() - 1).unwrap_or_default(), 20),
        _ => (text, 0),
    };
    let octets = digits.parse::<u64>().ok().and_then(|n| n.checked_mul(1 << shift));
    let octets = octets.and_then(|n| u32::try_from(n).ok());
    let fits = octets.filter(|n| (1..=control::client::MAX_TRANSFER).contains(n));
    fits.ok_or_else(|| "from 1 to 4M octets".to_owned())
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse::<f64>().ok().filter(|s| (0.01..=86_400.0).contains(s));
    seconds.ok_or_else(|| "from 0.01 to 86400 seconds".to_owned())
}

/// What one size has shown.
pub(crate) struct Measured {
    size: u32,
    messages: u64,
    seconds: f64,
    /// Times of messages in nanoseconds.
    times: Histogram<u64>,
}

impl Measured {
    fn octets_per_second(&self) -> f64 {
        self.messages as f64 * f64::from(self.size) / self.seconds.max(f64::MIN_POSITIVE)
    }

    fn messages_per_second(&self) -> f64 {
        self.messages as f64 / self.seconds.max(f64::MIN_POSITIVE)
    }
}

/// A histogram from 100 ns to 100 s with three digits.
fn histogram() -> Result<Histogram<u64>, Failure> {
    Histogram::new_with_bounds(100, 100_000_000_000, 3).map_err(|e| Failure::Failed(e.to_string()))
}

/// The command.
pub(crate) fn run(json: bool, options: &Options) -> Result<(), Failure> {
    let device = socket::client()?;
    interrupt::listen()?;
    let mut all = Vec::new();
    let mut path = "none";
    for &size in &options.sizes {
        let (measured, used) = measure(&device, options, size)?;
        path = used;
        if interrupt::pressed() {
            break;
        }
        show::one(json, options, &measured, path);
        all.push(measured);
    }
    show::all(json, options, &all, path);
    if interrupt::pressed() {
        let text = format!("ended by Ctrl-C; {} of {} sizes were measured", all.len(), options.sizes.len());
        return Err(Failure::Interrupted(text));
    }
    Ok(())
}

/// Both ends of a connection, or the one here.
enum Line {
    Far(Socket),
    Near(Box<Pair>),
}

fn open(device: &Client, address: Option<SocketAddr>) -> Result<Line, Failure> {
    Ok(match address {
        Some(address) => Line::Far(Socket::connected(device, address)?),
        None => Line::Near(Box::new(Pair::new(device, ([127, 0, 0, 1], 0).into())?)),
    })
}

fn measure(device: &Client, options: &Options, size: u32) -> Result<(Measured, &'static str), Failure> {
    let lines = (0..options.connections).map(|_| open(device, options.address));
    let lines = lines.collect::<Result<Vec<_>, Failure>>()?;
    let first = lines.first().ok_or("no connection")?;
    let path = path_of(&first.caller().ends()?)?;
    let over = AtomicBool::new(false);
    let began = Instant::now();
    let outcomes: Vec<Result<Histogram<u64>, Failure>> = thread::scope(|scope| {
        let mut servers = Vec::new();
        for line in &lines {
            if let Line::Near(pair) = line {
                servers.push(scope.spawn(|| echo::serve(&pair.accepted)));
            }
        }
        let callers: Vec<_> = lines
            .iter()
            .map(|line| {
                let over = &over;
                scope.spawn(move || drive(line.caller(), size as usize, options.depth as usize, over))
            })
            .collect();
        interrupt::sleep(Duration::from_secs_f64(options.duration));
        over.store(true, Ordering::Release);
        let outcomes =
            callers.into_iter().map(|one| one.join().unwrap_or_else(|_| Err("a thread failed".into())));
        let outcomes = outcomes.collect();
        for server in servers {
            // A failure here is one of the caller's, too.
            let _ = server.join();
        }
        outcomes
    });
    let seconds = began.elapsed().as_secs_f64();
    let mut times = histogram()?;
    for outcome in outcomes {
        match outcome {
            Ok(part) => times.add(part).map_err(|e| Failure::Failed(e.to_string()))?,
            Err(_) if interrupt::pressed() => {}
            Err(failure) => return Err(failure.during(&format!("messages of {size} octets"))),
        }
    }
    Ok((Measured { size, messages: times.len(), seconds, times }, path))
}

impl Line {
    fn caller(&self) -> &Socket {
        match self {
            Self::Far(socket) => socket,
            Self::Near(pair) => &pair.connected,
        }
    }
}

/// Keeps `depth` messages under way until it is over, then waits for the last of them and ends the stream.
fn drive(socket: &Socket, size: usize, depth: usize, over: &AtomicBool) -> Result<Histogram<u64>, Failure> {
    let way = UnderWay::default();
    thread::scope(|scope| {
        let sender = scope.spawn(|| {
            let message = vec![0x5A; size];
            let sent = loop {
                if over.load(Ordering::Acquire) || !way.begins(depth) {
                    break Ok(());
                }
                if let Err(e) = socket.send(&message) {
                    break Err(Failure::from(e));
                }
            };
            way.ends();
            match sent {
                Ok(()) => socket.disconnect().map_err(Failure::from),
                Err(failure) => {
                    socket.abort();
                    Err(failure)
                }
            }
        });
        let received = collect(socket, size, &way);
        if received.is_err() {
            way.fails();
            socket.abort();
        }
        let sent = sender.join().map_err(|_| Failure::from("the sending thread failed"))?;
        // The first cause is the sender's.
        sent.and(received)
    })
}

/// Takes what comes back until the stream ends.
fn collect(socket: &Socket, size: usize, way: &UnderWay) -> Result<Histogram<u64>, Failure> {
    let mut times = histogram()?;
    let mut back = vec![0; size];
    loop {
        match socket.receive_all(&mut back)? {
            0 => return if way.is_empty() { Ok(times) } else { Err("the peer ended the stream".into()) },
            n if n < size => {
                return Err(format!("the stream ended inside a message, after {n} octets").into());
            }
            _ => {}
        }
        let took = way.came_back().ok_or("a message came back that nobody sent")?;
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        times.saturating_record(nanoseconds);
    }
}

/// The messages of one connection that have not come back, oldest first.
#[derive(Default)]
struct UnderWay {
    state: Mutex<Begun>,
    changed: Condvar,
}

#[derive(Default)]
struct Begun {
    times: VecDeque<Instant>,
    failed: bool,
    ended: bool,
}

impl UnderWay {
    fn lock(&self) -> std::sync::MutexGuard<'_, Begun> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there are fewer than `depth`, and begins one. `false`: none comes back any more.
    fn begins(&self, depth: usize) -> bool {
        let mut state = self.lock();
        while state.times.len() >= depth && !state.failed {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.times.push_back(Instant::now());
        !state.failed
    }

    fn came_back(&self) -> Option<Duration> {
        let began = self.lock().times.pop_front();
        self.changed.notify_one();
        began.map(|began| began.elapsed())
    }

    fn fails(&self) {
        self.lock().failed = true;
        self.changed.notify_one();
    }

    fn ends(&self) {
        self.lock().ended = true;
    }

    fn is_empty(&self) -> bool {
        let state = self.lock();
        state.ended && state.times.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes_have_units_and_limits() {
        assert_eq!(size("64"), Ok(64));
        assert_eq!(size("4k"), Ok(4096));
        assert_eq!(size("4M"), Ok(4 << 20));
        for wrong in ["", "0", "K", "5M", "-1", "99999999999999999999K", "1.5K"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }
}
