//! `WskControlSocket`: options and IOCTLs.

use abi::NTSTATUS;
use abi::nt::GUID;
use abi::status::{
    STATUS_BUFFER_TOO_SMALL, STATUS_INVALID_DEVICE_REQUEST, STATUS_INVALID_DEVICE_STATE,
    STATUS_INVALID_PARAMETER, STATUS_NOT_SUPPORTED, STATUS_REQUEST_NOT_ACCEPTED, STATUS_SUCCESS,
};
use abi::wsk::*;

use super::socket::{Category, Socket, State};
use super::world::World;

/// What a client asks for, its input copied.
pub(super) struct ControlCall {
    pub(super) request_type: WSK_CONTROL_SOCKET_TYPE,
    pub(super) code: u32,
    pub(super) level: u32,
    pub(super) input: Vec<u8>,
    /// Room for output, in bytes.
    pub(super) room: usize,
    /// There is an IRP.
    pub(super) has_irp: bool,
    /// There is a place for the size of the output.
    pub(super) has_size: bool,
}

/// What becomes of a control call.
pub(super) enum Controlled {
    /// It is over, with this output.
    Done(NTSTATUS, Vec<u8>),
    /// It is over; the output would be that long.
    TooSmall(NTSTATUS, usize),
    /// The list of addresses is to be written, whose pointers depend on where it goes.
    AddressList,
    /// It changes which callbacks are made.
    Events(u32),
    /// It ends when the addresses of the socket's family change.
    AddressWatch,
}

/// No output.
fn done(status: NTSTATUS) -> Controlled {
    Controlled::Done(status, Vec::new())
}

/// Whether `input` names the interface that WSK's own events belong to.
fn reads_wsk_events(input: &[u8]) -> Result<u32, NTSTATUS> {
    if input.len() < size_of::<WSK_EVENT_CALLBACK_CONTROL>() {
        return Err(STATUS_INVALID_PARAMETER);
    }
    // SAFETY: long enough, and plain data.
    let control = unsafe { input.as_ptr().cast::<WSK_EVENT_CALLBACK_CONTROL>().read_unaligned() };
    // SAFETY: a client's pointer, readable during the call.
    let Some(&npi) = (unsafe { control.NpiId.cast::<GUID>().as_ref() }) else {
        return Err(STATUS_INVALID_PARAMETER);
    };
    if npi == NPI_WSK_INTERFACE_ID { Ok(control.EventMask) } else { Err(STATUS_NOT_SUPPORTED) }
}

/// The mask of a `WSK_EVENT_CALLBACK_CONTROL` for WSK's own events.
///
/// # Errors
/// Too short, or somebody else's events.
pub(super) fn event_mask(input: &[u8]) -> Result<u32, NTSTATUS> {
    reads_wsk_events(input)
}

impl World {
    /// Does what a control call asks for.
    #[expect(non_upper_case_globals, reason = "names of wsk.h")]
    pub(super) fn control(&mut self, at: usize, call: &ControlCall) -> Controlled {
        match call.request_type {
            WskSetOption => self.set_option(at, call),
            WskGetOption => self.get_option(at, call),
            WskIoctl => self.ioctl(at, call),
            _ => done(STATUS_INVALID_PARAMETER),
        }
    }

    fn set_option(&mut self, at: usize, call: &ControlCall) -> Controlled {
        if (call.level, call.code) == (SOL_SOCKET, SO_WSK_EVENT_CALLBACK) {
            return match event_mask(&call.input) {
                Ok(mask) => Controlled::Events(mask),
                Err(status) => done(status),
            };
        }
        if !call.has_irp {
            return done(STATUS_REQUEST_NOT_ACCEPTED);
        }
        let Some(socket) = self.sockets.get_mut(&at) else { return done(STATUS_INVALID_PARAMETER) };
        if let Err(status) = may_set(socket, call) {
            return done(status);
        }
        if (call.level, call.code) == (SOL_SOCKET, SO_WSK_SECURITY) {
            let word = call.input.first_chunk().copied().unwrap_or_default();
            socket.descriptor = usize::from_le_bytes(word);
            return done(STATUS_SUCCESS);
        }
        socket.options.insert((call.level, call.code), call.input.clone());
        let end = socket.link.as_ref().map(|link| link.end);
        if let (Some(end), SOL_SOCKET, SO_RCVBUF) = (end, call.level, call.code) {
            self.transport.set_window(end, self.window_of(at));
        }
        done(STATUS_SUCCESS)
    }

    fn get_option(&mut self, at: usize, call: &ControlCall) -> Controlled {
        if !call.has_irp {
            return done(STATUS_REQUEST_NOT_ACCEPTED);
        }
        let window = u32::try_from(self.window_of(at)).unwrap_or(u32::MAX);
        let Some(socket) = self.sockets.get(&at) else { return done(STATUS_INVALID_PARAMETER) };
        let stored = socket.options.get(&(call.level, call.code)).cloned();
        let value = match (call.level, call.code) {
            (SOL_SOCKET, SO_RCVBUF) => window.to_le_bytes().to_vec(),
            (SOL_SOCKET, SO_WSK_SECURITY) => {
                let descriptor = socket.descriptor;
                self.keep_descriptor(descriptor);
                descriptor.to_le_bytes().to_vec()
            }
            (SOL_SOCKET, SO_WSK_EVENT_CALLBACK) => return done(STATUS_INVALID_PARAMETER),
            (
                SOL_SOCKET,
                SO_BROADCAST | SO_CONDITIONAL_ACCEPT | SO_EXCLUSIVEADDRUSE | SO_REUSEADDR | SO_KEEPALIVE,
            ) => stored.unwrap_or_else(|| vec![0; 4]),
            _ => match stored {
                Some(value) => value,
                None => return done(STATUS_NOT_SUPPORTED),
            },
        };
        if value.len() > call.room {
            return Controlled::TooSmall(STATUS_BUFFER_TOO_SMALL, value.len());
        }
        Controlled::Done(STATUS_SUCCESS, value)
    }

    fn ioctl(&mut self, at: usize, call: &ControlCall) -> Controlled {
        let requires_irp = !matches!(
            call.code,
            SIO_WSK_QUERY_INSPECT_ID
                | SIO_WSK_REGISTER_EXTENSION
                | SIO_ADDRESS_LIST_QUERY
                | SIO_WSK_SET_RECEIVE_EX_CALLBACK
        );
        if requires_irp && !call.has_irp {
            return done(STATUS_REQUEST_NOT_ACCEPTED);
        }
        match call.code {
            SIO_WSK_SET_REMOTE_ADDRESS | SIO_WSK_SET_SENDTO_ADDRESS => self.fix_address(at, call),
            SIO_WSK_QUERY_IDEAL_SEND_BACKLOG => {
                let ideal = self.config.ideal_send_backlog;
                self.word_of_connection(at, call, |_, _| ideal)
            }
            SIO_WSK_QUERY_RECEIVE_BACKLOG => {
                self.word_of_connection(at, call, |world, end| world.transport.readable(end))
            }
            SIO_WSK_QUERY_INSPECT_ID => self.query_inspect_id(at, call),
            SIO_WSK_SET_TCP_SILENT_MODE => self.set_silent(at),
            SIO_WSK_SET_RECEIVE_EX_CALLBACK => self.set_receive_ex(at, call),
            SIO_ADDRESS_LIST_QUERY if call.has_irp || call.has_size => Controlled::AddressList,
            SIO_ADDRESS_LIST_QUERY => done(STATUS_INVALID_PARAMETER),
            SIO_ADDRESS_LIST_CHANGE => Controlled::AddressWatch,
            SIO_LOOPBACK_FAST_PATH => self.set_fast_path(at, call),
            SIO_KEEPALIVE_VALS => self.set_keepalive_times(at, call),
            _ => done(STATUS_NOT_SUPPORTED),
        }
    }

    fn word_of_connection(
        &mut self,
        at: usize,
        call: &ControlCall,
        word: impl FnOnce(&Self, usize) -> usize,
    ) -> Controlled {
        let end = match self.link(at) {
            Ok(link) => link.end,
            Err(status) => return done(status),
        };
        if call.room < size_of::<usize>() {
            return Controlled::TooSmall(STATUS_BUFFER_TOO_SMALL, size_of::<usize>());
        }
        Controlled::Done(STATUS_SUCCESS, word(self, end).to_le_bytes().to_vec())
    }

    fn query_inspect_id(&self, at: usize, call: &ControlCall) -> Controlled {
        let id = self.sockets.get(&at).and_then(|socket| socket.inspected);
        let Some(id) = id else { return done(STATUS_INVALID_DEVICE_REQUEST) };
        if call.room < size_of::<WSK_INSPECT_ID>() {
            return Controlled::TooSmall(STATUS_BUFFER_TOO_SMALL, size_of::<WSK_INSPECT_ID>());
        }
        let mut bytes = id.Key.to_le_bytes().to_vec();
        bytes.extend(id.SerialNumber.to_le_bytes());
        bytes.resize(size_of::<WSK_INSPECT_ID>(), 0);
        Controlled::Done(STATUS_SUCCESS, bytes)
    }

    fn set_silent(&mut self, at: usize) -> Controlled {
        let link = match self.link(at) {
            Ok(link) => link,
            Err(status) => return done(status),
        };
        if link.disconnecting || link.broken.is_some() || !link.sends.is_empty() {
            return done(STATUS_INVALID_DEVICE_STATE);
        }
        link.silent = true;
        self.progress(at);
        done(STATUS_SUCCESS)
    }

    /// The function comes by value in the buffer's eight bytes; no bytes, or zero, turn it off.
    fn set_receive_ex(&mut self, at: usize, call: &ControlCall) -> Controlled {
        let Some(socket) = self.sockets.get_mut(&at) else { return done(STATUS_INVALID_PARAMETER) };
        if !matches!(socket.category, Category::Connection | Category::Stream) {
            return done(STATUS_INVALID_DEVICE_REQUEST);
        }
        if !call.input.is_empty() && call.input.len() < size_of::<usize>() {
            return done(STATUS_INVALID_PARAMETER);
        }
        let word = usize::from_le_bytes(call.input.first_chunk().copied().unwrap_or_default());
        let function = std::ptr::with_exposed_provenance::<()>(word);
        // SAFETY: NULL is `None`, and anything else is what the client says is such a function.
        let function =
            unsafe { std::mem::transmute::<*const (), Option<PFN_WSK_RECEIVE_EX_EVENT>>(function) };
        socket.events.receive_ex = function;
        self.touch(at);
        done(STATUS_SUCCESS)
    }

    /// The times themselves do not matter here, only that they are on.
    fn set_keepalive_times(&mut self, at: usize, call: &ControlCall) -> Controlled {
        let (Some(socket), Some([on, ..])) = (self.sockets.get_mut(&at), call.input.first_chunk::<12>())
        else {
            return done(STATUS_INVALID_PARAMETER);
        };
        let on = u32::from(*on != 0).to_ne_bytes();
        socket.options.insert((SOL_SOCKET, SO_KEEPALIVE), on.to_vec());
        done(STATUS_SUCCESS)
    }

    fn set_fast_path(&mut self, at: usize, call: &ControlCall) -> Controlled {
        let Some(socket) = self.sockets.get_mut(&at) else { return done(STATUS_INVALID_PARAMETER) };
        if socket.kind.socket_type != SOCK_STREAM || socket.state == State::Connected {
            return done(STATUS_NOT_SUPPORTED);
        }
        if call.input.is_empty() {
            return done(abi::status::STATUS_INVALID_BUFFER_SIZE);
        }
        done(STATUS_SUCCESS)
    }
}

/// Whether an option can be set on a socket now.
///
/// # Errors
/// Another kind of socket, too late, or too short.
fn may_set(socket: &Socket, call: &ControlCall) -> Result<(), NTSTATUS> {
    use Category::{Basic, Connection, Datagram, Listen, Stream};
    if call.level != SOL_SOCKET {
        return Ok(());
    }
    let (categories, before_bind, bytes): (&[Category], bool, usize) = match call.code {
        SO_BROADCAST => (&[Datagram], false, 4),
        SO_CONDITIONAL_ACCEPT => (&[Listen, Stream], true, 4),
        SO_EXCLUSIVEADDRUSE | SO_REUSEADDR => (&[Listen, Datagram, Connection, Stream], true, 4),
        SO_KEEPALIVE => (&[Listen, Connection, Stream], false, 4),
        SO_RCVBUF => (&[Listen, Datagram, Connection, Stream], false, 4),
        SO_WSK_SECURITY => (&[Listen, Datagram, Connection, Stream], true, 8),
        _ => (&[Basic, Listen, Datagram, Connection, Stream], false, 0),
    };
    if !categories.contains(&socket.category) {
        return Err(STATUS_NOT_SUPPORTED);
    }
    if before_bind && socket.state != State::Created {
        return Err(STATUS_INVALID_DEVICE_STATE);
    }
    if call.input.len() < bytes {
        return Err(STATUS_INVALID_PARAMETER);
    }
    Ok(())
}
