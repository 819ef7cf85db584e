//! Socket IOCTLs.

use super::socket::{Decision, Question, Stage, Standing};
use super::{Answer, Brought, Reply};
use crate::options::Options;
use abi::NTSTATUS;
use abi::status::{STATUS_INVALID_BUFFER_SIZE, STATUS_INVALID_DEVICE_STATE, STATUS_NOT_SUPPORTED};
use abi::wsk::{
    SIO_KEEPALIVE_VALS, SIO_LOOPBACK_FAST_PATH, SIO_WSK_QUERY_IDEAL_SEND_BACKLOG, SIO_WSK_QUERY_INSPECT_ID,
    SIO_WSK_QUERY_RECEIVE_BACKLOG, SIO_WSK_REGISTER_EXTENSION, SIO_WSK_SET_RECEIVE_EX_CALLBACK,
    SIO_WSK_SET_REMOTE_ADDRESS, SIO_WSK_SET_SENDTO_ADDRESS, SIO_WSK_SET_TCP_SILENT_MODE,
    WSK_EXTENSION_CONTROL_IN, WSK_FLAG_CONNECTION_SOCKET, WSK_FLAG_DATAGRAM_SOCKET, WSK_FLAG_LISTEN_SOCKET,
    WSK_FLAG_STREAM_SOCKET,
};
use abi::wskrdma::SIO_WSKRDMA_QUERY_PATH;

/// The IOCTLs that are decided here; all others are the system's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ioctl {
    /// SIO_WSK_SET_REMOTE_ADDRESS and SIO_WSK_SET_SENDTO_ADDRESS: for datagrams.
    FixAddress,
    /// SIO_WSK_QUERY_IDEAL_SEND_BACKLOG.
    IdealSendBacklog,
    /// SIO_WSK_QUERY_RECEIVE_BACKLOG.
    ReceiveBacklog,
    /// SIO_WSK_QUERY_INSPECT_ID.
    InspectId,
    /// SIO_WSK_REGISTER_EXTENSION.
    RegisterExtension,
    /// SIO_WSK_SET_TCP_SILENT_MODE.
    SilentMode,
    /// SIO_WSK_SET_RECEIVE_EX_CALLBACK.
    ReceiveEx,
    /// SIO_KEEPALIVE_VALS.
    KeepaliveValues,
    /// SIO_LOOPBACK_FAST_PATH.
    LoopbackFastPath,
    /// SIO_WSKRDMA_QUERY_PATH.
    Path,
}

impl Ioctl {
    pub(crate) const fn find(code: u32) -> Option<Self> {
        Some(match code {
            SIO_WSK_SET_REMOTE_ADDRESS | SIO_WSK_SET_SENDTO_ADDRESS => Self::FixAddress,
            SIO_WSK_QUERY_IDEAL_SEND_BACKLOG => Self::IdealSendBacklog,
            SIO_WSK_QUERY_RECEIVE_BACKLOG => Self::ReceiveBacklog,
            SIO_WSK_QUERY_INSPECT_ID => Self::InspectId,
            SIO_WSK_REGISTER_EXTENSION => Self::RegisterExtension,
            SIO_WSK_SET_TCP_SILENT_MODE => Self::SilentMode,
            SIO_WSK_SET_RECEIVE_EX_CALLBACK => Self::ReceiveEx,
            SIO_KEEPALIVE_VALS => Self::KeepaliveValues,
            SIO_LOOPBACK_FAST_PATH => Self::LoopbackFastPath,
            SIO_WSKRDMA_QUERY_PATH => Self::Path,
            _ => return None,
        })
    }

    pub(crate) const fn needs_irp(self) -> bool {
        match self {
            Self::FixAddress
            | Self::IdealSendBacklog
            | Self::ReceiveBacklog
            | Self::SilentMode
            | Self::LoopbackFastPath => true,
            Self::InspectId
            | Self::RegisterExtension
            | Self::ReceiveEx
            | Self::KeepaliveValues
            | Self::Path => false,
        }
    }

    /// The categories of socket that have it.
    pub(crate) const fn categories(self) -> u32 {
        let connections = WSK_FLAG_CONNECTION_SOCKET | WSK_FLAG_STREAM_SOCKET;
        match self {
            Self::FixAddress => WSK_FLAG_DATAGRAM_SOCKET,
            Self::IdealSendBacklog
            | Self::ReceiveBacklog
            | Self::InspectId
            | Self::SilentMode
            | Self::ReceiveEx => connections,
            Self::RegisterExtension | Self::KeepaliveValues | Self::LoopbackFastPath | Self::Path => {
                connections | WSK_FLAG_LISTEN_SOCKET
            }
        }
    }

    /// Whether it is about the transport: a socket whose stream is the system's TCP lets the system answer.
    pub(super) const fn is_the_transports(self) -> bool {
        matches!(self, Self::IdealSendBacklog | Self::ReceiveBacklog | Self::SilentMode | Self::InspectId)
    }

    pub(super) fn decide(
        self,
        standing: &Standing,
        options: &mut Options,
        brought: &Brought,
    ) -> Result<Decision, NTSTATUS> {
        let input = &brought.input;
        let question = match self {
            // No socket of this provider has it.
            Self::FixAddress => return Err(STATUS_NOT_SUPPORTED),
            Self::RegisterExtension => {
                input.get::<WSK_EXTENSION_CONTROL_IN>()?;
                // There is no extension interface, under whatever name.
                return Err(STATUS_NOT_SUPPORTED);
            }
            Self::KeepaliveValues => {
                let [on, time, interval] = input.get()?;
                options.keepalive = on != 0;
                options.keepalive_times = (on != 0).then_some((time, interval));
                return Ok(Answer::Both(Reply::EMPTY).into());
            }
            Self::LoopbackFastPath => {
                // A BOOLEAN; the user-mode page passes an int.
                let on = match input.get::<u32>() {
                    Ok(on) => on != 0,
                    Err(_) => input.get::<u8>().map_err(|_| STATUS_INVALID_BUFFER_SIZE)? != 0,
                };
                if standing.stage > Stage::Bound {
                    return Err(STATUS_INVALID_DEVICE_STATE);
                }
                options.loopback_fast_path = on;
                return Ok(Answer::Both(Reply::EMPTY).into());
            }
            // No octets, as well as NULL, clear it.
            Self::ReceiveEx if input.len() == 0 => Question::ReceiveEx(None),
            Self::ReceiveEx => Question::ReceiveEx(input.get()?),
            Self::IdealSendBacklog => Question::IdealSendBacklog,
            Self::ReceiveBacklog => Question::ReceiveBacklog,
            Self::InspectId => Question::InspectId,
            Self::SilentMode => Question::Silence,
            Self::Path => Question::Path,
        };
        Ok(Decision::Ask(question))
    }
}
