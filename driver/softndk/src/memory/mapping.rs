//! Logical address mappings: what `NdkBuildLAM` makes and the privileged token reaches.

use abi::NTSTATUS;
use abi::ndk::NDK_LOGICAL_ADDRESS;

use super::name::{Logical, Spacing};
use super::{Domain, Memory, Page, Pages, Violation, no_place};
use crate::config::PAGE_SIZE;

/// One place of the mapping table.
#[derive(Debug)]
pub(crate) struct Mapping {
    key: u8,
    epoch: u32,
    /// The adapter the mapping belongs to.
    adapter: usize,
    pages: Option<Pages>,
    /// Pages of fast-register regions that lie in this mapping.
    registered: u32,
}

impl Mapping {
    pub(crate) const fn free() -> Self {
        Self { key: 0, epoch: 0, adapter: 0, pages: None, registered: 0 }
    }

    pub(crate) const fn epoch(&self) -> u32 {
        self.epoch
    }

    /// The pages, if the mapping is still the one of `epoch`.
    pub(crate) fn pages(&self, epoch: u32) -> Option<&[Page]> {
        self.pages.as_ref().filter(|_| self.epoch == epoch).map(|pages| &*pages.list)
    }

    fn named(&self, adapter: usize, name: &Logical) -> Result<&Pages, Violation> {
        let pages = self.pages.as_ref().ok_or(Violation::Name)?;
        if self.key == name.key && self.adapter == adapter { Ok(pages) } else { Err(Violation::Name) }
    }

    /// Offset of the `length` bytes that start at `name`, from the start of the first page.
    ///
    /// # Errors
    /// [`Violation`]: not a byte of this mapping, or the bytes leave the buffer or the stretch without a hole.
    pub(crate) fn find(
        &self,
        domain: Domain,
        name: &Logical,
        length: u32,
        spacing: Spacing,
    ) -> Result<usize, Violation> {
        let pages = self.named(domain.adapter, name)?;
        let offset = spacing.offset(name.distance as usize).ok_or(Violation::Name)?;
        let end = pages.first_byte_offset + pages.length;
        let left = end.checked_sub(offset).ok_or(Violation::Bounds)?;
        let inside = offset >= pages.first_byte_offset && length as usize <= spacing.contiguous(offset, left);
        if inside { Ok(offset) } else { Err(Violation::Bounds) }
    }
}

/// What a consumer holds of a mapping: the key in the low eight bits, the place plus one above.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct MappingHandle(usize);

impl MappingHandle {
    const fn new(place: u32, key: u8) -> Self {
        Self(((place as usize + 1) << 8) | key as usize)
    }

    /// The word for `AdapterContext`.
    pub(crate) const fn to_word(self) -> usize {
        self.0
    }

    /// Reads the word back; any value is allowed.
    pub(crate) const fn from_word(word: usize) -> Self {
        Self(word)
    }

    fn place(self) -> Option<u32> {
        u32::try_from(self.0 >> 8).ok()?.checked_sub(1)
    }

    const fn key(self) -> u8 {
        self.0 as u8
    }
}

impl Memory {
    /// Makes a mapping of `pages` for `adapter` and writes the logical address of each page to `write`.
    ///
    /// # Errors
    /// `STATUS_INSUFFICIENT_RESOURCES`: the table is full.
    pub(crate) fn build_mapping(
        &self,
        adapter: usize,
        pages: Pages,
        mut write: impl FnMut(usize, NDK_LOGICAL_ADDRESS),
    ) -> Result<MappingHandle, NTSTATUS> {
        let place = no_place(self.free_mappings.take())?;
        let count = pages.list.len();
        let key = {
            let mut mapping = self.mapping(place).ok_or(abi::status::STATUS_INTERNAL_ERROR)?.lock();
            mapping.adapter = adapter;
            mapping.pages = Some(pages);
            mapping.key
        };
        for page in 0..count {
            let distance = self.spacing.distance(page) as u32;
            write(page, Logical { place, key, distance }.encode());
        }
        Ok(MappingHandle::new(place, key))
    }

    /// Ends a mapping of `adapter`; anything that is not one is ignored.
    ///
    /// The consumer owes that no request or registration uses the pages any more. If a fast-register region still does, it
    /// becomes invalid: a debt of the consumer must not let the peer into memory that is no longer given.
    pub(crate) fn release_mapping(&self, adapter: usize, handle: MappingHandle) {
        let Some(place) = handle.place() else { return };
        let Some(slot) = self.mapping(place) else { return };
        let (pages, registered, key) = {
            let mut mapping = slot.lock();
            if mapping.adapter != adapter || mapping.key != handle.key() || mapping.pages.is_none() {
                return;
            }
            let key = mapping.key;
            mapping.key = key.wrapping_add(1);
            mapping.epoch = mapping.epoch.wrapping_add(1);
            mapping.adapter = 0;
            (mapping.pages.take(), core::mem::take(&mut mapping.registered), key)
        };
        if registered > 0 {
            for region in self.regions.iter() {
                region.lock().revoke(place, key);
            }
        }
        drop(pages);
        self.free_mappings.put(place);
    }

    /// Ends whatever mappings `adapter` has left behind, so that they do not outlive it.
    pub(crate) fn forget_mappings(&self, adapter: usize) {
        for (place, slot) in self.mappings.iter().enumerate() {
            let key = {
                let mapping = slot.lock();
                (mapping.adapter == adapter).then_some(mapping.key)
            };
            if let Some(key) = key {
                self.release_mapping(adapter, MappingHandle::new(place as u32, key));
            }
        }
    }

    /// The page at `address`, when the bytes `from..to` of it are the consumer's; counts it as registered.
    pub(super) fn register_page(
        &self,
        adapter: usize,
        address: NDK_LOGICAL_ADDRESS,
        from: usize,
        to: usize,
    ) -> Result<Page, Violation> {
        let name = Logical::decode(address).ok_or(Violation::Name)?;
        let mut mapping = self.mapping(name.place).ok_or(Violation::Name)?.lock();
        let pages = mapping.named(adapter, &name)?;
        let offset = self.spacing.offset(name.distance as usize).ok_or(Violation::Name)?;
        let end = pages.first_byte_offset + pages.length;
        let empty = from >= to;
        let inside = offset + from >= pages.first_byte_offset && offset + to <= end;
        if !offset.is_multiple_of(PAGE_SIZE) || !(empty || inside) {
            return Err(Violation::Name);
        }
        let page = pages.list.get(offset / PAGE_SIZE).ok_or(Violation::Name)?;
        let page = Page { address: page.address, mapping: name.place, key: name.key };
        mapping.registered += 1;
        Ok(page)
    }

    /// Takes back what [`register_page`](Self::register_page) counted.
    pub(super) fn unregister_page(&self, page: &Page) {
        if let Some(slot) = self.mapping(page.mapping) {
            let mut mapping = slot.lock();
            if mapping.key == page.key {
                mapping.registered = mapping.registered.saturating_sub(1);
            }
        }
    }
}
