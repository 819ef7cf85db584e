//! A device that answers IOCTLs: on Windows the drivers, elsewhere the same crates in this process.

use crate::ntstatus::NtStatus;
use control::Record;
use std::fmt;

#[cfg(not(windows))]
mod native;
#[cfg(windows)]
mod windows;

#[cfg(not(windows))]
pub(crate) use native::{host_ports, join_host, open_client, open_driver};
#[cfg(windows)]
pub(crate) use windows::{open_client, open_driver};

/// Why a device could not be used.
pub(crate) enum DeviceError {
    /// The device could not be opened, or a service not be started: the thing and what to do.
    Unavailable(String),
    /// A request ended with a failure status.
    Status {
        /// What was asked.
        what: &'static str,
        /// The answer.
        status: NtStatus,
    },
    /// The answer is not what the contract says.
    Malformed(&'static str),
}

impl fmt::Display for DeviceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(text) => f.write_str(text),
            Self::Status { what, status } => write!(f, "{what}: {status}"),
            Self::Malformed(what) => {
                write!(
                    f,
                    "{what}: the driver's answer has another layout; program and driver versions differ"
                )
            }
        }
    }
}

/// A device that answers requests, from any thread, several at once.
pub(crate) trait Device: Send + Sync {
    /// Sends one request and waits for its end. Returns the status and the octets written to `output`.
    fn ioctl(&self, code: u32, input: &[u8], output: &mut [u8]) -> (NtStatus, usize);
}

/// One request whose input and output are records.
///
/// # Errors
/// The failure status, or a reply of another layout.
pub(crate) fn call<I: Record, O: Record>(
    device: &dyn Device,
    what: &'static str,
    code: u32,
    input: &I,
) -> Result<O, DeviceError> {
    let mut request = vec![0; I::SIZE];
    input.encode(&mut request).map_err(|_| DeviceError::Malformed(what))?;
    let mut reply = vec![0; O::SIZE];
    let (status, n) = device.ioctl(code, &request, &mut reply);
    if !status.ok() {
        return Err(DeviceError::Status { what, status });
    }
    O::decode(reply.get(..n).unwrap_or_default()).map_err(|_| DeviceError::Malformed(what))
}

/// One request whose input is a record and which answers nothing.
///
/// # Errors
/// The failure status.
pub(crate) fn tell<I: Record>(
    device: &dyn Device,
    what: &'static str,
    code: u32,
    input: &I,
) -> Result<(), DeviceError> {
    let mut request = vec![0; I::SIZE];
    input.encode(&mut request).map_err(|_| DeviceError::Malformed(what))?;
    match device.ioctl(code, &request, &mut []) {
        (status, _) if status.ok() => Ok(()),
        (status, _) => Err(DeviceError::Status { what, status }),
    }
}
