//! This crate's tests as a client of the simulated system's WSK.

use core::ptr;

use abi::status::STATUS_SUCCESS;
use abi::wsk::{WSK_CLIENT_DISPATCH, WSK_CLIENT_NPI, WSK_PROVIDER_NPI, WSK_REGISTRATION};

use crate::SystemWsk;

/// A registration with the simulated system's WSK.
pub(super) struct TestWsk {
    registration: core::mem::ManuallyDrop<std::boxed::Box<WSK_REGISTRATION>>,
    system: SystemWsk,
}

static WSK_CLIENT: WSK_CLIENT_DISPATCH =
    WSK_CLIENT_DISPATCH { Version: 0x0100, Reserved: 0, WskClientEvent: None };

impl TestWsk {
    pub(super) fn new() -> Self {
        let block = WSK_REGISTRATION {
            ReservedRegistrationState: 0,
            ReservedRegistrationContext: ptr::null_mut(),
            ReservedRegistrationLock: 0,
        };
        let mut registration = std::boxed::Box::new(block);
        let mut npi = WSK_CLIENT_NPI { ClientContext: ptr::null_mut(), Dispatch: &WSK_CLIENT };
        // SAFETY: the block stays in its box until it is deregistered; the table is static.
        assert_eq!(unsafe { kernel::wsk::register(&mut npi, &mut *registration) }, STATUS_SUCCESS);
        let mut npi = WSK_PROVIDER_NPI { Client: ptr::null_mut(), Dispatch: ptr::null() };
        // SAFETY: registered.
        assert_eq!(unsafe { kernel::wsk::capture(&mut *registration, 0, &mut npi) }, STATUS_SUCCESS);
        // SAFETY: captured until the test is over.
        let dispatch = unsafe { &*npi.Dispatch };
        // SAFETY: as above.
        let system = unsafe { SystemWsk::new(npi.Client, dispatch) };
        Self { registration: core::mem::ManuallyDrop::new(registration), system }
    }

    pub(super) const fn system(&self) -> SystemWsk {
        self.system
    }
}

impl Drop for TestWsk {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // What the failed test has left open would be waited for.
            return;
        }
        // SAFETY: captured once, and every adapter is stopped.
        unsafe { kernel::wsk::release(&mut **self.registration) };
        // SAFETY: registered once.
        unsafe { kernel::wsk::deregister(&mut **self.registration) };
        // SAFETY: not used again.
        unsafe { core::mem::ManuallyDrop::drop(&mut self.registration) };
    }
}
