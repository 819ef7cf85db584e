use std::string::String;
use std::vec::Vec;

use super::{COMPONENT, Level, MAX_TEXT};

/// What was printed and contains `marker`: other tests print too.
fn printed(marker: &str) -> Vec<(u32, u32, String)> {
    let lines = ksim::debug::lines().into_iter().filter(|line| line.text.contains(marker));
    lines.map(|line| (line.component, line.level, line.text)).collect()
}

#[test]
fn text_is_formatted_and_ends_in_a_line_feed() {
    dbg_print!(Level::Warning, "plain-marker {:#x} {}", 255, "end");
    assert_eq!(printed("plain-marker"), [(COMPONENT, 1, String::from("plain-marker 0xff end\n"))]);
}

#[test]
fn a_format_in_the_text_is_only_text() {
    dbg_print!(Level::Error, "{}", "percent-marker %s %n");
    assert_eq!(printed("percent-marker"), [(COMPONENT, 0, String::from("percent-marker %s %n\n"))]);
}

#[test]
fn text_that_is_too_long_is_cut() {
    dbg_print!(Level::Info, "cut-marker {:-<500}", "");
    let [(_, _, text)] = printed("cut-marker").try_into().unwrap();
    assert_eq!(text.len(), MAX_TEXT + 1);
    assert!(text.ends_with("--\n"));
}

#[test]
fn text_of_exactly_the_limit_is_whole() {
    dbg_print!(Level::Trace, "limit-marker{:+<1$}", "", MAX_TEXT - 12);
    let [(_, level, text)] = printed("limit-marker").try_into().unwrap();
    assert_eq!((level, text.len()), (2, MAX_TEXT + 1));
}
