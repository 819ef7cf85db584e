//! A running guest: QEMU without hardware help, and what it is told over its second serial port.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use duct::cmd;

use super::image::Image;
use crate::command;

/// What every script of the guest runs in.
const RUN: &str = include_str!("../../guest/run");
/// A program of the guest that serves many connections.
const ECHO: &str = include_str!("../../guest/echo.c");
/// Emulated, on a machine that is busy.
const BOOT: Duration = Duration::from_secs(180);

/// The guest. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Guest {
    qemu: Child,
    folder: PathBuf,
    agent: TcpStream,
    running: Running,
    next: u32,
}

/// Who waits for which script.
type Running = Arc<Mutex<HashMap<String, Sender<Said>>>>;

/// What a script says.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    /// Something before its end.
    Tells(String),
    /// It has ended, with this exit code.
    Ends(i32),
}

/// A script in the guest.
#[derive(Debug)]
pub(crate) struct Script {
    name: String,
    said: Receiver<Said>,
    output: PathBuf,
}

/// How a script has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ended {
    /// Its exit code.
    pub(crate) code: i32,
    /// What it printed, on both streams.
    pub(crate) output: String,
}

/// Builds the guest's own program into the folder that it shares.
///
/// # Errors
///
/// What the compiler says.
pub(crate) fn build(shared: &Path) -> Result<()> {
    let compile =
        cmd!("gcc", "-O1", "-Wall", "-Wextra", "-Werror", "-x", "c", "-", "-o", shared.join("echo"));
    command::quiet("gcc", &compile.stdin_bytes(ECHO))
}

impl Guest {
    /// Starts a guest whose files and capture are in `folder`. Connections to `ports` of this machine's 127.0.0.1 reach the
    /// same ports of the guest.
    ///
    /// # Errors
    ///
    /// If QEMU cannot be started, or the guest does not come up.
    pub(crate) fn start(image: &Image, folder: &Path, ports: &[u16]) -> Result<Self> {
        fs::create_dir_all(folder.join("shared")).with_context(|| folder.display().to_string())?;
        fs::write(folder.join("shared/run"), RUN)?;
        let listener = TcpListener::bind(("127.0.0.1", 0)).context("no port for the guest's agent")?;
        let agent = listener.local_addr()?.port();
        let mut net = String::from("user,id=net");
        for port in ports {
            net.push_str(&format!(",hostfwd=tcp:127.0.0.1:{port}-:{port}"));
        }
        let mut qemu = Command::new("qemu-system-x86_64");
        qemu.current_dir(folder)
            .args(["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "1024"])
            .args(["-nodefaults", "-no-reboot", "-display", "none"])
            .arg("-kernel")
            .arg(&image.kernel)
            .arg("-initrd")
            .arg(&image.initrd)
            .args(["-append", "console=ttyS0 panic=-1 quiet"])
            .args(["-serial", "file:console"])
            .args(["-chardev", &format!("socket,id=agent,host=127.0.0.1,port={agent}")])
            .args(["-serial", "chardev:agent"])
            .args(["-netdev", &net, "-device", "virtio-net-pci,netdev=net"])
            .args(["-object", "filter-dump,id=dump,netdev=net,file=capture.pcap"])
            .args(["-virtfs", "local,path=shared,mount_tag=host,security_model=none"])
            .stdin(Stdio::null())
            .stdout(File::create(folder.join("qemu"))?)
            .stderr(File::create(folder.join("qemu-errors"))?);
        let mut qemu = qemu.spawn().context("cannot start qemu-system-x86_64")?;
        let said = |what: &str| fs::read_to_string(folder.join(what)).unwrap_or_default();
        let accepted = accept(&listener, &mut qemu);
        let agent = accepted.with_context(|| format!("QEMU has not come up: {}", said("qemu-errors")))?;
        let running = Running::default();
        let guest = Self { qemu, folder: folder.to_owned(), agent, running: Arc::clone(&running), next: 0 };
        let up = guest.expect("init");
        let input = BufReader::new(guest.agent.try_clone()?);
        thread::spawn(move || listen(input, &running));
        match up.recv_timeout(BOOT) {
            Ok(_) => Ok(guest),
            Err(_) => bail!("the guest has not come up:\n{}", said("console")),
        }
    }

    fn expect(&self, name: &str) -> Receiver<Said> {
        let (sender, receiver) = mpsc::channel();
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.insert(name.to_owned(), sender);
        receiver
    }

    /// Starts a script for the guest's shell.
    ///
    /// # Errors
    ///
    /// If the guest has gone.
    pub(crate) fn run(&mut self, script: &str) -> Result<Script> {
        self.next += 1;
        let name = format!("script-{}", self.next);
        let shared = self.folder.join("shared");
        fs::write(shared.join(format!("{name}.sh")), script)?;
        let said = self.expect(&name);
        self.agent.write_all(format!("{name}\n").as_bytes()).context("the guest has gone")?;
        let output = shared.join(format!("{name}.out"));
        Ok(Script { name, said, output })
    }

    /// Where this guest's packets are, all that have passed so far.
    pub(crate) fn capture(&self) -> PathBuf {
        self.folder.join("capture.pcap")
    }

    /// The last lines of the guest's console.
    pub(crate) fn console(&self) -> String {
        let console = fs::read_to_string(self.folder.join("console")).unwrap_or_default();
        let lines: Vec<&str> = console.lines().collect();
        lines.get(lines.len().saturating_sub(20)..).unwrap_or_default().join("\n")
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // It has nothing to save.
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

impl Script {
    /// Waits until the script tells `word`.
    ///
    /// # Errors
    ///
    /// If it ends before, or takes longer.
    pub(crate) fn wait_for(&self, word: &str, limit: Duration) -> Result<()> {
        let deadline = Instant::now() + limit;
        loop {
            match self.said.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(Said::Tells(told)) if told == word => return Ok(()),
                Ok(Said::Tells(_)) => {}
                Ok(Said::Ends(code)) => {
                    bail!(
                        "the guest's program ended with code {code} before it was {word}:\n{}",
                        self.printed()
                    )
                }
                Err(RecvTimeoutError::Timeout) => {
                    bail!(
                        "the guest's program is not {word} after {} s:\n{}",
                        limit.as_secs(),
                        self.printed()
                    )
                }
                Err(RecvTimeoutError::Disconnected) => bail!("the guest has gone"),
            }
        }
    }

    /// Waits for the end.
    ///
    /// # Errors
    ///
    /// If it takes longer.
    pub(crate) fn wait(&self, limit: Duration) -> Result<Ended> {
        let deadline = Instant::now() + limit;
        loop {
            match self.said.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(Said::Ends(code)) => return Ok(Ended { code, output: self.printed() }),
                Ok(Said::Tells(_)) => {}
                Err(RecvTimeoutError::Timeout) => {
                    bail!(
                        "{} runs longer than {} s in the guest:\n{}",
                        self.name,
                        limit.as_secs(),
                        self.printed()
                    )
                }
                Err(RecvTimeoutError::Disconnected) => bail!("the guest has gone"),
            }
        }
    }

    fn printed(&self) -> String {
        let octets = fs::read(&self.output).unwrap_or_default();
        String::from_utf8_lossy(&octets).trim_end().to_owned()
    }
}

/// Waits until QEMU connects, or ends.
fn accept(listener: &TcpListener, qemu: &mut Child) -> Result<TcpStream> {
    listener.set_nonblocking(true)?;
    let deadline = Instant::now() + BOOT;
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false)?;
                return Ok(stream);
            }
            Err(error) if error.kind() != std::io::ErrorKind::WouldBlock => return Err(error.into()),
            Err(_) => {}
        }
        if let Some(status) = qemu.try_wait()? {
            bail!("it ended: {status}");
        }
        if Instant::now() > deadline {
            bail!("nothing for {} s", BOOT.as_secs());
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// Hands on what the guest says, until it goes.
fn listen(input: impl BufRead, running: &Running) {
    for line in input.lines().map_while(Result::ok) {
        let Some((name, said)) = parse(&line) else { continue };
        let mut running = running.lock().unwrap_or_else(PoisonError::into_inner);
        // Nobody may wait for it any more.
        if let Some(sender) = running.get(name) {
            let _ = sender.send(said);
        }
        if !line.contains(" tell ") {
            running.remove(name);
        }
    }
    running.lock().unwrap_or_else(PoisonError::into_inner).clear();
}

/// A line of the guest: who says what.
fn parse(line: &str) -> Option<(&str, Said)> {
    let (name, rest) = line.trim_end().split_once(' ')?;
    if let Some(told) = rest.strip_prefix("tell ") {
        return Some((name, Said::Tells(told.to_owned())));
    }
    if rest == "ready" {
        return Some((name, Said::Ends(0)));
    }
    Some((name, Said::Ends(rest.strip_prefix("end ")?.parse().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guests_lines_are_read() {
        assert_eq!(parse("init ready"), Some(("init", Said::Ends(0))));
        assert_eq!(parse("script-1 end 137\r"), Some(("script-1", Said::Ends(137))));
        assert_eq!(parse("script-1 tell listening"), Some(("script-1", Said::Tells("listening".to_owned()))));
        assert_eq!(parse("noise"), None);
        assert_eq!(parse("script-1 end soon"), None);
    }

    #[test]
    fn a_script_that_ends_too_early_says_so() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let output = folder.path().join("out");
        fs::write(&output, "no such device\n").expect("a writable folder");
        let (sender, said) = mpsc::channel();
        let script = Script { name: "script-1".to_owned(), said, output };
        sender.send(Said::Ends(1)).expect("the receiver is here");
        let message = script.wait_for("listening", BOOT).expect_err("it ended").to_string();
        assert!(message.contains("code 1") && message.ends_with("no such device"), "{message}");
        drop(sender);
        assert!(script.wait(BOOT).expect_err("the guest is not there").to_string().contains("gone"));
    }
}
