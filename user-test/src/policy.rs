//! `policy`: the rules in force, rules that are to be tried, and putting those of the registry into force.

use crate::device::{Device, DeviceError, open_driver};
use crate::failure::Failure;
use crate::ntstatus::NtStatus;
use crate::report::{self, say};
use crate::status;
use clap::{Args, Subcommand};
use control::Record;
use control::client::cases::text;
use control::driver::{
    IOCTL_POLICY, IOCTL_POLICY_CHECK, IOCTL_POLICY_SET, PolicyHeader, PolicyVerdict, RuleRow,
};
use serde_json::json;
use std::path::{Path, PathBuf};

/// Rules that a policy may have; the reply has room for them all.
const ROOM: usize = PolicyHeader::SIZE + 64 * RuleRow::SIZE;

/// What `policy` does.
#[derive(Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Show the rules in force, the first one first (without a word this is what happens).
    Show,
    /// Have the driver look at rules, one a line, and change nothing.
    Check {
        /// A file of rules; without it those of the registry.
        file: Option<PathBuf>,
    },
    /// Put rules into force, for what begins from now on. The connections that are there stay as they are.
    Reload {
        /// A file of rules; without it those of the registry. After the next start the registry holds again.
        file: Option<PathBuf>,
    },
}

/// The command.
pub(crate) fn run(json: bool, options: &Options) -> Result<(), Failure> {
    match &options.command {
        None | Some(Command::Show) => show(json),
        Some(Command::Check { file }) => judge(json, file.as_deref(), IOCTL_POLICY_CHECK),
        Some(Command::Reload { file }) => judge(json, file.as_deref(), IOCTL_POLICY_SET),
    }
}

fn driver() -> Result<Box<dyn Device>, Failure> {
    let driver = open_driver()?;
    status::ask_version(&*driver, control::driver::IOCTL_VERSION)?;
    Ok(driver)
}

fn show(json: bool) -> Result<(), Failure> {
    let driver = driver()?;
    let mut reply = vec![0; ROOM];
    let (status, n) = driver.ioctl(IOCTL_POLICY, &[], &mut reply);
    if !status.ok() {
        return Err(DeviceError::Status { what: "ask for the policy", status }.into());
    }
    let rows = reply.get(PolicyHeader::SIZE..n).unwrap_or_default().chunks(RuleRow::SIZE);
    let rules = rows.map(RuleRow::decode).collect::<Result<Vec<_>, _>>();
    let rules = rules.map_err(|_| DeviceError::Malformed("ask for the policy"))?;
    let rules: Vec<_> = rules.iter().map(|rule| text(&rule.text)).collect();
    if json {
        report::object(&json!({ "event": "policy", "rules": rules }));
    } else if rules.is_empty() {
        say!("no rules: RDMA is preferred everywhere");
    } else {
        rules.iter().zip(1..).for_each(|(rule, number)| say!("{number:2}  {rule}"));
    }
    Ok(())
}

fn judge(json: bool, file: Option<&Path>, code: u32) -> Result<(), Failure> {
    let rules = match file {
        Some(file) => {
            let read = std::fs::read_to_string(file);
            read.map_err(|e| {
                format!("cannot read {}: {e}. Rules are plain text, one a line", file.display())
            })?
        }
        None => registry::rules()?,
    };
    let driver = driver()?;
    let mut reply = [0; PolicyVerdict::SIZE];
    let (status, n) = driver.ioctl(code, rules.as_bytes(), &mut reply);
    if status == TOO_LONG {
        return Err("the rules are longer than a driver takes; there may be 64".into());
    }
    if !status.ok() {
        return Err(DeviceError::Status { what: "judge the policy", status }.into());
    }
    let verdict = PolicyVerdict::decode(reply.get(..n).unwrap_or_default());
    let verdict = verdict.map_err(|_| DeviceError::Malformed("judge the policy"))?;
    if json {
        report::object(&json!({
            "event": "policy", "right": verdict.rules, "wrong": verdict.wrong, "in_force": verdict.in_force != 0,
            "line": (verdict.line != 0).then_some(verdict.line), "error": text(&verdict.error),
        }));
    }
    if verdict.wrong != 0 {
        let (line, error) = (verdict.line, text(&verdict.error));
        let wrong = rules.lines().nth(line.saturating_sub(1) as usize).unwrap_or_default().trim();
        let changed = if code == IOCTL_POLICY_SET { "; nothing was changed" } else { "" };
        return Err(format!(
            "line {line} is no rule: {error}: {wrong} ({} of {} lines are wrong{changed})",
            verdict.wrong,
            verdict.rules + verdict.wrong
        )
        .into());
    }
    if !json {
        let what = if verdict.in_force != 0 { "in force" } else { "right" };
        say!("{} rules are {what}", verdict.rules);
    }
    Ok(())
}

/// STATUS_INVALID_BUFFER_SIZE.
const TOO_LONG: NtStatus = NtStatus(0xC000_0206_u32.cast_signed());

#[cfg(not(windows))]
mod registry {
    use crate::failure::Failure;

    /// Fails: there is no registry.
    pub(super) fn rules() -> Result<String, Failure> {
        Err(Failure::Failed("there is no registry here; name a file of rules".to_owned()))
    }
}

#[cfg(windows)]
mod registry {
    use crate::failure::Failure;
    use std::ptr;
    use windows_sys::Win32::Foundation::{ERROR_FILE_NOT_FOUND, ERROR_SUCCESS};
    use windows_sys::Win32::System::Registry::{HKEY_LOCAL_MACHINE, RRF_RT_REG_MULTI_SZ, RegGetValueW};

    /// Bytes of the longest value with a meaning.
    const LONGEST: u32 = 64 << 10;

    /// The strings of the driver's `Policy`, one a line; none where there is no such value.
    pub(super) fn rules() -> Result<String, Failure> {
        let wide = |text: &str| text.encode_utf16().chain(Some(0)).collect::<Vec<u16>>();
        let key = wide("SYSTEM\\CurrentControlSet\\Services\\wskrdma\\Parameters");
        let name = wide("Policy");
        let mut units = vec![0_u16; LONGEST as usize / 2];
        let mut bytes = LONGEST;
        // SAFETY: both names end in a zero, and the buffer has the length that is given; all live during the call.
        let error = unsafe {
            RegGetValueW(
                HKEY_LOCAL_MACHINE,
                key.as_ptr(),
                name.as_ptr(),
                RRF_RT_REG_MULTI_SZ,
                ptr::null_mut(),
                units.as_mut_ptr().cast(),
                &mut bytes,
            )
        };
        match error {
            ERROR_SUCCESS => {
                units.truncate(bytes as usize / 2);
                let text = String::from_utf16_lossy(&units);
                Ok(text.split('\0').filter(|rule| !rule.is_empty()).collect::<Vec<_>>().join("\n"))
            }
            ERROR_FILE_NOT_FOUND => Ok(String::new()),
            other => {
                let cause = std::io::Error::from_raw_os_error(other.cast_signed());
                let text = format!(
                    "cannot read Policy under the driver's Parameters: {cause}. Is it a REG_MULTI_SZ?"
                );
                Err(Failure::Failed(text))
            }
        }
    }
}
