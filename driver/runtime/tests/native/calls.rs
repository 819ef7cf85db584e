//! What a call of the native world is made with; [`client::calls`] makes it.

use abi::NTSTATUS;
use abi::nt::IRP;
use cases::pattern::UNTOUCHED;
use cases::world::{Buffer, Call};
use client::calls::control::ControlRoom;
use client::calls::room::AddressRoom;
use client::calls::{self, Caller, Parameters};
use ksim::buffer::{Chain, Pages};

use crate::world::Native;

/// The memory of a buffer: an MDL chain with the stream's octets in the named part. The kinds of pages take turns.
pub(crate) fn chain(buffer: &Buffer<'_>, turn: usize) -> Option<Chain> {
    if buffer.mdls.is_empty() {
        return None;
    }
    let mut octets = vec![UNTOUCHED; buffer.mdls.iter().sum()];
    calls::fill(buffer, 0, &mut octets);
    let pages = if turn.is_multiple_of(2) { Pages::NonPagedPool } else { Pages::Locked };
    Some(Chain::new(&octets, buffer.mdls, pages))
}

impl Native {
    /// Makes the call with this IRP, MDL chain and room for two addresses.
    pub(crate) fn make(
        &self,
        call: &Call<'_>,
        irp: *mut IRP,
        chain: Option<&Chain>,
        rooms: [*mut AddressRoom; 2],
        control: *mut ControlRoom,
    ) -> NTSTATUS {
        let open = |socket| self.find(socket);
        let [first, second] = rooms.map(<*mut AddressRoom>::cast);
        let mdl = chain.map_or(std::ptr::null_mut(), Chain::mdl);
        let caller = Caller { npi: self.npi, open, watchers: self.watchers.get() };
        let _calling = self.watchers.get().map(client::watch::Watchers::calling);
        // SAFETY: captured; the sockets are open, and the request owns what the call is made with.
        let returned = unsafe { caller.make(call, &Parameters { irp, mdl, first, second, control }) };
        returned.expect("an open socket that has the function")
    }
}
