//! Socket IOCTLs: WSK's own (`wsk.h`) and those clients pass through (`ws2def.h`, `ws2ipdef.h`, `mstcpip.h`).

pub const IOC_VOID: u32 = 0x2000_0000;
pub const IOC_OUT: u32 = 0x4000_0000;
pub const IOC_IN: u32 = 0x8000_0000;
pub const IOC_INOUT: u32 = IOC_IN | IOC_OUT;
pub const IOC_WS2: u32 = 0x0800_0000;
pub const IOC_VENDOR: u32 = 0x1800_0000;
/// Vendor group of WSK (`wsk.h`).
pub const IOC_WSK: u32 = IOC_WS2 | 0x0700_0000;

/// Datagram, bound, IRP required: the only peer; a socket address, or nothing to clear.
pub const SIO_WSK_SET_REMOTE_ADDRESS: u32 = IOC_IN | IOC_WSK | 1;
/// No IRP: [`WSK_EXTENSION_CONTROL_IN`](super::WSK_EXTENSION_CONTROL_IN) to
/// [`WSK_EXTENSION_CONTROL_OUT`](super::WSK_EXTENSION_CONTROL_OUT).
pub const SIO_WSK_REGISTER_EXTENSION: u32 = IOC_INOUT | IOC_WSK | 2;
/// Connected, IRP required: bytes that should be outstanding, a `usize`.
pub const SIO_WSK_QUERY_IDEAL_SEND_BACKLOG: u32 = IOC_OUT | IOC_WSK | 3;
/// Connected, IRP required: bytes that wait to be received, a `usize`.
pub const SIO_WSK_QUERY_RECEIVE_BACKLOG: u32 = IOC_OUT | IOC_WSK | 4;
/// Accepted conditionally, no IRP: [`WSK_INSPECT_ID`](super::WSK_INSPECT_ID).
pub const SIO_WSK_QUERY_INSPECT_ID: u32 = IOC_OUT | IOC_WSK | 5;
/// Datagram, bound, IRP required: where to send by default; a socket address, or nothing to clear.
pub const SIO_WSK_SET_SENDTO_ADDRESS: u32 = IOC_IN | IOC_WSK | 6;
/// Connected TCP, IRP required: from now on only close is valid.
pub const SIO_WSK_SET_TCP_SILENT_MODE: u32 = IOC_VOID | IOC_WSK | 7;
/// Connection or stream: a [`PFN_WSK_RECEIVE_EX_EVENT`](super::PFN_WSK_RECEIVE_EX_EVENT), or null to clear.
pub const SIO_WSK_SET_RECEIVE_EX_CALLBACK: u32 = IOC_IN | IOC_WSK | 8;

/// No IRP, `PASSIVE_LEVEL`: [`SOCKET_ADDRESS_LIST`](super::SOCKET_ADDRESS_LIST).
pub const SIO_ADDRESS_LIST_QUERY: u32 = IOC_OUT | IOC_WS2 | 22;
/// IRP required, `PASSIVE_LEVEL`: pending until the family's local addresses change.
pub const SIO_ADDRESS_LIST_CHANGE: u32 = IOC_VOID | IOC_WS2 | 23;
pub const SIO_ADDRESS_LIST_SORT: u32 = IOC_INOUT | IOC_WS2 | 25;
pub const SIO_ROUTING_INTERFACE_QUERY: u32 = IOC_INOUT | IOC_WS2 | 20;
pub const SIO_QUERY_RSS_PROCESSOR_INFO: u32 = IOC_OUT | IOC_WS2 | 37;

pub const SIO_KEEPALIVE_VALS: u32 = IOC_IN | IOC_VENDOR | 4;
pub const SIO_LOOPBACK_FAST_PATH: u32 = IOC_IN | IOC_VENDOR | 16;
pub const SIO_TCP_INITIAL_RTO: u32 = IOC_IN | IOC_VENDOR | 17;
pub const SIO_APPLY_TRANSPORT_SETTING: u32 = IOC_IN | IOC_VENDOR | 19;
pub const SIO_QUERY_TRANSPORT_SETTING: u32 = IOC_IN | IOC_VENDOR | 20;
pub const SIO_CPU_AFFINITY: u32 = IOC_IN | IOC_VENDOR | 21;
pub const SIO_TCP_SET_ICW: u32 = IOC_IN | IOC_VENDOR | 22;
pub const SIO_TCP_SET_ACK_FREQUENCY: u32 = IOC_IN | IOC_VENDOR | 23;
pub const SIO_SET_PRIORITY_HINT: u32 = IOC_IN | IOC_VENDOR | 24;
pub const SIO_TCP_INFO: u32 = IOC_INOUT | IOC_VENDOR | 39;
pub const SIO_ACQUIRE_PORT_RESERVATION: u32 = IOC_IN | IOC_VENDOR | 100;
pub const SIO_RELEASE_PORT_RESERVATION: u32 = IOC_IN | IOC_VENDOR | 101;
pub const SIO_ASSOCIATE_PORT_RESERVATION: u32 = IOC_IN | IOC_VENDOR | 102;
pub const SIO_SET_SECURITY: u32 = IOC_IN | IOC_VENDOR | 200;
pub const SIO_QUERY_SECURITY: u32 = IOC_INOUT | IOC_VENDOR | 201;
pub const SIO_QUERY_WFP_ALE_ENDPOINT_HANDLE: u32 = IOC_OUT | IOC_VENDOR | 205;
pub const SIO_QUERY_RSS_SCALABILITY_INFO: u32 = IOC_OUT | IOC_VENDOR | 210;
pub const SIO_QUERY_WFP_CONNECTION_REDIRECT_RECORDS: u32 = IOC_IN | IOC_VENDOR | 220;
pub const SIO_QUERY_WFP_CONNECTION_REDIRECT_CONTEXT: u32 = IOC_IN | IOC_VENDOR | 221;
pub const SIO_SET_WFP_CONNECTION_REDIRECT_RECORDS: u32 = IOC_IN | IOC_VENDOR | 222;
pub const SIO_GET_TX_TIMESTAMP: u32 = IOC_IN | IOC_VENDOR | 234;
pub const SIO_TIMESTAMPING: u32 = IOC_IN | IOC_VENDOR | 235;
