//! Host folders in a group's sandboxes: what the operator's list says now, and where each really is.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use ngb_core::{
    group::Group,
    mount::{Allowlist, Asked, EXTRA, MAX_MOUNTS, Mount, MountRefusal, Root, written_well},
};
use ngb_sandbox::HostMount;

use crate::handle::HandleError;

/// The operator's list, in the gateway's folder, which no sandbox sees.
const LIST: &str = "mount-allowlist.toml";

/// The same as the original wrote it; read where there is no other.
const ORIGINAL_LIST: &str = "mount-allowlist.json";

/// Names that are looked at in a folder, for those that hold keys.
const MAX_LOOKED_AT: usize = 10_000;

/// What may be mounted on this host, as it stands now.
pub struct Mounts {
    /// The file that says so.
    pub list_path: PathBuf,
    list: Allowlist,
    /// The folders of the list that are there, without a link in them.
    roots: Vec<Root>,
    /// Ours, without a link in it.
    home: PathBuf,
}

/// Something that may be mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// Where it is, without a link in it.
    pub real: PathBuf,
    /// What somebody should know who mounts it, one sentence each.
    pub remarks: Vec<String>,
}

impl Mounts {
    /// Reads the list of `<home>`.
    ///
    /// # Errors
    ///
    /// When it is there and can't be read.
    pub fn read(home: &Path) -> Result<Self, MountRefusal> {
        let bad = |path: &Path, err: &dyn std::fmt::Display| {
            MountRefusal::BadList(format!("`{}`: {err}", path.display()))
        };
        let (path, original) = (home.join(LIST), home.join(ORIGINAL_LIST));
        let (list_path, list) = match (read(&path), read(&original)) {
            (Err(err), _) => return Err(bad(&path, &err)),
            (Ok(Some(text)), _) => {
                let list = toml::from_str(&text).map_err(|err| bad(&path, &err.message()))?;
                (path, list)
            }
            (Ok(None), Err(err)) => return Err(bad(&original, &err)),
            (Ok(None), Ok(Some(text))) => {
                let list = serde_json::from_str(&text).map_err(|err| bad(&original, &err))?;
                (original, list)
            }
            (Ok(None), Ok(None)) => (path, Allowlist::default()),
        };
        let list: Allowlist = list;
        let real = |root: &Root| {
            let path = fs::canonicalize(expand(&root.path)).ok()?;
            Some(Root { path, ..root.clone() })
        };
        let roots = list.roots.iter().filter_map(real).collect();
        let home = fs::canonicalize(home).map_err(|err| MountRefusal::Unreadable {
            path: home.to_owned(),
            why: err.to_string(),
        })?;
        Ok(Self { list_path, list, roots, home })
    }

    /// Whether `host` may be mounted, and where it really is.
    ///
    /// # Errors
    ///
    /// The first rule that is against it.
    pub fn check(&self, host: &Path, write: bool, by_main: bool) -> Result<Allowed, MountRefusal> {
        let host = expand(host);
        written_well(&host)?;
        let unreadable = |err: &io::Error| match err.kind() {
            io::ErrorKind::NotFound => MountRefusal::Missing(host.clone()),
            _ => MountRefusal::Unreadable { path: host.clone(), why: err.to_string() },
        };
        let real = fs::canonicalize(&host).map_err(|err| unreadable(&err))?;
        self.list.judge(
            &self.roots,
            Asked { host: &host, real: &real, write, by_main, home: &self.home },
        )?;
        let kind = fs::symlink_metadata(&real).map_err(|err| unreadable(&err))?.file_type();
        if !kind.is_dir() && !kind.is_file() {
            return Err(MountRefusal::Special(real));
        }
        let remarks = if kind.is_dir() { self.remarks(&real) } else { Vec::new() };
        Ok(Allowed { real, remarks })
    }

    /// The mounts of a run of `group`.
    ///
    /// # Errors
    ///
    /// The first that may not be, any more.
    pub(crate) fn of(&self, group: &Group) -> Result<Vec<HostMount>, MountRefusal> {
        let judged = |it: &Mount| {
            let allowed = self.check(&it.host, it.write, group.is_main)?;
            Ok(HostMount { real: allowed.real, inside: it.inside(), write: it.write })
        };
        group.limits.mounts.iter().map(judged).collect()
    }

    /// What lies in a folder and is reached through it.
    fn remarks(&self, folder: &Path) -> Vec<String> {
        let Ok(entries) = fs::read_dir(folder) else {
            return vec![format!("`{}` can't be read by the gateway's user", folder.display())];
        };
        let names = entries.flatten().take(MAX_LOOKED_AT).map(|it| it.file_name());
        let blocked = names.filter(|it| self.list.blocks(Path::new(it)).is_some());
        blocked
            .map(|it| {
                let name = it.to_string_lossy().into_owned();
                format!(
                    "`{name}` lies in it, and the agent can read it; mount a folder below instead"
                )
            })
            .collect()
    }
}

/// Whether `group` may have its mounts now.
///
/// # Errors
///
/// The first that may not be, and what to do.
pub(crate) fn judge_all(home: &Path, group: &Group) -> Result<(), HandleError> {
    if group.limits.mounts.is_empty() {
        return Ok(());
    }
    let refused = |refusal: &MountRefusal, list: &Path| HandleError::Limit {
        message: refusal.to_string(),
        hint: Some(refusal.hint(list)),
    };
    let mounts = Mounts::read(home).map_err(|it| refused(&it, &home.join(LIST)))?;
    mounts.of(group).map(drop).map_err(|it| refused(&it, &mounts.list_path))
}

/// What of a group's mounts can't be, whatever the list says.
///
/// # Errors
///
/// In words.
pub(crate) fn well_formed(mounts: &[Mount]) -> Result<(), String> {
    if MAX_MOUNTS < mounts.len() {
        return Err(format!("{} mounts; a group may have {MAX_MOUNTS}", mounts.len()));
    }
    for (n, mount) in mounts.iter().enumerate() {
        if mounts[..n].iter().any(|it| it.name == mount.name) {
            return Err(format!("two mounts are called `{EXTRA}/{}`", mount.name));
        }
    }
    Ok(())
}

/// A file's text; none where there is no file.
fn read(path: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(err) => Err(err),
    }
}

/// `~/` is the folder of the gateway's user.
fn expand(path: &Path) -> PathBuf {
    match (path.strip_prefix("~"), std::env::home_dir()) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn stage() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().canonicalize().unwrap();
        for folder in ["home", "srv/docs", "srv/me/.ssh", "other"] {
            fs::create_dir_all(base.join(folder)).unwrap();
        }
        fs::write(base.join("other/text"), "x").unwrap();
        (dir, base)
    }

    #[test]
    fn links_are_judged_by_where_they_lead() {
        let (_dir, base) = stage();
        let list = format!("[[roots]]\npath = \"{}\"\nwrite = true\n", base.join("srv").display());
        fs::write(base.join("home").join(LIST), list).unwrap();
        symlink(base.join("other"), base.join("srv/out")).unwrap();
        symlink(base.join("srv/me/.ssh"), base.join("srv/keys")).unwrap();
        symlink(base.join("srv/docs"), base.join("other/in")).unwrap();
        let mounts = Mounts::read(&base.join("home")).unwrap();
        let check = |it: &str| mounts.check(&base.join(it), true, false).map(|it| it.real);

        assert_eq!(check("srv/docs"), Ok(base.join("srv/docs")));
        assert_eq!(check("other/in"), Ok(base.join("srv/docs")));
        assert_eq!(check("srv/out"), Err(MountRefusal::NotAllowed(base.join("other"))));
        assert!(matches!(check("srv/keys"), Err(MountRefusal::Blocked { .. })));
        assert_eq!(check("srv/none"), Err(MountRefusal::Missing(base.join("srv/none"))));
        assert_eq!(check("home"), Err(MountRefusal::Home(base.join("home"))));
        let remarks = mounts.check(&base.join("srv/me"), false, false).unwrap().remarks;
        assert!(remarks[0].contains("`.ssh` lies in it"), "{remarks:?}");
    }

    #[test]
    fn the_originals_list_is_read_and_a_broken_one_names_itself() {
        let (_dir, base) = stage();
        let home = base.join("home");
        let root = base.join("srv");
        let list = serde_json::json!({
            "allowedRoots": [{ "path": root, "allowReadWrite": true, "description": "mine" }],
            "blockedPatterns": ["docs"],
            "nonMainReadOnly": true,
        });
        fs::write(home.join(ORIGINAL_LIST), list.to_string()).unwrap();
        let mounts = Mounts::read(&home).unwrap();
        assert!(matches!(
            mounts.check(&root.join("docs"), false, true),
            Err(MountRefusal::Blocked { .. })
        ));
        assert!(mounts.check(&root, true, true).is_ok());
        assert_eq!(mounts.check(&root, true, false), Err(MountRefusal::ReadOnlyGroup(root)));

        fs::write(home.join(LIST), "roots = 1").unwrap();
        let Err(MountRefusal::BadList(why)) = Mounts::read(&home) else { panic!("it was read") };
        assert!(why.contains(LIST), "{why}");
    }
}
