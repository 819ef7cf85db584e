//! Logical address mappings: the pages of an MDL chain as the adapter sees them.

use crate::TAG;
use crate::adapter::{Adapter, Use};
use crate::handles;
use crate::object::slot;
use abi::NTSTATUS;
use abi::ndk::{NDK_LOGICAL_ADDRESS, NDK_LOGICAL_ADDRESS_MAPPING};
use abi::nt::{MDL, PAGE_SIZE};
use abi::status::{STATUS_INTERNAL_ERROR, STATUS_INVALID_PARAMETER, STATUS_PENDING, nt_success};
use core::ffi::c_void;
use core::mem::offset_of;
use core::ptr::NonNull;
use kernel::lock::SpinLock;
use kernel::pool::{PoolSlice, Shared};

/// Words before the page array.
const HEAD: usize =
    offset_of!(NDK_LOGICAL_ADDRESS_MAPPING, AdapterPageArray) / size_of::<NDK_LOGICAL_ADDRESS>();

/// Octets of a run, at most.
const RUN_MAX: usize = 1 << 31;

/// The pages of a part of an MDL chain (`NDK_LOGICAL_ADDRESS_MAPPING`).
///
/// Dropping it releases the mapping (`NdkReleaseLAM`): only when no request and no registration uses its pages any more. Drop:
/// IRQL <= DISPATCH_LEVEL.
pub struct Mapping {
    /// The structure, with room for the pages that the octets span.
    lam: PoolSlice<NDK_LOGICAL_ADDRESS>,
    pages: usize,
    first_byte_offset: u32,
    len: usize,
    user: Use,
}

/// A mapping that is being built; at a stable address, because the provider writes into it. Nobody else looks at it until
/// that has ended.
struct Build<F> {
    lam: PoolSlice<NDK_LOGICAL_ADDRESS>,
    size: u32,
    first_byte_offset: u32,
    len: usize,
    user: Use,
    then: F,
}

impl Mapping {
    /// Maps the first `len` octets of a chain (`NdkBuildLAM`) and hands the mapping to `then`: before this returns, later, or on
    /// another thread. IRQL <= DISPATCH_LEVEL.
    ///
    /// The errors that `then` gets: INVALID_PARAMETER (no octets, or they are not virtually contiguous),
    /// INSUFFICIENT_RESOURCES, DEVICE_NOT_READY (the adapter is being closed), INTERNAL_ERROR (the provider's answer makes no
    /// sense), or the provider's status.
    ///
    /// # Safety
    /// `mdl` is a valid chain whose pages are locked and stay so until the mapping is dropped; nobody touches the chain before
    /// `then` is called.
    pub unsafe fn build<F>(adapter: &Shared<Adapter>, mdl: NonNull<MDL>, len: usize, then: F)
    where
        F: FnOnce(Result<Self, NTSTATUS>) + Send + 'static,
    {
        // SAFETY: a valid chain (caller).
        let offset = unsafe { mdl.as_ref() }.ByteOffset as usize;
        let prepared = prepare(adapter, offset, len);
        let (lam, size, user) = match prepared {
            Ok(prepared) => prepared,
            Err(status) => return then(Err(status)),
        };
        // `then` is in the cell only once the cell and its context are there.
        let cell = match Shared::try_new(TAG, SpinLock::new(None::<Build<F>>)) {
            Ok(cell) => cell,
            Err(no_memory) => return then(Err(no_memory.status())),
        };
        let context = match adapter.context() {
            Ok(context) => context,
            Err(status) => return then(Err(status)),
        };
        let object = adapter.object();
        let (buffer, room, first) = {
            let mut cell = cell.lock();
            let build = cell.insert(Build { lam, size, first_byte_offset: 0, len, user, then });
            (build.lam.as_mut_ptr().cast(), &raw mut build.size, &raw mut build.first_byte_offset)
        };
        let context = context.issue(cell);
        let request = slot!(object, NdkBuildLAM);
        // SAFETY: the adapter is open (`user`); the chain is as the caller promises; buffer and cell stay until the end of the
        // request, where `built` takes them.
        let status =
            unsafe { request(object, mdl.as_ptr(), len, Some(built::<F>), context, buffer, room, first) };
        if status != STATUS_PENDING {
            built::<F>(context, status);
        }
    }

    /// The logical address of each page, in order.
    #[must_use]
    pub fn pages(&self) -> &[NDK_LOGICAL_ADDRESS] {
        self.lam.get(HEAD..HEAD.saturating_add(self.pages)).unwrap_or_default()
    }

    /// Where octets lie together for the adapter, from octet `offset` on: the logical address of the first one, and how
    /// many follow. Pages whose numbers are consecutive are one run (NDKPI "NDK_LOGICAL_ADDRESS_MAPPING").
    pub(crate) fn runs(&self, offset: usize) -> Runs<'_> {
        Runs { mapping: self, offset }
    }

    /// How many octets from `offset` on one request can name that has so many elements. Less than 4 GiB.
    #[must_use]
    pub fn reach(&self, offset: usize, elements: u32) -> u32 {
        let octets =
            self.runs(offset).take(elements as usize).fold(0usize, |n, (_, run)| n.saturating_add(run));
        u32::try_from(octets).unwrap_or(u32::MAX)
    }

    /// The pages of `len` octets from `offset` on, and where the first of them is in the first page; `None` for octets
    /// outside the mapping, or none.
    pub(crate) fn pages_of(&self, offset: usize, len: usize) -> Option<(&[NDK_LOGICAL_ADDRESS], u32)> {
        let end = offset.checked_add(len).filter(|&end| end <= self.len && len != 0)?;
        let first = (self.first_byte_offset as usize).checked_add(offset)?;
        let last = (self.first_byte_offset as usize).checked_add(end)?;
        let pages = self.pages().get(first / PAGE_SIZE..last.div_ceil(PAGE_SIZE))?;
        Some((pages, u32::try_from(first % PAGE_SIZE).ok()?))
    }

    /// Where the first octet is in the first page, in octets.
    #[must_use]
    pub fn first_byte_offset(&self) -> u32 {
        self.first_byte_offset
    }

    /// Octets that are mapped.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a mapping is never empty")]
    pub fn len(&self) -> usize {
        self.len
    }
}

/// The runs of a mapping.
pub(crate) struct Runs<'a> {
    mapping: &'a Mapping,
    offset: usize,
}

impl Iterator for Runs<'_> {
    type Item = (NDK_LOGICAL_ADDRESS, usize);

    fn next(&mut self) -> Option<Self::Item> {
        let left = self.mapping.len.checked_sub(self.offset).filter(|&left| left != 0)?;
        let place = (self.mapping.first_byte_offset as usize).checked_add(self.offset)?;
        let (page, in_page) = (place / PAGE_SIZE, place % PAGE_SIZE);
        let pages = self.mapping.pages().get(page..)?;
        let first = *pages.first()?;
        let follows = |pair: &[NDK_LOGICAL_ADDRESS]| {
            pair.first()
                .zip(pair.last())
                .is_some_and(|(a, b)| a.checked_add(PAGE_SIZE as NDK_LOGICAL_ADDRESS) == Some(*b))
        };
        // No more pages than a run of 2 GiB has: an element's length is 32 bits.
        let together = pages.windows(2).take(RUN_MAX / PAGE_SIZE).take_while(|pair| follows(pair)).count();
        let octets = together.checked_add(1)?.checked_mul(PAGE_SIZE)?.checked_sub(in_page)?.min(left);
        self.offset = self.offset.checked_add(octets)?;
        Some((first.checked_add(in_page as NDK_LOGICAL_ADDRESS)?, octets))
    }
}

/// Room for the pages that `len` octets at `offset` of a page span, its size in octets, and the use of the adapter.
fn prepare(
    adapter: &Shared<Adapter>,
    offset: usize,
    len: usize,
) -> Result<(PoolSlice<NDK_LOGICAL_ADDRESS>, u32, Use), NTSTATUS> {
    let pages = offset.checked_add(len).ok_or(STATUS_INVALID_PARAMETER)?.div_ceil(PAGE_SIZE);
    let words = pages.checked_add(HEAD).filter(|_| len != 0).ok_or(STATUS_INVALID_PARAMETER)?;
    let size = words.checked_mul(size_of::<NDK_LOGICAL_ADDRESS>()).and_then(|size| u32::try_from(size).ok());
    let size = size.ok_or(STATUS_INVALID_PARAMETER)?;
    let user = Use::new(adapter)?;
    let lam = PoolSlice::try_new_with(TAG, words, |_| 0).map_err(|no_memory| no_memory.status())?;
    Ok((lam, size, user))
}

/// The end of a build.
extern "system" fn built<F>(context: *mut c_void, status: NTSTATUS)
where
    F: FnOnce(Result<Mapping, NTSTATUS>) + Send + 'static,
{
    let Some((cell, _done)) = handles::take::<SpinLock<Option<Build<F>>>>(context) else { return };
    let build = cell.lock().take();
    let Some(Build { lam, first_byte_offset, len, user, then, .. }) = build else { return };
    if !nt_success(status) {
        return then(Err(status));
    }
    let raw = lam.as_ptr().cast::<NDK_LOGICAL_ADDRESS_MAPPING>();
    // SAFETY: the buffer has room for the structure, and the provider has filled it.
    let pages = unsafe { (*raw).AdapterPageCount } as usize;
    let mapping = Mapping { lam, pages, first_byte_offset, len, user };
    let sound = mapping.pages().len() == pages && pages != 0 && (first_byte_offset as usize) < PAGE_SIZE;
    then(if sound { Ok(mapping) } else { Err(STATUS_INTERNAL_ERROR) });
}

impl Drop for Mapping {
    fn drop(&mut self) {
        let object = self.user.object();
        let release = slot!(object, NdkReleaseLAM);
        // SAFETY: built once and released once, here; the adapter is open (`user`).
        unsafe { release(object, self.lam.as_mut_ptr().cast()) };
    }
}
