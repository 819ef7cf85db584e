//! Calls that are made from inside: from a callback, or from a completion routine.

use core::sync::atomic::{AtomicI32, AtomicU32, Ordering};

use abi::NTSTATUS;
use abi::wsk::WSK_PROVIDER_NPI;
use cases::world::{Call, Socket};
use kernel::pool::{AllocError, Shared};

use crate::calls::{Caller, Open, Parameters};
use crate::handle::TAG;

const WAITING: u32 = 0;
const TAKEN: u32 = 1;
const MADE: u32 = 2;

struct State {
    stage: AtomicU32,
    returned: AtomicI32,
}

/// What becomes of a call that is to be made from inside.
#[derive(Clone)]
pub struct Fate(Shared<State>);

impl Fate {
    /// What the function returned, once it has been called.
    #[must_use]
    pub fn returned(&self) -> Option<NTSTATUS> {
        (self.0.stage.load(Ordering::Acquire) == MADE).then(|| self.0.returned.load(Ordering::Acquire))
    }

    /// Whether nobody makes the call, now or later: it had not begun, and will not any more.
    #[must_use]
    pub fn call_off(&self) -> bool {
        let stage = &self.0.stage;
        stage.compare_exchange(WAITING, TAKEN, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

/// A call that is ready to be made.
pub struct Inside {
    call: Call<'static>,
    open: Option<Open>,
    npi: WSK_PROVIDER_NPI,
    with: Parameters,
    fate: Fate,
}

// SAFETY: a request may be made from any thread; its parameters live until its IRP is completed.
unsafe impl Send for Inside {}

impl Inside {
    /// A call with its parameters, on a socket that is open now.
    ///
    /// # Errors
    /// [`AllocError`].
    ///
    /// # Safety
    /// The provider is captured; the socket is open when the call is made, or the call is called off before; the parameters
    /// are as [`Parameters`] says.
    pub unsafe fn new(
        call: Call<'static>,
        open: Option<Open>,
        npi: WSK_PROVIDER_NPI,
        with: Parameters,
    ) -> Result<Self, AllocError> {
        let state = State { stage: AtomicU32::new(WAITING), returned: AtomicI32::new(0) };
        Ok(Self { call, open, npi, with, fate: Fate(Shared::try_new(TAG, state)?) })
    }

    /// What becomes of it.
    #[must_use]
    pub fn fate(&self) -> Fate {
        self.fate.clone()
    }

    /// Makes the call, unless it was called off. IRQL as the function's page says.
    pub fn make(self) {
        let Self { call, open, npi, with, fate } = self;
        if !fate.call_off() {
            return;
        }
        let caller = Caller { npi, open: |_: Socket| open, watchers: None };
        // SAFETY: as promised when it was prepared.
        let returned = unsafe { caller.make(&call, &with) };
        fate.0.returned.store(returned.unwrap_or(abi::status::STATUS_INVALID_HANDLE), Ordering::Release);
        fate.0.stage.store(MADE, Ordering::Release);
    }
}
