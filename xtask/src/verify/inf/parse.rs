//! Reading an INF (page *General Syntax Rules for INF Files*).
//!
//! The crates for INI files know neither lists, nor entries without a key, nor sections that occur twice; the one for INF files
//! needs an unstable compiler.

/// A file taken apart.
#[derive(Debug, Default)]
pub(crate) struct Inf {
    /// The sections in their order.
    pub(crate) sections: Vec<Section>,
    /// What is no INF syntax.
    pub(crate) errors: Vec<String>,
}

/// A section.
#[derive(Debug)]
pub(crate) struct Section {
    /// What stands in the brackets.
    pub(crate) name: String,
    /// Its lines.
    pub(crate) entries: Vec<Entry>,
}

/// A line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Number of its first line in the file.
    pub(crate) line: usize,
    /// What stands before the equals sign.
    pub(crate) key: Option<String>,
    /// The list behind it, without quotes.
    pub(crate) values: Vec<String>,
}

impl Entry {
    /// The value at `index`; nothing if there is none or it is empty.
    pub(crate) fn value(&self, index: usize) -> Option<&str> {
        self.values.get(index).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Whether its key is `key`, in any case.
    pub(crate) fn has_key(&self, key: &str) -> bool {
        self.key.as_ref().is_some_and(|found| found.eq_ignore_ascii_case(key))
    }
}

impl Section {
    /// The entries with this key.
    pub(crate) fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a Entry> {
        self.entries.iter().filter(move |entry| entry.has_key(key))
    }

    /// First value of the first entry with this key.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.entries.iter().find(|entry| entry.has_key(key)).and_then(|entry| entry.value(0))
    }
}

impl Inf {
    /// Takes `text` apart. What cannot be understood is in [`Inf::errors`].
    pub(crate) fn parse(text: &str) -> Self {
        let mut inf = Self::default();
        let mut lines = text.trim_start_matches('\u{FEFF}').lines().zip(1..);
        while let Some((line, number)) = lines.next() {
            let mut line = without_comment(line).trim_end().to_owned();
            while let Some(start) = line.strip_suffix('\\') {
                let next = lines.next().map_or("", |(next, _)| without_comment(next));
                line = format!("{} {}", start.trim_end(), next.trim()).trim_end().to_owned();
            }
            inf.line(number, line.trim());
        }
        inf
    }

    /// The section of this name, in any case.
    pub(crate) fn section(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|section| section.name.eq_ignore_ascii_case(name))
    }

    /// The files that are copied, with the section that says so.
    pub(crate) fn copied_files(&self) -> Vec<(&str, &str)> {
        let mut files = Vec::new();
        for entry in self.sections.iter().flat_map(|section| section.all("CopyFiles")) {
            for value in &entry.values {
                if let Some(file) = value.strip_prefix('@') {
                    files.push(("DefaultDestDir", file));
                } else if let Some(section) = self.section(value) {
                    let named = section.entries.iter().filter_map(|entry| entry.value(0));
                    files.extend(named.map(|file| (section.name.as_str(), file)));
                }
            }
        }
        files
    }

    fn line(&mut self, number: usize, line: &str) {
        if line.is_empty() {
            return;
        }
        if let Some(rest) = line.strip_prefix('[') {
            match rest.strip_suffix(']').filter(|name| !name.is_empty() && !name.contains(['[', ']', '"'])) {
                Some(name) => self.sections.push(Section { name: name.to_owned(), entries: Vec::new() }),
                None => self.errors.push(format!("line {number}: no name of a section: {line}")),
            }
            return;
        }
        let Some(section) = self.sections.last_mut() else {
            self.errors.push(format!("line {number}: stands in no section"));
            return;
        };
        let (key, rest) = match split(line, '=').split_first() {
            Some((key, rest)) if !rest.is_empty() => (Some(unquoted(key)), rest.join("=")),
            _ => (None, line.to_owned()),
        };
        if line.matches('"').count() % 2 == 1 {
            self.errors.push(format!("line {number}: a quotation mark is not closed"));
        }
        if key.as_deref() == Some("") {
            self.errors.push(format!("line {number}: nothing stands before the equals sign"));
        }
        let values = split(&rest, ',').into_iter().map(unquoted).collect();
        section.entries.push(Entry { line: number, key, values });
    }
}

/// The line up to its comment.
fn without_comment(line: &str) -> &str {
    split(line, ';').first().copied().unwrap_or_default()
}

/// The parts between the separators that stand outside quotes.
fn split(text: &str, separator: char) -> Vec<&str> {
    let mut is_quoted = false;
    text.split(|character| {
        is_quoted ^= character == '"';
        character == separator && !is_quoted
    })
    .collect()
}

fn unquoted(text: &str) -> String {
    let text = text.trim();
    match text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
        Some(inner) => inner.replace("\"\"", "\""),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only_entry(line: &str) -> Entry {
        let inf = Inf::parse(&format!("[S]\n{line}\n"));
        assert!(inf.errors.is_empty(), "{:?}", inf.errors);
        let entry = inf.sections.first().and_then(|section| section.entries.first()).cloned();
        entry.expect("an entry")
    }

    #[test]
    fn keys_lists_quotes_and_comments_are_told_apart() {
        let entry = only_entry("Key = a, \"b, ; = \"\"c\"\"\" ,, d ; comment");
        assert_eq!(entry.key.as_deref(), Some("Key"));
        assert_eq!(entry.values, ["a", "b, ; = \"c\"", "", "d"]);
        assert_eq!(entry.value(2), None);
    }

    #[test]
    fn an_entry_may_have_no_key() {
        let entry = only_entry("HKR,Parameters,\"a=b\",0x00010001,0");
        assert_eq!((entry.key, entry.values.len(), entry.line), (None, 5, 2));
    }

    #[test]
    fn a_backslash_at_the_end_continues_the_line() {
        assert_eq!(only_entry("Key = a, \\ ; why\n      b").values, ["a", "b"]);
        assert_eq!(only_entry("ServiceBinary = %13%\\x.sys").values, ["%13%\\x.sys"]);
    }

    #[test]
    fn what_is_no_inf_is_told() {
        for text in ["a = b\n", "[S\n", "[]\n", "[S]\na = \"b\n", "[S]\n= b\n"] {
            assert_eq!(Inf::parse(text).errors.len(), 1, "{text}");
        }
        assert!(Inf::parse("\u{FEFF}; comment\n\n[S]\n").errors.is_empty());
    }

    #[test]
    fn names_are_found_in_any_case() {
        let inf = Inf::parse("[Version]\nClass=System\n[D]\nCopyFiles=F,@y.sys\n[F]\nx.sys\n");
        assert_eq!(inf.section("VERSION").and_then(|section| section.get("class")), Some("System"));
        assert_eq!(inf.copied_files(), [("F", "x.sys"), ("DefaultDestDir", "y.sys")]);
    }
}
