//! The drivers' devices through Win32.

use super::{Device, DeviceError};
use crate::ntstatus::NtStatus;
use std::ffi::OsStr;
use std::os::windows::ffi::OsStrExt;
use std::ptr;
use windows_sys::Win32::Foundation::{
    CloseHandle, ERROR_IO_PENDING, GENERIC_READ, GENERIC_WRITE, GetLastError, HANDLE, INVALID_HANDLE_VALUE,
};
use windows_sys::Win32::Storage::FileSystem::{
    CreateFileW, FILE_FLAG_OVERLAPPED, FILE_SHARE_READ, FILE_SHARE_WRITE, OPEN_EXISTING,
};
use windows_sys::Win32::System::IO::{DeviceIoControl, GetOverlappedResult, OVERLAPPED};
use windows_sys::Win32::System::Threading::CreateEventW;

/// An open device, overlapped so that requests of several threads do not wait for each other.
struct Handle(HANDLE);

// SAFETY: a device handle may be used from any thread; the I/O manager serialises what must be.
unsafe impl Send for Handle {}
// SAFETY: as above; each request has an OVERLAPPED structure and an event of its own.
unsafe impl Sync for Handle {}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: the handle is open and owned by this value.
        unsafe { CloseHandle(self.0) };
    }
}

fn last_error() -> u32 {
    // SAFETY: reads a thread-local value.
    unsafe { GetLastError() }
}

fn open(name: &str, service: &str) -> Result<Box<dyn Device>, DeviceError> {
    let wide: Vec<u16> = OsStr::new(name).encode_wide().chain(Some(0)).collect();
    // SAFETY: `wide` is a terminated string that outlives the call; the other pointers are null, which is allowed.
    let handle = unsafe {
        CreateFileW(
            wide.as_ptr(),
            GENERIC_READ | GENERIC_WRITE,
            FILE_SHARE_READ | FILE_SHARE_WRITE,
            ptr::null(),
            OPEN_EXISTING,
            FILE_FLAG_OVERLAPPED,
            ptr::null_mut(),
        )
    };
    if handle == INVALID_HANDLE_VALUE {
        let error = std::io::Error::last_os_error();
        return Err(DeviceError::Unavailable(format!(
            "cannot open {name}: {error}. Is the driver started? Try: wskrdma-test start (service {service}), as an administrator"
        )));
    }
    Ok(Box::new(Handle(handle)))
}

/// Opens the driver's device.
pub(crate) fn open_driver() -> Result<Box<dyn Device>, DeviceError> {
    open(control::driver::WIN32_NAME, control::driver::SERVICE_NAME)
}

/// Opens the test client's device.
pub(crate) fn open_client() -> Result<Box<dyn Device>, DeviceError> {
    open(control::client::WIN32_NAME, control::client::SERVICE_NAME)
}

impl Device for Handle {
    fn ioctl(&self, code: u32, input: &[u8], output: &mut [u8]) -> (NtStatus, usize) {
        // SAFETY: no attributes, no name: an unnamed manual-reset event.
        let event = unsafe { CreateEventW(ptr::null(), 1, 0, ptr::null()) };
        if event.is_null() {
            return (NtStatus(0xC000_009A_u32.cast_signed()), 0);
        }
        let event = Handle(event);
        let mut overlapped = OVERLAPPED { hEvent: event.0, ..Default::default() };
        let (Ok(input_len), Ok(output_len)) = (u32::try_from(input.len()), u32::try_from(output.len()))
        else {
            return (NtStatus(0xC000_0206_u32.cast_signed()), 0);
        };
        let mut bytes = 0;
        // SAFETY: both buffers and `overlapped` live until the wait below has seen the end of the request.
        let done = unsafe {
            DeviceIoControl(
                self.0,
                code,
                input.as_ptr().cast(),
                input_len,
                output.as_mut_ptr().cast(),
                output_len,
                ptr::null_mut(),
                &mut overlapped,
            )
        };
        if done == 0 && last_error() != ERROR_IO_PENDING && overlapped.Internal == 0 {
            // Refused before it reached the driver: there is no NTSTATUS, only the Win32 error.
            return (NtStatus(0xC000_0001_u32.cast_signed()), 0);
        }
        // SAFETY: `overlapped` belongs to the request above; TRUE waits for its end.
        unsafe { GetOverlappedResult(self.0, &overlapped, &mut bytes, 1) };
        // Internal holds the NTSTATUS, which says more than the Win32 error made from it.
        let status = (overlapped.Internal as u32).cast_signed();
        (NtStatus(status), overlapped.InternalHigh.min(output.len()))
    }
}
