//! The table.

mod accept;
mod address;
mod bind;
mod close;
mod connect;
mod contract;
mod disconnect;
mod load;
mod receive;
mod refusal;
mod send;
mod socket;

use crate::Case;

/// Every case, in the order in which a person would want them to fail.
pub const CASES: &[Case] = &[
    contract::NULL_IRP,
    contract::NULL_CLIENT,
    contract::NULL_SOCKET,
    socket::CATEGORIES,
    socket::REFUSALS,
    bind::CHOOSES_A_PORT,
    bind::ADDRESS_IN_USE,
    bind::REFUSALS,
    bind::TWICE,
    bind::PORT_COMES_BACK,
    address::BEFORE,
    address::AFTER,
    address::IPV6,
    accept::BEFORE_CONNECT,
    accept::AFTER_CONNECT,
    accept::IN_ORDER,
    accept::WITHOUT_ADDRESSES,
    accept::NOT_LISTENING,
    accept::CANCELLED,
    connect::UNBOUND,
    connect::REFUSED,
    connect::AGAIN_AFTER_REFUSAL,
    connect::TWICE,
    connect::BAD_ADDRESS,
    connect::NOBODY_THERE,
    connect::CANCELLED,
    send::SMALL,
    send::IN_ORDER,
    send::CHAINS,
    send::BUFFER_TOO_LONG,
    send::NOTHING,
    send::FLAGS,
    send::CANCELLED,
    send::CANCELLED_HALF_WAY,
    send::NOT_CONNECTED,
    receive::PARTIAL,
    receive::IN_ORDER,
    receive::CHAINS,
    receive::BUFFER_TOO_LONG,
    receive::NOTHING,
    receive::WAITALL,
    receive::WAITALL_AT_THE_END,
    receive::DRAIN,
    receive::FLAGS,
    receive::CANCELLED,
    receive::CANCELLED_WAITALL,
    receive::NOT_CONNECTED,
    disconnect::END_OF_STREAM,
    disconnect::HALF_CLOSE,
    disconnect::BEHIND_SENDS,
    disconnect::WITH_DATA,
    disconnect::TWICE,
    disconnect::NOT_CONNECTED,
    disconnect::ABORT,
    disconnect::ABORT_WITH_DATA,
    disconnect::ABORT_FORCES_A_GRACEFUL_ONE,
    close::LISTENER_WITH_ACCEPTS,
    close::CONNECTION_WITH_REQUESTS,
    close::RESETS,
    close::IN_ORDER,
    close::ACCEPTED_LIVES_ON,
    close::NOT_ACCEPTED_IS_RESET,
    close::WHILE_CONNECTING,
    load::ONE_STREAM,
    load::MANY_CONNECTIONS,
    load::BOTH_WAYS,
    load::ONE_AFTER_THE_OTHER,
    refusal::NOT_SERVED,
];
