//! What only the world sees.

use crate::watch::Breach;

/// What a provider did wrong that no case looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An IRP was completed more than once.
    CompletedTwice,
    /// Something was written beside the octets of an MDL.
    WroteBesideAnMdl,
    /// Something was written behind an address.
    WroteBehindAnAddress,
    /// Something was written for a call that was refused.
    WroteForARefusedCall,
    /// `Information` of a socket request that succeeded is NULL.
    NoSocket,
    /// A rule for callbacks is broken.
    Callback(Breach),
}

impl Fault {
    /// What should have been so.
    #[must_use]
    pub const fn expected(self) -> &'static str {
        match self {
            Self::CompletedTwice => "an IRP is completed once",
            Self::WroteBesideAnMdl => "nothing is written beside an MDL's octets",
            Self::WroteBehindAnAddress => "nothing is written behind an address",
            Self::WroteForARefusedCall => "a refused call writes nothing",
            Self::Callback(breach) => breach.expected(),
            Self::NoSocket => "Information of a socket request that succeeds is a socket",
        }
    }
}
