//! What is measured: which ways stand beside each other.

use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::measure::{Named, Plan, Row, compare, singly};
use crate::socket::Listener;
use crate::ways::host::{self, OneThread, TwoThreads};
use crate::ways::ring::Rings;
use crate::ways::wsk::{self, By, Exchange, Stream};
use crate::ways::{Way, raw};
use crate::world::{Client, Driver, Of};

/// Sizes of messages, octets.
const SIZES: [usize; 9] = [1, 16, 64, 256, 1024, 4096, 16 << 10, 32 << 10, 64 << 10];
const SIZES_QUICK: [usize; 4] = [1, 64, 4096, 64 << 10];
/// The small message.
pub(crate) const SMALL: usize = 64;

/// The driver, a client of it, and the adapter that stands beside it.
pub(crate) struct Stage {
    listener: Listener,
    client: Client,
    adapter: raw::Adapter,
    // Last: it waits for the client.
    _driver: Driver,
}

impl Stage {
    /// Starts all.
    ///
    /// # Errors
    /// A status of the driver's or the adapter's.
    pub(crate) fn start() -> Result<Self> {
        let driver = Driver::start("require any any")?;
        let client = Client::register(Of::Driver)?;
        let listener = Listener::new(&client)?;
        Ok(Self { listener, client, adapter: raw::Adapter::open()?, _driver: driver })
    }

    /// A way of the measures `ping-pong` and `stream` by its name.
    ///
    /// # Errors
    /// There is none, or what it ran into.
    pub(crate) fn way(&self, measure: &str, name: &str, octets: usize) -> Result<Box<dyn Way + '_>> {
        let (client, listener) = (&self.client, &self.listener);
        let answers = measure == "ping-pong";
        let wsk = |by| -> Result<Box<dyn Way>> {
            Ok(if answers {
                Box::new(Exchange::new(client, listener, octets, by)?)
            } else {
                Box::new(Stream::new(client, listener, octets, by)?)
            })
        };
        Ok(match name {
            "wsk-receive" => wsk(By::Receive)?,
            "wsk-indication" => wsk(By::Indication)?,
            "raw-ndk" => Box::new(raw::Connection::new(&self.adapter, octets, !answers)?),
            "tcp" => Box::new(OneThread::<TcpStream>::new(octets, answers)?),
            "tcp-threads" => Box::new(TwoThreads::<TcpStream>::new(octets, answers)?),
            "unix" => Box::new(OneThread::<UnixStream>::new(octets, answers)?),
            "unix-threads" => Box::new(TwoThreads::<UnixStream>::new(octets, answers)?),
            "ring-one-copy" => Box::new(Rings::new(octets, answers, false)),
            "ring" => Box::new(Rings::new(octets, answers, true)),
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
    let stage = Stage::start()?;
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
    let connects: Vec<Named<'_>> = vec![
        ("wsk", Box::new(wsk::Connects { client: &stage.client, listener: &stage.listener })),
        ("tcp", Box::new(host::Connects::new()?)),
    ];
    compare("connect", 0, plan, connects)?.into_iter().for_each(&mut tell);
    Ok(())
}
