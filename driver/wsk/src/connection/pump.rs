//! Calling the client's event callbacks.
//!
//! They are called by the *pump*: in a DPC of the socket, or in an adapter's completion context; never inside a call of the
//! client's, one after the other, with no lock held. Whoever changes the state asks for the pump if a call is due
//! ([`State::due`]); whoever runs it goes on until none is.
//!
//! What is due, in this order: the notice that the socket is dead; the ideal send backlog, once; received octets that no
//! WskReceive waits for; and, when all octets are read, the end of the stream.
//!
//! Contract: "WskReceiveEvent", "WskDisconnectEvent", "WskSendBacklogEvent"; wsk.h for SIO_WSK_SET_RECEIVE_EX_CALLBACK.

use super::retained::{Answer, Indication};
use super::{After, Connection, Link, Phase, State};
use abi::NTSTATUS;
use abi::status::{STATUS_PENDING, STATUS_SUCCESS};
use abi::wsk::{
    PFN_WSK_DISCONNECT_EVENT, PFN_WSK_RECEIVE_EVENT, PFN_WSK_RECEIVE_EX_EVENT, PFN_WSK_SEND_BACKLOG_EVENT,
    WSK_BUF, WSK_CLIENT_CONNECTION_DISPATCH, WSK_EVENT_DISCONNECT, WSK_EVENT_RECEIVE, WSK_EVENT_SEND_BACKLOG,
    WSK_FLAG_ABORTIVE, WSK_FLAG_AT_DISPATCH_LEVEL, WSK_FLAG_RELEASE_ASAP,
};
use core::ffi::c_void;
use core::ptr;
use irp::Outcome;
use kernel::pool::Shared;

/// Calls in one run of the pump before it yields.
const CALLS_MAX: usize = 8;
/// The ideal send backlog that a client may take for granted: another one is told. The page gives no number; this is
/// the window of a TCP without scaling.
pub(super) const BACKLOG_DEFAULT: usize = 64 << 10;

/// What the pump knows of a socket.
#[derive(Default)]
pub(super) struct Pump {
    /// It runs, or a run is asked for.
    busy: bool,
    /// The client has the socket, with the context and the table it wants: events may begin.
    pub(super) delivered: bool,
    /// SIO_WSK_SET_RECEIVE_EX_CALLBACK.
    pub(super) receive_ex: Option<PFN_WSK_RECEIVE_EX_EVENT>,
    /// A call with octets is in progress: nobody else gets octets before its answer.
    pub(super) indicating: bool,
    /// A receive of no octets waits for that.
    pub(super) empty_waits: bool,
    /// The client did not take what it was shown: no octets are indicated until a receive of its has been completed.
    pub(super) stopped: bool,
    /// What was told already.
    told_backlog: bool,
    told_end: bool,
    told_loss: bool,
    told_death: bool,
}

/// Which callback takes octets.
#[derive(Clone, Copy)]
enum Taker {
    Receive(PFN_WSK_RECEIVE_EVENT),
    ReceiveEx(PFN_WSK_RECEIVE_EX_EVENT),
}

/// A call to be made.
#[derive(Clone, Copy)]
enum Call {
    /// The octets that nobody has had.
    Receive(Taker),
    /// The socket is no longer functional.
    Death(Taker),
    /// The peer has ended the stream, or it is lost (`true`).
    Disconnect(PFN_WSK_DISCONNECT_EVENT, bool),
    /// The ideal send backlog.
    Backlog(PFN_WSK_SEND_BACKLOG_EVENT),
}

impl Call {
    /// The event it belongs to.
    const fn event(&self) -> u32 {
        match self {
            Self::Receive(_) | Self::Death(_) => WSK_EVENT_RECEIVE,
            Self::Disconnect(..) => WSK_EVENT_DISCONNECT,
            Self::Backlog(_) => WSK_EVENT_SEND_BACKLOG,
        }
    }
}

/// The DPC of a socket.
///
/// # Safety
/// `context` is a reference that `Connection::queue_pump` gave to this run.
pub(super) unsafe fn run(context: *mut c_void) {
    // SAFETY: the caller's promise.
    let this = unsafe { Shared::<Connection>::from_raw(context.cast()) };
    Connection::pump(&this);
}

impl Connection {
    /// Asks for the pump in the socket's DPC. The caller has made the pump busy.
    pub(super) fn queue_pump(this: &Shared<Self>) {
        let reference = Shared::into_raw(this.clone());
        if !this.dpc.queue() {
            // SAFETY: the run that is asked for already has a reference of its own.
            drop(unsafe { Shared::from_raw(reference) });
        }
    }

    /// Makes the calls that are due. The pump is busy, by the caller; no lock is held, and the caller is not in a call of
    /// the client's. IRQL <= DISPATCH_LEVEL.
    pub(super) fn pump(this: &Shared<Self>) {
        for turn in 0.. {
            let (call, indication) = {
                let mut state = this.state.lock();
                let Some(call) = state.due(this) else {
                    state.pump.busy = false;
                    return;
                };
                if turn == CALLS_MAX {
                    break;
                }
                (call, state.begin_call(&call))
            };
            let answer = this.make(&call, indication.as_ref());
            Self::with(this, |state, after| state.end_call(&call, indication.as_ref(), answer, after));
        }
        Self::queue_pump(this);
    }

    /// Calls the client.
    fn make(&self, call: &Call, indication: Option<&Indication>) -> Answer {
        let context = self.callbacks.context();
        let level = if kernel::irql::is_known_dispatch() { WSK_FLAG_AT_DISPATCH_LEVEL } else { 0 };
        match *call {
            Call::Receive(taker) => match indication {
                Some(shown) => taker.take(context, level | WSK_FLAG_RELEASE_ASAP, shown.list, shown.octets),
                None => Answer::Done(0),
            },
            Call::Death(taker) => taker.take(context, level, ptr::null_mut(), 0),
            Call::Disconnect(tell, abortive) => {
                let flags = if abortive { level | WSK_FLAG_ABORTIVE } else { level };
                // SAFETY: the client's function, called as its page says; the close waits for it.
                unsafe { tell(context, flags) };
                Answer::Done(0)
            }
            Call::Backlog(tell) => {
                // SAFETY: as above.
                unsafe { tell(context, self.ideal_send_backlog()) };
                Answer::Done(0)
            }
        }
    }
}

impl Taker {
    fn take(
        self,
        context: *mut c_void,
        flags: u32,
        list: *mut abi::wsk::WSK_DATA_INDICATION,
        octets: usize,
    ) -> Answer {
        let mut accepted = octets;
        let status: NTSTATUS = match self {
            // SAFETY: the client's function, called as its page says; the list is valid until it is taken back.
            Self::Receive(receive) => unsafe { receive(context, flags, list, octets, &mut accepted) },
            Self::ReceiveEx(receive) => {
                // SAFETY: as above. A stream has no control information.
                unsafe { receive(context, flags, list, ptr::null_mut(), 0, octets, &mut accepted) }
            }
        };
        match status {
            STATUS_PENDING => Answer::Kept,
            STATUS_SUCCESS => Answer::Done(accepted.min(octets)),
            // DATA_NOT_ACCEPTED, and whatever else a client that is shutting down may say.
            _ => Answer::Done(0),
        }
    }
}

impl State {
    /// The call to be made next. `None` for a socket that is not connected, or is being closed, or is silent, or that its
    /// client does not have yet.
    fn due(&self, connection: &Connection) -> Option<Call> {
        let quiet = self.events.mask() == 0 && self.pump.receive_ex.is_none();
        if quiet || self.phase != Phase::Connected || self.silent || !self.pump.delivered {
            return None;
        }
        let link = self.link.as_ref().filter(|link| !link.ended_here)?;
        // SAFETY: the socket is not being closed, so its table is valid.
        let table = unsafe { connection.callbacks.table() };
        if link.dead {
            return self.taker(table.as_ref()).filter(|_| !self.pump.told_death).map(Call::Death);
        }
        let backlog = table.and_then(|table| table.WskSendBacklogEvent).filter(|_| {
            self.events.is_on(WSK_EVENT_SEND_BACKLOG)
                && !self.pump.told_backlog
                && connection.ideal_send_backlog() != BACKLOG_DEFAULT
        });
        if let Some(tell) = backlog {
            return Some(Call::Backlog(tell));
        }
        if link.direct.is_busy() {
            // The next octets are its.
            return None;
        }
        if link.unread() != 0 {
            let waits = self.pump.stopped || !self.receives.is_empty() || !link.retained.has_free();
            return self.taker(table.as_ref()).filter(|_| !waits).map(Call::Receive);
        }
        let tell = table.and_then(|table| table.WskDisconnectEvent);
        let tell = tell.filter(|_| self.events.is_on(WSK_EVENT_DISCONNECT))?;
        let lost = !matches!(
            link.engine.state(),
            stream::State::Unconnected | stream::State::Open | stream::State::Finished
        );
        if link.engine.peer_shut_down() && !self.pump.told_end {
            Some(Call::Disconnect(tell, false))
        } else if lost && !self.pump.told_loss {
            Some(Call::Disconnect(tell, true))
        } else {
            None
        }
    }

    /// The callback for octets, if the client wants them that way.
    fn taker(&self, table: Option<&WSK_CLIENT_CONNECTION_DISPATCH>) -> Option<Taker> {
        if let Some(receive) = self.pump.receive_ex {
            return Some(Taker::ReceiveEx(receive));
        }
        let receive = table.and_then(|table| table.WskReceiveEvent);
        receive.filter(|_| self.events.is_on(WSK_EVENT_RECEIVE)).map(Taker::Receive)
    }

    /// Whether the pump has to be asked for, which the caller then does: it is busy from here on.
    pub(super) fn wants_pump(&mut self, connection: &Connection) -> bool {
        let wanted = !self.pump.busy && self.due(connection).is_some();
        self.pump.busy |= wanted;
        wanted
    }

    fn begin_call(&mut self, call: &Call) -> Option<Indication> {
        self.events.begin(call.event());
        match call {
            Call::Receive(_) => {
                let link: &mut Link = self.link.as_mut()?;
                let (engine, rings, retained) = (&link.engine, &link.rings, &mut link.retained);
                let indication = retained.show(|skip| {
                    let span = engine.readable_span(skip)?;
                    let mdl = rings.get(span.ring)?.region().mdl();
                    Some(WSK_BUF { Mdl: mdl, Offset: span.offset, Length: span.len as usize })
                });
                self.pump.indicating = indication.is_some();
                // There is one, because the call was due. Otherwise it would be due for ever.
                self.pump.stopped = indication.is_none();
                return indication;
            }
            Call::Death(_) => self.pump.told_death = true,
            Call::Disconnect(_, false) => self.pump.told_end = true,
            Call::Disconnect(_, true) => self.pump.told_loss = true,
            Call::Backlog(_) => self.pump.told_backlog = true,
        }
        None
    }

    fn end_call(&mut self, call: &Call, indication: Option<&Indication>, answer: Answer, after: &mut After) {
        if let Some((link, shown)) = self.link.as_mut().zip(indication) {
            link.retained.answer(shown, answer);
            link.give_back();
            self.pump.indicating = false;
            self.pump.stopped = matches!(answer, Answer::Done(octets) if octets < shown.octets);
        }
        let event = call.event();
        if self.events.end(event) {
            while let Some((irp, _)) = self.disables.take_if(|waiting| *waiting == event) {
                after.batch.push(irp, Outcome::success(0));
            }
        }
        if self.phase == Phase::Closing {
            self.go_on(after);
        }
    }
}
