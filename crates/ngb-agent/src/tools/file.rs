//! Reading and changing one file.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::Folders;

/// Largest file that is read or changed, in bytes: it is held in memory twice.
const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;

/// Longest text that one read returns, in bytes: about 12,000 tokens.
const MAX_READ_BYTES: usize = 48 * 1024;

/// What this session knows of files: path and hash of what it last read or wrote there.
///
/// Lanes of a group share its folder; what another lane wrote meanwhile must not be overwritten unseen.
#[derive(Debug, Default)]
pub(crate) struct Seen(HashMap<PathBuf, [u8; 32]>);

impl Seen {
    fn note(&mut self, path: &Path, bytes: &[u8]) {
        self.0.insert(path.to_owned(), Sha256::digest(bytes).into());
    }

    fn check_unchanged(&self, path: &Path, now: &[u8], shown: &str) -> Result<(), String> {
        match self.0.get(path) {
            Some(then) if *then != <[u8; 32]>::from(Sha256::digest(now)) => Err(format!(
                "`{shown}` changed since this session read it, perhaps by another conversation; read it again first"
            )),
            _ => Ok(()),
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Read {
    path: String,
    /// The first line to show, from 1.
    #[serde(default)]
    from: Option<usize>,
    /// How many lines.
    #[serde(default)]
    lines: Option<usize>,
}

impl Read {
    pub(crate) fn run(self, folders: &Folders, seen: &mut Seen) -> Result<String, String> {
        let path = folders.resolve(&self.path);
        let bytes = load(&path).map_err(|err| refuse("read", &self.path, &err))?;
        seen.note(&path, &bytes);
        let text = text_of(&bytes, &self.path)?;
        let first = self.from.unwrap_or(1).max(1);
        let all = text.lines().count();
        let mut res = String::new();
        let mut last = first - 1;
        for line in text.split_inclusive('\n').skip(first - 1).take(self.lines.unwrap_or(all)) {
            if MAX_READ_BYTES < res.len() + line.len() {
                if res.is_empty() {
                    res = crate::turn::cut_to(line.to_owned(), MAX_READ_BYTES);
                    last += 1;
                }
                break;
            }
            res += line;
            last += 1;
        }
        if last < first {
            return Ok(format!("[`{}` has {all} lines]", self.path));
        }
        if first != 1 || last != all {
            if !res.ends_with('\n') {
                res.push('\n');
            }
            res += &format!("[lines {first} to {last} of {all}]");
        }
        Ok(res)
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Write {
    path: String,
    content: String,
}

impl Write {
    pub(crate) fn run(self, folders: &Folders, seen: &mut Seen) -> Result<String, String> {
        let path = folders.resolve(&self.path);
        match load(&path) {
            Ok(now) if !seen.0.contains_key(&path) => {
                let bytes = now.len();
                let path = self.path;
                return Err(format!(
                    "`{path}` exists ({bytes} bytes); read it before replacing it"
                ));
            }
            Ok(now) => seen.check_unchanged(&path, &now, &self.path)?,
            Err(err) if err.kind() == io::ErrorKind::NotFound => {}
            Err(err) => return Err(refuse("replace", &self.path, &err)),
        }
        store(&path, self.content.as_bytes()).map_err(|err| refuse("write", &self.path, &err))?;
        seen.note(&path, self.content.as_bytes());
        Ok(format!("wrote {} bytes to `{}`", self.content.len(), self.path))
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Edit {
    path: String,
    old: String,
    new: String,
    /// Replace each place, not the only one.
    #[serde(default)]
    all: bool,
}

impl Edit {
    pub(crate) fn run(self, folders: &Folders, seen: &mut Seen) -> Result<String, String> {
        let path = folders.resolve(&self.path);
        let bytes = load(&path).map_err(|err| refuse("edit", &self.path, &err))?;
        seen.check_unchanged(&path, &bytes, &self.path)?;
        let text = text_of(&bytes, &self.path)?;
        if self.old.is_empty() {
            return Err("`old` is empty; use `write` for a new file".to_owned());
        }
        let places = text.matches(&self.old).count();
        let shown = &self.path;
        let text = match (places, self.all) {
            (0, _) => return Err(format!("`old` is not in `{shown}`; it must match exactly")),
            (1, _) | (_, true) => text.replace(&self.old, &self.new),
            (_, false) => {
                return Err(format!(
                    "`old` is {places} times in `{shown}`; give more of its surroundings, or set `all`"
                ));
            }
        };
        store(&path, text.as_bytes()).map_err(|err| refuse("edit", &self.path, &err))?;
        seen.note(&path, text.as_bytes());
        Ok(format!("replaced {places} in `{shown}`"))
    }
}

fn refuse(verb: &str, path: &str, err: &io::Error) -> String {
    format!("could not {verb} `{path}`: {err}")
}

/// The bytes of a regular file. A pipe or device would never end.
fn load(path: &Path) -> io::Result<Vec<u8>> {
    let facts = fs::metadata(path)?;
    if !facts.is_file() {
        let what = if facts.is_dir() { "it is a folder" } else { "it is no regular file" };
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    }
    if MAX_FILE_BYTES < facts.len() {
        let what = format!("it has {} bytes, more than {MAX_FILE_BYTES}", facts.len());
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, what));
    }
    fs::read(path)
}

fn text_of<'a>(bytes: &'a [u8], path: &str) -> Result<&'a str, String> {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => Ok(text),
        _ => Err(format!("`{path}` is no text ({} bytes)", bytes.len())),
    }
}

/// Replaces a file in one step, so that nobody ever sees half of it.
pub(crate) fn store(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // Through a link the file behind it is meant.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = path.parent().ok_or(io::ErrorKind::IsADirectory)?;
    fs::create_dir_all(folder)?;
    let name = path.file_name().ok_or(io::ErrorKind::IsADirectory)?.to_string_lossy();
    let fresh = folder.join(format!(".{name}.{}.new", std::process::id()));
    let res = fs::write(&fresh, bytes).and_then(|()| {
        if let Ok(old) = fs::metadata(&path) {
            fs::set_permissions(&fresh, old.permissions())?;
        }
        fs::rename(&fresh, &path)
    });
    if res.is_err() {
        fs::remove_file(&fresh).ok();
    }
    res
}
