//! What a handle points to.

use alloc::boxed::Box;

use crate::report::broken;
use crate::wdf::{Handle, ObjectAttributes};

/// The kinds of objects behind handles; a handle of the wrong kind is a broken rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Kind {
    /// WDFDRIVER.
    Driver = u32::from_le_bytes(*b"WdfD"),
    /// PWDFDEVICE_INIT.
    DeviceInit = u32::from_le_bytes(*b"WdfI"),
    /// WDFDEVICE.
    Device = u32::from_le_bytes(*b"WdfV"),
    /// WDFQUEUE.
    Queue = u32::from_le_bytes(*b"WdfQ"),
    /// WDFKEY.
    Key = u32::from_le_bytes(*b"WdfK"),
}

/// An object with the number of its kind in front, and nothing once it was deleted.
#[repr(C)]
pub(crate) struct Object<T> {
    kind: u32,
    value: T,
}

/// A type that handles point to.
pub(crate) trait Behind {
    /// Its kind.
    const KIND: Kind;
}

/// Makes an object and returns its handle.
pub(crate) fn create<T: Behind>(value: T) -> Handle {
    Box::into_raw(Box::new(Object { kind: T::KIND as u32, value })).cast()
}

/// The object behind `handle`.
pub(crate) fn borrow<'a, T: Behind>(handle: Handle, function: &str) -> &'a T {
    &check::<T>(handle, function).value
}

/// Takes the object away from `handle` and returns it.
pub(crate) fn delete<T: Behind>(handle: Handle, function: &str) -> T {
    let object = check::<T>(handle, function);
    object.kind = 0;
    // SAFETY: of this kind, so made by `create`; the number is gone, so a second deletion is noticed before it
    // gets here unless the pool has reused the block.
    let object = unsafe { Box::from_raw(object) };
    object.value
}

/// Whether `handle` is an object of type `T`.
pub(crate) fn is<T: Behind>(handle: Handle) -> bool {
    // SAFETY: every object begins with the number of its kind.
    !handle.is_null() && unsafe { *handle.cast::<u32>() } == T::KIND as u32
}

fn check<'a, T: Behind>(handle: Handle, function: &str) -> &'a mut Object<T> {
    if !is::<T>(handle) {
        broken!("{function}: {handle:p} is no {:?}", T::KIND);
    }
    // SAFETY: the number says that it is an object of this type. The reference is used inside one call of the
    // framework, and calls that change an object are serial by the framework's own rules.
    unsafe { &mut *handle.cast() }
}

/// Complains about attributes that this test double would ignore.
pub(crate) fn check_attributes(attributes: *const ObjectAttributes, function: &str) {
    // SAFETY: null, or the driver's structure, which lives during the call.
    let Some(attributes) = (unsafe { attributes.as_ref() }) else { return };
    if attributes.size as usize != size_of::<ObjectAttributes>() {
        broken!("{function}: WDF_OBJECT_ATTRIBUTES.Size is {}", attributes.size);
    }
    if !attributes.context_type.is_null()
        || !attributes.evt_cleanup.is_null()
        || !attributes.evt_destroy.is_null()
    {
        broken!("{function}: contexts and object callbacks are not in this test double");
    }
}
