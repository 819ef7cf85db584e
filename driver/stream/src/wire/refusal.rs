//! The private data of a refusal.

use super::VERSION;
use super::conn_data::FLAG_EXT;

/// The program at the passive end does not want the connection: another way to it will not be wanted either.
const REFUSED_BY_PROGRAM: u8 = 1;

/// What goes with the rejection of a request that the program has refused. Any other rejection goes without data.
pub const PROGRAM_REFUSAL: [u8; 4] = [VERSION, FLAG_EXT, REFUSED_BY_PROGRAM, 0];

/// Whether a rejection with these octets (padded to what the transport carries) is one by the peer's program. Linux rejects
/// without data.
#[must_use]
pub fn refused_by_program(data: &[u8]) -> bool {
    matches!(data, [VERSION, flags, REFUSED_BY_PROGRAM, ..] if flags & FLAG_EXT != 0)
}
