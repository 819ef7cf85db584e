//! What the connection asks of the adapter: memory, and the protection of it.

use super::super::rdmap::TerminateError;

/// A Tagged Buffer may not be used like that. Nothing of it was touched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TaggedFault {
    /// There is no such STag.
    InvalidStag,
    /// Not all octets are within the region.
    Bounds,
    /// The region does not allow this access.
    AccessRights,
    /// The region is of another protection domain.
    NotOfStream,
}

impl TaggedFault {
    /// As an error of a tagged segment. DDP has no code for rights: the STag is none for this access.
    pub(super) const fn of_segment(self) -> TerminateError {
        match self {
            Self::InvalidStag | Self::AccessRights => TerminateError::TaggedInvalidStag,
            Self::Bounds => TerminateError::TaggedBounds,
            Self::NotOfStream => TerminateError::TaggedNotOfStream,
        }
    }

    /// As an error of a Read Request.
    pub(super) const fn of_read_request(self) -> TerminateError {
        match self {
            Self::InvalidStag => TerminateError::ReadInvalidStag,
            Self::Bounds => TerminateError::ReadBounds,
            Self::AccessRights => TerminateError::ReadAccessRights,
            Self::NotOfStream => TerminateError::ReadNotOfStream,
        }
    }
}

/// Memory of this end's own consumer cannot be used: its region has ended, say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LocalFault;

/// Why an STag was not ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Invalidation {
    /// The peer may not: no such STag, or not this stream's, or not of a kind that a peer may end.
    NotAllowed,
    /// It may, and it did not work.
    Failed,
}

/// The memory behind one connection. The adapter implements it; no octet moves but through it.
///
/// Each function either does all that it is asked or touches nothing. Ranges do not wrap, and have at least one octet. What the
/// peer has named is checked anew in each call, for a region may end between two.
pub trait Memory {
    /// Places octets of an RDMA Write. Needs remote write.
    ///
    /// # Errors
    /// [`TaggedFault`].
    fn place_write(&mut self, stag: u32, to: u64, octets: &[u8]) -> Result<(), TaggedFault>;

    /// The last segment of an RDMA Write is placed.
    fn end_write(&mut self) {}

    /// Places octets of an RDMA Read Response: of the sink that this end's consumer has named in its request.
    ///
    /// # Errors
    /// [`TaggedFault`].
    fn place_read(&mut self, stag: u32, to: u64, octets: &[u8]) -> Result<(), TaggedFault>;

    /// Takes the oldest posted receive, for the Send that begins: its octets. `None`: none is posted.
    fn claim_receive(&mut self) -> Option<u32>;

    /// Places octets of a Send in the receive claimed last, from `offset` on: always where the last octets ended, and within its
    /// length.
    ///
    /// # Errors
    /// [`LocalFault`].
    fn place_send(&mut self, offset: u32, octets: &[u8]) -> Result<(), LocalFault>;

    /// The Send is longer than the receive claimed last.
    fn overrun_receive(&mut self) {}

    /// Ends an STag, for a Send with Invalidate whose octets are placed.
    ///
    /// # Errors
    /// [`Invalidation`].
    fn invalidate(&mut self, stag: u32) -> Result<(), Invalidation>;

    /// Says whether a peer may read. Needs remote read.
    ///
    /// # Errors
    /// [`TaggedFault`].
    fn check_read(&mut self, stag: u32, to: u64, size: u32) -> Result<(), TaggedFault>;

    /// Fills `out` for a peer that reads. Needs remote read.
    ///
    /// # Errors
    /// [`TaggedFault`].
    fn fetch_read(&mut self, stag: u32, to: u64, out: &mut [u8]) -> Result<(), TaggedFault>;

    /// The last segment of a response to the peer's read is made.
    fn end_read(&mut self) {}

    /// Fills `out` with octets of the Send or RDMA Write posted last, from `offset` on.
    ///
    /// # Errors
    /// [`LocalFault`].
    fn fetch(&mut self, offset: u32, out: &mut [u8]) -> Result<(), LocalFault>;
}
