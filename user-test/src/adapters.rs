//! `adapters`: the NDK adapters, one by one.

use crate::device::open_driver;
use crate::failure::Failure;
use crate::{report, status};

/// The command.
pub(crate) fn run(json: bool) -> Result<(), Failure> {
    let driver = open_driver()?;
    status::ask_version(&*driver, control::driver::IOCTL_VERSION)?;
    let seen = status::read(&*driver)?;
    if json {
        for adapter in &seen.adapters {
            let mut object = status::show::adapter_to_json(adapter);
            report::set(&mut object, "event", "adapter");
            report::object(&object);
        }
    } else {
        report::text(&format!("{}\n", status::show::adapters(&seen.adapters)));
    }
    Ok(())
}
