use super::*;
use std::vec::Vec;

const ID: GUID = GUID { Data1: 1, Data2: 2, Data3: 3, Data4: [4; 8] };

/// One test, because there is one provider.
#[test]
fn events_reach_those_who_asked_for_them_and_nobody_else() {
    assert!(!is_enabled(1, 1));
    register(&ID, b"\x06\0abc\0");
    assert_eq!(ksim::etw::traits(), Some(b"\x06\0abc\0".to_vec()));
    assert!(!is_enabled(1, 1), "no session");

    ksim::etw::enable(4, 0b0101, 0b0001);
    assert!(is_enabled(4, 0b0001) && is_enabled(1, 0b0011));
    assert!(!is_enabled(5, 0b0001), "a level that is too high");
    assert!(!is_enabled(4, 0b1000), "no category of those");
    assert!(!is_enabled(4, 0b0100), "not all that must be there");
    assert!(asks_for(0b0100) && !asks_for(0b1000));

    ksim::etw::enable(0, 0, 0);
    assert!(is_enabled(255, 0b1000), "0 is every level and any category");
    assert!(!asks_for(0b1000), "nobody has named it");
    write(4, 2, b"\x06\0abc\0", b"\x05\0\0e\0", &[7, 8]);
    let written = ksim::etw::take();
    assert_eq!(written.len(), 1);
    let one = written.first().unwrap();
    assert_eq!((one.level, one.keyword, one.channel), (4, 2, WINEVENT_CHANNEL_TRACELOGGING));
    let pieces: Vec<_> = one.pieces.iter().map(|(kind, octets)| (*kind, octets.as_slice())).collect();
    let expected: [(u8, &[u8]); 3] = [(2, b"\x06\0abc\0"), (1, b"\x05\0\0e\0"), (0, &[7, 8])];
    assert_eq!(pieces, expected);

    ksim::etw::disable();
    assert!(!is_enabled(1, 1));
    unregister();
    assert!(!ksim::etw::is_registered());
    write(1, 1, b"", b"", b"");
    assert!(ksim::etw::take().is_empty());
    // Twice is once.
    unregister();
}
