//! The kernel world: a WSK client inside a driver, whose every IRP is watched, for the conformance [`cases`].
//!
//! | module | is |
//! |---|---|
//! | `request` | one IRP, and all that its call needs |
//! | `inside` | calls that are made from inside, and sockets that come from there |
//! | `chain` | MDL chains in non-paged pool, with guard octets |
//! | `features` | what not every world can do: one more client, a list of transports |
//! | `table` | values by number |
//!
//! It is the same as the world of the native tests (`driver/runtime/tests/native`), except that it allocates fallibly, waits with
//! a limit, and never asserts: what is wrong becomes a [`Fault`] of the case. [`crate::calls`] makes the calls of both.

mod chain;
mod fault;
mod features;
mod inside;
mod request;
mod table;

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;

use abi::NTSTATUS;
use abi::status::STATUS_PENDING;
use abi::wsk::WSK_PROVIDER_NPI;
use cases::World;
use cases::watch::{Event as Seen, Kind, Release, Script, Watch};
use cases::world::{Call, Completion, Feature, Operation, Socket};
use control::client::cases::{FIRST_PORT_COUNT, FLAG_ANY_PENDING_RETURNED, FLAG_NO_IPV6, RunRequest};
use kernel::pool::{AllocError, PoolBox, Shared};
use kernel::time::{interrupt_time_100ns, milliseconds};

use crate::calls::room::AddressRoom;
use crate::calls::{self, Caller, Effect, Function, Open};
use crate::handle::TAG;
use crate::registration::{Registration, RegistrationFunctions};
use crate::watch::Watchers;
use chain::Chain;
pub use fault::Fault;
use request::Request;
use table::Table;

/// How often a wait looks whether the case is to end, in milliseconds.
const GLANCE_MS: u64 = 50;

/// How long requests and closes may take once a case is over, in milliseconds, if the case may take as long.
const CLEAR_LIMIT_MS: u32 = 10_000;

/// How often what is open is closed, at most: a close may end an accept with one more socket.
const CLEAR_ROUNDS: u32 = 100;

/// Why a case cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Halt {
    /// It asked for something that the run does not allow: the functions, as a mask.
    NotAllowed(u64),
    /// Its time limit is over.
    TimedOut,
    /// The run was cancelled.
    Cancelled,
    /// There is no memory.
    NoMemory,
}

/// Requests that are never completed although their sockets were closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stuck;

/// An open socket.
struct Known {
    open: Open,
    /// The request that closes it if the case does not: clearing away needs no memory.
    closer: Option<Request>,
    /// A close was asked for and not refused: nothing else may follow.
    closing: bool,
    /// Who watches it.
    watch: Option<Watch>,
}

/// A WSK client for one run of a case.
pub struct Kernel<'run> {
    npi: WSK_PROVIDER_NPI,
    /// What one more client registers with, if there may be one.
    functions: Option<RegistrationFunctions>,
    /// The client that came later, and what the first one has captured.
    later: Option<(Registration, WSK_PROVIDER_NPI)>,
    sockets: Table<Known>,
    /// Requests under way that may make a socket each: each has its place.
    sockets_to_come: usize,
    requests: Table<Request>,
    completions: Shared<AtomicU64>,
    watchers: Watchers,
    flags: u32,
    allowed: u64,
    asked: u64,
    made: u32,
    /// Interrupt time at which the limit is over, in units of 100 ns.
    deadline: u64,
    /// How long clearing away may take, in units of 100 ns.
    clear_limit: u64,
    /// Ports of its own: the next one, and the end.
    ports: (u32, u32),
    cancelled: &'run AtomicBool,
    fault: Option<Fault>,
    halt: Option<Halt>,
}

impl<'run> Kernel<'run> {
    /// A client of a captured provider, for one run. `cancelled` ends the case early once it is set; without `functions` the case
    /// can have no client of its own.
    ///
    /// # Errors
    /// [`AllocError`].
    ///
    /// # Safety
    /// `npi` is captured, and not released before this is dropped; the functions may be called until then.
    pub unsafe fn new(
        npi: WSK_PROVIDER_NPI,
        functions: Option<RegistrationFunctions>,
        run: &RunRequest,
        cancelled: &'run AtomicBool,
    ) -> Result<Self, AllocError> {
        let limit = milliseconds(u64::from(run.limit_ms));
        let completions = Shared::try_new(TAG, AtomicU64::new(0))?;
        Ok(Self {
            npi,
            functions,
            later: None,
            sockets: Table::new()?,
            sockets_to_come: 0,
            requests: Table::new()?,
            watchers: Watchers::new(&completions)?,
            completions,
            flags: run.flags,
            allowed: run.allowed,
            asked: 0,
            made: 0,
            deadline: interrupt_time_100ns().saturating_add(limit),
            clear_limit: milliseconds(u64::from(run.limit_ms.min(CLEAR_LIMIT_MS))),
            ports: (run.first_port, run.first_port.saturating_add(FIRST_PORT_COUNT)),
            cancelled,
            fault: None,
            halt: None,
        })
    }

    /// What the provider did wrong first.
    #[must_use]
    pub fn fault(&self) -> Option<Fault> {
        self.fault
    }

    /// Why the case could not go on.
    #[must_use]
    pub fn halt(&self) -> Option<Halt> {
        self.halt
    }

    /// A case has failed: looks whether it was to end.
    pub fn has_failed(&mut self) {
        self.is_halted();
    }

    /// What was asked for so far, as a mask of functions.
    #[must_use]
    pub fn asked(&self) -> u64 {
        self.asked
    }

    /// Requests made so far.
    #[must_use]
    pub fn requests(&self) -> u32 {
        self.made
    }

    fn find_fault(&mut self, fault: Fault) {
        self.fault.get_or_insert(fault);
    }

    /// Whether the case has to end.
    fn is_halted(&mut self) -> bool {
        if self.halt.is_none() {
            if self.cancelled.load(Ordering::Acquire) {
                self.halt = Some(Halt::Cancelled);
            } else if interrupt_time_100ns() > self.deadline {
                self.halt = Some(Halt::TimedOut);
            }
        }
        self.halt.is_some()
    }

    /// Whether the case may ask for this; if not, it is over.
    fn allows(&mut self, functions: u64) -> bool {
        self.asked |= functions;
        let refused = functions & !self.allowed;
        if refused != 0 && self.halt.is_none() {
            self.halt = Some(Halt::NotAllowed(refused));
        }
        self.halt.is_none()
    }

    /// Makes a call, whatever the case may ask for.
    fn make(&mut self, call: &Call<'_>) -> Result<Operation, AllocError> {
        let request = self.prepare(call)?;
        self.hand_over(call, request)
    }

    /// A request for a call, with its place.
    fn prepare(&mut self, call: &Call<'_>) -> Result<Request, AllocError> {
        // Places first, for the closes of all sockets as well: a request that is under way cannot be given up.
        let to_come = self.sockets_to_come.saturating_add(1);
        self.requests.reserve(self.sockets.len().saturating_add(to_come).saturating_add(2))?;
        self.sockets.reserve(to_come)?;
        let mut request = Request::new(call, &self.completions)?;
        if let Effect::Makes(_) = request.effect {
            let close = Call::Close { on: Socket(u32::MAX).into() };
            request.closer = Some(PoolBox::try_new(TAG, Some(Request::new(&close, &self.completions)?))?);
        }
        Ok(request)
    }

    /// Makes a call with a request that has its place.
    fn hand_over(&mut self, call: &Call<'_>, mut request: Request) -> Result<Operation, AllocError> {
        let sockets = &self.sockets;
        let open = |socket: Socket| sockets.get(socket.0).map(|known| known.open);
        let caller = Caller { npi: self.npi, open, watchers: Some(&self.watchers) };
        let calling = self.watchers.calling();
        // SAFETY: captured; known sockets are open; the request stays in the table until it is completed.
        let returned = unsafe { caller.make(call, &request.submit()) };
        drop(calling);
        // Nothing was called: there is no such socket, or it has no such function.
        let Some(returned) = returned else { return Err(AllocError) };
        request.returned = returned;
        request.before_return = request.is_done();
        self.made = self.made.saturating_add(1);
        if let Effect::Makes(_) = request.effect {
            self.sockets_to_come = self.sockets_to_come.saturating_add(1);
        }
        if let Effect::Closes(socket) = request.effect
            && let Some(known) = self.sockets.get_mut(socket.0)
        {
            known.closing = abi::status::nt_success(returned);
        }
        match self.requests.add(request) {
            Ok(number) => Ok(Operation(number)),
            Err(request) => {
                // Not reached: the place was reserved. A request under way must not be freed.
                request.wait_forever();
                Err(AllocError)
            }
        }
    }

    /// Waits for a request, and books what its end means.
    fn settle(&mut self, operation: Operation, units: u64) -> bool {
        let Some(request) = self.requests.get(operation.0) else { return false };
        if !request.wait(units) {
            return false;
        }
        if request.fate.as_ref().is_some_and(|fate| fate.returned().is_none()) {
            // Completed, but its function has not returned.
            return false;
        }
        if !request.settled {
            self.book(operation);
        }
        true
    }

    /// Books the end of a request: its socket, and what it may have done wrong.
    fn book(&mut self, operation: Operation) {
        let Some(request) = self.requests.get_mut(operation.0) else { return };
        let Some(seen) = request.seen() else { return };
        request.settled = true;
        if let Some(returned) = request.fate.as_ref().and_then(|fate| fate.returned()) {
            request.returned = returned;
            // A completion is seen after the call, so nobody knows more.
            request.before_return = returned != STATUS_PENDING;
        }
        let beside = !request.chain.as_ref().is_none_or(Chain::is_guarded);
        let behind = request.rooms().iter().any(|room| room.address().is_err());
        let effect = request.effect;
        let mut no_socket = false;
        if let Effect::Makes(_) = effect {
            self.sockets_to_come = self.sockets_to_come.saturating_sub(1);
        }
        match effect {
            Effect::Makes(category) if seen.status == 0 => {
                let pointer = core::ptr::with_exposed_provenance_mut(seen.information);
                let closer = request.closer.take().and_then(|mut closer| closer.take());
                let (open, watch) = (Open { pointer, category }, request.watch);
                let known = Known { open, closer, closing: false, watch };
                no_socket = seen.information == 0;
                if !no_socket {
                    if let Some(watch) = watch {
                        self.watchers.attach(watch, open);
                    }
                    // A place was reserved when the call was made.
                    request.made = self.sockets.add(known).ok().map(Socket);
                }
            }
            Effect::Closes(socket) if seen.status == 0 => {
                if let Some(watch) = self.sockets.take(socket.0).and_then(|known| known.watch) {
                    self.watchers.detach(watch);
                }
            }
            _ => {}
        }
        for (wrong, fault) in [
            (no_socket, Fault::NoSocket),
            (beside, Fault::WroteBesideAnMdl),
            (behind, Fault::WroteBehindAnAddress),
        ] {
            if wrong {
                self.find_fault(fault);
            }
        }
    }

    fn operations(&self) -> impl Iterator<Item = Operation> + use<> {
        // Lossless: numbers are 32 bits.
        (0..self.requests.len() as u32).map(Operation)
    }

    /// Closes what is open, waits until every request is completed, and forgets all of them. A client of the case's own ends.
    ///
    /// # Errors
    /// [`Stuck`]: a request is not completed. Nothing is freed; see [`outlast`](Self::outlast).
    pub fn clear(&mut self) -> Result<(), Stuck> {
        let end = interrupt_time_100ns().saturating_add(self.clear_limit);
        for _ in 0..CLEAR_ROUNDS {
            self.watchers.relent();
            self.call_off();
            self.adopt().map_err(|_| Stuck)?;
            // Accepts and connects may wait for ever; their sockets' closes end them.
            self.operations().for_each(|operation| {
                self.settle(operation, 0);
            });
            for number in 0..self.sockets.len() as u32 {
                let known = self.sockets.get_mut(number).filter(|known| !known.closing);
                let Some(mut closer) = known.and_then(|known| known.closer.take()) else { continue };
                closer.effect = Effect::Closes(Socket(number));
                let on = Socket(number).into();
                self.hand_over(&Call::Close { on }, closer).map_err(|_| Stuck)?;
            }
            for operation in self.operations() {
                if self.requests.get(operation.0).is_none() {
                    continue;
                }
                while !self.settle(operation, end.saturating_sub(interrupt_time_100ns())) {
                    if interrupt_time_100ns() >= end {
                        return Err(Stuck);
                    }
                }
                if self.requests.get(operation.0).is_some_and(|request| request.completions() != 1) {
                    self.find_fault(Fault::CompletedTwice);
                }
            }
            let open = (0..self.sockets.len() as u32).filter_map(|number| self.sockets.get(number));
            if open.filter(|known| !known.closing).count() == 0 && !self.watchers.has_accepted() {
                self.deregister();
                if let Some(breach) = self.watchers.breach() {
                    self.find_fault(Fault::Callback(breach));
                }
                self.watchers.clear();
                self.requests.clear();
                self.sockets.clear();
                return Ok(());
            }
        }
        Err(Stuck)
    }

    /// Waits until every request is completed, however long that takes. PASSIVE_LEVEL.
    ///
    /// What is stuck may never end; then this does not either, and nothing is freed that a provider may still use.
    pub fn outlast(&mut self) {
        for operation in self.operations() {
            if let Some(request) = self.requests.get(operation.0) {
                request.wait_forever();
            }
        }
    }
}

impl Drop for Kernel<'_> {
    fn drop(&mut self) {
        self.outlast();
        // Before the watchers go: it waits for their sockets.
        self.deregister();
    }
}

impl World for Kernel<'_> {
    fn ipv4(&self) -> IpAddr {
        Ipv4Addr::LOCALHOST.into()
    }

    fn ipv6(&self) -> Option<IpAddr> {
        (self.flags & FLAG_NO_IPV6 == 0).then_some(Ipv6Addr::LOCALHOST.into())
    }

    fn own_port(&mut self) -> Option<u16> {
        let (next, end) = self.ports;
        if next == 0 || next >= end {
            return None;
        }
        self.ports.0 = next.saturating_add(1);
        u16::try_from(next).ok()
    }

    fn call(&mut self, call: &Call<'_>) -> Option<Operation> {
        if self.is_halted() || !self.allows(Function::mask(call)) {
            return None;
        }
        let made = self.make(call);
        if made.is_err() {
            self.halt.get_or_insert(Halt::NoMemory);
        }
        made.ok()
    }

    fn call_without_irp(&mut self, call: &Call<'_>) -> Option<NTSTATUS> {
        let functions = Function::mask(call) | Function::NullParameters.bit();
        if self.is_halted() || !self.allows(functions) {
            return None;
        }
        let request = match Request::new(call, &self.completions) {
            Ok(request) => request,
            Err(AllocError) => {
                self.halt = Some(Halt::NoMemory);
                return None;
            }
        };
        let sockets = &self.sockets;
        let open = |socket: Socket| sockets.get(socket.0).map(|known| known.open);
        let parameters = calls::Parameters { irp: core::ptr::null_mut(), ..request.parameters() };
        // SAFETY: captured; known sockets are open; without an IRP the call is over when it returns.
        let returned = unsafe { Caller { npi: self.npi, open, watchers: None }.make(call, &parameters) };
        if request.rooms() != [AddressRoom::UNTOUCHED; 2] {
            self.find_fault(Fault::WroteForARefusedCall);
        }
        returned
    }

    fn wait(&mut self, operation: Operation, limit: Duration) -> Option<Completion> {
        let limit = u64::try_from(limit.as_nanos() / 100).unwrap_or(u64::MAX);
        let end = interrupt_time_100ns().saturating_add(limit);
        loop {
            let left = end.saturating_sub(interrupt_time_100ns());
            if self.settle(operation, left.min(milliseconds(GLANCE_MS))) {
                break;
            }
            if left == 0 || self.is_halted() {
                return None;
            }
        }
        let request = self.requests.get(operation.0)?;
        let seen = request.seen()?;
        let [first, second] = request.rooms();
        let lenient = self.flags & FLAG_ANY_PENDING_RETURNED != 0;
        Some(Completion {
            returned: request.returned,
            status: seen.status,
            information: seen.information,
            pending_returned: if lenient {
                request.returned == STATUS_PENDING
            } else {
                seen.pending_returned
            },
            before_return: request.before_return,
            order: seen.order,
            socket: request.made,
            address: first.address().ok().flatten(),
            remote: second.address().ok().flatten(),
        })
    }

    fn cancel(&mut self, operation: Operation) {
        if !self.allows(Function::IoCancelIrp.bit()) {
            return;
        }
        if let Some(request) = self.requests.get(operation.0) {
            request.cancel();
        }
    }

    fn read(&mut self, operation: Operation, from: usize, into: &mut [u8]) {
        match self.requests.get(operation.0).and_then(|request| request.chain.as_ref()) {
            Some(chain) => chain.read(from, into),
            None => into.fill(cases::pattern::UNTOUCHED),
        }
    }

    fn has(&self, feature: Feature) -> bool {
        match feature {
            Feature::NewClient => self.functions.is_some(),
            Feature::TransportList => self.has_transport_list(),
        }
    }

    fn new_client(&mut self) -> bool {
        self.register()
    }

    fn control_without_irp(&mut self, call: &Call<'_>, into: &mut [u8]) -> Option<(NTSTATUS, usize)> {
        if self.is_halted() || !self.allows(Function::mask(call)) {
            return None;
        }
        let request = Request::new(call, &self.completions).ok()?;
        let sockets = &self.sockets;
        let open = |socket: Socket| sockets.get(socket.0).map(|known| known.open);
        let parameters = calls::Parameters { irp: core::ptr::null_mut(), ..request.parameters() };
        let caller = Caller { npi: self.npi, open, watchers: Some(&self.watchers) };
        let calling = self.watchers.calling();
        // SAFETY: captured; known sockets are open; without an IRP the call is over when it returns.
        let returned = unsafe { caller.make(call, &parameters) };
        drop(calling);
        let size = request.output(into);
        returned.map(|returned| (returned, size))
    }

    fn output(&mut self, operation: Operation, into: &mut [u8]) -> usize {
        self.requests.get(operation.0).map_or(0, |request| request.output(into))
    }

    fn call_then(&mut self, call: &Call<'_>, then: &Call<'static>) -> Option<(Operation, Operation)> {
        if self.is_halted() || !self.allows(Function::mask(call) | Function::mask(then)) {
            return None;
        }
        let made = self.prepare(call).and_then(|mut first| {
            let (second, inside) = self.prepare_inside(then)?;
            first.then(inside);
            self.hand_over(call, first).map(|first| (first, second))
        });
        if made.is_err() {
            self.halt.get_or_insert(Halt::NoMemory);
        }
        made.ok()
    }

    fn call_inside(&mut self, watch: Watch, kind: Kind, call: &Call<'static>) -> Option<Operation> {
        if self.is_halted() || !self.allows(Function::mask(call)) {
            return None;
        }
        let (operation, inside) = self.prepare_inside(call).ok()?;
        self.watchers.call_inside(watch, kind, inside).then_some(operation)
    }

    fn set_script(&mut self, watch: Watch, script: Script) {
        self.watchers.set_script(watch, script);
    }

    fn event(&mut self, watch: Watch, number: usize, limit: Duration) -> Option<Seen> {
        let limit = if self.is_halted() { Duration::ZERO } else { limit };
        self.watchers.event(watch, number, limit)?;
        if self.adopt().is_err() {
            self.halt.get_or_insert(Halt::NoMemory);
        }
        self.watchers.event(watch, number, Duration::ZERO)
    }

    fn taken(&mut self, watch: Watch, least: u64, limit: Duration) -> u64 {
        let limit = if self.is_halted() { Duration::ZERO } else { limit };
        self.watchers.taken(watch, least, limit)
    }

    fn set_position(&mut self, watch: Watch, position: u64) {
        self.watchers.set_position(watch, position);
    }

    fn let_go(&mut self, watch: Watch) {
        self.watchers.let_go(watch);
    }

    fn release(&mut self, watch: Watch, which: Release) -> Option<NTSTATUS> {
        if self.is_halted() || !self.allows(Function::WskRelease.bit()) {
            return None;
        }
        self.watchers.release(watch, which)
    }

    fn settle(&mut self) {
        // Nobody can tell what is under way in a kernel.
    }
}
