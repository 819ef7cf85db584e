//! The steps that many cases share.

mod control;

pub(crate) use control::*;

use core::net::SocketAddr;
use core::time::Duration;

use abi::NTSTATUS;
use abi::status::{
    STATUS_CONNECTION_ABORTED, STATUS_CONNECTION_DISCONNECTED, STATUS_CONNECTION_RESET, STATUS_PENDING,
    STATUS_SUCCESS, nt_success,
};
use abi::wsk::{
    AF_INET, AF_INET6, IPPROTO_TCP, SOCK_STREAM, WSK_FLAG_CONNECTION_SOCKET, WSK_FLAG_LISTEN_SOCKET,
    WSK_FLAG_WAITALL,
};

use crate::failure::{Check, Failure, Found, expect};
use crate::pattern;
use crate::world::{Buffer, Call, Completion, Operation, Socket, Target, World};

/// Longer than any request takes that will end at all.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// What a request ends with whose connection is lost: clients treat the three alike.
pub(crate) const LOST: [NTSTATUS; 3] =
    [STATUS_CONNECTION_RESET, STATUS_CONNECTION_ABORTED, STATUS_CONNECTION_DISCONNECTED];

/// A connected pair, and the listening socket that it came over.
#[derive(Clone, Copy)]
pub(crate) struct Pair {
    pub(crate) listener: Socket,
    /// The connecting end.
    pub(crate) near: Socket,
    /// The accepted end.
    pub(crate) far: Socket,
}

/// One MDL with `length` octets of the stream from `position` on: for a send.
pub(crate) const fn data(length: &usize, position: u64) -> Buffer<'_> {
    Buffer { mdls: core::slice::from_ref(length), offset: 0, length: *length, position: Some(position) }
}

/// One MDL with `length` untouched octets: for a receive.
pub(crate) const fn room(length: &usize) -> Buffer<'_> {
    Buffer { mdls: core::slice::from_ref(length), offset: 0, length: *length, position: None }
}

/// No octets and no MDL.
pub(crate) const EMPTY: Buffer<'static> = Buffer { mdls: &[], offset: 0, length: 0, position: None };

/// `WskSocket` of a TCP socket.
pub(crate) const fn tcp_socket(family: u16, flags: u32) -> Call<'static> {
    Call::Socket { null_client: false, family, socket_type: SOCK_STREAM, protocol: IPPROTO_TCP, flags }
}

/// `WskBind`.
pub(crate) fn bind(socket: Socket, address: SocketAddr) -> Call<'static> {
    Call::Bind { on: socket.into(), address: Some(address) }
}

/// `WskAccept` with both addresses.
pub(crate) fn accept(socket: Socket) -> Call<'static> {
    Call::Accept { on: socket.into(), addresses: true }
}

/// `WskConnect`.
pub(crate) fn connect(socket: Socket, address: SocketAddr) -> Call<'static> {
    Call::Connect { on: socket.into(), address: Some(address) }
}

/// `WskSend` without flags.
pub(crate) fn send(socket: Socket, buffer: Buffer<'_>) -> Call<'_> {
    Call::Send { on: socket.into(), buffer: Some(buffer), flags: 0 }
}

/// `WskReceive`.
pub(crate) fn receive(socket: Socket, buffer: Buffer<'_>, flags: u32) -> Call<'_> {
    Call::Receive { on: socket.into(), buffer: Some(buffer), flags }
}

/// A graceful `WskDisconnect` without data.
pub(crate) fn disconnect(socket: Socket) -> Call<'static> {
    Call::Disconnect { on: socket.into(), buffer: None, flags: 0 }
}

/// An abortive `WskDisconnect`.
pub(crate) fn abort(socket: Socket) -> Call<'static> {
    Call::Disconnect { on: socket.into(), buffer: None, flags: abi::wsk::WSK_FLAG_ABORTIVE }
}

/// `WskCloseSocket`.
pub(crate) fn close(socket: Socket) -> Call<'static> {
    Call::Close { on: socket.into() }
}

/// `WskGetLocalAddress`.
pub(crate) fn local(socket: Socket) -> Call<'static> {
    Call::LocalAddress { on: socket.into() }
}

/// `WskGetRemoteAddress`.
pub(crate) fn remote(socket: Socket) -> Call<'static> {
    Call::RemoteAddress { on: socket.into() }
}

/// What holds for every completion, whatever the function (the IRP contract).
#[track_caller]
fn check(completion: &Completion) -> Check {
    let Completion { returned, status, pending_returned, before_return, .. } = *completion;
    expect(status != STATUS_PENDING, "an IRP is not completed with PENDING", status)?;
    expect(
        pending_returned == (returned == STATUS_PENDING),
        "PendingReturned is set exactly when the function returned PENDING",
        returned,
    )?;
    if returned == STATUS_PENDING {
        return Ok(());
    }
    expect(before_return, "a function that does not return PENDING has completed its IRP before", returned)?;
    expect(status == returned, "IoStatus holds the status that was returned", status)
}

impl dyn World + '_ {
    /// Makes a call.
    #[track_caller]
    pub(crate) fn start(&mut self, call: &Call<'_>) -> Check<Operation> {
        match self.call(call) {
            Some(operation) => Ok(operation),
            None => Err(Failure::new("the world has room for a request", Found::Nothing)),
        }
    }

    /// Waits for the end of a request, and checks what holds for all.
    #[track_caller]
    pub(crate) fn done(&mut self, operation: Operation) -> Check<Completion> {
        let Some(completion) = self.wait(operation, PATIENCE) else {
            return Err(Failure::new("the request is completed", Found::Nothing));
        };
        check(&completion)?;
        Ok(completion)
    }

    /// Whether a request is completed by now.
    pub(crate) fn is_done(&mut self, operation: Operation) -> bool {
        self.wait(operation, Duration::ZERO).is_some()
    }

    /// Waits for a request that must succeed.
    #[track_caller]
    pub(crate) fn succeeded(&mut self, operation: Operation) -> Check<Completion> {
        let completion = self.done(operation)?;
        expect(completion.status == STATUS_SUCCESS, "the request succeeds", completion.status)?;
        Ok(completion)
    }

    /// Waits for a request that must fail with one of `statuses`, and with `Information` 0.
    #[track_caller]
    pub(crate) fn failed(&mut self, operation: Operation, statuses: &[NTSTATUS]) -> Check<Completion> {
        let completion = self.done(operation)?;
        expect(
            statuses.contains(&completion.status),
            "the request fails with its status",
            completion.status,
        )?;
        expect(completion.information == 0, "a failure reports Information 0", completion.information)?;
        Ok(completion)
    }

    /// Makes a call that must succeed, with this `Information`.
    #[track_caller]
    pub(crate) fn succeeds(&mut self, call: &Call<'_>, information: usize) -> Check<Completion> {
        let operation = self.start(call)?;
        let completion = self.succeeded(operation)?;
        expect(
            completion.information == information,
            "Information is what the page says",
            completion.information,
        )?;
        Ok(completion)
    }

    /// Makes a call that must fail with one of `statuses`.
    #[track_caller]
    pub(crate) fn fails(&mut self, call: &Call<'_>, statuses: &[NTSTATUS]) -> Check<Completion> {
        let operation = self.start(call)?;
        self.failed(operation, statuses)
    }

    /// Makes a call that must fail, with any failure.
    #[track_caller]
    pub(crate) fn is_refused(&mut self, call: &Call<'_>) -> Check<Completion> {
        let operation = self.start(call)?;
        let completion = self.done(operation)?;
        expect(!nt_success(completion.status), "the request fails", completion.status)?;
        expect(completion.information == 0, "a failure reports Information 0", completion.information)?;
        Ok(completion)
    }

    /// Waits for a request that makes a socket.
    #[track_caller]
    pub(crate) fn made(&mut self, operation: Operation) -> Check<Socket> {
        let completion = self.succeeded(operation)?;
        match completion.socket {
            Some(socket) => Ok(socket),
            None => Err(Failure::new("Information is a socket", completion.information)),
        }
    }

    /// A new socket of a category.
    #[track_caller]
    pub(crate) fn socket(&mut self, family: u16, flags: u32) -> Check<Socket> {
        let operation = self.start(&tcp_socket(family, flags))?;
        self.made(operation)
    }

    /// A new IPv4 listening socket.
    #[track_caller]
    pub(crate) fn listen_socket(&mut self) -> Check<Socket> {
        self.socket(AF_INET, WSK_FLAG_LISTEN_SOCKET)
    }

    /// A new IPv4 connection socket.
    #[track_caller]
    pub(crate) fn connection_socket(&mut self) -> Check<Socket> {
        self.socket(AF_INET, WSK_FLAG_CONNECTION_SOCKET)
    }

    /// The IPv4 address with a port of the provider's choice.
    pub(crate) fn any_port(&self) -> SocketAddr {
        SocketAddr::new(self.ipv4(), 0)
    }

    /// The local address of a socket.
    #[track_caller]
    pub(crate) fn local_address(&mut self, socket: Socket) -> Check<SocketAddr> {
        let completion = self.succeeds(&local(socket), 0)?;
        match completion.address {
            Some(address) => Ok(address),
            None => Err(Failure::new("an address is written", completion.address)),
        }
    }

    /// The remote address of a socket.
    #[track_caller]
    pub(crate) fn remote_address(&mut self, socket: Socket) -> Check<SocketAddr> {
        let completion = self.succeeds(&remote(socket), 0)?;
        match completion.address {
            Some(address) => Ok(address),
            None => Err(Failure::new("an address is written", completion.address)),
        }
    }

    /// A listening socket that listens, and where.
    #[track_caller]
    pub(crate) fn listener(&mut self) -> Check<(Socket, SocketAddr)> {
        let socket = self.listen_socket()?;
        if let Some(port) = self.own_port() {
            let at = SocketAddr::new(self.ipv4(), port);
            self.succeeds(&bind(socket, at), 0)?;
            return Ok((socket, at));
        }
        let any = self.any_port();
        self.succeeds(&bind(socket, any), 0)?;
        Ok((socket, self.local_address(socket)?))
    }

    /// A connection socket that is bound.
    #[track_caller]
    pub(crate) fn bound(&mut self) -> Check<Socket> {
        let socket = self.connection_socket()?;
        let any = self.any_port();
        self.succeeds(&bind(socket, any), 0)?;
        Ok(socket)
    }

    /// Connects a new socket to a listening one, at `address`, and accepts it.
    #[track_caller]
    pub(crate) fn pair_over(&mut self, listener: Socket, address: SocketAddr) -> Check<Pair> {
        let near = self.bound()?;
        let accepting = self.start(&accept(listener))?;
        self.succeeds(&connect(near, address), 0)?;
        let far = self.made(accepting)?;
        Ok(Pair { listener, near, far })
    }

    /// A connected pair.
    #[track_caller]
    pub(crate) fn pair(&mut self) -> Check<Pair> {
        let (listener, address) = self.listener()?;
        self.pair_over(listener, address)
    }

    /// Closes sockets, one after the other.
    #[track_caller]
    pub(crate) fn close_all(&mut self, sockets: &[Socket]) -> Check {
        for socket in sockets {
            self.succeeds(&close(*socket), 0)?;
        }
        Ok(())
    }

    /// Closes both ends and the listening socket.
    #[track_caller]
    pub(crate) fn close_pair(&mut self, pair: Pair) -> Check {
        self.close_all(&[pair.near, pair.far, pair.listener])
    }

    /// Sends octets of the stream and waits until they are sent.
    #[track_caller]
    pub(crate) fn sends(&mut self, socket: Socket, position: u64, length: usize) -> Check {
        self.succeeds(&send(socket, data(&length, position)), length)?;
        Ok(())
    }

    /// Checks that a receive into one MDL ended with exactly these octets, and that nothing lies behind them.
    #[track_caller]
    pub(crate) fn received(&mut self, operation: Operation, position: u64, length: usize) -> Check {
        let completion = self.succeeded(operation)?;
        expect(
            completion.information == length,
            "Information is the octets received",
            completion.information,
        )?;
        self.holds(operation, 0, position, length)?;
        self.is_untouched(operation, length, 64)
    }

    /// Checks octets of a request's chain against the stream.
    #[track_caller]
    pub(crate) fn holds(&mut self, operation: Operation, from: usize, position: u64, length: usize) -> Check {
        let mut octets = [0; 256];
        let mut seen = 0usize;
        while seen < length {
            let step = octets.len().min(length.saturating_sub(seen));
            let part = octets.get_mut(..step).unwrap_or_default();
            self.read(operation, from.saturating_add(seen), part);
            let at = position.wrapping_add(seen as u64);
            if let Some(index) = pattern::first_difference(part, at) {
                let wrong = at.wrapping_add(index as u64);
                return Err(Failure::new("the octets are those of the stream", wrong));
            }
            seen = seen.saturating_add(step);
        }
        Ok(())
    }

    /// Checks that octets of a request's chain were not written.
    #[track_caller]
    pub(crate) fn is_untouched(&mut self, operation: Operation, from: usize, length: usize) -> Check {
        let mut octets = [0; 64];
        let mut seen = 0usize;
        while seen < length {
            let step = octets.len().min(length.saturating_sub(seen));
            let part = octets.get_mut(..step).unwrap_or_default();
            let at = from.saturating_add(seen);
            self.read(operation, at, part);
            if let Some(index) = part.iter().position(|&octet| octet != pattern::UNTOUCHED) {
                return Err(Failure::new("octets beside the data are not written", at.saturating_add(index)));
            }
            seen = seen.saturating_add(step);
        }
        Ok(())
    }

    /// Receives exactly these octets.
    #[track_caller]
    pub(crate) fn receives(&mut self, socket: Socket, position: u64, length: usize) -> Check {
        let operation = self.start(&receive(socket, room(&length), WSK_FLAG_WAITALL))?;
        self.received(operation, position, length)
    }

    /// The stream has ended in order: SUCCESS with 0 octets.
    #[track_caller]
    pub(crate) fn is_at_end(&mut self, socket: Socket) -> Check {
        self.succeeds(&receive(socket, room(&16), 0), 0)?;
        Ok(())
    }

    /// Waits for a request that must fail because its connection is lost. A receive may have octets all the same.
    #[track_caller]
    pub(crate) fn is_lost(&mut self, operation: Operation) -> Check {
        let completion = self.done(operation)?;
        expect(LOST.contains(&completion.status), "the request fails with the connection", completion.status)
    }

    /// Every function that takes an IRP of these sockets, with the socket replaced by `target`.
    #[track_caller]
    pub(crate) fn with_each_call(
        &mut self,
        listener: Socket,
        connection: Socket,
        target: fn(Socket) -> Target,
        mut f: impl FnMut(&mut Self, &Call<'_>) -> Check,
    ) -> Check {
        let address = self.any_port();
        let (listening, connecting) = (target(listener), target(connection));
        let length = 8;
        let (some, none) = (data(&length, 0), room(&length));
        let calls = [
            Call::Bind { on: listening, address: Some(address) },
            Call::Bind { on: connecting, address: Some(address) },
            Call::Accept { on: listening, addresses: true },
            Call::InspectComplete { on: listening, id: None, action: 1 },
            Call::Connect { on: connecting, address: Some(address) },
            Call::ConnectEx { on: connecting, address: Some(address), buffer: None, flags: 0 },
            Call::LocalAddress { on: listening },
            Call::LocalAddress { on: connecting },
            Call::RemoteAddress { on: connecting },
            Call::Send { on: connecting, buffer: Some(some), flags: 0 },
            Call::SendEx { on: connecting, buffer: some, flags: 0 },
            Call::Receive { on: connecting, buffer: Some(none), flags: 0 },
            Call::ReceiveEx { on: connecting, buffer: none, flags: 0 },
            Call::Disconnect { on: connecting, buffer: None, flags: 0 },
            Call::Close { on: listening },
            Call::Close { on: connecting },
        ];
        calls.iter().try_for_each(|call| f(self, call))
    }

    /// An IPv6 socket of a category, where the world has IPv6.
    #[track_caller]
    pub(crate) fn ipv6_socket(&mut self, flags: u32) -> Check<Socket> {
        self.socket(AF_INET6, flags)
    }
}
