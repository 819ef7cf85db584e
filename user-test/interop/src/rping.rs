//! The other end of `rping`, on the software adapter's own dispatch tables.
//!
//! The client sends where its octets are: 8 octets of address, 4 of token, 4 of length, big-endian. The server reads them, and says
//! so by a Send of the same size. The client sends where to put them; the server writes them there, and says so. So it goes on
//! until the client ends the connection. A ping is `rdma-ping-N: ` and then characters that count on.

use std::ffi::c_void;
use std::net::SocketAddr;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use abi::NTSTATUS;
use abi::ndk::*;
use abi::status::STATUS_CANCELLED;
use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use kernel::pool::PoolTag;
use kernel::region::Region;
use softndk::{Config, Iwarp, LOOPBACK_ADDRESSES, SoftNdk};

use crate::ndk::{Address, close, close_slot, create, ndk, request, succeed};
use crate::tell;
use crate::world::{System, failed};

/// A completion that takes longer is lost.
const PATIENCE: Duration = Duration::from_secs(120);
const TAG: PoolTag = PoolTag::new(b"WrRp");
/// Octets of one advertisement.
const INFO: usize = 16;
/// Where in the memory: what is sent, what is received, the ping, the pong.
const SENT: usize = 0;
const RECEIVED: usize = 64;
const PING: usize = 4096;
const PONG: usize = PING + ROOM;
const ROOM: usize = 64 << 10;
/// What completions carry.
const OF_RECEIVE: usize = 1;
const OF_WORK: usize = 2;

/// A peer of rping: the raw software adapter over iWARP.
#[derive(Args)]
pub(crate) struct Rping {
    /// Listen there, as a server.
    #[arg(long, conflicts_with = "connect", required_unless_present = "connect")]
    listen: Option<SocketAddr>,
    /// Connect there, as a client.
    #[arg(long)]
    connect: Option<SocketAddr>,
    /// So many pings, as a client.
    #[arg(long, default_value_t = 10)]
    count: u64,
    /// Octets of a ping, as a client.
    #[arg(long, default_value_t = 64)]
    size: u32,
}

/// A queue pair with one completion queue and its memory.
struct End {
    adapter: *mut NDK_ADAPTER,
    pd: *mut NDK_PD,
    cq: *mut NDK_CQ,
    qp: *mut NDK_QP,
    mr: *mut NDK_MR,
    memory: Region,
    received: u64,
    worked: u64,
}

/// The peer has ended the connection.
static DISCONNECTED: AtomicBool = AtomicBool::new(false);

unsafe extern "system" fn on_disconnect(_context: *mut c_void) {
    DISCONNECTED.store(true, Ordering::SeqCst);
}

unsafe extern "system" fn on_cq(_context: *mut c_void, _status: NTSTATUS) {}

unsafe extern "system" fn on_connect(context: *mut c_void, connector: *mut NDK_CONNECTOR) {
    // SAFETY: the sender lives until the listener is closed.
    let requests = unsafe { &*context.cast::<std::sync::mpsc::Sender<usize>>() };
    // Nobody waits for a second one.
    let _ = requests.send(connector.expose_provenance());
}

impl End {
    fn new(adapter: *mut NDK_ADAPTER) -> Result<Self> {
        let null = ptr::null_mut();
        let pd = create("NdkCreatePd", |done, context, out| ndk!(adapter, NdkCreatePd, done, context, out))?;
        let cq = create("NdkCreateCq", |done, context, out| {
            ndk!(adapter, NdkCreateCq, 64, on_cq, null, ptr::null(), done, context, out)
        })?;
        let qp = create("NdkCreateQp", |done, context, out| {
            ndk!(pd, NdkCreateQp, cq, cq, null, 4, 16, 1, 1, 0, done, context, out)
        })?;
        let mr = create("NdkCreateMr", |done, context, out| ndk!(pd, NdkCreateMr, 0, done, context, out))?;
        let memory = Region::try_new(TAG, PONG + ROOM).ok().context("no memory")?;
        let flags =
            NDK_MR_FLAG::ALLOW_LOCAL_WRITE | NDK_MR_FLAG::ALLOW_REMOTE_READ | NDK_MR_FLAG::ALLOW_REMOTE_WRITE;
        request("NdkRegisterMr", |done, context| {
            ndk!(mr, NdkRegisterMr, memory.mdl(), memory.len(), flags.bits(), done, context)
        })?;
        Ok(Self { adapter, pd, cq, qp, mr, memory, received: 0, worked: 0 })
    }

    fn element(&self, offset: usize, length: u32) -> NDK_SGE {
        let address = self.memory.as_ptr().wrapping_add(offset);
        NDK_SGE {
            Anonymous: NDK_SGE_ADDRESS { VirtualAddress: address.cast() },
            Length: length,
            MemoryRegionToken: ndk!(self.mr, NdkGetLocalTokenFromMr),
        }
    }

    fn post_receive(&self) -> Result<()> {
        let element = self.element(RECEIVED, INFO as u32);
        let context = ptr::without_provenance_mut(OF_RECEIVE);
        succeed("NdkReceive", ndk!(self.qp, NdkReceive, context, &raw const element, 1))
    }

    /// Takes completions until there have been so many receives and so much work; `false` if the connection is over before.
    fn wait(&mut self, received: u64, worked: u64) -> Result<bool> {
        let deadline = Instant::now() + PATIENCE;
        while self.received < received || self.worked < worked {
            let mut entry = NDK_RESULT {
                Status: 0,
                BytesTransferred: 0,
                QPContext: ptr::null_mut(),
                RequestContext: ptr::null_mut(),
            };
            // Before the queue is looked at: what came before the end is in it.
            let over = DISCONNECTED.load(Ordering::SeqCst);
            if ndk!(self.cq, NdkGetCqResults, &raw mut entry, 1) == 0 {
                if over {
                    return Ok(false);
                }
                ensure!(
                    Instant::now() < deadline,
                    "{} receives and {} work, no more",
                    self.received,
                    self.worked
                );
                std::thread::sleep(Duration::from_micros(200));
                continue;
            }
            match (entry.RequestContext.addr(), entry.Status) {
                (_, STATUS_CANCELLED) => return Ok(false),
                (_, status) if status < 0 => bail!(failed("a completion", status)),
                (OF_RECEIVE, _) => {
                    ensure!(
                        entry.BytesTransferred as usize == INFO,
                        "a Send of {} octets",
                        entry.BytesTransferred
                    );
                    self.received += 1;
                }
                _ => self.worked += 1,
            }
        }
        Ok(true)
    }

    /// Sends where `length` octets at `offset` are.
    fn advertise(&self, offset: usize, length: u32) -> Result<()> {
        let address = self.memory.as_ptr().wrapping_add(offset).expose_provenance() as u64;
        let token: u32 = ndk!(self.mr, NdkGetRemoteTokenFromMr);
        let info = [&address.to_be_bytes()[..], &token.to_be_bytes(), &length.to_be_bytes()].concat();
        self.memory.write(SENT, &info).ok().context("no room")?;
        let element = self.element(SENT, INFO as u32);
        let context = ptr::without_provenance_mut(OF_WORK);
        succeed("NdkSend", ndk!(self.qp, NdkSend, context, &raw const element, 1, 0))
    }

    /// What the peer has advertised: address, token, length.
    fn advertised(&self) -> Result<(u64, u32, u32)> {
        let (mut address, mut token, mut length) = ([0; 8], [0; 4], [0; 4]);
        for (offset, field) in [(0, address.as_mut_slice()), (8, &mut token), (12, &mut length)] {
            self.memory.read(RECEIVED + offset, field).ok().context("no room")?;
        }
        let length = u32::from_be_bytes(length);
        ensure!(length as usize <= ROOM, "{length} octets are advertised");
        Ok((u64::from_be_bytes(address), u32::from_be_bytes(token), length))
    }

    /// Answers pings until the client ends the connection.
    fn serve(&mut self) -> Result<u64> {
        let mut pings = 0;
        loop {
            if !self.wait(self.received + 1, 0)? {
                return Ok(pings);
            }
            let (address, token, length) = self.advertised()?;
            self.post_receive()?;
            let sink = self.element(PING, length);
            let context = ptr::without_provenance_mut(OF_WORK);
            let status = ndk!(self.qp, NdkRead, context, &raw const sink, 1, address, token, 0);
            succeed("NdkRead", status)?;
            ensure!(self.wait(0, self.worked + 1)?, "the connection ends within a read");
            self.advertise(PING, 0)?;
            ensure!(self.wait(self.received + 1, self.worked + 1)?, "the connection ends within a ping");
            let (address, token, length) = self.advertised()?;
            self.post_receive()?;
            let source = self.element(PING, length);
            let status = ndk!(self.qp, NdkWrite, context, &raw const source, 1, address, token, 0);
            succeed("NdkWrite", status)?;
            self.advertise(PING, 0)?;
            ensure!(self.wait(0, self.worked + 2)?, "the connection ends within a write");
            pings += 1;
        }
    }

    /// Pings.
    fn ping(&mut self, count: u64, size: u32) -> Result<u64> {
        ensure!((32..=ROOM).contains(&(size as usize)), "pings have 32 to {ROOM} octets");
        for ping in 0..count {
            let mut octets = format!("rdma-ping-{ping}: ").into_bytes();
            let first = 65 + (ping % 58) as u8;
            octets.extend((first..=122).chain((65..=122).cycle()).take(size as usize - octets.len() - 1));
            octets.push(0);
            self.memory.write(PING, &octets).ok().context("no room")?;
            self.memory.write(PONG, &vec![0; octets.len()]).ok().context("no room")?;
            for offset in [PING, PONG] {
                self.advertise(offset, size)?;
                ensure!(self.wait(self.received + 1, self.worked + 1)?, "the server has gone");
                self.post_receive()?;
            }
            let mut pong = vec![0; octets.len()];
            self.memory.read(PONG, &mut pong).ok().context("no room")?;
            ensure!(pong == octets, "ping {ping} comes back changed");
        }
        Ok(count)
    }

    fn close(self) {
        close(self.qp, close_slot!(self.qp, NdkCloseQp));
        close(self.mr, close_slot!(self.mr, NdkCloseMr));
        close(self.cq, close_slot!(self.cq, NdkCloseCq));
        close(self.pd, close_slot!(self.pd, NdkClosePd));
    }
}

impl Rping {
    /// Runs the peer.
    ///
    /// # Errors
    ///
    /// The first thing that went wrong. Nothing is closed then: the process ends.
    pub(crate) fn run(&self) -> Result<()> {
        let at = self.listen.or(self.connect).context("neither --listen nor --connect")?;
        let system = System::start(at.port())?;
        let ports = [(at.port(), at.port())];
        let iwarp = Some(Iwarp::new(system.tcp, &ports));
        let config = Config { addresses: LOOPBACK_ADDRESSES, iwarp, ..Config::default() };
        let soft = SoftNdk::start(config).map_err(|status| failed("start the adapter", status))?;
        let version = NDK_VERSION { Major: 2, Minor: 1 };
        let adapter = soft.open_adapter(version).map_err(|status| failed("open the adapter", status))?;
        let mut end = End::new(adapter)?;
        end.post_receive()?;
        let pings = if self.listen.is_some() { listen(&mut end, at)? } else { self.connect(&mut end, at)? };
        tell(&serde_json::json!({ "connection": { "pings": pings } }));
        end.close();
        // SAFETY: opened above, and everything of it is closed.
        unsafe { soft.close_adapter(adapter) };
        soft.stop();
        system.stop();
        Ok(())
    }

    fn connect(&self, end: &mut End, to: SocketAddr) -> Result<u64> {
        let connector = create("NdkCreateConnector", |done, context, out| {
            ndk!(end.adapter, NdkCreateConnector, done, context, out)
        })?;
        let (from, to) = (Address::new(SocketAddr::new(to.ip(), 0)), Address::new(to));
        let (null, qp) = (ptr::null_mut(), end.qp);
        request("NdkConnect", |done, context| {
            let (from, to) = ((from.pointer(), from.length), (to.pointer(), to.length));
            ndk!(connector, NdkConnect, qp, from.0, from.1, to.0, to.1, 1, 1, null, 0, done, context)
        })?;
        request("NdkCompleteConnect", |done, context| {
            ndk!(connector, NdkCompleteConnect, None, null, done, context)
        })?;
        let pings = end.ping(self.count, self.size)?;
        request("NdkDisconnect", |done, context| ndk!(connector, NdkDisconnect, done, context))?;
        close(connector, close_slot!(connector, NdkCloseConnector));
        Ok(pings)
    }
}

fn listen(end: &mut End, at: SocketAddr) -> Result<u64> {
    let (requests, requested) = std::sync::mpsc::channel::<usize>();
    let context = (&raw const requests).cast_mut().cast();
    let listener = create("NdkCreateListener", |done, request, out| {
        ndk!(end.adapter, NdkCreateListener, on_connect, context, done, request, out)
    })?;
    let address = Address::new(at);
    request("NdkListen", |done, context| {
        ndk!(listener, NdkListen, address.pointer(), address.length, done, context)
    })?;
    tell(&serde_json::json!({ "said": "listening" }));
    let connector = requested.recv_timeout(PATIENCE).context("nobody connects")?;
    let connector: *mut NDK_CONNECTOR = ptr::with_exposed_provenance_mut(connector);
    let (null, qp) = (ptr::null_mut(), end.qp);
    request("NdkAccept", |done, context| {
        ndk!(connector, NdkAccept, qp, 1, 1, null, 0, Some(on_disconnect), null, done, context)
    })?;
    let pings = end.serve()?;
    close(connector, close_slot!(connector, NdkCloseConnector));
    close(listener, close_slot!(listener, NdkCloseListener));
    Ok(pings)
}
