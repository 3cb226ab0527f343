//! Where messages come from: a line editor on a terminal, or the lines of standard input.

use std::{
    io::{self, BufRead as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use ngb_core::tasks::blocking;
use rustyline::{
    Cmd, Config, EventHandler, Helper, KeyCode, KeyEvent, Modifiers,
    completion::Completer,
    error::ReadlineError,
    highlight::Highlighter,
    hint::Hinter,
    history::FileHistory,
    validate::{ValidationContext, ValidationResult, Validator},
};

use super::stream::Interrupts;

/// Messages that the history keeps.
const MAX_HISTORY: usize = 1_000;

/// A message goes on in the next line when its line ends like this.
const CONTINUED: char = '\\';

type Terminal = rustyline::Editor<Lines, FileHistory>;

/// Reads messages.
pub(super) enum Editor {
    Terminal { editor: Box<Terminal>, prompt: String, history: PathBuf },
    Lines,
}

/// What was read.
pub(super) enum Read {
    Line(String),
    /// Ctrl-C.
    Interrupted,
    /// Ctrl-D, or the end of standard input.
    End,
}

impl Editor {
    /// An editor with the history in the file `history`, which only its owner may read.
    pub(super) fn terminal(history: &Path, prompt: &str) -> anyhow::Result<Self> {
        let config = Config::builder().max_history_size(MAX_HISTORY)?.bracketed_paste(true).build();
        let mut editor = Terminal::with_config(config).context("could not use this terminal")?;
        editor.set_helper(Some(Lines));
        let new_line = KeyEvent(KeyCode::Enter, Modifiers::ALT);
        editor.bind_sequence(new_line, EventHandler::Simple(Cmd::Newline));
        match editor.load_history(history) {
            Ok(()) => (),
            Err(ReadlineError::Io(err)) if err.kind() == io::ErrorKind::NotFound => (),
            Err(err) => {
                let shown = history.display();
                return Err(err).with_context(|| format!("could not read `{shown}`"));
            }
        }
        let (editor, prompt, history) = (Box::new(editor), prompt.to_owned(), history.to_owned());
        Ok(Self::Terminal { editor, prompt, history })
    }

    pub(super) fn lines() -> Self {
        Self::Lines
    }

    pub(super) fn is_terminal(&self) -> bool {
        matches!(self, Self::Terminal { .. })
    }

    /// Reads one message. The editor is gone when it was left in the midst of a line of standard input.
    pub(super) async fn read(self, interrupts: &mut Interrupts) -> (Self, anyhow::Result<Read>) {
        match self {
            Self::Terminal { mut editor, prompt, history } => {
                let read = blocking("line editor", move || {
                    let read = edit(&mut editor, &prompt, &history);
                    (Self::Terminal { editor, prompt, history }, read)
                });
                read.await
            }
            Self::Lines => {
                let read = tokio::select! {
                    read = blocking("standard input", line) => read,
                    () = interrupts.next() => Ok(Read::Interrupted),
                };
                (Self::Lines, read)
            }
        }
    }
}

/// A message of the terminal, put into the history.
fn edit(editor: &mut Terminal, prompt: &str, history: &Path) -> anyhow::Result<Read> {
    let text = match editor.readline(prompt) {
        Ok(text) => text,
        Err(ReadlineError::Eof) => return Ok(Read::End),
        Err(ReadlineError::Interrupted) => return Ok(Read::Interrupted),
        Err(err) => return Err(err).context("could not read the terminal"),
    };
    let is_new = !text.trim().is_empty() && editor.add_history_entry(text.as_str())?;
    if is_new {
        let shown = history.display();
        editor.append_history(history).with_context(|| format!("could not write `{shown}`"))?;
    }
    Ok(Read::Line(joined(&text)))
}

/// A line of standard input, with those that continue it.
fn line() -> anyhow::Result<Read> {
    let mut text = String::new();
    loop {
        let read = io::stdin().lock().read_line(&mut text);
        let ended = read.context("could not read standard input")? == 0;
        if ended && text.is_empty() {
            return Ok(Read::End);
        }
        if ended || !text.trim_end_matches(['\r', '\n']).ends_with(CONTINUED) {
            return Ok(Read::Line(joined(text.trim_end_matches(['\r', '\n']))));
        }
    }
}

/// `text` without the marks that its lines go on.
fn joined(text: &str) -> String {
    text.replace("\\\r\n", "\n").replace("\\\n", "\n")
}

/// Knows whether a message is whole.
pub(super) struct Lines;

impl Helper for Lines {}
impl Highlighter for Lines {}
impl Hinter for Lines {
    type Hint = String;
}
impl Completer for Lines {
    type Candidate = String;
}

impl Validator for Lines {
    fn validate(&self, ctx: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        Ok(match ctx.input().ends_with(CONTINUED) {
            true => ValidationResult::Incomplete,
            false => ValidationResult::Valid(None),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_go_on() {
        for (text, want) in
            [("a", "a"), ("a\\\nb", "a\nb"), ("a\nb", "a\nb"), ("a\\b\\\r\nc", "a\\b\nc")]
        {
            assert_eq!(joined(text), want);
        }
    }
}
