//! Which values are taken, and what happens to the others.

use super::*;
use abi::status::STATUS_OBJECT_TYPE_MISMATCH;

/// A key with at most one value.
struct Key(Option<(&'static str, Result<u32, NTSTATUS>)>);

impl Values for Key {
    fn dword(&self, name: &'static [u16]) -> Result<u32, NTSTATUS> {
        let name = String::from_utf16(name).expect("a name");
        match self.0 {
            Some((present, value)) if present == name => value,
            _ => Err(STATUS_OBJECT_NAME_NOT_FOUND),
        }
    }
}

fn read(key: Key) -> (Settings, Vec<Problem>) {
    let mut problems = Vec::new();
    let settings = Settings::read(&key, |problem| problems.push(problem));
    (settings, problems)
}

#[test]
fn an_empty_key_means_the_defaults() {
    assert_eq!(read(Key(None)), (Settings { software_adapter: false }, vec![]));
}

#[test]
fn a_flag_is_zero_or_one() {
    for (value, expected) in [(0, false), (1, true)] {
        let (settings, problems) = read(Key(Some(("SoftwareAdapter", Ok(value)))));
        assert_eq!((settings.software_adapter, problems), (expected, vec![]));
    }
}

#[test]
fn a_value_without_meaning_is_reported_and_not_taken() {
    let (settings, problems) = read(Key(Some(("SoftwareAdapter", Ok(2)))));
    assert_eq!(settings, Settings::default());
    assert_eq!(problems, [Problem::OutOfRange { name: "SoftwareAdapter", value: 2, largest: 1 }]);
}

#[test]
fn a_value_of_another_type_is_reported_and_not_taken() {
    let (settings, problems) = read(Key(Some(("SoftwareAdapter", Err(STATUS_OBJECT_TYPE_MISMATCH)))));
    assert_eq!(settings, Settings::default());
    assert_eq!(
        problems,
        [Problem::Unreadable { name: "SoftwareAdapter", status: STATUS_OBJECT_TYPE_MISMATCH }]
    );
}
