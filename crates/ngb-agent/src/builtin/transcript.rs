//! A session's transcript: JSON lines in the lane's folder.
//!
//! A session goes as far as the mark says that `Done` stored with the answer. What the file holds after it was written
//! by a try that died, and is dropped, unless that try had an effect and is gone on with. A long file is left behind when
//! its conversation is shortened; so many of a lane are kept.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use ngb_core::frame::SessionMark;

use super::entry::Entry;
use crate::{Folders, random};

/// Largest transcript that is read, in bytes. After that a session is begun anew.
const MAX_TRANSCRIPT_BYTES: u64 = 256 * 1024 * 1024;

/// How long a file may be when its conversation is shortened, in bytes; then the rest goes into a new one, since each start
/// of an agent reads all of it.
const LONG_BYTES: u64 = 8 * 1024 * 1024;

/// Transcripts of a lane that are kept, the latest. The one before the last is what a retry may begin at.
const MAX_TRANSCRIPTS: usize = 20;

/// An open session.
pub(crate) struct Transcript {
    id: String,
    file: File,
    /// Lines in the file.
    count: u64,
    /// Bytes in the file.
    length: u64,
    /// The part that counts for the model, from the last restart on.
    live: Vec<Entry>,
}

impl Transcript {
    /// Begins a session.
    pub(crate) fn create(folders: &Folders) -> io::Result<Self> {
        let id = random::hex(&random::bytes::<12>()?);
        let dir = dir(folders);
        fs::create_dir_all(&dir)?;
        // Those that can't be removed cost room and nothing else.
        for old in latest_first(&dir).iter().skip(MAX_TRANSCRIPTS - 1) {
            fs::remove_file(old).ok();
        }
        let path = dir.join(format!("{id}.jsonl"));
        let file = OpenOptions::new().append(true).create_new(true).open(path)?;
        Ok(Self { id, file, count: 0, length: 0, live: Vec::new() })
    }

    /// Opens a session at its mark, dropping what stands behind it; `None` when there is no such session.
    pub(crate) fn open_at(folders: &Folders, mark: &SessionMark) -> io::Result<Option<Self>> {
        Self::load(folders, &mark.id, Some(mark.entries))
    }

    /// Opens a session at its end.
    pub(crate) fn open_at_end(folders: &Folders, id: &str) -> io::Result<Option<Self>> {
        Self::load(folders, id, None)
    }

    /// The session that was written last, which is the one of a try that died before its first answer.
    pub(crate) fn latest(folders: &Folders) -> Option<String> {
        let newest = latest_first(&dir(folders)).into_iter().next()?;
        Some(newest.file_stem()?.to_str()?.to_owned())
    }

    fn load(folders: &Folders, id: &str, entries: Option<u64>) -> io::Result<Option<Self>> {
        let Some(path) = path_of(folders, id) else { return Ok(None) };
        let mut file = match OpenOptions::new().read(true).append(true).open(path) {
            Ok(file) => file,
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(err) => return Err(err),
        };
        if MAX_TRANSCRIPT_BYTES < file.metadata()?.len() {
            return Ok(None);
        }
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        let mut live = Vec::new();
        let mut count = 0;
        let mut end = 0;
        for line in text.split_inclusive(|it| *it == b'\n') {
            if entries.is_some_and(|it| it <= count) || !line.ends_with(b"\n") {
                break;
            }
            let Ok(entry) = serde_json::from_slice::<Entry>(line) else { break };
            count += 1;
            end += line.len();
            match entry {
                Entry::Restart { live: from } => live = from,
                other => live.push(other),
            }
        }
        // What is behind is of a try that died: half a line, or whole ones that no answer has stored.
        file.set_len(end as u64)?;
        file.seek(SeekFrom::End(0))?;
        Ok(Some(Self { id: id.to_owned(), file, count, length: end as u64, live }))
    }

    pub(crate) fn mark(&self) -> SessionMark {
        SessionMark { id: self.id.clone(), entries: self.count }
    }

    /// Whether a conversation that begins anew had better do so in a file of its own.
    pub(crate) fn is_long(&self) -> bool {
        LONG_BYTES < self.length
    }

    pub(crate) fn live(&self) -> &[Entry] {
        &self.live
    }

    /// Writes `entry` behind the others.
    pub(crate) fn push(&mut self, entry: Entry) -> io::Result<()> {
        let mut line = serde_json::to_vec(&entry)?;
        line.push(b'\n');
        self.file.write_all(&line)?;
        self.count += 1;
        self.length += line.len() as u64;
        match entry {
            Entry::Restart { live } => self.live = live,
            other => self.live.push(other),
        }
        Ok(())
    }
}

/// The transcripts in a folder, the one that was written last first.
fn latest_first(dir: &Path) -> Vec<PathBuf> {
    let mut all: Vec<_> = fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|it| it.path())
        .filter(|it| it.extension().is_some_and(|it| it == "jsonl"))
        .map(|it| (fs::metadata(&it).and_then(|it| it.modified()).ok(), it))
        .collect();
    all.sort();
    all.into_iter().rev().map(|(_, path)| path).collect()
}

fn dir(folders: &Folders) -> PathBuf {
    folders.lane.join("sessions")
}

/// Where a session is; none for an id that is not one of ours.
fn path_of(folders: &Folders, id: &str) -> Option<PathBuf> {
    let plain = !id.is_empty() && id.bytes().all(|it| it.is_ascii_alphanumeric());
    plain.then(|| dir(folders).join(Path::new(id).with_extension("jsonl")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_goes_as_far_as_its_mark() {
        let dir = tempfile::tempdir().unwrap();
        let folders = Folders::under(dir.path());
        let texts = |it: &Transcript| -> Vec<String> {
            let text = |it: &Entry| match it {
                Entry::User { text } => text.clone(),
                other => panic!("{other:?}"),
            };
            it.live().iter().map(text).collect()
        };
        let mut first = Transcript::create(&folders).unwrap();
        for text in ["a", "b", "c"] {
            first.push(Entry::user(text)).unwrap();
        }
        let mark = SessionMark { entries: 2, ..first.mark() };
        // A line that the kernel never got whole.
        first.file.write_all(b"{\"entry\":\"us").unwrap();

        let end = Transcript::open_at_end(&folders, &mark.id).unwrap().unwrap();
        assert_eq!(
            (texts(&end), end.mark().entries),
            (vec!["a".into(), "b".into(), "c".into()], 3)
        );
        let mut at = Transcript::open_at(&folders, &mark).unwrap().unwrap();
        assert_eq!(texts(&at), ["a", "b"]);
        at.push(Entry::Restart { live: vec![Entry::user("s")] }).unwrap();
        at.push(Entry::user("d")).unwrap();
        let again = Transcript::open_at(&folders, &at.mark()).unwrap().unwrap();
        assert_eq!((texts(&again), again.mark().entries), (vec!["s".into(), "d".into()], 4));
        assert_eq!(Transcript::latest(&folders).unwrap(), mark.id);
        for strange in ["", "../x", "nothere"] {
            let mark = SessionMark { id: strange.into(), entries: 1 };
            assert!(Transcript::open_at(&folders, &mark).unwrap().is_none());
        }
    }

    #[test]
    fn the_latest_transcripts_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let folders = Folders::under(dir.path());
        let kept = || latest_first(&super::dir(&folders)).len();
        for n in 1..=MAX_TRANSCRIPTS {
            Transcript::create(&folders).unwrap();
            assert_eq!(kept(), n);
        }
        let old = std::time::SystemTime::UNIX_EPOCH;
        let last = Transcript::latest(&folders).unwrap();
        for path in latest_first(&super::dir(&folders)).iter().skip(1) {
            File::options().append(true).open(path).unwrap().set_modified(old).unwrap();
        }
        for _ in 1..MAX_TRANSCRIPTS {
            Transcript::create(&folders).unwrap();
            assert_eq!(kept(), MAX_TRANSCRIPTS);
        }
        let mark = SessionMark { id: last, entries: 0 };
        assert!(Transcript::open_at(&folders, &mark).unwrap().is_some(), "it is the oldest kept");
    }

    #[test]
    fn a_long_transcript_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let folders = Folders::under(dir.path());
        let mut it = Transcript::create(&folders).unwrap();
        let text = "x".repeat(1 << 20);
        let mut pushed = 0;
        while !it.is_long() {
            it.push(Entry::user(&*text)).unwrap();
            pushed += text.len() as u64;
        }
        assert!((LONG_BYTES..=LONG_BYTES + (1 << 20)).contains(&pushed), "{pushed}");
        assert!(Transcript::open_at_end(&folders, &it.id).unwrap().unwrap().is_long());
    }
}
