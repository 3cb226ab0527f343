//! What an agent writes down for itself: the steps of its work, and what the lane remembers.

use std::{fs, io};

use serde::Deserialize;

use crate::{Folders, tools::file::store};

/// Longest `MEMORY.md`, in bytes: it stands in every prompt.
pub(crate) const MAX_MEMORY_BYTES: usize = 16 * 1024;

/// Most steps of a list, and longest step in bytes.
const MAX_STEPS: usize = 100;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Todo {
    items: Vec<Item>,
}

#[derive(Clone, Debug, Deserialize)]
struct Item {
    text: String,
    #[serde(default)]
    done: bool,
}

impl Todo {
    pub(crate) fn run(self) -> Result<String, String> {
        if MAX_STEPS < self.items.len() {
            return Err(format!("{} steps are more than {MAX_STEPS}", self.items.len()));
        }
        let lines = self.items.iter().map(|it| {
            let mark = if it.done { 'x' } else { ' ' };
            format!("- [{mark}] {}", it.text)
        });
        Ok(lines.collect::<Vec<_>>().join("\n"))
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Memory {
    content: String,
}

impl Memory {
    pub(crate) fn run(self, folders: &Folders) -> Result<String, String> {
        let bytes = self.content.len();
        if MAX_MEMORY_BYTES < bytes {
            return Err(format!("{bytes} bytes are more than {MAX_MEMORY_BYTES}; shorten it"));
        }
        self.keep(folders).map_err(|err| format!("could not write `MEMORY.md`: {err}"))
    }

    /// The version before goes aside first: at no instant is there none.
    fn keep(&self, folders: &Folders) -> io::Result<String> {
        let path = folders.lane.join("MEMORY.md");
        let aside = folders.lane.join("memory");
        fs::create_dir_all(&aside)?;
        let numbers = fs::read_dir(&aside)?
            .flatten()
            .filter_map(|it| it.file_name().to_str()?.strip_suffix(".md")?.parse::<u64>().ok());
        let next = numbers.max().unwrap_or(0) + 1;
        match fs::read(&path) {
            Ok(old) => store(&aside.join(format!("{next}.md")), &old)?,
            Err(err) if err.kind() == io::ErrorKind::NotFound => {}
            Err(err) => return Err(err),
        }
        store(&path, self.content.as_bytes())?;
        Ok(format!("remembered ({} bytes)", self.content.len()))
    }
}
