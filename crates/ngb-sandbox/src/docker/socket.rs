//! Where the engine listens, and what it is like.

use std::path::{Path, PathBuf};

use bollard::{API_DEFAULT_VERSION, Docker, models::SystemInfo};

use super::{error, own::Own};
use crate::SandboxError;

/// Longest that the engine may take to answer a request, in seconds: a slow disk makes a container slowly.
const ANSWER_LIMIT_S: u64 = 60;

/// What names the engine's socket, first to last: the settings, then the variables of Docker and Podman, then the places
/// where both put it.
#[derive(Clone, Debug, Default)]
pub struct SocketNames {
    /// `[sandbox] socket`.
    pub setting: Option<PathBuf>,
    /// `DOCKER_HOST`.
    pub docker_host: Option<String>,
    /// `CONTAINER_HOST`.
    pub container_host: Option<String>,
    /// `XDG_RUNTIME_DIR`.
    pub runtime_dir: Option<PathBuf>,
}

impl SocketNames {
    /// Where the engine listens.
    ///
    /// # Errors
    ///
    /// When a variable names something else than a Unix socket, or when none is there.
    pub fn find(&self) -> Result<PathBuf, SandboxError> {
        if let Some(path) = &self.setting {
            return Ok(path.clone());
        }
        let variables =
            [("DOCKER_HOST", &self.docker_host), ("CONTAINER_HOST", &self.container_host)];
        for (name, value) in variables {
            let Some(value) = value.as_deref().filter(|it| !it.is_empty()) else { continue };
            // The agent's way out is a Unix socket that is mounted into the container: the engine must be on this machine.
            return match value.strip_prefix("unix://") {
                Some(path) => Ok(path.into()),
                None => Err(SandboxError::FarEngine { variable: name, address: value.to_owned() }),
            };
        }
        let usual = self.usual();
        match usual.iter().find(|it| it.exists()) {
            Some(path) => Ok(path.clone()),
            None => Err(SandboxError::NoEngine {
                socket: usual[0].clone(),
                source: std::io::Error::from(std::io::ErrorKind::NotFound).into(),
            }),
        }
    }

    /// Docker's, rootless Docker's, Podman's as root and without.
    fn usual(&self) -> Vec<PathBuf> {
        let of_user = |name: &str| self.runtime_dir.as_ref().map(|it| it.join(name));
        [
            Some(PathBuf::from("/var/run/docker.sock")),
            of_user("docker.sock"),
            Some("/run/podman/podman.sock".into()),
            of_user("podman/podman.sock"),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// An engine that answers.
pub(super) struct Engine {
    pub(super) client: Docker,
    pub(super) traits: Traits,
    /// The gateway's own container.
    pub(super) own: Option<Own>,
}

/// What differs from one engine to another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Traits {
    /// It runs as an ordinary user, who is the user 0 of its containers.
    pub(super) rootless: bool,
    /// It gives containers other users than the host's, unless told not to.
    pub(super) remaps: bool,
    /// It reads the seccomp profile from a file, where Docker takes it as it is.
    pub(super) podman: bool,
    pub(super) memory: bool,
    pub(super) cpu: bool,
    pub(super) pids: bool,
}

impl Engine {
    pub(super) async fn connect(socket: &Path) -> Result<Self, SandboxError> {
        let away = |err| error::of(socket, "speak to it", err);
        let path = socket.to_string_lossy();
        let client =
            Docker::connect_with_unix(&path, ANSWER_LIMIT_S, API_DEFAULT_VERSION).map_err(away)?;
        let client = client.negotiate_version().await.map_err(away)?;
        let version = client.version().await.map_err(away)?;
        let components = version.components.unwrap_or_default();
        let info = client.info().await.map_err(away)?;
        let podman = components.iter().any(|it| it.name.starts_with("Podman"));
        let own = Own::find(&client, socket).await?;
        Ok(Self { client, traits: Traits { podman, ..Traits::of(&info) }, own })
    }

    /// What the engine calls a path of ours.
    ///
    /// # Errors
    ///
    /// When the gateway is in a container, and the path only there.
    pub(super) fn outside(&self, path: &Path) -> Result<PathBuf, SandboxError> {
        match &self.own {
            Some(own) => own.outside(path),
            None => Ok(path.to_owned()),
        }
    }
}

impl Traits {
    fn of(info: &SystemInfo) -> Self {
        let options = info.security_options.as_deref().unwrap_or_default();
        // `name=seccomp,profile=default`: <https://docs.docker.com/reference/api/engine/>, "Get system information".
        let has = |name: &str| {
            options.iter().any(|it| it.split(',').any(|it| it.strip_prefix("name=") == Some(name)))
        };
        Self {
            rootless: has("rootless"),
            remaps: has("userns"),
            podman: false,
            memory: info.memory_limit == Some(true),
            cpu: info.cpu_cfs_quota == Some(true),
            pids: info.pids_limit == Some(true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_come_first_and_only_this_machine_will_do() {
        let found = |setting: Option<&str>, docker: Option<&str>, podman: Option<&str>| {
            let names = SocketNames {
                setting: setting.map(Into::into),
                docker_host: docker.map(Into::into),
                container_host: podman.map(Into::into),
                runtime_dir: None,
            };
            names.find().map(|it| it.display().to_string()).map_err(|it| it.to_string())
        };
        let far =
            "`DOCKER_HOST` is `tcp://10.0.0.1:2375`, and agents need an engine on this machine";
        #[rustfmt::skip]
        let table = [
            (Some("/a"), Some("unix:///b"), None, Ok("/a")),
            (None, Some("unix:///b"), Some("unix:///c"), Ok("/b")),
            (None, Some(""), Some("unix:///c"), Ok("/c")),
            (None, Some("tcp://10.0.0.1:2375"), None, Err(far)),
        ];
        for (setting, docker, podman, want) in table {
            let got = found(setting, docker, podman);
            assert_eq!(got.as_deref().map_err(String::as_str), want);
        }
    }

    #[test]
    fn traits_are_read_from_what_the_engine_says() {
        let info = |options: &[&str]| SystemInfo {
            security_options: Some(options.iter().map(|&it| it.to_owned()).collect()),
            memory_limit: Some(true),
            ..SystemInfo::default()
        };
        let plain = Traits { memory: true, ..Traits::default() };
        #[rustfmt::skip]
        let table: [(&[&str], Traits); 3] = [
            (&["name=seccomp,profile=default"],             plain.clone()),
            (&["name=seccomp,profile=default", "name=rootless"], Traits { rootless: true, ..plain.clone() }),
            (&["name=userns", "name=apparmor"],             Traits { remaps: true, ..plain }),
        ];
        for (options, want) in table {
            assert_eq!(Traits::of(&info(options)), want, "{options:?}");
        }
    }
}
