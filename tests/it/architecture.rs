//! Who may use what, read from the sources: crude, quick, and it names the line.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use countersign::http::problem::ProblemCode;
use countersign::verification::limit::LimitName;

/// One rule: the words, and the places that may use them.
struct Rule {
    words: &'static [&'static str],
    may: &'static [&'static str],
    why: &'static str,
}

const RULES: [Rule; 14] = [
    Rule {
        words: &["axum::"],
        may: &["src/http/", "src/dev_provider/"],
        why: "faces translate; nothing behind them knows HTTP's framework (the stand-in for providers is a server of its own)",
    },
    Rule {
        words: &["crate::dev_provider"],
        may: &["src/dev_provider/", "src/cli/dev_provider.rs"],
        why: "what only pretends to deliver stays out of the server",
    },
    Rule { words: &["sqlx::"], may: &["src/db/", "src/verification/store/sql/"], why: "SQL stays with the stores" },
    Rule {
        words: &["redis::cmd", "redis::Client", "redis::Value", "redis::aio", "redis::cluster"],
        may: &["src/verification/store/redis/"],
        why: "Redis stays with its store",
    },
    Rule { words: &["rusqlite::"], may: &["src/db/", "src/verification/store/sqlite/"], why: "SQL stays with the stores" },
    Rule {
        words: &["SystemTime::now", "Instant::now"],
        may: &["src/clock.rs", "src/http/frame.rs", "src/db/database/doubt.rs", "src/verification/store/sql/writer.rs"],
        why: "time is an argument; the frame and the writer measure how long something takes, and connections are as old as the driver says",
    },
    Rule { words: &["rand::"], may: &["src/secret.rs"], why: "randomness is an argument" },
    Rule { words: &["println!", "print!", "eprintln!", "eprint!", "dbg!"], may: &[], why: "commands speak through cli/terminal.rs" },
    Rule {
        words: &["io::stdout", "io::stderr"],
        may: &["src/cli/terminal.rs", "src/delivery/providers/console.rs", "src/telemetry.rs"],
        why: "one place for each kind of output",
    },
    Rule { words: &["crate::config"], may: &["src/config/", "src/app/", "src/cli/"], why: "the domain gets a checked policy" },
    Rule { words: &["crate::cli"], may: &["src/cli/", "src/main.rs"], why: "nothing is below the command line" },
    Rule { words: &["clap::"], may: &["src/cli/"], why: "nothing is below the command line" },
    Rule { words: &["process::exit", ".unwrap()", "todo!", "unimplemented!"], may: &[], why: "failures are values" },
    Rule {
        words: &["std::env::"],
        may: &["src/config/", "src/cli/terminal.rs", "src/telemetry.rs"],
        why: "settings come through the configuration",
    },
];

/// Verification is the domain: it knows traits, and none of these.
const DOMAIN_KNOWS_NOT: [&str; 6] = ["crate::http", "crate::cli", "crate::delivery", "crate::app", "crate::config", "tokio::net"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every line of code: comments and what is compiled for tests only are left out.
fn code_lines() -> Vec<(String, usize, String)> {
    let mut files = Vec::new();
    collect(&root().join("src"), &mut files);
    files.sort();
    let mut lines = Vec::new();
    for file in files {
        let name = file.strip_prefix(root()).expect("under the root").display().to_string();
        let text = std::fs::read_to_string(&file).expect("a source file");
        // A module of tests closes a file; one in files of its own is named so.
        if name.contains("conformance") || name.contains("/tests/") || name.ends_with("/tests.rs") || text.starts_with("#![cfg(test)]") {
            continue;
        }
        let code = text.lines().enumerate().take_while(|(_, line)| line.trim() != "#[cfg(test)]" || !opens_tests(&text));
        for (number, line) in code {
            let line = line.split("//").next().unwrap_or_default();
            if !line.trim().is_empty() {
                lines.push((name.clone(), number + 1, line.to_owned()));
            }
        }
    }
    assert!(lines.len() > 2_000, "the sources were not found");
    lines
}

fn opens_tests(text: &str) -> bool {
    text.contains("#[cfg(test)]\nmod tests {")
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => collect(&path, files),
            false if path.extension().is_some_and(|extension| extension == "rs") => files.push(path),
            false => {}
        }
    }
}

/// Whether the word stands there by itself: `operand::` is not `rand::`.
fn uses(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        word.starts_with('.') || before.is_none_or(|before| !before.is_alphanumeric() && before != '_')
    })
}

#[test]
fn directions_are_kept() {
    let lines = code_lines();
    let mut broken = Vec::new();
    for Rule { words, may, why } in &RULES {
        for (file, number, line) in &lines {
            let allowed = may.iter().any(|place| file.starts_with(place));
            if !allowed && words.iter().any(|word| uses(line, word)) {
                broken.push(format!("{file}:{number}: {} ({why})", line.trim()));
            }
        }
    }
    for (file, number, line) in lines.iter().filter(|(file, ..)| file.starts_with("src/verification/")) {
        if DOMAIN_KNOWS_NOT.iter().any(|word| uses(line, word)) {
            broken.push(format!("{file}:{number}: {} (the domain knows traits only)", line.trim()));
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

/// The other way round: a rule whose place is gone watches nothing any more.
#[test]
fn every_rule_has_something_to_watch() {
    let lines = code_lines();
    for Rule { words, may, .. } in RULES.iter().filter(|rule| !rule.may.is_empty()) {
        let used = lines
            .iter()
            .any(|(file, _, line)| may.iter().any(|place| file.starts_with(place)) && words.iter().any(|word| uses(line, word)));
        assert!(used, "{words:?} is used nowhere in {may:?}");
    }
}

#[test]
fn migrations_have_the_same_names_everywhere() {
    let mut names: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for dialect in std::fs::read_dir(root().join("migrations")).expect("a directory") {
        let dialect = dialect.expect("an entry").path();
        // The embedded store's own tables, which no other database has.
        if dialect.ends_with("embedded") {
            continue;
        }
        let files = std::fs::read_dir(&dialect)
            .expect("a directory")
            .map(|file| file.expect("an entry").file_name().to_string_lossy().into_owned());
        let mut files: Vec<_> = files.filter(|name| name.ends_with(".sql")).collect();
        files.sort();
        names.insert(dialect.file_name().expect("a name").to_string_lossy().into_owned(), files);
    }
    let sqlite = names.get("sqlite").expect("the embedded dialect");
    assert!(!sqlite.is_empty());
    for (dialect, files) in &names {
        assert_eq!(files, sqlite, "{dialect}");
    }
}

#[test]
fn every_problem_is_explained() {
    let errors = std::fs::read_to_string(root().join("docs/errors.md")).expect("docs/errors.md");
    for code in ProblemCode::ALL {
        let (name, status, _) = code.parts();
        let section = errors.split("\n## ").find(|section| section.lines().next().is_some_and(|title| title.trim_matches('`') == name));
        let section = section.unwrap_or_else(|| panic!("docs/errors.md has no section ## {name}"));
        assert!(section.contains(status.as_str()), "the section of {name} does not name {status}");
    }
}

#[test]
fn every_limit_is_explained() {
    let errors = std::fs::read_to_string(root().join("docs/errors.md")).expect("docs/errors.md");
    for name in LimitName::ALL.map(LimitName::as_str) {
        assert!(errors.contains(&format!("\n| `{name}` |")), "docs/errors.md does not explain {name}");
    }
}

/// The catalogue of attacks names tests, and each of them is there; so is each attack.
#[test]
fn every_attack_names_its_tests() {
    let catalogue = std::fs::read_to_string(root().join("docs/reference/attacks.md")).expect("docs/reference/attacks.md");
    let rows: Vec<_> = catalogue.lines().filter(|line| line.starts_with("| A")).collect();
    let wanted: Vec<_> = (1..=54).map(|number| format!("A{number:02}")).collect();
    let found: Vec<_> = rows.iter().filter_map(|row| row.split(' ').nth(1)).collect();
    assert_eq!(found, wanted);
    for row in rows {
        let tests: Vec<_> = row.split('`').filter_map(|word| word.split_once("::")).collect();
        let is_said = row.contains("**Open**") || row.contains("does not apply");
        assert!(!tests.is_empty() || is_said, "{row}");
        for (place, name) in tests {
            let file = if place.contains('/') { root().join(place) } else { root().join(format!("tests/it/{place}.rs")) };
            let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{place}: {error}"));
            assert!(text.contains(&format!("fn {name}(")), "{place} has no test {name}");
        }
    }
}
