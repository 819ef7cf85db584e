//! Which values are taken, and what happens to the others.

use super::*;
use abi::status::{
    STATUS_BUFFER_OVERFLOW, STATUS_INSUFFICIENT_RESOURCES, STATUS_OBJECT_TYPE_MISMATCH, STATUS_SUCCESS,
};
// The kernel's routines, which the rules' memory comes from.
use ksim as _;
use wsk::policy::MAX_RULES;

/// A key with at most one number, and at most one list of strings.
#[derive(Default)]
struct Key {
    number: Option<(&'static str, Result<u32, NTSTATUS>)>,
    list: Option<Result<Vec<u16>, NTSTATUS>>,
    /// Its name, where it is not `Policy`.
    list_name: Option<&'static str>,
}

impl Values for Key {
    fn dword(&self, name: &'static [u16]) -> Result<u32, NTSTATUS> {
        let name = String::from_utf16(name).expect("a name");
        match self.number {
            Some((present, value)) if present == name => value,
            _ => Err(STATUS_OBJECT_NAME_NOT_FOUND),
        }
    }

    fn strings(&self, name: &'static [u16], take: &mut dyn FnMut(&[u16])) -> Result<(), NTSTATUS> {
        let asked = String::from_utf16(name).expect("a name");
        match &self.list {
            Some(_) if asked != self.list_name.unwrap_or("Policy") => Err(STATUS_OBJECT_NAME_NOT_FOUND),
            None => Err(STATUS_OBJECT_NAME_NOT_FOUND),
            Some(Err(status)) => Err(*status),
            Some(Ok(units)) => {
                take(units);
                Ok(())
            }
        }
    }
}

impl Key {
    fn number(name: &'static str, value: u32) -> Self {
        Self { number: Some((name, Ok(value))), ..Self::default() }
    }

    fn list(strings: &[&str]) -> Self {
        let text: String = strings.iter().map(|s| format!("{s}\0")).chain(["\0".to_owned()]).collect();
        Self { list: Some(Ok(text.encode_utf16().collect())), ..Self::default() }
    }
}

fn read(key: &Key) -> (Settings, Vec<Problem>) {
    let mut problems = Vec::new();
    let settings = Settings::read(key, |problem| problems.push(problem)).expect("memory");
    (settings, problems)
}

/// The rules as text, and what was reported.
fn rules(key: &Key) -> (String, Vec<Problem>) {
    let (settings, problems) = read(key);
    (settings.policy.to_string(), problems)
}

#[test]
fn an_empty_key_means_the_defaults() {
    let (settings, problems) = read(&Key::default());
    assert_eq!(problems, []);
    assert!(!settings.software_adapter && settings.register_with_nmr && settings.hardware_adapters);
    assert!(settings.policy.rules().is_empty());
    assert!(settings.software_addresses.as_slice().is_empty() && settings.iwarp_ports.as_slice().is_empty());
    assert!(settings.iwarp_crc && !settings.iwarp_local);
    assert_eq!((settings.retry_after_s, settings.connect_limit_ms), (60, 5_000));
}

#[test]
fn a_flag_is_zero_or_one() {
    for (value, expected) in [(0, false), (1, true)] {
        let (settings, problems) = read(&Key::number("SoftwareAdapter", value));
        assert_eq!((settings.software_adapter, problems), (expected, vec![]));
        let (settings, problems) = read(&Key::number("RegisterWithNmr", value));
        assert_eq!((settings.register_with_nmr, problems), (expected, vec![]));
        let (settings, problems) = read(&Key::number("HardwareAdapters", value));
        assert_eq!((settings.hardware_adapters, problems), (expected, vec![]));
        let (settings, problems) = read(&Key::number("SoftwareAdapterIwarpCrc", value));
        assert_eq!((settings.iwarp_crc, problems), (expected, vec![]));
        let (settings, problems) = read(&Key::number("SoftwareAdapterIwarpLocal", value));
        assert_eq!((settings.iwarp_local, problems), (expected, vec![]));
    }
}

#[test]
fn a_number_lies_in_its_range() {
    let (settings, problems) = read(&Key::number("RetryRdmaAfter", 0));
    assert_eq!((settings.retry_after_s, problems), (0, vec![]));
    let (settings, problems) = read(&Key::number("RdmaConnectLimit", 100));
    assert_eq!((settings.connect_limit_ms, problems), (100, vec![]));
    let (settings, problems) = read(&Key::number("ZeroCopyOctets", 0));
    assert_eq!((settings.zero_copy_octets, problems), (0, vec![]));
    let (settings, problems) = read(&Key::number("RingOctets", 1 << 20));
    assert_eq!((settings.ring_octets, problems), (1 << 20, vec![]));
    let (settings, problems) = read(&Key::number("RdmaConnectLimit", 99));
    assert_eq!(settings.connect_limit_ms, 5_000);
    assert_eq!(
        problems,
        [Problem::OutOfRange { name: "RdmaConnectLimit", value: 99, smallest: 100, largest: 60_000 }]
    );
}

/// Each value by its own name, its ends of the range, and its default beyond them.
#[test]
fn the_limits() {
    type Get = fn(&Settings) -> u32;
    let limits: [(&str, u32, u32, Get); 7] = [
        ("DisconnectLimit", 100, 60_000, |s| s.disconnect_limit_ms),
        ("AdapterAnswerLimit", 1_000, 120_000, |s| s.answer_limit_ms),
        ("AdapterMemoryLimit", 16, 1 << 20, |s| s.adapter_mib),
        ("PeerMemoryLimit", 1, 1 << 20, |s| s.peer_mib),
        ("PeerBacklog", 1, 128, |s| s.peer_backlog),
        ("Backlog", 1, 128, |s| s.backlog),
        ("PreparedEndpoints", 0, 64, |s| s.prepared_endpoints),
    ];
    let (default, _) = read(&Key::default());
    for (name, smallest, largest, get) in limits {
        for value in [smallest, largest] {
            let (settings, problems) = read(&Key::number(name, value));
            assert_eq!((get(&settings), problems), (value, vec![]), "{name}");
        }
        let value = largest + 1;
        let (settings, problems) = read(&Key::number(name, value));
        assert_eq!(get(&settings), get(&default), "{name}");
        assert_eq!(problems, [Problem::OutOfRange { name, value, smallest, largest }]);
    }
}

#[test]
fn a_value_without_meaning_is_reported_and_not_taken() {
    let (settings, problems) = read(&Key::number("SoftwareAdapter", 2));
    assert!(!settings.software_adapter);
    assert_eq!(
        problems,
        [Problem::OutOfRange { name: "SoftwareAdapter", value: 2, smallest: 0, largest: 1 }]
    );
}

#[test]
fn a_value_of_another_type_is_reported_and_not_taken() {
    let status = STATUS_OBJECT_TYPE_MISMATCH;
    let number = Some(("SoftwareAdapter", Err(status)));
    let key = Key { number, list: Some(Err(status)), list_name: None };
    let (settings, problems) = read(&key);
    assert!(!settings.software_adapter && settings.policy.rules().is_empty());
    let unreadable = |name| Problem::Unreadable { name, status };
    assert_eq!(problems, [unreadable("SoftwareAdapter"), unreadable("Policy")]);
}

#[test]
fn rules_keep_their_order() {
    let key = Key::list(&["never in any port 445", "Require any 2001:db8::/32"]);
    assert_eq!(rules(&key), ("never in any port 445\nrequire any 2001:db8::/32\n".to_owned(), vec![]));
}

#[test]
fn a_bad_rule_is_reported_by_its_place_and_the_others_stay() {
    let long = "x".repeat(128);
    let key = Key::list(&["allow in any", "never in any", "never in \u{e4}", &long, "prefer out any"]);
    let problem = |number, error| Problem::Rule { number, error };
    assert_eq!(
        rules(&key),
        (
            "never in any\nprefer out any\n".to_owned(),
            vec![
                problem(1, RuleError::Action),
                problem(3, RuleError::NotText),
                problem(4, RuleError::NotText)
            ],
        )
    );
}

#[test]
fn what_is_too_much_is_reported() {
    let many = vec!["never in any"; MAX_RULES + 1];
    let (text, problems) = rules(&Key::list(&many));
    assert_eq!(text.lines().count(), MAX_RULES);
    assert_eq!(problems, [Problem::Rule { number: MAX_RULES + 1, error: RuleError::TooMany }]);
    let key = Key { list: Some(Err(STATUS_BUFFER_OVERFLOW)), ..Key::default() };
    let problem = Problem::Unreadable { name: "Policy", status: STATUS_BUFFER_OVERFLOW };
    assert_eq!(rules(&key), (String::new(), vec![problem]));
}

#[test]
fn a_list_need_not_end_as_it_should() {
    for units in [&[][..], &[0], &[0, 0, 0]] {
        let key = Key { list: Some(Ok(units.to_vec())), ..Key::default() };
        assert_eq!(rules(&key), (String::new(), vec![]));
    }
    let key = Key { list: Some(Ok("never in any".encode_utf16().collect())), ..Key::default() };
    assert_eq!(rules(&key), ("never in any\n".to_owned(), vec![]));
}

#[test]
fn without_memory_for_the_rules_nothing_starts() {
    let key = Key { list: Some(Err(STATUS_INSUFFICIENT_RESOURCES)), ..Key::default() };
    let status = Settings::read(&key, |_| ()).err().unwrap_or(STATUS_SUCCESS);
    assert_eq!(status, STATUS_INSUFFICIENT_RESOURCES);
}

/// A list of the software adapter's.
fn list(name: &'static str, entries: &[&str]) -> Key {
    Key { list_name: Some(name), ..Key::list(entries) }
}

#[test]
fn ports_are_numbers_and_ranges() {
    let name = "SoftwareAdapterIwarpPorts";
    let wrong = ["0", "70000", "9-8", "1-", "-1", "1-2-3", "http", "\u{e4}"];
    let entries = [&["7471", "5000-5999", " 1 - 65535 "][..], &wrong].concat();
    let (settings, problems) = read(&list(name, &entries));
    assert_eq!(settings.iwarp_ports.as_slice(), [(7471, 7471), (5000, 5999), (1, 65535)]);
    let expected: Vec<_> = (4..4 + wrong.len()).map(|number| Problem::Entry { name, number }).collect();
    assert_eq!(problems, expected);
}

#[test]
fn addresses_are_those_of_a_machine() {
    let name = "SoftwareAdapterAddresses";
    let (settings, problems) =
        read(&list(name, &["10.1.2.3", "0.0.0.0", "2001:db8::1", "224.0.0.1", "host"]));
    let expected: [IpAddr; 2] = ["10.1.2.3", "2001:db8::1"].map(|text| text.parse().expect("an address"));
    assert_eq!(settings.software_addresses.as_slice(), expected);
    assert_eq!(problems, [2, 4, 5].map(|number| Problem::Entry { name, number }));
}

#[test]
fn a_short_list_has_an_end() {
    let name = "SoftwareAdapterIwarpPorts";
    let (settings, problems) = read(&list(name, &["1"; software::MAX_ENTRIES + 1]));
    assert_eq!(settings.iwarp_ports.as_slice(), [(1, 1); software::MAX_ENTRIES]);
    assert_eq!(problems, [Problem::Entry { name, number: software::MAX_ENTRIES + 1 }]);
}
