//! Control operations: WskControlSocket and WskControlClient, without the client's pointers.
//!
//! Each operation is decided in one place, from the request and from where the socket stands, before anybody touches the
//! IRP: what only the system knows goes there with the IRP as the client made it ([`Answer::System`]). What has to
//! happen to the client's buffers and IRP is the edge's business.
//!
//! Contract: "WSK Client Control Operations", "WSK Socket Options", "WSK Socket IOCTL Operations", `wsk.h`.

mod buffer;
pub(crate) mod client;
pub(crate) mod ioctl;
pub(crate) mod ndk;
pub(crate) mod option;
pub(crate) mod socket;

pub(crate) use buffer::{Input, Reply};

use abi::NTSTATUS;
use abi::nt::GUID;
use abi::status::{STATUS_INVALID_PARAMETER, STATUS_NOT_SUPPORTED};
use abi::wsk::NPI_WSK_INTERFACE_ID;

/// How a request on a socket is answered.
pub(crate) enum Answer {
    /// Here.
    Done(Result<Reply, NTSTATUS>),
    /// By the system's socket, which gets the client's own IRP. Where there is none: NOT_SUPPORTED.
    System,
    /// Here as long as there is no system's socket. Where there is one it gets the request too, with the client's own
    /// IRP, and its answer counts.
    Both(Reply),
    /// By the socket's events: SO_WSK_EVENT_CALLBACK with this mask may have to wait for calls in progress.
    Events(u32),
}

impl Answer {
    const fn fail(status: NTSTATUS) -> Self {
        Self::Done(Err(status))
    }

    const fn fail_decision(status: NTSTATUS) -> socket::Decision {
        socket::Decision::Answer(Self::Done(Err(status)))
    }
}

/// What a request brings: its input, and the identifier that the input's first member points to, where the operation
/// has one.
pub(crate) struct Brought {
    pub(crate) input: Input,
    pub(crate) npi: Option<GUID>,
}

impl Brought {
    /// Checks that the events are WSK's own.
    ///
    /// # Errors
    /// INVALID_PARAMETER: no identifier. NOT_SUPPORTED: another programming interface's.
    pub(crate) fn is_wsk(&self) -> Result<(), NTSTATUS> {
        match self.npi {
            None => Err(STATUS_INVALID_PARAMETER),
            Some(NPI_WSK_INTERFACE_ID) => Ok(()),
            Some(_) => Err(STATUS_NOT_SUPPORTED),
        }
    }
}

#[cfg(test)]
mod tests;
