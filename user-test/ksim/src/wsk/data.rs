//! Streams: `WskSend`, `WskReceive`, `WskDisconnect`, and what moves the bytes.

use abi::NTSTATUS;
use abi::status::{
    STATUS_CANCELLED, STATUS_CONNECTION_ABORTED, STATUS_CONNECTION_DISCONNECTED, STATUS_CONNECTION_RESET,
    STATUS_INVALID_DEVICE_STATE, STATUS_INVALID_PARAMETER, STATUS_NOT_SUPPORTED, STATUS_SUCCESS,
};
use abi::wsk::{WSK_FLAG_ABORTIVE, WSK_FLAG_DRAIN, WSK_FLAG_OOB, WSK_FLAG_WAITALL};

use super::memory::Buffer;
use super::op::{Operation, Receive};
use super::request::Request;
use super::socket::{Link, State};
use super::world::World;

/// What there is to do for one receive.
enum Step {
    Done(NTSTATUS, usize),
    Wait,
}

impl World {
    /// The connection of a connected socket.
    pub(super) fn link(&mut self, at: usize) -> Result<&mut Link, NTSTATUS> {
        let Some(socket) = self.sockets.get_mut(&at) else { return Err(STATUS_INVALID_DEVICE_STATE) };
        if socket.state != State::Connected {
            return Err(STATUS_INVALID_DEVICE_STATE);
        }
        socket.link.as_mut().ok_or(STATUS_INVALID_DEVICE_STATE)
    }

    fn check_send(&mut self, at: usize) -> Result<(), NTSTATUS> {
        let link = self.link(at)?;
        match link.broken {
            _ if link.silent => Err(STATUS_INVALID_DEVICE_STATE),
            Some(status) => Err(status),
            None if link.disconnecting => Err(STATUS_CONNECTION_DISCONNECTED),
            None => Ok(()),
        }
    }

    /// `WskSend`, `WskSendEx`. Flags that nobody knows are ignored, as clients rely on.
    pub(super) fn send(&mut self, at: usize, request: Request, buffer: Buffer, flags: u32) {
        let checked = if flags & WSK_FLAG_OOB != 0 { Err(STATUS_NOT_SUPPORTED) } else { self.check_send(at) };
        match checked {
            Err(status) => self.answer(at, request, status, 0),
            Ok(()) => self.queue_send(at, request, buffer, false),
        }
    }

    fn queue_send(&mut self, at: usize, request: Request, buffer: Buffer, last: bool) {
        let Some(number) = self.park(at, request, Operation::Send { buffer, sent: 0, last }) else { return };
        if let Ok(link) = self.link(at) {
            link.disconnecting |= last;
            link.sends.push_back(number);
        }
        self.progress(at);
    }

    /// `WskDisconnect`.
    pub(super) fn disconnect(&mut self, at: usize, request: Request, buffer: Option<Buffer>, flags: u32) {
        if flags & WSK_FLAG_ABORTIVE != 0 {
            let result = match (self.link(at), buffer) {
                (_, Some(_)) => Err(STATUS_INVALID_PARAMETER),
                (Err(status), None) => Err(status),
                (Ok(link), None) if link.silent => Err(STATUS_INVALID_DEVICE_STATE),
                (Ok(_), None) => Ok(()),
            };
            if result.is_ok() {
                self.abort(at);
            }
            return self.answer_result(at, request, result);
        }
        match self.check_send(at) {
            Err(status) => self.answer(at, request, status, 0),
            Ok(()) => self.queue_send(at, request, buffer.unwrap_or(Buffer::EMPTY), true),
        }
    }

    /// Ends a connection by our own will.
    pub(super) fn abort(&mut self, at: usize) {
        let Ok(link) = self.link(at) else { return };
        link.broken.get_or_insert(STATUS_CONNECTION_ABORTED);
        // Nobody is told what he has done himself.
        link.told_abortive = true;
        let end = link.end;
        let sends: Vec<usize> = link.sends.drain(..).collect();
        self.transport.reset(end);
        for number in sends {
            self.conclude(number, STATUS_CANCELLED, 0);
        }
        self.progress(at);
    }

    /// `WskReceive`, `WskReceiveEx`.
    pub(super) fn receive(&mut self, at: usize, request: Request, receive: Receive) {
        const KNOWN: u32 = WSK_FLAG_WAITALL | WSK_FLAG_DRAIN;
        let flags = receive.flags;
        let drains = flags & WSK_FLAG_DRAIN != 0;
        let checked = match self.link(at) {
            Err(status) => Err(status),
            Ok(_) if flags & !KNOWN != 0 => Err(STATUS_NOT_SUPPORTED),
            Ok(_) if flags & KNOWN == KNOWN || (drains && receive.buffer.length != 0) => {
                Err(STATUS_INVALID_PARAMETER)
            }
            Ok(_) => Ok(()),
        };
        if let Err(status) = checked {
            return self.answer(at, request, status, 0);
        }
        let Some(number) = self.park(at, request, Operation::Receive(receive)) else { return };
        if let Ok(link) = self.link(at) {
            link.receives.push_back(number);
        }
        self.progress(at);
    }

    /// Does all that can be done for a socket now.
    pub(super) fn progress(&mut self, at: usize) {
        self.serve_accepts(at);
        let Ok(link) = self.link(at) else {
            self.touch(at);
            return;
        };
        let (end, silent) = (link.end, link.silent);
        if silent {
            let readable = self.transport.readable(end);
            self.transport.consume(end, readable, false);
        }
        let Ok(link) = self.link(at) else { return };
        if link.broken.is_none() {
            if self.transport.is_reset(end) {
                self.peer_has_reset(at);
            } else {
                self.move_out(at);
            }
        }
        self.serve_receives(at);
        self.touch(at);
    }

    fn peer_has_reset(&mut self, at: usize) {
        let Ok(link) = self.link(at) else { return };
        link.broken = Some(STATUS_CONNECTION_RESET);
        let sends: Vec<usize> = link.sends.drain(..).collect();
        for number in sends {
            self.conclude(number, STATUS_CONNECTION_RESET, 0);
        }
    }

    /// Sends what the peer has room for.
    fn move_out(&mut self, at: usize) {
        loop {
            let Ok(link) = self.link(at) else { return };
            let (end, front) = (link.end, link.sends.front().copied());
            let room = self.transport.writable(end);
            let Ok(link) = self.link(at) else { return };
            if !link.unsent.is_empty() {
                let count = room.min(link.unsent.len());
                let bytes: Vec<u8> = link.unsent.drain(..count).collect();
                let all = link.unsent.is_empty();
                if count != 0 {
                    self.transport.write(end, &bytes);
                }
                if !all {
                    return;
                }
                continue;
            }
            if link.finish_unsent && !link.finished {
                link.finished = true;
                self.transport.finish(end);
                return;
            }
            let Some(number) = front else { return };
            let Some(Operation::Send { buffer, sent, last }) =
                self.waiting.get_mut(&number).map(|waiting| &mut waiting.what)
            else {
                return;
            };
            let (last, length) = (*last, buffer.length);
            let bytes = buffer.read(*sent, room.min(length - *sent));
            *sent += bytes.len();
            let all = *sent == length;
            if !bytes.is_empty() {
                self.transport.write(end, &bytes);
            }
            if !all {
                return;
            }
            if let Ok(link) = self.link(at) {
                link.sends.pop_front();
                link.finished |= last;
            }
            if last {
                self.transport.finish(end);
            }
            self.conclude(number, STATUS_SUCCESS, if last { 0 } else { length });
        }
    }

    /// Fills the buffers that wait. What is being indicated is nobody else's until the callback returns.
    fn serve_receives(&mut self, at: usize) {
        loop {
            let Ok(link) = self.link(at) else { return };
            if link.indicating {
                return;
            }
            let (end, broken) = (link.end, link.broken);
            let Some(&number) = link.receives.front() else { return };
            match self.receive_step(number, end, broken) {
                Step::Wait => return,
                Step::Done(status, information) => {
                    if let Ok(link) = self.link(at) {
                        link.receives.pop_front();
                        // Indications go on once a receive is completed.
                        link.stopped = false;
                    }
                    self.conclude(number, status, information);
                }
            }
        }
    }

    fn receive_step(&mut self, number: usize, end: usize, broken: Option<NTSTATUS>) -> Step {
        let Some(Operation::Receive(receive)) =
            self.waiting.get_mut(&number).map(|waiting| &mut waiting.what)
        else {
            return Step::Wait;
        };
        let length = receive.buffer.length;
        if let Some(status) = broken {
            return Step::Done(status, receive.placed);
        }
        let readable = self.transport.readable(end);
        let finished = self.transport.is_finished(end);
        if receive.flags & WSK_FLAG_DRAIN != 0 {
            if readable != 0 {
                self.transport.consume(end, readable, false);
            }
            return if finished { Step::Done(STATUS_SUCCESS, 0) } else { Step::Wait };
        }
        let count = readable.min(length - receive.placed);
        if count != 0 {
            receive.buffer.write(receive.placed, &self.transport.peek(end, count));
            receive.placed += count;
            self.transport.consume(end, count, false);
        }
        let enough = receive.placed == length
            || (receive.placed != 0 && receive.flags & WSK_FLAG_WAITALL == 0)
            || (finished && count == readable);
        if !enough {
            return Step::Wait;
        }
        if !receive.control.is_null() {
            // SAFETY: the request's, which is not completed.
            unsafe { receive.control.write(0) };
        }
        Step::Done(STATUS_SUCCESS, receive.placed)
    }
}
