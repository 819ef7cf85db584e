//! What is measured: which ways stand beside each other.

use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::measure::{Named, Plan, Row, compare, singly};
use crate::socket::Listener;
use crate::ways::host::{self, OneThread, TwoThreads};
use crate::ways::ring;
use crate::ways::wsk::{self, By, Exchange, Stream};
use crate::ways::{Together, Way, raw};
use crate::world::{Client, Driver, Of, Rings};

/// Sizes of messages, octets.
const SIZES: [usize; 9] = [1, 16, 64, 256, 1024, 4096, 16 << 10, 32 << 10, 64 << 10];
const SIZES_QUICK: [usize; 4] = [1, 64, 4096, 64 << 10];
/// The small message.
pub(crate) const SMALL: usize = 64;

/// A client with a listening socket.
struct Side {
    listener: Listener,
    client: Client,
}

impl Side {
    fn new(of: Of) -> Result<Self> {
        let client = Client::register(of)?;
        Ok(Self { listener: Listener::new(&client)?, client })
    }
}

/// The driver, a client of it, and what stands beside it: the adapter, and a client of the system's WSK.
pub(crate) struct Stage {
    ours: Side,
    system: Side,
    adapter: raw::Adapter,
    // Last: it waits for the client.
    _driver: Driver,
}

/// Which way the driver's connections go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Path {
    Rdma,
    /// The fallback: the twin of each socket.
    Tcp,
}

impl Stage {
    /// Starts all.
    ///
    /// # Errors
    /// A status of the driver's or the adapter's.
    pub(crate) fn start(path: Path, rings: Rings) -> Result<Self> {
        let rule = if path == Path::Rdma { "require any any" } else { "never any any" };
        let driver = Driver::start(rule, rings)?;
        let (ours, system) = (Side::new(Of::Driver)?, Side::new(Of::System)?);
        Ok(Self { ours, system, adapter: raw::Adapter::open()?, _driver: driver })
    }

    /// A way of the measures `ping-pong` and `stream` by its name.
    ///
    /// # Errors
    /// There is none, or what it ran into.
    pub(crate) fn way(&self, measure: &str, name: &str, octets: usize) -> Result<Box<dyn Way + '_>> {
        let answers = measure == "ping-pong";
        let wsk = |Side { client, listener }: &Side, by| -> Result<Box<dyn Way>> {
            Ok(if answers {
                Box::new(Exchange::new(client, listener, octets, by)?)
            } else {
                Box::new(Stream::new(client, listener, octets, by)?)
            })
        };
        let Side { client, listener } = &self.ours;
        Ok(match name {
            "wsk" if measure == "connect" => Box::new(wsk::Connects { client, listener }),
            "tcp" if measure == "connect" => Box::new(host::Connects::new()?),
            "wsk-receive" => wsk(&self.ours, By::Receive)?,
            "wsk-indication" => wsk(&self.ours, By::Indication)?,
            "system-receive" => wsk(&self.system, By::Receive)?,
            "raw-ndk" => Box::new(raw::Connection::new(&self.adapter, octets, !answers)?),
            "tcp" => Box::new(OneThread::<TcpStream>::new(octets, answers)?),
            "tcp-threads" => Box::new(TwoThreads::<TcpStream>::new(octets, answers)?),
            "unix" => Box::new(OneThread::<UnixStream>::new(octets, answers)?),
            "unix-threads" => Box::new(TwoThreads::<UnixStream>::new(octets, answers)?),
            "ring-one-copy" => Box::new(ring::Rings::new(octets, answers, false)),
            "ring" => Box::new(ring::Rings::new(octets, answers, true)),
            _ => bail!("there is no way {name}"),
        })
    }

    fn named(&self, measure: &str, octets: usize) -> Result<Vec<Named<'_>>> {
        WAYS.into_iter().map(|name| Ok((name, self.way(measure, name, octets)?))).collect()
    }
}

/// All ways of `ping-pong` and `stream`.
const WAYS: [&str; 9] = [
    "wsk-receive",
    "wsk-indication",
    "raw-ndk",
    "tcp",
    "tcp-threads",
    "unix",
    "unix-threads",
    "ring-one-copy",
    "ring",
];

/// How many sockets of ours there are on one machine, in pairs of a connection.
const PAIRS: [usize; 5] = [1, 10, 100, 1000, 5000];
const PAIRS_QUICK: [usize; 3] = [1, 100, 1000];

/// Runs everything and hands out each row.
///
/// # Errors
/// The first that something had.
pub(crate) fn all(quick: bool, mut tell: impl FnMut(Row)) -> Result<()> {
    let plan = if quick {
        Plan { slice: Duration::from_millis(5), samples: 9 }
    } else {
        Plan { slice: Duration::from_millis(20), samples: 25 }
    };
    let stage = Stage::start(Path::Rdma, Rings::Growing)?;
    let sizes = if quick { &SIZES_QUICK[..] } else { &SIZES[..] };
    for &octets in sizes {
        for measure in ["ping-pong", "stream"] {
            compare(measure, octets, plan, stage.named(measure, octets)?)?.into_iter().for_each(&mut tell);
        }
    }
    let count = if quick { 2_000 } else { 20_000 };
    for way in ["wsk-receive", "wsk-indication", "raw-ndk", "tcp", "tcp-threads"] {
        tell(singly("latency", SMALL, count, (way, stage.way("ping-pong", way, SMALL)?))?);
    }
    let Side { client, listener } = &stage.ours;
    let connects: Vec<Named<'_>> =
        vec![("wsk", stage.way("connect", "wsk", 0)?), ("tcp", stage.way("connect", "tcp", 0)?)];
    compare("connect", 0, plan, connects)?.into_iter().for_each(&mut tell);
    for &pairs in if quick { &PAIRS_QUICK[..] } else { &PAIRS[..] } {
        let ways: Vec<Named<'_>> = vec![
            ("wsk-receive", Box::new(wsk::Many::new(client, listener, pairs, SMALL)?)),
            ("tcp", Box::new(host::Many::new(pairs, SMALL)?)),
        ];
        compare("many-sockets", 2 * pairs, plan, ways)?.into_iter().for_each(&mut tell);
    }
    for senders in [1, 2, 4] {
        let ways: Vec<Named<'_>> = vec![
            ("wsk-receive", Box::new(Together::new(senders, || stage.way("stream", "wsk-receive", SMALL))?)),
            ("raw-ndk", Box::new(Together::new(senders, || stage.way("stream", "raw-ndk", SMALL))?)),
            ("tcp", Box::new(Together::new(senders, || stage.way("stream", "tcp", SMALL))?)),
        ];
        compare("many-senders", senders, plan, ways)?.into_iter().for_each(&mut tell);
    }
    drop(stage);
    let stage = Stage::start(Path::Tcp, Rings::Growing)?;
    let ways: Vec<Named<'_>> = vec![
        ("wsk-receive", stage.way("ping-pong", "wsk-receive", SMALL)?),
        ("system-receive", stage.way("ping-pong", "system-receive", SMALL)?),
    ];
    compare("fallback", SMALL, plan, ways)?.into_iter().for_each(&mut tell);
    Ok(())
}
