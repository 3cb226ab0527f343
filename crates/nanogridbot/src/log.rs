//! Logs: readable on a terminal, JSON on request, in a file that is turned over, and never with a secret in them.

use std::{
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use ngb_core::{clock::Clock, secret::Redactor};
use ngb_web::{Levels, LogFilter, LogLines};
use tracing_subscriber::{
    fmt::MakeWriter, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

use crate::settings::LogFormat;

/// A log file is turned over at this size, in bytes.
const MAX_FILE_BYTES: u64 = 10 * 1024 * 1024;

/// Old files are kept this long, in days.
const KEEP_DAYS: i64 = 7;

/// The file that grows.
pub(crate) const FILE: &str = "nanogridbot.log";

/// The time of a file that was put aside, as its name says it, in milliseconds.
fn aside_at(name: &str) -> Option<i64> {
    name.strip_prefix("nanogridbot-")?.strip_suffix(".log")?.parse().ok()
}

/// Whether a file of this name was put aside; such names are in the order of their times.
pub(crate) fn is_aside(name: &str) -> bool {
    aside_at(name).is_some()
}

/// Starts logging to standard error and to `<logs>/nanogridbot.log`.
///
/// # Errors
///
/// When the file can't be opened.
pub(crate) fn start(
    logs: &Path,
    levels: &Levels,
    format: LogFormat,
    redactor: Redactor,
) -> anyhow::Result<LogFilter> {
    let file = LogFile::open(logs)?;
    let (layer, filter) = LogFilter::new(levels);
    let (redactor, file) = (Arc::new(redactor), Arc::new(Mutex::new(file)));
    let sink = Sink { redactor, file, lines: filter.lines() };
    let to_stderr = tracing_subscriber::fmt::layer().with_target(false);
    let ansi = std::env::var_os("NO_COLOR").is_none() && io::IsTerminal::is_terminal(&io::stderr());
    let registry = tracing_subscriber::registry().with(layer);
    match format {
        LogFormat::Text => registry.with(to_stderr.with_ansi(ansi).with_writer(sink)).try_init()?,
        LogFormat::Json => registry.with(to_stderr.json().with_writer(sink)).try_init()?,
    }
    Ok(filter)
}

/// Where lines go: redacted, then to standard error, to the file, and to whoever looks at the page.
#[derive(Clone)]
struct Sink {
    lines: Arc<LogLines>,
    redactor: Arc<Redactor>,
    file: Arc<Mutex<LogFile>>,
}

impl<'a> MakeWriter<'a> for Sink {
    type Writer = Self;
    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Write for Sink {
    /// Gets one whole line.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        let clean = self.redactor.redact(&text);
        io::stderr().write_all(clean.as_bytes())?;
        let plain = without_colours(&clean);
        self.lines.push(&plain);
        self.file
            .lock()
            .map_err(|_| io::Error::other("the log is broken"))?
            .write(plain.as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// The text without the escape sequences that colour it.
fn without_colours(text: &str) -> String {
    let mut res = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\u{1b}') {
        res += &rest[..at];
        let end = rest[at..].find('m').map_or(rest.len(), |it| at + it + 1);
        rest = &rest[end..];
    }
    res + rest
}

struct LogFile {
    dir: PathBuf,
    file: File,
    bytes: u64,
}

impl LogFile {
    fn open(dir: &Path) -> io::Result<Self> {
        use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let path = dir.join(FILE);
        let file = std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        let bytes = file.metadata()?.len();
        Ok(Self { dir: dir.to_owned(), file, bytes })
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        if MAX_FILE_BYTES < self.bytes + line.len() as u64 {
            self.turn_over()?;
        }
        self.file.write_all(line)?;
        self.bytes += line.len() as u64;
        Ok(())
    }

    /// Puts the full file aside under the time's name, deletes those that are too old, and begins a new one.
    fn turn_over(&mut self) -> io::Result<()> {
        let now = Clock::System.now();
        let aside = self.dir.join(format!("nanogridbot-{:015}.log", now.0));
        std::fs::rename(self.dir.join(FILE), aside)?;
        let oldest = now.0 - KEEP_DAYS * 24 * 60 * 60 * 1_000;
        for entry in std::fs::read_dir(&self.dir)? {
            let name = entry?.file_name();
            if name.to_str().and_then(aside_at).is_some_and(|it| it < oldest) {
                std::fs::remove_file(self.dir.join(name))?;
            }
        }
        *self = Self::open(&self.dir)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use ngb_core::secret::Secret;

    use super::*;

    #[test]
    fn a_line_in_the_file_has_neither_secrets_nor_colours() {
        let dir = tempfile::tempdir().unwrap();
        let file = LogFile::open(dir.path()).unwrap();
        let redactor = Redactor::new([Secret::new("123:very-secret")]);
        let (redactor, file) = (Arc::new(redactor), Arc::new(Mutex::new(file)));
        let mut sink = Sink { redactor, file, lines: Arc::default() };
        sink.write_all("\u{1b}[31mERROR\u{1b}[0m bot123:very-secret/getMe\n".as_bytes()).unwrap();
        let got = std::fs::read_to_string(dir.path().join("nanogridbot.log")).unwrap();
        assert_eq!(got, "ERROR bot[secret]/getMe\n");
    }

    #[test]
    fn a_full_file_is_put_aside() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("nanogridbot-000000000000001.log"), "old").unwrap();
        let mut file = LogFile::open(dir.path()).unwrap();
        file.bytes = MAX_FILE_BYTES;
        file.write(b"next\n").unwrap();
        let mut names: Vec<String> = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|it| it.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names.len(), 2, "{names:?}");
        assert!(!names.contains(&"nanogridbot-000000000000001.log".to_owned()), "too old");
        assert_eq!(std::fs::read_to_string(dir.path().join("nanogridbot.log")).unwrap(), "next\n");
    }
}
