//! Name functions.

use std::net::SocketAddr;
use std::ptr;

use abi::NTSTATUS;
use abi::nt::UNICODE_STRING;
use abi::status::*;
use abi::wsk::*;

use crate::harness::*;
use ksim::client::TestIrp;
use ksim::wsk;

/// A string of the client's.
struct Text {
    units: Vec<u16>,
    string: UNICODE_STRING,
}

impl Text {
    fn of(text: &str) -> Box<Self> {
        Self::with(text.encode_utf16().chain([0]).collect(), text.len())
    }

    fn room(units: usize) -> Box<Self> {
        Self::with(vec![0x7777; units], 0)
    }

    fn with(units: Vec<u16>, length: usize) -> Box<Self> {
        let string = UNICODE_STRING {
            Length: u16::try_from(length * 2).unwrap(),
            MaximumLength: u16::try_from(units.len() * 2).unwrap(),
            Buffer: ptr::null_mut(),
        };
        let mut text = Box::new(Self { units, string });
        text.string.Buffer = text.units.as_mut_ptr();
        text
    }

    fn read(&self) -> String {
        let (text, rest) = self.units.split_at(usize::from(self.string.Length / 2));
        assert_eq!(rest.first(), Some(&0), "a zero at the end");
        String::from_utf16(text).unwrap()
    }
}

fn start_get(
    client: &Client,
    node: &str,
    service: &str,
    hints: Option<&mut ADDRINFOEXW>,
    list: &mut *mut ADDRINFOEXW,
) -> TestIrp {
    let (mut node, mut service) = (Text::of(node), Text::of(service));
    let null = ptr::null_mut();
    let irp = TestIrp::new();
    // SAFETY: the strings are copied during the call.
    let returned = unsafe {
        (client.table().WskGetAddressInfo)(
            client.npi.Client,
            &raw mut node.string,
            &raw mut service.string,
            NS_ALL,
            ptr::null_mut(),
            hints.map_or(null, ptr::from_mut),
            list,
            ptr::null_mut(),
            ptr::null_mut(),
            irp.submit(),
        )
    };
    irp.assert_pending(returned);
    irp
}

/// Socket types and addresses, and the canonical name.
type Found = (Vec<(i32, SocketAddr)>, Option<String>);

fn get(
    client: &Client,
    node: &str,
    service: &str,
    hints: Option<&mut ADDRINFOEXW>,
) -> Result<Found, NTSTATUS> {
    let mut list = ptr::null_mut();
    let done = start_get(client, node, service, hints, &mut list).wait();
    assert_eq!(done.information, 0);
    if done.status != 0 {
        return Err(done.status);
    }
    let (mut found, mut name, mut entry) = (Vec::new(), None, list);
    // SAFETY: the list is ours until it is freed.
    while let Some(info) = unsafe { entry.as_ref() } {
        // SAFETY: an address.
        found.push((info.ai_socktype, unsafe { read_raw(info.ai_addr) }));
        if !info.ai_canonname.is_null() {
            let mut units = Vec::new();
            let mut at = info.ai_canonname;
            // SAFETY: ends in a zero.
            while unsafe { *at } != 0 {
                // SAFETY: before its end.
                units.push(unsafe { *at });
                at = at.wrapping_add(1);
            }
            name = Some(String::from_utf16(&units).unwrap());
        }
        entry = info.ai_next;
    }
    assert_eq!(wsk::outstanding().address_infos, found.len());
    // SAFETY: given out above.
    unsafe { (client.table().WskFreeAddressInfo)(client.npi.Client, list) };
    Ok((found, name))
}

fn hints() -> ADDRINFOEXW {
    ADDRINFOEXW {
        ai_flags: 0,
        ai_family: 0,
        ai_socktype: 0,
        ai_protocol: 0,
        ai_addrlen: 0,
        ai_canonname: ptr::null_mut(),
        ai_addr: ptr::null_mut(),
        ai_blob: ptr::null_mut(),
        ai_bloblen: 0,
        ai_provider: ptr::null_mut(),
        ai_next: ptr::null_mut(),
    }
}

#[test]
fn literals_and_known_names_have_addresses() {
    Machine::each(|| {
        let client = Client::new();
        let four: SocketAddr = "127.0.0.1:12345".parse().unwrap();
        assert_eq!(get(&client, "127.0.0.1", "12345", None), Ok((vec![(1, four), (2, four)], None)));
        assert_eq!(get(&client, "dead.beef", "12345", None), Err(STATUS_NOT_FOUND));
        assert_eq!(get(&client, "127.0.0.1", "no number", None), Err(STATUS_NOT_FOUND));
        assert_eq!(get(&client, "", "", None), Err(STATUS_INVALID_PARAMETER));
        let addresses = ["192.0.2.7".parse().unwrap(), "2001:db8::7".parse().unwrap()];
        wsk::set_name("Host.Example", &addresses);
        let mut only = ADDRINFOEXW { ai_socktype: 1, ai_flags: AI_CANONNAME, ..hints() };
        let found = vec![(1, "192.0.2.7:80".parse().unwrap()), (1, "[2001:db8::7]:80".parse().unwrap())];
        let name = Some("host.EXAMPLE".to_owned());
        assert_eq!(get(&client, "host.EXAMPLE", "80", Some(&mut only)), Ok((found, name)));
        let mut six = ADDRINFOEXW { ai_family: AF_INET6.into(), ai_socktype: 2, ..hints() };
        let found = vec![(2, "[2001:db8::7]:0".parse().unwrap())];
        assert_eq!(get(&client, "host.example", "", Some(&mut six)), Ok((found, None)));
        let mut numeric = ADDRINFOEXW { ai_flags: AI_NUMERICHOST, ..hints() };
        assert_eq!(get(&client, "host.example", "", Some(&mut numeric)), Err(STATUS_NOT_FOUND));
        let mut passive = ADDRINFOEXW { ai_flags: AI_PASSIVE, ai_family: 2, ai_socktype: 1, ..hints() };
        let found = vec![(1, "0.0.0.0:7".parse().unwrap())];
        assert_eq!(get(&client, "", "7", Some(&mut passive)), Ok((found, None)));
    });
}

#[test]
fn addresses_have_names() {
    let _machine = Machine::new();
    let client = Client::new();
    wsk::set_name("host.example", &["192.0.2.7".parse().unwrap()]);
    let name = |address: &str, flags: u32, room: usize| {
        let (mut node, mut service) = (Text::room(room), Text::room(room));
        let mut raw = Raw::of(address.parse().unwrap());
        // SAFETY: everything stays until the IRP is completed.
        let done = wait(|irp| unsafe {
            (client.table().WskGetNameInfo)(
                client.npi.Client,
                raw.pointer(),
                28,
                &raw mut node.string,
                &raw mut service.string,
                flags,
                ptr::null_mut(),
                ptr::null_mut(),
                irp,
            )
        });
        if done.status == 0 { Ok((node.read(), service.read())) } else { Err(done.status) }
    };
    let both = |node: &str, service: &str| Ok((node.to_owned(), service.to_owned()));
    assert_eq!(name("192.0.2.7:80", 0, 32), both("host.example", "80"));
    assert_eq!(name("192.0.2.7:80", NI_NOFQDN, 32), both("host", "80"));
    assert_eq!(name("192.0.2.7:80", NI_NUMERICHOST, 32), both("192.0.2.7", "80"));
    assert_eq!(name("[2001:db8::1]:80", 0, 32), both("2001:db8::1", "80"));
    assert_eq!(name("192.0.2.8:80", NI_NAMEREQD, 32), Err(STATUS_NO_MATCH));
    assert_eq!(name("192.0.2.7:80", 0, 5), Err(STATUS_BUFFER_TOO_SMALL));
}

#[test]
fn a_lookup_is_cancelled_before_its_work_item_runs() {
    let _machine = Machine::new();
    let client = Client::new();
    let mut list = ptr::null_mut();
    // Whichever comes first: the work item, or the cancellation, which completes in the call.
    let irp = start_get(&client, "127.0.0.1", "1", None, &mut list);
    irp.cancel();
    let done = irp.wait();
    assert!(matches!(done.status, STATUS_SUCCESS | STATUS_CANCELLED));
    if done.status == STATUS_SUCCESS {
        // SAFETY: given out above.
        unsafe { (client.table().WskFreeAddressInfo)(client.npi.Client, list) };
    }
    assert_eq!(irp.completions(), 1);
}
