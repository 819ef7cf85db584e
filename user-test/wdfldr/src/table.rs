//! The function table.

use crate::report::broken;
use crate::rules::FUNCTION_COUNT;
use crate::{device, driver, queue, registry, request};

/// Rows of ten.
const ROWS: usize = FUNCTION_COUNT.div_ceil(10);

type Table = [[*const (); 10]; ROWS];

struct Shared(Table);

// SAFETY: addresses of functions, never changed.
unsafe impl Sync for Shared {}

static TABLE: Shared = Shared(TABLE_CONTENTS);

/// Where the driver is to look: 458 functions and nothing after them.
pub(crate) fn start() -> *const *const () {
    TABLE.0.as_ptr().cast()
}

/// What stands at an index that this test double does not have.
extern "system" fn missing<const INDEX: usize>() {
    broken!("function {INDEX} of the framework is not in this test double");
}

macro_rules! row {
    ($tens:expr) => {
        [
            missing::<{ $tens * 10 }> as *const (),
            missing::<{ $tens * 10 + 1 }> as *const (),
            missing::<{ $tens * 10 + 2 }> as *const (),
            missing::<{ $tens * 10 + 3 }> as *const (),
            missing::<{ $tens * 10 + 4 }> as *const (),
            missing::<{ $tens * 10 + 5 }> as *const (),
            missing::<{ $tens * 10 + 6 }> as *const (),
            missing::<{ $tens * 10 + 7 }> as *const (),
            missing::<{ $tens * 10 + 8 }> as *const (),
            missing::<{ $tens * 10 + 9 }> as *const (),
        ]
    };
}

macro_rules! rows {
    ($($tens:literal)*) => { [$(row!($tens)),*] };
}

macro_rules! table {
    ($($index:literal $function:path,)*) => {{
        let mut table: Table = rows!(
            0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22
            23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 39 40 41 42 43 44 45
        );
        $(table[$index / 10][$index % 10] = $function as *const ();)*
        table
    }};
}

/// Indexes of `WDFFUNCENUM` (`wdffuncenum.h`).
const TABLE_CONTENTS: Table = table! {
    25 device::control_device_init_allocate,
    27 device::control_finish_initializing,
    30 device::wdm_device_get_wdf_device_handle,
    31 device::device_wdm_get_device_object,
    39 device::device_get_driver,
    54 device::device_init_free,
    61 device::device_init_set_io_type,
    62 device::device_init_set_exclusive,
    66 device::device_init_set_device_type,
    67 device::device_init_assign_name,
    70 device::device_init_set_characteristics,
    75 device::device_create,
    80 device::device_create_symbolic_link,
    92 device::device_get_default_queue,
    116 driver::driver_create,
    118 driver::driver_wdm_get_driver_object,
    119 registry::driver_open_parameters_registry_key,
    152 queue::io_queue_create,
    157 queue::io_queue_get_device,
    208 device::object_delete,
    231 registry::registry_close,
    235 registry::registry_query_value,
    240 registry::registry_query_ulong,
    257 request::request_is_canceled,
    263 request::request_complete,
    265 request::request_complete_with_information,
    269 request::request_retrieve_input_buffer,
    270 request::request_retrieve_output_buffer,
    280 request::request_get_requestor_mode,
    282 request::request_get_io_queue,
    285 request::request_wdm_get_irp,
};
