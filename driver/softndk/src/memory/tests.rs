//! Names of memory, and the tables without any NDK object.

use super::name::{Logical, Spacing, Token};
use super::*;
use crate::config::{MAPPINGS_MAX, REGIONS_MAX};

#[test]
fn tokens_and_logical_addresses_come_back_from_their_numbers() {
    for place in [0, 1, 1000, REGIONS_MAX - 1] {
        for key in [0, 1, 255] {
            for remote in [false, true] {
                let token = Token { place, key, remote };
                assert_ne!(token.encode(), PRIVILEGED_TOKEN);
                assert_ne!(token.encode(), 0);
                assert_eq!(Token::decode(token.encode()), Some(token));
            }
        }
    }
    assert_eq!(Token::decode(0), None);
    assert!(Token::decode(PRIVILEGED_TOKEN).is_some_and(|token| token.place >= REGIONS_MAX));
    for place in [0, 77, MAPPINGS_MAX - 1] {
        for distance in [0, 4096, u32::MAX] {
            let logical = Logical { place, key: 200, distance };
            assert!(logical.encode() > 0);
            assert_eq!(Logical::decode(logical.encode()), Some(logical));
        }
    }
    assert_eq!(Logical::decode(0), None);
    assert_eq!(Logical::decode(-1), None);
}

#[test]
fn scattered_pages_have_holes_between_them() {
    let spacing = Spacing::Scattered;
    assert_eq!(spacing.distance(3), 6 * 4096);
    assert_eq!(spacing.offset(6 * 4096 + 5), Some(3 * 4096 + 5));
    assert_eq!(spacing.offset(4096), None);
    assert_eq!(spacing.offset(2 * 4096 - 1), None);
    assert_eq!(spacing.contiguous(4090, 100), 6);
    assert_eq!(spacing.contiguous(4090, 3), 3);
    let spacing = Spacing::Adjacent;
    assert_eq!(spacing.distance(3), 3 * 4096);
    assert_eq!(spacing.offset(4097), Some(4097));
    assert_eq!(spacing.contiguous(4090, 100), 100);
}

#[test]
fn places_rest_before_they_are_used_again() {
    let _alone = ksim::exclusive();
    let places = Places::new(3).unwrap();
    assert_eq!((places.take(), places.take()), (Some(0), Some(1)));
    places.put(1);
    places.put(0);
    assert_eq!(
        (places.take(), places.take(), places.take(), places.take()),
        (Some(2), Some(1), Some(0), None)
    );
}

#[test]
fn a_region_whose_place_is_used_again_has_other_tokens() {
    let _alone = ksim::exclusive();
    let memory = Memory::new(1, 1, Spacing::Adjacent).unwrap();
    let place = memory.new_region(10).unwrap();
    assert!(memory.new_region(10).is_err(), "the table has one place");
    let old = memory.tokens(place);
    assert_ne!(old.0, old.1, "a local token is not a remote one");
    memory.free_region(place);
    let place = memory.new_region(10).unwrap();
    let new = memory.tokens(place);
    assert!(old.0 != new.0 && old.1 != new.1);
}
