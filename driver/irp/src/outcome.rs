//! How a request ends: the status and the `Information` that the client finds in `IoStatus`.

use abi::NTSTATUS;
use abi::status::{STATUS_CANCELLED, STATUS_SUCCESS};

/// `IoStatus` of a finished request.
///
/// A failure carries 0 in `Information`, because clients take anything else for bytes or a socket; the one exception
/// has to be named: [`partial`](Outcome::partial).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "an outcome has to be given to the IRP it belongs to"]
pub struct Outcome {
    status: NTSTATUS,
    information: usize,
}

impl Outcome {
    /// `STATUS_CANCELLED` with nothing transferred.
    pub const CANCELLED: Self = Self::failure(STATUS_CANCELLED);

    /// `STATUS_SUCCESS`; `information` is a count of bytes, or the address of the new socket, as the function's page
    /// says.
    pub const fn success(information: usize) -> Self {
        Self { status: STATUS_SUCCESS, information }
    }

    /// `status` with `Information` 0.
    ///
    /// `STATUS_PENDING` is not an end; completing with it is bug check `DRIVER_VIOLATION`.
    pub const fn failure(status: NTSTATUS) -> Self {
        Self { status, information: 0 }
    }

    /// Not a success, yet `bytes` were transferred and are valid: a receive with `WSK_FLAG_WAITALL` that was cancelled
    /// or cut off half-way, or `STATUS_BUFFER_OVERFLOW`.
    pub const fn partial(status: NTSTATUS, bytes: usize) -> Self {
        Self { status, information: bytes }
    }

    /// The final status.
    #[must_use]
    pub const fn status(self) -> NTSTATUS {
        self.status
    }

    /// The final `Information`.
    #[must_use]
    pub const fn information(self) -> usize {
        self.information
    }
}
