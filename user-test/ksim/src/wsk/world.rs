//! The machine: everything there is, behind one lock, and what has to happen when the lock is dropped.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::LazyLock;

use abi::NTSTATUS;
use abi::ndk::WSK_PROVIDER_NDK_DISPATCH;
use abi::wsk::WSK_TRANSPORT;

use super::bridge::Bridge;
use super::control::{Answers, Config, Faults, Function};
use super::lists;
use super::names::Names;
use super::request::{self, Done, Request, Waiting};
use super::socket::Socket;
use super::transport::{End, Transport};
use crate::host::{self, Condvar, Mutex, MutexGuard};
use crate::stop::DRIVER_VERIFIER_DETECTED_VIOLATION;
use crate::{processor, stop};

/// One registration.
#[derive(Default)]
pub(super) struct Client {
    /// Version that the client asked for.
    pub(super) version: u16,
    pub(super) captures: usize,
    pub(super) sockets: usize,
    /// Events of every socket, by WSK_SET_STATIC_EVENT_CALLBACKS.
    pub(super) fixed_events: u32,
    /// IRPs that are not completed.
    pub(super) requests: usize,
    /// `WskDeregister` waits.
    pub(super) leaving: bool,
}

/// The machine.
pub(super) struct World {
    pub(super) config: Config,
    pub(super) faults: Faults,
    /// Addresses beside the loopback's.
    pub(super) addresses: BTreeSet<IpAddr>,
    pub(super) transports: Vec<WSK_TRANSPORT>,
    /// What opens NDK adapters, if a test has installed it.
    pub(super) ndk: Option<WSK_PROVIDER_NDK_DISPATCH>,
    pub(super) names: Names,
    /// Work items of name functions, by the number of what waits.
    pub(super) lookups: HashMap<usize, usize>,
    /// Entries of lists of addresses that are not freed.
    pub(super) address_infos: BTreeSet<usize>,
    /// References to cached security descriptors.
    pub(super) descriptors: HashMap<usize, usize>,
    pub(super) clients: BTreeMap<usize, Client>,
    pub(super) sockets: HashMap<usize, Socket>,
    /// By number, which is the order of their calls.
    pub(super) waiting: BTreeMap<usize, Waiting>,
    pub(super) transport: Transport,
    /// The way to the host's TCP, where a test has opened it.
    pub(super) bridge: Option<Bridge>,
    /// Which socket an end is; the ends of connections that are not accepted are in none.
    pub(super) owners: HashMap<End, usize>,
    /// Completed requests of no socket.
    loose: Vec<Done>,
    /// Sockets with something to complete or to call, in the order in which that came up.
    dirty: Vec<usize>,
    next: usize,
    /// Where the search for a free port begins.
    pub(super) next_port: u16,
}

static WORLD: LazyLock<Mutex<World>> = LazyLock::new(|| Mutex::new(World::new()));
/// Signalled when a client has released or finished something, or the provider comes or goes.
pub(super) static CHANGED: Condvar = Condvar::new();

/// Takes the lock. Nobody who has it calls out.
pub(super) fn lock() -> MutexGuard<'static, World> {
    host::lock(&WORLD)
}

/// Drops the lock and answers what `current` and nobody's socket have to complete, at once if the configuration says so
/// and the caller holds no lock of its own. Everything else is left to DPCs.
pub(super) fn finish(world: MutexGuard<'_, World>, current: usize) {
    let inline = world.config.answers == Answers::Inline && processor::locks_held() == 0;
    settle(world, current, inline);
}

/// As [`finish`], where the caller may be called back in any case.
pub(super) fn finish_now(world: MutexGuard<'_, World>, current: usize) {
    settle(world, current, true);
}

fn settle(mut world: MutexGuard<'_, World>, current: usize, inline: bool) {
    world.follow_changes();
    let loose = std::mem::take(&mut world.loose);
    let mut pumps = Vec::new();
    for socket in std::mem::take(&mut world.dirty) {
        let Some(state) = world.sockets.get_mut(&socket) else { continue };
        let here = inline && socket == current;
        if (!here || state.may_call()) && !state.pump_queued {
            state.pump_queued = true;
            pumps.push(socket);
        }
    }
    drop(world);
    // Without the lock, because the processor may run them at once.
    for socket in pumps {
        request::queue(Box::new(move || super::callback::pump(socket)));
    }
    for done in loose {
        if inline { done.complete() } else { done.complete_later() }
    }
    if inline {
        drain(current);
    }
}

/// Completes what a socket has to complete, in order, unless somebody is at it; the socket's end comes last.
pub(super) fn drain(socket: usize) {
    loop {
        let mut world = lock();
        let Some(state) = world.sockets.get_mut(&socket) else { return };
        if state.draining {
            return;
        }
        let Some(done) = state.done.pop_front() else {
            let end = world.end(socket);
            drop(world);
            if let Some(done) = end {
                done.complete();
            }
            return;
        };
        state.draining = true;
        drop(world);
        done.complete();
        let mut world = lock();
        if let Some(state) = world.sockets.get_mut(&socket) {
            state.draining = false;
        }
    }
}

impl World {
    fn new() -> Self {
        Self {
            config: Config::default(),
            faults: Faults::default(),
            addresses: BTreeSet::new(),
            transports: lists::first_transports(),
            ndk: None,
            names: Names::new(),
            lookups: HashMap::new(),
            address_infos: BTreeSet::new(),
            descriptors: HashMap::new(),
            clients: BTreeMap::new(),
            sockets: HashMap::new(),
            waiting: BTreeMap::new(),
            transport: Transport::default(),
            bridge: None,
            owners: HashMap::new(),
            loose: Vec::new(),
            dirty: Vec::new(),
            next: 1,
            next_port: 0,
        }
    }

    /// A number that nobody else has.
    pub(super) fn next_number(&mut self) -> usize {
        // Far from what could be taken for an address or a small number.
        self.next += 1;
        self.next
    }

    /// Counts a call.
    pub(super) fn count(&mut self, function: Function) {
        *self.faults.calls.entry(function).or_default() += 1;
    }

    /// The status that the next call of a function is to fail with.
    pub(super) fn fault(&mut self, function: Function) -> Option<NTSTATUS> {
        let at = self.faults.next.iter().position(|fault| fault.0 == function)?;
        Some(self.faults.next.remove(at).1)
    }

    /// Whose socket this is; stops if it is none.
    pub(super) fn client_of(&self, socket: usize, function: Function) -> usize {
        let Some(state) = self.sockets.get(&socket) else {
            stop!(
                DRIVER_VERIFIER_DETECTED_VIOLATION,
                "{function:?} on {socket:#x}, which is no socket of the system, or closed"
            );
        };
        if state.closing.is_some() {
            stop!(DRIVER_VERIFIER_DETECTED_VIOLATION, "{function:?} on {socket:#x} after its close");
        }
        state.client
    }

    /// Stops if a client is not registered.
    pub(super) fn require_client(&self, client: usize, function: Function) {
        if !self.clients.contains_key(&client) {
            stop!(
                DRIVER_VERIFIER_DETECTED_VIOLATION,
                "{function:?} for {client:#x}, which is no registered client"
            );
        }
    }

    /// Counts an IRP that is not completed.
    pub(super) fn request_begins(&mut self, client: usize) {
        if let Some(client) = self.clients.get_mut(&client) {
            client.requests += 1;
        }
    }

    /// Counts an IRP whose completion routine has returned.
    pub(super) fn request_ends(&mut self, client: usize) {
        if let Some(client) = self.clients.get_mut(&client) {
            client.requests -= 1;
        }
        CHANGED.notify_all();
    }

    /// Marks a socket to be looked at when the lock is dropped.
    pub(super) fn touch(&mut self, socket: usize) {
        if !self.dirty.contains(&socket) {
            self.dirty.push(socket);
        }
    }

    /// Has a request completed after the lock is dropped, in the order of its socket's others.
    pub(super) fn answer(&mut self, socket: usize, request: Request, status: NTSTATUS, information: usize) {
        let done = Done { request, status, information };
        match self.sockets.get_mut(&socket) {
            Some(state) => {
                state.done.push_back(done);
                self.touch(socket);
            }
            None => self.loose.push(done),
        }
    }

    /// As [`answer`](Self::answer), without information.
    pub(super) fn answer_result(&mut self, socket: usize, request: Request, result: Result<(), NTSTATUS>) {
        self.answer(socket, request, result.err().unwrap_or(abi::status::STATUS_SUCCESS), 0);
    }

    /// Keeps a socket from ending.
    pub(super) fn hold(&mut self, socket: usize) {
        if let Some(state) = self.sockets.get_mut(&socket) {
            state.holds += 1;
        }
    }

    /// Undoes [`hold`](Self::hold).
    pub(super) fn let_go(&mut self, socket: usize) {
        if let Some(state) = self.sockets.get_mut(&socket) {
            state.holds -= 1;
            self.touch(socket);
        }
    }

    /// Lets the sockets go on whose streams have changed, until nothing changes any more.
    fn follow_changes(&mut self) {
        loop {
            let changed = self.transport.take_changed();
            if changed.is_empty() {
                return;
            }
            for end in changed {
                match self.owners.get(&end).copied() {
                    Some(socket) => self.progress(socket),
                    None => self.changed_outside(end),
                }
            }
        }
    }
}
