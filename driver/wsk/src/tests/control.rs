//! WskControlSocket: every operation on every category of socket in every state, with and without an IRP, at both levels,
//! with every size.

use core::ffi::c_void;
use core::ptr;
use std::vec::Vec;

use abi::NTSTATUS;
use abi::nt::{DISPATCH_LEVEL, PASSIVE_LEVEL};
use abi::status::*;
use abi::wsk::*;
use abi::wskrdma::*;
use ksim::client::TestIrp;

pub(super) use super::form::*;
use super::harness::{Connection, ListenSocket, World, request};
use crate::Settings;

const PORT: u16 = 9100;

/// A socket as a test needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    ListenNew,
    Listening,
    New,
    Bound,
    Connected,
    Accepted,
}
pub(super) use Kind::*;

pub(super) const ALL: &[Kind] = &[ListenNew, Listening, New, Bound, Connected, Accepted];
pub(super) const LISTEN: &[Kind] = &[ListenNew, Listening];
pub(super) const CONNECTION: &[Kind] = &[New, Bound, Connected, Accepted];
pub(super) const NOT_BOUND: &[Kind] = &[ListenNew, New];
pub(super) const STREAM: &[Kind] = &[Connected, Accepted];
pub(super) const NONE: &[Kind] = &[];

/// One operation, as "WSK Socket Options", "WSK Socket IOCTL Operations" and `wsk.h` have it.
struct Row {
    what: (WSK_CONTROL_SOCKET_TYPE, u32, u32),
    /// Octets it needs, and those it writes.
    input: usize,
    output: usize,
    irp: bool,
    /// Which sockets have it at all, and the answer of the others.
    on: &'static [Kind],
    elsewhere: NTSTATUS,
    /// Among those, the ones in the right state, and the answer of the others.
    when: &'static [Kind],
    otherwise: NTSTATUS,
    /// How it ends when everything is right.
    end: NTSTATUS,
    /// What a short input is told.
    short: NTSTATUS,
}

const fn set(code: u32, size: usize) -> Row {
    Row {
        what: (WskSetOption, code, SOL_SOCKET),
        input: size,
        output: 0,
        irp: true,
        on: ALL,
        elsewhere: STATUS_NOT_SUPPORTED,
        when: ALL,
        otherwise: STATUS_INVALID_DEVICE_STATE,
        end: STATUS_SUCCESS,
        short: STATUS_INVALID_PARAMETER,
    }
}

const fn get(code: u32, size: usize) -> Row {
    Row { what: (WskGetOption, code, SOL_SOCKET), input: 0, output: size, ..set(code, 0) }
}

const fn ioctl(code: u32, input: usize, output: usize, irp: bool) -> Row {
    Row {
        what: (WskIoctl, code, SOL_SOCKET),
        input,
        output,
        irp,
        elsewhere: STATUS_INVALID_DEVICE_REQUEST,
        ..set(code, 0)
    }
}

const fn unsupported(row: Row) -> Row {
    Row { end: STATUS_NOT_SUPPORTED, ..row }
}

/// All of them but SO_WSK_EVENT_CALLBACK.
fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for code in [SO_EXCLUSIVEADDRUSE, SO_REUSEADDR] {
        rows.push(Row { when: NOT_BOUND, ..set(code, 4) });
        rows.push(get(code, 4));
    }
    rows.push(Row { on: LISTEN, when: &[ListenNew], ..set(SO_CONDITIONAL_ACCEPT, 4) });
    rows.push(Row { on: LISTEN, ..get(SO_CONDITIONAL_ACCEPT, 4) });
    for code in [SO_KEEPALIVE, SO_RCVBUF] {
        rows.extend([set(code, 4), get(code, 4)]);
    }
    rows.push(Row { when: NOT_BOUND, ..set(SO_WSK_SECURITY, 8) });
    // The system counts these references, and there is no system.
    rows.push(unsupported(get(SO_WSK_SECURITY, 0)));
    rows.push(Row { on: NONE, ..set(SO_BROADCAST, 4) });
    rows.push(Row { on: NONE, ..get(SO_BROADCAST, 4) });
    let nodelay = (IPPROTO_TCP, TCP_NODELAY);
    rows.push(Row { what: (WskSetOption, nodelay.1, nodelay.0), irp: false, ..set(0, 4) });
    rows.push(Row { what: (WskGetOption, nodelay.1, nodelay.0), irp: false, ..get(0, 4) });
    rows.push(unsupported(Row { irp: false, ..get(SO_WSK_EVENT_CALLBACK, 0) }));
    for code in [SIO_WSK_SET_REMOTE_ADDRESS, SIO_WSK_SET_SENDTO_ADDRESS] {
        rows.push(Row { on: NONE, ..ioctl(code, 0, 0, true) });
    }
    for code in [SIO_WSK_QUERY_IDEAL_SEND_BACKLOG, SIO_WSK_QUERY_RECEIVE_BACKLOG] {
        rows.push(Row { on: CONNECTION, when: STREAM, ..ioctl(code, 0, 8, true) });
    }
    rows.push(Row { on: NONE, ..ioctl(SIO_WSK_QUERY_INSPECT_ID, 0, 16, false) });
    rows.push(unsupported(ioctl(SIO_WSK_REGISTER_EXTENSION, 24, 0, false)));
    rows.push(ioctl(SIO_KEEPALIVE_VALS, 12, 0, false));
    rows.push(Row {
        when: &[ListenNew, Listening, New, Bound],
        short: STATUS_INVALID_BUFFER_SIZE,
        ..ioctl(SIO_LOOPBACK_FAST_PATH, 1, 0, true)
    });
    rows.push(ioctl(SIO_WSKRDMA_QUERY_PATH, 0, 20, false));
    // What only the system knows.
    for code in [
        SIO_ADDRESS_LIST_QUERY,
        SIO_ADDRESS_LIST_CHANGE,
        SIO_ADDRESS_LIST_SORT,
        SIO_QUERY_WFP_CONNECTION_REDIRECT_RECORDS,
        SIO_QUERY_RSS_SCALABILITY_INFO,
        SIO_TCP_INFO,
        0xDEAD_BEEF,
    ] {
        rows.push(unsupported(ioctl(code, 0, 0, false)));
    }
    for code in [SO_SNDBUF, SO_LINGER, SO_TYPE, 0xFFFF] {
        rows.push(unsupported(Row { irp: false, ..set(code, 0) }));
        rows.push(unsupported(Row { irp: false, ..get(code, 0) }));
    }
    rows
}

impl Row {
    /// What this form of it has to be answered on a socket of this kind.
    fn expected(&self, kind: Kind, form: &Form<'_>) -> NTSTATUS {
        let system = self.end == STATUS_NOT_SUPPORTED;
        if !form.irp && self.irp {
            return STATUS_REQUEST_NOT_ACCEPTED;
        }
        if self.what.1 == SIO_WSK_QUERY_INSPECT_ID && !form.irp && !form.returned {
            return STATUS_INVALID_PARAMETER;
        }
        if !self.on.contains(&kind) {
            return self.elsewhere;
        }
        let input = if form.input.is_some() { form.input_size } else { 0 };
        if input < self.input {
            return self.short;
        }
        if !self.when.contains(&kind) {
            return self.otherwise;
        }
        if system {
            return STATUS_NOT_SUPPORTED;
        }
        if form.output_size < self.output {
            return STATUS_BUFFER_TOO_SMALL;
        }
        if self.output != 0 && !form.output {
            return STATUS_INVALID_PARAMETER;
        }
        self.end
    }

    fn check(&self, socket: *mut WSK_SOCKET, kind: Kind, form: &Form<'_>) {
        let answered = form.control(socket, self.what);
        let expected = self.expected(kind, form);
        let (request, code, _) = self.what;
        assert_eq!(
            answered.status, expected,
            "{request} {code:#x} on {kind:?}, {form:?}: {:#x} instead of {expected:#x}",
            answered.status
        );
        if expected == STATUS_SUCCESS {
            for size in answered.information.into_iter().chain(answered.returned) {
                assert_eq!(size, self.output, "{request} {code:#x} on {kind:?}, {form:?}");
            }
        }
    }
}

/// One socket of each kind.
pub(super) struct Sockets {
    pub(super) world: World,
    pub(super) listen_new: ListenSocket,
    pub(super) listening: ListenSocket,
    pub(super) new: Connection,
    pub(super) bound: Connection,
    pub(super) connected: Connection,
    pub(super) accepted: Connection,
}

impl Sockets {
    pub(super) fn new() -> Self {
        let world = World::without_system_controls();
        let listen_new = ListenSocket::from_raw(world.socket(WSK_FLAG_LISTEN_SOCKET));
        let listening = world.listen(PORT);
        let new = Connection::from_accept(world.socket(WSK_FLAG_CONNECTION_SOCKET).expose_provenance());
        let (bound, connected) = (world.connection(), world.connection());
        let accepting = listening.accept();
        assert_eq!(connected.connect(PORT).wait().status, STATUS_SUCCESS);
        let accepted = Connection::from_accept(accepting.wait().information);
        Self { world, listen_new, listening, new, bound, connected, accepted }
    }

    pub(super) fn raw(&self, kind: Kind) -> *mut WSK_SOCKET {
        match kind {
            ListenNew => self.listen_new.raw(),
            Listening => self.listening.raw(),
            New => self.new.raw(),
            Bound => self.bound.raw(),
            Connected => self.connected.raw(),
            Accepted => self.accepted.raw(),
        }
    }

    pub(super) fn finish(self) {
        self.listen_new.close();
        self.listening.close();
        for socket in [self.new, self.bound, self.connected, self.accepted] {
            socket.close();
        }
        self.world.finish();
    }
}

/// Every operation, on every socket, with every size from 0 to the needed and 8 more, at both levels.
#[test]
fn every_operation_in_every_form() {
    let sockets = Sockets::new();
    let octets = [0; 64];
    for row in rows() {
        for kind in ALL {
            let socket = sockets.raw(*kind);
            for irp in [true, false] {
                for returned in [true, false] {
                    for level in [PASSIVE_LEVEL, DISPATCH_LEVEL] {
                        let right =
                            Form { irp, returned, level, ..Form::new(&octets[..row.input], row.output) };
                        row.check(socket, *kind, &right);
                        row.check(socket, *kind, &Form { input: None, ..right });
                        row.check(socket, *kind, &Form { output: false, ..right });
                        for size in 0..=row.input + 8 {
                            let form = Form { input: Some(&octets[..size]), input_size: size, ..right };
                            row.check(socket, *kind, &form);
                        }
                        for output_size in 0..=row.output + 8 {
                            row.check(socket, *kind, &Form { output_size, ..right });
                        }
                    }
                }
            }
        }
    }
    sockets.finish();
}

/// The level tells options apart, and does not count for IOCTLs.
#[test]
fn levels() {
    let sockets = Sockets::new();
    for kind in ALL {
        let socket = sockets.raw(*kind);
        for level in [0, IPPROTO_TCP, IPPROTO_IPV6, 0x1_FFFF, u32::MAX] {
            for request in [WskSetOption, WskGetOption] {
                let answered = Form::new(&[1; 4], 4).control(socket, (request, SO_KEEPALIVE, level));
                assert_eq!(answered.status, STATUS_NOT_SUPPORTED, "{kind:?} {level:#x}");
            }
            let form = Form::new(&[], 20).without_irp();
            assert_eq!(
                form.control(socket, (WskIoctl, SIO_WSKRDMA_QUERY_PATH, level)).status,
                STATUS_SUCCESS
            );
        }
    }
    sockets.finish();
}

/// No other types of request exist, whatever the rest of the request is.
#[test]
fn other_types_of_request() {
    let sockets = Sockets::new();
    for kind in ALL {
        for request in [-1, WskControlMax, 4, i32::MAX, i32::MIN] {
            for code in [SO_KEEPALIVE, SIO_WSKRDMA_QUERY_PATH, 0] {
                for irp in [true, false] {
                    let form = Form { irp, ..Form::new(&[0; 32], 32) };
                    let answered = form.control(sockets.raw(*kind), (request, code, SOL_SOCKET));
                    assert_eq!(answered.status, STATUS_INVALID_PARAMETER, "{kind:?} {request} {code:#x}");
                }
            }
        }
    }
    sockets.finish();
}

/// Without a socket: INVALID_HANDLE, and the IRP is completed unmarked before the call returns.
#[test]
fn no_socket() {
    let sockets = Sockets::new();
    for kind in [Listening, Connected] {
        let basic = basic(sockets.raw(kind));
        let call = |irp| {
            let null = ptr::null_mut::<c_void>();
            // SAFETY: NULL is what is tested.
            unsafe {
                (basic.WskControlSocket)(
                    null.cast(),
                    WskGetOption,
                    SO_KEEPALIVE,
                    SOL_SOCKET,
                    0,
                    null,
                    0,
                    null,
                    ptr::null_mut(),
                    irp,
                )
            }
        };
        let irp = TestIrp::new();
        assert_eq!(call(irp.submit()), STATUS_INVALID_HANDLE);
        let end = irp.completion().unwrap();
        assert_eq!((end.status, end.pending_returned), (STATUS_INVALID_HANDLE, false));
        assert_eq!(call(ptr::null_mut()), STATUS_INVALID_HANDLE);
    }
    sockets.finish();
}

/// Whatever is asked, the IRP law holds: [`Form::make`] checks it. And the sockets still work.
#[test]
fn random_requests() {
    let sockets = Sockets::new();
    let rows = rows();
    let mut numbers = Numbers(0x5752);
    // The silent mode is left out: the sockets are to work afterwards.
    let silent = SIO_WSK_SET_TCP_SILENT_MODE;
    for _ in 0..20_000 {
        let kind = ALL[numbers.below(ALL.len())];
        let mut what = rows[numbers.below(rows.len())].what;
        match numbers.below(8) {
            0 => what.0 = numbers.below(5) as i32 - 1,
            1 => what.1 = numbers.next() as u32,
            2 => what.2 = numbers.next() as u32,
            _ => {}
        }
        if what.1 == silent || (what.0 == WskSetOption && what.1 == SO_WSK_EVENT_CALLBACK) {
            continue;
        }
        // Random octets are no pointers: operations with an identifier get NULL.
        let octets: Vec<u8> = if what.1 == SIO_WSK_REGISTER_EXTENSION {
            std::vec![0; 40]
        } else {
            (0..40).map(|_| numbers.next() as u8).collect()
        };
        let size = numbers.below(41);
        let form = Form {
            input: (numbers.below(8) != 0).then_some(&octets[..size]),
            input_size: size,
            output_size: numbers.below(41),
            output: numbers.below(8) != 0,
            returned: numbers.below(2) != 0,
            irp: numbers.below(2) != 0,
            level: if numbers.below(2) == 0 { PASSIVE_LEVEL } else { DISPATCH_LEVEL },
        };
        if what.0 == WskIoctl && what.1 == SIO_WSK_SET_RECEIVE_EX_CALLBACK {
            continue;
        }
        form.control(sockets.raw(kind), what);
    }
    assert_eq!(sockets.connected.send(b"still here").wait().status, STATUS_SUCCESS);
    assert_eq!(sockets.accepted.receive(10).wait().information, 10);
    sockets.finish();
}

/// A completion routine may close the socket whose request it hears of: the close comes last.
#[test]
fn closed_from_the_completion_routine() {
    let world = World::new(Settings::DEFAULT);
    let socket = world.socket(WSK_FLAG_CONNECTION_SOCKET);
    let basic = basic(socket);
    let address = socket.expose_provenance();
    let (told, tells) = std::sync::mpsc::channel();
    let irp = TestIrp::new().with_hook(move |_| {
        let close = basic.WskCloseSocket;
        let socket = ptr::with_exposed_provenance_mut(address);
        // SAFETY: a call as its page says, the last one on the socket.
        told.send(request(|irp| unsafe { close(socket, irp) })).unwrap();
    });
    let mut on = 1u32;
    let input = (&raw mut on).cast();
    let (size, code) = (size_of::<u32>(), SO_KEEPALIVE);
    let null = ptr::null_mut();
    // SAFETY: a call as its page says.
    let status = unsafe {
        (basic.WskControlSocket)(
            socket,
            WskSetOption,
            code,
            SOL_SOCKET,
            size,
            input,
            0,
            null,
            ptr::null_mut(),
            irp.submit(),
        )
    };
    irp.assert_pending(status);
    assert_eq!(irp.wait().status, STATUS_SUCCESS);
    assert_eq!(tells.recv().unwrap().wait().status, STATUS_SUCCESS);
    drop(irp);
    world.finish();
}
