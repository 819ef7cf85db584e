//! Requests that concern one side only: fast registration, windows and invalidation.

use abi::NTSTATUS;
use abi::ndk::{NDK_OP_FLAG, NdkOperationTypeBind, NdkOperationTypeFastRegister, NdkOperationTypeInvalidate};
use abi::status::{
    STATUS_ACCESS_VIOLATION, STATUS_INVALID_DEVICE_REQUEST, STATUS_INVALID_PARAMETER, STATUS_SUCCESS,
};
use core::cell::Cell;
use kernel::pool::Shared;

use super::Qp;
use super::initiator::Local;
use crate::config::{FAST_REGISTER_PAGES_MAX, PAGE_SIZE};
use crate::life::{Hold, Object as _};
use crate::memory::{FastRegistration, Memory, RegistrationFault, Rights, WindowRange};
use crate::mr::Mr;
use crate::mw::Mw;
use crate::opaque::Opaque;

const COMMON_FLAGS: NDK_OP_FLAG =
    NDK_OP_FLAG::SILENT_SUCCESS.union(NDK_OP_FLAG::READ_FENCE).union(NDK_OP_FLAG::DEFER);

/// `NDK_OP_FLAG_RDMA_READ_SINK` asks for nothing here and must be taken all the same.
const FAST_REGISTER_FLAGS: NDK_OP_FLAG = COMMON_FLAGS
    .union(NDK_OP_FLAG::ALLOW_REMOTE_READ)
    .union(NDK_OP_FLAG::ALLOW_REMOTE_WRITE)
    .union(NDK_OP_FLAG::RDMA_READ_SINK);

const BIND_FLAGS: NDK_OP_FLAG =
    COMMON_FLAGS.union(NDK_OP_FLAG::ALLOW_REMOTE_READ).union(NDK_OP_FLAG::ALLOW_REMOTE_WRITE);

impl Qp {
    pub(super) fn memory(&self) -> &Memory {
        self.adapter().core().memory()
    }

    /// `NdkFastRegister`. The request takes effect during the call, so the remote token is the new one when it returns.
    ///
    /// Inline failures: `STATUS_INVALID_PARAMETER` (flags or numbers), `STATUS_ACCESS_VIOLATION` (remote rights for a region
    /// initialised without), and those of every post. Completions: `STATUS_INVALID_DEVICE_REQUEST` (the region is valid),
    /// `STATUS_ACCESS_VIOLATION` (a page is not the consumer's).
    pub(super) fn post_fast_register(
        &self,
        context: Opaque,
        mr: &Shared<Mr>,
        wanted: &Wanted<'_>,
        flags: u32,
    ) -> NTSTATUS {
        let checked = self.check_fast_register(mr, wanted, flags);
        let (registration, flags) = match checked {
            Ok(checked) => checked,
            Err(status) => {
                self.kick();
                return status;
            }
        };
        self.post_local(NdkOperationTypeFastRegister, context, flags, |initiator| {
            initiator.hurry_invalidation(mr.place(), || self.invalidate_now(mr.place()));
            let status = match self.memory().fast_register(self.domain(), mr.place(), &registration) {
                Ok(()) => STATUS_SUCCESS,
                Err(RegistrationFault::State) => STATUS_INVALID_DEVICE_REQUEST,
                Err(_) => STATUS_ACCESS_VIOLATION,
            };
            Local::Done { kind: NdkOperationTypeFastRegister, status }
        })
    }

    fn check_fast_register<'a>(
        &self,
        mr: &Mr,
        wanted: &Wanted<'a>,
        flags: u32,
    ) -> Result<(FastRegistration<'a>, NDK_OP_FLAG), NTSTATUS> {
        let flags = NDK_OP_FLAG::from_bits(flags).filter(|flags| FAST_REGISTER_FLAGS.contains(*flags));
        let flags = flags.ok_or(STATUS_INVALID_PARAMETER)?;
        let (offset, length) = (wanted.first_byte_offset as usize, wanted.length);
        let room = wanted.pages.len() * PAGE_SIZE;
        let numbers_fit = wanted.pages.len() <= FAST_REGISTER_PAGES_MAX as usize
            && offset < PAGE_SIZE
            && length > 0
            && length <= room.saturating_sub(offset)
            && wanted.base % PAGE_SIZE as u64 == offset as u64
            && wanted.base.checked_add(length as u64).is_some();
        if !numbers_fit {
            return Err(STATUS_INVALID_PARAMETER);
        }
        let mut rights = Rights::empty();
        rights.set(Rights::LOCAL_WRITE, flags.contains(NDK_OP_FLAG::ALLOW_LOCAL_WRITE));
        rights.set(Rights::REMOTE_READ, flags.contains(NDK_OP_FLAG::ALLOW_REMOTE_READ));
        rights.set(Rights::REMOTE_WRITE, flags.contains(NDK_OP_FLAG::ALLOW_REMOTE_WRITE));
        let remote = rights.intersects(Rights::REMOTE_READ.union(Rights::REMOTE_WRITE));
        match self.memory().fast_remote(self.domain(), mr.place()) {
            Ok(allowed) if allowed || !remote => {}
            Ok(_) => return Err(STATUS_ACCESS_VIOLATION),
            Err(_) => return Err(STATUS_INVALID_PARAMETER),
        }
        let registration = FastRegistration {
            pages: wanted.pages,
            first_byte_offset: offset,
            length,
            base: wanted.base,
            rights,
        };
        Ok((registration, flags))
    }

    /// `NdkBind`. The request takes effect during the call, so the remote token is the new one when it returns.
    ///
    /// Inline failures: `STATUS_INVALID_PARAMETER`, `STATUS_ACCESS_VIOLATION`, `STATUS_INSUFFICIENT_RESOURCES`, as
    /// [`Memory::prepare_bind`] has them, and those of every post. Completion: `STATUS_INVALID_DEVICE_REQUEST` (the window is
    /// bound, or the region has gone).
    pub(super) fn post_bind(
        &self,
        context: Opaque,
        mr: &Shared<Mr>,
        mw: &Shared<Mw>,
        range: (u64, usize),
        flags: u32,
    ) -> NTSTATUS {
        let flags = NDK_OP_FLAG::from_bits(flags).filter(|flags| BIND_FLAGS.contains(*flags));
        let prepared = flags.ok_or(STATUS_INVALID_PARAMETER).and_then(|flags| {
            let mut rights = Rights::empty();
            rights.set(Rights::REMOTE_READ, flags.contains(NDK_OP_FLAG::ALLOW_REMOTE_READ));
            rights.set(Rights::REMOTE_WRITE, flags.contains(NDK_OP_FLAG::ALLOW_REMOTE_WRITE));
            let wanted = WindowRange { address: range.0, length: range.1, rights };
            let pages = self.memory().prepare_bind(self.domain(), mr.place(), mw.place(), &wanted)?;
            Ok((flags, wanted, pages))
        });
        let (flags, wanted, pages) = match prepared {
            Ok(prepared) => prepared,
            Err(status) => {
                self.kick();
                return status;
            }
        };
        // Before the consumer can hear that the window is bound, and close the region.
        let region = Hold::new(mr);
        let bound = Cell::new(false);
        let posted = self.post_local(NdkOperationTypeBind, context, flags, |initiator| {
            initiator.hurry_invalidation(mw.place(), || self.invalidate_now(mw.place()));
            let status = match self.memory().bind(mr.place(), mw.place(), &wanted, pages) {
                Ok(()) => {
                    bound.set(true);
                    STATUS_SUCCESS
                }
                Err(_) => STATUS_INVALID_DEVICE_REQUEST,
            };
            Local::Done { kind: NdkOperationTypeBind, status }
        });
        if bound.get() {
            mw.keep(region);
        }
        posted
    }

    /// `NdkInvalidate` of the region or window at `place`. One that is not valid completes with `STATUS_ACCESS_VIOLATION`.
    pub(super) fn post_invalidate(&self, context: Opaque, place: u32, flags: u32) -> NTSTATUS {
        let flags = NDK_OP_FLAG::from_bits(flags).filter(|flags| COMMON_FLAGS.contains(*flags));
        let Some(flags) = flags.filter(|_| self.memory().is_invalidable(self.domain(), place)) else {
            self.kick();
            return STATUS_INVALID_PARAMETER;
        };
        self.post_local(NdkOperationTypeInvalidate, context, flags, |initiator| {
            // Requests before it may use the memory as long as they have not gone out.
            if initiator.is_empty() {
                Local::Done { kind: NdkOperationTypeInvalidate, status: self.invalidate_now(place) }
            } else {
                Local::Invalidate { place }
            }
        })
    }

    /// Carries out `NdkInvalidate`, and gives the status of its entry.
    pub(super) fn invalidate_now(&self, place: u32) -> NTSTATUS {
        match self.memory().invalidate(self.domain(), place) {
            Ok(()) => STATUS_SUCCESS,
            Err(_) => STATUS_ACCESS_VIOLATION,
        }
    }
}

/// The arguments of `NdkFastRegister`, unchecked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    pub(super) pages: &'a [abi::ndk::NDK_LOGICAL_ADDRESS],
    pub(super) first_byte_offset: u32,
    pub(super) length: usize,
    pub(super) base: u64,
}
