//! Sockets of this machine: TCP over the loopback, and Unix sockets.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::thread::JoinHandle;

use anyhow::{Context, Result, ensure};

use super::Way;

/// A stream socket of the machine's.
pub(crate) trait Socket: Read + Write + Send + Sized + 'static {
    /// Two ends.
    ///
    /// # Errors
    /// The machine's.
    fn pair() -> Result<(Self, Self)>;

    /// Chooses whether calls wait.
    ///
    /// # Errors
    /// The machine's.
    fn wait(&self, waits: bool) -> Result<()>;
}

impl Socket for TcpStream {
    fn pair() -> Result<(Self, Self)> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        connect(&listener)
    }

    fn wait(&self, waits: bool) -> Result<()> {
        Ok(self.set_nonblocking(!waits)?)
    }
}

impl Socket for UnixStream {
    fn pair() -> Result<(Self, Self)> {
        Ok(Self::pair()?)
    }

    fn wait(&self, waits: bool) -> Result<()> {
        Ok(self.set_nonblocking(!waits)?)
    }
}

fn connect(listener: &TcpListener) -> Result<(TcpStream, TcpStream)> {
    let near = TcpStream::connect(listener.local_addr()?)?;
    let (far, _) = listener.accept()?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    Ok((near, far))
}

/// The octets of a call that does not wait; none if it would have to.
fn some(result: std::io::Result<usize>) -> Result<usize> {
    match result {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
        result => Ok(result?),
    }
}

/// One message, sent and received by one thread.
fn pass<S: Socket>(from: &mut S, to: &mut S, message: &[u8], room: &mut [u8]) -> Result<()> {
    let (mut sent, mut taken) = (0, 0);
    while taken < message.len() {
        if sent < message.len() {
            sent += some(from.write(message.get(sent..).unwrap_or_default()))?;
        }
        taken += some(to.read(room.get_mut(taken..).unwrap_or_default()))?;
    }
    Ok(())
}

/// Both ends on one thread: no thread is ever woken, which is the best that these sockets can do.
pub(crate) struct OneThread<S> {
    near: S,
    far: S,
    message: Vec<u8>,
    room: Vec<u8>,
    answers: bool,
}

impl<S: Socket> OneThread<S> {
    /// For messages of `octets`, with an answer or without.
    ///
    /// # Errors
    /// The machine's.
    pub(crate) fn new(octets: usize, answers: bool) -> Result<Self> {
        let (near, far) = S::pair()?;
        near.wait(false)?;
        far.wait(false)?;
        Ok(Self { near, far, message: vec![7; octets], room: vec![0; octets], answers })
    }
}

impl<S: Socket> Way for OneThread<S> {
    fn run(&mut self, times: u64) -> Result<()> {
        for _ in 0..times {
            pass(&mut self.near, &mut self.far, &self.message, &mut self.room)?;
            if self.answers {
                pass(&mut self.far, &mut self.near, &self.message, &mut self.room)?;
            }
        }
        Ok(())
    }
}

/// The other end on a thread of its own, as two programs are.
pub(crate) struct TwoThreads<S> {
    near: Option<S>,
    far: Option<JoinHandle<()>>,
    message: Vec<u8>,
    answers: bool,
}

impl<S: Socket> TwoThreads<S> {
    /// For messages of `octets`, with an answer or without. Without one, the thread says when it has taken all of a run.
    ///
    /// # Errors
    /// The machine's.
    pub(crate) fn new(octets: usize, answers: bool) -> Result<Self> {
        let (near, mut far) = S::pair()?;
        let serve = move || {
            let mut room = vec![0; octets];
            let mut header = [0; 8];
            // Until the other end is closed.
            while far.read_exact(&mut header).is_ok() {
                for _ in 0..u64::from_le_bytes(header) {
                    if far.read_exact(&mut room).is_err() {
                        return;
                    }
                    if answers && far.write_all(&room).is_err() {
                        return;
                    }
                }
                if !answers && far.write_all(&header).is_err() {
                    return;
                }
            }
        };
        let far = Some(std::thread::spawn(serve));
        Ok(Self { near: Some(near), far, message: vec![7; octets], answers })
    }
}

impl<S: Socket> Way for TwoThreads<S> {
    fn run(&mut self, times: u64) -> Result<()> {
        let near = self.near.as_mut().context("closed")?;
        near.write_all(&times.to_le_bytes())?;
        let mut room = vec![0; self.message.len()];
        for _ in 0..times {
            near.write_all(&self.message)?;
            if self.answers {
                near.read_exact(&mut room)?;
            }
        }
        if !self.answers {
            let mut all = [0; 8];
            near.read_exact(&mut all)?;
            ensure!(u64::from_le_bytes(all) == times, "octets are lost");
        }
        Ok(())
    }
}

impl<S> Drop for TwoThreads<S> {
    fn drop(&mut self) {
        drop(self.near.take());
        if let Some(far) = self.far.take() {
            // Its end is all that is asked for.
            let _ = far.join();
        }
    }
}

/// Connecting, accepting, and closing both.
pub(crate) struct Connects(TcpListener);

impl Connects {
    /// A listener to connect to.
    ///
    /// # Errors
    /// The machine's.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?))
    }
}

impl Way for Connects {
    fn run(&mut self, times: u64) -> Result<()> {
        for _ in 0..times {
            drop(connect(&self.0)?);
        }
        Ok(())
    }
}

/// Exchanges over many connections, one after the other.
pub(crate) struct Many {
    connections: Vec<OneThread<TcpStream>>,
    next: usize,
}

impl Many {
    /// So many connections.
    ///
    /// # Errors
    /// The machine's.
    pub(crate) fn new(count: usize, octets: usize) -> Result<Self> {
        let connections = (0..count).map(|_| OneThread::new(octets, true)).collect::<Result<_>>()?;
        Ok(Self { connections, next: 0 })
    }
}

impl Way for Many {
    fn run(&mut self, times: u64) -> Result<()> {
        for _ in 0..times {
            let at = self.next;
            self.next = (at + 1) % self.connections.len().max(1);
            if let Some(connection) = self.connections.get_mut(at) {
                connection.run(1)?;
            }
        }
        Ok(())
    }
}
