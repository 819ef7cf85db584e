//! The main job: a file goes into one socket of the test client and comes out of the accepted one.

use crate::device::open_driver;
use crate::failure::Failure;
use crate::interrupt;
use crate::pieces::Pieces;
use crate::report::Progress;
use crate::socket::{self, Ends, Socket};
use crate::status;
use control::Address;
use control::driver::SocketRow;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::thread;
use std::time::Instant;

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

/// What went wrong with a file.
pub(crate) fn failed(path: &Path, what: &str, error: &std::io::Error) -> Failure {
    Failure::Failed(format!("cannot {what} {}: {error}", path.display()))
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
pub(crate) fn send_file(
    socket: &Socket,
    path: &Path,
    file: &mut File,
    mut sent: impl FnMut(u64),
) -> Result<(String, u64), Failure> {
    let (mut digest, mut sends, mut octets) = (Sha256::new(), 0, 0u64);
    let mut buffer = vec![0; PIECE_MAX];
    for size in Pieces::new(1, PIECE_MAX) {
        let piece = buffer.get_mut(..size).unwrap_or_default();
        let n = fill(file, piece).map_err(|e| failed(path, "read", &e))?;
        let piece = piece.get(..n).unwrap_or_default();
        if !piece.is_empty() {
            digest.update(piece);
            socket.send(piece)?;
            sends += 1;
            octets += piece.len() as u64;
            sent(octets);
        }
        if n < size {
            break;
        }
    }
    socket.disconnect()?;
    Ok((hex(&digest.finalize()), sends))
}

/// Receives until the end of the stream. Returns the digest, the octets and the request count.
pub(crate) fn receive_file(
    socket: &Socket,
    path: &Path,
    file: &mut impl Write,
    mut received: impl FnMut(u64),
) -> Result<(String, u64, u64), Failure> {
    let (mut digest, mut octets, mut receives) = (Sha256::new(), 0u64, 0);
    let mut buffer = vec![0; PIECE_MAX];
    for size in Pieces::new(2, PIECE_MAX) {
        let n = socket.receive(buffer.get_mut(..size).unwrap_or_default())?;
        receives += 1;
        if n == 0 {
            break;
        }
        let arrived = buffer.get(..n).unwrap_or_default();
        digest.update(arrived);
        file.write_all(arrived).map_err(|e| failed(path, "write", &e))?;
        octets += n as u64;
        received(octets);
    }
    Ok((hex(&digest.finalize()), octets, receives))
}

/// Opens a file to read, and tells how long it is.
pub(crate) fn source(path: &Path) -> Result<(File, u64), Failure> {
    let file = File::open(path).map_err(|e| failed(path, "read", &e))?;
    let metadata = file.metadata().map_err(|e| failed(path, "read", &e))?;
    if metadata.is_file() {
        Ok((file, metadata.len()))
    } else {
        Err(format!("cannot read {}: it is not a file", path.display()).into())
    }
}

/// A connected pair of sockets in one client: the one that connected, the one that was accepted, and the listening one.
pub(crate) struct Pair {
    pub(crate) connected: Socket,
    pub(crate) accepted: Socket,
    /// As the accepted one sees it.
    pub(crate) ends: Ends,
    pub(crate) listener: Socket,
}

impl Pair {
    /// Connects two sockets of `device` at `listen`.
    pub(crate) fn new(device: &socket::Client, listen: SocketAddr) -> Result<Self, Failure> {
        let listener = Socket::listen(device, listen)?;
        let mut target = listener.local()?;
        if target.ip().is_unspecified() {
            target.set_ip(if target.is_ipv4() {
                Ipv4Addr::LOCALHOST.into()
            } else {
                Ipv6Addr::LOCALHOST.into()
            });
        }
        let connected = Socket::to_connect(device, target)?;
        let (accepted, done) = thread::scope(|scope| {
            let accept = scope.spawn(|| listener.accept());
            let done = connected.connect(target);
            if done.is_err() {
                // Nothing will come: end the accept.
                listener.shut();
            }
            (accept.join(), done)
        });
        done?;
        let (accepted, ends) = accepted.map_err(|_| Failure::from("the accepting thread failed"))??;
        Ok(Self { connected, accepted, ends, listener })
    }
}

/// Runs the whole job. The error is one sentence for a person.
pub(crate) fn run(
    from: &Path,
    to: &Path,
    listen: SocketAddr,
    progress: &mut Progress,
) -> Result<Outcome, Failure> {
    let (mut source, total) = source(from)?;
    let driver = open_driver()?;
    status::ask_version(&*driver, control::driver::IOCTL_VERSION)?;
    let device = socket::client()?;
    let mut copy = File::create(to).map_err(|e| failed(to, "write", &e))?;
    interrupt::listen()?;
    let Pair { connected: sender, accepted: receiver, ends, listener } = Pair::new(&device, listen)?;

    let began = Instant::now();
    let (sent, received) = thread::scope(|scope| {
        let sending = scope.spawn(|| {
            let sent = send_file(&sender, from, &mut source, |_| ());
            if sent.is_err() {
                // The reader must not wait for ever for what will not come.
                sender.abort();
            }
            sent
        });
        progress(0, total);
        let received = receive_file(&receiver, to, &mut copy, |octets| progress(octets, total));
        if received.is_err() {
            receiver.abort();
        }
        (sending.join(), received)
    });
    let seconds = began.elapsed().as_secs_f64();
    if interrupt::pressed() {
        return Err(Failure::Interrupted(format!("ended by Ctrl-C; {} is incomplete", to.display())));
    }
    let sent = sent.map_err(|_| Failure::from("the sending thread failed"))?;
    // When both ends fail, the receiver's loss is mostly the echo of the sender's.
    let (sent_digest, sends) = sent?;
    let (digest, octets, receives) = received?;

    let seen = status::read(&*driver)?;
    let row = |a: &Address, b: &Address| {
        seen.connection(a, b)
            .copied()
            .ok_or_else(|| Failure::from("the driver's status does not show the connection"))
    };
    let rows = [row(&ends.remote, &ends.local)?, row(&ends.local, &ends.remote)?];
    receiver.disconnect()?;
    if sender.receive(&mut [0; 1])? != 0 {
        return Err("octets arrived that nobody sent".into());
    }
    sender.close()?;
    receiver.close()?;
    listener.close()?;
    if octets != total {
        return Err(format!("{octets} octets arrived of {total}").into());
    }
    if digest != sent_digest {
        return Err(format!("the copy differs: SHA-256 {digest} arrived, {sent_digest} was sent").into());
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
