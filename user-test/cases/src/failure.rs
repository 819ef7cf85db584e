//! How a case fails.

use core::fmt;
use core::net::SocketAddr;
use core::panic::Location;

use abi::NTSTATUS;

/// What a step of a case gives.
pub type Check<T = ()> = Result<T, Failure>;

/// What was found where something else was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing that could be named.
    Nothing,
    /// The world cannot do what the case needs: it says nothing about the provider.
    NotHere,
    /// A status.
    Status(NTSTATUS),
    /// A count or a position.
    Number(u64),
    /// An address.
    Address(Option<SocketAddr>),
}

impl From<NTSTATUS> for Found {
    fn from(status: NTSTATUS) -> Self {
        Self::Status(status)
    }
}

impl From<usize> for Found {
    fn from(number: usize) -> Self {
        Self::Number(number as u64)
    }
}

impl From<u64> for Found {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<Option<SocketAddr>> for Found {
    fn from(address: Option<SocketAddr>) -> Self {
        Self::Address(address)
    }
}

/// Why a case failed, and where in its source.
#[derive(Clone, Copy, Debug)]
pub struct Failure {
    /// What should have been so.
    pub expected: &'static str,
    /// What was found instead.
    pub found: Found,
    /// The step.
    pub at: &'static Location<'static>,
}

impl Failure {
    /// A failure of the calling step.
    #[track_caller]
    #[must_use]
    pub fn new(expected: &'static str, found: impl Into<Found>) -> Self {
        Self { expected, found: found.into(), at: Location::caller() }
    }

    /// Whether the case was left out, because its world cannot do what it needs.
    #[must_use]
    pub const fn is_skip(&self) -> bool {
        matches!(self.found, Found::NotHere)
    }
}

/// Fails unless `holds`.
///
/// # Errors
/// It does not.
#[track_caller]
pub(crate) fn expect(holds: bool, expected: &'static str, found: impl Into<Found>) -> Check {
    if holds { Ok(()) } else { Err(Failure::new(expected, found)) }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected: {}", self.expected)?;
        match self.found {
            Found::Nothing => {}
            Found::NotHere => write!(f, "; this world has not")?,
            Found::Status(status) => write!(f, "; found status {status:#010x}")?,
            Found::Number(number) => write!(f, "; found {number}")?,
            Found::Address(Some(address)) => write!(f, "; found {address}")?,
            Found::Address(None) => write!(f, "; found no address")?,
        }
        write!(f, " ({}:{})", self.at.file(), self.at.line())
    }
}
