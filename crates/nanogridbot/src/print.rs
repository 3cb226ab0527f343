//! What goes to standard output: data, in words or as one JSON document; and what is asked at the terminal.

use std::io::{self, BufRead as _, Write as _};

use serde_json::Value;

/// Prints lines. A reader that has gone (`| head`) is no error.
pub(crate) fn lines<T: AsRef<str>>(lines: &[T]) {
    let mut out = io::stdout().lock();
    for line in lines {
        if writeln!(out, "{}", line.as_ref()).is_err() {
            return;
        }
    }
    drop(out.flush());
}

/// Prints one line.
pub(crate) fn say(line: &str) {
    lines(&[line]);
}

/// Asks somebody at the terminal: one line, trimmed; none when there is nobody any more. What is asked goes to standard error,
/// since standard output is for data.
pub(crate) fn ask(what: &str) -> io::Result<Option<String>> {
    let mut to = io::stderr().lock();
    write!(to, "{what} ")?;
    to.flush()?;
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line)?;
    Ok((0 < read).then(|| line.trim().to_owned()))
}

/// `text` without what a terminal would obey: an agent's words must not move the cursor or name the window.
pub(crate) fn harmless(text: &str) -> String {
    text.chars().filter(|it| !it.is_control() || matches!(it, '\n' | '\t')).collect()
}

/// The text behind `key`, or nothing.
pub(crate) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// Prints one JSON document.
pub(crate) fn json(value: &Value) {
    lines(&[format!("{value:#}")]);
}

/// A table with its columns aligned.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) {
    let width = |n: usize| {
        let cells = rows.iter().filter_map(|row| row.get(n)).map(|it| it.chars().count());
        cells.chain(std::iter::once(head[n].len())).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |cells: &[String]| {
        let padded: Vec<String> =
            cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        padded.join("  ").trim_end().to_owned()
    };
    let head: Vec<String> = head.iter().map(|it| (*it).to_uppercase()).collect();
    let mut all = vec![line(&head)];
    all.extend(rows.iter().map(|it| line(it)));
    lines(&all);
}
