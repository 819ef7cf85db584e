//! Plain data of `ndkpi.h`: object header, scatter/gather elements, address mappings, completion entries,
//! extension interfaces.

use core::ffi::c_void;

use super::{NDK_OBJECT_TYPE, NDK_OPERATION_TYPE, NDK_VERSION};
use crate::{NTSTATUS, layout};

/// Four pointers that belong to the layer above the provider (`NDK_OBJECT_HEADER_RESERVED_BLOCK`).
///
/// The provider zeroes them at creation and does not touch them again while the object lives.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct NDK_OBJECT_HEADER_RESERVED_BLOCK {
    pub rf: [*mut c_void; 4],
}

layout!(NDK_OBJECT_HEADER_RESERVED_BLOCK: 0x20, 8; rf 0x0);

/// First member of every NDK object (`NDK_OBJECT_HEADER`).
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct NDK_OBJECT_HEADER {
    /// Version in force for the adapter the object belongs to.
    pub Version: NDK_VERSION,
    /// Kind of the object, never [`NdkObjectTypeUndefined`](super::NdkObjectTypeUndefined).
    pub ObjectType: NDK_OBJECT_TYPE,
    /// Storage of the layer above the provider.
    pub NdkReserved: NDK_OBJECT_HEADER_RESERVED_BLOCK,
}

layout!(NDK_OBJECT_HEADER: 0x28, 8; Version 0x0, ObjectType 0x4, NdkReserved 0x8);

/// An address as the adapter sees it, in bytes (`NDK_LOGICAL_ADDRESS`). With DMA remapping it is not a
/// physical one.
pub type NDK_LOGICAL_ADDRESS = i64;

/// The address of an [`NDK_SGE`]: logical with the privileged token, virtual with any other or with inline
/// data.
#[repr(C)]
#[derive(Clone, Copy)]
pub union NDK_SGE_ADDRESS {
    pub VirtualAddress: *mut c_void,
    pub LogicalAddress: NDK_LOGICAL_ADDRESS,
}

layout!(NDK_SGE_ADDRESS: 8, 8; VirtualAddress 0x0, LogicalAddress 0x0);

/// Scatter/gather element of a work request (`NDK_SGE`). The list itself is copied while the request is
/// posted.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct NDK_SGE {
    /// An anonymous union in C.
    pub Anonymous: NDK_SGE_ADDRESS,
    /// Bytes.
    pub Length: u32,
    /// Token of the region, or the privileged token of the protection domain.
    pub MemoryRegionToken: u32,
}

layout!(NDK_SGE: 0x10, 8; Anonymous 0x0, Length 0x8, MemoryRegionToken 0xC);

/// Logical pages of a buffer, made by `NdkBuildLAM` and given back by `NdkReleaseLAM`
/// (`NDK_LOGICAL_ADDRESS_MAPPING`).
///
/// Variable length: `n` pages need `offset_of!(AdapterPageArray) + 8 * n` bytes.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct NDK_LOGICAL_ADDRESS_MAPPING {
    /// The provider's; a consumer leaves it alone.
    pub AdapterContext: *mut c_void,
    /// Entries in `AdapterPageArray`.
    pub AdapterPageCount: u32,
    /// Page addresses, each a multiple of `PAGE_SIZE`; the declared length 1 stands for the count.
    pub AdapterPageArray: [NDK_LOGICAL_ADDRESS; 1],
}

layout!(NDK_LOGICAL_ADDRESS_MAPPING: 0x18, 8;
    AdapterContext 0x0, AdapterPageCount 0x8, AdapterPageArray 0x10,
);

/// Completion entry (`NDK_RESULT`).
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct NDK_RESULT {
    pub Status: NTSTATUS,
    /// Bytes placed by a receive; undefined for every other request.
    pub BytesTransferred: u32,
    /// Value given when the queue pair was created.
    pub QPContext: *mut c_void,
    /// Value given when the request was posted.
    pub RequestContext: *mut c_void,
}

layout!(NDK_RESULT: 0x18, 8; Status 0x0, BytesTransferred 0x4, QPContext 0x8, RequestContext 0x10);

/// Completion entry with the kind of its request (`NDK_RESULT_EX`, NDKPI 1.2).
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct NDK_RESULT_EX {
    pub Status: NTSTATUS,
    /// Bytes placed by a receive; undefined for every other request.
    pub BytesTransferred: u32,
    /// Value given when the queue pair was created.
    pub QPContext: *mut c_void,
    /// Value given when the request was posted.
    pub RequestContext: *mut c_void,
    /// Kind of the request.
    pub Type: NDK_OPERATION_TYPE,
    /// The provider's own code of a failure, 0 on success or when there is none. Meaningful from NDKPI 2.1
    /// on; before, these bytes are padding with undefined contents.
    pub ProviderErrorCode: u32,
    /// For [`NdkOperationTypeReceiveAndInvalidate`](super::NdkOperationTypeReceiveAndInvalidate) the token
    /// that became invalid, in the low 32 bits; undefined for every other kind.
    pub TypeSpecificCompletionOutput: usize,
}

layout!(NDK_RESULT_EX: 0x28, 8;
    Status 0x0, BytesTransferred 0x4, QPContext 0x8, RequestContext 0x10, Type 0x18, ProviderErrorCode 0x1C,
    TypeSpecificCompletionOutput 0x20,
);

/// What `NdkQueryExtension` hands out (`NDK_EXTENSION_INTERFACE`): a table whose form its identifier defines.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct NDK_EXTENSION_INTERFACE {
    pub Dispatch: *const c_void,
}

layout!(NDK_EXTENSION_INTERFACE: 8, 8; Dispatch 0x0);
