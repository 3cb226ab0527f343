//! Where an agent's folders and its way out are.

use std::path::{Component, Path, PathBuf};

/// Inside every sandbox the folders stand here.
const ROOT: &str = "/workspace";

/// The folder of the broker's socket inside a sandbox.
const RUN: &str = "/run/ngb";

/// Names a folder with `group`, `lane` and `broker` in it, for where there is no sandbox: engine `bare`, and tests.
const VARIABLE: &str = "NGB_WORKSPACE";

/// The folders that an agent works in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folders {
    /// Shared by all lanes of the group; where tools work.
    pub group: PathBuf,
    /// The lane's own: transcripts, memory, home.
    pub lane: PathBuf,
    /// What the operator wrote for the group and for all groups, read-only; may be absent.
    pub instructions: PathBuf,
    /// The skills that the operator wrote, read-only; may be absent.
    pub skills: PathBuf,
    /// The broker's socket.
    pub broker: PathBuf,
    /// Where programs drop files that are calls (`drops.rs`).
    pub drops: PathBuf,
}

impl Folders {
    /// Those of a sandbox, or those under the folder that `NGB_WORKSPACE` names.
    pub fn from_env() -> Self {
        match std::env::var_os(VARIABLE) {
            Some(root) => Self::under(Path::new(&root)),
            None => {
                Self { broker: Path::new(RUN).join("broker.sock"), ..Self::under(ROOT.as_ref()) }
            }
        }
    }

    /// Those under `root`.
    pub fn under(root: &Path) -> Self {
        Self {
            group: root.join("group"),
            lane: root.join("lane"),
            instructions: root.join("instructions"),
            skills: root.join("skills"),
            broker: root.join("broker/broker.sock"),
            drops: root.join("ipc"),
        }
    }

    /// The path that a model or a person means by `path`: relative to the group's folder; `/workspace/..` wherever the
    /// workspace is. It is no wall: the sandbox is.
    pub(crate) fn resolve(&self, path: &str) -> PathBuf {
        let path = Path::new(path);
        let full = match path.strip_prefix(ROOT) {
            Ok(rest) => {
                let mut parts = rest.components();
                match parts.next() {
                    Some(Component::Normal(it)) if it == "lane" => self.lane.join(parts.as_path()),
                    Some(Component::Normal(it)) if it == "skills" => {
                        self.skills.join(parts.as_path())
                    }
                    Some(Component::Normal(it)) if it == "group" => {
                        self.group.join(parts.as_path())
                    }
                    _ => path.to_owned(),
                }
            }
            Err(_) => self.group.join(path),
        };
        // `a/./b` and `a/../b` name the same file as `b` would, for "was it read before".
        let mut plain = PathBuf::new();
        for part in full.components() {
            match part {
                Component::CurDir => {}
                Component::ParentDir => {
                    plain.pop();
                }
                _ => plain.push(part),
            }
        }
        plain
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolve_table() {
        let folders = Folders::under("/tmp/x".as_ref());
        #[rustfmt::skip]
        let table = [
            ("a.txt",                    "/tmp/x/group/a.txt"),
            ("./b/../a.txt",             "/tmp/x/group/a.txt"),
            ("/workspace/group/a.txt",   "/tmp/x/group/a.txt"),
            ("/workspace/skills/a/b",    "/tmp/x/skills/a/b"),
            ("/workspace/lane/m.md",     "/tmp/x/lane/m.md"),
            ("/etc/hosts",               "/etc/hosts"),
            ("/workspace",               "/workspace"),
        ];
        for (given, want) in table {
            assert_eq!(folders.resolve(given), Path::new(want), "{given}");
        }
    }
}
