//! Driver services of a running prefix.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};

use super::session::Session;

/// Wine starts a driver in a fraction of a second.
const LIMIT: Duration = Duration::from_secs(30);

/// Load order group of every driver here. Wine runs the drivers of one group in one process, and a driver without a
/// group in a process of its own, where it cannot call another driver: kernel addresses mean nothing across processes.
pub(super) const GROUP: &str = "wskrdma";

impl Session {
    /// Makes a service of the image `name`.sys. One that exists is made anew, and loses its parameters.
    ///
    /// # Errors
    ///
    /// If Wine refuses, for example because the service runs.
    pub fn create_service(&self, name: &str) -> Result<()> {
        // It fails where there is none, which is what is wanted.
        self.run(Path::new("sc"), &["delete", name], LIMIT)?;
        let image = format!("C:\\windows\\system32\\drivers\\{name}.sys");
        let arguments =
            ["create", name, "type=", "kernel", "start=", "demand", "group=", GROUP, "binPath=", &image];
        let created = self.run(Path::new("sc"), &arguments, LIMIT)?;
        if created.code != 0 {
            bail!("cannot create the service {name}: {}", created.output.trim());
        }
        Ok(())
    }

    /// Starts a service. For a driver: returns when DriverEntry has.
    ///
    /// # Errors
    ///
    /// If it does not start; what drivers printed last is in the message.
    pub fn start_service(&self, name: &str) -> Result<()> {
        self.net("start", name)
    }

    /// Stops a service. For a driver: returns when its unload routine has.
    ///
    /// # Errors
    ///
    /// If it does not stop.
    pub fn stop_service(&self, name: &str) -> Result<()> {
        self.net("stop", name)
    }

    /// Sets a number under the service's `Parameters` key.
    ///
    /// # Errors
    ///
    /// If Wine refuses.
    pub fn set_parameter(&self, service: &str, value: &str, number: u32) -> Result<()> {
        self.set_value(service, value, "REG_DWORD", &number.to_string())
    }

    /// Sets up `wskrdma.sys` for Wine: with the software adapter, and without what Wine's kernel modules lack and would raise
    /// an exception for (the Network Module Registrar, IP Helper, NDIS).
    ///
    /// # Errors
    ///
    /// If Wine refuses.
    pub fn set_driver_parameters(&self, service: &str) -> Result<()> {
        self.set_parameter(service, "SoftwareAdapter", 1)?;
        self.set_parameter(service, "RegisterWithNmr", 0)?;
        self.set_parameter(service, "HardwareAdapters", 0)
    }

    /// Sets a list of one text under the service's `Parameters` key.
    ///
    /// # Errors
    ///
    /// If Wine refuses.
    pub fn set_list_parameter(&self, service: &str, value: &str, text: &str) -> Result<()> {
        self.set_value(service, value, "REG_MULTI_SZ", text)
    }

    fn set_value(&self, service: &str, value: &str, kind: &str, data: &str) -> Result<()> {
        let key = format!("HKLM\\System\\CurrentControlSet\\Services\\{service}\\Parameters");
        let arguments = ["add", &key, "/v", value, "/t", kind, "/d", data, "/f"];
        let set = self.run(Path::new("reg"), &arguments, LIMIT)?;
        if set.code != 0 {
            bail!("cannot set {value} of {service}: {}", set.output.trim());
        }
        Ok(())
    }

    fn net(&self, verb: &str, name: &str) -> Result<()> {
        let done = self.run(Path::new("net"), &[verb, name], LIMIT)?;
        if done.code == 0 {
            return Ok(());
        }
        bail!(
            "net {verb} {name}: {}\ndrivers printed last:\n{}",
            done.output.trim(),
            self.debug_output()?.tail(20)
        )
    }
}
