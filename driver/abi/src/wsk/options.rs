//! Socket options by level (`ws2def.h`, `ws2ipdef.h`, `mstcpip.h`, `mswsock.h`, `wsk.h`).

pub const SOL_SOCKET: u32 = 0xFFFF;
pub const IPPROTO_IP: u32 = 0;
pub const IPPROTO_ICMP: u32 = 1;
pub const IPPROTO_TCP: u32 = 6;
pub const IPPROTO_UDP: u32 = 17;
pub const IPPROTO_IPV6: u32 = 41;
pub const IPPROTO_ICMPV6: u32 = 58;
pub const IPPROTO_RAW: u32 = 255;

/// First of WSK's own options (`wsk.h`).
pub const WSK_SO_BASE: u32 = 0x4000;
/// Pointer-sized: the security descriptor of the local address.
pub const SO_WSK_SECURITY: u32 = WSK_SO_BASE + 1;
/// [`WSK_EVENT_CALLBACK_CONTROL`](super::WSK_EVENT_CALLBACK_CONTROL), set only.
pub const SO_WSK_EVENT_CALLBACK: u32 = WSK_SO_BASE + 2;

pub const SO_DEBUG: u32 = 0x0001;
pub const SO_ACCEPTCONN: u32 = 0x0002;
pub const SO_REUSEADDR: u32 = 0x0004;
pub const SO_KEEPALIVE: u32 = 0x0008;
pub const SO_DONTROUTE: u32 = 0x0010;
pub const SO_BROADCAST: u32 = 0x0020;
pub const SO_LINGER: u32 = 0x0080;
pub const SO_OOBINLINE: u32 = 0x0100;
pub const SO_EXCLUSIVEADDRUSE: u32 = !SO_REUSEADDR;
pub const SO_SNDBUF: u32 = 0x1001;
pub const SO_RCVBUF: u32 = 0x1002;
pub const SO_SNDTIMEO: u32 = 0x1005;
pub const SO_RCVTIMEO: u32 = 0x1006;
pub const SO_ERROR: u32 = 0x1007;
pub const SO_TYPE: u32 = 0x1008;
pub const SO_CONDITIONAL_ACCEPT: u32 = 0x3002;
pub const SO_PAUSE_ACCEPT: u32 = 0x3003;
pub const SO_COMPARTMENT_ID: u32 = 0x3004;
pub const SO_RANDOMIZE_PORT: u32 = 0x3005;
pub const SO_PORT_SCALABILITY: u32 = 0x3006;
pub const SO_REUSE_UNICASTPORT: u32 = 0x3007;
pub const SO_REUSE_MULTICASTPORT: u32 = 0x3008;
pub const SO_TIMESTAMP: u32 = 0x300A;
pub const SO_TIMESTAMP_ID: u32 = 0x300B;
pub const SO_ORIGINAL_DST: u32 = 0x300F;

pub const TCP_NODELAY: u32 = 1;
pub const TCP_EXPEDITED_1122: u32 = 2;
pub const TCP_KEEPALIVE: u32 = 3;
pub const TCP_MAXSEG: u32 = 4;
pub const TCP_MAXRT: u32 = 5;
pub const TCP_STDURG: u32 = 6;
pub const TCP_NOURG: u32 = 7;
pub const TCP_ATMARK: u32 = 8;
pub const TCP_NOSYNRETRIES: u32 = 9;
pub const TCP_TIMESTAMPS: u32 = 10;
pub const TCP_OFFLOAD_PREFERENCE: u32 = 11;
pub const TCP_CONGESTION_ALGORITHM: u32 = 12;
pub const TCP_DELAY_FIN_ACK: u32 = 13;
pub const TCP_MAXRTMS: u32 = 14;
pub const TCP_FASTOPEN: u32 = 15;
pub const TCP_KEEPCNT: u32 = 16;
pub const TCP_KEEPINTVL: u32 = 17;
pub const TCP_FAIL_CONNECT_ON_ICMP_ERROR: u32 = 18;
pub const TCP_ICMP_ERROR_INFO: u32 = 19;

pub const UDP_SEND_MSG_SIZE: u32 = 2;
pub const UDP_RECV_MAX_COALESCED_SIZE: u32 = 3;
/// Type of ancillary data, not an option.
pub const UDP_COALESCED_INFO: u32 = 3;

pub const IP_OPTIONS: u32 = 1;
pub const IP_HDRINCL: u32 = 2;
pub const IP_TOS: u32 = 3;
pub const IP_TTL: u32 = 4;
pub const IP_MULTICAST_IF: u32 = 9;
pub const IP_MULTICAST_TTL: u32 = 10;
pub const IP_MULTICAST_LOOP: u32 = 11;
pub const IP_ADD_MEMBERSHIP: u32 = 12;
pub const IP_DROP_MEMBERSHIP: u32 = 13;
pub const IP_DONTFRAGMENT: u32 = 14;
pub const IP_PKTINFO: u32 = 19;
pub const IP_HOPLIMIT: u32 = 21;
pub const IP_RECVTTL: u32 = IP_HOPLIMIT;
pub const IP_RECVIF: u32 = 24;
pub const IP_RECVDSTADDR: u32 = 25;
pub const IP_UNICAST_IF: u32 = 31;
pub const IP_RECVTOS: u32 = 40;
pub const IP_RECVTCLASS: u32 = IP_RECVTOS;
pub const IP_ECN: u32 = 50;
pub const IP_RECVERR: u32 = 75;
pub const IP_USER_MTU: u32 = 76;

pub const IPV6_HOPOPTS: u32 = 1;
pub const IPV6_UNICAST_HOPS: u32 = 4;
pub const IPV6_MULTICAST_IF: u32 = 9;
pub const IPV6_MULTICAST_HOPS: u32 = 10;
pub const IPV6_MULTICAST_LOOP: u32 = 11;
pub const IPV6_ADD_MEMBERSHIP: u32 = 12;
pub const IPV6_DROP_MEMBERSHIP: u32 = 13;
pub const IPV6_DONTFRAG: u32 = 14;
pub const IPV6_PKTINFO: u32 = 19;
pub const IPV6_HOPLIMIT: u32 = 21;
pub const IPV6_V6ONLY: u32 = 27;
pub const IPV6_UNICAST_IF: u32 = 31;
pub const IPV6_RTHDR: u32 = 32;
pub const IPV6_TCLASS: u32 = 39;
pub const IPV6_RECVTCLASS: u32 = 40;
pub const IPV6_ECN: u32 = 50;
pub const IPV6_RECVERR: u32 = 75;
