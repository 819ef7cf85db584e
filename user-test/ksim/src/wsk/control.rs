//! What tests set and count.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use abi::NTSTATUS;
use abi::ndk::WSK_PROVIDER_NDK_DISPATCH;
use abi::status::STATUS_SUCCESS;
use abi::wsk::{WSK_SOCKET, WSK_TRANSPORT};

use super::bridge::Bridge;
use super::world;

/// How operations answer that have all they need.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Answers {
    /// The IRP is completed before the call returns, still marked pending.
    #[default]
    Inline,
    /// The IRP is completed from a DPC.
    Later,
}

/// How the system behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Config {
    /// When IRPs are completed.
    pub answers: Answers,
    /// Bytes that a connection receives before anybody asks for them, unless SO_RCVBUF says otherwise.
    pub receive_window: usize,
    /// Bytes of one node of a receive indication at most.
    pub node_bytes: usize,
    /// Connections that wait at a listener to be accepted at most.
    pub backlog: usize,
    /// What SIO_WSK_QUERY_IDEAL_SEND_BACKLOG says, in bytes.
    pub ideal_send_backlog: usize,
    /// Whether the provider is there: without it WskCaptureProviderNPI waits.
    pub present: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            answers: Answers::Inline,
            receive_window: 64 << 10,
            node_bytes: 4096,
            backlog: 200,
            ideal_send_backlog: 64 << 10,
            present: true,
        }
    }
}

/// A function of the system's.
#[expect(missing_docs, reason = "each is the function of wsk.h with that name")]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Function {
    WskRegister,
    WskDeregister,
    WskCaptureProviderNPI,
    WskReleaseProviderNPI,
    WskQueryProviderCharacteristics,
    WskSocket,
    WskSocketConnect,
    WskControlClient,
    WskGetAddressInfo,
    WskFreeAddressInfo,
    WskGetNameInfo,
    WskControlSocket,
    WskCloseSocket,
    WskBind,
    WskAccept,
    WskInspectComplete,
    WskGetLocalAddress,
    WskGetRemoteAddress,
    WskConnect,
    WskConnectEx,
    WskListen,
    WskSend,
    WskSendEx,
    WskReceive,
    WskReceiveEx,
    WskDisconnect,
    WskRelease,
    WskSendTo,
    WskSendMessages,
    WskReceiveFrom,
}

/// What becomes of attempts to connect to an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Route {
    /// They fail with this status.
    Fails(NTSTATUS),
    /// They wait until they are cancelled, or the socket is closed.
    Hangs,
}

#[derive(Default)]
pub(super) struct Faults {
    pub(super) next: Vec<(Function, NTSTATUS)>,
    pub(super) calls: HashMap<Function, u64>,
    /// What happens to be done elsewhere when a function is called.
    pub(super) meanwhile: Vec<(Function, Box<dyn FnOnce() + Send>)>,
    /// By address; port zero stands for every port.
    pub(super) routes: HashMap<SocketAddr, Route>,
}

/// What clients have and have not given back.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Outstanding {
    /// Registrations.
    pub registrations: usize,
    /// Captures of the provider.
    pub captures: usize,
    /// Sockets that are not closed.
    pub sockets: usize,
    /// IRPs that are not completed.
    pub irps: usize,
    /// Nodes of indications that clients keep.
    pub retained: usize,
    /// References to cached security descriptors.
    pub descriptors: usize,
    /// Entries of the lists of WskGetAddressInfo.
    pub address_infos: usize,
}

/// A socket, for tests that look for one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SocketInfo {
    /// Where it is.
    pub socket: *mut WSK_SOCKET,
    /// Category, as `WSK_FLAG_*_SOCKET`.
    pub category: u32,
    /// Where it is bound.
    pub local: Option<SocketAddr>,
    /// Whom it is connected to.
    pub remote: Option<SocketAddr>,
}

/// Sets how the system behaves from now on.
pub fn configure(config: Config) {
    world::lock().config = config;
    world::CHANGED.notify_all();
}

/// How the system behaves.
#[must_use]
pub fn config() -> Config {
    world::lock().config
}

/// Makes the next call of a function fail with this status; several are used up in their order.
///
/// A function with an IRP marks it and completes it so.
pub fn fail_next(function: Function, status: NTSTATUS) {
    world::lock().faults.next.push((function, status));
}

/// Forgets the failures that were asked for and have not happened.
pub fn forgive() {
    world::lock().faults.next.clear();
}

/// Does something at the beginning of the next call of a function, as another processor might at that moment. Served by
/// every function with an IRP, and by WskControlSocket.
pub fn meanwhile(function: Function, deed: impl FnOnce() + Send + 'static) {
    world::lock().faults.meanwhile.push((function, Box::new(deed)));
}

/// A function is called, before anything of the caller's is looked at.
pub(super) fn begin_call(function: Function) {
    let deed = {
        let meanwhile = &mut world::lock().faults.meanwhile;
        let at = meanwhile.iter().position(|deed| deed.0 == function);
        at.map(|at| meanwhile.remove(at).1)
    };
    if let Some(deed) = deed {
        deed();
    }
}

/// How often a function was called since the last [`reset`].
#[must_use]
pub fn calls(function: Function) -> u64 {
    world::lock().faults.calls.get(&function).copied().unwrap_or(0)
}

/// Says what becomes of attempts to connect to `to` (port zero: to any port there); `None` for the ordinary.
pub fn route(to: SocketAddr, route: Option<Route>) {
    let mut world = world::lock();
    match route {
        Some(route) => world.faults.routes.insert(to, route),
        None => world.faults.routes.remove(&to),
    };
}

/// Joins the machine to the host's TCP until the next [`reset`]: a connect that no listener of the machine takes is made by the
/// host, to that very address, and listeners on ports of `listens` listen on the host as well. Connections that arrive so are
/// not inspected.
pub fn join_host(listens: RangeInclusive<u16>) {
    let mut world = world::lock();
    world.part_from_host();
    world.bridge = Some(Bridge::new(listens));
    world::finish(world, 0);
}

/// Gives the machine an address, beside 127.0.0.0/8 and ::1.
pub fn add_address(address: IpAddr) {
    change_addresses(address, true);
}

/// Takes an address from the machine. Sockets that are bound to it stay.
pub fn remove_address(address: IpAddr) {
    change_addresses(address, false);
}

fn change_addresses(address: IpAddr, add: bool) {
    let mut world = world::lock();
    let changed = if add { world.addresses.insert(address) } else { world.addresses.remove(&address) };
    if changed {
        world.addresses_changed(super::memory::family_of(address));
    }
    world::finish(world, 0);
}

/// Says what a name stands for; no addresses take it away. Upper and lower case are the same.
pub fn set_name(name: &str, addresses: &[IpAddr]) {
    let (mut world, name) = (world::lock(), name.to_ascii_lowercase());
    if addresses.is_empty() {
        world.names.remove(&name);
    } else {
        world.names.insert(name, addresses.to_vec());
    }
}

/// Sets which transports WSK_TRANSPORT_LIST_QUERY lists, and completes what waits for them to change. It decides nothing
/// about sockets.
pub fn set_transports(transports: &[WSK_TRANSPORT]) {
    let mut world = world::lock();
    world.transports = transports.to_vec();
    world.end_watches(|_| true, STATUS_SUCCESS);
    world::finish(world, 0);
}

/// Installs what opens NDK adapters: what WskControlClient gives for `WSKNDK_GET_WSK_PROVIDER_NDK_DISPATCH`. Without it that
/// is NOT_SUPPORTED.
pub fn set_ndk(dispatch: Option<WSK_PROVIDER_NDK_DISPATCH>) {
    world::lock().ndk = dispatch;
}

/// What is outstanding in the whole process.
#[must_use]
pub fn outstanding() -> Outstanding {
    let world = world::lock();
    let sum = |count: fn(&world::Client) -> usize| world.clients.values().map(count).sum();
    Outstanding {
        registrations: world.clients.len(),
        captures: sum(|client| client.captures),
        sockets: sum(|client| client.sockets),
        irps: sum(|client| client.requests),
        retained: world.sockets.values().map(|socket| socket.nodes.len()).sum(),
        descriptors: world.descriptors.values().sum(),
        address_infos: world.address_infos.len(),
    }
}

/// All sockets of the whole process.
#[must_use]
pub fn sockets() -> Vec<SocketInfo> {
    let world = world::lock();
    let info = |socket: &super::socket::Socket| SocketInfo {
        socket: socket.memory,
        category: socket.category.flag(),
        local: socket.local,
        remote: socket.remote,
    };
    world.sockets.values().map(info).collect()
}

/// Takes the ground from under a socket: everything on it fails with FILE_FORCED_CLOSED, and its callbacks are told once.
pub fn kill(socket: *mut WSK_SOCKET) {
    let mut world = world::lock();
    world.kill(socket.addr());
    world::finish(world, 0);
}

/// Forgets what tests have set and counted: configuration, faults, routes, addresses, counts. What clients have stays.
pub fn reset() {
    let mut world = world::lock();
    world.config = Config::default();
    world.faults = Faults::default();
    world.addresses.clear();
    world.names.clear();
    world.part_from_host();
    world.ndk = None;
    world.transports = super::lists::first_transports();
    world::CHANGED.notify_all();
    world::finish(world, 0);
}
