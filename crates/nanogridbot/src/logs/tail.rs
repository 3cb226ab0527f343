//! The files of a log as one growing text, also across the moment when a full one is put aside.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    mem::MaybeUninit,
    os::{fd::OwnedFd, unix::fs::MetadataExt as _},
    path::{Path, PathBuf},
};

use rustix::fs::inotify;

use crate::log::{FILE, is_aside};

/// What the kernel's answers are read into, in bytes: some dozens of events at a time.
const EVENTS_BYTES: usize = 4096;

/// Reads a log from its oldest line on.
pub(super) struct Tail {
    dir: PathBuf,
    /// Told of every change in the folder; made before the first read, so that no change is missed.
    watch: OwnedFd,
    /// The file that grows, and what of its last line has come so far.
    file: File,
    begun: Vec<u8>,
}

impl Tail {
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        let watch = inotify::init(inotify::CreateFlags::CLOEXEC)?;
        let changes = inotify::WatchFlags::MODIFY
            | inotify::WatchFlags::CREATE
            | inotify::WatchFlags::MOVED_TO;
        inotify::add_watch(&watch, dir, changes)?;
        let file = File::open(dir.join(FILE))?;
        Ok(Self { dir: dir.to_owned(), watch, file, begun: Vec::new() })
    }

    /// The lines that are there already, the oldest first: all of them, or at least the last `enough`.
    pub(super) fn past(&mut self, enough: Option<usize>) -> io::Result<Vec<String>> {
        let ours = self.file.metadata()?.ino();
        let mut earlier = asides(&self.dir)?;
        let mut lines = self.read()?;
        while let Some(path) = earlier.pop() {
            if enough.is_some_and(|it| it <= lines.len()) {
                break;
            }
            if path.metadata()?.ino() != ours {
                let text = fs::read(path)?;
                let before = String::from_utf8_lossy(&text).lines().map(str::to_owned).collect();
                lines = [before, lines].concat();
            }
        }
        Ok(lines)
    }

    /// Waits for further lines.
    pub(super) fn more(&mut self) -> io::Result<Vec<String>> {
        loop {
            let lines = self.read()?;
            if !lines.is_empty() {
                return Ok(lines);
            }
            let mut bytes = [MaybeUninit::uninit(); EVENTS_BYTES];
            inotify::Reader::new(&self.watch, &mut bytes).next()?;
        }
    }

    /// What came since the last time, of this file and of those after it.
    fn read(&mut self) -> io::Result<Vec<String>> {
        let mut lines = Vec::new();
        loop {
            self.file.read_to_end(&mut self.begun)?;
            if let Some(end) = self.begun.iter().rposition(|it| *it == b'\n') {
                let rest = self.begun.split_off(end + 1);
                let whole = std::mem::replace(&mut self.begun, rest);
                lines.extend(String::from_utf8_lossy(&whole).lines().map(str::to_owned));
            }
            match self.next_file()? {
                Some(file) => self.file = file,
                None => return Ok(lines),
            }
        }
    }

    /// The file after this one, when this one was put aside.
    fn next_file(&self) -> io::Result<Option<File>> {
        let ours = self.file.metadata()?.ino();
        let mut all = asides(&self.dir)?;
        all.push(self.dir.join(FILE));
        let mut files = all.into_iter();
        let is_ours = |it: PathBuf| it.metadata().is_ok_and(|it| it.ino() == ours);
        if !files.by_ref().any(is_ours) {
            // It was deleted long after it was put aside; what grows is what counts.
            return File::open(self.dir.join(FILE)).map(Some);
        }
        match files.next().map(File::open) {
            None => Ok(None),
            Some(Ok(file)) => Ok(Some(file)),
            // Between putting aside and beginning anew.
            Some(Err(err)) if err.kind() == io::ErrorKind::NotFound => Ok(None),
            Some(Err(err)) => Err(err),
        }
    }
}

/// Files that were put aside, the oldest first.
fn asides(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut res = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(is_aside) {
            res.push(entry.path());
        }
    }
    res.sort();
    Ok(res)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_log_is_followed_across_a_turn() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        let add = |text: &str| {
            let mut file = File::options().append(true).create(true).open(&path).unwrap();
            file.write_all(text.as_bytes()).unwrap();
        };
        let turn = |at: u64| {
            fs::rename(&path, dir.path().join(format!("nanogridbot-{at:015}.log"))).unwrap();
        };
        add("one\n");
        turn(1);
        add("two\nthr");
        let mut tail = Tail::open(dir.path()).unwrap();
        assert_eq!(tail.past(None).unwrap(), ["one", "two"]);
        add("ee\nfour\n");
        assert_eq!(tail.more().unwrap(), ["three", "four"]);
        // Two turns at once, with lines in between.
        add("five\n");
        turn(2);
        add("six\n");
        turn(3);
        add("seven\n");
        assert_eq!(tail.more().unwrap(), ["five", "six", "seven"]);
    }
}
