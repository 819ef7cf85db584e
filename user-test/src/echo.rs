//! `echo`: a listener that sends back what it receives, and a caller that checks it.

use crate::failure::Failure;
use crate::files::{interrupted, path_of};
use crate::interrupt;
use crate::pieces::Pieces;
use crate::report;
use crate::report::say;
use crate::socket::{self, Client, Socket};
use crate::transfer::Pair;
use clap::Args;
use serde_json::json;
use std::net::SocketAddr;
use std::thread;
use std::time::Instant;

/// Octets that the listening end takes at a time.
const PIECE_MAX: usize = 1 << 20;

/// What `echo` does.
#[derive(Args)]
pub(crate) struct Options {
    /// Connect there and check what comes back; without it and without --listen both ends are in this program.
    address: Option<SocketAddr>,
    /// Listen there and send everything back, until Ctrl-C or as many connections as --connections says.
    #[arg(long, value_name = "ADDRESS", conflicts_with = "address")]
    listen: Option<SocketAddr>,
    /// Listening: end after so many connections; 0: never.
    #[arg(long, value_name = "N", default_value_t = 0)]
    connections: u32,
    /// Calling: octets of a message; 0: sizes vary, 64 KiB at most.
    #[arg(long, value_name = "OCTETS", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=4 << 20))]
    size: u32,
    /// Calling: messages.
    #[arg(long, value_name = "N", default_value_t = 100)]
    count: u32,
}

/// The command.
pub(crate) fn run(json: bool, options: &Options) -> Result<(), Failure> {
    let device = socket::client()?;
    interrupt::listen()?;
    match (options.listen, options.address) {
        (Some(address), _) => listen(json, &device, address, options.connections),
        (None, Some(address)) => {
            let socket = Socket::connected(&device, address)?;
            call(json, socket, options)
        }
        (None, None) => {
            let Pair { connected, accepted, listener, .. } = Pair::new(&device, ([127, 0, 0, 1], 0).into())?;
            thread::scope(|scope| {
                let server = scope.spawn(|| serve(&accepted));
                let called = call(json, connected, options);
                let served = server.join().map_err(|_| Failure::from("the echoing thread failed"))?;
                called.and(served.map(drop))
            })?;
            accepted.close()?;
            listener.close()?;
            Ok(())
        }
    }
}

/// Sends everything back until the peer ends. Returns the octets.
pub(crate) fn serve(socket: &Socket) -> Result<u64, Failure> {
    let (mut buffer, mut octets) = (vec![0; PIECE_MAX], 0);
    loop {
        let n = socket.receive(&mut buffer)?;
        if n == 0 {
            socket.disconnect()?;
            return Ok(octets);
        }
        socket.send(buffer.get(..n).unwrap_or_default())?;
        octets += n as u64;
    }
}

/// Serves one connection, and tells of it.
fn serve_one(json: bool, socket: Socket, ends: &socket::Ends) {
    let peer = ends.remote.to_socket_addr().map_or_else(|| "nobody".to_owned(), |a| a.to_string());
    let path = path_of(ends).unwrap_or("unknown");
    let served = serve(&socket).and_then(|octets| socket.close().map(|()| octets).map_err(Failure::from));
    match (json, served) {
        (true, Ok(octets)) => {
            report::object(&json!({ "event": "echoed", "peer": peer, "path": path, "bytes": octets }));
        }
        (true, Err(failure)) => {
            report::object(&json!({ "event": "lost", "peer": peer, "path": path, "why": failure.message() }));
        }
        (false, Ok(octets)) => say!("{peer} over {path}: {octets} octets sent back"),
        (false, Err(failure)) => say!("{peer} over {path}: {}", failure.message()),
    }
}

fn listen(json: bool, device: &Client, address: SocketAddr, connections: u32) -> Result<(), Failure> {
    let listener = Socket::listen(device, address)?;
    report::listening(json, listener.local()?);
    let mut left = connections;
    thread::scope(|scope| {
        loop {
            match listener.accept() {
                Ok((socket, ends)) => {
                    scope.spawn(move || serve_one(json, socket, &ends));
                }
                // That is how one ends a listener without a number of connections.
                Err(_) if interrupt::pressed() && connections == 0 => return Ok(()),
                Err(e) => {
                    let state = format!("{} of {connections} connections came", connections - left);
                    return Err(interrupted(e.into(), &state));
                }
            }
            if connections != 0 {
                left -= 1;
                if left == 0 {
                    return Ok(());
                }
            }
        }
    })?;
    if interrupt::pressed() {
        return Ok(());
    }
    Ok(listener.close()?)
}

fn call(json: bool, socket: Socket, options: &Options) -> Result<(), Failure> {
    let path = path_of(&socket.ends()?)?;
    let began = Instant::now();
    let (mut octets, mut done) = (0u64, 0);
    let mut sizes = Pieces::new(3, 64 << 10);
    while done < options.count {
        let size = if options.size == 0 { sizes.next().unwrap_or(1) } else { options.size as usize };
        // Each message differs from the one before at every place.
        let message: Vec<u8> =
            (0..size).map(|i| (i as u8).wrapping_mul(31).wrapping_add(done as u8)).collect();
        let mut back = vec![0; size];
        let state = || format!("{done} of {} messages came back", options.count);
        let arrived = thread::scope(|scope| {
            let sent = scope.spawn(|| socket.send(&message));
            let arrived = socket.receive_all(&mut back).map_err(Failure::from);
            let sent = sent.join().map_err(|_| Failure::from("the sending thread failed"))?;
            sent.map_err(Failure::from).and(arrived)
        });
        let arrived = arrived.map_err(|failure| interrupted(failure, &state()))?;
        if arrived != size {
            return Err(format!("the peer ended the stream: {}", state()).into());
        }
        if back != message {
            let place = back.iter().zip(&message).position(|(a, b)| a != b).unwrap_or_default();
            return Err(format!("message {done} came back changed at octet {place} of {size}").into());
        }
        octets += size as u64;
        done += 1;
    }
    socket.disconnect()?;
    if socket.receive(&mut [0; 1])? != 0 {
        return Err("octets came back that nobody sent".into());
    }
    socket.close()?;
    let seconds = began.elapsed().as_secs_f64();
    if json {
        report::object(&json!({
            "event": "echo", "messages": done, "bytes": octets, "path": path, "seconds": seconds,
        }));
    } else {
        say!("{done} messages, {octets} octets, came back unchanged over {path} in {seconds:.3} s");
    }
    Ok(())
}
