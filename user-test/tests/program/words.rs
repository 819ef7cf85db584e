//! Help, bad command lines, exit codes, JSON.

use super::{done, objects, run};

/// Every command that the program knows, from its own help.
fn commands() -> Vec<String> {
    let help = done(&["--help"]);
    let listed = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let names = listed.lines().filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

#[test]
fn every_command_has_a_help_that_says_what_each_argument_does() {
    let commands = commands();
    assert!(commands.len() >= 15, "{commands:?}");
    for command in commands {
        let help = done(&[&command, "--help"]);
        let first = help.lines().next().unwrap();
        assert!(first.len() > 10, "{command}: {first}");
        let lines: Vec<_> = help.lines().collect();
        for (place, line) in lines.iter().enumerate().filter(|(_, line)| line.trim_start().starts_with("--"))
        {
            // The description is two blanks behind the argument, or on the next line.
            let here = line.trim().split_once("  ").is_some();
            let below = lines.get(place + 1).is_some_and(|next| next.starts_with("          "));
            assert!(here || below, "{command}: {line}");
        }
    }
}

#[test]
fn the_chapter_has_every_command_and_exit_code() {
    let chapter = include_str!("../../../docs/wskrdma-test.md");
    for command in commands() {
        assert!(chapter.contains(&format!("`{command}")), "{command}");
    }
    for code in [0, 1, 2, 3, 130] {
        assert!(chapter.contains(&format!("\n| {code} |")), "{code}");
    }
}

#[test]
fn the_help_documents_the_exit_codes() {
    let help = done(&["--help"]);
    for code in ["0  ", "1  ", "2  ", "3  ", "130"] {
        assert!(help.lines().any(|line| line.trim_start().starts_with(code)), "{code}: {help}");
    }
}

#[test]
fn a_wrong_command_line_is_code_2_and_names_the_word() {
    for (arguments, word) in [
        (&["frobnicate"][..], "frobnicate"),
        (&["status", "--sort", "colour"], "colour"),
        (&["watch", "--interval", "0"], "from 0.05 to 3600"),
        (&["bench", "--sizes", "5M"], "from 1 to 4M"),
        (&["bench", "--depth", "0"], "depth"),
        (&["send", "file"], "ADDRESS"),
        (&["send", "file", "nowhere"], "nowhere"),
        (&["--host-ports", "9-3", "status"], "9-3"),
        (&["cases", "--limit", "0"], "limit"),
    ] {
        let (code, _, error) = run(arguments);
        assert_eq!(code, 2, "{arguments:?}: {error}");
        assert!(error.contains(word), "{arguments:?}: {error}");
    }
}

#[test]
fn errors_name_the_thing_and_the_remedy() {
    for (arguments, code, words) in [
        (&["transfer", "/no/such/file", "/dev/null"][..], 1, &["cannot read", "/no/such/file"][..]),
        (&["send", "/", "127.0.0.1:1"], 1, &["is not a file"]),
        (&["recv", "127.0.0.1:0", "/no/such/folder/copy"], 1, &["cannot write", "/no/such/folder/copy"]),
        (&["echo", "127.0.0.1:9"], 1, &["127.0.0.1:9", "STATUS_CONNECTION_REFUSED", "nobody listens"]),
        (
            &["echo", "--listen", "192.0.2.1:9"],
            1,
            &["192.0.2.1:9", "STATUS_INVALID_ADDRESS_COMPONENT", "not one of"],
        ),
        (&["cases", "no-such-case"], 1, &["no-such-case", "cases --list"]),
        (&["install", "."], 3, &["nothing to install", "wskrdma-test.exe"]),
        (&["uninstall"], 3, &["nothing to uninstall"]),
    ] {
        let (got, out, error) = run(arguments);
        assert_eq!(got, code, "{arguments:?}: {error}");
        assert_eq!(out, "", "{arguments:?}");
        for word in words {
            assert!(error.contains(word), "{arguments:?}: {word} is not in {error}");
        }
        // The same for programs.
        let (got, out, _) = run(&[&["--json"], arguments].concat());
        let object = objects(&out).pop().unwrap();
        assert_eq!(
            (got, object["event"].as_str(), object["code"].as_i64()),
            (code, Some("error"), Some(code.into()))
        );
    }
}
