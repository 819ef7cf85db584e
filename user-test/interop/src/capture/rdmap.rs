//! Segments and the messages that they make (iWARP reference, sections 9 to 12).

use softndk::iwarp::ddp::{self, Header, Segment};
use softndk::iwarp::rdmap::{self, Opcode};

/// As much of a Write as anybody looks at.
const KEPT: usize = 32;

/// A whole message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Message {
    /// RDMA Write.
    Write {
        stag: u32,
        to: u64,
        length: u64,
        /// Its first octets.
        head: Vec<u8>,
    },
    /// Any Send.
    Send(Vec<u8>),
    /// RDMA Read Request.
    ReadRequest,
    /// RDMA Read Response.
    ReadResponse,
    /// The last one of its side.
    Terminate(Vec<u8>),
}

/// A tagged message whose last segment is not there yet.
#[derive(Debug)]
struct Tagged {
    opcode: Opcode,
    stag: u32,
    to: u64,
    length: u64,
    head: Vec<u8>,
}

/// The messages of one side.
#[derive(Debug)]
pub(super) struct Messages {
    /// The next number of each queue.
    next: [u32; 3],
    tagged: Option<Tagged>,
    /// Kind and octets of an untagged message that goes on.
    untagged: Option<(Opcode, Vec<u8>)>,
    over: bool,
}

impl Default for Messages {
    fn default() -> Self {
        Self { next: [1; 3], tagged: None, untagged: None, over: false }
    }
}

impl Messages {
    /// Takes the segment in a ULPDU; gives the message that it ends.
    ///
    /// # Errors
    ///
    /// What is against the reference.
    pub(super) fn take(&mut self, ulpdu: &[u8]) -> Result<Option<Message>, String> {
        let segment = Segment::decode(ulpdu).ok_or("a segment shorter than its header")?;
        let control = segment.header.control();
        if self.over {
            return Err("a segment behind a Terminate".to_owned());
        }
        if segment.version != ddp::VERSION || rdmap::version(control) != rdmap::VERSION {
            return Err(format!("versions {} and {}", segment.version, rdmap::version(control)));
        }
        let opcode = Opcode::decode(control).ok_or_else(|| format!("opcode {}", control & 0x0F))?;
        match segment.header {
            Header::Tagged(header) => self.tagged(opcode, header, segment.payload),
            Header::Untagged(header) => self.untagged(opcode, header, segment.payload),
        }
    }

    fn tagged(
        &mut self,
        opcode: Opcode,
        header: ddp::Tagged,
        payload: &[u8],
    ) -> Result<Option<Message>, String> {
        if !matches!(opcode, Opcode::Write | Opcode::ReadResponse) {
            return Err(format!("{opcode:?} in a tagged segment"));
        }
        let new = Tagged { opcode, stag: header.stag, to: header.to, length: 0, head: Vec::new() };
        let mut message = self.tagged.take().unwrap_or(new);
        let goes_on = (message.opcode, message.stag, message.to.wrapping_add(message.length));
        if goes_on != (opcode, header.stag, header.to) {
            return Err(format!("a tagged message goes on at {:#x} of {:#x}", header.to, header.stag));
        }
        message.length += payload.len() as u64;
        let missing = KEPT.saturating_sub(message.head.len()).min(payload.len());
        message.head.extend_from_slice(payload.get(..missing).unwrap_or_default());
        if !header.last {
            self.tagged = Some(message);
            return Ok(None);
        }
        Ok(Some(match opcode {
            Opcode::Write => Message::Write {
                stag: message.stag,
                to: message.to,
                length: message.length,
                head: message.head,
            },
            _ => Message::ReadResponse,
        }))
    }

    fn untagged(
        &mut self,
        opcode: Opcode,
        header: ddp::Untagged,
        payload: &[u8],
    ) -> Result<Option<Message>, String> {
        let queue = match opcode {
            Opcode::Write | Opcode::ReadResponse => return Err(format!("{opcode:?} in an untagged segment")),
            Opcode::ReadRequest => rdmap::QUEUE_READ_REQUEST,
            Opcode::Terminate => rdmap::QUEUE_TERMINATE,
            _ => rdmap::QUEUE_SEND,
        };
        if header.queue != queue {
            return Err(format!("{opcode:?} on queue {}", header.queue));
        }
        let (kind, mut octets) = self.untagged.take().unwrap_or((opcode, Vec::new()));
        let Some(next) = self.next.get_mut(queue as usize) else { return Err("no such queue".to_owned()) };
        if (kind, header.msn, header.mo as usize) != (opcode, *next, octets.len()) {
            let (msn, mo) = (header.msn, header.mo);
            return Err(format!("{opcode:?} {msn} at {mo} where {kind:?} {next} at {} is due", octets.len()));
        }
        octets.extend_from_slice(payload);
        if !header.last {
            self.untagged = Some((opcode, octets));
            return Ok(None);
        }
        *next = next.wrapping_add(1);
        Ok(Some(match opcode {
            Opcode::ReadRequest => Message::ReadRequest,
            Opcode::Terminate => {
                self.over = true;
                Message::Terminate(octets)
            }
            _ => Message::Send(octets),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(last: bool, to: u64, payload: &[u8]) -> Vec<u8> {
        let mut ulpdu = vec![0; ddp::TAGGED_LEN];
        let header = ddp::Tagged { last, control: Opcode::Write.control(), stag: 7, to };
        Header::Tagged(header).encode(&mut ulpdu).unwrap();
        ulpdu.extend_from_slice(payload);
        ulpdu
    }

    fn send(opcode: Opcode, queue: u32, msn: u32, payload: &[u8]) -> Vec<u8> {
        let mut ulpdu = vec![0; ddp::UNTAGGED_LEN];
        let header =
            ddp::Untagged { last: true, control: opcode.control(), invalidate: 0, queue, msn, mo: 0 };
        Header::Untagged(header).encode(&mut ulpdu).unwrap();
        ulpdu.extend_from_slice(payload);
        ulpdu
    }

    #[test]
    fn segments_make_messages() {
        let mut messages = Messages::default();
        assert_eq!(messages.take(&write(false, 16, b"ab")), Ok(None));
        let whole = Message::Write { stag: 7, to: 16, length: 3, head: b"abc".to_vec() };
        assert_eq!(messages.take(&write(true, 18, b"c")), Ok(Some(whole)));
        assert_eq!(messages.take(&send(Opcode::Send, 0, 1, b"x")), Ok(Some(Message::Send(b"x".to_vec()))));
        let end = send(Opcode::Terminate, 2, 1, &[0x12]);
        assert_eq!(messages.take(&end), Ok(Some(Message::Terminate(vec![0x12]))));
        assert!(messages.take(&write(true, 0, b"")).is_err(), "nothing may follow");
    }

    #[test]
    fn wrong_segments_are_found() {
        let first = |ulpdu: &[u8]| Messages::default().take(ulpdu);
        assert!(first(&[]).is_err());
        assert!(first(&send(Opcode::Send, 0, 2, b"")).is_err(), "the first number is 1");
        assert!(first(&send(Opcode::Send, 1, 1, b"")).is_err(), "another message's queue");
        assert!(first(&send(Opcode::Write, 0, 1, b"")).is_err(), "a Write is tagged");
        let mut broken = Messages::default();
        assert_eq!(broken.take(&write(false, 16, b"ab")), Ok(None));
        assert!(broken.take(&write(true, 20, b"c")).is_err(), "a gap");
        let mut old = write(true, 0, b"");
        old[0] &= !3;
        assert!(first(&old).is_err(), "DDP version 0");
    }
}
