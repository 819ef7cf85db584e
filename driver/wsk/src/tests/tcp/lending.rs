//! What only the system knows, on a connection over RDMA that has no socket of the system's.

use std::boxed::Box;
use std::vec::Vec;

use abi::NTSTATUS;
use abi::nt::DISPATCH_LEVEL;
use abi::status::*;
use abi::wsk::*;
use ksim::client::TestIrp;
use ksim::wsk::{Answers, Function, calls, fail_next};
use softndk::AnswerMode;

use super::super::control::{Form, basic};
use super::super::crank::Crank;
use super::super::harness::{Connection, ListenSocket, request};
use super::super::listening::client::talk;
use super::stage::*;

const PORT: u16 = 45_000;
/// An option that this driver does not know and the simulated system keeps.
const OPTION: (u32, u32) = (SO_SNDBUF, SOL_SOCKET);

/// A connection over RDMA, its accepting end first.
struct Pair {
    accepted: Connection,
    peer: Connection,
    listener: ListenSocket,
}

impl Pair {
    fn new(stage: &Stage) -> Self {
        let listener = stage.world.listen(PORT);
        let peer = stage.world.connection();
        assert_eq!(peer.connect(PORT).wait().status, STATUS_SUCCESS);
        let accepted = Connection::from_accept(listener.accept().wait().information);
        Self { accepted, peer, listener }
    }

    fn close(self) {
        self.accepted.close();
        self.peer.close();
        self.listener.close();
    }
}

fn set(socket: &Connection, value: u32) -> NTSTATUS {
    let value = value.to_le_bytes();
    let form = Form { returned: false, ..Form::new(&value, 0) };
    form.control(socket.raw(), (WskSetOption, OPTION.0, OPTION.1)).status
}

/// The option, asked for at a level.
fn get(socket: &Connection, level: u8) -> Result<Vec<u8>, NTSTATUS> {
    let form = Form { level, returned: false, ..Form::new(&[], 4) };
    let answered = form.control(socket.raw(), (WskGetOption, OPTION.0, OPTION.1));
    if answered.status == STATUS_SUCCESS { Ok(answered.output) } else { Err(answered.status) }
}

/// The first request makes the system's socket, further ones find it, and it goes with the connection.
#[test]
fn an_accepted_socket_asks_the_system() {
    for ways in WAYS {
        let stage = Stage::answering(&[], ways);
        let pair = Pair::new(&stage);
        let before = (system_sockets(), calls(Function::WskSocket));
        assert_eq!(set(&pair.accepted, 4711), STATUS_SUCCESS);
        assert_eq!((system_sockets(), calls(Function::WskSocket)), (before.0 + 1, before.1 + 1));
        for level in [0, DISPATCH_LEVEL] {
            assert_eq!(get(&pair.accepted, level), Ok(4711_u32.to_le_bytes().to_vec()));
        }
        assert_eq!(calls(Function::WskSocket), before.1 + 1);
        // The stream is where it was.
        talk(&pair.accepted, &pair.peer);
        pair.close();
        assert_eq!(system_sockets(), 0);
        stage.finish();
    }
}

/// So does a socket that the policy keeps from TCP, in every state.
#[test]
fn a_socket_without_tcp_asks_the_system() {
    for ways in WAYS {
        let stage = Stage::answering(&["require any any"], ways);
        let made = begin_socket(
            stage.world.npi(),
            WSK_FLAG_CONNECTION_SOCKET,
            core::ptr::null_mut(),
            core::ptr::null(),
        );
        let new = Connection::from_accept(made.wait().information);
        let pair = Pair::new(&stage);
        for socket in [&new, &pair.peer, &pair.accepted] {
            assert_eq!(set(socket, 5), STATUS_SUCCESS);
        }
        assert_eq!(system_sockets(), 3);
        new.close();
        pair.close();
        stage.finish();
    }
}

/// What is set before reaches the system's socket when it is made.
#[test]
fn options_reach_a_socket_that_comes_later() {
    let stage = Stage::new(&[]);
    for (with, expected) in [(false, 1), (true, 4)] {
        let pair = Pair::new(&stage);
        if with {
            let control = |input: &[u8], what| {
                let form = Form { returned: false, ..Form::new(input, 0) };
                assert_eq!(form.control(pair.accepted.raw(), what).status, STATUS_SUCCESS);
            };
            control(&[1, 0, 0, 0], (WskSetOption, TCP_NODELAY, IPPROTO_TCP));
            // SO_KEEPALIVE too.
            control(&[1, 0, 0, 0, 9, 0, 0, 0, 8, 0, 0, 0], (WskIoctl, SIO_KEEPALIVE_VALS, 0));
        }
        let before = calls(Function::WskControlSocket);
        assert_eq!(set(&pair.accepted, 1), STATUS_SUCCESS);
        assert_eq!(calls(Function::WskControlSocket) - before, expected);
        pair.close();
    }
    stage.finish();
}

/// Without an IRP nobody could be told later; and a system that makes no socket says so.
#[test]
fn the_system_cannot_be_asked() {
    let stage = Stage::new(&[]);
    let pair = Pair::new(&stage);
    let before = system_sockets();
    let form = Form { returned: false, ..Form::new(&[1; 4], 0).without_irp() };
    let answered = form.control(pair.accepted.raw(), (WskSetOption, OPTION.0, OPTION.1));
    assert_eq!(answered.status, STATUS_NOT_SUPPORTED);
    fail_next(Function::WskSocket, STATUS_INSUFFICIENT_RESOURCES);
    assert_eq!(set(&pair.accepted, 1), STATUS_INSUFFICIENT_RESOURCES);
    assert_eq!(system_sockets(), before);
    // The next one tries again.
    assert_eq!(set(&pair.accepted, 1), STATUS_SUCCESS);
    pair.close();
    stage.finish();
}

/// A request that waits is cancelled, or its socket closed, at every moment; a second one goes its own way.
#[test]
fn a_request_that_waits() {
    for answers in [Answers::Inline, Answers::Later] {
        for close in [false, true] {
            let stage = Stage::answering(&[], (AnswerMode::Inline, answers));
            let mut beyond = 0;
            for steps in 0..24 {
                beyond += u32::from(one_play(&stage, close, steps));
            }
            assert!(beyond > 3, "it has no end");
            stage.finish();
        }
    }
}

/// Whether the requests were over before anything happened.
fn one_play(stage: &Stage, close: bool, steps: usize) -> bool {
    let pair = Pair::new(stage);
    let value = Box::new(7_u32.to_le_bytes());
    let begin = || -> TestIrp {
        let (input, null) = (value.as_ptr().cast_mut().cast(), core::ptr::null_mut());
        let socket = pair.accepted.raw();
        request(|irp| {
            // SAFETY: a call as its page says; the value lives as long as the requests.
            unsafe {
                (basic(socket).WskControlSocket)(
                    socket,
                    WskSetOption,
                    OPTION.0,
                    OPTION.1,
                    4,
                    input,
                    0,
                    null,
                    core::ptr::null_mut(),
                    irp,
                )
            }
        })
    };
    let mut crank = Crank::hold();
    let requests = [begin(), begin()];
    for _ in 0..steps {
        crank.step();
    }
    let over = requests.iter().all(|irp| irp.completion().is_some());
    let closing = if close {
        Some(pair.accepted.alias().start_close())
    } else {
        requests[0].cancel();
        None
    };
    drop(crank);
    let ends = requests.each_ref().map(|irp| irp.wait().status);
    assert!(requests.iter().all(|irp| irp.completions() == 1));
    for status in ends {
        assert!(matches!(status, STATUS_SUCCESS | STATUS_CANCELLED), "{close} {steps}: {status:#x}");
    }
    assert!(close || ends[1] == STATUS_SUCCESS, "nobody has cancelled it");
    assert!(!over || ends == [STATUS_SUCCESS; 2]);
    if let Some(closing) = closing {
        assert_eq!(closing.wait().status, STATUS_SUCCESS);
        pair.peer.close();
        pair.listener.close();
    } else {
        pair.close();
    }
    assert_eq!(system_sockets(), 0, "{close} {steps}");
    over
}
