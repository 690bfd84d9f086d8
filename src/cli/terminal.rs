//! What commands say: data on standard output, complaints on standard error. A closed pipe is no error.

use std::io::{IsTerminal, Write};

use serde::Serialize;

/// A line of data.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// Where data go that are too many for lines of ours.
pub fn out() -> std::io::StdoutLock<'static> {
    std::io::stdout().lock()
}

/// A line without its end, for a question.
pub fn ask(question: &str) {
    let mut out = std::io::stdout().lock();
    let _ = write!(out, "{question} ");
    let _ = out.flush();
}

/// Data as one JSON document.
pub fn say_json(data: &impl Serialize) {
    say(&serde_json::to_string_pretty(data).unwrap_or_default());
}

/// Something is wrong.
pub fn complain(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "countersign: {text}");
}

/// How far something has come, on a line that the next one overwrites. Only where somebody looks on.
pub fn progress(text: &str) {
    let mut err = std::io::stderr().lock();
    if err.is_terminal() {
        let _ = write!(err, "\r\u{1b}[K{text}");
        let _ = err.flush();
    }
}

/// Bold on a terminal, unless NO_COLOR is set.
pub fn bold(text: &str) -> String {
    let colors = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    if colors { format!("\u{1b}[1m{text}\u{1b}[0m") } else { text.to_owned() }
}
