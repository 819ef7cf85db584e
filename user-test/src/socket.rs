//! Sockets of the test client, each request one WSK call.

use crate::device::{Device, DeviceError, call, open_client, tell};
use crate::failure::Failure;
use crate::interrupt::{self, Wanted};
use crate::status;
use control::client::{
    self, AcceptReply, AddressRequest, DisconnectRequest, ReceiveRequest, SendReply, SendRequest, SocketId,
    SocketReply, SocketRequest,
};
use control::{Address, Record};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

/// WSK_FLAG_LISTEN_SOCKET.
const LISTEN: u32 = 1;
/// WSK_FLAG_CONNECTION_SOCKET.
const CONNECTION: u32 = 2;

/// The test client, open.
pub(crate) type Client = Arc<dyn Device>;

/// Opens the test client and refuses one of another version.
///
/// # Errors
/// It is not there, or of another version.
pub(crate) fn client() -> Result<Client, Failure> {
    let device: Client = Arc::from(open_client()?);
    status::ask_version(&*device, client::IOCTL_VERSION)?;
    Ok(device)
}

/// A socket of the test client; closed when dropped, whatever happened.
pub(crate) struct Socket {
    device: Client,
    id: u32,
    /// WskCloseSocket was called.
    closed: bool,
    /// Ctrl-C closes it, which ends its requests.
    wanted: Option<Wanted>,
}

/// The two ends of a connection, as the driver names them.
#[derive(Clone, Copy)]
pub(crate) struct Ends {
    pub(crate) local: Address,
    pub(crate) remote: Address,
}

impl Socket {
    fn new(device: &Client, flags: u32, family: u16) -> Result<Self, DeviceError> {
        let request = SocketRequest { family, socket_type: 1, protocol: 6, flags };
        let reply: SocketReply = call(&**device, "WskSocket", client::IOCTL_SOCKET, &request)?;
        Ok(Self::of(device.clone(), reply.socket))
    }

    fn of(device: Client, id: u32) -> Self {
        let weak = Arc::downgrade(&device);
        let wanted = interrupt::also(move || {
            if let Some(device) = weak.upgrade() {
                let _ = tell(&*device, "WskCloseSocket", client::IOCTL_CLOSE, &SocketId { socket: id });
            }
        });
        Self { device, id, closed: false, wanted: Some(wanted) }
    }

    fn address(&self, what: &'static str, code: u32, address: SocketAddr) -> Result<(), DeviceError> {
        let request = AddressRequest { socket: self.id, reserved: 0, address: address.into() };
        tell(&*self.device, what, code, &request)
    }

    /// A socket that listens at `address`; port 0 has the provider choose.
    ///
    /// # Errors
    /// Those of WskSocket and WskBind.
    pub(crate) fn listen(device: &Client, address: SocketAddr) -> Result<Self, Failure> {
        let socket = Self::new(device, LISTEN, family(address))?;
        let bound = socket.address("WskBind", client::IOCTL_BIND, address);
        bound.map_err(|e| Failure::from(e).during(&format!("cannot listen at {address}")))?;
        Ok(socket)
    }

    /// A socket bound to a free port of the wildcard, or of the loopback address where that is the target's.
    ///
    /// # Errors
    /// Those of WskSocket and WskBind.
    pub(crate) fn to_connect(device: &Client, target: SocketAddr) -> Result<Self, Failure> {
        let any: IpAddr = match target {
            target if target.ip().is_loopback() => target.ip(),
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = Self::new(device, CONNECTION, family(target))?;
        socket.address("WskBind", client::IOCTL_BIND, SocketAddr::new(any, 0))?;
        Ok(socket)
    }

    /// WskConnect.
    ///
    /// # Errors
    /// Its status.
    pub(crate) fn connect(&self, target: SocketAddr) -> Result<(), Failure> {
        let connected = self.address("WskConnect", client::IOCTL_CONNECT, target);
        connected.map_err(|e| Failure::from(e).during(&format!("cannot connect to {target}")))
    }

    /// A socket connected to `target`.
    ///
    /// # Errors
    /// Those of WskSocket, WskBind and WskConnect.
    pub(crate) fn connected(device: &Client, target: SocketAddr) -> Result<Self, Failure> {
        let socket = Self::to_connect(device, target)?;
        socket.connect(target)?;
        Ok(socket)
    }

    /// WskGetLocalAddress.
    ///
    /// # Errors
    /// Its status.
    pub(crate) fn local(&self) -> Result<SocketAddr, Failure> {
        self.ask("WskGetLocalAddress", client::IOCTL_LOCAL_ADDRESS)?
            .to_socket_addr()
            .ok_or_else(|| DeviceError::Malformed("WskGetLocalAddress").into())
    }

    /// Both addresses of a connection.
    ///
    /// # Errors
    /// Those of WskGetLocalAddress and WskGetRemoteAddress.
    pub(crate) fn ends(&self) -> Result<Ends, Failure> {
        Ok(Ends {
            local: self.ask("WskGetLocalAddress", client::IOCTL_LOCAL_ADDRESS)?,
            remote: self.ask("WskGetRemoteAddress", client::IOCTL_REMOTE_ADDRESS)?,
        })
    }

    fn ask(&self, what: &'static str, code: u32) -> Result<Address, DeviceError> {
        call(&*self.device, what, code, &SocketId { socket: self.id })
    }

    /// WskAccept.
    ///
    /// # Errors
    /// Its status.
    pub(crate) fn accept(&self) -> Result<(Self, Ends), DeviceError> {
        let request = SocketId { socket: self.id };
        let reply: AcceptReply = call(&*self.device, "WskAccept", client::IOCTL_ACCEPT, &request)?;
        let socket = Self::of(self.device.clone(), reply.socket);
        Ok((socket, Ends { local: reply.local, remote: reply.remote }))
    }

    /// WskSend of all octets.
    ///
    /// # Errors
    /// Its status.
    pub(crate) fn send(&self, octets: &[u8]) -> Result<(), DeviceError> {
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

    /// WskReceive; 0 octets at the end of the stream.
    ///
    /// # Errors
    /// Its status.
    pub(crate) fn receive(&self, into: &mut [u8]) -> Result<usize, DeviceError> {
        let mut request = [0; ReceiveRequest::SIZE];
        let malformed = |_| DeviceError::Malformed("WskReceive");
        ReceiveRequest { socket: self.id, flags: 0 }.encode(&mut request).map_err(malformed)?;
        match self.device.ioctl(client::IOCTL_RECEIVE, &request, into) {
            (status, n) if status.ok() => Ok(n),
            (status, _) => Err(DeviceError::Status { what: "WskReceive", status }),
        }
    }

    /// WskReceive until `into` is full; fewer octets only at the end of the stream.
    ///
    /// # Errors
    /// Its status.
    pub(crate) fn receive_all(&self, into: &mut [u8]) -> Result<usize, DeviceError> {
        let mut done = 0;
        while let Some(rest) = into.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match self.receive(rest)? {
                0 => break,
                n => done += n,
            }
        }
        Ok(done)
    }

    /// WskDisconnect, graceful: nothing is sent any more.
    ///
    /// # Errors
    /// Its status.
    pub(crate) fn disconnect(&self) -> Result<(), DeviceError> {
        let request = DisconnectRequest { socket: self.id, flags: 0 };
        tell(&*self.device, "WskDisconnect", client::IOCTL_DISCONNECT, &request)
    }

    /// WskDisconnect with WSK_FLAG_ABORTIVE: what waits on the other end ends.
    pub(crate) fn abort(&self) {
        let request = DisconnectRequest { socket: self.id, flags: 1 };
        // It is over already, or will be with the close.
        let _ = tell(&*self.device, "WskDisconnect", client::IOCTL_DISCONNECT, &request);
    }

    /// WskCloseSocket while another thread has requests on it: they end with CANCELLED.
    pub(crate) fn shut(&self) {
        let _ = tell(&*self.device, "WskCloseSocket", client::IOCTL_CLOSE, &SocketId { socket: self.id });
    }

    /// WskCloseSocket.
    ///
    /// # Errors
    /// Its status.
    pub(crate) fn close(mut self) -> Result<(), DeviceError> {
        self.closed = true;
        drop(self.wanted.take());
        tell(&*self.device, "WskCloseSocket", client::IOCTL_CLOSE, &SocketId { socket: self.id })
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.closed {
            return;
        }
        drop(self.wanted.take());
        // The work has failed already; the driver closes with the handle what cannot be closed here.
        let _ = tell(&*self.device, "WskCloseSocket", client::IOCTL_CLOSE, &SocketId { socket: self.id });
    }
}

fn family(address: SocketAddr) -> u16 {
    if address.is_ipv4() { 2 } else { 23 }
}
