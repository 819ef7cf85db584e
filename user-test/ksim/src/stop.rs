//! How the simulation stops: a panic that names a bug check.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

/// A bug check: its number and its name in `bugcodes.h`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BugCheck {
    /// The number on the blue screen.
    pub code: u32,
    /// The name Microsoft's pages give it.
    pub name: &'static str,
}

macro_rules! bug_checks {
    ($($(#[$doc:meta])* $name:ident = $code:literal;)*) => {
        $($(#[$doc])* pub const $name: BugCheck = BugCheck { code: $code, name: stringify!($name) };)*

        /// The bug check with this number, if the simulation knows its name.
        #[must_use]
        pub fn named(code: u32) -> Option<BugCheck> {
            match code {
                $($code => Some($name),)*
                _ => None,
            }
        }
    };
}

bug_checks! {
    /// A call at an IRQL below what its page asks for.
    IRQL_NOT_GREATER_OR_EQUAL = 0x09;
    /// A call at an IRQL its page forbids.
    IRQL_NOT_LESS_OR_EQUAL = 0x0A;
    /// A spin lock taken again by its holder.
    SPIN_LOCK_ALREADY_OWNED = 0x0F;
    /// A spin lock released by somebody who does not hold it.
    SPIN_LOCK_NOT_OWNED = 0x10;
    /// An object referenced or dereferenced that is none.
    REFERENCE_BY_POINTER = 0x18;
    /// A write beyond the end of an allocation.
    BAD_POOL_HEADER = 0x19;
    /// A stack location asked for where none is left.
    NO_MORE_IRP_STACK_LOCATIONS = 0x35;
    /// An IRP completed twice, or something completed that is no IRP.
    MULTIPLE_IRP_COMPLETE_REQUESTS = 0x44;
    /// An IRP completed with its cancel routine still set.
    CANCEL_STATE_IN_COMPLETED_IRP = 0x48;
    /// A work item queued or freed while it is queued.
    INVALID_WORK_QUEUE_ITEM = 0x96;
    /// Memory freed that is not allocated.
    BAD_POOL_CALLER = 0xC2;
    /// What Driver Verifier finds besides.
    DRIVER_VERIFIER_DETECTED_VIOLATION = 0xC4;
    /// A write to freed memory.
    DRIVER_CORRUPTED_EXPOOL = 0xC5;
    /// A DPC or timer that was never initialised, or is freed while it is queued.
    TIMER_OR_DPC_INVALID = 0xC7;
    /// A routine that returns at another IRQL than it was called at.
    IRQL_UNEXPECTED_VALUE = 0xC8;
    /// What Driver Verifier finds about IRPs.
    DRIVER_VERIFIER_IOMANAGER_VIOLATION = 0xC9;
    /// A work item or thread routine that returns above PASSIVE_LEVEL or with a lock held.
    WORKER_THREAD_RETURNED_AT_BAD_IRQL = 0xE1;
    /// What a driver reports about itself.
    DRIVER_VIOLATION = 0x121;
    /// A broken rule of the Network Module Registrar.
    NMR_INVALID_STATE = 0x125;
    /// Too long at DISPATCH_LEVEL: a spin lock that nobody releases.
    DPC_WATCHDOG_VIOLATION = 0x133;
    /// Not Windows's: the host has no more of something.
    HOST = 0xFFFF_FFFF;
}

/// Stops with a bug check and a sentence: `stop!(NAME, "format", …)`.
#[macro_export]
#[doc(hidden)]
macro_rules! stop {
    ($check:expr, $($text:tt)+) => {
        $crate::stop::bug_check($check, ::core::format_args!($($text)+))
    };
}

#[doc(hidden)]
#[expect(clippy::panic, reason = "this is the blue screen")]
pub fn bug_check(check: BugCheck, text: fmt::Arguments<'_>) -> ! {
    panic!("*** STOP {:#x} {}: {text}", check.code, check.name);
}

/// `KeBugCheckEx`: the driver stops the machine itself.
#[unsafe(no_mangle)]
extern "C-unwind" fn KeBugCheckEx(code: u32, p1: usize, p2: usize, p3: usize, p4: usize) -> ! {
    let check = named(code).unwrap_or(BugCheck { code, name: "(a code of the driver's)" });
    stop!(check, "({p1:#x}, {p2:#x}, {p3:#x}, {p4:#x})")
}

/// What a piece of code stopped with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stop {
    /// The whole text.
    pub text: String,
}

impl Stop {
    /// Whether this is that bug check.
    #[must_use]
    pub fn is(&self, check: BugCheck) -> bool {
        self.text.starts_with(&format!("*** STOP {:#x} {}:", check.code, check.name))
    }
}

/// Runs `code` on a thread of its own, whose IRQL and locks nobody else sees, and returns what it stopped with; `None` if
/// it did not.
///
/// A panic that is not a bug check is returned too. A routine the kernel calls (`extern "system"`) cannot be left by a
/// panic, so a violation inside one ends the process.
pub fn stops(code: impl FnOnce() + Send) -> Option<Stop> {
    let result = thread::scope(|scope| scope.spawn(|| catch_unwind(AssertUnwindSafe(code))).join());
    let payload = match result {
        Ok(Ok(())) => return None,
        Ok(Err(payload)) | Err(payload) => payload,
    };
    let text = match (payload.downcast_ref::<String>(), payload.downcast_ref::<&str>()) {
        (Some(text), _) => text.clone(),
        (None, Some(text)) => (*text).to_owned(),
        (None, None) => String::new(),
    };
    Some(Stop { text })
}
