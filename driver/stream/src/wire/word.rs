//! The 32-bit message: 3 bits of operation, 29 bits of data.

use super::{AbortReason, Extensions};

/// Octets of a message, and so of every receive for a peer that is no equal.
pub const MESSAGE_LEN: usize = 4;

/// Most octets that one DATA message can report.
pub const MAX_DATA_LEN: u32 = DATA_MASK;

const OP_SHIFT: u32 = 29;
const DATA_MASK: u32 = (1 << OP_SHIFT) - 1;

const OP_DATA: u32 = 0;
const OP_SEND_DATA: u32 = 1;
const OP_ADVERT: u32 = 3;
const OP_CREDIT: u32 = 4;
const OP_DIRECT: u32 = 5;
const OP_IOMAP: u32 = 6;
const OP_CONTROL: u32 = 7;

const CONTROL_DISCONNECT: u32 = 0;
const CONTROL_KEEPALIVE: u32 = 1;
const CONTROL_SHUTDOWN: u32 = 2;
const CONTROL_ABORT: u32 = 3;
const CONTROL_WITHDRAW: u32 = 4;
const CONTROL_REFUSED: u32 = 5;
/// The control code of ABORT is 8 bits; the reason's 16 bits follow.
const CODE_BITS: u32 = 8;

/// A message. On the wire it is 4 octets in the sender's order, which here is always little-endian
/// ([`Word::octets`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// So many octets, 1 to [`MAX_DATA_LEN`], were just written behind those reported before (op 0).
    Data(u32),
    /// Like DATA, but the octets are in the same Send, at its end (op 1, [`Extensions::SEND_DATA`]).
    SendData(u32),
    /// The sender has a buffer for octets of the stream, which is described at the end of this message (op 3,
    /// [`Extensions::DIRECT`]).
    Advert,
    /// Like DATA, but the octets were written to the beginning of the buffer that was advertised last, which is its
    /// owner's again (op 5).
    Direct(u32),
    /// The buffer that was advertised last is wanted back (op 7, code 4).
    Withdraw,
    /// The buffer that was advertised last is not used (op 7, code 5).
    Refused,
    /// The absolute number, modulo 2^16, of counted messages that the receiver of this word may have sent (op
    /// 4, "SGL"). A target entry may have been written before it.
    Credit(u16),
    /// The iomap entry at this index was written (op 6, "IOMAP_SGL"). Counted like DATA. Never sent by this
    /// endpoint.
    IomapUpdate(u16),
    /// Both directions are finished (op 7, code 0).
    Disconnect,
    /// Defined (op 7, code 1), though Linux asks for life with a zero-length Write instead.
    Keepalive,
    /// The sender's direction is finished (op 7, code 2).
    Shutdown,
    /// The sender aborts the transport, for this reason (op 7, code 3, [`Extensions::ABORT`]).
    Abort(AbortReason),
}

/// Why a word from the wire is no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WordError {
    /// Operation 2; or 1, 3 or 5, which is not in force.
    ReservedOperation(u8),
    /// DATA of 0 octets, which a Linux reader would take for the end of the stream.
    EmptyData,
    /// A control code other than 0, 1 and 2; or 3, 4 or 5, which is not in force.
    UnknownControl(u32),
    /// The Send is shorter or longer than its message.
    Length(usize),
    /// What follows the word of a data message is no credit word.
    NoCredit(u32),
}

impl Word {
    /// The message as a number.
    #[must_use]
    pub const fn encode(self) -> u32 {
        match self {
            Self::Data(len) => (OP_DATA << OP_SHIFT) | (len & DATA_MASK),
            Self::SendData(len) => (OP_SEND_DATA << OP_SHIFT) | (len & DATA_MASK),
            Self::Advert => OP_ADVERT << OP_SHIFT,
            Self::Direct(len) => (OP_DIRECT << OP_SHIFT) | (len & DATA_MASK),
            Self::Withdraw => (OP_CONTROL << OP_SHIFT) | CONTROL_WITHDRAW,
            Self::Refused => (OP_CONTROL << OP_SHIFT) | CONTROL_REFUSED,
            Self::Credit(limit) => (OP_CREDIT << OP_SHIFT) | limit as u32,
            Self::IomapUpdate(index) => (OP_IOMAP << OP_SHIFT) | index as u32,
            Self::Disconnect => (OP_CONTROL << OP_SHIFT) | CONTROL_DISCONNECT,
            Self::Keepalive => (OP_CONTROL << OP_SHIFT) | CONTROL_KEEPALIVE,
            Self::Shutdown => (OP_CONTROL << OP_SHIFT) | CONTROL_SHUTDOWN,
            Self::Abort(AbortReason(reason)) => {
                (OP_CONTROL << OP_SHIFT) | ((reason as u32) << CODE_BITS) | CONTROL_ABORT
            }
        }
    }

    /// The message as it is sent.
    #[must_use]
    pub const fn octets(self) -> [u8; MESSAGE_LEN] {
        self.encode().to_le_bytes()
    }

    /// Reads a word. Of a credit limit and an iomap index only the low 16 bits count. `extensions` are those in force.
    ///
    /// # Errors
    ///
    /// The word is none that a peer may send.
    pub const fn decode(word: u32, extensions: Extensions) -> Result<Self, WordError> {
        let data = word & DATA_MASK;
        let [low, high, ..] = data.to_le_bytes();
        let low16 = u16::from_le_bytes([low, high]);
        match word >> OP_SHIFT {
            OP_DATA if data == 0 => Err(WordError::EmptyData),
            OP_DATA => Ok(Self::Data(data)),
            OP_SEND_DATA if extensions.contains(Extensions::SEND_DATA) => match data {
                0 => Err(WordError::EmptyData),
                len => Ok(Self::SendData(len)),
            },
            OP_ADVERT if data == 0 && extensions.contains(Extensions::DIRECT) => Ok(Self::Advert),
            OP_DIRECT if extensions.contains(Extensions::DIRECT) => match data {
                0 => Err(WordError::EmptyData),
                len => Ok(Self::Direct(len)),
            },
            OP_CREDIT => Ok(Self::Credit(low16)),
            OP_IOMAP => Ok(Self::IomapUpdate(low16)),
            OP_CONTROL => match data {
                CONTROL_DISCONNECT => Ok(Self::Disconnect),
                CONTROL_KEEPALIVE => Ok(Self::Keepalive),
                CONTROL_SHUTDOWN => Ok(Self::Shutdown),
                CONTROL_WITHDRAW if extensions.contains(Extensions::DIRECT) => Ok(Self::Withdraw),
                CONTROL_REFUSED if extensions.contains(Extensions::DIRECT) => Ok(Self::Refused),
                other => {
                    let [code, low, high, rest] = other.to_le_bytes();
                    if code as u32 == CONTROL_ABORT && rest == 0 && extensions.contains(Extensions::ABORT) {
                        return Ok(Self::Abort(AbortReason(u16::from_le_bytes([low, high]))));
                    }
                    Err(WordError::UnknownControl(other))
                }
            },
            op => {
                let [op, ..] = op.to_le_bytes();
                Err(WordError::ReservedOperation(op))
            }
        }
    }
}
