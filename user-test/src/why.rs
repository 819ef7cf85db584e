//! `why`: which way a connection would go, and what says so, before anybody connects.

use crate::device::{call, open_driver};
use crate::failure::Failure;
use crate::ntstatus::NtStatus;
use crate::report;
use crate::status;
use clap::Args;
use control::client::cases::text;
use control::driver::{ACTION_NEVER, ACTION_REQUIRE, IOCTL_WHY, PATH_RDMA, WhyReply, WhyRequest};
use serde_json::json;
use std::net::SocketAddr;
use trace::Reason;

/// What `why` asks.
#[derive(Args)]
pub(crate) struct Options {
    /// Where a connection would go to.
    address: SocketAddr,
    /// The local address it would be bound to; without it the route chooses.
    #[arg(long, value_name = "ADDRESS")]
    from: Option<SocketAddr>,
}

fn action(reply: &WhyReply) -> &'static str {
    match reply.action {
        ACTION_REQUIRE => "require",
        ACTION_NEVER => "never",
        _ => "prefer",
    }
}

/// The command.
pub(crate) fn run(json: bool, options: &Options) -> Result<(), Failure> {
    let driver = open_driver()?;
    status::ask_version(&*driver, control::driver::IOCTL_VERSION)?;
    let local = options.from.map(Into::into).unwrap_or_default();
    let request = WhyRequest { local, remote: options.address.into() };
    let what = "ask why (both addresses must be of one family)";
    let reply: WhyReply = call(&*driver, what, IOCTL_WHY, &request)?;
    let route = (reply.route_status != 0).then(|| NtStatus(reply.route_status.cast_signed()));
    if json {
        report::object(&json!({
            "event": "why", "to": options.address.to_string(), "path": status::path_name(reply.path),
            "reason": reply.reason, "reason_name": status::show::reason_name(reply.reason),
            "falls_back": reply.falls_back != 0,
            "policy": { "action": action(&reply), "rule": reply.rule, "text": text(&reply.rule_text) },
            "remembered_ms": reply.remembered_ms,
            "adapter": route.is_none().then(|| text(&reply.adapter)),
            "interface": route.is_none().then_some(reply.interface_index),
            "from": reply.local.to_socket_addr().map(|a| a.ip().to_string()),
            "route_error": route.map(|status| status.to_string()),
        }));
    } else {
        report::text(&sentences(&reply, options.address));
    }
    Ok(())
}

/// What each part says, and what comes of it.
fn sentences(reply: &WhyReply, to: SocketAddr) -> String {
    let rule = match reply.rule {
        0 => "no rule matches, so RDMA is preferred".to_owned(),
        n => format!("rule {n} matches: {}", text(&reply.rule_text)),
    };
    let route = match (reply.route_status, reply.local.to_socket_addr()) {
        (0, Some(local)) => format!("{}, from {}", text(&reply.adapter), local.ip()),
        (status, _) => format!("none leads there: {}", NtStatus(status.cast_signed())),
    };
    let cache = match reply.remembered_ms {
        0 => "RDMA has not failed there lately".to_owned(),
        ms => format!("RDMA failed there; not tried again for {:.1} s", f64::from(ms) / 1000.0),
    };
    let explanation = Reason::from_code(reply.reason).map_or("", Reason::explanation);
    let verdict = match (reply.path == PATH_RDMA, reply.falls_back != 0, reply.route_status) {
        (true, true, _) => "RDMA is tried, and TCP if the peer does not take it".to_owned(),
        (true, false, 0) => "RDMA is tried, and the connection fails if the peer does not take it".to_owned(),
        (true, false, _) => "the connection fails: RDMA is required, and no adapter leads there".to_owned(),
        (false, ..) => format!("TCP. {explanation}"),
    };
    format!("to {to}\n  policy   {rule}\n  adapter  {route}\n  cache    {cache}\n  so       {verdict}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use control::Address;
    use control::client::cases::field;

    #[test]
    fn each_verdict_has_its_sentence() {
        let to = "10.0.0.9:445".parse().unwrap();
        let mut reply = WhyReply {
            contract: 4,
            path: PATH_RDMA,
            reason: Reason::Rdma.code(),
            falls_back: 1,
            action: 0,
            rule: 2,
            remembered_ms: 1500,
            route_status: 0,
            interface_index: 3,
            reserved: 0,
            local: Address::from("10.0.0.1:0".parse::<SocketAddr>().unwrap()),
            adapter: field("nic"),
            rule_text: field("prefer out any"),
        };
        let text = sentences(&reply, to);
        for part in
            ["rule 2 matches: prefer out any", "nic, from 10.0.0.1", "for 1.5 s", "and TCP if the peer"]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
        (reply.falls_back, reply.remembered_ms) = (0, 0);
        assert!(sentences(&reply, to).contains("fails if the peer does not take it"));
        reply.route_status = 0xC000_023C;
        assert!(sentences(&reply, to).contains("STATUS_NETWORK_UNREACHABLE"));
        assert!(sentences(&reply, to).contains("RDMA is required, and no adapter"));
        (reply.path, reply.reason, reply.rule) = (2, Reason::PolicyNever.code(), 0);
        assert!(sentences(&reply, to).contains("so       TCP. The policy forbids RDMA here."));
    }
}
