//! Failures on demand, for tests of consumers.
//!
//! Most statuses of the interface come about by themselves, given a peer, a port or an address that is wrong. Some need a
//! network that there is not, or an adapter without memory. A test asks for those.

use abi::NTSTATUS;
use kernel::lock::SpinLock;

/// A function of the interface that can be made to fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Function {
    /// `NdkListen`.
    Listen,
    /// `NdkConnect` and `NdkConnectWithSharedEndpoint`.
    Connect,
    /// `NdkCompleteConnect` and `NdkCompleteConnectEx`.
    CompleteConnect,
    /// `NdkAccept` and `NdkAcceptEx`.
    Accept,
    /// `NdkCreateSharedEndpoint`.
    CreateSharedEndpoint,
}

/// The failure that was asked for, if it has not happened yet.
#[derive(Debug)]
pub(crate) struct Faults(SpinLock<Option<(Function, NTSTATUS)>>);

impl Faults {
    pub(crate) const fn none() -> Self {
        Self(SpinLock::new(None))
    }

    pub(crate) fn set(&self, function: Function, status: NTSTATUS) {
        *self.0.lock() = Some((function, status));
    }

    /// Called at the beginning of `function`.
    ///
    /// # Errors
    /// The status that was asked for, once.
    pub(crate) fn meet(&self, function: Function) -> Result<(), NTSTATUS> {
        let mut next = self.0.lock();
        match *next {
            Some((which, status)) if which == function => {
                *next = None;
                Err(status)
            }
            _ => Ok(()),
        }
    }
}
