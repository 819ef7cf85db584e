//! Memory regions: what tokens name.

use abi::NTSTATUS;
use abi::ndk::NDK_LOGICAL_ADDRESS;
use kernel::pool::{AllocError, PoolSlice};

use super::name::Token;
use super::window::Binding;
use super::{Domain, Memory, Page, Pages, Rights, Violation, no_place, pages_spanned};
use crate::config::PAGE_SIZE;
use crate::tag;

/// How a region comes to have memory.
#[derive(Debug)]
pub(super) enum Kind {
    /// No memory, and no way to get any yet.
    Bare,
    /// Memory from an MDL, until deregistered.
    Registered(Pages),
    /// Fast registration of up to `pages.len()` pages, `used` of them in force while the region is valid.
    Fast { pages: PoolSlice<Page>, used: usize, remote: bool },
    /// A window, while it is bound.
    Window(Option<Binding>),
}

/// One place of the region table.
#[derive(Debug)]
pub(crate) struct Region {
    /// The protection domain; 0 while the place is free.
    pub(super) pd: usize,
    pub(super) kind: Kind,
    pub(super) valid: bool,
    pub(super) rights: Rights,
    pub(super) local_key: u8,
    remote_key: u8,
    epoch: u32,
    /// Address of the first byte, as local elements and peers give it.
    pub(super) base: u64,
    pub(super) length: u64,
    pub(super) first_byte_offset: usize,
    /// Windows bound to it.
    pub(super) windows: u32,
}

/// A fast registration as the consumer asks for it; every number already checked against the others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FastRegistration<'a> {
    /// Logical address of each page.
    pub(crate) pages: &'a [NDK_LOGICAL_ADDRESS],
    pub(crate) first_byte_offset: usize,
    pub(crate) length: usize,
    pub(crate) base: u64,
    pub(crate) rights: Rights,
}

/// Why a region could not be registered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum RegistrationFault {
    /// The region is not of that kind, not of that domain, not initialised, or already valid.
    State,
    /// More pages than the region was initialised for.
    TooManyPages,
    /// Remote rights for a region initialised without.
    Rights,
    /// A page is not the consumer's.
    Page,
}

impl Region {
    pub(crate) const fn free() -> Self {
        Self {
            pd: 0,
            kind: Kind::Bare,
            valid: false,
            rights: Rights::empty(),
            local_key: 0,
            remote_key: 0,
            epoch: 0,
            base: 0,
            length: 0,
            first_byte_offset: 0,
            windows: 0,
        }
    }

    pub(crate) const fn epoch(&self) -> u32 {
        self.epoch
    }

    /// The pages, if the region is still the one of `epoch`.
    pub(crate) fn pages(&self, epoch: u32) -> Option<&[Page]> {
        if !self.valid || self.epoch != epoch {
            return None;
        }
        match &self.kind {
            Kind::Bare => None,
            Kind::Registered(pages) => Some(&pages.list),
            Kind::Fast { pages, used, .. } => pages.get(..*used),
            Kind::Window(binding) => binding.as_ref().map(|binding| &*binding.pages),
        }
    }

    const fn has_key(&self, name: &Token) -> bool {
        let key = if name.remote { self.remote_key } else { self.local_key };
        key == name.key
    }

    fn named(&self, pd: usize, name: &Token) -> bool {
        self.pd == pd && self.has_key(name)
    }

    /// Offset of the `length` bytes at `address`, from the start of the first page.
    pub(crate) fn find(
        &self,
        domain: Domain,
        name: &Token,
        address: u64,
        length: u32,
        needed: Rights,
    ) -> Result<usize, Violation> {
        if !self.valid || !self.has_key(name) {
            return Err(Violation::Name);
        }
        if self.pd != domain.pd {
            return Err(Violation::Domain);
        }
        if !name.remote && matches!(self.kind, Kind::Window(_)) {
            return Err(Violation::Name);
        }
        let distance = address.checked_sub(self.base).ok_or(Violation::Bounds)?;
        if distance > self.length || u64::from(length) > self.length - distance {
            return Err(Violation::Bounds);
        }
        if !self.rights.contains(needed) {
            return Err(Violation::Rights);
        }
        Ok(self.first_byte_offset + distance as usize)
    }

    /// Makes the region valid; new names for the peer from here on.
    pub(super) fn validate(&mut self, rights: Rights, base: u64, length: usize, first_byte_offset: usize) {
        self.rights = rights;
        self.base = base;
        self.length = length as u64;
        self.first_byte_offset = first_byte_offset;
        self.remote_key = self.remote_key.wrapping_add(1);
        self.epoch = self.epoch.wrapping_add(1);
        self.valid = true;
    }

    pub(super) fn invalidate(&mut self) {
        self.valid = false;
        self.epoch = self.epoch.wrapping_add(1);
    }

    /// Whether a peer's invalidation may end it.
    const fn ends_for_peer(&self) -> bool {
        matches!(self.kind, Kind::Fast { remote: true, .. } | Kind::Window(Some(_)))
    }

    /// Forgets the pages of a mapping that has gone, and with them the whole registration.
    pub(crate) fn revoke(&mut self, mapping: u32, key: u8) {
        let Kind::Fast { pages, used, .. } = &mut self.kind else { return };
        let mut met = false;
        for page in pages.iter_mut().take(*used) {
            if page.mapping == mapping && page.key == key {
                *page = Page::NONE;
                met = true;
            }
        }
        if met && self.valid {
            self.invalidate();
        }
    }
}

impl Memory {
    /// Takes a place for a region of the protection domain `pd`.
    ///
    /// # Errors
    /// `STATUS_INSUFFICIENT_RESOURCES`: the table is full.
    pub(crate) fn new_region(&self, pd: usize) -> Result<u32, NTSTATUS> {
        let place = no_place(self.free_regions.take())?;
        if let Some(slot) = self.region(place) {
            slot.lock().pd = pd;
        }
        Ok(place)
    }

    /// Gives the place back; every name the region ever had stops working.
    pub(crate) fn free_region(&self, place: u32) {
        let Some(slot) = self.region(place) else { return };
        let (old, key, windows) = {
            let mut region = slot.lock();
            region.invalidate();
            region.pd = 0;
            let key = region.local_key;
            region.local_key = key.wrapping_add(1);
            region.remote_key = region.remote_key.wrapping_add(1);
            let old = core::mem::replace(&mut region.kind, Kind::Bare);
            (old, key, core::mem::take(&mut region.windows))
        };
        self.end_windows(place, key, windows);
        self.forget_pages(&old);
        match old {
            Kind::Window(Some(binding)) => self.unbind(binding),
            old => drop(old),
        }
        self.free_regions.put(place);
    }

    /// Tokens of a region: local, remote.
    pub(crate) fn tokens(&self, place: u32) -> (u32, u32) {
        let Some(slot) = self.region(place) else { return (0, 0) };
        let (local, remote) = {
            let region = slot.lock();
            (region.local_key, region.remote_key)
        };
        let local = Token { place, key: local, remote: false };
        let remote = Token { place, key: remote, remote: true };
        (local.encode(), remote.encode())
    }

    /// Gives a bare region its memory.
    ///
    /// # Errors
    /// [`RegistrationFault::State`]: it has some, or is for fast registration.
    pub(crate) fn register(
        &self,
        place: u32,
        memory: Pages,
        rights: Rights,
    ) -> Result<(), RegistrationFault> {
        let mut region = self.region(place).ok_or(RegistrationFault::State)?.lock();
        if !matches!(region.kind, Kind::Bare) {
            return Err(RegistrationFault::State);
        }
        region.local_key = region.local_key.wrapping_add(1);
        region.validate(rights, memory.base, memory.length, memory.first_byte_offset);
        region.kind = Kind::Registered(memory);
        Ok(())
    }

    /// Takes the memory of a registered region away; no copy of its bytes is under way afterwards.
    ///
    /// # Errors
    /// [`RegistrationFault::State`]: it is not registered.
    pub(crate) fn deregister(&self, place: u32) -> Result<(), RegistrationFault> {
        let (old, key, windows) = {
            let mut region = self.region(place).ok_or(RegistrationFault::State)?.lock();
            if !matches!(region.kind, Kind::Registered(_)) {
                return Err(RegistrationFault::State);
            }
            region.invalidate();
            let old = core::mem::replace(&mut region.kind, Kind::Bare);
            (old, region.local_key, core::mem::take(&mut region.windows))
        };
        self.end_windows(place, key, windows);
        drop(old);
        Ok(())
    }

    /// Prepares a bare region for fast registration of up to `page_count` pages.
    ///
    /// # Errors
    /// No pool, or [`RegistrationFault::State`] for a region that is not bare.
    pub(crate) fn initialize_fast(
        &self,
        place: u32,
        page_count: u32,
        remote: bool,
    ) -> Result<Result<(), RegistrationFault>, AllocError> {
        let pages = PoolSlice::try_new_with(tag::MEMORY, page_count as usize, |_| Page::NONE)?;
        let Some(slot) = self.region(place) else { return Ok(Err(RegistrationFault::State)) };
        let mut region = slot.lock();
        if !matches!(region.kind, Kind::Bare) {
            // The new list is dropped after the guard.
            drop(region);
            return Ok(Err(RegistrationFault::State));
        }
        region.kind = Kind::Fast { pages, used: 0, remote };
        Ok(Ok(()))
    }

    /// Whether a region was initialised so that peers may be let in.
    ///
    /// # Errors
    /// [`RegistrationFault::State`]: it is not a fast-register region of `domain`.
    pub(crate) fn fast_remote(&self, domain: Domain, place: u32) -> Result<bool, RegistrationFault> {
        let region = self.region(place).ok_or(RegistrationFault::State)?.lock();
        match region.kind {
            Kind::Fast { remote, .. } if region.pd == domain.pd => Ok(remote),
            _ => Err(RegistrationFault::State),
        }
    }

    /// `NdkFastRegister`: makes an invalid region name the given pages.
    ///
    /// # Errors
    /// [`RegistrationFault`]; the region is as before.
    pub(crate) fn fast_register(
        &self,
        domain: Domain,
        place: u32,
        wanted: &FastRegistration<'_>,
    ) -> Result<(), RegistrationFault> {
        let mut region = self.region(place).ok_or(RegistrationFault::State)?.lock();
        if region.pd != domain.pd || region.valid {
            return Err(RegistrationFault::State);
        }
        let Kind::Fast { pages, used, remote } = &mut region.kind else {
            return Err(RegistrationFault::State);
        };
        let remote_rights = Rights::REMOTE_READ.union(Rights::REMOTE_WRITE);
        if wanted.rights.intersects(remote_rights) && !*remote {
            return Err(RegistrationFault::Rights);
        }
        if wanted.pages.len() > pages.len() {
            return Err(RegistrationFault::TooManyPages);
        }
        let end = wanted.first_byte_offset + wanted.length;
        let mut registered = 0;
        for (index, (address, page)) in wanted.pages.iter().zip(pages.iter_mut()).enumerate() {
            let from = if index == 0 { wanted.first_byte_offset } else { 0 };
            let to = end.saturating_sub(index * PAGE_SIZE).min(PAGE_SIZE);
            // Region before mapping: the lock order.
            let Ok(found) = self.register_page(domain.adapter, *address, from, to) else { break };
            *page = found;
            registered = index + 1;
        }
        let complete = registered == wanted.pages.len()
            && registered >= pages_spanned(wanted.first_byte_offset, wanted.length);
        if !complete {
            for page in pages.iter().take(registered) {
                self.unregister_page(page);
            }
            *used = 0;
            return Err(RegistrationFault::Page);
        }
        *used = registered;
        region.validate(wanted.rights, wanted.base, wanted.length, wanted.first_byte_offset);
        Ok(())
    }

    /// Whether `NdkInvalidate` takes a region: a fast-register region or a window of `domain`, valid or not.
    pub(crate) fn is_invalidable(&self, domain: Domain, place: u32) -> bool {
        self.region(place).is_some_and(|slot| {
            let region = slot.lock();
            region.pd == domain.pd && matches!(region.kind, Kind::Fast { .. } | Kind::Window(_))
        })
    }

    /// `NdkInvalidate` of a fast-register region or a window, by its owner.
    ///
    /// # Errors
    /// [`Violation`]: neither, not valid, or not of `domain`.
    pub(crate) fn invalidate(&self, domain: Domain, place: u32) -> Result<(), Violation> {
        self.invalidate_where(place, |region| region.pd == domain.pd)
    }

    /// Invalidation by token: the remote one when a peer asks, the local one after a read.
    ///
    /// # Errors
    /// [`Violation`]: the token names no valid fast-register region of `domain`, nor, for a peer, a window; or, for a peer, a
    /// region that peers may not reach.
    pub(crate) fn invalidate_token(
        &self,
        domain: Domain,
        token: u32,
        by_peer: bool,
    ) -> Result<(), Violation> {
        let name = Token::decode(token).filter(|name| name.remote == by_peer).ok_or(Violation::Name)?;
        self.invalidate_where(name.place, |region| {
            let ends = if by_peer { region.ends_for_peer() } else { !matches!(region.kind, Kind::Window(_)) };
            ends && region.named(domain.pd, &name)
        })
    }

    /// Whether [`invalidate_token`](Self::invalidate_token) would succeed for a peer now.
    pub(crate) fn can_invalidate(&self, domain: Domain, token: u32) -> bool {
        let name = Token::decode(token).filter(|name| name.remote);
        let Some((name, slot)) = name.and_then(|name| Some((name, self.region(name.place)?))) else {
            return false;
        };
        let region = slot.lock();
        region.valid && region.named(domain.pd, &name) && region.ends_for_peer()
    }

    fn invalidate_where(&self, place: u32, allowed: impl FnOnce(&Region) -> bool) -> Result<(), Violation> {
        let ended = {
            let mut region = self.region(place).ok_or(Violation::Name)?.lock();
            let invalidable = matches!(region.kind, Kind::Fast { .. } | Kind::Window(_));
            if !region.valid || !invalidable || !allowed(&region) {
                return Err(Violation::Name);
            }
            region.invalidate();
            // Region before mapping: the lock order.
            self.forget_pages(&region.kind);
            match &mut region.kind {
                Kind::Fast { used, .. } => {
                    *used = 0;
                    None
                }
                Kind::Window(binding) => binding.take(),
                Kind::Bare | Kind::Registered(_) => None,
            }
        };
        if let Some(binding) = ended {
            self.unbind(binding);
        }
        Ok(())
    }

    /// The pages of a fast registration no longer count as registered.
    fn forget_pages(&self, kind: &Kind) {
        if let Kind::Fast { pages, used, .. } = kind {
            for page in pages.iter().take(*used) {
                self.unregister_page(page);
            }
        }
    }
}
