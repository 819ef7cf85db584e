//! `cargo xtask tidy`: what the design says about the repository, checked so that nobody can break it unseen.
//!
//! Each rule is a function from the repository as read ([`tree::Tree`], [`members::Member`]) to what is wrong, so that the tests can
//! hand it a repository in which it is broken.
//!
//! | module | rules |
//! |---|---|
//! | `tiers` | which crate may use which, and what shipped crates take from outside |
//! | `manifests` | lints switched on, a reason beside each foreign dependency |
//! | `unsafety` | where unsafe code may be |
//! | `layout` | what lies at the top of the repository |
//! | `sources` | length, words and paths that have no place in a file |
//! | `book` | the chapters of the documentation |
//! | `reference` | the page of requests, records and events |
//! | `conformance` | the page with the results of the conformance cases |

mod book;
mod conformance;
mod layout;
mod manifests;
pub(crate) mod members;
mod reference;
pub(crate) mod sources;
mod tiers;
mod tree;
mod unsafety;

use std::fmt;

use anyhow::{Result, bail};

use crate::progress::{note, step};
use crate::workspace::Workspace;
use members::Member;
use tree::Tree;

/// Something that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// A path below the repository, with a line where there is one.
    place: String,
    /// One sentence.
    text: String,
}

impl Finding {
    /// In a file or folder as a whole.
    fn new(place: impl Into<String>, text: impl Into<String>) -> Self {
        Self { place: place.into(), text: text.into() }
    }

    /// In one line, counted from 1.
    fn at(path: &str, line: usize, text: impl Into<String>) -> Self {
        Self { place: format!("{path}:{line}"), text: text.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.text)
    }
}

/// What the rules look at.
#[derive(Debug)]
pub(crate) struct Repository {
    tree: Tree,
    pub(crate) members: Vec<Member>,
}

impl Repository {
    /// Reads the repository.
    ///
    /// # Errors
    ///
    /// If a file cannot be read or cargo refuses the manifests.
    pub(crate) fn read(workspace: &Workspace) -> Result<Self> {
        Ok(Self { tree: Tree::read(workspace.root())?, members: members::read(workspace.root())? })
    }
}

/// A rule of the repository.
#[derive(Debug)]
pub(crate) struct Rule {
    /// What it demands.
    pub(crate) name: &'static str,
    check: fn(&Repository) -> Vec<Finding>,
}

impl Rule {
    /// Everything that breaks it.
    pub(crate) fn findings(&self, repository: &Repository) -> Vec<Finding> {
        (self.check)(repository)
    }
}

/// Every rule there is.
pub(crate) const RULES: &[Rule] = &[
    Rule { name: "crates use only what their tier allows", check: |r| tiers::own(&r.members) },
    Rule {
        name: "shipped crates take from outside only what is listed",
        check: |r| tiers::foreign(&r.members),
    },
    Rule { name: "every foreign dependency of a shipped crate has its reason", check: manifests::reasons },
    Rule {
        name: "every member takes the workspace's lints",
        check: |r| manifests::lints(&r.tree, &r.members),
    },
    Rule { name: "unsafe code is where the design has it", check: |r| unsafety::check(&r.tree, &r.members) },
    Rule { name: "the top level is as designed", check: |r| layout::check(&r.tree) },
    Rule { name: "source files are short", check: |r| sources::length(&r.tree) },
    Rule { name: "nothing is left to be done later", check: |r| sources::words(&r.tree) },
    Rule { name: "no lint is switched off", check: |r| sources::allowed_lints(&r.tree) },
    Rule { name: "no file knows a machine or a registry", check: |r| sources::places(&r.tree) },
    Rule {
        name: "the page of results has exactly the cases there are",
        check: |r| conformance::check(&r.tree),
    },
    Rule { name: "the reference says what the code says", check: |r| reference::check(&r.tree) },
    Rule { name: "the book's chapters exist and all are in it", check: |r| book::check(&r.tree) },
];

/// The command.
///
/// # Errors
///
/// If a rule is broken; what breaks it has been printed.
pub fn run(workspace: &Workspace) -> Result<()> {
    let repository = Repository::read(workspace)?;
    let mut broken = 0;
    for rule in RULES {
        let findings = rule.findings(&repository);
        let verdict = step(rule.name, || if findings.is_empty() { Ok(()) } else { bail!("broken") });
        findings.iter().for_each(note);
        broken += usize::from(verdict.is_err());
    }
    if broken > 0 {
        bail!("{broken} of {} rules are broken", RULES.len());
    }
    Ok(())
}
