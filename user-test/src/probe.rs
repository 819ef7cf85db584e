//! Bad input, on purpose: what both devices answer to requests that no right program makes.

use crate::device::{Device, DeviceError, call, open_client, open_driver, tell};
use crate::ntstatus::NtStatus;
use control::client::{
    AddressRequest, DisconnectRequest, IOCTL_ACCEPT, IOCTL_BIND, IOCTL_CLOSE, IOCTL_CONNECT,
    IOCTL_DISCONNECT, IOCTL_LOCAL_ADDRESS, IOCTL_RECEIVE, IOCTL_REMOTE_ADDRESS, IOCTL_SEND, IOCTL_SOCKET,
    MAX_TRANSFER, ReceiveRequest, SendRequest, SocketId, SocketReply, SocketRequest,
};
use control::driver::{
    EventsRequest, IOCTL_EVENTS, IOCTL_POLICY, IOCTL_POLICY_CHECK, IOCTL_POLICY_SET, IOCTL_STATUS,
    IOCTL_VERSION, IOCTL_WHY, MAX_RULES_INPUT, PolicyHeader, PolicyVerdict, StatusHeader, Version,
    WhyRequest,
};
use control::{Address, Record};
use std::net::SocketAddr;

const SUCCESS: u32 = 0;
const INVALID_HANDLE: u32 = 0xC000_0008;
const INVALID_PARAMETER: u32 = 0xC000_000D;
const INVALID_DEVICE_REQUEST: u32 = 0xC000_0010;
const BUFFER_TOO_SMALL: u32 = 0xC000_0023;
const INVALID_DEVICE_STATE: u32 = 0xC000_0184;
const INVALID_BUFFER_SIZE: u32 = 0xC000_0206;
const INVALID_ADDRESS_COMPONENT: u32 = 0xC000_0207;
const ADDRESS_ALREADY_EXISTS: u32 = 0xC000_020A;
const CONNECTION_REFUSED: u32 = 0xC000_0236;

/// One thing that was tried.
pub(crate) struct Finding {
    /// What.
    pub(crate) what: String,
    /// What must come back.
    pub(crate) expected: NtStatus,
    /// What came back.
    pub(crate) got: NtStatus,
}

impl Finding {
    /// Whether the answer is the right one.
    pub(crate) fn right(&self) -> bool {
        self.expected == self.got
    }
}

/// Tries things on one device and remembers the answers.
struct Probe<'a> {
    device: &'a dyn Device,
    findings: Vec<Finding>,
}

impl Probe<'_> {
    fn note(&mut self, what: String, expected: u32, got: NtStatus) {
        self.findings.push(Finding { what, expected: NtStatus(expected.cast_signed()), got });
    }

    /// Sends `input` with room for `output` octets, both at odd addresses: a driver may assume nothing.
    fn send(&mut self, what: &str, code: u32, input: &[u8], output: usize, expected: u32) {
        let mut question = vec![0; input.len() + 1];
        question.get_mut(1..).unwrap_or_default().copy_from_slice(input);
        let mut reply = vec![0; output + 1];
        let (got, _) = self.device.ioctl(
            code,
            question.get(1..).unwrap_or_default(),
            reply.get_mut(1..).unwrap_or_default(),
        );
        let what = format!("{what}: code {code:#x}, {} octets in, {output} out", input.len());
        self.note(what, expected, got);
    }

    /// Every shorter and some longer input of a request whose input is one record.
    fn lengths<R: Record>(&mut self, what: &str, code: u32, output: usize) {
        for short in 0..R::SIZE {
            self.send(what, code, &vec![0; short], output, BUFFER_TOO_SMALL);
        }
        for long in [R::SIZE + 1, R::SIZE + 4096] {
            self.send(what, code, &vec![0; long], output, INVALID_BUFFER_SIZE);
        }
    }
}

/// Runs every probe. The devices work as before afterwards.
pub(crate) fn run() -> Result<Vec<Finding>, DeviceError> {
    let driver = open_driver()?;
    let mut findings = driver_device(&*driver);
    let client = open_client()?;
    findings.extend(client_device(&*client)?);
    Ok(findings)
}

fn driver_device(device: &dyn Device) -> Vec<Finding> {
    let mut probe = Probe { device, findings: vec![] };
    for method in 1..=3 {
        probe.send("another transfer method", IOCTL_VERSION | method, &[], 64, INVALID_DEVICE_REQUEST);
    }
    for function in [0x7FF_u32, 0x807, 0x83F, 0xFFF] {
        let code = (IOCTL_VERSION & !0x3FFC) | (function << 2);
        probe.send("unknown function", code, &[], 64, INVALID_DEVICE_REQUEST);
        probe.send("unknown function", code, &[1; 64], 0, INVALID_DEVICE_REQUEST);
    }
    for (code, size) in [
        (IOCTL_VERSION, Version::SIZE),
        (IOCTL_STATUS, StatusHeader::SIZE),
        (IOCTL_POLICY, PolicyHeader::SIZE),
    ] {
        for short in [0, 1, size - 1] {
            probe.send("output too short", code, &[], short, BUFFER_TOO_SMALL);
        }
        probe.send("long output", code, &[], 1 << 20, SUCCESS);
        for long in [1, 4096] {
            probe.send("input where none is taken", code, &vec![0; long], 1 << 16, INVALID_BUFFER_SIZE);
        }
    }
    probe.lengths::<EventsRequest>("events", IOCTL_EVENTS, 1 << 12);
    probe.lengths::<WhyRequest>("why", IOCTL_WHY, 1 << 12);
    probe.send("why of no address", IOCTL_WHY, &[0; WhyRequest::SIZE], 1 << 12, INVALID_PARAMETER);
    for code in [IOCTL_POLICY_CHECK, IOCTL_POLICY_SET] {
        probe.send("rules that are no text", code, &[0xFF; 8], 1 << 12, INVALID_PARAMETER);
        probe.send("too many rules", code, &vec![b' '; MAX_RULES_INPUT + 1], 1 << 12, INVALID_BUFFER_SIZE);
        probe.send(
            "no room for the verdict",
            code,
            b"never any any",
            PolicyVerdict::SIZE - 1,
            BUFFER_TOO_SMALL,
        );
    }
    probe.send("rules that are none", IOCTL_POLICY_CHECK, b"\0\0\0", PolicyVerdict::SIZE, SUCCESS);
    probe.findings
}

fn encode(record: &impl Record) -> Vec<u8> {
    let mut octets = vec![0; 256];
    let n = record.encode(&mut octets).unwrap_or_default();
    octets.truncate(n);
    octets
}

fn client_device(device: &dyn Device) -> Result<Vec<Finding>, DeviceError> {
    let mut probe = Probe { device, findings: vec![] };
    probe.send("unknown function", IOCTL_CLOSE + 0x100, &[0; 64], 64, INVALID_DEVICE_REQUEST);
    probe.send("another transfer method", IOCTL_SOCKET | 3, &[0; 64], 64, INVALID_DEVICE_REQUEST);
    probe.lengths::<SocketRequest>("socket", IOCTL_SOCKET, 64);
    probe.lengths::<AddressRequest>("bind", IOCTL_BIND, 0);
    probe.lengths::<AddressRequest>("connect", IOCTL_CONNECT, 0);
    probe.lengths::<SocketId>("accept", IOCTL_ACCEPT, 64);
    probe.lengths::<ReceiveRequest>("receive", IOCTL_RECEIVE, 64);
    probe.lengths::<DisconnectRequest>("disconnect", IOCTL_DISCONNECT, 0);
    probe.lengths::<SocketId>("close", IOCTL_CLOSE, 0);
    probe.send("send without a record", IOCTL_SEND, &[0; SendRequest::SIZE - 1], 4, BUFFER_TOO_SMALL);

    let nobody = encode(&SocketId { socket: 1000 });
    for (what, code) in [("close", IOCTL_CLOSE), ("accept", IOCTL_ACCEPT), ("address", IOCTL_LOCAL_ADDRESS)] {
        probe.send(&format!("{what} of no socket"), code, &nobody, 64, INVALID_HANDLE);
    }
    probe.send("close of no socket", IOCTL_CLOSE, &encode(&SocketId { socket: u32::MAX }), 0, INVALID_HANDLE);

    let make = |flags| {
        let request = SocketRequest { family: 2, socket_type: 1, protocol: 6, flags };
        call::<_, SocketReply>(device, "WskSocket", IOCTL_SOCKET, &request).map(|r| r.socket)
    };
    let (first, second, connection) = (make(1)?, make(1)?, make(2)?);
    let at = |socket, address: SocketAddr| {
        encode(&AddressRequest { socket, reserved: 0, address: address.into() })
    };
    let any: SocketAddr = ([127, 0, 0, 1], 0).into();
    let foreign: SocketAddr = ([192, 0, 2, 1], 0).into();
    let none = encode(&AddressRequest { socket: first, reserved: 0, address: Address::default() });
    probe.send("no address", IOCTL_BIND, &none, 0, INVALID_PARAMETER);
    probe.send("an address of nobody here", IOCTL_BIND, &at(first, foreign), 0, INVALID_ADDRESS_COMPONENT);
    probe.send(
        "wrong family",
        IOCTL_BIND,
        &at(first, "[::1]:0".parse().unwrap_or(any)),
        0,
        INVALID_ADDRESS_COMPONENT,
    );
    probe.send(
        "accept before bind",
        IOCTL_ACCEPT,
        &encode(&SocketId { socket: first }),
        64,
        INVALID_DEVICE_STATE,
    );
    probe.send("bind", IOCTL_BIND, &at(first, any), 0, SUCCESS);
    probe.send("bind again", IOCTL_BIND, &at(first, any), 0, INVALID_DEVICE_STATE);
    let used: Address = call(device, "WskGetLocalAddress", IOCTL_LOCAL_ADDRESS, &SocketId { socket: first })?;
    let used = used.to_socket_addr().ok_or(DeviceError::Malformed("WskGetLocalAddress"))?;
    probe.send("a port in use", IOCTL_BIND, &at(second, used), 0, ADDRESS_ALREADY_EXISTS);
    probe.send(
        "no room for the reply",
        IOCTL_ACCEPT,
        &encode(&SocketId { socket: first }),
        4,
        BUFFER_TOO_SMALL,
    );
    probe.send(
        "accept on a connection",
        IOCTL_ACCEPT,
        &encode(&SocketId { socket: connection }),
        64,
        INVALID_DEVICE_REQUEST,
    );
    probe.send("connect on a listener", IOCTL_CONNECT, &at(first, used), 0, INVALID_DEVICE_REQUEST);
    probe.send("connect unbound", IOCTL_CONNECT, &at(connection, used), 0, INVALID_DEVICE_STATE);
    probe.send("bind a connection", IOCTL_BIND, &at(connection, any), 0, SUCCESS);
    let id = encode(&SocketId { socket: connection });
    probe.send("remote address unconnected", IOCTL_REMOTE_ADDRESS, &id, 64, INVALID_DEVICE_STATE);
    let send = encode(&SendRequest { socket: connection, flags: 0 });
    probe.send("send unconnected", IOCTL_SEND, &[send.as_slice(), b"x"].concat(), 4, INVALID_DEVICE_STATE);
    let long = [send.as_slice(), &vec![0; MAX_TRANSFER as usize + 1]].concat();
    probe.send("a send beyond the limit", IOCTL_SEND, &long, 4, INVALID_BUFFER_SIZE);
    let receive = encode(&ReceiveRequest { socket: connection, flags: 0 });
    probe.send("receive unconnected", IOCTL_RECEIVE, &receive, 64, INVALID_DEVICE_STATE);
    probe.send(
        "a receive beyond the limit",
        IOCTL_RECEIVE,
        &receive,
        MAX_TRANSFER as usize + 1,
        INVALID_BUFFER_SIZE,
    );
    let disconnect = encode(&DisconnectRequest { socket: connection, flags: 0 });
    probe.send("disconnect unconnected", IOCTL_DISCONNECT, &disconnect, 0, INVALID_DEVICE_STATE);
    // The second listener's address is free again, and nobody listens there.
    tell(device, "WskCloseSocket", IOCTL_CLOSE, &SocketId { socket: first })?;
    probe.send("nobody listens", IOCTL_CONNECT, &at(connection, used), 0, CONNECTION_REFUSED);
    probe.send("closed twice", IOCTL_CLOSE, &encode(&SocketId { socket: first }), 0, INVALID_HANDLE);
    for socket in [second, connection] {
        tell(device, "WskCloseSocket", IOCTL_CLOSE, &SocketId { socket })?;
    }
    Ok(probe.findings)
}

#[cfg(all(test, not(windows)))]
mod tests {
    /// The native world, the same handlers as in the drivers.
    #[test]
    fn every_bad_request_gets_its_status_and_nothing_breaks() {
        for _ in 0..2 {
            let findings = super::run().map_err(|e| e.to_string()).unwrap();
            let wrong: Vec<_> = findings.iter().filter(|f| !f.right()).collect();
            for finding in &wrong {
                println!("{}: expected {}, got {}", finding.what, finding.expected, finding.got);
            }
            assert!(wrong.is_empty(), "{} of {} answers are wrong", wrong.len(), findings.len());
        }
    }
}
