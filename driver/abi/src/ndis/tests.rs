use core::mem::offset_of;

use super::*;
use crate::ndk::tests::unproved;

#[test]
fn every_member_of_every_structure_is_proved() {
    let sources = [
        include_str!("attach.rs"),
        include_str!("configuration.rs"),
        include_str!("device.rs"),
        include_str!("event.rs"),
        include_str!("filter.rs"),
        include_str!("header.rs"),
        include_str!("indication.rs"),
        include_str!("link.rs"),
        include_str!("ndk.rs"),
    ];
    for source in sources {
        assert_eq!(unproved(source), [""; 0]);
    }
}

/// `RTL_SIZEOF_THROUGH_FIELD`: where a member ends.
macro_rules! through {
    ($type:ident.$member:ident: $of:ty) => {
        u16::try_from(offset_of!($type, $member) + size_of::<$of>()).unwrap()
    };
}

/// A revision ends with its last member, without the padding after it.
#[test]
fn revision_sizes_end_with_their_last_member() {
    type Pointer = usize;
    let cases = [
        (
            NDIS_SIZEOF_FILTER_DRIVER_CHARACTERISTICS_REVISION_1,
            through!(NDIS_FILTER_DRIVER_CHARACTERISTICS.StatusHandler: Pointer),
        ),
        (
            NDIS_SIZEOF_FILTER_DRIVER_CHARACTERISTICS_REVISION_2,
            through!(NDIS_FILTER_DRIVER_CHARACTERISTICS.CancelDirectOidRequestHandler: Pointer),
        ),
        (
            NDIS_SIZEOF_FILTER_DRIVER_CHARACTERISTICS_REVISION_3,
            through!(NDIS_FILTER_DRIVER_CHARACTERISTICS.SynchronousOidRequestCompleteHandler: Pointer),
        ),
        (
            NDIS_SIZEOF_FILTER_PARTIAL_CHARACTERISTICS_REVISION_1,
            through!(NDIS_FILTER_PARTIAL_CHARACTERISTICS.ReturnNetBufferListsHandler: Pointer),
        ),
        (NDIS_SIZEOF_FILTER_ATTACH_PARAMETERS_REVISION_1, through!(NDIS_FILTER_ATTACH_PARAMETERS.Flags: u32)),
        (
            NDIS_SIZEOF_FILTER_ATTACH_PARAMETERS_REVISION_2,
            through!(NDIS_FILTER_ATTACH_PARAMETERS.HDSplitCurrentConfig: Pointer),
        ),
        (
            NDIS_SIZEOF_FILTER_ATTACH_PARAMETERS_REVISION_3,
            through!(NDIS_FILTER_ATTACH_PARAMETERS.NicSwitchCapabilities: Pointer),
        ),
        (
            NDIS_SIZEOF_FILTER_ATTACH_PARAMETERS_REVISION_4,
            through!(NDIS_FILTER_ATTACH_PARAMETERS.NicSwitchArray: Pointer),
        ),
        (NDIS_SIZEOF_FILTER_ATTRIBUTES_REVISION_1, through!(NDIS_FILTER_ATTRIBUTES.Flags: u32)),
        (
            NDIS_SIZEOF_FILTER_RESTART_PARAMETERS_REVISION_1,
            through!(NDIS_FILTER_RESTART_PARAMETERS.Flags: u32),
        ),
        (
            NDIS_SIZEOF_FILTER_PAUSE_PARAMETERS_REVISION_1,
            through!(NDIS_FILTER_PAUSE_PARAMETERS.PauseReason: u32),
        ),
        (
            NDIS_SIZEOF_RESTART_GENERAL_ATTRIBUTES_REVISION_1,
            through!(NDIS_RESTART_GENERAL_ATTRIBUTES.SupportedOidListLength: u32),
        ),
        (
            NDIS_SIZEOF_RESTART_GENERAL_ATTRIBUTES_REVISION_2,
            through!(NDIS_RESTART_GENERAL_ATTRIBUTES.MaxLookaheadSizeAccessed: u32),
        ),
        (NDIS_SIZEOF_CONFIGURATION_OBJECT_REVISION_1, through!(NDIS_CONFIGURATION_OBJECT.Flags: u32)),
        (
            NDIS_SIZEOF_DEVICE_OBJECT_ATTRIBUTES_REVISION_1,
            through!(NDIS_DEVICE_OBJECT_ATTRIBUTES.DeviceClassGuid: Pointer),
        ),
        (NDIS_SIZEOF_NET_PNP_EVENT_NOTIFICATION_REVISION_1, through!(NET_PNP_EVENT_NOTIFICATION.Flags: u32)),
        (
            NDIS_SIZEOF_NET_PNP_EVENT_NOTIFICATION_REVISION_2,
            through!(NET_PNP_EVENT_NOTIFICATION.VPortId: u32),
        ),
        (
            NDIS_SIZEOF_NDIS_BIND_FAILED_NOTIFICATION_REVISION_1,
            through!(NDIS_BIND_FAILED_NOTIFICATION.NetLuid: u64),
        ),
        (NDIS_SIZEOF_NET_DEVICE_PNP_EVENT_REVISION_1, through!(NET_DEVICE_PNP_EVENT.NdisReserved: [u8; 16])),
        (
            NDIS_SIZEOF_STATUS_INDICATION_REVISION_1,
            through!(NDIS_STATUS_INDICATION.NdisReserved: [Pointer; 4]),
        ),
        (NDIS_SIZEOF_LINK_STATE_REVISION_1, through!(NDIS_LINK_STATE.AutoNegotiationFlags: u32)),
        (NDIS_SIZEOF_OPER_STATE_REVISION_1, through!(NDIS_OPER_STATE.OperationalStatusFlags: u32)),
        (
            NDIS_SIZEOF_NDK_PROVIDER_CHARACTERISTICS_REVISION_1,
            through!(NDIS_NDK_PROVIDER_CHARACTERISTICS.CloseNDKAdapterHandler: Pointer),
        ),
        (
            NDIS_SIZEOF_MINIPORT_ADAPTER_NDK_ATTRIBUTES_REVISION_1,
            through!(NDIS_MINIPORT_ADAPTER_NDK_ATTRIBUTES.NdkCapabilities: Pointer),
        ),
        (NDIS_SIZEOF_NDK_CAPABILITIES_REVISION_1, through!(NDIS_NDK_CAPABILITIES.NdkInfo: Pointer)),
        (
            NDIS_SIZEOF_NDK_STATISTICS_INFO_REVISION_1,
            through!(NDIS_NDK_STATISTICS_INFO.CounterSet: NDIS_NDK_PERFORMANCE_COUNTERS),
        ),
    ];
    for (number, (declared, end)) in cases.into_iter().enumerate() {
        assert_eq!(declared, end, "case {number}");
    }
}

/// The numbers of `MissingCounterMask` are the positions of the counters.
#[test]
fn counters_lie_at_their_numbers() {
    let number = |offset: usize| offset / size_of::<u64>();
    assert_eq!(number(offset_of!(NDIS_NDK_PERFORMANCE_COUNTERS, ActiveConnection)), 4);
    assert_eq!(number(offset_of!(NDIS_NDK_PERFORMANCE_COUNTERS, CQError)), 25);
    assert_eq!(number(offset_of!(NDIS_NDK_PERFORMANCE_COUNTERS, RDMAOutFrames)), 29);
}

/// NDIS reuses NTSTATUS where it can; those values must agree.
#[test]
fn shared_statuses_agree_with_ntstatus() {
    use crate::status::*;
    assert_eq!(NDIS_STATUS_SUCCESS, STATUS_SUCCESS);
    assert_eq!(NDIS_STATUS_PENDING, STATUS_PENDING);
    assert_eq!(NDIS_STATUS_FAILURE, STATUS_UNSUCCESSFUL);
    assert_eq!(NDIS_STATUS_INVALID_PARAMETER, STATUS_INVALID_PARAMETER);
    assert_eq!(NDIS_STATUS_RESOURCES, STATUS_INSUFFICIENT_RESOURCES);
    assert_eq!(NDIS_STATUS_NOT_SUPPORTED, STATUS_NOT_SUPPORTED);
}

/// Failures are negative, indications are informational, so one comparison tells them apart.
#[test]
fn severities_of_ndis_statuses() {
    for failure in [NDIS_STATUS_CLOSING, NDIS_STATUS_BAD_VERSION, NDIS_STATUS_ADAPTER_NOT_READY] {
        assert!(!crate::status::nt_success(failure), "{failure:#x}");
    }
    for indication in [NDIS_STATUS_LINK_STATE, NDIS_STATUS_PM_CAPABILITIES_CHANGE] {
        assert!(crate::status::nt_success(indication), "{indication:#x}");
    }
}

#[test]
fn flags_are_the_numbers_of_the_header() {
    assert_eq!(NDIS_PAUSE::all().bits(), 0xFF);
    assert_eq!(NET_EVENT_FLAGS::all().bits(), 0x3);
    assert_eq!(NDIS_FILTER_DRIVER::all().bits(), 0x7);
    assert_eq!(NDIS_FILTER_INTERFACE_FLAGS::all().bits(), 0xF);
    assert_eq!(NDIS_LINK_STATE_FLAGS::all().bits(), 0xF);
}

/// A table of handlers with only what NDIS insists on is all zeros elsewhere: an absent handler is a null
/// pointer.
#[test]
fn an_absent_handler_is_null() {
    assert_eq!(size_of::<Option<FILTER_STATUS_HANDLER>>(), size_of::<usize>());
    assert_eq!(size_of::<Option<FILTER_SYNCHRONOUS_OID_REQUEST_COMPLETE_HANDLER>>(), size_of::<usize>());
}
