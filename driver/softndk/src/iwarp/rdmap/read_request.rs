//! The RDMA Read Request's own header (RFC 5040 section 4.4).

use super::super::octets::{Writer, take};

/// Octets of it.
pub const READ_REQUEST_LEN: usize = 28;

/// What is to be read, and where the response goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ReadRequest {
    /// Memory of the one who reads.
    pub sink_stag: u32,
    /// Tagged Offset there.
    pub sink_to: u64,
    /// In octets.
    pub size: u32,
    /// Memory of the one who is asked.
    pub source_stag: u32,
    /// Tagged Offset there.
    pub source_to: u64,
}

impl ReadRequest {
    /// What is left after the first `octets`.
    #[must_use]
    pub const fn skip(&self, octets: u32) -> Self {
        Self {
            sink_to: self.sink_to.wrapping_add(octets as u64),
            size: self.size.saturating_sub(octets),
            source_to: self.source_to.wrapping_add(octets as u64),
            ..*self
        }
    }

    /// Writes it to the start of `out`; `None` without room.
    pub fn encode(&self, out: &mut [u8]) -> Option<()> {
        let mut writer = Writer::new(out);
        writer.put(&self.sink_stag.to_be_bytes())?;
        writer.put(&self.sink_to.to_be_bytes())?;
        writer.put(&self.size.to_be_bytes())?;
        writer.put(&self.source_stag.to_be_bytes())?;
        writer.put(&self.source_to.to_be_bytes())
    }

    /// Reads it from the start of `octets`; `None` if they are too few.
    #[must_use]
    pub fn decode(mut octets: &[u8]) -> Option<Self> {
        let octets = &mut octets;
        Some(Self {
            sink_stag: u32::from_be_bytes(take(octets)?),
            sink_to: u64::from_be_bytes(take(octets)?),
            size: u32::from_be_bytes(take(octets)?),
            source_stag: u32::from_be_bytes(take(octets)?),
            source_to: u64::from_be_bytes(take(octets)?),
        })
    }
}
