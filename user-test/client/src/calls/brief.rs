//! Parameters that a provider may look at during the call only: they are overwritten when the call has returned.

use core::mem::MaybeUninit;
use core::net::SocketAddr;
use core::ptr;

use abi::wsk::{AF_INET, AF_INET6, SOCKADDR, SOCKADDR_IN, SOCKADDR_IN6};
use cases::pattern::UNTOUCHED;

/// What is left of a parameter: no valid address, length or pointer.
const GONE: u8 = 0xDD;

/// A `T` that turns into nonsense when it is dropped. `T` has no drop of its own.
pub(super) struct Brief<T: Copy>(MaybeUninit<T>);

impl<T: Copy> Brief<T> {
    pub(super) fn new(value: T) -> Self {
        Self(MaybeUninit::new(value))
    }

    pub(super) fn as_mut_ptr(&mut self) -> *mut T {
        self.0.as_mut_ptr()
    }
}

impl<T: Copy> Drop for Brief<T> {
    fn drop(&mut self) {
        let first = self.0.as_mut_ptr().cast::<u8>();
        for offset in 0..size_of::<T>() {
            // SAFETY: inside the value.
            let octet = unsafe { first.add(offset) };
            // SAFETY: an octet of this value; volatile, so that it is written although nobody reads it.
            unsafe { octet.write_volatile(GONE) };
        }
    }
}

/// Octets of the longest address that is passed.
const LONGEST: usize = size_of::<SOCKADDR_IN6>();

/// An address as octets, aligned as one.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Octets([u8; LONGEST]);

/// An address, with nothing that could be taken for one behind it.
pub(super) struct BriefAddress(Brief<Octets>);

impl BriefAddress {
    pub(super) fn new(address: SocketAddr) -> Self {
        let mut octets = Octets([UNTOUCHED; LONGEST]);
        let to = octets.0.as_mut_ptr();
        match address {
            SocketAddr::V4(a) => {
                let raw = SOCKADDR_IN {
                    sin_family: AF_INET,
                    sin_port: a.port().to_be(),
                    sin_addr: a.ip().octets(),
                    sin_zero: [0; 8],
                };
                // SAFETY: no longer than `octets`, without padding, and apart from it.
                unsafe { ptr::copy_nonoverlapping(ptr::from_ref(&raw).cast(), to, size_of::<SOCKADDR_IN>()) };
            }
            SocketAddr::V6(a) => {
                let raw = SOCKADDR_IN6 {
                    sin6_family: AF_INET6,
                    sin6_port: a.port().to_be(),
                    sin6_flowinfo: a.flowinfo(),
                    sin6_addr: a.ip().octets(),
                    sin6_scope_id: a.scope_id(),
                };
                // SAFETY: as long as `octets`, without padding, and apart from it.
                unsafe {
                    ptr::copy_nonoverlapping(ptr::from_ref(&raw).cast(), to, size_of::<SOCKADDR_IN6>())
                };
            }
        }
        Self(Brief::new(octets))
    }

    pub(super) fn as_mut_ptr(&mut self) -> *mut SOCKADDR {
        self.0.as_mut_ptr().cast()
    }
}
