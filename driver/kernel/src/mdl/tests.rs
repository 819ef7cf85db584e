use std::vec;
use std::vec::Vec;

use abi::status::{STATUS_INSUFFICIENT_RESOURCES, STATUS_INVALID_PARAMETER};
use abi::wsk::WSK_BUF;
use ksim::buffer::{Chain, Pages};
use ksim::pool::fail_after;

use super::{ChainError, OwnedMdl, chain_covers, chain_length, copy_in, copy_out, segments};

const CUTS: [&[usize]; 6] = [&[], &[1], &[5, 0, 0, 4096], &[4096, 1], &[3, 3, 3], &[9000]];

fn data(len: usize) -> Vec<u8> {
    (0..len).map(|index| u8::try_from(index % 251).unwrap()).collect()
}

/// Copies out of a chain that lives.
fn out(buf: &WSK_BUF, skip: usize, dst: &mut [u8]) -> Result<(), ChainError> {
    // SAFETY: the tests keep the chain of `buf`, and nobody else uses it.
    unsafe { copy_out(buf, skip, dst) }
}

/// Copies into a chain that lives.
fn into(buf: &WSK_BUF, skip: usize, src: &[u8]) -> Result<(), ChainError> {
    // SAFETY: the tests keep the chain of `buf`, and nobody else uses it.
    unsafe { copy_in(buf, skip, src) }
}

/// Whether a chain that lives is long enough.
fn covers(buf: &WSK_BUF) -> bool {
    // SAFETY: the tests keep the chain of `buf`.
    unsafe { chain_covers(buf) }
}

#[test]
fn bytes_come_out_in_order_however_the_chain_is_cut() {
    let data = data(9100);
    for pages in [Pages::NonPagedPool, Pages::Locked] {
        for cuts in CUTS {
            let chain = Chain::new(&data, cuts, pages);
            let first = cuts.first().copied().unwrap_or(data.len());
            for offset in [0, 1, first.saturating_sub(1)].into_iter().filter(|&offset| offset < first) {
                let named = chain.wsk_buf(u32::try_from(offset).unwrap(), data.len() - offset);
                assert!(covers(&named), "{cuts:?} {offset}");
                for (skip, len) in
                    [(0, data.len() - offset), (0, 0), (1, 5000), (4090, 10), (data.len() - offset, 0)]
                {
                    let Some(expected) = data.get(offset + skip..offset + skip + len) else { continue };
                    let mut copied = vec![0; len];
                    out(&named, skip, &mut copied).unwrap();
                    assert_eq!(copied, expected, "{cuts:?} {offset} {skip} {len}");
                }
            }
        }
    }
}

#[test]
fn bytes_go_in_and_touch_nothing_else() {
    for pages in [Pages::NonPagedPool, Pages::Locked] {
        for cuts in CUTS {
            let chain = Chain::new(&data(9100), cuts, pages);
            let whole = chain.whole();
            let mut expected = data(9100);
            for (skip, len) in [(0, 7), (4090, 100), (9099, 1), (2, 0)] {
                let new = vec![0xA7; len];
                into(&whole, skip, &new).unwrap();
                expected[skip..skip + len].copy_from_slice(&new);
            }
            assert_eq!(chain.bytes(), expected, "{cuts:?}");
            chain.assert_guards();
        }
    }
}

#[test]
fn a_chain_that_is_too_short_is_refused_and_not_left() {
    let chain = Chain::new(&data(100), &[60], Pages::Locked);
    for (offset, length) in [(0, 101), (1, 100), (60, 1), (u32::MAX, 1), (0, usize::MAX), (59, usize::MAX)] {
        let named = chain.wsk_buf(offset, length);
        assert!(!covers(&named), "{offset} {length}");
        let mut copied = vec![0; length.min(101)];
        let skip = length - copied.len();
        assert_eq!(out(&named, skip, &mut copied), Err(ChainError::TooShort), "{offset} {length}");
        assert_eq!(into(&named, skip, &copied), Err(ChainError::TooShort), "{offset} {length}");
    }
    assert_eq!(chain.bytes()[..60], data(60));
}

#[test]
fn an_offset_must_lie_inside_the_first_mdl() {
    let chain = Chain::new(&data(100), &[0], Pages::NonPagedPool);
    assert_eq!(out(&chain.whole(), 0, &mut [0]), Err(ChainError::TooShort));
}

#[test]
fn bytes_beyond_what_the_buffer_names_are_refused() {
    let chain = Chain::new(&data(100), &[60], Pages::NonPagedPool);
    let named = chain.wsk_buf(10, 20);
    let mut copied = [0; 21];
    assert_eq!(out(&named, 0, &mut copied), Err(ChainError::TooShort));
    assert_eq!(out(&named, 20, &mut copied[..1]), Err(ChainError::TooShort));
    assert_eq!(out(&named, usize::MAX, &mut copied[..1]), Err(ChainError::TooShort));
    assert_eq!(copied, [0; 21], "nothing is copied before the range is checked");
    out(&named, 0, &mut copied[..20]).unwrap();
    assert_eq!(copied[..20], data(100)[10..30]);
}

#[test]
fn an_empty_buffer_needs_no_mdl_but_a_missing_mdl_holds_no_bytes() {
    let mut named = WSK_BUF { Mdl: core::ptr::null_mut(), Offset: 0, Length: 0 };
    assert!(covers(&named));
    out(&named, 0, &mut []).unwrap();
    named.Length = 1;
    assert!(!covers(&named));
    assert_eq!(out(&named, 0, &mut [0]), Err(ChainError::TooShort));
}

#[test]
fn the_length_is_what_the_chain_holds_of_what_is_claimed() {
    let chain = Chain::new(&data(100), &[60, 0, 10], Pages::NonPagedPool);
    for (offset, length, held) in
        [(0, 100, 100), (0, 30, 30), (59, 41, 41), (59, 99, 41), (60, 1, 0), (0, 200, 100)]
    {
        // SAFETY: the chain lives.
        assert_eq!(unsafe { chain_length(&chain.wsk_buf(offset, length)) }, held, "{offset} {length}");
    }
}

#[test]
fn runs_are_whole_pieces_and_never_empty() {
    let chain = Chain::new(&data(100), &[60, 0, 10], Pages::NonPagedPool);
    let named = chain.wsk_buf(5, 95);
    // SAFETY: the chain lives, and nobody else maps it.
    let runs: Vec<_> = unsafe { segments(&named, 10, 80) }.map(|run| run.unwrap().length).collect();
    assert_eq!(runs, [45, 10, 25]);
}

#[test]
fn parts_name_their_mdl_and_need_no_mapping() {
    let chain = Chain::new(&data(100), &[60, 0, 10], Pages::Locked);
    let named = chain.wsk_buf(5, 95);
    // SAFETY: the chain lives.
    let parts: Vec<_> = unsafe { super::parts(&named, 10, 80) }.map(Result::unwrap).collect();
    let places: Vec<_> = parts.iter().map(|part| (part.offset, part.length)).collect();
    assert_eq!(places, [(15, 45), (0, 10), (0, 25)]);
    assert_eq!(parts[0].mdl.as_ptr(), named.Mdl);
    // SAFETY: as above.
    let behind: Vec<_> = unsafe { super::parts(&named, 90, 6) }.collect();
    assert_eq!(behind, [Err(ChainError::TooShort)]);
}

#[test]
fn pages_that_cannot_be_mapped_are_an_error_of_their_own() {
    let chain = Chain::new(&data(100), &[60], Pages::Locked);
    let failing = fail_after(1);
    let mut copied = [0; 100];
    assert_eq!(out(&chain.whole(), 0, &mut copied), Err(ChainError::NotMapped));
    drop(failing);
    out(&chain.whole(), 0, &mut copied).unwrap();
    assert_eq!(copied[..], data(100));
}

#[test]
fn errors_have_their_statuses() {
    assert_eq!(ChainError::TooShort.status(), STATUS_INVALID_PARAMETER);
    assert_eq!(ChainError::NotMapped.status(), STATUS_INSUFFICIENT_RESOURCES);
}

#[test]
fn an_mdl_longer_than_32_bits_can_say_is_refused() {
    // SAFETY: nothing is built, because the length does not fit.
    let mdl = unsafe { OwnedMdl::for_non_paged_pool(core::ptr::null_mut(), 1 << 32) };
    assert!(mdl.is_err());
}
