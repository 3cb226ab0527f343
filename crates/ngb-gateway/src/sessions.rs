//! Conversations as people manage them: listed with their transcripts, stopped, begun anew, gone back to, forked.

use std::{
    fs::{self, File},
    io::{self, BufRead as _, BufReader},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use ngb_core::{
    address::{Account, ChannelKind, Place},
    clock::Timestamp,
    frame::SessionMark,
    group::Scope,
    id::LaneId,
    tasks::blocking,
};
use ngb_store::LaneRow;
use rustix::fs::{Mode, OFlags, ResolveFlags};
use serde::Serialize;

use crate::handle::{Gateway, HandleError};

/// The folder of a lane in which the driver `builtin` keeps its transcripts.
const TRANSCRIPTS: &str = "sessions";

/// What the lane remembers.
const MEMORY: &str = "MEMORY.md";

/// Longest transcript that is gone back to or copied, in bytes; the driver reads none that is longer.
const MAX_TRANSCRIPT_BYTES: u64 = 256 * 1024 * 1024;

/// An earlier or the present session of a conversation, as the driver `builtin` keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Transcript {
    pub id: String,
    pub bytes: u64,
    /// In milliseconds since 1970.
    pub written_ms: i64,
    /// Whether the next prompt goes on with it.
    pub current: bool,
}

/// A conversation that was made of another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Fork {
    pub lane: LaneId,
    pub place: String,
    /// The thread in the group's chat of terminals, for `nanogridbot shell --resume`.
    pub thread: String,
}

impl Gateway {
    /// A conversation of a group that is there.
    ///
    /// # Errors
    ///
    /// [`HandleError::NoLane`] when there is none.
    pub async fn conversation(&self, lane: LaneId) -> Result<LaneRow, HandleError> {
        self.store().conversation(lane).await?.ok_or(HandleError::NoLane(lane))
    }

    /// The transcripts of a conversation, the one that was written last first.
    pub async fn transcripts(&self, row: &LaneRow) -> Result<Vec<Transcript>, HandleError> {
        let dir = self.0.homes.lane(row.lane);
        let current = row.session.as_ref().map(|it| it.id.clone());
        Ok(blocking("list transcripts", move || list(&dir, current.as_deref())).await?)
    }

    /// Stops what runs in a conversation and ends its agent; whether there was a run.
    pub fn kill(&self, lane: LaneId) -> bool {
        let stopped = self.interrupt(lane);
        self.0.dispatcher.end_lanes(&[lane]);
        stopped
    }

    /// Has the next prompt of a conversation begin a new session.
    pub async fn begin_anew(&self, lane: LaneId) -> Result<(), HandleError> {
        Ok(self.store().set_session(lane, None).await?)
    }

    /// Has a conversation go on with one of its earlier sessions, to its end.
    ///
    /// # Errors
    ///
    /// [`HandleError::NoTranscript`] when there is none of that id.
    pub async fn go_back(&self, lane: LaneId, session: &str) -> Result<(), HandleError> {
        let dir = self.0.homes.lane(lane);
        let id = session.to_owned();
        let entries = blocking("read a transcript", move || entries(&dir, &id)).await?;
        let Some(entries) = entries else {
            return Err(HandleError::NoTranscript { lane, session: session.to_owned() });
        };
        let mark = SessionMark { id: session.to_owned(), entries };
        self.store().set_session(lane, Some(mark)).await?;
        // One that waits has the other session in its memory.
        self.0.dispatcher.end_lanes(&[lane]);
        Ok(())
    }

    /// Makes a conversation in the group's chat of terminals that goes on from where this one stands, with what it
    /// remembers.
    ///
    /// # Errors
    ///
    /// When its session is none of the driver `builtin`, or its files can't be copied.
    pub async fn fork(&self, lane: LaneId) -> Result<Fork, HandleError> {
        let row = self.conversation(lane).await?;
        let Some(mark) = row.session.clone() else {
            return Err(HandleError::NothingToFork(lane));
        };
        let folder = match self.directory().snapshot().group(row.group) {
            Some(group) => group.folder.clone(),
            None => return Err(HandleError::NoGroup(row.group.to_string())),
        };
        let thread = format!("fork-{lane}-{}", self.clock().now().0);
        let account = Account::new(ChannelKind::Terminal, Account::DEFAULT_NAME)?;
        let place =
            Place { jid: account.chat(folder.as_str())?, thread: Some(thread.as_str().into()) };
        let to = self.store().make_lane(row.group, &Scope::Thread.key(&place, "")).await?;
        let to_dir = self.0.homes.make_lane(to).await?;
        let (from_dir, session) = (self.0.homes.lane(lane), mark.id.clone());
        let copied =
            blocking("copy a conversation", move || copy(&from_dir, &to_dir, &session)).await?;
        if !copied {
            return Err(HandleError::NoTranscript { lane, session: mark.id });
        }
        self.store().set_session(to, Some(mark)).await?;
        Ok(Fork { lane: to, place: place.to_string(), thread })
    }
}

/// Opens what is beneath `dir` and nothing that a link leads to: all of it is the agent's to change.
fn open(dir: &File, path: &str, flags: OFlags, mode: Mode) -> io::Result<Option<File>> {
    let flags = flags | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    match rustix::fs::openat2(dir, path, flags, mode, beneath) {
        Ok(it) => Ok(Some(it.into())),
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::LOOP | rustix::io::Errno::NOTDIR) => {
            Ok(None)
        }
        Err(err) => Err(err.into()),
    }
}

fn lane_dir(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(it) => Ok(Some(it)),
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(err) => Err(err),
    }
}

fn list(path: &Path, current: Option<&str>) -> io::Result<Vec<Transcript>> {
    let Some(lane) = lane_dir(path)? else { return Ok(Vec::new()) };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let Some(folder) = open(&lane, TRANSCRIPTS, flags, Mode::empty())? else {
        return Ok(Vec::new());
    };
    let mut all = Vec::new();
    for entry in rustix::fs::Dir::read_from(&folder)? {
        let entry = entry?;
        let name = entry.file_name().to_str().ok().and_then(|it| it.strip_suffix(".jsonl"));
        let Some(id) = name.filter(|it| is_id(it)) else { continue };
        let Some(file) = open(&folder, &format!("{id}.jsonl"), OFlags::RDONLY, Mode::empty())?
        else {
            continue;
        };
        let meta = file.metadata()?;
        if meta.is_file() {
            let written = Timestamp(meta.mtime().saturating_mul(1_000));
            let current = current == Some(id);
            let (id, bytes) = (id.to_owned(), meta.len());
            all.push(Transcript { id, bytes, written_ms: written.0, current });
        }
    }
    all.sort_by_key(|it| std::cmp::Reverse((it.written_ms, it.id.clone())));
    Ok(all)
}

/// Whether it is an id of the driver `builtin`, and so never a path.
fn is_id(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|it| it.is_ascii_alphanumeric())
}

/// The transcript of a session, if it can be read by its driver.
fn transcript(path: &Path, id: &str) -> io::Result<Option<File>> {
    let (true, Some(lane)) = (is_id(id), lane_dir(path)?) else { return Ok(None) };
    let file = open(&lane, &format!("{TRANSCRIPTS}/{id}.jsonl"), OFlags::RDONLY, Mode::empty())?;
    let Some(file) = file else { return Ok(None) };
    let meta = file.metadata()?;
    Ok((meta.is_file() && meta.len() <= MAX_TRANSCRIPT_BYTES).then_some(file))
}

/// Whole lines of a transcript.
fn entries(path: &Path, id: &str) -> io::Result<Option<u64>> {
    let Some(file) = transcript(path, id)? else { return Ok(None) };
    let (mut reader, mut line, mut count) = (BufReader::new(file), Vec::new(), 0);
    while reader.read_until(b'\n', &mut line)? != 0 {
        count += u64::from(line.ends_with(b"\n"));
        line.clear();
    }
    Ok(Some(count))
}

/// Copies a session's transcript and the memory into another lane's folder; false where there is no transcript.
fn copy(from: &Path, to: &Path, id: &str) -> io::Result<bool> {
    let Some(mut file) = transcript(from, id)? else { return Ok(false) };
    let folder = to.join(TRANSCRIPTS);
    make_dir(&folder, &file)?;
    put(&mut file, &folder.join(format!("{id}.jsonl")))?;
    if let Some(lane) = lane_dir(from)?
        && let Some(mut memory) = open(&lane, MEMORY, OFlags::RDONLY, Mode::empty())?
        && memory.metadata()?.is_file()
    {
        put(&mut memory, &to.join(MEMORY))?;
    }
    Ok(true)
}

/// Makes a folder that belongs to whoever `like` belongs to.
fn make_dir(path: &PathBuf, like: &File) -> io::Result<()> {
    crate::homes::private_dir(path)?;
    let owner = like.metadata()?;
    std::os::unix::fs::chown(path, Some(owner.uid()), Some(owner.gid()))
}

fn put(from: &mut File, to: &Path) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).open(to)?;
    let owner = from.metadata()?;
    std::os::unix::fs::fchown(&file, Some(owner.uid()), Some(owner.gid()))?;
    io::copy(&mut io::Read::take(from, MAX_TRANSCRIPT_BYTES), &mut file)?;
    file.sync_all()
}
