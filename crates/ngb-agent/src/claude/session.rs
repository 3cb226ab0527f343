//! The command line's sessions: where one begins, and how far it goes.

use std::{fs, path::PathBuf};

use ngb_core::frame::SessionMark;

use crate::Folders;

/// Between the session's id and its last message's in a mark.
const AT: char = '@';

/// Where a process of the command line takes up the conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Begin {
    New,
    /// After the message with that id; what the transcript holds behind it is left out.
    At {
        session: String,
        message: String,
    },
    /// After all that was written down.
    End {
        session: String,
    },
}

impl Begin {
    /// What the next prompt is to go on from. A transcript that is gone is a new session.
    pub(super) fn of(folders: &Folders, mark: Option<&SessionMark>, resumed: bool) -> Self {
        let known = mark.and_then(parts).filter(|(session, _)| is_kept(folders, session));
        match (known, resumed) {
            (Some((session, message)), false) => Self::At { session, message },
            (Some((session, _)), true) => Self::End { session },
            (None, false) => Self::New,
            (None, true) => latest(folders).map_or(Self::New, |session| Self::End { session }),
        }
    }

    pub(super) fn args(&self) -> Vec<&str> {
        match self {
            Self::New => Vec::new(),
            Self::At { session, message } => {
                vec!["--resume", session, "--resume-session-at", message]
            }
            Self::End { session } => vec!["--resume", session],
        }
    }
}

/// The mark behind `message`, with the number of turns so far.
pub(super) fn mark(session: &str, message: &str, turns: u64) -> SessionMark {
    SessionMark { id: format!("{session}{AT}{message}"), entries: turns }
}

/// Session and message of a mark; none where another driver made it.
fn parts(mark: &SessionMark) -> Option<(String, String)> {
    let (session, message) = mark.id.split_once(AT)?;
    // They become arguments.
    let is_id = |it: &str| {
        it.starts_with(|it: char| it.is_ascii_hexdigit())
            && it.chars().all(|it| it.is_ascii_hexdigit() || it == '-')
    };
    (is_id(session) && is_id(message)).then(|| (session.to_owned(), message.to_owned()))
}

/// The transcripts, in `projects/<folder by the working directory>/<session>.jsonl`.
fn transcripts(folders: &Folders) -> Vec<PathBuf> {
    let inside = |path: PathBuf| fs::read_dir(path).into_iter().flatten().flatten();
    inside(folders.lane.join(".claude/projects"))
        .flat_map(|it| inside(it.path()))
        .map(|it| it.path())
        .filter(|it| it.extension().is_some_and(|it| it == "jsonl"))
        .collect()
}

fn is_kept(folders: &Folders, session: &str) -> bool {
    transcripts(folders).iter().any(|it| it.file_stem().is_some_and(|it| it == session))
}

/// The session that was written to last.
fn latest(folders: &Folders) -> Option<String> {
    let changed = |it: &PathBuf| fs::metadata(it).and_then(|it| it.modified()).ok();
    let path = transcripts(folders).into_iter().max_by_key(changed)?;
    Some(path.file_stem()?.to_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_it_begins() {
        let dir = tempfile::tempdir().unwrap();
        let folders = Folders::under(dir.path());
        let (kept, gone, builtin) = (mark("aa-1", "b2", 1), mark("cc", "b2", 1), "20261123-1");
        let builtin = SessionMark { id: builtin.into(), entries: 3 };
        let hostile = SessionMark { id: "aa-1@--help".into(), entries: 3 };
        let at = Begin::At { session: "aa-1".into(), message: "b2".into() };
        let end = Begin::End { session: "aa-1".into() };
        assert_eq!(Begin::of(&folders, None, true), Begin::New);
        let project = folders.lane.join(".claude/projects/-workspace-group");
        fs::create_dir_all(&project).unwrap();
        fs::write(project.join("aa-1.jsonl"), "").unwrap();
        #[rustfmt::skip]
        let table = [
            (None,           false, Begin::New),
            (None,           true,  end.clone()),
            (Some(&kept),    false, at),
            (Some(&kept),    true,  end.clone()),
            (Some(&gone),    false, Begin::New),
            (Some(&builtin), false, Begin::New),
            (Some(&hostile), false, Begin::New),
            (Some(&gone),    true,  end),
        ];
        for (mark, resumed, want) in table {
            assert_eq!(Begin::of(&folders, mark, resumed), want, "{mark:?} {resumed}");
        }
    }
}
