//! The gateway's own container, where it is in one: what it calls a path, the engine calls another.

use std::{
    fs,
    path::{Path, PathBuf},
};

use bollard::{Docker, models::MountPoint};

use super::error;
use crate::SandboxError;

/// How long the id of a container is, in hexadecimal digits.
const ID_DIGITS: usize = 64;

/// The container that this process is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Own {
    /// Its image, which is the agents' too where none is set.
    pub(super) image: String,
    /// Where host folders stand inside, and where they are on the host; the longest first.
    mounts: Vec<(PathBuf, PathBuf)>,
}

impl Own {
    /// None where this process is in no container of the engine.
    pub(super) async fn find(client: &Docker, socket: &Path) -> Result<Option<Self>, SandboxError> {
        let mountinfo = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        for id in ids(&mountinfo) {
            match client.inspect_container(&id, None).await {
                Ok(found) => {
                    let image = found.image.unwrap_or_default();
                    return Ok(Some(Self::of(image, found.mounts.unwrap_or_default())));
                }
                Err(err) if error::is_not_found(&err) => {}
                Err(err) => return Err(error::of(socket, "look at the gateway's container", err)),
            }
        }
        Ok(None)
    }

    fn of(image: String, mounts: Vec<MountPoint>) -> Self {
        let pair = |it: MountPoint| {
            let source = it.source.filter(|it| it.starts_with('/'))?;
            Some((PathBuf::from(it.destination?), PathBuf::from(source)))
        };
        let mut mounts: Vec<_> = mounts.into_iter().filter_map(pair).collect();
        mounts.sort_by_key(|it| std::cmp::Reverse(it.0.components().count()));
        Self { image, mounts }
    }

    /// What the engine calls `path`.
    ///
    /// # Errors
    ///
    /// When it is in the container only, where the engine can't give it to another one.
    pub(super) fn outside(&self, path: &Path) -> Result<PathBuf, SandboxError> {
        let found = self.mounts.iter().find_map(|(inside, host)| {
            let rest = path.strip_prefix(inside).ok()?;
            // Joined with nothing it would end with a slash, which is no file.
            Some(if rest.as_os_str().is_empty() { host.clone() } else { host.join(rest) })
        });
        found.ok_or_else(|| SandboxError::NotOfTheHost { path: path.to_owned() })
    }
}

/// Files that engines mount from a folder which has the container's id as its name.
const MADE_BY_ENGINE: &[&str] =
    &["/etc/hostname", "/etc/hosts", "/etc/resolv.conf", "/run/.containerenv"];

/// What may be the id of our container, in `/proc/self/mountinfo`. On the host itself the mounts of other containers are
/// to be seen, but none of them stands at one of these places.
fn ids(mountinfo: &str) -> Vec<String> {
    let is_id = |it: &&str| {
        it.len() == ID_DIGITS && it.bytes().all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'))
    };
    let mut found: Vec<String> = Vec::new();
    for line in mountinfo.lines() {
        // proc_pid_mountinfo(5): the fourth field is the path in the mounted file system, the fifth where it stands.
        let fields: Vec<&str> = line.split(' ').collect();
        let [_, _, _, root, at, ..] = fields.as_slice() else { continue };
        if MADE_BY_ENGINE.contains(at) {
            let ids = root.split('/').filter(is_id).map(str::to_owned);
            found.extend(ids);
        }
    }
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(inside: &str, host: &str) -> MountPoint {
        MountPoint {
            source: Some(host.to_owned()),
            destination: Some(inside.to_owned()),
            ..MountPoint::default()
        }
    }

    #[test]
    fn paths_are_those_of_the_host_or_refused() {
        let mounts = [("/data", "/srv/ngb"), ("/data/groups", "/mnt/big"), ("/run/x", "")];
        let own = Own::of("sha256:1".into(), mounts.map(|(a, b)| mount(a, b)).into());
        #[rustfmt::skip]
        let table = [
            ("/data",             Some("/srv/ngb")),
            ("/data/run/sandbox", Some("/srv/ngb/run/sandbox")),
            ("/data/groups/main", Some("/mnt/big/main")),
            ("/database",         None),
            ("/run/x/socket",     None),
            ("/usr/bin/x",        None),
        ];
        for (path, want) in table {
            let got = own.outside(Path::new(path));
            assert_eq!(got.as_deref().ok(), want.map(Path::new), "{path}");
            if let Err(err) = got {
                assert!(err.to_string().contains(path), "{err}");
            }
        }
    }

    #[test]
    fn our_id_is_found_and_no_other() {
        let (id, other) = ("0123456789abcdef".repeat(4), "f".repeat(64));
        let inside = format!(
            "682 651 254:0 /lib/docker/containers/{id}/hostname /etc/hostname rw - ext4 /dev/vda rw\n\
             683 651 254:0 /lib/docker/containers/{id}/hosts /etc/hosts rw - ext4 /dev/vda rw\n\
             651 600 0:50 / / rw - overlay overlay rw,upperdir=/var/lib/docker/overlay2/{other}/diff"
        );
        assert_eq!(ids(&inside), [id]);
        let host =
            format!("90 28 0:60 / /var/lib/docker/containers/{other}/mounts/shm rw - tmpfs shm rw");
        assert_eq!(ids(&host), Vec::<String>::new());
    }
}
