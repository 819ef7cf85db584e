//! Memory windows: a part of a registered region, named by a token of its own that only the peer uses.
//!
//! A bound window has a copy of the region's list of pages, and so a lock, a key and an epoch of its own: ending the window, or
//! the registration under it, is the same as ending any other region.

use abi::NTSTATUS;
use abi::status::{STATUS_ACCESS_VIOLATION, STATUS_INVALID_PARAMETER};
use kernel::pool::PoolSlice;

use super::region::{Kind, Region};
use super::{Domain, Memory, Page, RegistrationFault, Rights, no_place, pages_spanned};
use crate::config::{PAGE_SIZE, WINDOW_BYTES_MAX};
use crate::tag;

/// What a window is bound to.
#[derive(Debug)]
pub(super) struct Binding {
    pub(super) pages: PoolSlice<Page>,
    region: u32,
    /// The local key of the registration, which the next registration of that region changes.
    key: u8,
}

impl Binding {
    fn is_to(&self, region: u32, key: u8) -> bool {
        self.region == region && self.key == key
    }
}

/// A window as the consumer asks for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WindowRange {
    /// In the region's addresses, which are the peer's, too.
    pub(crate) address: u64,
    pub(crate) length: usize,
    /// The peer's.
    pub(crate) rights: Rights,
}

impl WindowRange {
    /// Where the range begins in the region's pages, in bytes from the start of the first; `None`: not inside of it.
    fn offset_in(&self, region: &Region) -> Option<usize> {
        let distance = self.address.checked_sub(region.base)?;
        let inside = distance <= region.length && self.length as u64 <= region.length - distance;
        inside.then(|| region.first_byte_offset + distance as usize)
    }

    /// Whether the region may be written, if the peer is to write it.
    const fn allowed_by(&self, region: &Region) -> bool {
        !self.rights.contains(Rights::REMOTE_WRITE) || region.rights.contains(Rights::LOCAL_WRITE)
    }
}

impl Memory {
    /// Takes a place for a window of the protection domain `pd`, bound to nothing.
    ///
    /// # Errors
    /// `STATUS_INSUFFICIENT_RESOURCES`: the table is full.
    pub(crate) fn new_window(&self, pd: usize) -> Result<u32, NTSTATUS> {
        let place = no_place(self.free_regions.take())?;
        if let Some(slot) = self.region(place) {
            let mut window = slot.lock();
            window.pd = pd;
            window.kind = Kind::Window(None);
        }
        Ok(place)
    }

    /// Checks what can be checked when a bind is posted, and makes room for its pages.
    ///
    /// # Errors
    /// `STATUS_INVALID_PARAMETER`: not a registered region, or not a window, of `domain`, or a range that is empty, too long
    /// or not inside the region; `STATUS_ACCESS_VIOLATION`: the peer is to write, and the region may not be written;
    /// `STATUS_INSUFFICIENT_RESOURCES`.
    pub(crate) fn prepare_bind(
        &self,
        domain: Domain,
        region: u32,
        window: u32,
        wanted: &WindowRange,
    ) -> Result<PoolSlice<Page>, NTSTATUS> {
        let is_window = self.region(window).is_some_and(|slot| {
            let window = slot.lock();
            window.pd == domain.pd && matches!(window.kind, Kind::Window(_))
        });
        if !is_window || wanted.length == 0 || wanted.length > WINDOW_BYTES_MAX {
            return Err(STATUS_INVALID_PARAMETER);
        }
        let offset = {
            let region = self.region(region).ok_or(STATUS_INVALID_PARAMETER)?.lock();
            let registered = region.valid && matches!(region.kind, Kind::Registered(_));
            if region.pd != domain.pd || !registered {
                return Err(STATUS_INVALID_PARAMETER);
            }
            if !wanted.allowed_by(&region) {
                return Err(STATUS_ACCESS_VIOLATION);
            }
            wanted.offset_in(&region).ok_or(STATUS_INVALID_PARAMETER)?
        };
        let pages = pages_spanned(offset % PAGE_SIZE, wanted.length);
        Ok(PoolSlice::try_new_with(tag::MEMORY, pages, |_| Page::NONE)?)
    }

    /// `NdkBind`: makes an unbound window name a part of a registered region; `pages` is what
    /// [`prepare_bind`](Self::prepare_bind) made.
    ///
    /// # Errors
    /// [`RegistrationFault`]: the window is bound, or the region no longer what it was; nothing has changed.
    pub(crate) fn bind(
        &self,
        region_place: u32,
        window_place: u32,
        wanted: &WindowRange,
        mut pages: PoolSlice<Page>,
    ) -> Result<(), RegistrationFault> {
        let fault = RegistrationFault::State;
        // The lock order is that of the places.
        let region_first = region_place < window_place;
        let (low, high) =
            if region_first { (region_place, window_place) } else { (window_place, region_place) };
        let mut low = self.region(low).ok_or(fault)?.lock();
        let mut high = self.region(high).ok_or(fault)?.lock();
        let (region, window) = if region_first { (&mut *low, &mut *high) } else { (&mut *high, &mut *low) };
        let Kind::Registered(memory) = &region.kind else { return Err(fault) };
        let offset = wanted
            .offset_in(region)
            .filter(|_| region.valid && !window.valid && wanted.allowed_by(region))
            .ok_or(fault)?;
        let first = offset / PAGE_SIZE;
        let named = memory.list.get(first..first + pages.len()).ok_or(fault)?;
        pages.copy_from_slice(named);
        region.windows += 1;
        let binding = Binding { pages, region: region_place, key: region.local_key };
        window.kind = Kind::Window(Some(binding));
        window.validate(wanted.rights, wanted.address, wanted.length, offset % PAGE_SIZE);
        Ok(())
    }

    /// A window has ended: its region has one less. Called without locks.
    pub(super) fn unbind(&self, binding: Binding) {
        if let Some(slot) = self.region(binding.region) {
            let mut region = slot.lock();
            if region.local_key == binding.key {
                region.windows = region.windows.saturating_sub(1);
            }
        }
    }

    /// A registration has ended that had so many windows: they end with it. The consumer owes that it has ended them before;
    /// its debt must not let the peer into memory that is no longer given. Called without locks.
    pub(super) fn end_windows(&self, region: u32, key: u8, windows: u32) {
        if windows == 0 {
            return;
        }
        for slot in self.regions.iter() {
            let ended = {
                let mut window = slot.lock();
                let bound = matches!(&window.kind, Kind::Window(Some(binding)) if binding.is_to(region, key));
                if bound {
                    window.invalidate();
                    Some(core::mem::replace(&mut window.kind, Kind::Window(None)))
                } else {
                    None
                }
            };
            drop(ended);
        }
    }
}
