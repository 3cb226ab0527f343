//! The files of a person who is forgotten: what came with their messages, transcripts and archives of their conversations,
//! and what agents noted while they worked on them.
//!
//! Folders of groups and lanes are the agents' to change, links included, so nothing here follows one.

use std::{
    collections::{BTreeSet, HashSet},
    fs::{self, File},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use ngb_core::clock::Timestamp;
use ngb_store::{LaneTrace, Traces};
use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags};

use crate::homes::INBOX;

/// Where the drivers keep what they are about to compact, under a group's folder.
const ARCHIVES: &str = "conversations";

/// What a lane remembers, and the folder of the versions before.
const MEMORY: &str = "MEMORY.md";
const VERSIONS: &str = "memory";

/// Longest archive or memory that is looked through, in bytes; a longer one is removed.
const MAX_READ_BYTES: u64 = 4 * 1024 * 1024;

/// How much later than the run's end a file may say that it was written.
const SLACK_MS: i64 = 2_000;

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Gone {
    pub(crate) files: u64,
    pub(crate) memory_lines: u64,
}

/// Removes the files of `traces` under `home`; `jobs` are the numbers of what was done for them.
pub(crate) fn forget(
    home: &Path,
    traces: &Traces,
    jobs: &BTreeSet<i64>,
    long: &[String],
) -> io::Result<Gone> {
    let mut gone = Gone::default();
    for name in long {
        gone.files += u64::from(remove(&home.join("long").join(name))?);
    }
    for path in entries(&home.join("outgoing"))? {
        if number(&path, '-').is_some_and(|it| jobs.contains(&it)) {
            gone.files += u64::from(remove(&path)?);
        }
    }
    let removed = entries(&home.join("removed"))?;
    for group in entries(&home.join("groups"))?.iter().chain(&removed) {
        forget_in_group(group, traces, &mut gone)?;
    }
    for (lane, trace) in &traces.lanes {
        forget_in_lane(&home.join("lanes").join(lane.to_string()), trace, &mut gone)?;
        for group in &removed {
            forget_in_lane(&group.join(lane.to_string()), trace, &mut gone)?;
        }
    }
    Ok(gone)
}

fn entries(dir: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(dir) {
        Ok(it) => it.map(|it| it.map(|it| it.path())).collect(),
        Err(err)
            if matches!(err.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            Ok(Vec::new())
        }
        Err(err) => Err(err),
    }
}

/// The number that a file's name begins with.
fn number(path: &Path, end: char) -> Option<i64> {
    path.file_name()?.to_str()?.split_once(end)?.0.parse().ok()
}

/// Removes one file; false where there is none.
fn remove(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(err) => Err(err),
    }
}

/// Opens what is beneath `dir`, and nothing that a link leads to; none where there is no such thing.
fn open(dir: &File, path: &str, flags: OFlags) -> io::Result<Option<File>> {
    let flags = flags | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let mode =
        if flags.contains(OFlags::CREATE) { Mode::from_raw_mode(0o600) } else { Mode::empty() };
    match rustix::fs::openat2(dir, path, flags, mode, beneath) {
        Ok(it) => Ok(Some(it.into())),
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::LOOP | rustix::io::Errno::NOTDIR) => {
            Ok(None)
        }
        Err(err) => Err(err.into()),
    }
}

fn folder(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(it) => Ok(it.metadata()?.is_dir().then_some(it)),
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(err) => Err(err),
    }
}

/// The names in a folder beneath `dir`, and the folder.
fn names(dir: &File, path: &str) -> io::Result<Option<(File, Vec<String>)>> {
    let Some(found) = open(dir, path, OFlags::RDONLY | OFlags::DIRECTORY)? else { return Ok(None) };
    let mut res = Vec::new();
    for entry in rustix::fs::Dir::read_from(&found)? {
        res.extend(entry?.file_name().to_str().ok().map(str::to_owned));
    }
    Ok(Some((found, res)))
}

/// The text of a file, and when it was written; none for one that is too long or no text.
fn text(dir: &File, name: &str) -> io::Result<Option<(String, Timestamp)>> {
    let Some(file) = open(dir, name, OFlags::RDONLY)? else { return Ok(None) };
    let meta = file.metadata()?;
    if !meta.is_file() || MAX_READ_BYTES < meta.len() {
        return Ok(None);
    }
    let written = meta.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    let written = Timestamp(i64::try_from(written.as_millis()).unwrap_or(i64::MAX));
    let mut bytes = Vec::new();
    file.take(MAX_READ_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8(bytes).ok().map(|it| (it, written)))
}

fn forget_in_group(group: &Path, traces: &Traces, gone: &mut Gone) -> io::Result<()> {
    let Some(group) = folder(group)? else { return Ok(()) };
    if let Some((inbox, files)) = names(&group, INBOX)? {
        let theirs = |it: &&String| {
            let id = it.split_once('-').and_then(|it| it.0.parse().ok());
            id.is_some_and(|it| traces.messages.contains(&ngb_core::id::MessageId(it)))
        };
        for name in files.iter().filter(theirs) {
            rustix::fs::unlinkat(&inbox, name.as_str(), AtFlags::empty())?;
            gone.files += 1;
        }
    }
    if let Some((archives, files)) = names(&group, ARCHIVES)? {
        for name in files.iter().filter(|it| it.ends_with(".md")) {
            let is_theirs = match text(&archives, name)? {
                Some((text, _)) => {
                    traces.names.iter().any(|it| text.contains(&format!("**{it}**:")))
                }
                None => true,
            };
            if is_theirs {
                rustix::fs::unlinkat(&archives, name.as_str(), AtFlags::empty())?;
                gone.files += 1;
            }
        }
    }
    Ok(())
}

/// Removes what drivers keep of the lane's conversations. What it remembers is gone through, or goes too when it is of
/// nobody else.
fn forget_in_lane(lane: &Path, trace: &LaneTrace, gone: &mut Gone) -> io::Result<()> {
    for path in entries(lane)? {
        let is_memory = path.file_name().is_some_and(|it| it == MEMORY || it == VERSIONS);
        if is_memory && !trace.alone {
            continue;
        }
        gone.files += count(&path)?;
        if fs::symlink_metadata(&path)?.is_dir() {
            fs::remove_dir_all(&path)?;
        } else {
            fs::remove_file(&path)?;
        }
    }
    if !trace.alone
        && let Some(lane) = folder(lane)?
    {
        gone.memory_lines += forget_lines(&lane, &trace.runs)?;
    }
    Ok(())
}

fn count(path: &Path) -> io::Result<u64> {
    if !fs::symlink_metadata(path)?.is_dir() {
        return Ok(1);
    }
    entries(path)?.iter().map(|it| count(it)).sum()
}

/// A version of what a lane remembers.
struct Version {
    /// Its path in the lane's folder.
    path: String,
    text: String,
    /// When it was written; of the first that is known only until when.
    written: Option<Timestamp>,
    modified: Timestamp,
}

/// Removes the lines that came into the memory while a run worked on something of theirs; how many they were.
fn forget_lines(lane: &File, runs: &[(Timestamp, Timestamp)]) -> io::Result<u64> {
    let mut all = versions(lane)?;
    // A version is put aside when the next one is written.
    let mut before = None;
    for it in &mut all {
        it.written = if it.path == MEMORY { Some(it.modified) } else { before };
        before = Some(it.modified);
    }
    let theirs = lines_of(&all, runs);
    for it in &all {
        let kept: Vec<&str> =
            it.text.lines().filter(|line| !theirs.contains(line.trim())).collect();
        if kept.len() == it.text.lines().count() {
            continue;
        }
        let mut new = kept.join("\n");
        if !new.is_empty() {
            new.push('\n');
        }
        rewrite(lane, it, &new)?;
    }
    Ok(u64::try_from(theirs.len()).unwrap_or(u64::MAX))
}

/// The lines that are first seen in a version that was written during one of the runs.
fn lines_of<'a>(all: &'a [Version], runs: &[(Timestamp, Timestamp)]) -> HashSet<&'a str> {
    let (mut seen, mut theirs) = (HashSet::new(), HashSet::new());
    for it in all {
        let during = |(from, to): &(Timestamp, Timestamp)| match it.written {
            Some(at) => *from <= at && at.0 <= to.0 + SLACK_MS,
            // Nobody knows when; what may be theirs is theirs.
            None => *from <= it.modified,
        };
        let is_theirs = runs.iter().any(during);
        for line in it.text.lines().map(str::trim).filter(|it| !it.is_empty()) {
            if seen.insert(line) && is_theirs {
                theirs.insert(line);
            }
        }
    }
    theirs
}

/// All versions, the oldest first, the one that counts last.
fn versions(lane: &File) -> io::Result<Vec<Version>> {
    let mut numbers: Vec<u64> = match names(lane, VERSIONS)? {
        Some((_, names)) => {
            names.iter().filter_map(|it| it.strip_suffix(".md")?.parse().ok()).collect()
        }
        None => Vec::new(),
    };
    numbers.sort_unstable();
    let paths = numbers.into_iter().map(|it| format!("{VERSIONS}/{it}.md"));
    let mut res = Vec::new();
    for path in paths.chain([MEMORY.to_owned()]) {
        if let Some((text, modified)) = text(lane, &path)? {
            res.push(Version { path, text, written: None, modified });
        }
    }
    Ok(res)
}

/// Writes a version anew, with its old time, so that what it says of the others stays true.
fn rewrite(lane: &File, version: &Version, new: &str) -> io::Result<()> {
    let Some(mut file) = open(lane, &version.path, OFlags::WRONLY | OFlags::TRUNC)? else {
        return Ok(());
    };
    file.write_all(new.as_bytes())?;
    let ms = u64::try_from(version.modified.0).unwrap_or(0);
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_millis(ms))?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use ngb_core::id::LaneId;

    use super::*;

    fn lane_dir(home: &Path, lane: LaneId) -> PathBuf {
        home.join("lanes").join(lane.to_string())
    }

    fn version(path: &str, text: &str, modified: i64) -> Version {
        let modified = Timestamp(modified);
        Version { path: path.into(), text: text.into(), written: None, modified }
    }

    #[test]
    fn lines_go_with_the_run_that_wrote_them() {
        let dir = tempfile::tempdir().unwrap();
        let lane = lane_dir(dir.path(), LaneId(1));
        fs::create_dir_all(lane.join(VERSIONS)).unwrap();
        // 1 was written before anybody looked, 2 by a run from 100 s to 110 s, the last from 200 s to 210 s.
        let files = [
            version("memory/1.md", "tea\n", 105_000),
            version("memory/2.md", "tea\nmilk\n", 205_000),
            version("MEMORY.md", "tea\nmilk\nbeer\n", 205_000),
        ];
        let write = || {
            for it in &files {
                fs::write(lane.join(&it.path), &it.text).unwrap();
                rewrite(&File::open(&lane).unwrap(), it, &it.text).unwrap();
            }
        };
        let text = |name: &str| fs::read_to_string(lane.join(name)).unwrap();
        #[rustfmt::skip]
        let table = [
            (100_000, 110_000, 2, "",            "beer\n"),
            (200_000, 210_000, 1, "tea\nmilk\n", "tea\nmilk\n"),
            (300_000, 310_000, 0, "tea\nmilk\n", "tea\nmilk\nbeer\n"),
            (50_000,  60_000,  1, "milk\n",      "milk\nbeer\n"),
        ];
        for (from, to, lines, second, last) in table {
            write();
            let runs = [(Timestamp(from), Timestamp(to))];
            let got = forget_lines(&File::open(&lane).unwrap(), &runs).unwrap();
            assert_eq!(
                (got, text("memory/2.md"), text(MEMORY)),
                (lines, second.into(), last.into())
            );
        }
    }

    #[test]
    fn links_lead_nowhere() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("home");
        let (group, outside) = (home.join("groups/g"), dir.path().join("outside"));
        fs::create_dir_all(&group).unwrap();
        fs::create_dir_all(outside.join("deep")).unwrap();
        for name in ["7-0-a.txt", "x.md", "deep/y"] {
            fs::write(outside.join(name), "**Ann**: hi").unwrap();
        }
        std::os::unix::fs::symlink(&outside, group.join(INBOX)).unwrap();
        std::os::unix::fs::symlink(&outside, group.join(ARCHIVES)).unwrap();
        let lane = lane_dir(&home, LaneId(1));
        fs::create_dir_all(&lane).unwrap();
        std::os::unix::fs::symlink(&outside, lane.join("sessions")).unwrap();
        let traces = Traces {
            messages: [ngb_core::id::MessageId(7)].into(),
            names: ["Ann".to_owned()].into(),
            lanes: [(LaneId(1), LaneTrace::default())].into(),
            ..Traces::default()
        };
        let gone = forget(&home, &traces, &BTreeSet::new(), &[]).unwrap();
        assert_eq!(gone, Gone { files: 1, memory_lines: 0 }, "the link itself");
        for name in ["7-0-a.txt", "x.md", "deep/y"] {
            assert!(outside.join(name).exists(), "{name}");
        }
    }
}
