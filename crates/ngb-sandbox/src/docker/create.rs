//! The outer walls: what the engine is asked to put around an agent. A pure function of what the agent needs.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use bollard::models::{
    ContainerCreateBody, HealthConfig, HostConfig, HostConfigCgroupnsModeEnum, HostConfigLogConfig,
    Mount, MountBindOptions, MountBindOptionsPropagationEnum, MountType, ResourcesUlimits,
};

use super::{inside::ARGUMENT, meeting, socket::Traits};
use crate::{
    HostMount, RunSpec,
    native::{
        cgroup::OWN_PROCESSES,
        inside::{EXECUTABLE, HOST_NAME},
        privilege::OPEN_FILES,
        root::{BROKER, GROUP, LANE, TMP_ENTRIES},
        tmp_bytes,
    },
};

/// Label of every container of ours: the install id.
pub(super) const INSTALL_LABEL: &str = "nanogridbot.install";
const LANE_LABEL: &str = "nanogridbot.lane";
const GROUP_LABEL: &str = "nanogridbot.group";

/// Where programs drop files that are calls, and what it may hold.
const DROPS: &str = "/workspace/ipc";
const DROPS_OPTIONS: &str = "rw,noexec,nosuid,nodev,mode=1777,size=4m,nr_inodes=4096";

/// What of `/proc` Docker covers by itself (`oci/defaults.go` of moby); naming anything replaces the list.
const MASKED: &[&str] = &[
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/sysrq-trigger",
    "/proc/timer_list",
    "/proc/timer_stats",
    // And what tells about the host's devices, which `native` has not either.
    "/sys",
];

/// The network that has nothing but a loopback device.
const NO_NETWORK: &str = "none";

/// What one container is made of, beside its spec.
pub(super) struct Cell<'a> {
    pub(super) spec: &'a RunSpec,
    pub(super) traits: &'a Traits,
    pub(super) install_id: &'a str,
    /// The image's id, which names its content.
    pub(super) image: &'a str,
    /// Folders of the image that would become writable volumes.
    pub(super) volumes: &'a [String],
    /// User and group on the host.
    pub(super) owner: (u32, u32),
    /// The profile of system calls, or a file with it.
    pub(super) seccomp: &'a str,
    pub(super) meeting: &'a Path,
    pub(super) exe: &'a Path,
    /// Files and folders that every container has, and where.
    pub(super) fixed: &'a [(PathBuf, PathBuf)],
}

impl Cell<'_> {
    pub(super) fn body(&self) -> ContainerCreateBody {
        // The user of a rootless engine is the user 0 of its containers.
        let (uid, gid) = if self.traits.rootless { (0, 0) } else { self.owner };
        let labels = [
            (INSTALL_LABEL, self.install_id.to_owned()),
            (GROUP_LABEL, self.spec.group.to_string()),
            (LANE_LABEL, self.spec.lane.to_string()),
        ];
        ContainerCreateBody {
            image: Some(self.image.to_owned()),
            user: Some(format!("{uid}:{gid}")),
            hostname: Some(HOST_NAME.to_owned()),
            entrypoint: Some(vec![EXECUTABLE.to_owned()]),
            cmd: Some(["__sandbox", ARGUMENT, self.install_id].map(str::to_owned).into()),
            working_dir: Some("/".to_owned()),
            network_disabled: Some(true),
            // An image may name a command that the engine runs in its containers from time to time.
            healthcheck: Some(HealthConfig {
                test: Some(vec!["NONE".to_owned()]),
                ..HealthConfig::default()
            }),
            labels: Some(labels.map(|(key, value)| (key.to_owned(), value)).into()),
            host_config: Some(self.host_config()),
            ..ContainerCreateBody::default()
        }
    }

    fn host_config(&self) -> HostConfig {
        let limits = &self.spec.limits;
        let memory = signed(limits.memory_mib << 20);
        HostConfig {
            network_mode: Some(NO_NETWORK.to_owned()),
            ipc_mode: Some("private".to_owned()),
            cgroupns_mode: Some(HostConfigCgroupnsModeEnum::PRIVATE),
            // The users of our groups are the host's, in a range that is ours.
            userns_mode: self.traits.remaps.then(|| "host".to_owned()),
            readonly_rootfs: Some(true),
            cap_drop: Some(vec!["ALL".to_owned()]),
            security_opt: Some(vec![
                "no-new-privileges".to_owned(),
                format!("seccomp={}", self.seccomp),
            ]),
            masked_paths: Some(MASKED.iter().map(|&it| it.to_owned()).collect()),
            memory: Some(memory),
            // Memory and swap together: none to swap to.
            memory_swap: Some(memory),
            nano_cpus: Some(i64::from(limits.cpu_millis) * 1_000_000),
            pids_limit: Some(i64::from(limits.pids) + signed(OWN_PROCESSES)),
            ulimits: Some(vec![
                ulimit("core", 0),
                ulimit("nofile", signed(OPEN_FILES)),
                ulimit("fsize", signed(limits.file_mib << 20)),
            ]),
            tmpfs: Some(self.tmpfs()),
            mounts: Some(self.mounts()),
            // What it writes goes to us past the engine.
            log_config: Some(HostConfigLogConfig {
                typ: Some("none".to_owned()),
                config: Some(HashMap::new()),
            }),
            auto_remove: Some(true),
            // Process 1 is ours, and reaps.
            init: Some(false),
            ..HostConfig::default()
        }
    }

    fn tmpfs(&self) -> HashMap<String, String> {
        let size = tmp_bytes(&self.spec.limits);
        let tmp = format!("rw,exec,nosuid,nodev,mode=1777,size={size},nr_inodes={TMP_ENTRIES}");
        // Without this the engine makes a volume of each on the host's disk, which nobody measures.
        let volumes = self.volumes.iter().map(|it| (it.clone(), "ro,size=4k".to_owned()));
        let mut all: HashMap<String, String> = volumes.collect();
        all.insert("/tmp".to_owned(), tmp);
        all.insert(DROPS.to_owned(), DROPS_OPTIONS.to_owned());
        all
    }

    fn mounts(&self) -> Vec<Mount> {
        let spec = self.spec;
        let mut all: Vec<Mount> = self.fixed.iter().map(|(from, to)| read_only(from, to)).collect();
        all.push(read_only(self.exe, Path::new(EXECUTABLE)));
        all.push(read_only(self.meeting, Path::new(meeting::INSIDE)));
        all.push(read_write(&spec.group_dir, Path::new(GROUP)));
        all.push(read_write(&spec.lane_dir, Path::new(LANE)));
        all.extend(spec.broker_dir.iter().map(|it| read_only(it, Path::new(BROKER))));
        all.extend(spec.read_only.iter().map(|(from, to)| read_only(from, to)));
        let mount = |it: &HostMount| match it.write {
            true => read_write(&it.real, &it.inside),
            false => read_only(&it.real, &it.inside),
        };
        all.extend(spec.mounts.iter().map(mount));
        all
    }
}

/// What is mounted below it on the host is not there inside: "read-only" does not reach it before Docker 25.
fn read_only(from: &Path, to: &Path) -> Mount {
    let options = MountBindOptions {
        propagation: Some(MountBindOptionsPropagationEnum::RPRIVATE),
        non_recursive: Some(true),
        ..MountBindOptions::default()
    };
    Mount { read_only: Some(true), bind_options: Some(options), ..read_write(from, to) }
}

/// As a mount and not as a "bind", which would make a folder of what isn't there.
fn read_write(from: &Path, to: &Path) -> Mount {
    let options = MountBindOptions {
        propagation: Some(MountBindOptionsPropagationEnum::RPRIVATE),
        ..MountBindOptions::default()
    };
    Mount {
        typ: Some(MountType::BIND),
        source: Some(from.to_string_lossy().into_owned()),
        target: Some(to.to_string_lossy().into_owned()),
        read_only: Some(false),
        bind_options: Some(options),
        ..Mount::default()
    }
}

fn ulimit(name: &str, most: i64) -> ResourcesUlimits {
    ResourcesUlimits { name: Some(name.to_owned()), soft: Some(most), hard: Some(most) }
}

/// The engine's numbers are signed; no machine has more than half of what they hold.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ngb_core::{
        group::Limits,
        id::{GroupId, LaneId},
    };
    use serde_json::Value;

    use super::*;

    /// With all keys in order, which a value has or has not by what else is linked.
    fn sorted(value: Value) -> Value {
        match value {
            Value::Object(fields) => {
                let fields: BTreeMap<String, Value> =
                    fields.into_iter().map(|(key, it)| (key, sorted(it))).collect();
                fields.into_iter().collect()
            }
            Value::Array(all) => all.into_iter().map(sorted).collect(),
            other => other,
        }
    }

    /// The whole of it, so that a wall can't go without somebody seeing it.
    #[test]
    fn the_walls_that_are_asked_for() {
        let spec = RunSpec {
            group: GroupId(7),
            lane: LaneId(3),
            group_dir: "/srv/ngb/groups/main".into(),
            lane_dir: "/srv/ngb/lanes/3".into(),
            read_only: vec![("/srv/ngb/staged".into(), "/workspace/instructions/group".into())],
            mounts: [true, false]
                .map(|write| HostMount {
                    real: "/srv/docs".into(),
                    inside: format!("/workspace/extra/{write}").into(),
                    write,
                })
                .into(),
            broker_dir: Some("/srv/ngb/run/broker/x".into()),
            args: Vec::new(),
            limits: Limits::default(),
        };
        let cell = Cell {
            spec: &spec,
            traits: &Traits::default(),
            install_id: "abc",
            image: "sha256:12",
            volumes: &["/data".to_owned()],
            owner: (1_879_048_199, 1_879_048_199),
            seccomp: "{}",
            meeting: Path::new("/srv/ngb/run/sandbox/1"),
            exe: Path::new("/usr/bin/nanogridbot"),
            fixed: &[("/usr".into(), "/usr".into())],
        };
        let body = sorted(serde_json::to_value(cell.body()).unwrap());
        insta::assert_snapshot!(serde_json::to_string_pretty(&body).unwrap());

        let traits = Traits { rootless: true, remaps: true, ..Traits::default() };
        let body = Cell { traits: &traits, ..cell }.body();
        assert_eq!(body.user.as_deref(), Some("0:0"));
        assert_eq!(body.host_config.unwrap().userns_mode.as_deref(), Some("host"));
    }
}
