//! NTSTATUS values as people read them.

use std::fmt;

/// A status that a driver completed a request with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct NtStatus(pub i32);

/// The statuses the drivers use, in words.
const WORDS: &[(u32, &str, &str)] = &[
    (0x0000_0103, "PENDING", "the request has not finished"),
    (0x8000_0005, "BUFFER_OVERFLOW", "the answer did not fit; ask again with a larger buffer"),
    (0xC000_0001, "UNSUCCESSFUL", "the driver could not do it and cannot say why"),
    (0xC000_0008, "INVALID_HANDLE", "no such socket on this handle"),
    (0xC000_000D, "INVALID_PARAMETER", "a value in the request is not valid"),
    (
        0xC000_0010,
        "INVALID_DEVICE_REQUEST",
        "the driver does not know this request; program and driver versions differ",
    ),
    (0xC000_0022, "ACCESS_DENIED", "run as an administrator"),
    (0xC000_0023, "BUFFER_TOO_SMALL", "the buffer is shorter than the record"),
    (0xC000_0034, "OBJECT_NAME_NOT_FOUND", "the device does not exist; start the driver"),
    (0xC000_009A, "INSUFFICIENT_RESOURCES", "the driver is out of memory or the adapter is out of objects"),
    (0xC000_00A3, "DEVICE_NOT_READY", "no WSK provider answered; start the wskrdma service first"),
    (0xC000_00B5, "IO_TIMEOUT", "the peer did not answer in time"),
    (0xC000_00B6, "FILE_FORCED_CLOSED", "the socket no longer works; close it"),
    (0xC000_00BB, "NOT_SUPPORTED", "not supported"),
    (0xC000_011F, "TOO_MANY_OPENED_FILES", "too many sockets are open on this handle"),
    (0xC000_0120, "CANCELLED", "the request was cancelled"),
    (0xC000_0141, "INVALID_ADDRESS", "the address is not one of this machine's RDMA addresses"),
    (0xC000_0184, "INVALID_DEVICE_STATE", "the socket is not in a state for this"),
    (0xC000_0206, "INVALID_BUFFER_SIZE", "the buffer is longer than the request allows"),
    (0xC000_0207, "INVALID_ADDRESS_COMPONENT", "the address is not one of this machine's RDMA addresses"),
    (0xC000_020A, "ADDRESS_ALREADY_EXISTS", "the address and port are in use; choose another port"),
    (0xC000_020C, "CONNECTION_DISCONNECTED", "the connection is gone"),
    (0xC000_020D, "CONNECTION_RESET", "the peer reset the connection"),
    (0xC000_0236, "CONNECTION_REFUSED", "nobody listens at that address"),
    (0xC000_023A, "CONNECTION_INVALID", "the socket is not connected"),
    (0xC000_023C, "NETWORK_UNREACHABLE", "no adapter leads to that address"),
    (0xC000_023D, "HOST_UNREACHABLE", "the peer cannot be reached"),
    (0xC000_0241, "CONNECTION_ABORTED", "the connection was aborted"),
];

impl NtStatus {
    /// Whether the status is a success or information, as NT_SUCCESS.
    pub(crate) fn ok(self) -> bool {
        self.0 >= 0
    }
}

impl fmt::Display for NtStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.0.cast_unsigned();
        match WORDS.iter().find(|(value, ..)| *value == code) {
            Some((_, name, words)) => write!(f, "STATUS_{name} ({code:#010x}): {words}"),
            None => write!(f, "status {code:#010x}"),
        }
    }
}

impl fmt::Debug for NtStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::{NtStatus, WORDS};

    #[test]
    fn every_status_is_named_once() {
        let mut codes: Vec<u32> = WORDS.iter().map(|w| w.0).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), WORDS.len());
        assert!(NtStatus(0xC000_020A_u32.cast_signed()).to_string().contains("choose another port"));
        assert_eq!(NtStatus(0xC123_4567_u32.cast_signed()).to_string(), "status 0xc1234567");
    }
}
