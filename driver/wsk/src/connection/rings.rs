//! The memory that the peer writes stream octets into: a ring, and while it grows the one before it.
//!
//! A connection begins with a short ring, so that thousands of idle ones need little memory. When the engine says that a
//! longer one pays ([`stream::Engine::growth_pays`]), a work item registers it, at PASSIVE_LEVEL and with no lock held, and
//! gives it to the engine. Without the memory the short ring stays; the engine asks again after some seconds at the earliest.
//! SO_RCVBUF bounds the growing, whenever it is set.
//!
//! The old ring's registration ends, and its memory goes, as soon as the peer has no room in it and the client has had
//! everything of it and has released every node of it. No posted request of this side ever refers to a ring.

use super::layout::ring_octets;
use super::{After, Connection, Link, Phase, State};
use crate::TAG_SOCKET;
use abi::NTSTATUS;
use kernel::pool::Shared;
use kernel::time;
use ndk::{Access, Adapter, Memory};
use stream::TargetEntry;

/// The rings of a connection by their number in [`stream::Span::ring`], modulo 2: the engine lets there be no more.
#[derive(Default)]
pub(super) struct Rings([Option<Shared<Memory>>; 2]);

impl Rings {
    pub(super) const fn new(first: Shared<Memory>) -> Self {
        Self([Some(first), None])
    }

    fn place(&mut self, number: u32) -> &mut Option<Shared<Memory>> {
        let [even, odd] = &mut self.0;
        if number.is_multiple_of(2) { even } else { odd }
    }

    pub(super) fn get(&self, number: u32) -> Option<&Memory> {
        let [even, odd] = &self.0;
        if number.is_multiple_of(2) { even.as_deref() } else { odd.as_deref() }
    }

    /// The peer can write to none of them any more; the octets stay as long as somebody has the ring. No lock is held, for
    /// the provider is called. IRQL <= DISPATCH_LEVEL.
    pub(super) fn close(&self) {
        self.0.iter().flatten().for_each(|ring| ring.close());
    }
}

/// Allocates and registers a ring. IRQL: PASSIVE_LEVEL.
///
/// # Errors
/// Those of [`Memory::register`].
pub(super) fn register(adapter: &Shared<Adapter>, octets: u32) -> Result<Shared<Memory>, NTSTATUS> {
    let memory = Memory::register(adapter, octets as usize, Access::RemoteWrite)?;
    Shared::try_new(TAG_SOCKET, memory).map_err(|e| e.status())
}

impl Connection {
    /// Gives the connection its longer ring, if it still wants one. IRQL: PASSIVE_LEVEL.
    pub(super) fn grow_ring(this: &Shared<Self>) {
        let wanted = {
            let state = this.state.lock();
            let link = state.link.as_ref().filter(|link| link.poster.is_some());
            link.map(|link| (link.adapter.clone(), link.layout.longest_ring))
        };
        let Some((adapter, octets)) = wanted else { return this.state.lock().growing = false };
        let ring = register(&adapter, octets);
        let unused = Self::with(this, |state, _| {
            state.growing = false;
            let ring = ring.ok()?;
            match state.link.as_mut().and_then(|link| link.grow(&ring, octets)) {
                Some(place) => place.replace(ring),
                None => Some(ring),
            }
        });
        // The stream was over meanwhile. Not under the lock, for the provider is called.
        drop(unused);
    }
}

impl State {
    /// SO_RCVBUF was set. A ring that is longer stays as it is.
    pub(super) fn follow_receive_buffer(&mut self) {
        if let Some((link, octets)) = self.link.as_mut().zip(self.options.receive_buffer) {
            link.layout.longest_ring = ring_octets(octets);
        }
    }

    /// Asks for a longer ring where one pays and can be had.
    pub(super) fn ask_for_ring(&mut self, after: &mut After) {
        let Some(link) = self.link.as_mut().filter(|_| self.phase == Phase::Connected && !self.growing)
        else {
            return;
        };
        let short = link.poster.is_some() && link.engine.ring_len() < link.layout.longest_ring;
        if short && link.engine.growth_pays(time::interrupt_time_100ns) {
            self.growing = true;
            after.rare().work = true;
        }
    }
}

impl Link {
    /// Regions to come are of `ring`, which has `len` octets. Returns where it is to be kept; `None`: the stream is over.
    fn grow(&mut self, ring: &Memory, len: u32) -> Option<&mut Option<Shared<Memory>>> {
        let region = TargetEntry { addr: ring.address(), key: ring.remote_token(), len };
        self.poster.as_ref()?;
        let number = self.engine.grow(region).ok()?;
        Some(self.rings.place(number))
    }

    /// Lets go of the old ring once nobody uses it any more.
    pub(super) fn drop_drained_ring(&mut self, after: &mut After) {
        if let Some(number) = self.engine.take_drained_ring() {
            *after.rare().rings.place(number) = self.rings.place(number).take();
        }
    }

    /// The endpoint is closed: no ring needs to be registered any more. The octets stay.
    pub(super) fn close_rings(&self, after: &mut After) {
        after.rare().rings.0.clone_from(&self.rings.0);
    }
}

#[cfg(test)]
impl Connection {
    /// Octets of each ring that there is.
    pub(crate) fn ring_octets(&self) -> std::vec::Vec<usize> {
        let state = self.state.lock();
        let rings = state.link.iter().flat_map(|link| link.rings.0.iter().flatten());
        rings.map(|ring| ring.region().len()).collect()
    }

    /// Whether a work item is to register a longer ring.
    pub(crate) fn wants_longer_ring(&self) -> bool {
        self.state.lock().growing
    }

    /// What the work item does, on this thread.
    pub(crate) fn grow_ring_here(this: &Shared<Self>) {
        Self::grow_ring(this);
    }
}
