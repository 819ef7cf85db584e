//! Memory protection: which bytes a queue pair may touch, and the copies that stand in for DMA.
//!
//! Two tables of fixed size hold everything: regions (what tokens name) and mappings (what logical addresses name). Each
//! place has its own spin lock, and a copy holds the locks of both its ends: so when a region is invalid, or a mapping
//! released, no copy of its bytes is under way. Locks are taken regions before mappings, each in the order of their places.
//!
//! Nothing here knows queue pairs or connections.

mod mapping;
mod name;
mod pages;
mod places;
mod region;
#[cfg(test)]
mod tests;
mod window;

use abi::NTSTATUS;
use abi::status::STATUS_INSUFFICIENT_RESOURCES;
use bitflags::bitflags;
use kernel::lock::SpinLock;
use kernel::pool::{AllocError, PoolSlice};

use crate::config::PAGE_SIZE;
use crate::counters::CounterSet;
use crate::tag;

use mapping::Mapping;
use pages::Page;
use places::Places;
use region::Region;

pub(crate) use mapping::MappingHandle;
pub(crate) use name::{PRIVILEGED_TOKEN, Spacing};
pub(crate) use pages::{Extent, Pages, pages_spanned};
pub(crate) use region::{FastRegistration, RegistrationFault};
pub(crate) use window::WindowRange;

bitflags! {
    /// What a region allows besides reading it locally.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub(crate) struct Rights: u8 {
        const LOCAL_WRITE = 1;
        const REMOTE_READ = 2;
        const REMOTE_WRITE = 4;
    }
}

/// What was wrong with an access to memory, of which nothing was touched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Violation {
    /// The token or logical address names no memory, or none any more.
    Name,
    /// It names memory of another protection domain, or of another open of the adapter.
    Domain,
    /// Not all bytes are inside.
    Bounds,
    /// The memory may not be used like that.
    Rights,
}

/// Whose memory a queue pair may name: regions of its protection domain, mappings of its adapter.
///
/// Both are addresses of objects, used as names only.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Domain {
    pub(crate) pd: usize,
    pub(crate) adapter: usize,
}

/// Which lock protects some bytes; the order is the lock order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Place {
    Region(u32),
    Mapping(u32),
    /// Memory of this driver, under no lock here.
    Own,
}

/// Bytes that were found and allowed a moment ago.
///
/// A copy checks again that their region or mapping is still the same, by its `epoch`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    place: Place,
    epoch: u32,
    /// From the start of the first page, in bytes; for [`Place::Own`] the address.
    offset: usize,
    /// Bytes from here on.
    pub(crate) available: usize,
}

impl Found {
    /// Bytes of this driver's own, readable for the length of `bytes` until the copy is over.
    pub(crate) fn own(bytes: &[u8]) -> Self {
        Self {
            place: Place::Own,
            epoch: 0,
            offset: bytes.as_ptr().expose_provenance(),
            available: bytes.len(),
        }
    }

    /// The same for bytes that are written.
    pub(crate) fn own_mut(bytes: &mut [u8]) -> Self {
        let offset = bytes.as_mut_ptr().expose_provenance();
        Self { place: Place::Own, epoch: 0, offset, available: bytes.len() }
    }

    /// The same without its first `bytes`.
    pub(crate) const fn skip(self, bytes: usize) -> Self {
        Self { offset: self.offset + bytes, available: self.available.saturating_sub(bytes), ..self }
    }
}

/// The two tables.
#[derive(Debug)]
pub(crate) struct Memory {
    regions: PoolSlice<SpinLock<Region>>,
    free_regions: Places,
    mappings: PoolSlice<SpinLock<Mapping>>,
    free_mappings: Places,
    spacing: Spacing,
}

impl Memory {
    /// Empty tables for that many regions and mappings.
    pub(crate) fn new(regions: u32, mappings: u32, spacing: Spacing) -> Result<Self, AllocError> {
        let region = |_| SpinLock::new(Region::free());
        let mapping = |_| SpinLock::new(Mapping::free());
        Ok(Self {
            regions: PoolSlice::try_new_with(tag::MEMORY, regions as usize, region)?,
            free_regions: Places::new(regions)?,
            mappings: PoolSlice::try_new_with(tag::MEMORY, mappings as usize, mapping)?,
            free_mappings: Places::new(mappings)?,
            spacing,
        })
    }

    fn region(&self, place: u32) -> Option<&SpinLock<Region>> {
        self.regions.get(place as usize)
    }

    fn mapping(&self, place: u32) -> Option<&SpinLock<Mapping>> {
        self.mappings.get(place as usize)
    }

    /// Finds the `length` bytes at `address` that a local element names, all or nothing.
    ///
    /// # Errors
    /// [`Violation`]: the token or address names nothing of `domain`, the bytes are not all inside, or they must be
    /// written and may not be.
    pub(crate) fn find_local(
        &self,
        domain: Domain,
        token: u32,
        address: u64,
        length: u32,
        write: bool,
    ) -> Result<Found, Violation> {
        if token == PRIVILEGED_TOKEN {
            return self.find_logical(domain, address.cast_signed(), length);
        }
        let needed = if write { Rights::LOCAL_WRITE } else { Rights::empty() };
        self.find_region(domain, token, false, address, length, needed)
    }

    /// Finds the `length` bytes at `address` that a peer names.
    ///
    /// # Errors
    /// [`Violation`]: as for [`find_local`](Self::find_local), with `needed` as the right.
    pub(crate) fn find_remote(
        &self,
        domain: Domain,
        token: u32,
        address: u64,
        length: u32,
        needed: Rights,
    ) -> Result<Found, Violation> {
        self.find_region(domain, token, true, address, length, needed)
    }

    fn find_region(
        &self,
        domain: Domain,
        token: u32,
        remote: bool,
        address: u64,
        length: u32,
        needed: Rights,
    ) -> Result<Found, Violation> {
        let name = name::Token::decode(token).filter(|name| name.remote == remote).ok_or(Violation::Name)?;
        let region = self.region(name.place).ok_or(Violation::Name)?.lock();
        let offset = region.find(domain, &name, address, length, needed)?;
        Ok(Found {
            place: Place::Region(name.place),
            epoch: region.epoch(),
            offset,
            available: length as usize,
        })
    }

    fn find_logical(&self, domain: Domain, address: i64, length: u32) -> Result<Found, Violation> {
        let name = name::Logical::decode(address).ok_or(Violation::Name)?;
        let mapping = self.mapping(name.place).ok_or(Violation::Name)?.lock();
        let offset = mapping.find(domain, &name, length, self.spacing)?;
        Ok(Found {
            place: Place::Mapping(name.place),
            epoch: mapping.epoch(),
            offset,
            available: length as usize,
        })
    }

    /// Copies `length` bytes, at most what is available at both ends, in one piece under the locks of both.
    ///
    /// The caller keeps `length` small: the processor stays at DISPATCH_LEVEL for all of it.
    ///
    /// # Errors
    /// [`Violation`]: one end is no longer what it was when it was found; nothing is copied.
    pub(crate) fn copy(
        &self,
        from: &Found,
        to: &Found,
        length: usize,
        counters: &CounterSet,
    ) -> Result<(), Violation> {
        if length > from.available || length > to.available {
            return Err(Violation::Name);
        }
        if from.place == to.place && from.place != Place::Own {
            self.with_view(from, |source| {
                let target =
                    if from.epoch == to.epoch { source.at(to.offset) } else { return Err(Violation::Name) };
                move_bytes(source, target, length)
            })
        } else if from.place < to.place {
            self.with_view(from, |source| self.with_view(to, |target| move_bytes(source, target, length)))
        } else {
            self.with_view(to, |target| self.with_view(from, |source| move_bytes(source, target, length)))
        }?;
        counters.copies.add(1);
        counters.copied_bytes.add(length as u64);
        Ok(())
    }

    /// Runs `body` on the bytes of `found` with their lock held.
    fn with_view<R>(
        &self,
        found: &Found,
        body: impl FnOnce(View<'_>) -> Result<R, Violation>,
    ) -> Result<R, Violation> {
        match found.place {
            Place::Own => body(View::Own(found.offset)),
            Place::Region(place) => {
                let region = self.region(place).ok_or(Violation::Name)?.lock();
                let pages = region.pages(found.epoch).ok_or(Violation::Name)?;
                body(View::Pages(pages, found.offset))
            }
            Place::Mapping(place) => {
                let mapping = self.mapping(place).ok_or(Violation::Name)?.lock();
                let pages = mapping.pages(found.epoch).ok_or(Violation::Name)?;
                body(View::Pages(pages, found.offset))
            }
        }
    }
}

/// Bytes whose lock is held.
#[derive(Clone, Copy)]
enum View<'a> {
    /// The address.
    Own(usize),
    /// Pages, and an offset from the start of the first.
    Pages(&'a [Page], usize),
}

impl View<'_> {
    /// Other bytes of the same pages.
    fn at(self, offset: usize) -> Self {
        match self {
            Self::Own(_) => Self::Own(offset),
            Self::Pages(pages, _) => Self::Pages(pages, offset),
        }
    }

    /// Where the byte `skip` further on is, and how many bytes follow it without a break, at most `wanted`.
    fn run(self, skip: usize, wanted: usize) -> Option<(*mut u8, usize)> {
        match self {
            Self::Own(address) => Some((core::ptr::with_exposed_provenance_mut(address + skip), wanted)),
            Self::Pages(pages, offset) => {
                let offset = offset + skip;
                let mut rest = pages.get(offset / PAGE_SIZE..)?.iter();
                let first = rest.next()?.address;
                let mut length = PAGE_SIZE - offset % PAGE_SIZE;
                let mut end = first.wrapping_add(PAGE_SIZE);
                while length < wanted && rest.next().is_some_and(|page| page.address == end) {
                    length += PAGE_SIZE;
                    end = end.wrapping_add(PAGE_SIZE);
                }
                Some((first.wrapping_add(offset % PAGE_SIZE), length.min(wanted)))
            }
        }
    }
}

fn move_bytes(source: View<'_>, target: View<'_>, length: usize) -> Result<(), Violation> {
    let mut done = 0;
    while done < length {
        let (from, from_length) = source.run(done, length - done).ok_or(Violation::Name)?;
        let (to, to_length) = target.run(done, length - done).ok_or(Violation::Name)?;
        let part = from_length.min(to_length);
        // SAFETY: both runs are bytes of pages that a consumer has locked and given to this adapter (or of this driver),
        // and whose region or mapping cannot go while its lock is held; `copy` allows them to overlap. A consumer that
        // looks at the bytes meanwhile sees a mixture, as it would with a DMA engine.
        unsafe { core::ptr::copy(from, to, part) };
        done += part;
    }
    Ok(())
}

fn no_place(place: Option<u32>) -> Result<u32, NTSTATUS> {
    place.ok_or(STATUS_INSUFFICIENT_RESOURCES)
}
