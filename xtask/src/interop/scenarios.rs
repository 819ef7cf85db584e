//! The scenarios, each with one end in the guest and one in a process of this machine.

use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

use anyhow::{Context, Result, ensure};

use super::ours::Outcome;
use super::stage::{Expected, From, LIMIT, Stage, succeed};

/// One scenario.
#[derive(Debug)]
pub(crate) struct Scenario {
    /// Its name; its last word says who connects.
    pub(crate) name: &'static str,
    /// What it does.
    pub(crate) about: &'static str,
    /// Who connects.
    pub(crate) from: From,
    run: fn(&mut Stage<'_>, From) -> Result<Expected>,
}

impl Scenario {
    /// Runs it; gives what the capture has to show.
    ///
    /// # Errors
    ///
    /// What went wrong.
    pub(crate) fn run(&self, stage: &mut Stage<'_>) -> Result<Expected> {
        (self.run)(stage, self.from)
    }
}

/// Octets of the large transfers.
const LARGE: u64 = 64 << 20;
/// Octets that a stalled reader lets wait.
const STALLED: u64 = 4 << 20;

/// Carries one connection to the guest's port to what listens on port 7471 of the guest's IPv6 address, and ends as that does.
const INNER: &str = "inner=$!; await 7471; busybox nc -l -p $port -e busybox nc $here6 7471 & wait $inner";

/// Every scenario, in both directions.
macro_rules! both {
    ($(($linux:literal, $us:literal, $run:ident, $about:literal),)*) => {
        &[$(
            Scenario { name: $linux, about: $about, from: From::Linux, run: $run },
            Scenario { name: $us, about: $about, from: From::Us, run: $run },
        )*]
    };
}

/// In the order in which they run.
pub(crate) const SCENARIOS: &[Scenario] = both![
    ("rping-from-linux", "rping-to-linux", rping, "rping and the raw adapter: sends, reads, writes"),
    ("rstream-from-linux", "rstream-to-linux", rstream, "rstream verifies what it gets, as do we"),
    ("riostream-from-linux", "riostream-to-linux", riostream, "riostream finds no mapping and ends in order"),
    ("http-from-linux", "http-to-linux", http, "64 MiB by HTTP, with checksum, under librspreload.so"),
    ("half-close-from-linux", "half-close-to-linux", half_close, "who has finished still receives"),
    (
        "linux-killed-from-linux",
        "linux-killed-to-linux",
        linux_killed,
        "a killed peer is an error, not an end"
    ),
    (
        "we-are-killed-from-linux",
        "we-are-killed-to-linux",
        we_are_killed,
        "a Linux writer learns that we are gone"
    ),
    (
        "stalled-from-linux",
        "stalled-to-linux",
        stalled,
        "a reader that stalls for four seconds loses nothing"
    ),
    ("octets-from-linux", "octets-to-linux", octets, "10,000 messages of one octet each way"),
    ("hundred-from-linux", "hundred-to-linux", hundred, "100 connections in turn"),
    ("twenty-from-linux", "twenty-to-linux", twenty, "20 connections at once"),
    ("ipv6-from-linux", "ipv6-to-linux", ipv6, "rstream over IPv6"),
];

/// One rsockets connection that carried so many octets.
const fn one(octets: u64) -> Expected {
    Expected { connections: 1, rsockets: true, octets }
}

/// The only connection of a peer.
fn only(connections: Vec<Outcome>) -> Result<Outcome> {
    let count = connections.len();
    let [only] =
        <[Outcome; 1]>::try_from(connections).ok().with_context(|| format!("{count} connections"))?;
    Ok(only)
}

/// The first word of the last line.
fn word(output: &str) -> &str {
    output.lines().next_back().and_then(|line| line.split_whitespace().next()).unwrap_or_default()
}

/// What rstream does with a connection, from the other end: it counts octets, first to synchronise. Who connects sends first.
fn rstream_steps(from: From, size: u32, count: u32, times: usize) -> Vec<String> {
    let (send, receive) = (format!("count={size}x{count}"), format!("counted={size}x{count}"));
    let (sync, synced) = ("count=16".to_owned(), "counted=16".to_owned());
    let mut steps = match from {
        From::Us => vec![sync, synced],
        From::Linux => vec![synced, sync],
    };
    for _ in 0..times {
        match from {
            From::Us => steps.extend([send.clone(), receive.clone()]),
            From::Linux => steps.extend([receive.clone(), send.clone()]),
        }
    }
    steps.push("receive".to_owned());
    steps
}

/// rstream against a peer, at the given addresses of it.
fn rstream_of(
    stage: &mut Stage<'_>,
    from: From,
    (size, count, times): (u32, u32, usize),
    (linux, at): (&str, &str),
) -> Result<Expected> {
    let steps = rstream_steps(from, size, count, times);
    let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
    let rstream = format!("rstream {linux} -S {size} -C {count} -I {times} -T b -T v");
    let (script, peer) = match from {
        From::Linux => {
            let peer = stage.peer_at(at, from, &[], &steps)?;
            (stage.linux(&rstream)?, peer)
        }
        From::Us => {
            let script = stage.linux_listens(&rstream)?;
            (script, stage.peer_at(at, from, &[], &steps)?)
        }
    };
    let ours = only(peer.finish(LIMIT)?)?;
    ensure!(ours.ended, "no orderly end: {ours:?}");
    succeed(&script)?;
    Ok(one(2 * (16 + u64::from(size) * u64::from(count) * times as u64)))
}

fn rstream_sized(stage: &mut Stage<'_>, from: From, sizes: (u32, u32, usize)) -> Result<Expected> {
    let linux = if from == From::Linux { "-s $there -p $port" } else { "-b $here -p $port" };
    let at = format!("127.0.0.1:{}", stage.port);
    rstream_of(stage, from, sizes, (linux, &at))
}

fn rping(stage: &mut Stage<'_>, from: From) -> Result<Expected> {
    const PINGS: &str = "100";
    let at = format!("127.0.0.1:{}", stage.port);
    let (script, peer) = match from {
        From::Linux => {
            let mut peer = stage.ours(&["rping", "--listen", &at])?;
            peer.wait_for("listening", LIMIT)?;
            (stage.linux(&format!("rping -c -a $there -p $port -C {PINGS} -V -S 3000"))?, peer)
        }
        From::Us => {
            let script = stage.linux_listens(&format!("rping -s -a $here -p $port -C {PINGS} -V -S 3000"))?;
            (script, stage.ours(&["rping", "--connect", &at, "--count", PINGS, "--size", "3000"])?)
        }
    };
    let ours = only(peer.finish(LIMIT)?)?;
    ensure!(ours.pings == 100, "our end has seen other pings: {ours:?}");
    succeed(&script)?;
    Ok(Expected { connections: 1, rsockets: false, octets: 0 })
}

fn rstream(stage: &mut Stage<'_>, from: From) -> Result<Expected> {
    rstream_sized(stage, from, (1024, 16, 100))
}

fn octets(stage: &mut Stage<'_>, from: From) -> Result<Expected> {
    rstream_sized(stage, from, (1, 10_000, 1))
}

/// riostream writes into mappings that its peer offers. A WSK socket offers none, which it says when it connects: riostream
/// gives up in order.
fn riostream(stage: &mut Stage<'_>, from: From) -> Result<Expected> {
    let (script, peer) = match from {
        From::Linux => {
            let peer = stage.peer(from, &[], &["receive"])?;
            (stage.linux("riostream -s $there -p $port -S 1000 -C 10")?, peer)
        }
        From::Us => {
            let script = stage.linux_listens("riostream -b $here -p $port -S 1000 -C 10")?;
            (script, stage.peer(from, &[], &["receive"])?)
        }
    };
    let ours = only(peer.finish(LIMIT)?)?;
    ensure!(ours.ended && ours.received == 0, "no orderly end: {ours:?}");
    let ended = script.wait(LIMIT)?;
    ensure!(ended.code != 0 && ended.output.contains("riomap"), "it has mapped something: {}", ended.output);
    Ok(one(0))
}

/// Whose program ends first may lose its last octets over siw (docs/iwarp.md), so nc waits for us.
fn http(stage: &mut Stage<'_>, from: From) -> Result<Expected> {
    let header = format!("HTTP/1.0 200 OK\\nContent-Length: {LARGE}\\n\\n");
    match from {
        From::Linux => {
            let (text, send) = (format!("text={header}"), format!("send={LARGE}"));
            let peer = stage.peer(from, &[], &["header", &text, &send, "finish", "receive"])?;
            // The header is part of our checksum.
            let ended = stage.linux_done("rsockets curl -sS -i http://$there:$port/ | sha256sum")?;
            let ours = only(peer.finish(LIMIT)?)?;
            ensure!(
                ours.sent_sha256 == word(&ended.output),
                "curl has other octets: {}, {ours:?}",
                ended.output
            );
        }
        From::Us => {
            let script = stage.linux_listens(&format!(
                "head -c {LARGE} /dev/urandom > /run/large\n\
                 (printf 'HTTP/1.0 200 OK\\r\\nContent-Length: {LARGE}\\r\\n\\r\\n'; cat /run/large) |\n\
                 rsockets nc.traditional -q -1 -l -p $port -s $here > /dev/null\n\
                 sha256sum /run/large; rm /run/large"
            ))?;
            let steps = ["text=GET / HTTP/1.0\\n\\n", "header", "body", "finish", "receive"];
            let ours = only(stage.peer(from, &[], &steps)?.finish(LIMIT)?)?;
            let ended = succeed(&script)?;
            ensure!(ours.received == LARGE, "our end has received another number of octets: {ours:?}");
            ensure!(
                ours.received_sha256 == word(&ended.output),
                "other octets than {}: {ours:?}",
                ended.output
            );
        }
    }
    Ok(one(LARGE))
}

/// Linux finishes and hears us; then we finish and hear Linux.
fn half_close(stage: &mut Stage<'_>, from: From) -> Result<Expected> {
    let steps = ["receive", "hold=500", "text=late", "finish"];
    let (ended, connections, octets) = match from {
        From::Linux => {
            let peer = stage.peer(from, &[], &steps)?;
            let ended = stage.linux_done("echo hello | rsockets busybox nc $there $port")?;
            let ours = only(peer.finish(LIMIT)?)?;
            ensure!(ours.received == 6 && ours.ended, "our end has not heard it: {ours:?}");
            // iperf writes without looking at what it hears.
            let peer = stage.peer(from, &[], &["receive=1000", "finish", "hold=500", "receive"])?;
            stage.linux_done("rsockets iperf -c $there -p $port -n 1M")?;
            let ours = only(peer.finish(LIMIT)?)?;
            let received = ours.received;
            ensure!(received >= 1 << 20 && ours.ended, "we have finished, and do not hear all: {ours:?}");
            (ended, 2, 1 << 20)
        }
        From::Us => {
            let script =
                stage.linux_listens(&format!("(echo hello | rsockets busybox nc -l -p 7471) &\n{INNER}"))?;
            let ours = only(stage.peer(from, &[], &steps)?.finish(LIMIT)?)?;
            ensure!(ours.received == 6 && ours.ended, "our end has not heard it: {ours:?}");
            (succeed(&script)?, 1, 10)
        }
    };
    ensure!(ended.output == "late", "Linux has heard {:?}", ended.output);
    Ok(Expected { connections, rsockets: true, octets })
}

/// The Linux program is killed while it writes.
fn linux_killed(stage: &mut Stage<'_>, from: From) -> Result<Expected> {
    let steps = ["receive=1000000", "say=talking", "lost"];
    let (script, mut peer) = match from {
        From::Linux => {
            let peer = stage.peer(from, &[], &steps)?;
            (stage.linux("rsockets nc.traditional $there $port < /dev/zero")?, peer)
        }
        From::Us => {
            let script = stage.linux_listens("rsockets nc.traditional -l -p $port -s $here < /dev/zero")?;
            (script, stage.peer(from, &[], &steps)?)
        }
    };
    peer.wait_for("talking", LIMIT)?;
    stage.linux_done("kill -9 $(pidof nc.traditional)")?;
    let ours = only(peer.finish(LIMIT)?)?;
    ensure!(ours.lost.is_some(), "the loss was not seen: {ours:?}");
    let ended = script.wait(LIMIT)?;
    ensure!(ended.code == 137, "it was not killed: {ended:?}");
    Ok(one(1_000_000))
}

/// Our process is killed while Linux writes. Linux' TCP learns of it at once, but rsockets (librdmacm 44) tells only who polls:
/// a reader hears an orderly end, a writer ECONNRESET. Who is inside a call that blocks is never told, so rstream polls here.
fn we_are_killed(stage: &mut Stage<'_>, from: From) -> Result<Expected> {
    // rstream synchronises first, and who connects to it sends first.
    let (script, mut peer) = match from {
        From::Linux => {
            let steps = ["receive=16", "send=16", "receive=1000000", "say=talking", "receive"];
            let peer = stage.peer(from, &[], &steps)?;
            (stage.linux("rstream -s $there -p $port -S 65536 -C 100000 -T a")?, peer)
        }
        From::Us => {
            let script = stage.linux_listens("rstream -b $here -p $port -S 4000000 -C 1 -T a")?;
            let steps =
                ["send=16", "receive=16", "send=4000000", "receive=1000000", "say=talking", "hold=600000"];
            (script, stage.peer(from, &[], &steps)?)
        }
    };
    peer.wait_for("talking", LIMIT)?;
    peer.kill()?;
    let ended = script.wait(LIMIT)?;
    ensure!(ended.code != 0, "Linux has seen no error: {ended:?}");
    Ok(one(1_000_000))
}

/// Who accepts lets the other one's octets wait.
fn stalled(stage: &mut Stage<'_>, from: From) -> Result<Expected> {
    match from {
        From::Linux => {
            let receive = format!("receive={STALLED}");
            let peer = stage.peer(from, &[], &["hold=4000", &receive, "finish", "receive"])?;
            let ended = stage.linux_done(&format!(
                "head -c {STALLED} /dev/urandom > /run/stalled\n\
                 rsockets nc.traditional -q -1 $there $port < /run/stalled\n\
                 sha256sum /run/stalled; rm /run/stalled"
            ))?;
            let ours = only(peer.finish(LIMIT)?)?;
            ensure!(
                ours.received_sha256 == word(&ended.output),
                "other octets than {}: {ours:?}",
                ended.output
            );
        }
        From::Us => {
            let script = stage.linux_listens(
                "mkfifo /run/silent\n\
                 rsockets nc.traditional -l -p $port -s $here <> /run/silent | (sleep 4; sha256sum)",
            )?;
            let send = format!("send={STALLED}");
            let ours = only(stage.peer(from, &[], &[&send, "finish", "receive"])?.finish(LIMIT)?)?;
            let ended = succeed(&script)?;
            ensure!(ours.sent_sha256 == word(&ended.output), "other octets than {}: {ours:?}", ended.output);
        }
    }
    Ok(one(STALLED))
}

fn hundred(stage: &mut Stage<'_>, from: From) -> Result<Expected> {
    many(stage, from, 100, false)
}

fn twenty(stage: &mut Stage<'_>, from: From) -> Result<Expected> {
    many(stage, from, 20, true)
}

/// Many short connections: rstream as often in the guest, or one program there that serves all.
fn many(stage: &mut Stage<'_>, from: From, count: usize, together: bool) -> Result<Expected> {
    let times = count.to_string();
    let mut options = vec!["--times", times.as_str()];
    options.extend(together.then_some("--together"));
    let (ours, octets) = match from {
        From::Linux => {
            let steps = rstream_steps(from, 100, 2, 1);
            let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
            let peer = stage.peer(from, &options, &steps)?;
            let (behind, after) = if together { (" &", "wait") } else { ("", "") };
            stage.linux_done(&format!(
                "run() {{ rstream -s $there -p $port -S 100 -C 2 -I 1 -T b -T v || echo failed; }}\n\
                 for _ in $(seq {count}); do\n run{behind}\n done > /run/many 2>&1; {after}\n\
                 grep -v '^name\\|^custom' /run/many; test $(grep -c ^custom /run/many) = {count}"
            ))?;
            (peer.finish(LIMIT)?, 2 * (16 + 200))
        }
        From::Us => {
            let script = stage.linux_listens(&format!(
                "rsockets /host/echo $here $port {count} || (echo echo ended with $?; exit 1)"
            ))?;
            let steps = ["count=1000", "counted=1000", "finish", "receive"];
            let ours = stage.peer(from, &options, &steps)?.finish(LIMIT)?;
            succeed(&script)?;
            (ours, 2 * 1000)
        }
    };
    let ended = ours.iter().filter(|connection| connection.ended).count();
    ensure!(
        ours.len() == count && ended == count,
        "{ended} connections have ended in order, of {}",
        ours.len()
    );
    Ok(Expected { connections: count, rsockets: true, octets: octets * count as u64 })
}

/// QEMU's user network carries IPv6 out of the guest, but not into it: towards the guest the octets change to IPv4 between
/// two relays, and each of the two ends has a connection over IPv6.
fn ipv6(stage: &mut Stage<'_>, from: From) -> Result<Expected> {
    const SIZES: (u32, u32, usize) = (1024, 16, 4);
    match from {
        From::Linux => {
            let at = format!("[::1]:{}", stage.port);
            rstream_of(stage, from, SIZES, ("-s $there6 -p $port", &at))
        }
        From::Us => {
            let port = relay(stage.port)?;
            let at = format!("[::1]:{port}");
            let steps = rstream_steps(from, SIZES.0, SIZES.1, SIZES.2);
            let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
            let (size, count, times) = SIZES;
            let script = stage.linux_listens(&format!(
                "rstream -b $here6 -p 7471 -S {size} -C {count} -I {times} -T b -T v &\n{INNER}"
            ))?;
            let ours = only(stage.peer_at(&at, from, &[], &steps)?.finish(LIMIT)?)?;
            ensure!(ours.ended, "no orderly end: {ours:?}");
            succeed(&script)?;
            Ok(one(2 * (16 + u64::from(size) * u64::from(count) * times as u64)))
        }
    }
}

/// Carries one connection from a port of `::1` to one of 127.0.0.1.
fn relay(to: u16) -> Result<u16> {
    let listener = TcpListener::bind("[::1]:0").context("no IPv6")?;
    let port = listener.local_addr()?.port();
    thread::spawn(move || -> io::Result<()> {
        let (inner, _) = listener.accept()?;
        let outer = TcpStream::connect(("127.0.0.1", to))?;
        let (mut from_inner, mut to_outer) = (inner.try_clone()?, outer.try_clone()?);
        let there = thread::spawn(move || {
            let copied = io::copy(&mut from_inner, &mut to_outer);
            to_outer.shutdown(Shutdown::Write).and(copied)
        });
        let (mut from_outer, mut to_inner) = (outer, inner);
        io::copy(&mut from_outer, &mut to_inner)?;
        to_inner.shutdown(Shutdown::Write)?;
        // What a peer that has gone makes of its direction is nobody's concern.
        let _ = there.join();
        Ok(())
    });
    Ok(port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_connects_sends_first() {
        let ours = rstream_steps(From::Us, 8, 2, 1);
        assert_eq!(ours, ["count=16", "counted=16", "count=8x2", "counted=8x2", "receive"]);
        let linux = rstream_steps(From::Linux, 8, 2, 1);
        assert_eq!(linux, ["counted=16", "count=16", "counted=8x2", "count=8x2", "receive"]);
    }

    #[test]
    fn names_say_who_connects() {
        for scenario in SCENARIOS {
            let word = if scenario.from == From::Linux { "-from-linux" } else { "-to-linux" };
            assert!(scenario.name.ends_with(word), "{}", scenario.name);
        }
    }
}
