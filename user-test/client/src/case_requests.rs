//! The requests about conformance cases.

use abi::NTSTATUS;
use abi::status::{
    STATUS_BUFFER_TOO_SMALL, STATUS_DEVICE_NOT_READY, STATUS_INVALID_BUFFER_SIZE, STATUS_INVALID_PARAMETER,
};
use abi::wsk::WSK_PROVIDER_NPI;
use cases::{CASES, Case};
use control::Record;
use control::client::cases::{
    CaseId, CaseReply, CasesReply, FLAG_ANY_PENDING_RETURNED, FLAG_NO_IPV6, FUNCTIONS, IOCTL_CASE,
    IOCTL_CASE_CANCEL, IOCTL_CASE_RUN, IOCTL_CASES, IS_NONE, IS_SYSTEM, IS_WSKRDMA, MAX_LIMIT_MS,
    PROVIDER_REGISTERED, PROVIDER_SYSTEM, RunReply, RunRequest, VERSION, field,
};
use kernel::pool::Shared;

use crate::desk::Job;
use crate::handle::{Client, Handle};
use crate::operation::Ioctl;

/// Takes a request about cases; gives the IOCTL back if it is another one.
pub(crate) fn dispatch(handle: &Shared<Handle>, code: u32, ioctl: Ioctl) -> Option<Ioctl> {
    let client = &handle.client;
    match code {
        IOCTL_CASES => answer(ioctl, |input| match input {
            [] => Ok(overview(client)),
            _ => Err(STATUS_INVALID_BUFFER_SIZE),
        }),
        IOCTL_CASE => answer(ioctl, |input| {
            let case = find(record::<CaseId>(input)?.case)?;
            Ok(CaseReply { name: field(case.name), section: field(case.section) })
        }),
        IOCTL_CASE_RUN => {
            let owner = Shared::as_ptr(handle).addr();
            match prepare(client, &ioctl) {
                Ok((case, run, npi)) => {
                    // Nobody registers with the system's own WSK a second time.
                    let functions = (run.provider == PROVIDER_REGISTERED).then_some(client.functions);
                    let job = Job { case, run, npi, functions, ioctl, owner };
                    if let Err((status, ioctl)) = client.desk.submit(job) {
                        ioctl.complete(status, 0);
                    }
                }
                Err(status) => ioctl.complete(status, 0),
            }
        }
        IOCTL_CASE_CANCEL if ioctl.input != 0 => ioctl.complete(STATUS_INVALID_BUFFER_SIZE, 0),
        IOCTL_CASE_CANCEL => {
            client.desk.cancel(None);
            ioctl.complete(0, 0);
        }
        _ => return Some(ioctl),
    }
    None
}

/// Answers at once.
fn answer<R: Record>(ioctl: Ioctl, reply: impl FnOnce(&[u8]) -> Result<R, NTSTATUS>) {
    match reply(ioctl.request()) {
        Ok(reply) => ioctl.answer(&reply),
        Err(status) => ioctl.complete(status, 0),
    }
}

fn record<R: Record>(input: &[u8]) -> Result<R, NTSTATUS> {
    match input.len() {
        length if length > R::SIZE => Err(STATUS_INVALID_BUFFER_SIZE),
        _ => R::decode(input).map_err(|_| STATUS_BUFFER_TOO_SMALL),
    }
}

fn find(number: u32) -> Result<&'static Case, NTSTATUS> {
    CASES.get(number as usize).ok_or(STATUS_INVALID_PARAMETER)
}

/// The version word of a provider.
fn version(npi: &WSK_PROVIDER_NPI) -> u32 {
    if npi.Dispatch.is_null() {
        return 0;
    }
    // SAFETY: captured, so its table is valid.
    u32::from(unsafe { (*npi.Dispatch).Version })
}

fn overview(client: &Client) -> CasesReply {
    let system = client.system.as_ref();
    let registered = if client.npi.Dispatch.is_null() {
        IS_NONE
    } else if system.is_some_and(|system| system.Dispatch == client.npi.Dispatch) {
        IS_SYSTEM
    } else {
        IS_WSKRDMA
    };
    CasesReply {
        version: VERSION,
        // Lossless: both tables are short.
        cases: CASES.len() as u32,
        functions: FUNCTIONS.len() as u32,
        registered,
        registered_version: version(&client.npi),
        system_version: system.map(version).unwrap_or_default(),
        state: client.desk.state(),
        reserved: 0,
    }
}

/// Looks at a run before it is handed in.
fn prepare(
    client: &Client,
    ioctl: &Ioctl,
) -> Result<(&'static Case, RunRequest, WSK_PROVIDER_NPI), NTSTATUS> {
    let run = record::<RunRequest>(ioctl.request())?;
    if ioctl.output < RunReply::SIZE {
        return Err(STATUS_BUFFER_TOO_SMALL);
    }
    let flags = FLAG_ANY_PENDING_RETURNED | FLAG_NO_IPV6;
    let in_order = run.version == VERSION
        && run.flags & !flags == 0
        && (1..=MAX_LIMIT_MS).contains(&run.limit_ms)
        && run.first_port <= u32::from(u16::MAX);
    if !in_order {
        return Err(STATUS_INVALID_PARAMETER);
    }
    let case = find(run.case)?;
    let npi = match run.provider {
        PROVIDER_REGISTERED => client.npi,
        PROVIDER_SYSTEM => client.system.ok_or(STATUS_DEVICE_NOT_READY)?,
        _ => return Err(STATUS_INVALID_PARAMETER),
    };
    Ok((case, run, npi))
}
