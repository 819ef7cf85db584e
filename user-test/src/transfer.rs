//! The main job: a file goes into one socket of the test client and comes out of the accepted one.

use crate::device::{Device, DeviceError, call, open_client, open_driver, tell};
use crate::pieces::Pieces;
use crate::report::Progress;
use crate::status;
use control::client::{
    self, AcceptReply, AddressRequest, DisconnectRequest, ReceiveRequest, SendReply, SendRequest, SocketId,
    SocketReply, SocketRequest,
};
use control::driver::SocketRow;
use control::{Address, Record};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::thread;
use std::time::Instant;

/// WSK_FLAG_LISTEN_SOCKET.
const LISTEN: u32 = 1;
/// WSK_FLAG_CONNECTION_SOCKET.
const CONNECTION: u32 = 2;
/// Largest single send and receive of the job.
const PIECE_MAX: usize = 1 << 20;

/// What a transfer did.
pub(crate) struct Outcome {
    /// Octets of the file.
    pub octets: u64,
    /// Seconds from the first send to the last octet received.
    pub seconds: f64,
    /// SHA-256 of the octets that arrived, equal to that of the octets sent.
    pub sha256: String,
    /// The adapter's name and NDKPI version.
    pub adapter: String,
    /// `rdma` or `tcp`.
    pub path: String,
    /// WskSend requests.
    pub sends: u64,
    /// WskReceive requests.
    pub receives: u64,
    /// NdkWrite, NdkSend and NdkReceive requests of both ends.
    pub work_requests: u64,
    /// Completion queue entries of both ends.
    pub completions: u64,
    /// Credit messages of both ends.
    pub credits: u64,
    /// Octets copied outside the provider, both ends, for each octet of the file.
    pub copies_per_octet: f64,
}

/// A socket of the test client; closed when dropped, whatever happened.
struct Socket<'a> {
    device: &'a dyn Device,
    id: u32,
}

impl<'a> Socket<'a> {
    fn new(device: &'a dyn Device, flags: u32, family: u16) -> Result<Self, DeviceError> {
        let request = SocketRequest { family, socket_type: 1, protocol: 6, flags };
        let reply: SocketReply = call(device, "WskSocket", client::IOCTL_SOCKET, &request)?;
        Ok(Self { device, id: reply.socket })
    }

    fn address(&self, what: &'static str, code: u32, address: SocketAddr) -> Result<(), DeviceError> {
        tell(
            self.device,
            what,
            code,
            &AddressRequest { socket: self.id, reserved: 0, address: address.into() },
        )
    }

    fn local(&self) -> Result<Address, DeviceError> {
        call(self.device, "WskGetLocalAddress", client::IOCTL_LOCAL_ADDRESS, &SocketId { socket: self.id })
    }

    fn accept(&self) -> Result<(Socket<'a>, AcceptReply), DeviceError> {
        let reply: AcceptReply =
            call(self.device, "WskAccept", client::IOCTL_ACCEPT, &SocketId { socket: self.id })?;
        Ok((Socket { device: self.device, id: reply.socket }, reply))
    }

    fn send(&self, octets: &[u8]) -> Result<(), DeviceError> {
        let mut request = vec![0; SendRequest::SIZE];
        let malformed = |_| DeviceError::Malformed("WskSend");
        SendRequest { socket: self.id, flags: 0 }.encode(&mut request).map_err(malformed)?;
        request.extend_from_slice(octets);
        let mut reply = [0; SendReply::SIZE];
        let (status, n) = self.device.ioctl(client::IOCTL_SEND, &request, &mut reply);
        if !status.ok() {
            return Err(DeviceError::Status { what: "WskSend", status });
        }
        let sent = SendReply::decode(reply.get(..n).unwrap_or_default()).map_err(malformed)?.sent;
        // A WSK send is whole or it has failed.
        if sent as usize == octets.len() { Ok(()) } else { Err(DeviceError::Malformed("WskSend")) }
    }

    fn receive(&self, into: &mut [u8]) -> Result<usize, DeviceError> {
        let mut request = [0; ReceiveRequest::SIZE];
        let malformed = |_| DeviceError::Malformed("WskReceive");
        ReceiveRequest { socket: self.id, flags: 0 }.encode(&mut request).map_err(malformed)?;
        match self.device.ioctl(client::IOCTL_RECEIVE, &request, into) {
            (status, n) if status.ok() => Ok(n),
            (status, _) => Err(DeviceError::Status { what: "WskReceive", status }),
        }
    }

    fn disconnect(&self) -> Result<(), DeviceError> {
        let request = DisconnectRequest { socket: self.id, flags: 0 };
        tell(self.device, "WskDisconnect", client::IOCTL_DISCONNECT, &request)
    }

    fn close(self) -> Result<(), DeviceError> {
        let request = SocketId { socket: self.id };
        let device = self.device;
        core::mem::forget(self);
        tell(device, "WskCloseSocket", client::IOCTL_CLOSE, &request)
    }
}

impl Drop for Socket<'_> {
    fn drop(&mut self) {
        // The work has failed already; the driver closes with the handle what cannot be closed here.
        let _ = tell(self.device, "WskCloseSocket", client::IOCTL_CLOSE, &SocketId { socket: self.id });
    }
}

fn failed(path: &Path, what: &str, error: &std::io::Error) -> String {
    format!("cannot {what} {}: {error}", path.display())
}

/// Reads up to `buffer.len()` octets, fewer only at the end of the file.
fn fill(file: &mut File, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut n = 0;
    while let Some(rest) = buffer.get_mut(n..).filter(|r| !r.is_empty()) {
        match file.read(rest)? {
            0 => break,
            more => n += more,
        }
    }
    Ok(n)
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|b| format!("{b:02x}")).collect()
}

/// Sends the file in pieces of varying size, then disconnects gracefully. Returns the digest and the request count.
fn send_file(socket: &Socket<'_>, path: &Path, file: &mut File) -> Result<(String, u64), String> {
    let (mut digest, mut sends) = (Sha256::new(), 0);
    let mut buffer = vec![0; PIECE_MAX];
    for size in Pieces::new(1, PIECE_MAX) {
        let piece = buffer.get_mut(..size).unwrap_or_default();
        let n = fill(file, piece).map_err(|e| failed(path, "read", &e))?;
        let octets = piece.get(..n).unwrap_or_default();
        if !octets.is_empty() {
            digest.update(octets);
            socket.send(octets).map_err(|e| e.to_string())?;
            sends += 1;
        }
        if n < size {
            break;
        }
    }
    socket.disconnect().map_err(|e| e.to_string())?;
    Ok((hex(&digest.finalize()), sends))
}

/// Receives until the end of the stream. Returns the digest, the octets and the request count.
fn receive_file(
    socket: &Socket<'_>,
    path: &Path,
    file: &mut File,
    total: u64,
    progress: &mut Progress,
) -> Result<(String, u64, u64), String> {
    let (mut digest, mut octets, mut receives) = (Sha256::new(), 0u64, 0);
    let mut buffer = vec![0; PIECE_MAX];
    progress(0, total);
    for size in Pieces::new(2, PIECE_MAX) {
        let n = socket.receive(buffer.get_mut(..size).unwrap_or_default()).map_err(|e| e.to_string())?;
        receives += 1;
        if n == 0 {
            break;
        }
        let arrived = buffer.get(..n).unwrap_or_default();
        digest.update(arrived);
        file.write_all(arrived).map_err(|e| failed(path, "write", &e))?;
        octets += n as u64;
        progress(octets, total);
    }
    Ok((hex(&digest.finalize()), octets, receives))
}

/// Runs the whole job. The error is one sentence for a person.
pub(crate) fn run(
    from: &Path,
    to: &Path,
    listen: SocketAddr,
    progress: &mut Progress,
) -> Result<Outcome, String> {
    let mut source = File::open(from).map_err(|e| failed(from, "read", &e))?;
    let metadata = source.metadata().map_err(|e| failed(from, "read", &e))?;
    if !metadata.is_file() {
        return Err(format!("cannot read {}: it is not a file", from.display()));
    }
    let total = metadata.len();
    let text = |e: DeviceError| e.to_string();
    let driver = open_driver().map_err(text)?;
    let device = open_client().map_err(text)?;
    status::ask_version(&*driver, control::driver::IOCTL_VERSION).map_err(text)?;
    status::ask_version(&*device, client::IOCTL_VERSION).map_err(text)?;
    let mut copy = File::create(to).map_err(|e| failed(to, "write", &e))?;

    let family = if listen.is_ipv4() { 2 } else { 23 };
    let listener = Socket::new(&*device, LISTEN, family).map_err(text)?;
    listener
        .address("WskBind", client::IOCTL_BIND, listen)
        .map_err(|e| format!("cannot listen at {listen}: {e}"))?;
    let at = listener.local().map_err(text)?;
    let target = at.to_socket_addr().ok_or("the listener has no address")?;
    let sender = Socket::new(&*device, CONNECTION, family).map_err(text)?;
    sender.address("WskBind", client::IOCTL_BIND, SocketAddr::new(listen.ip(), 0)).map_err(text)?;

    let (accepted, connected) = thread::scope(|scope| {
        let accept = scope.spawn(|| listener.accept());
        let connected = sender.address("WskConnect", client::IOCTL_CONNECT, target);
        if connected.is_err() {
            // Nothing will come: end the accept, which fails with CANCELLED.
            let _ = tell(&*device, "WskCloseSocket", client::IOCTL_CLOSE, &SocketId { socket: listener.id });
        }
        (accept.join(), connected)
    });
    connected.map_err(|e| format!("cannot connect to {target}: {e}"))?;
    let (receiver, ends) = accepted.map_err(|_| "the accepting thread failed")?.map_err(text)?;

    let began = Instant::now();
    let (sent, received) = thread::scope(|scope| {
        let sending = scope.spawn(|| {
            let sent = send_file(&sender, from, &mut source);
            if sent.is_err() {
                // The reader must not wait for ever for what will not come.
                let abort = DisconnectRequest { socket: sender.id, flags: 1 };
                let _ = tell(&*device, "WskDisconnect", client::IOCTL_DISCONNECT, &abort);
            }
            sent
        });
        let received = receive_file(&receiver, to, &mut copy, total, progress);
        if received.is_err() {
            let abort = DisconnectRequest { socket: receiver.id, flags: 1 };
            let _ = tell(&*device, "WskDisconnect", client::IOCTL_DISCONNECT, &abort);
        }
        (sending.join(), received)
    });
    let seconds = began.elapsed().as_secs_f64();
    let sent = sent.map_err(|_| "the sending thread failed")?;
    // When both ends fail, the receiver's loss is mostly the echo of the sender's.
    let (sent_digest, sends) = sent?;
    let (digest, octets, receives) = received?;

    let seen = status::read(&*driver).map_err(text)?;
    let row = |a: &Address, b: &Address| {
        seen.connection(a, b)
            .copied()
            .ok_or_else(|| "the driver's status does not show the connection".to_owned())
    };
    let rows = [row(&ends.remote, &ends.local)?, row(&ends.local, &ends.remote)?];
    receiver.disconnect().map_err(text)?;
    if sender.receive(&mut [0; 1]).map_err(text)? != 0 {
        return Err("octets arrived that nobody sent".to_owned());
    }
    sender.close().map_err(text)?;
    receiver.close().map_err(text)?;
    listener.close().map_err(text)?;
    if octets != total {
        return Err(format!("{octets} octets arrived of {total}"));
    }
    if digest != sent_digest {
        return Err(format!("the copy differs: SHA-256 {digest} arrived, {sent_digest} was sent"));
    }
    let sum = |f: fn(&SocketRow) -> u64| rows.iter().map(f).sum::<u64>();
    let copied = sum(|r| r.work.octets_copied_in + r.work.octets_copied_out);
    let paths: Vec<&str> = rows.iter().map(|r| status::path_name(r.path)).collect();
    Ok(Outcome {
        octets,
        seconds,
        sha256: digest,
        adapter: seen.adapters.first().map_or_else(
            || "none".to_owned(),
            |a| format!("{}, NDKPI {}.{}", status::adapter_name(a), a.major, a.minor),
        ),
        path: match paths.as_slice() {
            [one, rest @ ..] if rest.iter().all(|path| path == one) => (*one).to_owned(),
            _ => paths.join("/"),
        },
        sends,
        receives,
        work_requests: sum(|r| r.work.writes + r.work.sends + r.work.receives),
        completions: sum(|r| r.work.completions),
        credits: sum(|r| r.work.credits_sent),
        copies_per_octet: if octets == 0 { 0.0 } else { copied as f64 / octets as f64 },
    })
}
