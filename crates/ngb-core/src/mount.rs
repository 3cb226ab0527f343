//! Host folders and files that an agent may see besides its own: what a group asks for, what the operator allows, and the
//! verdict. Nothing here looks at a disk.

use std::{
    fmt,
    path::{Component, Path, PathBuf},
    str::FromStr,
};

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Where mounts stand inside a sandbox, each under its name.
pub const EXTRA: &str = "/workspace/extra";

/// Mounts of one group.
pub const MAX_MOUNTS: usize = 32;

/// Longest name, in bytes.
const MAX_NAME_BYTES: usize = 64;

/// Names that hold keys wherever they stand, without regard to case; `*` is any text. No list of the operator's takes one
/// away.
const ALWAYS_BLOCKED: &[&str] = &[
    ".ssh",
    ".gnupg",
    ".gpg",
    ".aws",
    ".azure",
    ".gcloud",
    ".kube",
    ".docker",
    ".env",
    ".env.*",
    ".netrc",
    ".npmrc",
    ".pypirc",
    ".git-credentials",
    ".secret",
    ".secrets",
    "credentials",
    "secrets",
    "id_rsa*",
    "id_ecdsa*",
    "id_ed25519*",
    "private_key*",
    "*.pem",
    "*.key",
    "*.p12",
    "*.pfx",
    "*.kdbx",
];

/// Folders of the system that tell or steer the machine, or hold the sockets of its services.
const NEVER: &[&str] = &["/proc", "/sys", "/dev", "/run", "/var/run", "/boot"];

/// One folder or file of the host in an agent's sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mount {
    /// Where it is on the host: an absolute path, or one that begins with `~/`.
    pub host: PathBuf,
    /// What it is called inside, under [`EXTRA`].
    pub name: MountName,
    /// Whether the agent may change it.
    #[serde(default)]
    pub write: bool,
}

impl Mount {
    /// Where it stands inside.
    pub fn inside(&self) -> PathBuf {
        Path::new(EXTRA).join(&self.name.0)
    }
}

/// A name of one component, for a mount inside.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
pub struct MountName(String);

impl MountName {
    /// The name that a path has on the host, as far as it will do inside.
    pub fn of(host: &Path) -> Option<Self> {
        host.file_name()?.to_str()?.parse().ok()
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error(
    "`{0}` is no name for a mount: letters, digits, `.`, `_` and `-`, no dot first, {MAX_NAME_BYTES} bytes at most"
)]
pub struct BadMountName(String);

impl FromStr for MountName {
    type Err = BadMountName;

    fn from_str(s: &str) -> Result<Self, BadMountName> {
        let plain = |it: char| it.is_alphanumeric() || matches!(it, '.' | '_' | '-');
        let good = !s.is_empty() && s.len() <= MAX_NAME_BYTES && !s.starts_with('.');
        if good && s.chars().all(plain) {
            Ok(Self(s.to_owned()))
        } else {
            Err(BadMountName(s.to_owned()))
        }
    }
}

impl TryFrom<String> for MountName {
    type Error = BadMountName;

    fn try_from(s: String) -> Result<Self, BadMountName> {
        s.parse()
    }
}

impl From<MountName> for String {
    fn from(name: MountName) -> Self {
        name.0
    }
}

/// What the operator lets groups mount: `<home>/mount-allowlist.toml`, or the original's `mount-allowlist.json`. Without
/// a file nothing may be mounted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Allowlist {
    /// What lies in one of these may be mounted.
    #[serde(alias = "allowedRoots")]
    pub roots: Vec<Root>,
    /// Names that may not be part of a path, besides the fixed ones; `*` is any text.
    #[serde(alias = "blockedPatterns")]
    pub blocked: Vec<String>,
    /// Whether only the main group may write.
    #[serde(alias = "nonMainReadOnly")]
    pub non_main_read_only: bool,
}

/// A folder whose content may be mounted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Root {
    /// An absolute path, or one that begins with `~/`.
    pub path: PathBuf,
    /// Whether it may be mounted for writing.
    #[serde(alias = "allowReadWrite")]
    pub write: bool,
    /// For the operator.
    pub description: String,
}

/// What is asked, with all links resolved.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// As it was written.
    pub host: &'a Path,
    /// Where that is, without a link in it.
    pub real: &'a Path,
    pub write: bool,
    /// Whether it is the main group that asks.
    pub by_main: bool,
    /// The gateway's own folder, without a link in it.
    pub home: &'a Path,
}

/// Why something may not be mounted.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum MountRefusal {
    #[error("`{0}` is no absolute path")]
    NotAbsolute(PathBuf),
    #[error("`{0}` has `..` in it")]
    Parent(PathBuf),
    #[error("`{0}` is not there")]
    Missing(PathBuf),
    #[error("`{path}` can't be looked at: {why}")]
    Unreadable { path: PathBuf, why: String },
    #[error("`{0}` is neither a folder nor a file")]
    Special(PathBuf),
    #[error("`{0}` belongs to the system")]
    System(PathBuf),
    #[error("`{0}` holds the gateway's own folder, or lies in it")]
    Home(PathBuf),
    #[error("`{name}` in `{path}` is a name that holds keys (pattern `{pattern}`)")]
    Blocked { path: PathBuf, name: String, pattern: String },
    #[error("`{0}` is in no folder that may be mounted")]
    NotAllowed(PathBuf),
    #[error(
        "`{0}` may only be read: its folder in the list of what may be mounted doesn't say `write = true`"
    )]
    ReadOnlyRoot(PathBuf),
    #[error(
        "`{0}` may only be read: the list of what may be mounted lets only the main group write"
    )]
    ReadOnlyGroup(PathBuf),
    #[error("the list of what may be mounted can't be read: {0}")]
    BadList(String),
}

impl MountRefusal {
    /// What to do, as one sentence; `list` is the file that says what may be mounted.
    pub fn hint(&self, list: &Path) -> String {
        match self {
            Self::NotAbsolute(_) => "Write the path from `/` on, or from `~/`.".to_owned(),
            Self::Parent(path)
            | Self::Missing(path)
            | Self::Special(path)
            | Self::Unreadable { path, .. } => {
                format!("Look at it: `ls -ld {}`.", path.display())
            }
            Self::System(_) | Self::Home(_) | Self::Blocked { .. } => {
                "No setting allows this; put what the agent needs into a folder of its own."
                    .to_owned()
            }
            Self::NotAllowed(path) => format!(
                "Add its folder to `{}`: `[[roots]]` and below it `path = \"{}\"`.",
                list.display(),
                path.parent().unwrap_or(path).display()
            ),
            Self::ReadOnlyRoot(_) => {
                format!(
                    "Mount it without writing, or set `write = true` under its folder in `{}`.",
                    list.display()
                )
            }
            Self::ReadOnlyGroup(_) => format!(
                "Mount it without writing, or take `non_main_read_only` out of `{}`.",
                list.display()
            ),
            Self::BadList(_) => format!("Mend `{}`.", list.display()),
        }
    }
}

impl Allowlist {
    /// Judges what is asked. `roots` are those of the list with all links resolved; one that isn't there is left out.
    ///
    /// # Errors
    ///
    /// The first rule that is against it.
    pub fn judge(&self, roots: &[Root], asked: Asked<'_>) -> Result<(), MountRefusal> {
        let Asked { host, real, write, by_main, home } = asked;
        written_well(host)?;
        let mut never = NEVER.iter().map(Path::new);
        if real == Path::new("/") || never.any(|it| real.starts_with(it)) {
            return Err(MountRefusal::System(real.to_owned()));
        }
        if real.starts_with(home) || home.starts_with(real) {
            return Err(MountRefusal::Home(real.to_owned()));
        }
        // Both, so that a link with a harmless name can't lead to one, nor one be shown under a harmless name.
        for path in [host, real] {
            if let Some((name, pattern)) = self.blocks(path) {
                return Err(MountRefusal::Blocked { path: path.to_owned(), name, pattern });
            }
        }
        let mut within = roots.iter().filter(|it| real.starts_with(&it.path)).peekable();
        if within.peek().is_none() {
            return Err(MountRefusal::NotAllowed(real.to_owned()));
        }
        if write && !within.any(|it| it.write) {
            return Err(MountRefusal::ReadOnlyRoot(real.to_owned()));
        }
        if write && !by_main && self.non_main_read_only {
            return Err(MountRefusal::ReadOnlyGroup(real.to_owned()));
        }
        Ok(())
    }

    /// The first component of `path` that a pattern blocks, and the pattern.
    pub fn blocks(&self, path: &Path) -> Option<(String, String)> {
        let patterns =
            ALWAYS_BLOCKED.iter().copied().chain(self.blocked.iter().map(String::as_str));
        let patterns: Vec<(Regex, &str)> = patterns.map(|it| (pattern(it), it)).collect();
        path.components().find_map(|it| {
            let Component::Normal(name) = it else { return None };
            let name = name.to_string_lossy();
            let found = patterns.iter().find(|(regex, _)| regex.is_match(&name))?;
            Some((name.into_owned(), found.1.to_owned()))
        })
    }
}

/// # Errors
///
/// When the path is not one that may be looked at at all.
pub fn written_well(host: &Path) -> Result<(), MountRefusal> {
    if !host.is_absolute() {
        return Err(MountRefusal::NotAbsolute(host.to_owned()));
    }
    if host.components().any(|it| it == Component::ParentDir) {
        return Err(MountRefusal::Parent(host.to_owned()));
    }
    Ok(())
}

/// A whole name, without regard to case, in which `*` is any text.
fn pattern(text: &str) -> Regex {
    let parts: Vec<String> = text.split('*').map(regex::escape).collect();
    RegexBuilder::new(&format!("^(?s:{})$", parts.join(".*")))
        .case_insensitive(true)
        .build()
        .expect("escaped text with `.*` in it is a pattern")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(path: &str, write: bool) -> Root {
        Root { path: path.into(), write, description: String::new() }
    }

    #[test]
    fn verdicts() {
        let roots = [root("/srv", false), root("/srv/shared", true), root("/opt/own", true)];
        let list = Allowlist {
            blocked: vec!["*salar*".into()],
            non_main_read_only: false,
            roots: roots.to_vec(),
        };
        let path = PathBuf::from;
        let blocked = |it: &str, name: &str, pattern: &str| {
            Err(MountRefusal::Blocked {
                path: it.into(),
                name: name.into(),
                pattern: pattern.into(),
            })
        };
        #[rustfmt::skip]
        let table = [
            // as written            where it is               write  verdict
            ("/srv/docs",            "/srv/docs",              false, Ok(())),
            ("/srv",                 "/srv",                   false, Ok(())),
            ("/srv/secretary",       "/srv/secretary",         false, Ok(())), // a component, not a part of one
            ("/srv/docs",            "/srv/docs",              true,  Err(MountRefusal::ReadOnlyRoot(path("/srv/docs")))),
            ("/srv/shared/a",        "/srv/shared/a",          true,  Ok(())),
            ("/srv-not",             "/srv-not",               false, Err(MountRefusal::NotAllowed(path("/srv-not")))),
            ("/srv/link",            "/home/me",               false, Err(MountRefusal::NotAllowed(path("/home/me")))),
            ("/srv/link",            "/etc/shadow",            false, Err(MountRefusal::NotAllowed(path("/etc/shadow")))),
            ("/srv/../etc",          "/etc",                   false, Err(MountRefusal::Parent(path("/srv/../etc")))),
            ("srv",                  "/srv",                   false, Err(MountRefusal::NotAbsolute(path("srv")))),
            ("/",                    "/",                      false, Err(MountRefusal::System(path("/")))),
            ("/srv/p",               "/proc/1/root",           false, Err(MountRefusal::System(path("/proc/1/root")))),
            ("/var/run/docker.sock", "/run/docker.sock",       false, Err(MountRefusal::System(path("/run/docker.sock")))),
            ("/opt/own/ngb/groups",  "/opt/own/ngb/groups",    false, Err(MountRefusal::Home(path("/opt/own/ngb/groups")))),
            ("/opt/own",             "/opt/own",               false, Err(MountRefusal::Home(path("/opt/own")))),
            ("/srv/me/.SSH",         "/srv/me/.SSH",           false, blocked("/srv/me/.SSH", ".SSH", ".ssh")),
            ("/srv/keys",            "/srv/me/.ssh/keys",      false, blocked("/srv/me/.ssh/keys", ".ssh", ".ssh")),
            ("/srv/.aws/a",          "/srv/plain",             false, blocked("/srv/.aws/a", ".aws", ".aws")),
            ("/srv/app/.env.local",  "/srv/app/.env.local",    false, blocked("/srv/app/.env.local", ".env.local", ".env.*")),
            ("/srv/tls/web.pem",     "/srv/tls/web.pem",       false, blocked("/srv/tls/web.pem", "web.pem", "*.pem")),
            ("/srv/Salaries",        "/srv/Salaries",          false, blocked("/srv/Salaries", "Salaries", "*salar*")),
        ];
        let home = Path::new("/opt/own/ngb");
        for (host, real, write, want) in table {
            let (host, real) = (Path::new(host), Path::new(real));
            let asked = Asked { host, real, write, by_main: false, home };
            assert_eq!(list.judge(&roots, asked), want, "{} -> {}", host.display(), real.display());
        }
    }

    #[test]
    fn only_the_main_group_writes_where_it_is_said() {
        let roots = [root("/srv", true)];
        let list = Allowlist { non_main_read_only: true, ..Allowlist::default() };
        let asked = |write, by_main| Asked {
            host: Path::new("/srv/a"),
            real: Path::new("/srv/a"),
            write,
            by_main,
            home: Path::new("/ngb"),
        };
        assert_eq!(list.judge(&roots, asked(true, true)), Ok(()));
        assert_eq!(list.judge(&roots, asked(false, false)), Ok(()));
        let refused = Err(MountRefusal::ReadOnlyGroup("/srv/a".into()));
        assert_eq!(list.judge(&roots, asked(true, false)), refused);
    }

    #[test]
    fn nothing_is_allowed_without_a_list() {
        let asked = Asked {
            host: Path::new("/srv/a"),
            real: Path::new("/srv/a"),
            write: false,
            by_main: true,
            home: Path::new("/ngb"),
        };
        let refused = Allowlist::default().judge(&[], asked);
        assert_eq!(refused, Err(MountRefusal::NotAllowed("/srv/a".into())));
    }

    #[test]
    fn names() {
        for good in ["docs", "a.b-c_1", "文档"] {
            assert!(good.parse::<MountName>().is_ok(), "{good}");
        }
        for bad in ["", ".", "..", ".hidden", "a/b", "a:b", "a b", "a\0b", &"x".repeat(65)] {
            assert!(bad.parse::<MountName>().is_err(), "{bad:?}");
        }
    }
}
