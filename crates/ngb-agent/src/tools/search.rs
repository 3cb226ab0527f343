//! Finding files by name and by what is in them.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use ngb_core::{tasks::blocking, text::shorten};
use regex::{Regex, RegexBuilder};
use serde::Deserialize;

use crate::Folders;

/// Most files and lines that one search returns.
const MAX_FILES: usize = 500;
const MAX_LINES: usize = 200;

/// Most entries that one search looks at.
const MAX_ENTRIES: usize = 200_000;

/// Largest file that is searched, in bytes.
const MAX_SEARCHED_BYTES: u64 = 2 * 1024 * 1024;

/// Longest line that is shown, in characters.
const MAX_LINE_CHARS: usize = 300;

/// Largest compiled pattern, in bytes, so that a hostile one can't fill the memory.
const MAX_PATTERN_BYTES: usize = 1024 * 1024;

/// Folders that nobody means.
const SKIPPED: &[&str] = &[".git", "node_modules", "target"];

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Glob {
    pattern: String,
    #[serde(default)]
    path: Option<String>,
}

impl Glob {
    pub(crate) async fn run(self, folders: &Folders) -> Result<String, String> {
        let wanted = glob(&self.pattern)?;
        let root = folders.resolve(self.path.as_deref().unwrap_or("."));
        let found = search(root, move |walk| {
            let mut found = Vec::new();
            walk.each_file(&mut |name, _| {
                if wanted.is_match(name) {
                    found.push(name.to_owned());
                }
                found.len() < MAX_FILES
            })?;
            Ok(found)
        });
        listed(found.await?, MAX_FILES)
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Grep {
    pattern: String,
    #[serde(default)]
    path: Option<String>,
    #[serde(default)]
    glob: Option<String>,
}

impl Grep {
    pub(crate) async fn run(self, folders: &Folders) -> Result<String, String> {
        let wanted = pattern(&self.pattern)?;
        let named = self.glob.as_deref().map(glob).transpose()?;
        let root = folders.resolve(self.path.as_deref().unwrap_or("."));
        let found = search(root, move |walk| {
            let mut found = Vec::new();
            walk.each_file(&mut |name, path| {
                if named.as_ref().is_some_and(|it| !it.is_match(name)) {
                    return true;
                }
                let Some(text) = text_of(path) else { return true };
                for (at, line) in text.lines().enumerate() {
                    if wanted.is_match(line) {
                        let line = shorten(line.trim_end(), MAX_LINE_CHARS);
                        found.push(format!("{name}:{}: {line}", at + 1));
                        if found.len() == MAX_LINES {
                            return false;
                        }
                    }
                }
                true
            })?;
            Ok(found)
        });
        listed(found.await?, MAX_LINES)
    }
}

fn listed(found: Vec<String>, max: usize) -> Result<String, String> {
    let more = if found.len() == max { format!("\n[only the first {max}]") } else { String::new() };
    Ok(if found.is_empty() { "[nothing found]".to_owned() } else { found.join("\n") + &more })
}

/// Runs `work` on a thread of its own; dropping the future ends the walk.
async fn search(
    root: PathBuf,
    work: impl FnOnce(&Walk) -> io::Result<Vec<String>> + Send + 'static,
) -> Result<Vec<String>, String> {
    struct StopOnDrop(Arc<AtomicBool>);
    impl Drop for StopOnDrop {
        fn drop(&mut self) {
            self.0.store(true, Relaxed);
        }
    }
    let guard = StopOnDrop(Arc::default());
    let walk = Walk { root, stopped: Arc::clone(&guard.0) };
    let shown = walk.root.display().to_string();
    let found = blocking("search", move || work(&walk)).await;
    drop(guard);
    found.map_err(|err| format!("could not search `{shown}`: {err}"))
}

struct Walk {
    root: PathBuf,
    stopped: Arc<AtomicBool>,
}

impl Walk {
    /// Calls `look` with the name and path of each regular file until it says `false`; links are not followed.
    fn each_file(&self, look: &mut dyn FnMut(&str, &Path) -> bool) -> io::Result<()> {
        if self.root.is_file() {
            look(&self.root.to_string_lossy(), &self.root);
            return Ok(());
        }
        let mut folders = vec![self.root.clone()];
        let mut entries = 0;
        while let Some(folder) = folders.pop() {
            let read = match fs::read_dir(&folder) {
                Ok(read) => read,
                Err(err) if folder == self.root => return Err(err),
                Err(_) => continue, // It went away, or is not ours to read.
            };
            let mut paths: Vec<_> = read.flatten().collect();
            paths.sort_by_key(fs::DirEntry::file_name);
            for entry in paths {
                entries += 1;
                if MAX_ENTRIES < entries || self.stopped.load(Relaxed) {
                    return Ok(());
                }
                let Ok(kind) = entry.file_type() else { continue };
                let path = entry.path();
                if kind.is_dir() {
                    if !SKIPPED.iter().any(|it| entry.file_name() == *it) {
                        folders.push(path);
                    }
                } else if kind.is_file() {
                    let name = path.strip_prefix(&self.root).unwrap_or(&path).to_string_lossy();
                    if !look(&name, &path) {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }
}

/// The text of a file, or none when it is too large or no text.
fn text_of(path: &Path) -> Option<String> {
    if MAX_SEARCHED_BYTES < fs::metadata(path).ok()?.len() {
        return None;
    }
    let bytes = fs::read(path).ok()?;
    if bytes.contains(&0) {
        return None;
    }
    String::from_utf8(bytes).ok()
}

fn pattern(text: &str) -> Result<Regex, String> {
    RegexBuilder::new(text)
        .size_limit(MAX_PATTERN_BYTES)
        .build()
        .map_err(|err| format!("`{text}` is no regular expression: {err}"))
}

/// A file pattern as a regular expression: `*` and `?` within a name, `**` over folders, `{a,b}`. One without a slash
/// fits in any folder.
fn glob(text: &str) -> Result<Regex, String> {
    let mut res = String::from(if text.contains('/') { "^" } else { "^(?:.*/)?" });
    let mut rest = text.chars().peekable();
    let mut depth = 0;
    while let Some(c) = rest.next() {
        match c {
            '*' if rest.next_if_eq(&'*').is_some() => {
                res += if rest.next_if_eq(&'/').is_some() { "(?:.*/)?" } else { ".*" };
            }
            '*' => res += "[^/]*",
            '?' => res += "[^/]",
            '{' => {
                depth += 1;
                res += "(?:";
            }
            '}' if 0 < depth => {
                depth -= 1;
                res.push(')');
            }
            ',' if 0 < depth => res.push('|'),
            other => res += &regex::escape(other.encode_utf8(&mut [0; 4])),
        }
    }
    pattern(&(res + "$")).map_err(|_| format!("`{text}` is no file pattern"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn glob_table() {
        #[rustfmt::skip]
        let table = [
            ("*.rs",          "a.rs",           true),
            ("*.rs",          "src/a.rs",       true),
            ("src/*.rs",      "src/b/a.rs",     false),
            ("src/**/*.rs",   "src/b/a.rs",     true),
            ("src/**/*.rs",   "src/a.rs",       true),
            ("**/*.{md,txt}", "a/b.txt",        true),
            ("**/*.{md,txt}", "a/b.rs",         false),
            ("a?c",           "abc",            true),
            ("a.c",           "abc",            false),
        ];
        for (pattern, name, want) in table {
            assert_eq!(glob(pattern).unwrap().is_match(name), want, "{pattern} {name}");
        }
        assert!(glob("{a").is_err());
    }
}
