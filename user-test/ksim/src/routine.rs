//! Routines looked up by name.

use std::ffi::c_void;
use std::slice;

use abi::nt::{PASSIVE_LEVEL, UNICODE_STRING};

use crate::host::{self, Mutex};
use crate::{etw, pool, processor, wine};

static HIDDEN: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Makes this an older system that lacks a routine, for the whole process, from now on.
pub fn hide(name: &str) {
    host::lock(&HIDDEN).push(name.to_owned());
}

/// `MmGetSystemRoutineAddress`.
///
/// # Safety
/// `name` and its buffer are readable.
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn MmGetSystemRoutineAddress(name: *mut UNICODE_STRING) -> *mut c_void {
    processor::require_at_most(PASSIVE_LEVEL, "MmGetSystemRoutineAddress");
    // SAFETY: as promised by the caller.
    let name = unsafe { *name };
    // SAFETY: as promised by the caller; the length is in bytes.
    let text = unsafe { slice::from_raw_parts(name.Buffer, usize::from(name.Length) / 2) };
    let text = String::from_utf16_lossy(text);
    let missing_in_wine = (text == "ExAllocatePool2" || text.starts_with("Etw")) && wine::is_imitated();
    if missing_in_wine || host::lock(&HIDDEN).contains(&text) {
        return std::ptr::null_mut();
    }
    match text.as_str() {
        "ExAllocatePool2" => pool::ExAllocatePool2 as *mut c_void,
        "ExAllocatePoolWithTag" => pool::ExAllocatePoolWithTag as *mut c_void,
        "EtwRegister" => etw::register as *mut c_void,
        "EtwSetInformation" => etw::set_information as *mut c_void,
        "EtwUnregister" => etw::unregister as *mut c_void,
        "EtwWriteTransfer" => etw::write_transfer as *mut c_void,
        "KeGetCurrentProcessorNumberEx" => processor::current_number as *mut c_void,
        _ => std::ptr::null_mut(),
    }
}
