//! Progress and result, for a person.

use std::io::{self, IsTerminal};

use comfy_table::Table;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use indicatif::{ProgressBar, ProgressStyle};

use super::event::Outcome;

/// Without a terminal, a line is printed for so many per cent.
const STEP: u64 = 10;

/// How far a transfer is.
#[derive(Debug)]
pub(super) struct Screen {
    bar: Option<ProgressBar>,
    next_line: u64,
}

impl Screen {
    /// A bar on a terminal, else lines.
    pub(super) fn new() -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(0);
            let template = "       [{bar:40}] {percent:>3} % {bytes}/{total_bytes} {bytes_per_sec} {eta}";
            ProgressStyle::with_template(template)
                .map(|style| bar.set_style(style.progress_chars("=> ")))
                .ok();
            bar
        });
        Self { bar, next_line: 0 }
    }

    /// `bytes` of `total` have arrived.
    pub(super) fn progress(&mut self, bytes: u64, total: u64) {
        if let Some(bar) = &self.bar {
            bar.set_length(total);
            bar.set_position(bytes);
        } else if let Some(line) = self.line(bytes, total) {
            eprintln!("{line}");
        }
    }

    /// Nothing more will arrive.
    pub(super) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn line(&mut self, bytes: u64, total: u64) -> Option<String> {
        let percent = bytes.saturating_mul(100).checked_div(total).unwrap_or(100);
        if percent < self.next_line {
            return None;
        }
        self.next_line = (percent / STEP + 1) * STEP;
        Some(format!("       {percent:>3} % ({bytes} of {total} bytes)"))
    }
}

/// The short table.
pub(super) fn table(outcome: &Outcome) -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_FULL_CONDENSED).set_header(["what", "value"]);
    let rate = if outcome.seconds > 0.0 { outcome.bytes as f64 / outcome.seconds / 1e6 } else { 0.0 };
    for (what, value) in [
        ("bytes", outcome.bytes.to_string()),
        ("seconds", format!("{:.3} ({rate:.1} MB/s)", outcome.seconds)),
        ("adapter", outcome.adapter.clone()),
        ("path", outcome.path.clone()),
        ("WskSend, WskReceive", format!("{}, {}", outcome.sends, outcome.receives)),
        ("work requests", outcome.work_requests.to_string()),
        ("completions", outcome.completions.to_string()),
        ("credits", outcome.credits.to_string()),
        ("copies per byte", format!("{:.3}", outcome.copies_per_byte)),
    ] {
        table.add_row([what.to_owned(), value]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_printed_for_each_step_only() {
        let mut screen = Screen { bar: None, next_line: 0 };
        let lines: Vec<_> = (0..=100).filter_map(|bytes| screen.line(bytes, 100)).collect();
        assert_eq!(lines.len(), 11);
        assert!(lines.last().is_some_and(|line| line.contains("100 %")));
    }

    #[test]
    fn an_empty_file_is_done_at_once() {
        let mut screen = Screen { bar: None, next_line: 0 };
        assert_eq!(screen.line(0, 0).as_deref(), Some("       100 % (0 of 0 bytes)"));
    }

    #[test]
    fn the_table_shows_every_number() {
        let outcome =
            Outcome { bytes: 41, work_requests: 42, completions: 43, credits: 44, ..Outcome::default() };
        let table = table(&outcome).to_string();
        assert!(["41", "42", "43", "44"].iter().all(|number| table.contains(number)), "{table}");
    }
}
