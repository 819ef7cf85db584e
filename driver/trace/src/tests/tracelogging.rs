use super::*;
use crate::{Event, Kind, Reason, keyword};
use std::string::{String, ToString};
use std::vec::Vec;

extern crate std;

/// A decoder of its own: name, fields with their types.
fn read(metadata: &[u8]) -> (String, Vec<(String, Vec<u8>)>) {
    let size = u16::from_le_bytes(metadata[..2].try_into().unwrap());
    assert_eq!(usize::from(size), metadata.len());
    assert_eq!(metadata[2], 0, "no tag");
    let mut rest = &metadata[3..];
    let mut text = || {
        let end = rest.iter().position(|octet| *octet == 0).unwrap();
        let text = String::from_utf8(rest[..end].to_vec()).unwrap();
        rest = &rest[end + 1..];
        (text, rest)
    };
    let (name, mut left) = text();
    let mut fields = Vec::new();
    while !left.is_empty() {
        let end = left.iter().position(|octet| *octet == 0).unwrap();
        let field = String::from_utf8(left[..end].to_vec()).unwrap();
        let kinds = if left[end + 1] & CHAIN != 0 { 2 } else { 1 };
        fields.push((field, left[end + 1..end + 1 + kinds].to_vec()));
        left = &left[end + 1 + kinds..];
    }
    (name, fields)
}

#[test]
fn every_event_describes_itself() {
    for kind in Kind::ALL {
        let (name, fields) = read(kind.metadata());
        assert_eq!(name, kind.name());
        assert!(
            fields.iter().map(|(name, kind)| (name.as_str(), kind.as_slice())).eq(FIELDS.iter().copied())
        );
        assert_ne!(kind.keyword(), 0, "an event without a keyword cannot be filtered");
    }
    assert_eq!(PROVIDER_METADATA[..2], 10_u16.to_le_bytes());
    assert_eq!(&PROVIDER_METADATA[2..], b"wskrdma\0");
}

#[test]
fn the_payload_has_the_fields_in_their_order() {
    let event = Event {
        kind: Kind::FellBack,
        reason: Reason::NegativeCache,
        status: -2,
        value: 9,
        local: "1.2.3.4:258".parse().ok(),
        remote: "[::5%6]:7".parse().ok(),
    };
    let recorded = Recorded { sequence: 3, time: 0, event };
    let mut expected = Vec::new();
    expected.extend(3_u64.to_le_bytes());
    expected.extend(8_u32.to_le_bytes());
    expected.extend(b"negative-cache\0");
    expected.extend((-2_i32).to_le_bytes());
    expected.extend(9_u64.to_le_bytes());
    expected.extend([16, 0, 2, 0, 1, 2, 1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 0]);
    expected.extend([28, 0, 23, 0, 0, 7, 0, 0, 0, 0]);
    expected.extend("::5".parse::<std::net::Ipv6Addr>().unwrap().octets());
    expected.extend(6_u32.to_le_bytes());
    assert_eq!(Encoded::new(&recorded, true).payload(), expected);
    let without = Encoded::new(&recorded, false);
    assert_eq!(
        without.payload(),
        [&expected[..39], &[0; 4]].concat(),
        "addresses are left out unless asked for"
    );
}

#[test]
fn the_longest_payload_fits() {
    let address = "[ffff::1%4294967295]:65535".parse().ok();
    for reason in Reason::ALL {
        let event = Event { reason, local: address, remote: address, ..Event::new(Kind::Closed) };
        let encoded = Encoded::new(&Recorded { sequence: 1, time: 2, event }, true);
        assert_eq!(
            encoded.payload().len(),
            8 + 4 + reason.name().len() + 1 + 4 + 8 + 60,
            "{}",
            reason.name()
        );
    }
}

/// The rule by which decoders find a provider's GUID from its name (`TraceLoggingProvider.h`).
#[test]
fn the_guid_is_that_of_the_name() {
    use sha1::{Digest, Sha1};
    let namespace =
        [0x48, 0x2C, 0x2D, 0xB2, 0xC3, 0x90, 0x47, 0xC8, 0x87, 0xF8, 0x1A, 0x15, 0xBF, 0xC1, 0x30, 0xFB];
    let name: Vec<u8> = PROVIDER.to_uppercase().encode_utf16().flat_map(u16::to_be_bytes).collect();
    let mut hash = Sha1::digest([namespace.as_slice(), &name].concat());
    hash[7] = hash[7] & 0x0F | 0x50;
    let number = u32::from_le_bytes(hash[..4].try_into().unwrap());
    let halves = [4, 6].map(|at| u16::from_le_bytes(hash[at..at + 2].try_into().unwrap()));
    assert_eq!(
        (number, halves[0], halves[1], hash[8..16].to_vec()),
        (GUID.0, GUID.1, GUID.2, GUID.3.to_vec())
    );
}

/// Who collects the events names the provider by its GUID.
#[test]
fn the_profile_collects_this_provider() {
    let profile = include_str!("../../../../inf/wskrdma.wprp");
    let last: String = GUID.3.iter().map(|octet| std::format!("{octet:02x}")).collect();
    let guid = std::format!("{:08x}-{:04x}-{:04x}-{}-{}", GUID.0, GUID.1, GUID.2, &last[..4], &last[4..]);
    assert!(profile.to_lowercase().contains(&guid.to_string()), "{guid}");
    for bit in [keyword::DRIVER, keyword::CONNECTION, keyword::PERFORMANCE, keyword::ADDRESSES] {
        assert!(profile.contains(&std::format!("0x{bit:x}\"")), "keyword {bit:#x}");
    }
}
