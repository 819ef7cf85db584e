use core::mem::offset_of;

use super::*;

/// The numbers as printed in debuggers and logs, against their composition from direction, group and code.
#[test]
fn ioctls_have_their_published_numbers() {
    let numbers = [
        (SIO_WSK_SET_REMOTE_ADDRESS, 0x8F00_0001),
        (SIO_WSK_REGISTER_EXTENSION, 0xCF00_0002),
        (SIO_WSK_QUERY_IDEAL_SEND_BACKLOG, 0x4F00_0003),
        (SIO_WSK_QUERY_RECEIVE_BACKLOG, 0x4F00_0004),
        (SIO_WSK_QUERY_INSPECT_ID, 0x4F00_0005),
        (SIO_WSK_SET_SENDTO_ADDRESS, 0x8F00_0006),
        (SIO_WSK_SET_TCP_SILENT_MODE, 0x2F00_0007),
        (SIO_WSK_SET_RECEIVE_EX_CALLBACK, 0x8F00_0008),
        (SIO_ADDRESS_LIST_QUERY, 0x4800_0016),
        (SIO_ADDRESS_LIST_CHANGE, 0x2800_0017),
        (SIO_ADDRESS_LIST_SORT, 0xC800_0019),
        (SIO_ROUTING_INTERFACE_QUERY, 0xC800_0014),
        (SIO_QUERY_RSS_PROCESSOR_INFO, 0x4800_0025),
        (SIO_KEEPALIVE_VALS, 0x9800_0004),
        (SIO_LOOPBACK_FAST_PATH, 0x9800_0010),
        (SIO_TCP_INITIAL_RTO, 0x9800_0011),
        (SIO_APPLY_TRANSPORT_SETTING, 0x9800_0013),
        (SIO_QUERY_TRANSPORT_SETTING, 0x9800_0014),
        (SIO_CPU_AFFINITY, 0x9800_0015),
        (SIO_TCP_SET_ICW, 0x9800_0016),
        (SIO_TCP_SET_ACK_FREQUENCY, 0x9800_0017),
        (SIO_SET_PRIORITY_HINT, 0x9800_0018),
        (SIO_TCP_INFO, 0xD800_0027),
        (SIO_ACQUIRE_PORT_RESERVATION, 0x9800_0064),
        (SIO_RELEASE_PORT_RESERVATION, 0x9800_0065),
        (SIO_ASSOCIATE_PORT_RESERVATION, 0x9800_0066),
        (SIO_SET_SECURITY, 0x9800_00C8),
        (SIO_QUERY_SECURITY, 0xD800_00C9),
        (SIO_QUERY_WFP_ALE_ENDPOINT_HANDLE, 0x5800_00CD),
        (SIO_QUERY_RSS_SCALABILITY_INFO, 0x5800_00D2),
        (SIO_QUERY_WFP_CONNECTION_REDIRECT_RECORDS, 0x9800_00DC),
        (SIO_QUERY_WFP_CONNECTION_REDIRECT_CONTEXT, 0x9800_00DD),
        (SIO_SET_WFP_CONNECTION_REDIRECT_RECORDS, 0x9800_00DE),
        (SIO_GET_TX_TIMESTAMP, 0x9800_00EA),
        (SIO_TIMESTAMPING, 0x9800_00EB),
    ];
    for (value, published) in numbers {
        assert_eq!(value, published, "{value:#x} {published:#x}");
    }
}

#[test]
fn options_of_wsk_start_at_their_base() {
    assert_eq!([SO_WSK_SECURITY, SO_WSK_EVENT_CALLBACK], [0x4001, 0x4002]);
    assert_eq!(SO_EXCLUSIVEADDRUSE, 0xFFFF_FFFB);
}

#[test]
fn versions_are_major_then_minor() {
    assert_eq!(MAKE_WSK_VERSION(1, 0), 0x0100);
    let version = MAKE_WSK_VERSION(2, 7);
    assert_eq!((WSK_MAJOR_VERSION(version), WSK_MINOR_VERSION(version)), (2, 7));
}

#[test]
fn ancillary_data_are_padded_to_eight_bytes() {
    assert_eq!(CMSG_LEN(0), Some(16));
    assert_eq!(CMSG_LEN(size_of::<IN6_PKTINFO>()), Some(36));
    assert_eq!(CMSG_SPACE(0), Some(16));
    assert_eq!(CMSG_SPACE(1), Some(24));
    assert_eq!(CMSG_SPACE(8), Some(24));
    assert_eq!(CMSG_SPACE(size_of::<IN6_PKTINFO>()), Some(40));
    assert_eq!((CMSG_LEN(usize::MAX), CMSG_SPACE(usize::MAX)), (None, None));
}

/// Clients close and bind sockets through whatever table is at hand.
#[test]
fn the_first_three_slots_are_the_same_in_every_table() {
    assert_eq!(offset_of!(WSK_PROVIDER_LISTEN_DISPATCH, Basic.WskCloseSocket), 8);
    assert_eq!(offset_of!(WSK_PROVIDER_DATAGRAM_DISPATCH, Basic.WskCloseSocket), 8);
    assert_eq!(offset_of!(WSK_PROVIDER_CONNECTION_DISPATCH, Basic.WskCloseSocket), 8);
    assert_eq!(offset_of!(WSK_PROVIDER_STREAM_DISPATCH, Basic.WskCloseSocket), 8);
}

/// One C prefix, several name spaces: the types keep apart what the numbers do not.
#[test]
fn flag_words_of_different_calls_reuse_bits() {
    assert_eq!(WSK_SEND_FLAGS::NODELAY.bits(), WSK_RECEIVE_FLAGS::WAITALL.bits());
    assert_eq!(WSK_SEND_FLAGS::all().bits(), 0x3);
    assert_eq!(WSK_RECEIVE_FLAGS::all().bits(), 0x6);
    assert_eq!(WSK_RECEIVE_EVENT_FLAGS::all().bits(), 0xE);
    assert_eq!(WSK_RECEIVE_FROM_EVENT_FLAGS::all().bits(), 0xC08);
    assert_eq!(WSK_DISCONNECT_EVENT_FLAGS::all().bits(), 0x9);
    assert_eq!(WSK_EVENT_MASK::all().bits(), 0x8000_03D0);
}
