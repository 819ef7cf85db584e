//! Pool memory: tags, guard bytes behind each block, freed blocks kept poisoned for a while, failing allocations.

use std::alloc::{Layout, alloc, dealloc};
use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::ffi::c_void;
use std::marker::PhantomData;
use std::ptr;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use abi::nt::{
    DISPATCH_LEVEL, MEMORY_ALLOCATION_ALIGNMENT, PAGE_SIZE, POOL_FLAG_NON_PAGED, POOL_FLAG_UNINITIALIZED,
};

use crate::host::{self, Mutex};
use crate::stop::{
    BAD_POOL_CALLER, BAD_POOL_HEADER, DRIVER_CORRUPTED_EXPOOL, DRIVER_VERIFIER_DETECTED_VIOLATION,
    TIMER_OR_DPC_INVALID,
};
use crate::{bare, dpc, processor, sim, stop, tally, timer, wine};

mod unchecked;

/// What memory looks like that was not asked to be zeroed.
const FRESH: u8 = 0xCD;
/// What freed memory looks like while it is kept.
const FREED: u8 = 0xDD;
/// What lies behind a block.
const GUARD: u8 = 0xFD;
const GUARD_BYTES: usize = 16;
/// How many freed blocks are kept, and how many bytes in all.
const QUARANTINE_BLOCKS: usize = 1024;
const QUARANTINE_BYTES: usize = 16 << 20;

struct Block {
    bytes: usize,
    host: HostMemory,
    tag: u32,
    scope: u64,
}

/// A freed block whose memory the host does not have back yet.
struct Freed {
    address: usize,
    bytes: usize,
    host: HostMemory,
}

/// Where a block lies in what the host gave for it.
#[derive(Clone, Copy)]
struct HostMemory {
    layout: Layout,
    /// Bytes before the block.
    offset: usize,
}

impl HostMemory {
    fn for_block(bytes: usize) -> Option<Self> {
        let align = if bytes >= PAGE_SIZE { PAGE_SIZE } else { MEMORY_ALLOCATION_ALIGNMENT };
        let offset = if wine::is_imitated() { MEMORY_ALLOCATION_ALIGNMENT } else { 0 };
        let layout =
            Layout::from_size_align(offset.checked_add(bytes)?.checked_add(GUARD_BYTES)?, align).ok()?;
        Some(Self { layout, offset })
    }
}

#[derive(Default)]
struct Pool {
    live: BTreeMap<usize, Block>,
    quarantine: VecDeque<Freed>,
    quarantined_bytes: usize,
}

static POOL: LazyLock<Mutex<Pool>> = LazyLock::new(Mutex::default);

thread_local! {
    /// The scope new blocks of this thread belong to; zero for none.
    static SCOPE: Cell<u64> = const { Cell::new(0) };
    /// How many more allocations of this thread succeed, if any fail at all.
    static FAIL_AFTER: Cell<Option<u64>> = const { Cell::new(None) };
    static FAILED: Cell<u64> = const { Cell::new(0) };
}

/// What one tag has allocated.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Usage {
    /// The four characters.
    pub tag: String,
    /// Blocks.
    pub blocks: usize,
    /// Bytes asked for.
    pub bytes: usize,
}

/// How many blocks with this tag are allocated in the whole process.
#[must_use]
pub fn outstanding(tag: &[u8; 4]) -> usize {
    let tag = u32::from_le_bytes(*tag);
    host::lock(&POOL).live.values().filter(|block| block.tag == tag).count()
}

/// What is allocated in the whole process, by tag.
#[must_use]
pub fn usage() -> Vec<Usage> {
    usage_where(|_| true)
}

fn usage_where(wanted: impl Fn(&Block) -> bool) -> Vec<Usage> {
    let mut tags = BTreeMap::<u32, (usize, usize)>::new();
    for block in host::lock(&POOL).live.values().filter(|block| wanted(block)) {
        let (blocks, bytes) = tags.entry(block.tag).or_default();
        *blocks += 1;
        *bytes += block.bytes;
    }
    tags.into_iter().map(|(tag, (blocks, bytes))| Usage { tag: text(tag), blocks, bytes }).collect()
}

/// The four characters of a tag.
pub(crate) fn text(tag: u32) -> String {
    String::from_utf8_lossy(&tag.to_le_bytes()).into_owned()
}

/// The tag of the block that `address` lies in.
pub(crate) fn tag_of(address: usize) -> Option<String> {
    let pool = host::lock(&POOL);
    let (begin, block) = pool.live.range(..=address).next_back()?;
    (address - begin < block.bytes).then(|| text(block.tag))
}

/// Follows what one thread allocates, wherever it is freed: a leak check for a test that runs beside others.
///
/// Blocks allocated on this thread while the scope is the innermost one belong to it. Scopes are dropped in the reverse
/// order of their making.
#[derive(Debug)]
pub struct Scope {
    id: u64,
    outer: u64,
    same_thread: PhantomData<*mut ()>,
}

impl Scope {
    /// Begins a scope on this thread.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "it changes the thread")]
    pub fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Self { id, outer: SCOPE.replace(id), same_thread: PhantomData }
    }

    /// What this scope has allocated and nobody has freed, by tag.
    #[must_use]
    pub fn usage(&self) -> Vec<Usage> {
        usage_where(|block| block.scope == self.id)
    }

    /// Panics if something is still allocated.
    #[track_caller]
    pub fn assert_empty(&self) {
        assert_eq!(self.usage(), [], "still allocated");
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        SCOPE.set(self.outer);
    }
}

/// Makes allocations of this thread fail; see [`fail_after`].
#[derive(Debug)]
pub struct Failing {
    outer: Option<u64>,
    failed_before: u64,
    same_thread: PhantomData<*mut ()>,
}

/// From now on the next `successes` allocations of this thread succeed, and all later ones fail, until the guard is
/// dropped. IRPs, MDLs, work items and mappings count as allocations.
///
/// A test of a constructor calls it with 0, 1, 2… until nothing has failed.
#[must_use = "allocations succeed again when the guard is dropped"]
pub fn fail_after(successes: u64) -> Failing {
    let outer = FAIL_AFTER.replace(Some(successes));
    Failing { outer, failed_before: FAILED.get(), same_thread: PhantomData }
}

impl Failing {
    /// Whether an allocation has failed since the guard was made.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        FAILED.get() != self.failed_before
    }
}

impl Drop for Failing {
    fn drop(&mut self) {
        FAIL_AFTER.set(self.outer);
    }
}

/// Whether the present allocation is to fail.
pub(crate) fn fails_now() -> bool {
    match FAIL_AFTER.get() {
        None => sim::allocation_fails(),
        Some(0) => {
            FAILED.set(FAILED.get() + 1);
            true
        }
        Some(left) => {
            FAIL_AFTER.set(Some(left - 1));
            false
        }
    }
}

/// Allocates a block filled with `fill`, or null.
pub(crate) fn allocate(bytes: usize, tag: u32, fill: u8) -> *mut c_void {
    if bare::is_unchecked() {
        return unchecked::allocate(bytes, fill == 0);
    }
    processor::require_at_most(DISPATCH_LEVEL, "allocating pool");
    sim::point("allocating pool");
    if tag == 0 || bytes == 0 {
        stop!(BAD_POOL_CALLER, "{bytes} bytes with tag {tag:#x}");
    }
    let (false, Some(place)) = (fails_now(), HostMemory::for_block(bytes)) else {
        return ptr::null_mut();
    };
    // SAFETY: the size is not zero.
    let base = unsafe { alloc(place.layout) };
    if base.is_null() {
        return ptr::null_mut();
    }
    // SAFETY: the block lies at this offset.
    let memory = unsafe { base.add(place.offset) };
    // SAFETY: `bytes` of the fresh block.
    unsafe { ptr::write_bytes(memory, fill, bytes) };
    // SAFETY: the guard lies behind them in the same block.
    let guard = unsafe { memory.add(bytes) };
    // SAFETY: as above.
    unsafe { ptr::write_bytes(guard, GUARD, GUARD_BYTES) };
    let block = Block { bytes, host: place, tag, scope: SCOPE.get() };
    host::lock(&POOL).live.insert(memory.expose_provenance(), block);
    tally::note_allocation(tag);
    memory.cast()
}

/// Frees a block; it stays poisoned for a while.
pub(crate) fn free(memory: *mut c_void, tag: u32) {
    if bare::is_unchecked() {
        // SAFETY: a driver frees what it has allocated; who breaks that is found where things are checked.
        return unsafe { unchecked::free(memory) };
    }
    processor::require_at_most(DISPATCH_LEVEL, "freeing pool");
    sim::point("freeing pool");
    let address = memory.addr();
    let mut pool = host::lock(&POOL);
    let Some(block) = pool.live.remove(&address) else {
        let twice = pool.quarantine.iter().any(|freed| freed.address == address);
        stop!(
            BAD_POOL_CALLER,
            "{address:#x} is freed {}",
            if twice { "twice" } else { "but is no allocation" }
        );
    };
    if tag != 0 && tag != block.tag {
        stop!(BAD_POOL_CALLER, "a block tagged {:#x} is freed with tag {tag:#x}", block.tag);
    }
    let range = address..address + block.bytes;
    if dpc::is_queued_within(&range) || timer::is_set_within(&range) {
        stop!(TIMER_OR_DPC_INVALID, "a queued DPC or set timer in {range:#x?} is freed");
    }
    // SAFETY: the guard lies behind the bytes in the same block.
    let guard = unsafe { memory.byte_add(block.bytes) };
    if !all_are(guard.cast(), GUARD_BYTES, GUARD) {
        stop!(
            BAD_POOL_HEADER,
            "the bytes behind the {}-byte block at {address:#x} were written",
            block.bytes
        );
    }
    // SAFETY: the block is no longer anybody's.
    unsafe { ptr::write_bytes(memory.cast::<u8>(), FREED, block.bytes) };
    pool.quarantined_bytes += block.bytes;
    pool.quarantine.push_back(Freed { address, bytes: block.bytes, host: block.host });
    while pool.quarantine.len() > QUARANTINE_BLOCKS || pool.quarantined_bytes > QUARANTINE_BYTES {
        let Some(freed) = pool.quarantine.pop_front() else { break };
        pool.quarantined_bytes -= freed.bytes;
        give_back(&freed);
    }
}

/// Checks all freed blocks that are still kept for writes after the free; stops if there was one.
pub fn check_quarantine() {
    let mut pool = host::lock(&POOL);
    pool.quarantined_bytes = 0;
    let freed = std::mem::take(&mut pool.quarantine);
    drop(pool);
    freed.iter().for_each(give_back);
}

/// Returns a kept block to the host, if nobody has written to it.
fn give_back(freed: &Freed) {
    let memory = ptr::with_exposed_provenance_mut::<u8>(freed.address);
    if !all_are(memory, freed.bytes, FREED) {
        stop!(DRIVER_CORRUPTED_EXPOOL, "the freed block at {:#x} was written", freed.address);
    }
    // SAFETY: the block lies at this offset.
    let base = unsafe { memory.sub(freed.host.offset) };
    // SAFETY: allocated with this layout, freed by the driver, and taken out of the quarantine once.
    unsafe { dealloc(base, freed.host.layout) };
}

/// Whether `bytes` bytes at `memory` all have that value.
fn all_are(memory: *const u8, bytes: usize, value: u8) -> bool {
    (0..bytes).all(|index| {
        // SAFETY: callers pass bytes of a block of this pool.
        let byte = unsafe { memory.add(index) };
        // SAFETY: as above; volatile, because a faulty driver may write meanwhile.
        unsafe { byte.read_volatile() == value }
    })
}

/// `ExAllocatePool2`.
#[unsafe(no_mangle)]
pub(crate) extern "C-unwind" fn ExAllocatePool2(flags: u64, bytes: usize, tag: u32) -> *mut c_void {
    if flags & POOL_FLAG_NON_PAGED == 0 {
        stop!(
            DRIVER_VERIFIER_DETECTED_VIOLATION,
            "ExAllocatePool2 with flags {flags:#x}: only non-paged pool exists"
        );
    }
    allocate(bytes, tag, if flags & POOL_FLAG_UNINITIALIZED == 0 { 0 } else { FRESH })
}

/// `ExAllocatePoolWithTag`.
#[unsafe(no_mangle)]
pub(crate) extern "C-unwind" fn ExAllocatePoolWithTag(
    _pool_type: i32,
    bytes: usize,
    tag: u32,
) -> *mut c_void {
    allocate(bytes, tag, FRESH)
}

/// `ExFreePoolWithTag`.
#[unsafe(no_mangle)]
pub(crate) extern "C-unwind" fn ExFreePoolWithTag(memory: *mut c_void, tag: u32) {
    free(memory, tag);
}
