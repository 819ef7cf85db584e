//! What the program prints: tables and bars for people, one JSON object a line for programs.

use crate::probe::Finding;
use crate::transfer::Outcome;
use comfy_table::Table;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use std::io::Write;

/// Progress of a transfer: `(done, total)` octets.
pub(crate) type Progress = Box<dyn FnMut(u64, u64) + Send>;

/// Prints one JSON line. A reader that has gone is no error of ours.
pub(crate) fn object(value: &Value) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{value}");
    let _ = out.flush();
}

/// Prints lines that tell what was done.
pub(crate) fn lines(json: bool, what: &str, lines: &[String]) {
    for line in lines {
        if json {
            object(&json!({ "event": what, "text": line }));
        } else {
            println!("{line}");
        }
    }
}

/// Prints why the work failed.
pub(crate) fn error(json: bool, message: &str) {
    if json {
        object(&json!({ "event": "error", "message": message }));
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
pub(crate) fn findings(json: bool, findings: &[Finding]) -> Result<(), String> {
    let wrong: Vec<_> = findings.iter().filter(|f| !f.right()).collect();
    for f in &wrong {
        if json {
            object(&json!({ "event": "wrong", "what": f.what, "expected": f.expected.0, "got": f.got.0 }));
        } else {
            println!("{}: expected {}, got {}", f.what, f.expected, f.got);
        }
    }
    if json {
        object(&json!({ "event": "probe", "answers": findings.len(), "wrong": wrong.len() }));
    } else {
        println!("{} answers, {} wrong", findings.len(), wrong.len());
    }
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(format!("{} of {} answers are wrong", wrong.len(), findings.len()))
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
    println!("{}", table(o));
    println!("{} octets, SHA-256 {}, path {}", o.octets, o.sha256, o.path);
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
