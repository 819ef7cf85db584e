//! How a command fails: a sentence for people, and the exit code for scripts.

use crate::device::DeviceError;
use std::process::ExitCode;

/// What the program's exit codes mean; the last lines of `--help`.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0    the work is done
  1    the work was begun and failed: the message says which request, its status in words, and what to do
  2    the command line is wrong
  3    the driver or its service is not there, or may not be used by this user
  130  ended by Ctrl-C before the work was done

With --json every line on standard output is one JSON object. Its member \"event\" says what it is; a failure is
{\"event\":\"error\",\"message\":…,\"code\":…}. Messages for people go to standard error.";

/// Why a command ended without having done its work.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The work failed.
    Failed(String),
    /// The driver or a service is not there.
    Unavailable(String),
    /// Ctrl-C.
    Interrupted(String),
}

impl Failure {
    /// The sentence.
    pub(crate) fn message(&self) -> &str {
        match self {
            Self::Failed(text) | Self::Unavailable(text) | Self::Interrupted(text) => text,
        }
    }

    /// The number that the process ends with.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Failed(_) => 1,
            Self::Unavailable(_) => 3,
            Self::Interrupted(_) => 130,
        }
    }

    /// The same with what was being done in front.
    pub(crate) fn during(self, what: &str) -> Self {
        let text = format!("{what}: {}", self.message());
        match self {
            Self::Failed(_) => Self::Failed(text),
            Self::Unavailable(_) => Self::Unavailable(text),
            Self::Interrupted(_) => Self::Interrupted(text),
        }
    }
}

impl From<String> for Failure {
    fn from(text: String) -> Self {
        Self::Failed(text)
    }
}

impl From<&str> for Failure {
    fn from(text: &str) -> Self {
        Self::Failed(text.to_owned())
    }
}

impl From<DeviceError> for Failure {
    fn from(error: DeviceError) -> Self {
        let text = error.to_string();
        match error {
            DeviceError::Unavailable(_) => Self::Unavailable(text),
            DeviceError::Status { .. } | DeviceError::Malformed(_) => Self::Failed(text),
        }
    }
}

impl From<&Failure> for ExitCode {
    fn from(failure: &Failure) -> Self {
        Self::from(failure.code())
    }
}
