//! What the consumer has registered and mapped, and where data are awaited.

use std::collections::{BTreeMap, HashMap};
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

use abi::ndk::{NDK_LOGICAL_ADDRESS, NDK_SGE};
use abi::nt::{MDL, MDL_MAPPED_TO_SYSTEM_VA, MDL_SOURCE_IS_NONPAGED_POOL, PAGE_SIZE};

use crate::object::{Body, Ref};
use crate::rule::Rule;

/// Memory that a local token names.
#[derive(Clone, Copy)]
pub(crate) struct Region {
    pub(crate) mr: Ref,
    pub(crate) pd: Ref,
    /// First address, as elements name it.
    pub(crate) base: usize,
    /// Bytes.
    pub(crate) length: usize,
    /// Data may arrive in it.
    pub(crate) writable: bool,
    /// The addresses are those of the processor, so the bytes can be looked at.
    pub(crate) readable: bool,
}

/// A mapping that `NdkBuildLAM` made.
struct Mapping {
    pages: Vec<NDK_LOGICAL_ADDRESS>,
    /// Requests and fast registrations that use it.
    users: usize,
}

/// What a posted request keeps in use.
#[derive(Clone, Copy)]
pub(crate) enum Use {
    Region(Ref),
    /// The address of the mapping's structure.
    Mapping(usize),
}

/// One element, understood.
pub(crate) struct Place {
    pub(crate) used: Use,
    /// Where sinks are told apart: 0 for the processor's addresses, else the token.
    space: u32,
    at: usize,
    length: usize,
    pub(crate) readable: bool,
}

/// A part of memory where data are awaited.
pub(crate) type Sink = (u32, usize);

/// A range of memory whose bytes must stay as they are.
pub(crate) struct Source {
    at: usize,
    length: usize,
    sum: u64,
}

#[derive(Default)]
pub(crate) struct Book {
    /// By local token.
    regions: HashMap<u32, Region>,
    /// Regions by remote token.
    remote: HashMap<u32, Ref>,
    /// By the address of the consumer's structure.
    mappings: HashMap<usize, Mapping>,
    /// Which mapping has a logical page.
    pages: HashMap<NDK_LOGICAL_ADDRESS, usize>,
    /// End of each sink.
    sinks: BTreeMap<Sink, usize>,
}

/// Why something is refused.
pub(crate) type Broken = (Rule, String);

impl Book {
    pub(crate) fn add_region(&mut self, token: u32, region: Region) {
        self.regions.insert(token, region);
    }

    pub(crate) fn region_of(&self, mr: Ref) -> Option<Region> {
        self.regions.values().find(|region| region.mr == mr).copied()
    }

    pub(crate) fn add_remote(&mut self, token: u32, mr: Ref) {
        self.remote.insert(token, mr);
    }

    /// The region or window that the peer knows by this token.
    pub(crate) fn by_remote(&self, token: u32) -> Option<Ref> {
        self.remote.get(&token).copied()
    }

    /// Forgets what the tokens of `mr` name.
    pub(crate) fn remove_region(&mut self, mr: Ref) {
        self.regions.retain(|_, region| region.mr != mr);
        self.remote.retain(|_, known| *known != mr);
    }

    pub(crate) fn add_mapping(&mut self, lam: usize, pages: Vec<NDK_LOGICAL_ADDRESS>) {
        for page in &pages {
            self.pages.insert(*page, lam);
        }
        self.mappings.insert(lam, Mapping { pages, users: 0 });
    }

    /// How many mappings are not released.
    pub(crate) fn mappings(&self) -> usize {
        self.mappings.len()
    }

    pub(crate) fn release_mapping(&mut self, lam: usize) -> Result<(), Broken> {
        let Some(mapping) = self.mappings.get(&lam) else {
            return Err((Rule::LamRelease, format!("{lam:#x} is no mapping, or was released")));
        };
        if mapping.users != 0 {
            return Err((Rule::LamRelease, format!("{} requests or regions use {lam:#x}", mapping.users)));
        }
        for page in self.mappings.remove(&lam).map(|mapping| mapping.pages).unwrap_or_default() {
            self.pages.remove(&page);
        }
        Ok(())
    }

    /// The mapping that has these pages, if it is one.
    pub(crate) fn mapping_of(&self, page: NDK_LOGICAL_ADDRESS) -> Option<usize> {
        self.pages.get(&page).copied()
    }

    /// Understands an element of a request on `pd`, whose privileged token is given.
    pub(crate) fn place(
        &self,
        element: &NDK_SGE,
        pd: Ref,
        privileged: Option<u32>,
        arriving: bool,
    ) -> Result<Place, Broken> {
        let (token, length) = (element.MemoryRegionToken, element.Length as usize);
        if privileged == Some(token) {
            // SAFETY: both members of the union are eight plain bytes.
            let address = unsafe { element.Anonymous.LogicalAddress };
            return self.logical_place(address, token, length);
        }
        // SAFETY: as above; the pointer is not followed.
        let at = unsafe { element.Anonymous.VirtualAddress }.addr();
        let Some(region) = self.regions.get(&token) else {
            return Err((Rule::ElementMemory, format!("token {token:#x} names no registered memory")));
        };
        if region.pd != pd {
            return Err((Rule::ForeignObject, format!("token {token:#x} is of another protection domain")));
        }
        let inside = at.checked_sub(region.base).and_then(|offset| offset.checked_add(length));
        if inside.is_none_or(|end| end > region.length) {
            let (base, size) = (region.base, region.length);
            let text = format!("{length} bytes at {at:#x} leave the {size} bytes at {base:#x} of {token:#x}");
            return Err((Rule::ElementMemory, text));
        }
        if arriving && !region.writable {
            return Err((
                Rule::ElementRights,
                format!("data would arrive in {token:#x}, which is read only"),
            ));
        }
        let space = if region.readable { 0 } else { token };
        Ok(Place { used: Use::Region(region.mr), space, at, length, readable: region.readable })
    }

    fn logical_place(&self, address: i64, token: u32, length: usize) -> Result<Place, Broken> {
        let page_size = PAGE_SIZE as i64;
        let page = address - address.rem_euclid(page_size);
        let last = address.saturating_add_unsigned(length.saturating_sub(1) as u64);
        let lam = self.pages.get(&page);
        let mut next = page;
        while next <= last {
            if lam.is_none() || self.pages.get(&next) != lam {
                let text = format!("{length} bytes at logical {address:#x} leave what is mapped");
                return Err((Rule::ElementMemory, text));
            }
            next += page_size;
        }
        let used = Use::Mapping(lam.copied().unwrap_or_default());
        Ok(Place { used, space: token, at: address.cast_unsigned() as usize, length, readable: false })
    }

    /// Notes that data are awaited there.
    pub(crate) fn add_sink(&mut self, place: &Place) -> Result<Option<Sink>, Broken> {
        if place.length == 0 {
            return Ok(None);
        }
        let (sink, end) = ((place.space, place.at), place.at + place.length);
        let before = self.sinks.range(..(place.space, end)).next_back();
        if let Some((&(space, start), &other)) = before
            && space == place.space
            && other > place.at
        {
            let text =
                format!("data are already awaited in {start:#x}..{other:#x}, and now at {:#x}", place.at);
            return Err((Rule::SinkShared, text));
        }
        self.sinks.insert(sink, end);
        Ok(Some(sink))
    }

    pub(crate) fn remove_sink(&mut self, sink: Sink) {
        self.sinks.remove(&sink);
    }

    pub(crate) fn take(&mut self, used: Use) {
        match used {
            Use::Region(mr) => {
                users(mr).fetch_add(1, Ordering::AcqRel);
            }
            Use::Mapping(lam) => {
                if let Some(mapping) = self.mappings.get_mut(&lam) {
                    mapping.users += 1;
                }
            }
        }
    }

    pub(crate) fn give_back(&mut self, used: Use) {
        match used {
            Use::Region(mr) => {
                users(mr).fetch_sub(1, Ordering::AcqRel);
            }
            Use::Mapping(lam) => {
                if let Some(mapping) = self.mappings.get_mut(&lam) {
                    mapping.users = mapping.users.saturating_sub(1);
                }
            }
        }
    }
}

/// The requests and windows that use a region.
fn users(mr: Ref) -> &'static AtomicUsize {
    static NOBODY: AtomicUsize = AtomicUsize::new(usize::MAX / 2);
    let Body::Mr(body) = &mr.body else { return &NOBODY };
    // SAFETY: a proxy lives as long as its check, and the caller uses the count at once.
    unsafe { &*ptr::from_ref(&body.users) }
}

impl Source {
    /// What lies at a place that can be looked at.
    pub(crate) fn of(place: &Place) -> Option<Self> {
        (place.readable && place.length != 0).then(|| {
            let (at, length) = (place.at, place.length);
            Self { at, length, sum: sum(at, length) }
        })
    }

    /// Whether the bytes are what they were.
    pub(crate) fn is_unchanged(&self) -> bool {
        sum(self.at, self.length) == self.sum
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes at {:#x}", self.length, self.at)
    }
}

/// A sum over bytes that somebody may be writing: a consumer that breaks the rule.
fn sum(at: usize, length: usize) -> u64 {
    let mix = |sum: u64, word: u64| (sum ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29);
    let memory = ptr::with_exposed_provenance::<u8>(at);
    let head = (at.wrapping_neg() % 8).min(length);
    let words = (length - head) / 8;
    let mut sum = length as u64;
    let byte = |offset: usize| {
        let byte = memory.wrapping_add(offset);
        // SAFETY: inside a registered region that the consumer must keep while a request uses it.
        u64::from(unsafe { byte.read_volatile() })
    };
    for offset in 0..head {
        sum = mix(sum, byte(offset));
    }
    for index in 0..words {
        let word = memory.wrapping_add(head + 8 * index).cast::<u64>();
        // SAFETY: as for single bytes, and aligned.
        sum = mix(sum, unsafe { word.read_volatile() });
    }
    for offset in head + 8 * words..length {
        sum = mix(sum, byte(offset));
    }
    sum
}

/// The first address that an MDL chain describes, and whether the processor may read there.
///
/// # Safety
/// `mdl` is an MDL.
pub(crate) unsafe fn described(mdl: *const MDL) -> (usize, bool) {
    // SAFETY: as promised by the caller.
    let mdl = unsafe { &*mdl };
    let base = mdl.StartVa.addr() + mdl.ByteOffset as usize;
    let mapped = mdl.MdlFlags & (MDL_MAPPED_TO_SYSTEM_VA | MDL_SOURCE_IS_NONPAGED_POOL) != 0;
    // What is mapped elsewhere is read nowhere: elements name the address the MDL describes.
    (base, mapped && mdl.MappedSystemVa.addr() == base && mdl.Next.is_null())
}
