//! How a case ended, for people and programs.

use super::catalog::Entry;
use crate::failure::Failure;
use crate::ntstatus::NtStatus;
use crate::report;
use crate::report::say;
use control::client::cases::{
    FOUND_ADDRESS, FOUND_NUMBER, FOUND_STATUS, FUNCTIONS, OUTCOME_CANCELLED, OUTCOME_FAILED,
    OUTCOME_NOT_ALLOWED, OUTCOME_PASSED, OUTCOME_SKIPPED, OUTCOME_STUCK, OUTCOME_TIMED_OUT, RunReply, text,
};
use serde_json::{Value, json};
use std::fmt;

/// What came of asking the client.
#[derive(Debug)]
pub(super) enum End {
    /// The client's answer.
    Reply(Box<RunReply>),
    /// The client did not run it: why, and what to do.
    Refused(String),
    /// No answer: a function of the provider's does not return.
    Hung,
}

/// A case that was asked for.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) entry: Entry,
    /// What it ran against.
    pub(super) provider: &'static str,
    pub(super) end: End,
}

/// Names of the functions in a mask.
fn functions(mask: u64) -> Vec<&'static str> {
    let named = FUNCTIONS.iter().enumerate().filter(|(place, _)| mask >> place & 1 == 1);
    named.map(|(_, name)| *name).collect()
}

impl Outcome {
    /// In a word.
    pub(super) fn word(&self) -> &'static str {
        match &self.end {
            End::Refused(_) => "refused",
            End::Hung => "hung",
            End::Reply(reply) => match reply.outcome {
                OUTCOME_PASSED => "passed",
                OUTCOME_FAILED => "failed",
                OUTCOME_NOT_ALLOWED => "not allowed",
                OUTCOME_TIMED_OUT => "timed out",
                OUTCOME_CANCELLED => "cancelled",
                OUTCOME_STUCK => "stuck",
                OUTCOME_SKIPPED => "skipped",
                _ => "unknown",
            },
        }
    }

    pub(super) fn passed(&self) -> bool {
        self.word() == "passed"
    }

    /// Whether it asked for what the run does not allow, or what the client cannot do.
    pub(super) fn not_allowed(&self) -> bool {
        matches!(self.word(), "not allowed" | "skipped")
    }

    /// Whether no other case can be run after it.
    pub(super) fn ends_the_run(&self) -> bool {
        matches!(self.word(), "stuck" | "hung" | "refused" | "cancelled")
    }

    /// What was found in place of what is expected.
    fn found(reply: &RunReply) -> String {
        match reply.found {
            // The mask of functions that the run does not allow.
            FOUND_NUMBER if reply.outcome == OUTCOME_NOT_ALLOWED => functions(reply.number).join(", "),
            FOUND_STATUS => NtStatus((reply.number as u32).cast_signed()).to_string(),
            FOUND_NUMBER => reply.number.to_string(),
            FOUND_ADDRESS => {
                reply.address.to_socket_addr().map_or_else(|| "no address".to_owned(), |a| a.to_string())
            }
            _ => String::new(),
        }
    }

    /// Why it did not pass; empty if it did.
    pub(super) fn why(&self) -> String {
        match &self.end {
            End::Refused(why) => why.clone(),
            End::Hung => "a function of the provider does not return; the driver cannot be unloaded any more"
                .to_owned(),
            End::Reply(reply) if reply.outcome == OUTCOME_PASSED => String::new(),
            End::Reply(reply) => {
                let expected = text(&reply.expected);
                match Self::found(reply) {
                    found if found.is_empty() => format!("expected: {expected}"),
                    found => format!("expected: {expected}; found {found}"),
                }
            }
        }
    }

    /// The step that failed, as file and line; empty without one.
    pub(super) fn place(&self) -> String {
        match &self.end {
            End::Reply(reply) if reply.line != 0 => format!("{}:{}", text(&reply.file), reply.line),
            _ => String::new(),
        }
    }

    /// How long it took, in milliseconds.
    pub(super) fn milliseconds(&self) -> u32 {
        match &self.end {
            End::Reply(reply) => reply.milliseconds,
            _ => 0,
        }
    }

    /// One JSON object.
    pub(super) fn to_json(&self) -> Value {
        let (asks, requests, status) = match &self.end {
            End::Reply(reply) => {
                let status = (reply.found == FOUND_STATUS).then(|| format!("{:#010x}", reply.number as u32));
                (functions(reply.asked), reply.requests, status)
            }
            _ => (Vec::new(), 0, None),
        };
        json!({
            "event": "case",
            "case": self.entry.name,
            "section": self.entry.section,
            "provider": self.provider,
            "outcome": self.word(),
            "why": self.why(),
            "status": status,
            "at": self.place(),
            "milliseconds": self.milliseconds(),
            "requests": requests,
            "asks": asks,
        })
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:11} {} ({} ms)", self.word(), self.entry.name, self.milliseconds())?;
        if !self.passed() {
            write!(f, "\n            {}: {}", self.entry.section, self.why())?;
            if !self.place().is_empty() {
                write!(f, " ({})", self.place())?;
            }
        }
        Ok(())
    }
}

/// The count.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Totals {
    passed: usize,
    failed: usize,
    /// Asked for what the run does not allow.
    not_allowed: usize,
    /// Not begun, because the run ended before.
    not_run: usize,
}

impl Totals {
    /// Counts the outcomes of a run that was to run `chosen` cases.
    pub(super) fn of(outcomes: &[Outcome], chosen: usize) -> Self {
        let count = |f: fn(&Outcome) -> bool| outcomes.iter().filter(|outcome| f(outcome)).count();
        let (passed, not_allowed) = (count(Outcome::passed), count(Outcome::not_allowed));
        let failed = outcomes.len().saturating_sub(passed + not_allowed);
        Self { passed, failed, not_allowed, not_run: chosen.saturating_sub(outcomes.len()) }
    }

    /// Prints it.
    pub(super) fn tell(&self, json: bool, provider: &str) {
        let Self { passed, failed, not_allowed, not_run } = self;
        if json {
            report::object(&json!({
                "event": "cases", "provider": provider, "passed": passed, "failed": failed, "not_allowed": not_allowed,
                "not_run": not_run,
            }));
        } else {
            say!(
                "{provider}: {passed} passed, {failed} failed, {not_allowed} not allowed, {not_run} not run"
            );
        }
    }

    /// What the program ends with.
    pub(super) fn verdict(&self, cancelled: bool) -> Result<(), Failure> {
        if cancelled {
            let text = format!("ended by Ctrl-C; {} cases were not run", self.not_run);
            return Err(Failure::Interrupted(text));
        }
        match (self.failed, self.not_run) {
            (0, 0) => Ok(()),
            (failed, 0) => Err(format!("{failed} cases failed").into()),
            (failed, not_run) => {
                Err(format!("{failed} cases failed, {not_run} could not be run after that").into())
            }
        }
    }
}

#[cfg(test)]
mod tests;
