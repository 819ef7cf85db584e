//! The system's registration functions, imported from `netio.sys` past the symbols of this library.
//!
//! An import library would define `WskRegister` and `__imp_WskRegister`, which are this library's. So the
//! import descriptor is written out here, in the sections that linkers gather import tables from (*PE
//! Format*, "The .idata Section"; Microsoft's own import libraries have their descriptors in the same
//! sections), under names of its own. All of it is one object with its own terminators, so it stands anywhere
//! in the table and beside a second descriptor for `netio.sys` from `netio.lib`. The terminator of the whole
//! table comes from the linker or from any import library, such as that of `ntoskrnl.exe`.

use core::arch::global_asm;

use abi::wsk::{
    PFN_WSK_CAPTURE_PROVIDER_NPI, PFN_WSK_DEREGISTER, PFN_WSK_QUERY_PROVIDER_CHARACTERISTICS,
    PFN_WSK_REGISTER, PFN_WSK_RELEASE_PROVIDER_NPI,
};

use control::provider::WSKRDMA_REGISTRATION_ENTRIES;

global_asm!(
    // Import descriptor: lookup table, time stamp, forwarder chain, name, address table.
    ".section .idata$2, \"dw\"",
    ".p2align 2",
    ".rva .Lwskrdma_lookup",
    ".long 0",
    ".long 0",
    ".rva .Lwskrdma_dll",
    ".rva wskrdma_netio_WskRegister",
    // Lookup table: 64-bit entries, the name's address in the lower half.
    ".section .idata$4, \"dw\"",
    ".p2align 3",
    ".Lwskrdma_lookup:",
    ".rva .Lwskrdma_register",
    ".long 0",
    ".rva .Lwskrdma_deregister",
    ".long 0",
    ".rva .Lwskrdma_capture",
    ".long 0",
    ".rva .Lwskrdma_release",
    ".long 0",
    ".rva .Lwskrdma_query",
    ".long 0",
    ".quad 0",
    // Address table: the same until the loader puts the functions' addresses here.
    ".section .idata$5, \"dw\"",
    ".p2align 3",
    ".globl wskrdma_netio_WskRegister",
    "wskrdma_netio_WskRegister:",
    ".rva .Lwskrdma_register",
    ".long 0",
    ".globl wskrdma_netio_WskDeregister",
    "wskrdma_netio_WskDeregister:",
    ".rva .Lwskrdma_deregister",
    ".long 0",
    ".globl wskrdma_netio_WskCaptureProviderNPI",
    "wskrdma_netio_WskCaptureProviderNPI:",
    ".rva .Lwskrdma_capture",
    ".long 0",
    ".globl wskrdma_netio_WskReleaseProviderNPI",
    "wskrdma_netio_WskReleaseProviderNPI:",
    ".rva .Lwskrdma_release",
    ".long 0",
    ".globl wskrdma_netio_WskQueryProviderCharacteristics",
    "wskrdma_netio_WskQueryProviderCharacteristics:",
    ".rva .Lwskrdma_query",
    ".long 0",
    ".quad 0",
    // Hints (none) and names.
    ".section .idata$6, \"dw\"",
    ".p2align 1",
    ".Lwskrdma_register:",
    ".short 0",
    ".asciz \"WskRegister\"",
    ".p2align 1",
    ".Lwskrdma_deregister:",
    ".short 0",
    ".asciz \"WskDeregister\"",
    ".p2align 1",
    ".Lwskrdma_capture:",
    ".short 0",
    ".asciz \"WskCaptureProviderNPI\"",
    ".p2align 1",
    ".Lwskrdma_release:",
    ".short 0",
    ".asciz \"WskReleaseProviderNPI\"",
    ".p2align 1",
    ".Lwskrdma_query:",
    ".short 0",
    ".asciz \"WskQueryProviderCharacteristics\"",
    ".p2align 1",
    ".Lwskrdma_dll:",
    ".asciz \"netio.sys\"",
    ".p2align 1",
    ".text",
);

unsafe extern "C" {
    static wskrdma_netio_WskRegister: PFN_WSK_REGISTER;
    static wskrdma_netio_WskDeregister: PFN_WSK_DEREGISTER;
    static wskrdma_netio_WskCaptureProviderNPI: PFN_WSK_CAPTURE_PROVIDER_NPI;
    static wskrdma_netio_WskReleaseProviderNPI: PFN_WSK_RELEASE_PROVIDER_NPI;
    static wskrdma_netio_WskQueryProviderCharacteristics: PFN_WSK_QUERY_PROVIDER_CHARACTERISTICS;
}

/// The system's functions. `netio.sys` stays loaded for as long as the client's image, which imports it.
pub(crate) fn entries() -> WSKRDMA_REGISTRATION_ENTRIES {
    WSKRDMA_REGISTRATION_ENTRIES {
        // SAFETY: the loader has filled the table in before any code of the image ran, or has refused to load
        // it.
        WskRegister: unsafe { wskrdma_netio_WskRegister },
        // SAFETY: as above.
        WskDeregister: unsafe { wskrdma_netio_WskDeregister },
        // SAFETY: as above.
        WskCaptureProviderNPI: unsafe { wskrdma_netio_WskCaptureProviderNPI },
        // SAFETY: as above.
        WskReleaseProviderNPI: unsafe { wskrdma_netio_WskReleaseProviderNPI },
        // SAFETY: as above.
        WskQueryProviderCharacteristics: unsafe { wskrdma_netio_WskQueryProviderCharacteristics },
    }
}
