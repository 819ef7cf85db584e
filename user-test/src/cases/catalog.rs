//! What there is to run, and choosing from it.

use crate::device::{Device, DeviceError, call};
use crate::report;
use crate::report::say;
use control::Record;
use control::client::cases::{
    CaseId, CaseReply, CasesReply, FUNCTIONS, IOCTL_CASE, IOCTL_CASES, IS_NONE, IS_SYSTEM, VERSION, text,
};
use glob::Pattern;
use serde_json::json;

/// A case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its number in the client.
    pub(super) number: u32,
    /// Its name.
    pub(super) name: String,
    /// What of the WSK contract it looks at.
    pub(super) section: String,
}

/// The client's cases and providers.
pub(super) struct Catalog {
    about: CasesReply,
    entries: Vec<Entry>,
}

/// The bit of a function by its name.
pub(super) fn function(name: &str) -> Result<u64, String> {
    let place = FUNCTIONS.iter().position(|known| known.eq_ignore_ascii_case(name.trim()));
    place
        .map(|place| 1 << place)
        .ok_or_else(|| format!("there is no function {name}; there are {}", FUNCTIONS.join(", ")))
}

impl Catalog {
    /// Asks the client.
    pub(super) fn read(device: &dyn Device) -> Result<Self, DeviceError> {
        let mut reply = [0; CasesReply::SIZE];
        let (status, n) = device.ioctl(IOCTL_CASES, &[], &mut reply);
        if !status.ok() {
            return Err(DeviceError::Status { what: "ask for the cases", status });
        }
        let about = CasesReply::decode(reply.get(..n).unwrap_or_default())
            .map_err(|_| DeviceError::Malformed("ask for the cases"))?;
        if about.version != VERSION {
            return Err(DeviceError::Unavailable(format!(
                "the client's cases have records of version {}, this program knows version {VERSION}: install driver and \
                 program of the same version",
                about.version
            )));
        }
        let entries = (0..about.cases).map(|number| {
            let reply: CaseReply = call(device, "ask for a case", IOCTL_CASE, &CaseId { case: number })?;
            Ok(Entry { number, name: text(&reply.name).to_owned(), section: text(&reply.section).to_owned() })
        });
        Ok(Self { about, entries: entries.collect::<Result<_, DeviceError>>()? })
    }

    /// The cases that any of the patterns means, in the client's order; all without a pattern.
    pub(super) fn choose(&self, patterns: &[String]) -> Result<Vec<Entry>, String> {
        choose(&self.entries, patterns)
    }

    /// What the run talks to, in a word.
    pub(super) fn provider(&self, system: bool) -> Result<&'static str, String> {
        if system {
            return if self.about.system_version != 0 {
                Ok("system")
            } else {
                Err("the client has no provider of the system's to compare with; leave out --system"
                    .to_owned())
            };
        }
        self.registered()
    }

    fn registered(&self) -> Result<&'static str, String> {
        match self.about.registered {
            IS_NONE => {
                Err("the client has no WSK provider; start the wskrdma service, then wskrdma-client"
                    .to_owned())
            }
            IS_SYSTEM => Ok("system"),
            _ => Ok("wskrdma"),
        }
    }
}

fn choose(entries: &[Entry], patterns: &[String]) -> Result<Vec<Entry>, String> {
    if patterns.is_empty() {
        return Ok(entries.to_vec());
    }
    let compiled = patterns.iter().map(|pattern| {
        let compiled = Pattern::new(pattern).map_err(|e| format!("{pattern} is no pattern: {e}"))?;
        if entries.iter().any(|entry| compiled.matches(&entry.name)) {
            Ok(compiled)
        } else {
            Err(format!("no case is called {pattern}; try wskrdma-test cases --list"))
        }
    });
    let compiled = compiled.collect::<Result<Vec<_>, String>>()?;
    let chosen = entries.iter().filter(|entry| compiled.iter().any(|p| p.matches(&entry.name)));
    Ok(chosen.cloned().collect())
}

/// Prints the names.
pub(super) fn show(json: bool, catalog: &Catalog, chosen: &[Entry]) {
    if json {
        let about = &catalog.about;
        report::object(&json!({
            "event": "catalog",
            "cases": about.cases,
            "registered": catalog.registered().unwrap_or("none"),
            "registered_version": about.registered_version,
            "system_version": about.system_version,
        }));
    }
    let width = chosen.iter().map(|entry| entry.name.len()).max().unwrap_or_default();
    for entry in chosen {
        if json {
            report::object(&json!({ "event": "listed", "case": entry.name, "section": entry.section }));
        } else {
            say!("{:width$}  {}", entry.name, entry.section);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries() -> Vec<Entry> {
        let entry = |(number, name): (usize, &&str)| Entry {
            number: u32::try_from(number).unwrap(),
            name: (*name).to_owned(),
            section: String::new(),
        };
        ["send-small", "send-chains", "receive-chains"].iter().enumerate().map(entry).collect()
    }

    fn chosen(patterns: &[&str]) -> Result<Vec<u32>, String> {
        let patterns: Vec<_> = patterns.iter().map(|&pattern| pattern.to_owned()).collect();
        Ok(choose(&entries(), &patterns)?.iter().map(|entry| entry.number).collect())
    }

    #[test]
    fn patterns_choose_in_the_clients_order() {
        assert_eq!(chosen(&[]), Ok(vec![0, 1, 2]));
        assert_eq!(chosen(&["receive-chains", "send-*"]), Ok(vec![0, 1, 2]));
        assert_eq!(chosen(&["*-chains"]), Ok(vec![1, 2]));
        assert_eq!(chosen(&["send-small"]), Ok(vec![0]));
    }

    #[test]
    fn a_pattern_that_means_nothing_is_named() {
        assert!(chosen(&["send-*", "sned"]).unwrap_err().contains("sned"));
        assert!(chosen(&["[x"]).unwrap_err().contains("[x"));
    }

    #[test]
    fn functions_are_found_by_name() {
        assert_eq!(function("wsksocket"), Ok(1));
        assert_eq!(function(" WskBind"), Ok(1 << 6));
        assert!(function("WskFly").unwrap_err().contains("WskSocket"));
    }
}
