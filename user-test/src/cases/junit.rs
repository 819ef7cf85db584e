//! The results as a JUnit file, which build servers read.

use super::outcome::Outcome;
use std::fmt::Write;

/// The whole file.
pub(super) fn document(outcomes: &[Outcome]) -> String {
    let skipped = outcomes.iter().filter(|outcome| outcome.not_allowed()).count();
    let failures = outcomes.iter().filter(|outcome| !outcome.passed() && !outcome.not_allowed()).count();
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let tests = outcomes.len();
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "<testsuite name=\"wskrdma cases\" tests=\"{tests}\" failures=\"{failures}\" skipped=\"{skipped}\">"
    );
    for outcome in outcomes {
        let _ = writeln!(
            text,
            "  <testcase classname=\"{}.{}\" name=\"{}\" time=\"{:.3}\">{}</testcase>",
            outcome.provider,
            escape(&outcome.entry.section),
            escape(&outcome.entry.name),
            f64::from(outcome.milliseconds()) / 1000.0,
            inside(outcome)
        );
    }
    text.push_str("</testsuite>\n");
    text
}

fn inside(outcome: &Outcome) -> String {
    if outcome.passed() {
        return String::new();
    }
    let why = escape(&outcome.why());
    if outcome.not_allowed() {
        return format!("<skipped message=\"{why}\"/>");
    }
    format!("<failure type=\"{}\" message=\"{why}\">{}</failure>", outcome.word(), escape(&outcome.place()))
}

/// A text inside an attribute or element.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::super::catalog::Entry;
    use super::super::outcome::End;
    use super::*;

    #[test]
    fn failures_are_told_and_characters_escaped() {
        let entry = Entry { number: 0, name: "a".to_owned(), section: "<b>".to_owned() };
        let end = End::Refused("x < \"y\" & z\n".to_owned());
        let text = document(&[Outcome { entry, provider: "system", end }]);
        assert!(text.contains("tests=\"1\" failures=\"1\" skipped=\"0\""), "{text}");
        assert!(text.contains("classname=\"system.&lt;b&gt;\" name=\"a\""), "{text}");
        assert!(text.contains("message=\"x &lt; &quot;y&quot; &amp; z \""), "{text}");
    }
}
