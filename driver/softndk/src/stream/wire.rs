//! The TCP connection under a stream: what is outstanding at the system, and what to ask of it next.

use core::net::SocketAddr;

use abi::NTSTATUS;
use abi::status::{STATUS_INTERNAL_ERROR, nt_success};
use abi::wsk::WSK_BUF;
use kernel::pool::AllocError;

use crate::address::SockAddr;
use crate::tcp::{Socket, Staging};

/// Octets of the buffers of a start-up, either way: a frame has at most 532.
const STARTUP_LEN: usize = 1024;
/// Octets of the buffers of full operation, either way.
pub(super) const STAGING_LEN: usize = 32 * 1024;

/// How far the connection is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Opening {
    Socket,
    /// To the port that the consumer has asked for.
    Bind,
    /// Somebody else has that port for TCP: to any.
    BindAny,
    Connect,
    Open,
}

/// Whether the peer is told that no octet will follow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fin {
    No,
    Wanted,
    Asked,
    Done,
}

/// How the connection ends.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Ending {
    Not,
    /// What is left goes out, then FIN, then the peer's FIN is awaited: a reset would overtake a Terminate.
    Graceful,
    Now,
}

/// A call of the system's.
#[derive(Clone, Copy)]
pub(super) enum Step {
    Socket,
    Bind(Socket, SockAddr),
    Connect(Socket, SockAddr),
    Send(Socket, WSK_BUF),
    Receive(Socket, WSK_BUF),
    Disconnect(Socket),
    Close(Socket),
}

/// The lower half of a stream's state.
#[derive(Debug)]
pub(super) struct Wire {
    socket: Option<Socket>,
    opening: Opening,
    /// WskSocket, WskBind, WskConnect or WskDisconnect is outstanding.
    setting_up: bool,
    /// A result that nobody has looked at.
    set_up: Option<(NTSTATUS, usize)>,
    sending: bool,
    receiving: bool,
    closing: bool,
    closed: bool,
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    out: Staging,
    out_len: usize,
    input: Staging,
    /// Octets that arrived and were not taken.
    start: usize,
    end: usize,
    /// Takes the place of `input` when nothing is in it.
    next_input: Option<Staging>,
    /// The peer sends no more.
    pub(super) finished: bool,
    pub(super) lost: Option<NTSTATUS>,
    pub(super) fin: Fin,
    pub(super) ending: Ending,
}

impl Wire {
    pub(super) fn new(local: SocketAddr, remote: SocketAddr) -> Result<Self, AllocError> {
        Ok(Self {
            socket: None,
            opening: Opening::Socket,
            setting_up: false,
            set_up: None,
            sending: false,
            receiving: false,
            closing: false,
            closed: false,
            local,
            remote,
            out: Staging::new(STARTUP_LEN)?,
            out_len: 0,
            input: Staging::new(STARTUP_LEN)?,
            start: 0,
            end: 0,
            next_input: None,
            finished: false,
            lost: None,
            fin: Fin::No,
            ending: Ending::Not,
        })
    }

    /// An accepted connection.
    pub(super) const fn adopt(&mut self, socket: Socket, remote: SocketAddr) {
        self.socket = Some(socket);
        self.remote = remote;
        self.opening = Opening::Open;
    }

    pub(super) fn is_open(&self) -> bool {
        self.opening == Opening::Open
    }

    /// Nothing is outstanding, and the socket is closed.
    pub(super) const fn is_over(&self) -> bool {
        self.closed && !self.setting_up && !self.sending && !self.receiving
    }

    /// The connection ends so, if it does not end faster already.
    pub(super) fn end(&mut self, ending: Ending) {
        self.ending = self.ending.max(ending);
    }

    /// Buffers of full operation: the output's is empty, the input's is used as soon as the present one is.
    pub(super) fn grow(&mut self, mut out: Staging, input: Staging) {
        let len = self.out_len;
        if let (Some(to), Some(from)) = (out.octets_mut().get_mut(..len), self.out.octets().get(..len)) {
            to.copy_from_slice(from);
        }
        self.out = out;
        self.next_input = Some(input);
    }

    /// Octets that arrived and were not taken.
    pub(super) fn arrived(&self) -> &[u8] {
        self.input.octets().get(self.start..self.end).unwrap_or_default()
    }

    /// All but the last `left` of them are taken.
    pub(super) const fn take(&mut self, left: usize) {
        self.start = self.end.saturating_sub(left);
    }

    /// Where octets to be sent may be written, while nothing is being sent.
    pub(super) fn room(&mut self) -> Option<&mut [u8]> {
        if self.sending {
            return None;
        }
        self.out.octets_mut().get_mut(self.out_len..)
    }

    /// So many octets were written there.
    pub(super) const fn wrote(&mut self, octets: usize) {
        self.out_len = self.out_len.saturating_add(octets);
    }

    /// Every octet that was written is with the system.
    pub(super) const fn is_sent(&self) -> bool {
        self.out_len == 0
    }

    pub(super) const fn ended_setup(&mut self, status: NTSTATUS, information: usize) {
        self.setting_up = false;
        self.set_up = Some((status, information));
    }

    pub(super) fn ended_send(&mut self, status: NTSTATUS) {
        self.sending = false;
        self.out_len = 0;
        if !nt_success(status) {
            self.lost.get_or_insert(status);
        }
    }

    pub(super) fn ended_receive(&mut self, status: NTSTATUS, octets: usize) {
        self.receiving = false;
        if !nt_success(status) {
            self.lost.get_or_insert(status);
        } else if octets == 0 {
            self.finished = true;
        } else {
            self.end = octets.min(self.input.len());
            self.start = 0;
        }
    }

    pub(super) const fn ended_close(&mut self) {
        self.closed = true;
    }

    /// Looks at the result of a step of the set-up. Returns whether the connection has come about with it.
    ///
    /// # Errors
    /// The system's status: it will not come about.
    pub(super) fn follow_setup(&mut self) -> Result<bool, NTSTATUS> {
        let Some((status, information)) = self.set_up.take() else { return Ok(false) };
        let failed = !nt_success(status);
        match self.opening {
            Opening::Open => {
                // WskDisconnect. A provider without it (Wine's) ends the connection with the close.
                self.fin = Fin::Done;
                self.finished |= failed;
                return Ok(false);
            }
            Opening::Bind if failed => self.opening = Opening::BindAny,
            _ if failed => return Err(status),
            Opening::Socket => {
                self.socket = Some(Socket::from_information(information).ok_or(STATUS_INTERNAL_ERROR)?);
                self.opening = Opening::Bind;
            }
            Opening::Bind | Opening::BindAny => self.opening = Opening::Connect,
            Opening::Connect => self.opening = Opening::Open,
        }
        Ok(self.is_open())
    }

    /// What to ask of the system now; it counts as asked.
    pub(super) fn next_step(&mut self) -> Option<Step> {
        if self.closing || self.closed {
            return None;
        }
        let gone = self.fin == Fin::Done && self.finished;
        if self.ending == Ending::Now || self.ending == Ending::Graceful && gone {
            return self.close();
        }
        let socket = match self.socket {
            Some(socket) => socket,
            None if self.setting_up => return None,
            None => {
                self.setting_up = true;
                return Some(Step::Socket);
            }
        };
        if !self.is_open() {
            return self.set_up_further(socket);
        }
        if self.out_len > 0 && !self.sending {
            self.sending = true;
            return Some(Step::Send(socket, self.out.describe(self.out_len)));
        }
        if self.fin == Fin::Wanted && self.out_len == 0 {
            self.fin = Fin::Asked;
            self.setting_up = true;
            return Some(Step::Disconnect(socket));
        }
        if self.receiving || self.finished || self.lost.is_some() || self.start < self.end {
            return None;
        }
        if let Some(input) = self.next_input.take() {
            self.input = input;
        }
        self.receiving = true;
        Some(Step::Receive(socket, self.input.describe(self.input.len())))
    }

    fn set_up_further(&mut self, socket: Socket) -> Option<Step> {
        if self.setting_up {
            return None;
        }
        self.setting_up = true;
        Some(match self.opening {
            Opening::Bind => Step::Bind(socket, SockAddr::new(&self.local)),
            Opening::BindAny => Step::Bind(socket, SockAddr::new(&SocketAddr::new(self.local.ip(), 0))),
            Opening::Socket | Opening::Connect | Opening::Open => {
                Step::Connect(socket, SockAddr::new(&self.remote))
            }
        })
    }

    /// A connect that is outstanding is cancelled by the close; a WskSocket or WskBind ends soon.
    fn close(&mut self) -> Option<Step> {
        let wait =
            self.setting_up && matches!(self.opening, Opening::Socket | Opening::Bind | Opening::BindAny);
        if wait {
            return None;
        }
        match self.socket {
            Some(socket) => {
                self.closing = true;
                Some(Step::Close(socket))
            }
            None => {
                self.closed = true;
                None
            }
        }
    }
}
