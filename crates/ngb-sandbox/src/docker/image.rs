//! The image of a container: that of the settings, or a root of our own with the host's programs in it.
//!
//! Our own has no file: folders to mount on, and the links that the host's root has (`/bin` -> `usr/bin`). It is made
//! where it is missing, by the engine's import, so nothing need be fetched from anywhere.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use bollard::{body_full, query_parameters::CreateImageOptions};
use futures_util::TryStreamExt as _;
use sha2::{Digest as _, Sha256};

use super::{error, socket::Engine};
use crate::{
    SandboxError,
    native::{
        inside::environment,
        root::{BROKER, ETC, GROUP, LANE, MADE, SYSTEM},
    },
};

/// The name of our own image; its tag is a hash of what is in it.
const OWN_NAME: &str = "nanogridbot-root";

/// Folders of our own image, beside those that are mounted on.
const FOLDERS: &[&str] = &["/dev", "/etc", "/proc", "/run", "/sys", "/tmp", GROUP, LANE, BROKER];

/// An image that is there.
pub(super) struct Image {
    /// What names its content.
    pub(super) id: String,
    /// What the agent finds in its environment.
    pub(super) environment: BTreeMap<String, String>,
    pub(super) volumes: Vec<String>,
    /// What is mounted into it beside the lane's own, read-only.
    pub(super) fixed: Vec<(PathBuf, PathBuf)>,
}

/// Files that all images have, written by us: who user 1000 is, and no name of the host's network.
const OURS: &[&str] = &["/etc/passwd", "/etc/group", "/etc/hosts", "/etc/resolv.conf"];

/// The folder with [`OURS`], made anew.
pub(super) fn write_ours(dir: &Path) -> std::io::Result<()> {
    for (at, text) in MADE.iter().filter(|(at, _)| OURS.contains(at)) {
        let path = dir.join(at.trim_start_matches('/'));
        fs::create_dir_all(path.parent().unwrap_or(dir))?;
        fs::write(path, text)?;
    }
    Ok(())
}

fn ours(dir: &Path) -> impl Iterator<Item = (PathBuf, PathBuf)> {
    OURS.iter().map(move |&at| (dir.join(at.trim_start_matches('/')), at.into()))
}

impl Image {
    /// The image called `name`, as it is now.
    pub(super) async fn named(
        engine: &Engine,
        socket: &Path,
        name: &str,
        ours_dir: &Path,
    ) -> Result<Self, SandboxError> {
        let found = engine.client.inspect_image(name).await.map_err(|err| {
            if error::is_not_found(&err) {
                SandboxError::NoImage { image: name.to_owned() }
            } else {
                error::of(socket, &format!("look at the image `{name}`"), err)
            }
        })?;
        let config = found.config.unwrap_or_default();
        let mut environment = environment(&BTreeMap::new());
        for line in config.env.unwrap_or_default() {
            // `PATH` and what its programs need; where the agent lives is not the image's to say.
            if let Some((key, value)) = line.split_once('=')
                && !matches!(key, "HOME" | "TERM" | "TMPDIR")
            {
                environment.insert(key.to_owned(), value.to_owned());
            }
        }
        Ok(Self {
            id: found.id.unwrap_or_else(|| name.to_owned()),
            environment,
            volumes: config.volumes.unwrap_or_default(),
            fixed: ours(ours_dir).collect(),
        })
    }

    /// Our own, made where it is missing.
    pub(super) async fn own(
        engine: &Engine,
        socket: &Path,
        ours_dir: &Path,
    ) -> Result<Self, SandboxError> {
        let host = Host::here();
        let tar = host.tar().map_err(|source| SandboxError::Setup {
            doing: "pack a root for containers".into(),
            source,
        })?;
        let hash = format!("{:x}", Sha256::digest(&tar));
        let name = format!("{OWN_NAME}:{}", &hash[..12]);
        let found = match Self::named(engine, socket, &name, ours_dir).await {
            Err(SandboxError::NoImage { .. }) => {
                let (repo, tag) = name.split_once(':').unwrap_or((&name, "latest"));
                let options = CreateImageOptions {
                    from_src: Some("-".to_owned()),
                    repo: Some(repo.to_owned()),
                    tag: Some(tag.to_owned()),
                    ..CreateImageOptions::default()
                };
                let import =
                    engine.client.create_image(Some(options), Some(body_full(tar.into())), None);
                let import: Vec<_> = import
                    .try_collect()
                    .await
                    .map_err(|err| error::of(socket, "make a root for containers", err))?;
                tracing::debug!("made the image `{name}`: {import:?}");
                Self::named(engine, socket, &name, ours_dir).await?
            }
            other => other?,
        };
        Ok(Self {
            environment: environment(&BTreeMap::new()),
            fixed: found.fixed.into_iter().chain(host.mounts).collect(),
            ..found
        })
    }
}

/// What of the host's root makes programs run.
struct Host {
    /// Mounted where they are.
    mounts: Vec<(PathBuf, PathBuf)>,
    /// Links of the root, and where they lead.
    links: Vec<(PathBuf, PathBuf)>,
}

impl Host {
    fn here() -> Self {
        let mut host = Self { mounts: Vec::new(), links: Vec::new() };
        for path in SYSTEM.iter().chain(ETC).map(PathBuf::from) {
            match fs::read_link(&path) {
                Ok(target) => host.links.push((path, target)),
                Err(_) if path.exists() => host.mounts.push((path.clone(), path)),
                Err(_) => {} // what the host hasn't, isn't there
            }
        }
        host
    }

    fn tar(&self) -> std::io::Result<Vec<u8>> {
        let mut tar = tar::Builder::new(Vec::new());
        let folders = self.mounts.iter().map(|it| it.1.as_path()).filter(|it| it.is_dir());
        let mut folders: Vec<&Path> = FOLDERS.iter().map(Path::new).chain(folders).collect();
        folders.sort();
        folders.dedup();
        let header = |kind, mode| {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(kind);
            header.set_mode(mode);
            header.set_size(0);
            header
        };
        for folder in folders {
            // Where something stands already, its mode is what runc gives to a mount.
            let mode = if folder == Path::new("/tmp") { 0o1777 } else { 0o755 };
            let mut header = header(tar::EntryType::Directory, mode);
            tar.append_data(&mut header, inside(folder), std::io::empty())?;
        }
        for (at, to) in &self.links {
            let mut header = header(tar::EntryType::Symlink, 0o777);
            tar.append_link(&mut header, inside(at), to)?;
        }
        // As in `native`, for programs that look names up by glibc's rules.
        for (at, text) in MADE.iter().filter(|(at, _)| !OURS.contains(at)) {
            let mut header = header(tar::EntryType::Regular, 0o644);
            header.set_size(text.len() as u64);
            tar.append_data(&mut header, inside(Path::new(at)), text.as_bytes())?;
        }
        tar.into_inner()
    }
}

fn inside(path: &Path) -> &Path {
    path.strip_prefix("/").unwrap_or(path)
}
