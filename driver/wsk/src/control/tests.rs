//! Decisions that need no socket: stream sockets, streams that are the system's TCP, and clients with a system behind them.

use super::client;
use super::ioctl::Ioctl;
use super::option::Setting;
use super::socket::{Decision, Operation, Stage, Standing};
use super::{Answer, Brought, Input};
use crate::options::Options;
use abi::status::{
    STATUS_FILE_FORCED_CLOSED, STATUS_INVALID_DEVICE_REQUEST, STATUS_INVALID_DEVICE_STATE,
    STATUS_NOT_SUPPORTED,
};
use abi::wsk::*;
use abi::wskrdma::{WSKRDMA_PATH_NONE, WSKRDMA_PATH_RDMA, WSKRDMA_PATH_TCP};
use std::string::String;
use std::vec::Vec;

const SETTINGS: [Setting; 9] = [
    Setting::Broadcast,
    Setting::ConditionalAccept,
    Setting::Exclusive,
    Setting::Reuse,
    Setting::Keepalive,
    Setting::ReceiveBuffer,
    Setting::Security,
    Setting::EventCallback,
    Setting::NoDelay,
];
const IOCTLS: [Ioctl; 10] = [
    Ioctl::FixAddress,
    Ioctl::IdealSendBacklog,
    Ioctl::ReceiveBacklog,
    Ioctl::InspectId,
    Ioctl::RegisterExtension,
    Ioctl::SilentMode,
    Ioctl::ReceiveEx,
    Ioctl::KeepaliveValues,
    Ioctl::LoopbackFastPath,
    Ioctl::Path,
];

/// Input that is long enough for everything, and says nothing.
fn brought(npi: bool) -> Brought {
    static ZEROS: [u8; 32] = [0; 32];
    // SAFETY: readable for ever.
    let input = unsafe { Input::copy(ZEROS.as_ptr().cast(), ZEROS.len()) };
    Brought { input, npi: npi.then_some(NPI_WSK_INTERFACE_ID) }
}

fn decide(operation: Operation, category: u32, stage: Stage, path: u32) -> String {
    let standing = Standing { category, stage, path, static_events: 0, receive_buffer: 1 };
    let mut options = Options::NEW;
    match operation.under_lock(&standing, &mut options, &brought(true)) {
        Decision::Ask(_) => "asked".into(),
        Decision::Answer(Answer::Done(Ok(_))) => "done".into(),
        Decision::Answer(Answer::Done(Err(status))) => std::format!("{status:x}"),
        Decision::Answer(Answer::System) => "system".into(),
        Decision::Answer(Answer::Both(_)) => "both".into(),
        Decision::Answer(Answer::Events(_)) => "events".into(),
    }
}

fn operations() -> Vec<Operation> {
    let sets = SETTINGS.into_iter().map(Operation::Set);
    let gets = SETTINGS.into_iter().map(Operation::Get);
    sets.chain(gets).chain(IOCTLS.into_iter().map(Operation::Ioctl)).collect()
}

/// A stream socket has what a listening socket has and what a connection socket has.
#[test]
fn stream_sockets_have_both() {
    for operation in operations() {
        for stage in [Stage::Created, Stage::Bound, Stage::Connected] {
            let on = |category| decide(operation, category, stage, WSKRDMA_PATH_NONE);
            let missing = match operation {
                Operation::Ioctl(_) => std::format!("{STATUS_INVALID_DEVICE_REQUEST:x}"),
                _ => std::format!("{STATUS_NOT_SUPPORTED:x}"),
            };
            let (listen, connection) = (on(WSK_FLAG_LISTEN_SOCKET), on(WSK_FLAG_CONNECTION_SOCKET));
            let either = if listen == missing { connection } else { listen };
            assert_eq!(on(WSK_FLAG_STREAM_SOCKET), either, "{operation:?} {stage:?}");
        }
    }
}

/// Where the stream is the system's TCP the system answers what is about the transport; the rest stays as it is.
#[test]
fn tcp_answers_for_itself() {
    for operation in operations() {
        for category in [WSK_FLAG_LISTEN_SOCKET, WSK_FLAG_CONNECTION_SOCKET] {
            let rdma = decide(operation, category, Stage::Connected, WSKRDMA_PATH_RDMA);
            let tcp = decide(operation, category, Stage::Connected, WSKRDMA_PATH_TCP);
            let known = ![STATUS_NOT_SUPPORTED, STATUS_INVALID_DEVICE_REQUEST]
                .map(|status| std::format!("{status:x}"))
                .contains(&rdma);
            let transports = match operation {
                Operation::Get(_) => rdma == "done",
                Operation::Set(Setting::EventCallback) => known,
                Operation::Ioctl(
                    Ioctl::IdealSendBacklog | Ioctl::ReceiveBacklog | Ioctl::SilentMode | Ioctl::InspectId,
                ) => known,
                _ => false,
            };
            if transports {
                assert_eq!(tcp, "system", "{operation:?}");
            } else if !matches!(operation, Operation::Get(_)) {
                assert_eq!(tcp, rdma, "{operation:?}");
            }
        }
    }
}

/// What is set on a socket that may have one of the system's is told to that one, too.
#[test]
fn what_is_set_is_set_on_both() {
    for setting in SETTINGS {
        let answer =
            decide(Operation::Set(setting), WSK_FLAG_LISTEN_SOCKET, Stage::Created, WSKRDMA_PATH_NONE);
        let expected = match setting {
            Setting::EventCallback => "events".into(),
            Setting::Broadcast => std::format!("{STATUS_NOT_SUPPORTED:x}"),
            // The socket is asked first.
            Setting::ConditionalAccept => "asked".into(),
            _ => "both".into(),
        };
        assert_eq!(answer, expected, "{setting:?}");
    }
}

/// A socket that is dead or being closed has nothing any more.
#[test]
fn nothing_on_a_closing_socket() {
    for operation in operations() {
        for (stage, status) in
            [(Stage::Dead, STATUS_FILE_FORCED_CLOSED), (Stage::Closing, STATUS_INVALID_DEVICE_STATE)]
        {
            let answer = decide(operation, WSK_FLAG_CONNECTION_SOCKET, stage, WSKRDMA_PATH_RDMA);
            assert_eq!(answer, std::format!("{status:x}"), "{operation:?}");
        }
    }
}

/// With a system behind it a client is answered by that, but for events and for NDK adapters, which are of both.
#[test]
fn a_system_answers_for_its_clients() {
    let others = [
        WSK_TRANSPORT_LIST_QUERY,
        WSK_CACHE_SD,
        WSK_RELEASE_SD,
        WSK_TDI_DEVICENAME_MAPPING,
        WSK_TDI_BEHAVIOR,
        0,
        9,
        u32::MAX,
    ];
    for code in others {
        for has_sockets in [false, true] {
            let answer = client::decide(code, &brought(false), has_sockets);
            assert!(matches!(answer, client::Answer::System), "{code:#x}");
        }
    }
    let ndk = abi::ndk::WSKNDK_GET_WSK_PROVIDER_NDK_DISPATCH;
    let answer = client::decide(ndk, &brought(false), true);
    assert!(matches!(answer, client::Answer::NdkDispatch));
    // The octets of the mask are zero.
    let answer = client::decide(WSK_SET_STATIC_EVENT_CALLBACKS, &brought(true), false);
    assert!(matches!(answer, client::Answer::Done(_)));
}
