//! A peer: connects or listens, and goes through the same steps with each connection.

use std::net::SocketAddr;
use std::thread;

use anyhow::{Result, anyhow};
use clap::Args;

use crate::socket::{Listener, Stream};
use crate::steps::{self, Step};
use crate::tell;
use crate::world::World;

/// A peer of Linux programs: WSK sockets through the whole driver, over iWARP.
#[derive(Args)]
pub(crate) struct Peer {
    /// Listen there.
    #[arg(long, conflicts_with = "connect", required_unless_present = "connect")]
    listen: Option<SocketAddr>,
    /// Connect there.
    #[arg(long)]
    connect: Option<SocketAddr>,
    /// So many connections.
    #[arg(long, default_value_t = 1)]
    times: u32,
    /// All of them at once, and not one after the other.
    #[arg(long)]
    together: bool,
    /// Do not ask for CRCs.
    #[arg(long)]
    no_crc: bool,
    /// What to do with each: send=N count=NxN counted=NxN text=T header body receive receive=N lost unsent finish hold=MS say=W
    #[arg(required = true)]
    steps: Vec<Step>,
}

/// Goes through the steps, and closes.
fn serve(stream: Stream, steps: &[Step]) -> Result<()> {
    let outcome = steps::walk(&stream, steps);
    let closed = stream.close();
    tell(&serde_json::json!({ "connection": outcome? }));
    closed
}

impl Peer {
    /// Runs the peer.
    ///
    /// # Errors
    ///
    /// The first that a connection had.
    pub(crate) fn run(&self) -> Result<()> {
        let at = self.listen.or(self.connect).ok_or_else(|| anyhow!("neither --listen nor --connect"))?;
        let world = World::start(at, !self.no_crc)?;
        let listener = self.listen.map(|at| Listener::bind(&world, at)).transpose()?;
        if listener.is_some() {
            tell(&serde_json::json!({ "said": "listening" }));
        }
        let open = || match &listener {
            Some(listener) => listener.accept(),
            None => Stream::connect(&world, at),
        };
        let one = || serve(open()?, &self.steps);
        if self.together {
            thread::scope(|scope| {
                let all: Vec<_> = (0..self.times).map(|_| scope.spawn(one)).collect();
                let joined =
                    all.into_iter().map(|one| one.join().unwrap_or_else(|_| Err(anyhow!("a panic"))));
                joined.collect::<Result<Vec<()>>>()
            })?;
        } else {
            for _ in 0..self.times {
                one()?;
            }
        }
        if let Some(listener) = listener {
            listener.close()?;
        }
        world.stop();
        Ok(())
    }
}
