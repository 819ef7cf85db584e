//! The conformance cases, run inside the test client's driver.
//!
//! | module | is |
//! |---|---|
//! | `catalog` | what there is to run, and choosing from it |
//! | `outcome` | how a case ended, for people and programs |
//! | `junit` | the same as a JUnit file |
//!
//! Exit code 0: every case that was chosen passed, or asked for what the run does not allow. 1: a case failed or could not be
//! run. 130: Ctrl-C.

mod catalog;
mod junit;
mod outcome;

use crate::device::{Device, DeviceError, open_client};
use crate::failure::Failure;
use crate::interrupt::{self, Wanted};
use crate::ntstatus::NtStatus;
use crate::report;
use crate::report::say;
use catalog::{Catalog, Entry};
use clap::Args;
use control::Record;
use control::client::cases::{
    FLAG_ANY_PENDING_RETURNED, FLAG_NO_IPV6, IOCTL_CASE_CANCEL, IOCTL_CASE_RUN, MAX_LIMIT_MS,
    PROVIDER_REGISTERED, PROVIDER_SYSTEM, RunReply, RunRequest, VERSION,
};
use indicatif::{ProgressBar, ProgressStyle};
use outcome::{End, Outcome, Totals};
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

/// How long clearing away may take after the time limit, before a case is given up.
const GRACE: Duration = Duration::from_secs(45);

/// What to run, and how.
#[derive(Args)]
pub(crate) struct Options {
    /// Names of cases, or patterns with * and ?; all cases without any.
    patterns: Vec<String>,
    /// Only show the names.
    #[arg(long)]
    list: bool,
    /// Run against the system's own WSK, past wskrdma.
    #[arg(long)]
    system: bool,
    /// Functions that a case may ask for, separated by commas; a case that asks for another one is not run to its end.
    #[arg(long, value_delimiter = ',', value_name = "FUNCTION", value_parser = catalog::function)]
    allow: Vec<u64>,
    /// Bind listening sockets to ports from here on, for a provider that cannot tell the port it has chosen.
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    own_ports: u16,
    /// Do not look at PendingReturned of an IRP.
    #[arg(long)]
    any_pending_returned: bool,
    /// There is no IPv6.
    #[arg(long)]
    no_ipv6: bool,
    /// Time limit of a case, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_LIMIT_MS / 1000)))]
    limit: u32,
    /// Write the results to a JUnit file as well.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

impl Options {
    fn request(&self, case: u32, own_ports: u16) -> RunRequest {
        let flag = |is: bool, flag: u32| if is { flag } else { 0 };
        RunRequest {
            version: VERSION,
            case,
            provider: if self.system { PROVIDER_SYSTEM } else { PROVIDER_REGISTERED },
            flags: flag(self.any_pending_returned, FLAG_ANY_PENDING_RETURNED)
                | flag(self.no_ipv6, FLAG_NO_IPV6),
            limit_ms: self.limit.saturating_mul(1000),
            first_port: u32::from(own_ports),
            allowed: self.allow.iter().copied().reduce(|mask, bit| mask | bit).unwrap_or(u64::MAX),
        }
    }

    /// The first port of the case that runs as number `turn`: a port that was just closed may not be free yet.
    fn ports(&self, turn: usize) -> u16 {
        if self.own_ports == 0 {
            return 0;
        }
        let turn = u16::try_from(turn % PORT_TURNS).unwrap_or_default();
        self.own_ports.saturating_add(turn.saturating_mul(PORTS_EACH))
    }
}

/// Ports that a case has for itself.
const PORTS_EACH: u16 = 16;
/// After so many cases ports come again.
const PORT_TURNS: usize = 256;

/// The command.
pub(crate) fn run(json: bool, options: &Options) -> Result<(), Failure> {
    let device: Arc<dyn Device> = Arc::from(open_client()?);
    let catalog = Catalog::read(&*device)?;
    let chosen = catalog.choose(&options.patterns)?;
    if options.list {
        catalog::show(json, &catalog, &chosen);
        return Ok(());
    }
    let provider = catalog.provider(options.system)?;
    let _cancel = cancel_on_ctrl_c(&device)?;
    let screen = Screen::new(json, chosen.len());
    let mut outcomes: Vec<Outcome> = Vec::new();
    for (turn, entry) in chosen.iter().enumerate() {
        if interrupt::pressed() {
            break;
        }
        screen.begins(entry);
        let request = options.request(entry.number, options.ports(turn));
        let end = run_one(&device, &request, options.limit);
        let outcome = Outcome { entry: (*entry).clone(), provider, end };
        screen.ended(json, &outcome);
        let over = outcome.ends_the_run();
        outcomes.push(outcome);
        if over {
            break;
        }
    }
    screen.close();
    let totals = Totals::of(&outcomes, chosen.len());
    totals.tell(json, provider);
    if let Some(file) = &options.junit {
        std::fs::write(file, junit::document(&outcomes)).map_err(|e| {
            Failure::Failed(format!(
                "cannot write {}: {e}. Name a file in a folder that exists",
                file.display()
            ))
        })?;
    }
    totals.verdict(interrupt::pressed())
}

/// Runs one case, and waits for its end no longer than it can take.
fn run_one(device: &Arc<dyn Device>, request: &RunRequest, limit: u32) -> End {
    let (sender, ends) = mpsc::channel();
    let (device, mut input) = (Arc::clone(device), vec![0; RunRequest::SIZE]);
    if request.encode(&mut input).is_err() {
        return End::Refused(DeviceError::Malformed("run a case").to_string());
    }
    thread::spawn(move || {
        let mut reply = vec![0; RunReply::SIZE];
        let (status, n) = device.ioctl(IOCTL_CASE_RUN, &input, &mut reply);
        let end = match (status.ok(), RunReply::decode(reply.get(..n).unwrap_or_default())) {
            (false, _) => End::Refused(refusal(status)),
            (true, Err(_)) => End::Refused(DeviceError::Malformed("run a case").to_string()),
            (true, Ok(reply)) => End::Reply(Box::new(reply)),
        };
        // Nobody listens any more if the case took too long.
        let _ = sender.send(end);
    });
    ends.recv_timeout(Duration::from_secs(u64::from(limit)) + GRACE).unwrap_or(End::Hung)
}

/// Why the client does not run a case, and what to do.
fn refusal(status: NtStatus) -> String {
    match status.0.cast_unsigned() {
        0x8000_0011 => {
            "run a case: another one runs; wait for it, or end the program that runs it".to_owned()
        }
        0xC000_0184 => {
            "run a case: an earlier one left requests that its provider never completed; load wskrdma-client \
             anew, after a restart of the machine if it does not unload"
                .to_owned()
        }
        0xC000_00A3 => "run a case: the client has no such provider; leave out --system".to_owned(),
        0xC000_0123 => "run a case: the driver has ended; look at what a debugger says of its end".to_owned(),
        _ => format!("run a case: {status}"),
    }
}

/// Has Ctrl-C end the case that runs, and with it the run.
fn cancel_on_ctrl_c(device: &Arc<dyn Device>) -> Result<Wanted, Failure> {
    interrupt::listen()?;
    let device = Arc::downgrade(device);
    Ok(interrupt::also(move || {
        if let Some(device) = device.upgrade() {
            let _ = device.ioctl(IOCTL_CASE_CANCEL, &[], &mut []);
        }
    }))
}

/// A bar with the case that runs; lines above it.
struct Screen(Option<ProgressBar>);

impl Screen {
    fn new(json: bool, cases: usize) -> Self {
        if json {
            return Self(None);
        }
        let bar = ProgressBar::new(cases as u64);
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg} {elapsed}") {
            bar.set_style(style);
        }
        Self(Some(bar))
    }

    fn begins(&self, entry: &Entry) {
        if let Some(bar) = &self.0 {
            bar.set_message(entry.name.clone());
        }
    }

    fn ended(&self, json: bool, outcome: &Outcome) {
        if json {
            report::object(&outcome.to_json());
        }
        if let Some(bar) = &self.0 {
            // Not to the terminal: whoever has no terminal gets the lines as well.
            bar.suspend(|| say!("{outcome}"));
            bar.inc(1);
        }
    }

    fn close(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
