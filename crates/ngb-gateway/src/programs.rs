//! Agents that others wrote: what of them is on this machine, and how it comes into a sandbox.

use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
};

use thiserror::Error;

use ngb_core::driver::Driver;

/// The version of Claude Code that the driver is tested with, from npm.
pub const CLAUDE_VERSION: &str = "2.1.330";

/// The command line's name on the search path.
const CLAUDE: &str = "claude";

/// Where the command line stands inside a sandbox.
const CLAUDE_INSIDE: &str = "/opt/claude-code";

/// How an executable begins that needs nothing beside itself but the system's libraries.
const ELF: [u8; 4] = [0x7f, b'E', b'L', b'F'];

/// What the settings say of programs that drivers need.
#[derive(Clone, Debug, Default)]
pub struct Programs {
    /// Claude Code's executable; none is the one on the search path.
    pub claude: Option<PathBuf>,
    /// The folders of the search path.
    pub search: Vec<PathBuf>,
    /// A command, inside the sandbox, that speaks the Agent Client Protocol.
    pub acp: Vec<String>,
    /// A folder of the host that it needs, which stands at the same place inside.
    pub acp_folder: Option<PathBuf>,
}

/// A driver's program is not on this machine.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum NoProgram {
    #[error(
        "Claude Code is not on this machine: there is no `claude` on the search path; install it with \
         `npm install --global @anthropic-ai/claude-code@{CLAUDE_VERSION}`, or set `[agent] claude_path`"
    )]
    ClaudeNotFound,
    #[error("`[agent] claude_path` is `{path}`, which can't be read: {why}")]
    Unreadable { path: PathBuf, why: String },
    #[error(
        "the driver `acp` needs a command: set `[agent] acp_command`, such as [\"gemini\", \"--experimental-acp\"]"
    )]
    NoCommand,
    #[error("`[agent] acp_folder` is `{path}`, which is no folder")]
    NoFolder { path: PathBuf },
}

/// What an agent is started with for its driver.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Outfit {
    /// Arguments after `nanogridbot agent`.
    pub(crate) args: Vec<String>,
    /// Host paths and where they stand inside, read-only.
    pub(crate) read_only: Vec<(PathBuf, PathBuf)>,
}

impl Programs {
    /// Claude Code's executable, without links.
    ///
    /// # Errors
    ///
    /// When it is not there; the error says how to get it.
    pub fn find_claude(&self) -> Result<PathBuf, NoProgram> {
        if let Some(path) = &self.claude {
            let unreadable = |err: std::io::Error| NoProgram::Unreadable {
                path: path.clone(),
                why: err.to_string(),
            };
            return path.canonicalize().map_err(unreadable);
        }
        let on_path = self.search.iter().map(|it| it.join(CLAUDE)).find(|it| it.is_file());
        on_path.and_then(|it| it.canonicalize().ok()).ok_or(NoProgram::ClaudeNotFound)
    }

    /// What `driver` needs; `is_apart` is false where there is no other file system inside (engine `bare`).
    ///
    /// # Errors
    ///
    /// When its program is not there.
    pub(crate) fn outfit(&self, driver: Driver, is_apart: bool) -> Result<Outfit, NoProgram> {
        let mut res = Outfit {
            args: vec!["--driver".to_owned(), driver.as_str().to_owned()],
            read_only: Vec::new(),
        };
        match driver {
            Driver::Demo | Driver::Builtin => {}
            Driver::ClaudeCode => {
                let path = self.find_claude()?;
                let inside = if is_apart {
                    let (from, to, program) = claude_inside(&path);
                    res.read_only.push((from, to));
                    program
                } else {
                    path
                };
                res.args.push(inside.to_string_lossy().into_owned());
            }
            Driver::Acp => {
                if self.acp.is_empty() {
                    return Err(NoProgram::NoCommand);
                }
                if let Some(path) = &self.acp_folder {
                    if !path.is_dir() {
                        return Err(NoProgram::NoFolder { path: path.clone() });
                    }
                    res.read_only.push((path.clone(), path.clone()));
                }
                res.args.extend(self.acp.iter().cloned());
            }
        }
        Ok(res)
    }
}

/// What is mounted, where, and the program there: an executable comes alone, a script with its folder.
fn claude_inside(path: &Path) -> (PathBuf, PathBuf, PathBuf) {
    let inside = Path::new(CLAUDE_INSIDE);
    let name = path.file_name().unwrap_or_default();
    let mut start = [0; ELF.len()];
    let is_elf =
        File::open(path).and_then(|mut it| it.read_exact(&mut start)).is_ok() && start == ELF;
    let program = inside.join(name);
    match path.parent().filter(|_| !is_elf) {
        Some(folder) => (folder.to_owned(), inside.to_owned(), program),
        None => (path.to_owned(), program.clone(), program),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn claude_is_found_and_comes_alone() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let mut programs = Programs { search: vec![root.join("bin")], ..Programs::default() };
        let missing = programs.outfit(Driver::ClaudeCode, true).unwrap_err();
        assert!(missing.to_string().contains("npm install --global @anthropic-ai/claude-code@2"));
        for folder in ["bin", "package"] {
            fs::create_dir(root.join(folder)).unwrap();
        }
        let program = root.join("package/cli");
        symlink(&program, root.join("bin/claude")).unwrap();
        #[rustfmt::skip]
        let table: [(&[u8], &str, &str); 2] = [
            (b"\x7fELF\x02\x01",   "package/cli", "/opt/claude-code/cli"),
            (b"#!/usr/bin/node\n", "package",     "/opt/claude-code"),
        ];
        for (start, from, to) in table {
            fs::write(&program, start).unwrap();
            let outfit = programs.outfit(Driver::ClaudeCode, true).unwrap();
            assert_eq!(outfit.args, ["--driver", "claude-code", "/opt/claude-code/cli"]);
            assert_eq!(outfit.read_only, [(root.join(from), PathBuf::from(to))]);
        }
        let bare = programs.outfit(Driver::ClaudeCode, false).unwrap();
        assert_eq!(bare.args[2], program.to_str().unwrap());
        assert!(bare.read_only.is_empty());
        programs.claude = Some(root.join("elsewhere"));
        let missing = programs.outfit(Driver::ClaudeCode, true).unwrap_err();
        assert!(missing.to_string().contains("`[agent] claude_path`"), "{missing}");
    }

    #[test]
    fn acp_has_a_command_and_perhaps_a_folder() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().to_owned();
        let mut programs = Programs::default();
        assert_eq!(programs.outfit(Driver::Acp, true), Err(NoProgram::NoCommand));
        programs.acp = vec!["gemini".into(), "--experimental-acp".into()];
        programs.acp_folder = Some(folder.clone());
        let outfit = programs.outfit(Driver::Acp, true).unwrap();
        assert_eq!(outfit.args, ["--driver", "acp", "gemini", "--experimental-acp"]);
        assert_eq!(outfit.read_only, [(folder.clone(), folder.clone())]);
        programs.acp_folder = Some(folder.join("gone"));
        assert!(matches!(programs.outfit(Driver::Acp, true), Err(NoProgram::NoFolder { .. })));
    }
}
