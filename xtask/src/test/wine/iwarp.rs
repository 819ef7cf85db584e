//! The driver's software adapter over iWARP, on the TCP of Wine's `netio.sys`.

use std::path::Path;

use anyhow::{Result, anyhow, bail};

use super::{on_machine_with, transfer};
use crate::demo::machine::{self, DRIVER, Machine};
use crate::test::tally::Tally;
use crate::test::transfer::LENGTHS;
use crate::workspace::Workspace;

/// Over RDMA, or not at all: a twin would take the port that iWARP needs.
const POLICY: &str = "require any any";
/// Octets of the large file.
const LARGE: u64 = (16 << 20) + 5;

/// Runs the cases.
pub(super) fn run(workspace: &Workspace, dist: &Path, tally: &mut Tally) {
    tally.check("wine: transfers over iWARP, on Wine's TCP", || {
        on_machine_with(workspace, dist, POLICY, |machine| {
            serve(machine, "1-65535")?;
            machine.start_drivers()?;
            let folder = machine::folder(workspace)?;
            for (name, length) in LENGTHS.into_iter().chain([("16 MiB and a bit", LARGE)]) {
                transfer::transfer(&machine.harness(), folder.path(), length)
                    .map_err(|error| anyhow!("{name}: {error:#}"))?;
            }
            machine.stop_drivers()
        })
    });
    // Which also shows that it was TCP: in memory the ports do not matter.
    tally.check("wine: no transfer on a port that is not served by iWARP", || {
        on_machine_with(workspace, dist, POLICY, |machine| {
            serve(machine, "1")?;
            machine.start_drivers()?;
            let folder = machine::folder(workspace)?;
            if transfer::transfer(&machine.harness(), folder.path(), 1).is_ok() {
                bail!("it was not refused");
            }
            machine.stop_drivers()
        })
    });
}

/// Has the adapter use iWARP for all connections, to itself too, and serve these ports.
fn serve(machine: &Machine, ports: &str) -> Result<()> {
    machine.session.set_list_parameter(DRIVER, "SoftwareAdapterIwarpPorts", ports)?;
    machine.session.set_parameter(DRIVER, "SoftwareAdapterIwarpLocal", 1)
}
