//! How many data messages may be on their way to the peer's receive queue.
//!
//! On iWARP a Send that finds no receive posted ends the connection. A Linux peer posts exactly as many
//! receives as it advertises credits, none of them for credit and control messages, and posts them again only
//! when its application calls into the library. So its receive queue of `B` (its credits) is divided here for
//! good:
//!
//! * **Control: 2.** At most one SHUTDOWN and one DISCONNECT are sent.
//! * **Credit: `C + 1`**, where `C` is what this endpoint advertises. No count is kept, because no more can
//!   be unseen. Let the last credit message that the peer has looked at have said: `c` consumed, limit
//!   `c + C`. The peer sends nothing beyond that limit, so at most `C` more of its messages get consumed.
//!   Each later credit message needs one of them for itself: a region ends with the end of a message, and
//!   when a message is due for its credits alone, no region ended among the messages it is due for. The
//!   exception is one region: the second half is due at the start, and two can become due together, the ring
//!   having two. The first two regions of a [longer ring](super::ring) are due when one is filled, before it
//!   is consumed: the end of that one pays for them, and its consumption later for no other. So two of the
//!   messages that one for credits alone is due for may be used up, and it is due for eight at least.
//! * **Data: the rest**, which bounds the messages not yet *proved* seen. A limit `X` proves that the peer
//!   consumed data message `X - B`, so it had seen that one and posted its receive again.
//!
//! The peer returns credit at the latest when `B / 2` messages are consumed since it last did, so data needs
//! at least half of `B`, or both sides would wait. That leaves at most `B / 2 - 2` for credit messages. If
//! `C + 1` is more than that, the bound on credit messages rests not on the peer's credits but on its looking
//! at its completion queue at least once in about `B / 2` regions. An endpoint of this make does that once in
//! each region, for it uses a region only after the message that announced it (at most two regions and two
//! bare credits can then be unseen). A Linux peer does, unless its send buffer is larger than that many of
//! our regions. With Linux defaults on the other side (`B` = 384), up to 189 credits are exact.
//!
//! **An equal** has 12 receives more than it advertises credits ([`crate::wire::Offer`]), and posts each again before
//! its engine hears of the message. They are for what is not counted and may be unseen: by the sentence above 4 credit
//! messages; a KEEPALIVE, and the answer to one; the withdrawal of an advert that was answered meanwhile, a second advert
//! and its withdrawal, and the refusal of one of the peer's; SHUTDOWN, and DISCONNECT or ABORT. So data may use every
//! credit.

/// SHUTDOWN and DISCONNECT.
const CONTROL_SENDS: u16 = 2;
/// The credit message that can be due without a message having been consumed for it.
const EXTRA_CREDIT_SENDS: u16 = 1;

/// Data messages that may be sent and not proved seen, given the credits that the peer and that this endpoint
/// advertised.
pub(super) fn data_share(peer_credits: u16, own_credits: u16) -> u16 {
    let rest = peer_credits.saturating_sub(CONTROL_SENDS);
    let most_for_credit = (peer_credits / 2).saturating_sub(CONTROL_SENDS);
    rest.saturating_sub(own_credits.saturating_add(EXTRA_CREDIT_SENDS).min(most_for_credit))
}
