//! The service manager.

use super::Install;
use crate::failure::Failure;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{fs, thread};
use windows_service::service::{
    Service, ServiceAccess, ServiceErrorControl, ServiceInfo, ServiceStartType, ServiceState, ServiceType,
};
use windows_service::service_manager::{ServiceManager, ServiceManagerAccess};

/// How long a service may take to start or stop.
const PATIENCE: Duration = Duration::from_secs(30);
/// ERROR_SERVICE_DOES_NOT_EXIST.
const NO_SUCH_SERVICE: i32 = 1060;
/// ERROR_SERVICE_MARKED_FOR_DELETE.
const MARKED_FOR_DELETE: i32 = 1072;
/// ERROR_ACCESS_DENIED.
const ACCESS_DENIED: i32 = 5;

/// The services, the provider first: the other one is its client.
const SERVICES: [(&str, &str); 2] = [
    (control::driver::SERVICE_NAME, "wskrdma: Winsock Kernel over RDMA"),
    (control::client::SERVICE_NAME, "wskrdma test client"),
];

fn win32(error: &windows_service::Error) -> Option<i32> {
    match error {
        windows_service::Error::Winapi(error) => error.raw_os_error(),
        _ => None,
    }
}

/// What went wrong with a service: the cause in words, and the remedy.
fn failed(what: &str, service: &str, error: &windows_service::Error, remedy: &str) -> Failure {
    let (cause, code) = match error {
        windows_service::Error::Winapi(error) => (error.to_string(), error.raw_os_error()),
        other => (other.to_string(), None),
    };
    let remedy = match code {
        Some(ACCESS_DENIED) => "Run as an administrator",
        Some(MARKED_FOR_DELETE) => "Close every program that has the service open, or restart the machine",
        Some(577) => "The image is not signed for this machine: see test-signing in the operations chapter",
        Some(2 | 3) => "Its file is not where the service says: install it again",
        Some(1275) => "The system blocks this driver: look at its policy for drivers",
        _ => remedy,
    };
    let text = format!("cannot {what} service {service}: {cause}. {remedy}");
    match code {
        Some(ACCESS_DENIED | NO_SUCH_SERVICE) => Failure::Unavailable(text),
        _ => Failure::Failed(text),
    }
}

fn manager(access: ServiceManagerAccess) -> Result<ServiceManager, Failure> {
    ServiceManager::local_computer(None::<&str>, access).map_err(|e| {
        Failure::Unavailable(format!("cannot open the service manager: {e}. Run as an administrator"))
    })
}

fn open(manager: &ServiceManager, what: &str, name: &str, access: ServiceAccess) -> Result<Service, Failure> {
    let remedy = "Install it first: wskrdma-test install FOLDER, or pnputil /add-driver wskrdma.inf /install";
    manager.open_service(name, access).map_err(|e| failed(what, name, &e, remedy))
}

fn state(service: &Service, name: &str) -> Result<ServiceState, Failure> {
    let status = service.query_status().map_err(|e| failed("query", name, &e, "Run as an administrator"))?;
    Ok(status.current_state)
}

/// Waits until a service is in a state.
fn wait(service: &Service, name: &str, wanted: ServiceState, late: &str) -> Result<(), Failure> {
    let until = Instant::now() + PATIENCE;
    while state(service, name)? != wanted {
        if Instant::now() > until {
            return Err(format!("service {name} {late}").into());
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Starts both drivers, the provider first. A driver that already runs is left alone.
pub(crate) fn start() -> Result<Vec<String>, Failure> {
    let manager = manager(ServiceManagerAccess::CONNECT)?;
    let mut told = vec![];
    for (name, _) in SERVICES {
        let service = open(&manager, "start", name, ServiceAccess::START | ServiceAccess::QUERY_STATUS)?;
        if state(&service, name)? == ServiceState::Running {
            told.push(format!("{name} was running already"));
            continue;
        }
        let remedy = "Look at the driver's messages with a debugger or in the System log";
        service.start::<&str>(&[]).map_err(|e| failed("start", name, &e, remedy))?;
        wait(&service, name, ServiceState::Running, "did not run in 30 s. Look at the System log")?;
        told.push(format!("{name} started"));
    }
    Ok(told)
}

fn stop_one(service: &Service, name: &str) -> Result<String, Failure> {
    if state(service, name)? == ServiceState::Stopped {
        return Ok(format!("{name} was stopped already"));
    }
    let remedy = "A program or driver still uses it; end that first";
    service.stop().map_err(|e| failed("stop", name, &e, remedy))?;
    let late = "did not end in 30 s. A program or driver still has it open; close that and try again";
    wait(service, name, ServiceState::Stopped, late)?;
    Ok(format!("{name} stopped"))
}

/// Stops both drivers, the client first. A driver that does not run is left alone.
pub(crate) fn stop() -> Result<Vec<String>, Failure> {
    let manager = manager(ServiceManagerAccess::CONNECT)?;
    let stop = |(name, _): &(&str, &str)| {
        let service = open(&manager, "stop", name, ServiceAccess::STOP | ServiceAccess::QUERY_STATUS)?;
        stop_one(&service, name)
    };
    SERVICES.iter().rev().map(stop).collect()
}

/// Where drivers without a package lie.
fn drivers() -> PathBuf {
    let root = std::env::var_os("SystemRoot").unwrap_or_else(|| OsString::from("C:\\Windows"));
    Path::new(&root).join("System32").join("drivers")
}

fn file_of(name: &str) -> PathBuf {
    drivers().join(format!("{name}.sys"))
}

/// Copies the images into the system's folder and makes their services, to be started on demand. Whatever is there already is
/// left as it is, and said.
pub(crate) fn install(options: &Install) -> Result<Vec<String>, Failure> {
    let manager = manager(ServiceManagerAccess::CONNECT | ServiceManagerAccess::CREATE_SERVICE)?;
    let mut told = vec![];
    for (number, (name, display)) in SERVICES.into_iter().enumerate() {
        let from = options.folder.join(format!("{name}.sys"));
        if !from.is_file() {
            if number == 0 {
                let text = format!(
                    "cannot read {}: there is no such file. Name the folder it is in",
                    from.display()
                );
                return Err(Failure::Failed(text));
            }
            told.push(format!("{name} left out: {} is not there", from.display()));
            continue;
        }
        match manager.open_service(name, ServiceAccess::QUERY_STATUS) {
            Ok(_) => {
                told.push(format!("{name} was installed already; uninstall it first to replace it"));
                continue;
            }
            Err(e) if win32(&e) == Some(NO_SUCH_SERVICE) => {}
            Err(e) => return Err(failed("open", name, &e, "Run as an administrator")),
        }
        let to = file_of(name);
        fs::copy(&from, &to)
            .map_err(|e| format!("cannot write {}: {e}. Run as an administrator", to.display()))?;
        let info = ServiceInfo {
            name: name.into(),
            display_name: display.into(),
            service_type: ServiceType::KERNEL_DRIVER,
            start_type: ServiceStartType::OnDemand,
            error_control: ServiceErrorControl::Normal,
            // Relative to the system's folder, as the loader wants it.
            executable_path: Path::new("System32").join("drivers").join(format!("{name}.sys")),
            launch_arguments: vec![],
            dependencies: vec![],
            account_name: None,
            account_password: None,
        };
        if let Err(e) = manager.create_service(&info, ServiceAccess::QUERY_STATUS) {
            // Fully there or not at all.
            let _ = fs::remove_file(&to);
            return Err(failed("create", name, &e, "Run as an administrator"));
        }
        told.push(format!("{name} installed"));
    }
    Ok(told)
}

/// Stops both services, deletes them, and deletes their files. A service that came with a driver package is left to pnputil.
pub(crate) fn uninstall() -> Result<Vec<String>, Failure> {
    let manager = manager(ServiceManagerAccess::CONNECT)?;
    let mut told = vec![];
    for (name, _) in SERVICES.into_iter().rev() {
        let access = ServiceAccess::STOP
            | ServiceAccess::QUERY_STATUS
            | ServiceAccess::QUERY_CONFIG
            | ServiceAccess::DELETE;
        let service = match manager.open_service(name, access) {
            Ok(service) => service,
            Err(e) if win32(&e) == Some(NO_SUCH_SERVICE) => {
                told.push(format!("{name} was not installed"));
                continue;
            }
            Err(e) => return Err(failed("open", name, &e, "Run as an administrator")),
        };
        let config =
            service.query_config().map_err(|e| failed("query", name, &e, "Run as an administrator"))?;
        let path = config.executable_path.to_string_lossy().to_lowercase();
        if path.contains("driverstore") {
            let text = format!(
                "service {name} belongs to a driver package ({path}). Remove that: pnputil /enum-drivers names its \
                 oemNN.inf, then pnputil /delete-driver oemNN.inf /uninstall"
            );
            return Err(Failure::Failed(text));
        }
        stop_one(&service, name)?;
        service.delete().map_err(|e| failed("delete", name, &e, "Run as an administrator"))?;
        let file = file_of(name);
        match fs::remove_file(&file) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                told.push(format!("{name} uninstalled; {} could not be deleted: {e}", file.display()));
            }
            _ => told.push(format!("{name} uninstalled")),
        }
    }
    Ok(told)
}
