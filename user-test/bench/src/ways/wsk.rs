//! A WSK client: two sockets of one connection.

use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use abi::NTSTATUS;
use abi::status::STATUS_SUCCESS;
use abi::wsk::{WSK_CLIENT_CONNECTION_DISPATCH, WSK_DATA_INDICATION, WSK_FLAG_WAITALL};
use anyhow::{Result, bail, ensure};

use super::Way;
use crate::request::Request;
use crate::socket::{Callbacks, Listener, Socket};
use crate::world::Client;

/// How octets are received.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum By {
    /// WskReceive, posted beforehand.
    Receive,
    /// WskReceiveEvent.
    Indication,
}

/// One end that takes whole messages.
struct End {
    octets: usize,
    taken: AtomicUsize,
    /// Messages taken since the beginning.
    messages: AtomicU64,
    receive: Request,
    /// What is sent for each message, if something is.
    answer: Option<Request>,
    socket: std::sync::OnceLock<Socket>,
}

static INDICATED: WSK_CLIENT_CONNECTION_DISPATCH = WSK_CLIENT_CONNECTION_DISPATCH {
    WskReceiveEvent: Some(indicated),
    WskDisconnectEvent: None,
    WskSendBacklogEvent: None,
};

impl End {
    fn new(octets: usize, answers: bool) -> Box<Self> {
        Box::new(Self {
            octets,
            taken: AtomicUsize::new(0),
            messages: AtomicU64::new(0),
            receive: Request::new(octets),
            answer: answers.then(|| Request::new(octets)),
            socket: std::sync::OnceLock::new(),
        })
    }

    fn context(&self) -> *mut c_void {
        ptr::from_ref(self).cast_mut().cast()
    }

    /// Counts octets; answers when they are a message.
    fn took(&self, octets: usize) {
        let mut taken = self.taken.load(Ordering::Relaxed) + octets;
        while taken >= self.octets {
            taken -= self.octets;
            self.messages.store(self.messages.load(Ordering::Relaxed) + 1, Ordering::Release);
            if let (Some(answer), Some(socket)) = (&self.answer, self.socket.get()) {
                socket.send(answer);
            }
        }
        self.taken.store(taken, Ordering::Relaxed);
    }

    fn messages(&self) -> u64 {
        self.messages.load(Ordering::Acquire)
    }

    /// Begins to receive.
    fn begin(&self, socket: Socket, by: By) -> Result<()> {
        if by == By::Indication {
            socket.enable_receive_event()?;
        }
        let socket = self.socket.get_or_init(|| socket);
        if by == By::Receive {
            // SAFETY: the end outlives its socket, whose close ends the request.
            unsafe { self.receive.then(received, self.context()) };
            socket.receive(&self.receive, WSK_FLAG_WAITALL);
        }
        Ok(())
    }
}

/// The completion of a receive, which is posted again at once.
///
/// # Safety
/// `context` is the [`End`].
unsafe fn received(context: *const c_void, octets: usize) {
    // SAFETY: the caller's promise.
    let end = unsafe { &*context.cast::<End>() };
    if octets == 0 {
        // The socket is being closed.
        return;
    }
    if let Some(socket) = end.socket.get() {
        socket.receive(&end.receive, WSK_FLAG_WAITALL);
    }
    end.took(octets);
}

/// WskReceiveEvent: the octets are taken where they lie.
unsafe extern "system" fn indicated(
    context: *mut c_void,
    _flags: u32,
    indication: *mut WSK_DATA_INDICATION,
    octets: usize,
    _accepted: *mut usize,
) -> NTSTATUS {
    // SAFETY: the context that the socket was made with.
    let end = unsafe { &*context.cast::<End>() };
    if !indication.is_null() {
        end.took(octets);
    }
    STATUS_SUCCESS
}

/// Watches until `done`.
fn watch(mut done: impl FnMut() -> bool) {
    let mut tries = 0_u32;
    while !done() {
        tries = tries.wrapping_add(1);
        if tries.is_multiple_of(64) {
            std::thread::yield_now();
        } else {
            std::hint::spin_loop();
        }
    }
}

/// Two ends of a connection. Sockets are closed before the requests that their closes end.
struct Connection {
    near: Box<End>,
    far: Box<End>,
}

impl Connection {
    fn new(client: &Client, listener: &Listener, octets: usize, by: By, answers: bool) -> Result<Self> {
        let (near, far) = (End::new(octets, false), End::new(octets, answers));
        let callbacks = |end: &End| match by {
            By::Receive => Callbacks::NONE,
            By::Indication => Callbacks { context: end.context(), table: &raw const INDICATED },
        };
        let (active, passive) = listener.pair(client, callbacks(&near), callbacks(&far))?;
        far.begin(passive, by)?;
        near.begin(active, by)?;
        Ok(Self { near, far })
    }

    fn socket(&self) -> Result<&Socket> {
        match self.near.socket.get() {
            Some(socket) => Ok(socket),
            None => bail!("the connection is closed"),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        drop(self.near.socket.take());
        drop(self.far.socket.take());
        self.near.receive.wait();
        self.far.receive.wait();
    }
}

/// Messages and answers.
pub(crate) struct Exchange {
    connection: Connection,
    send: Request,
}

impl Exchange {
    /// A connection to send messages of `octets` over.
    ///
    /// # Errors
    /// The provider's status.
    pub(crate) fn new(client: &Client, listener: &Listener, octets: usize, by: By) -> Result<Self> {
        let connection = Connection::new(client, listener, octets, by, true)?;
        Ok(Self { connection, send: Request::new(octets) })
    }
}

impl Way for Exchange {
    fn run(&mut self, times: u64) -> Result<()> {
        let socket = self.connection.socket()?;
        let before = self.connection.near.messages();
        for due in before + 1..=before + times {
            socket.send(&self.send);
            watch(|| self.connection.near.messages() == due);
            self.send.wait();
        }
        ensure!(self.send.status() == STATUS_SUCCESS, "a send ended {:#x}", self.send.status());
        Ok(())
    }
}

/// Sends that may be under way at once.
const DEPTH: usize = 8;

/// Messages one way.
pub(crate) struct Stream {
    connection: Connection,
    sends: Vec<Request>,
}

impl Stream {
    /// A connection to send messages of `octets` over.
    ///
    /// # Errors
    /// The provider's status.
    pub(crate) fn new(client: &Client, listener: &Listener, octets: usize, by: By) -> Result<Self> {
        let connection = Connection::new(client, listener, octets, by, false)?;
        Ok(Self { connection, sends: (0..DEPTH).map(|_| Request::new(octets)).collect() })
    }
}

impl Way for Stream {
    fn run(&mut self, times: u64) -> Result<()> {
        let socket = self.connection.socket()?;
        let due = self.connection.far.messages() + times;
        for send in self.sends.iter().cycle().take(usize::try_from(times)?) {
            send.wait();
            socket.send(send);
        }
        watch(|| self.connection.far.messages() >= due);
        for send in &self.sends {
            send.wait();
            ensure!(send.status() == STATUS_SUCCESS, "a send ended {:#x}", send.status());
        }
        Ok(())
    }
}

/// Connecting, accepting, and closing both.
pub(crate) struct Connects<'a> {
    pub(crate) client: &'a Client,
    pub(crate) listener: &'a Listener,
}

impl Way for Connects<'_> {
    fn run(&mut self, times: u64) -> Result<()> {
        for _ in 0..times {
            let pair = self.listener.pair(self.client, Callbacks::NONE, Callbacks::NONE)?;
            drop(pair);
        }
        Ok(())
    }
}

/// Exchanges over many connections, one after the other.
pub(crate) struct Many {
    connections: Vec<Exchange>,
    next: usize,
}

impl Many {
    /// So many connections.
    ///
    /// # Errors
    /// The provider's status.
    pub(crate) fn new(client: &Client, listener: &Listener, count: usize, octets: usize) -> Result<Self> {
        let connections = (0..count).map(|_| Exchange::new(client, listener, octets, By::Receive));
        Ok(Self { connections: connections.collect::<Result<_>>()?, next: 0 })
    }
}

impl Way for Many {
    fn run(&mut self, times: u64) -> Result<()> {
        for _ in 0..times {
            let at = self.next;
            self.next = (at + 1) % self.connections.len().max(1);
            if let Some(connection) = self.connections.get_mut(at) {
                connection.run(1)?;
            }
        }
        Ok(())
    }
}
