//! What the program prints: tables and bars for people, one JSON object a line for programs.

use crate::failure::Failure;
use crate::probe::Finding;
use crate::transfer::Outcome;
use comfy_table::Table;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use std::io::Write;
use std::net::SocketAddr;

/// Prints a line. A reader that has gone is no error of ours.
macro_rules! say {
    ($($text:tt)+) => { $crate::report::text(&format!("{}\n", format_args!($($text)+))) };
}
pub(crate) use say;

/// Progress of a transfer: `(done, total)` octets.
pub(crate) type Progress = Box<dyn FnMut(u64, u64) + Send>;

/// Prints one JSON line. A reader that has gone is no error of ours.
pub(crate) fn object(value: &Value) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{value}");
    let _ = out.flush();
}

/// Sets a member of a JSON object.
pub(crate) fn set(object: &mut Value, member: &str, value: impl Into<Value>) {
    if let Some(object) = object.as_object_mut() {
        object.insert(member.to_owned(), value.into());
    }
}

/// Prints lines that tell what was done.
pub(crate) fn lines(json: bool, what: &str, lines: &[String]) {
    for line in lines {
        if json {
            object(&json!({ "event": what, "text": line }));
        } else {
            say!("{line}");
        }
    }
}

/// Prints why the work was not done.
pub(crate) fn error(json: bool, failure: &Failure) {
    let message = failure.message();
    if json {
        object(&json!({ "event": "error", "message": message, "code": failure.code() }));
    }
    eprintln!("wskrdma-test: {message}");
}

/// A bar on a terminal, or a JSON line for every hundredth of the work.
pub(crate) fn progress(json: bool) -> Progress {
    if json {
        let mut last = u64::MAX;
        return Box::new(move |done, total| {
            let percent = done.saturating_mul(100).checked_div(total).unwrap_or(100);
            if percent != last {
                last = percent;
                object(&json!({ "event": "progress", "bytes": done, "total": total }));
            }
        });
    }
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {bytes_per_sec}") {
        bar.set_style(style);
    }
    Box::new(move |done, total| {
        bar.set_length(total);
        bar.set_position(done);
        if done >= total {
            bar.finish_and_clear();
        }
    })
}

/// Prints the answers of a probe; the error says how many were wrong.
pub(crate) fn findings(json: bool, findings: &[Finding]) -> Result<(), Failure> {
    let wrong: Vec<_> = findings.iter().filter(|f| !f.right()).collect();
    for f in &wrong {
        if json {
            object(&json!({ "event": "wrong", "what": f.what, "expected": f.expected.0, "got": f.got.0 }));
        } else {
            say!("{}: expected {}, got {}", f.what, f.expected, f.got);
        }
    }
    if json {
        object(&json!({ "event": "probe", "answers": findings.len(), "wrong": wrong.len() }));
    } else {
        say!("{} answers, {} wrong", findings.len(), wrong.len());
    }
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(format!("{} of {} answers are wrong", wrong.len(), findings.len()).into())
    }
}

/// Prints what a transfer did.
pub(crate) fn outcome(json: bool, o: &Outcome) {
    if json {
        object(&json!({
            "event": "transfer",
            "bytes": o.octets,
            "seconds": o.seconds,
            "sha256": o.sha256,
            "adapter": o.adapter,
            "path": o.path,
            "sends": o.sends,
            "receives": o.receives,
            "work_requests": o.work_requests,
            "completions": o.completions,
            "credits": o.credits,
            "copies_per_byte": o.copies_per_octet,
        }));
        return;
    }
    say!("{}", table(o));
    say!("{} octets, SHA-256 {}, path {}", o.octets, o.sha256, o.path);
}

/// The short table of a transfer.
fn table(o: &Outcome) -> Table {
    let mut table = Table::new();
    table.set_header(["what", "value"]);
    for (what, value) in [
        ("bytes", o.octets.to_string()),
        ("seconds", format!("{:.3}", o.seconds)),
        ("adapter", o.adapter.clone()),
        ("path", o.path.clone()),
        ("WskSend / WskReceive requests", format!("{} / {}", o.sends, o.receives)),
        ("work requests, both ends", o.work_requests.to_string()),
        ("completions, both ends", o.completions.to_string()),
        ("credit messages, both ends", o.credits.to_string()),
        ("copies per byte outside the provider", format!("{:.3}", o.copies_per_octet)),
    ] {
        table.add_row([what.to_owned(), value]);
    }
    table
}

/// Prints where somebody may connect.
pub(crate) fn listening(json: bool, at: SocketAddr) {
    if json {
        object(&json!({ "event": "listening", "address": at.to_string() }));
    } else {
        say!("listening at {at}");
    }
}

/// A time in nanoseconds, for people.
pub(crate) fn time(nanoseconds: u64) -> String {
    let n = nanoseconds as f64;
    match nanoseconds {
        0..1_000 => format!("{nanoseconds} ns"),
        1_000..1_000_000 => format!("{:.1} us", n / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} ms", n / 1e6),
        _ => format!("{:.2} s", n / 1e9),
    }
}

/// Prints a text that ends its last line. A reader that has gone is no error of ours.
pub(crate) fn text(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes());
    let _ = out.flush();
}

/// A count of octets with its binary unit.
pub(crate) fn octets(n: u64) -> String {
    indicatif::BinaryBytes(n).to_string()
}
