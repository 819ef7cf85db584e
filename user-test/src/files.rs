//! `send` and `recv`: a file as the octets of one connection, its end as the end of the stream.

use crate::device::open_driver;
use crate::failure::Failure;
use crate::report::say;
use crate::report::{self, Progress};
use crate::socket::{self, Ends, Socket};
use crate::transfer::{failed, receive_file, send_file, source};
use crate::{interrupt, status};
use clap::Args;
use serde_json::json;
use std::fs::File;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Instant;

/// What `send` does.
#[derive(Args)]
pub(crate) struct Send {
    /// The file to send.
    file: PathBuf,
    /// Where somebody receives: `wskrdma-test recv`, or any program that reads a stream, over RDMA or TCP.
    address: SocketAddr,
}

/// What `recv` does.
#[derive(Args)]
pub(crate) struct Receive {
    /// Local address to listen at; port 0 lets the provider choose, and the choice is printed.
    address: SocketAddr,
    /// Where to write the octets that arrive.
    file: PathBuf,
}

/// Which path the driver's status shows for a connection; `unknown` where it is not there any more.
pub(crate) fn path_of(ends: &Ends) -> Result<&'static str, Failure> {
    let seen = status::read(&*open_driver()?)?;
    Ok(seen.connection(&ends.local, &ends.remote).map_or("unknown", |row| status::path_name(row.path)))
}

/// What has moved, for people and programs.
struct Moved {
    event: &'static str,
    octets: u64,
    requests: u64,
    digest: String,
    path: &'static str,
    began: Instant,
}

impl Moved {
    fn tell(&self, json: bool) {
        let seconds = self.began.elapsed().as_secs_f64();
        let Self { event, octets, requests, digest, path, .. } = self;
        if json {
            report::object(&json!({
                "event": event, "bytes": octets, "requests": requests, "sha256": digest, "path": path, "seconds": seconds,
            }));
        } else {
            let verb = if *event == "sent" { "sent" } else { "received" };
            say!(
                "{verb} {octets} octets in {requests} requests over {path}, {seconds:.3} s, SHA-256 {digest}"
            );
        }
    }
}

/// Connects, sends the file, and waits until the peer has read it all.
pub(crate) fn send(json: bool, options: &Send) -> Result<(), Failure> {
    let (mut file, total) = source(&options.file)?;
    let device = socket::client()?;
    interrupt::listen()?;
    let mut progress: Progress = report::progress(json);
    let socket = Socket::connected(&device, options.address)?;
    let path = path_of(&socket.ends()?)?;
    let began = Instant::now();
    progress(0, total);
    let sent = send_file(&socket, &options.file, &mut file, |octets| progress(octets, total));
    let (digest, requests) = sent.map_err(|failure| interrupted(failure, "the peer has only a part"))?;
    // The peer ends its direction when it has read to the end.
    if socket.receive(&mut [0; 1]).map_err(|e| interrupted(e.into(), "the peer may have only a part"))? != 0 {
        return Err("the peer sent octets; nothing but the end of the stream belongs here".into());
    }
    socket.close()?;
    Moved { event: "sent", octets: total, requests, digest, path, began }.tell(json);
    Ok(())
}

/// Listens, accepts one connection, and writes what arrives on it.
pub(crate) fn receive(json: bool, options: &Receive) -> Result<(), Failure> {
    let device = socket::client()?;
    let mut file = File::create(&options.file).map_err(|e| failed(&options.file, "write", &e))?;
    interrupt::listen()?;
    let listener = Socket::listen(&device, options.address)?;
    report::listening(json, listener.local()?);
    let (socket, ends) = listener.accept().map_err(|e| interrupted(e.into(), "nobody has connected"))?;
    let path = path_of(&ends)?;
    let began = Instant::now();
    let received = receive_file(&socket, &options.file, &mut file, |_| ());
    let incomplete = format!("{} is incomplete", options.file.display());
    let (digest, octets, requests) = received.map_err(|failure| interrupted(failure, &incomplete))?;
    file.sync_all().map_err(|e| failed(&options.file, "write", &e))?;
    socket.disconnect()?;
    socket.close()?;
    listener.close()?;
    Moved { event: "received", octets, requests, digest, path, began }.tell(json);
    Ok(())
}

/// A failure that Ctrl-C has brought about is no failure of the work.
pub(crate) fn interrupted(failure: Failure, state: &str) -> Failure {
    if interrupt::pressed() { Failure::Interrupted(format!("ended by Ctrl-C; {state}")) } else { failure }
}
