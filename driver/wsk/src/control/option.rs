//! Socket options.

use super::socket::{Decision, Question, Stage, Standing};
use super::{Answer, Brought, Reply};
use crate::options::Options;
use abi::NTSTATUS;
use abi::status::{STATUS_INVALID_DEVICE_STATE, STATUS_INVALID_PARAMETER, STATUS_NOT_SUPPORTED};
use abi::wsk::{
    IPPROTO_TCP, SO_BROADCAST, SO_CONDITIONAL_ACCEPT, SO_EXCLUSIVEADDRUSE, SO_KEEPALIVE, SO_RCVBUF,
    SO_REUSEADDR, SO_WSK_EVENT_CALLBACK, SO_WSK_SECURITY, SOL_SOCKET, TCP_NODELAY,
    WSK_EVENT_CALLBACK_CONTROL, WSK_EVENT_DISABLE, WSK_FLAG_CONNECTION_SOCKET, WSK_FLAG_DATAGRAM_SOCKET,
    WSK_FLAG_LISTEN_SOCKET, WSK_FLAG_STREAM_SOCKET,
};
use abi::wskrdma::WSKRDMA_PATH_TCP;
use core::ffi::c_void;

/// The options that are decided here; all others are the system's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Setting {
    /// SO_BROADCAST.
    Broadcast,
    /// SO_CONDITIONAL_ACCEPT.
    ConditionalAccept,
    /// SO_EXCLUSIVEADDRUSE.
    Exclusive,
    /// SO_REUSEADDR.
    Reuse,
    /// SO_KEEPALIVE.
    Keepalive,
    /// SO_RCVBUF.
    ReceiveBuffer,
    /// SO_WSK_SECURITY.
    Security,
    /// SO_WSK_EVENT_CALLBACK.
    EventCallback,
    /// TCP_NODELAY.
    NoDelay,
}

impl Setting {
    pub(crate) const fn find(level: u32, code: u32) -> Option<Self> {
        Some(match (level, code) {
            (SOL_SOCKET, SO_BROADCAST) => Self::Broadcast,
            (SOL_SOCKET, SO_CONDITIONAL_ACCEPT) => Self::ConditionalAccept,
            (SOL_SOCKET, SO_EXCLUSIVEADDRUSE) => Self::Exclusive,
            (SOL_SOCKET, SO_REUSEADDR) => Self::Reuse,
            (SOL_SOCKET, SO_KEEPALIVE) => Self::Keepalive,
            (SOL_SOCKET, SO_RCVBUF) => Self::ReceiveBuffer,
            (SOL_SOCKET, SO_WSK_SECURITY) => Self::Security,
            (SOL_SOCKET, SO_WSK_EVENT_CALLBACK) => Self::EventCallback,
            (IPPROTO_TCP, TCP_NODELAY) => Self::NoDelay,
            _ => return None,
        })
    }

    /// The documented options need an IRP, but for events, which are enabled without one.
    pub(crate) const fn needs_irp(self) -> bool {
        !matches!(self, Self::EventCallback | Self::NoDelay)
    }

    /// The categories of socket that have it. A stream socket has what listening and connection sockets have.
    pub(crate) const fn categories(self) -> u32 {
        let stream = WSK_FLAG_STREAM_SOCKET;
        match self {
            Self::Broadcast => WSK_FLAG_DATAGRAM_SOCKET,
            Self::ConditionalAccept => WSK_FLAG_LISTEN_SOCKET | stream,
            _ => WSK_FLAG_LISTEN_SOCKET | WSK_FLAG_CONNECTION_SOCKET | stream,
        }
    }

    /// Whether it has to be set before WskBind.
    const fn before_bind(self) -> bool {
        matches!(self, Self::ConditionalAccept | Self::Exclusive | Self::Reuse | Self::Security)
    }

    pub(super) fn set(
        self,
        standing: &Standing,
        options: &mut Options,
        brought: &Brought,
    ) -> Result<Decision, NTSTATUS> {
        let input = &brought.input;
        // What is wrong with the request itself is told first, in every state.
        match self {
            Self::EventCallback => {
                let control = input.get::<WSK_EVENT_CALLBACK_CONTROL>()?;
                brought.is_wsk()?;
                if standing.path == WSKRDMA_PATH_TCP {
                    let fixed = control.EventMask & standing.static_events != 0;
                    let disables = control.EventMask & WSK_EVENT_DISABLE != 0;
                    return if fixed && disables {
                        Err(STATUS_INVALID_PARAMETER)
                    } else {
                        Ok(Answer::System.into())
                    };
                }
                return Ok(Answer::Events(control.EventMask).into());
            }
            Self::Security => {
                // A cached descriptor, which only the system can keep.
                input.get::<*mut c_void>()?;
                self.in_time(standing)?;
            }
            Self::ReceiveBuffer => options.receive_buffer = Some(input.get()?),
            Self::ConditionalAccept => {
                let on = input.flag()?;
                self.in_time(standing)?;
                return Ok(Decision::Ask(Question::ConditionalAccept(on)));
            }
            _ => {
                let on = input.flag()?;
                self.in_time(standing)?;
                *self.flag(options).ok_or(STATUS_NOT_SUPPORTED)? = on;
            }
        }
        Ok(Answer::Both(Reply::EMPTY).into())
    }

    pub(super) fn get(self, standing: &Standing, options: &mut Options) -> Answer {
        match self {
            Self::ReceiveBuffer => {
                Answer::Done(Ok(Reply::of(options.receive_buffer.unwrap_or(standing.receive_buffer))))
            }
            // A reference to a cached descriptor, which the system counts.
            Self::Security => Answer::System,
            _ => match self.flag(options) {
                Some(flag) => Answer::Done(Ok(Reply::of(u32::from(*flag)))),
                None => Answer::fail(STATUS_NOT_SUPPORTED),
            },
        }
    }

    fn in_time(self, standing: &Standing) -> Result<(), NTSTATUS> {
        if self.before_bind() && standing.stage != Stage::Created {
            return Err(STATUS_INVALID_DEVICE_STATE);
        }
        Ok(())
    }

    /// The place of an option that is on or off.
    const fn flag(self, options: &mut Options) -> Option<&mut bool> {
        match self {
            Self::ConditionalAccept => Some(&mut options.conditional_accept),
            Self::Exclusive => Some(&mut options.exclusive),
            Self::Reuse => Some(&mut options.reuse),
            Self::Keepalive => Some(&mut options.keepalive),
            Self::NoDelay => Some(&mut options.no_delay),
            Self::Broadcast | Self::ReceiveBuffer | Self::Security | Self::EventCallback => None,
        }
    }
}
