//! Calls through NDK dispatch tables that wait for their answers.

use std::ffi::c_void;
use std::net::SocketAddr;
use std::ptr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use abi::NTSTATUS;
use abi::ndk::{NDK_FN_CLOSE_OBJECT, NDK_FN_CREATE_COMPLETION, NDK_FN_REQUEST_COMPLETION, NDK_OBJECT_HEADER};
use abi::status::STATUS_PENDING;
use abi::wsk::SOCKADDR;
use anyhow::{Context, Result, bail};

use crate::world::failed;

/// An answer that takes longer is lost. The peer is emulated.
const PATIENCE: Duration = Duration::from_secs(120);

/// Calls a function of an object through its table.
macro_rules! ndk {
    ($object:expr, $function:ident $(, $argument:expr)* $(,)?) => {{
        let object = $object;
        // SAFETY: the caller holds the object open.
        let table = unsafe { (*object).Dispatch };
        // SAFETY: tables live for ever.
        let function = unsafe { (*table).$function };
        // SAFETY: the caller keeps the promises of the function type.
        unsafe { function(object $(, $argument)*) }
    }};
}

/// The function that closes an object.
macro_rules! close_slot {
    ($object:expr, $function:ident) => {{
        let object = $object;
        // SAFETY: the caller holds the object open.
        let table = unsafe { (*object).Dispatch };
        // SAFETY: tables live for ever.
        unsafe { (*table).$function }
    }};
}

pub(crate) use {close_slot, ndk};

/// What a completion routine says: a status and the address of an object.
type Answer = (NTSTATUS, usize);

fn context() -> (Receiver<Answer>, *mut c_void) {
    let (sender, receiver) = channel::<Answer>();
    (receiver, Box::into_raw(Box::new(sender)).cast())
}

fn answer(context: *mut c_void, answer: Answer) {
    // SAFETY: made by `context`, and each request is answered once.
    let sender = unsafe { Box::from_raw(context.cast::<Sender<Answer>>()) };
    // Who waited may have lost patience.
    let _ = sender.send(answer);
}

unsafe extern "system" fn on_request(context: *mut c_void, status: NTSTATUS) {
    answer(context, (status, 0));
}

unsafe extern "system" fn on_create(context: *mut c_void, status: NTSTATUS, object: *mut NDK_OBJECT_HEADER) {
    answer(context, (status, object.expose_provenance()));
}

unsafe extern "system" fn on_close(context: *mut c_void) {
    answer(context, (0, 0));
}

/// The answer of a call that has returned `status`.
fn wait(what: &str, receiver: &Receiver<Answer>, context: *mut c_void, status: NTSTATUS) -> Result<usize> {
    if status != STATUS_PENDING {
        answer(context, (status, 0));
    }
    let (status, object) =
        receiver.recv_timeout(PATIENCE).with_context(|| format!("{what} is not answered"))?;
    succeed(what, status)?;
    Ok(object)
}

/// Whether it is a success.
///
/// # Errors
///
/// It is none.
pub(crate) fn succeed(what: &str, status: NTSTATUS) -> Result<()> {
    if status < 0 {
        bail!(failed(what, status));
    }
    Ok(())
}

/// A request.
///
/// # Errors
///
/// Its status, or no answer in time.
pub(crate) fn request(
    what: &str,
    call: impl FnOnce(NDK_FN_REQUEST_COMPLETION, *mut c_void) -> NTSTATUS,
) -> Result<()> {
    let (receiver, context) = context();
    let status = call(on_request, context);
    wait(what, &receiver, context, status).map(drop)
}

/// A new object.
///
/// # Errors
///
/// The status, or no answer in time.
pub(crate) fn create<T>(
    what: &str,
    call: impl FnOnce(NDK_FN_CREATE_COMPLETION, *mut c_void, *mut *mut T) -> NTSTATUS,
) -> Result<*mut T> {
    let (receiver, context) = context();
    let mut out = ptr::null_mut();
    let status = call(on_create, context, &raw mut out);
    let object = wait(what, &receiver, context, status)?;
    Ok(if out.is_null() { ptr::with_exposed_provenance_mut(object) } else { out })
}

/// Closes an object, and waits for the end of that.
pub(crate) fn close<T>(object: *mut T, function: NDK_FN_CLOSE_OBJECT) {
    let (receiver, context) = context();
    // SAFETY: the caller gives the object up.
    let status = unsafe { function(object.cast(), on_close, context) };
    // A close does not fail; one that never ends is seen by the leak check of who stops the adapter.
    let _ = wait("a close", &receiver, context, status);
}

/// A socket address as NDK takes it.
pub(crate) struct Address {
    octets: [u8; 28],
    pub(crate) length: u32,
}

impl Address {
    pub(crate) fn new(address: SocketAddr) -> Self {
        let port = address.port().to_be_bytes();
        let [high, low] = port;
        let mut octets = [0; 28];
        let length = match address {
            SocketAddr::V4(v4) => {
                let [a, b, c, d] = v4.ip().octets();
                octets[..8].copy_from_slice(&[2, 0, high, low, a, b, c, d]);
                16
            }
            SocketAddr::V6(v6) => {
                octets[..4].copy_from_slice(&[23, 0, high, low]);
                octets[8..24].copy_from_slice(&v6.ip().octets());
                28
            }
        };
        Self { octets, length }
    }

    pub(crate) const fn pointer(&self) -> *const SOCKADDR {
        self.octets.as_ptr().cast()
    }
}
