//! Fuzz targets: one function for each decoder that takes bytes from outside. A target panics when a rule is broken.
//!
//! The functions are what a coverage-guided fuzzer calls; the tests of this crate feed them a fixed set of inputs, so that
//! each target is known to work and to be able to fail. `corpus` has a folder for each target that needs more than chance: its
//! inputs, and each of them cut or changed at every octet, are tests as well. What a fuzzer finds belongs there.

mod iwarp;

use core::net::SocketAddr;

use abi::NTSTATUS;
use control::Record;
use control::driver::{
    self, AdapterRow, EventRow, PolicyVerdict, ReasonRow, Row, RuleRow, SocketRow, Source, StatusHeader,
    WhyReply, Work,
};
use stream::wire::Message;
use stream::{ConnData, Extensions, TargetEntry, Word};

pub use iwarp::{iwarp_connection, iwarp_ddp, iwarp_fpdu, iwarp_rdmap, iwarp_startup, iwarp_stream};

/// A target and its name.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: &[Target] = &[
    ("private_data", private_data),
    ("message_word", message_word),
    ("message", message),
    ("target_entry", target_entry),
    ("driver_ioctl", driver_ioctl),
    ("iwarp_startup", iwarp_startup),
    ("iwarp_fpdu", iwarp_fpdu),
    ("iwarp_ddp", iwarp_ddp),
    ("iwarp_rdmap", iwarp_rdmap),
    ("iwarp_stream", iwarp_stream),
    ("iwarp_connection", iwarp_connection),
];

/// The private data of a handshake: what decodes and encodes again means the same.
pub fn private_data(octets: &[u8]) {
    if let Ok(data) = ConnData::decode(octets) {
        assert_eq!(ConnData::decode(&data.encode()).ok(), Some(data), "private data changed its meaning");
    }
}

/// The 32-bit messages of the stream.
pub fn message_word(octets: &[u8]) {
    for chunk in octets.chunks_exact(size_of::<u32>()) {
        let Ok(octets) = chunk.try_into() else { continue };
        for extensions in [Extensions::empty(), Extensions::all()] {
            if let Ok(word) = Word::decode(u32::from_le_bytes(octets), extensions) {
                let again = Word::decode(word.encode(), extensions);
                assert_eq!(again.ok(), Some(word), "a word changed its meaning");
            }
        }
    }
}

/// A whole message, as one Send brings it: its parts are as long as it is.
pub fn message(octets: &[u8]) {
    for extensions in [Extensions::empty(), Extensions::all()] {
        let Ok(message) = Message::decode(octets, extensions) else { continue };
        let inside = match message.word {
            Word::SendData(len) => len as usize,
            Word::Advert => 24,
            _ => 0,
        };
        assert_eq!(message.data_offset + inside, octets.len(), "octets that belong to nothing");
    }
}

/// The region descriptors that a peer writes.
pub fn target_entry(octets: &[u8]) {
    for chunk in octets.chunks_exact(stream::TARGET_ENTRY_LEN) {
        let Ok(octets) = chunk.try_into() else { continue };
        let entry = TargetEntry::decode(octets);
        assert_eq!(entry.encode(), octets, "a descriptor changed");
        assert_eq!(entry.wraps(), entry.addr.checked_add(u64::from(entry.len)).is_none(), "a wrong wrap");
    }
}

/// A device control of the driver: the code, the two lengths and the buffer come from the input.
pub fn driver_ioctl(octets: &[u8]) {
    let Some((head, buffer)) = octets.split_at_checked(8) else { return };
    let number =
        |at: usize| head.get(at..at + 2).and_then(|b| b.try_into().ok()).map_or(0, u16::from_le_bytes);
    // Codes near the real ones, so that the handlers behind them are reached.
    let code = driver::IOCTL_VERSION.wrapping_add(u32::from(number(0)) & 0x1F);
    let (input, output) = (usize::from(number(2)), usize::from(number(4)));
    // The system buffer has room for the longer of the two.
    let mut buffer = buffer.to_vec();
    buffer.resize(input.max(output), 0xEE);
    let before = buffer.clone();
    let (status, written) = driver::handle(code, &mut buffer, input, output, &Fixed);
    assert!(written <= output, "{written} octets of reply for room of {output}");
    assert_eq!(buffer.get(output..), before.get(output..), "octets behind the reply were written");
    assert!(status < 0 || written != 0, "a success without a reply");
}

/// A status tree of one adapter, two sockets and a reason.
struct Fixed;

impl Source for Fixed {
    fn header(&self) -> StatusHeader {
        StatusHeader {
            contract: 3,
            adapters: 1,
            sockets: 2,
            irps_outstanding: 0,
            reasons: 1,
            reserved: 0,
            total: Work::default(),
        }
    }

    fn rows(&self, sink: &mut dyn FnMut(Row) -> bool) {
        let adapter = AdapterRow::decode(&[1; AdapterRow::SIZE]).map(Row::Adapter);
        let socket = SocketRow::decode(&[2; SocketRow::SIZE]).map(Row::Socket);
        let reason = ReasonRow::decode(&[3; ReasonRow::SIZE]).map(Row::Reason);
        for row in [adapter, socket, socket, reason].into_iter().flatten() {
            if !sink(row) {
                return;
            }
        }
    }

    fn events(&self, after: u64, sink: &mut dyn FnMut(EventRow) -> bool) -> (u64, u64) {
        let rows = EventRow::decode(&[4; EventRow::SIZE]).into_iter().cycle();
        let _all = rows.zip(after..3).all(|(row, _)| sink(row));
        (3, 99)
    }

    fn rules(&self, sink: &mut dyn FnMut(RuleRow) -> bool) {
        let _all = [[b'r'; 128], [b's'; 128]].into_iter().all(|text| sink(RuleRow { text }));
    }

    fn judge(&self, rules: &str, enforce: bool) -> Result<PolicyVerdict, NTSTATUS> {
        let rules = u32::try_from(driver::lines(rules).count()).unwrap_or(u32::MAX);
        Ok(PolicyVerdict { rules, wrong: 0, line: 0, in_force: enforce.into(), error: [0; 128] })
    }

    fn why(&self, local: Option<SocketAddr>, remote: SocketAddr) -> WhyReply {
        WhyReply {
            contract: driver::CONTRACT_VERSION,
            path: 1,
            reason: 2,
            falls_back: 1,
            action: 0,
            rule: 3,
            remembered_ms: 4,
            route_status: 0,
            interface_index: 5,
            reserved: 0,
            local: local.unwrap_or(remote).into(),
            adapter: [b'a'; 32],
            rule_text: [b't'; 128],
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::{
        TARGETS, Target, iwarp_startup, iwarp_stream, message, message_word, private_data, target_entry,
    };

    /// Inputs that repeat: the same for each run.
    fn inputs(count: u64) -> impl Iterator<Item = Vec<u8>> {
        (0..count).map(|seed| {
            let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
            let length = seed % 97;
            (0..length)
                .map(|_| {
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    state.to_le_bytes()[3]
                })
                .collect()
        })
    }

    #[test]
    fn every_target_stands_what_is_thrown_at_it() {
        for (name, target) in TARGETS {
            println!("{name}");
            inputs(20_000).for_each(|input| target(&input));
        }
    }

    /// Every input of the corpus, cut at every octet, and with every octet changed.
    #[test]
    fn the_corpus_and_its_neighbours() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
        let mut replayed = 0;
        for folder in fs::read_dir(corpus).expect("a corpus").map(|folder| folder.expect("a folder").path()) {
            let named = |(name, _): &&Target| folder.ends_with(name);
            let (_, target) = TARGETS.iter().find(named).expect("a folder has the name of a target");
            for file in fs::read_dir(&folder).expect("inputs").map(|file| file.expect("an input").path()) {
                println!("{}", file.display());
                let input = fs::read(&file).expect("an input");
                target(&input);
                (0..input.len()).for_each(|cut| target(&input[..cut]));
                for (at, change) in (0..input.len()).flat_map(|at| [0x01, 0x80, 0xFF].map(|bits| (at, bits)))
                {
                    let mut changed = input.clone();
                    changed[at] ^= change;
                    target(&changed);
                }
                replayed += 1;
            }
        }
        assert!(replayed >= 8, "{replayed} inputs");
    }

    #[test]
    fn real_input_reaches_the_decoders() {
        // Linux' private data as captured, a credit message, and a descriptor that wraps.
        let captured = [
            1, 2, 1, 0x80, 0, 0, 0, 0, 0, 0, 0x55, 0x75, 0xCE, 0x3E, 0x60, 0, 0x1A, 0x44, 0x7F, 0, 0, 0, 0,
            2, 0, 0, 0x7F, 0x39, 0x77, 0xB7, 0x70, 0, 0x5B, 0x4D, 0xCC, 0, 0, 1, 0, 0,
        ];
        assert!(stream::ConnData::decode(&captured).is_ok());
        private_data(&captured);
        message_word(&[0x80, 1, 0, 0x80]);
        target_entry(&[0xFF; 16]);
        // Data with a credit word, data inside, an advert.
        message(&[1, 0, 0, 0, 0x80, 1, 0, 0x80]);
        message(&[2, 0, 0, 0x20, b'a', b'b']);
        message(&[&[0, 0, 0, 0x60][..], &[7; 24]].concat());
        // The request of a Linux initiator, and the content of a Send.
        let mut request =
            *b"MPA ID Req Frame\x10\x02\x00\x2C\x00\x00\x00\x01........................................";
        iwarp_startup(&request);
        request[9] = b'p';
        iwarp_startup(&request);
        iwarp_stream(b"\x35\x41\x43................data");
    }
}
