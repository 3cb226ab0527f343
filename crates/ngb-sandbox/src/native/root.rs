//! The file system inside: a small root of our own with the host's system folders read-only in it.

use std::{
    fs::{self, File},
    io,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::fs::symlink,
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, Mode, OFlags, ResolveFlags, openat2},
    mount::{
        MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, mount,
        mount_change, mount_remount, move_mount, open_tree, unmount,
    },
};

use super::{
    init::INNER_ID,
    inside::EXECUTABLE,
    plan::{During as _, Failure, Plan, Step},
    sys,
};
use crate::HostMount;

/// The group's folder inside.
pub(crate) const GROUP: &str = "/workspace/group";
/// The lane's folder inside.
pub(crate) const LANE: &str = "/workspace/lane";
/// The folder of the broker's socket inside.
pub(crate) const BROKER: &str = "/run/ngb";

/// What programs are made of. What is a symbolic link on the host stays one; what the host hasn't, isn't there.
pub(crate) const SYSTEM: &[&str] =
    &["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];

/// What of the host's `/etc` programs need and that tells nothing about the host.
pub(crate) const ETC: &[&str] = &[
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/pki/ca-trust",
    "/etc/pki/tls/certs",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
];

const DEVICES: &[&str] =
    &["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"];

/// Files of `/etc` that we write.
pub(crate) const MADE: &[(&str, &str)] = &[
    (
        "/etc/passwd",
        "root:x:0:0:root:/root:/bin/sh\nagent:x:1000:1000:agent:/workspace/lane:/bin/sh\n\
         nobody:x:65534:65534:nobody:/:/bin/false\n",
    ),
    ("/etc/group", "root:x:0:\nagent:x:1000:\nnogroup:x:65534:\n"),
    ("/etc/hosts", "127.0.0.1 localhost\n::1 localhost\n"),
    ("/etc/resolv.conf", ""),
    ("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n"),
];

const LINKS: &[(&str, &str)] = &[
    ("/proc/self/fd", "/dev/fd"),
    ("/proc/self/fd/0", "/dev/stdin"),
    ("/proc/self/fd/1", "/dev/stdout"),
    ("/proc/self/fd/2", "/dev/stderr"),
    ("/tmp", "/dev/shm"),
    // Where programs drop files that are calls; the agent makes it.
    ("/tmp/.ipc", "/workspace/ipc"),
];

/// Mount attributes of `<linux/mount.h>`.
const READ_ONLY: u64 = libc::MOUNT_ATTR_RDONLY;
const NO_SETUID: u64 = libc::MOUNT_ATTR_NOSUID;
const NO_DEVICES: u64 = libc::MOUNT_ATTR_NODEV;

/// Entries that `/tmp` may hold: each takes kernel memory of its own.
pub(crate) const TMP_ENTRIES: u64 = 65_536;

/// Host folders and files, opened and not yet mounted.
pub(super) struct Trees(Vec<Tree>);

struct Tree {
    at: PathBuf,
    what: What,
}

enum What {
    Folder(OwnedFd),
    File(OwnedFd),
    Link(PathBuf),
}

/// Opens all of it. Needs the namespaces, and the user that the gateway has.
pub(super) fn open(plan: &Plan) -> Result<Trees, Failure> {
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .during(Step::Mounts, || "cut the mounts off from the host's".into())?;
    let mut trees = Vec::new();
    let mut add = |from: &Path, to: &Path, attributes: u64| {
        let tree = Tree::open(from, to, attributes)
            .during(Step::Mounts, || format!("open `{}`", from.display()))?;
        trees.push(tree);
        Ok::<_, Failure>(())
    };
    let fixed = READ_ONLY | NO_SETUID | NO_DEVICES;
    for path in SYSTEM.iter().chain(ETC).map(Path::new).filter(|it| it.exists()) {
        add(path, path, fixed)?;
    }
    for path in DEVICES.iter().map(Path::new).filter(|it| it.exists()) {
        add(path, path, NO_SETUID)?;
    }
    add(&plan.exe, Path::new(EXECUTABLE), fixed)?;
    add(&plan.group_dir, Path::new(GROUP), NO_SETUID | NO_DEVICES)?;
    add(&plan.lane_dir, Path::new(LANE), NO_SETUID | NO_DEVICES)?;
    if let Some(dir) = &plan.broker_dir {
        add(dir, Path::new(BROKER), fixed)?;
    }
    for (from, to) in &plan.read_only {
        add(from, to, fixed)?;
    }
    for mount in &plan.mounts {
        let tree = Tree::open_judged(mount)
            .during(Step::Mounts, || format!("open `{}`", mount.real.display()))?;
        trees.push(tree);
    }
    Ok(Trees(trees))
}

impl Tree {
    fn open(from: &Path, to: &Path, attributes: u64) -> io::Result<Self> {
        let kind = fs::symlink_metadata(from)?.file_type();
        // A system folder that is a link is kept as one; whoever asks for anything else through a link gets the thing.
        if kind.is_symlink() && from == to {
            return Ok(Self { at: to.to_owned(), what: What::Link(fs::read_link(from)?) });
        }
        let flags = OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC
            | OpenTreeFlags::AT_RECURSIVE;
        let tree = open_tree(CWD, from, flags)?;
        sys::add_mount_attributes(tree.as_fd(), attributes)?;
        let what = if fs::metadata(from)?.is_dir() { What::Folder } else { What::File };
        Ok(Self { at: to.to_owned(), what: what(tree) })
    }

    /// What the gateway judged: a path that had no link in it then. Whoever has put one there since gets an error, and
    /// what is opened here is what is mounted.
    fn open_judged(mount: &HostMount) -> io::Result<Self> {
        let (found, kind) = open_real(&mount.real)?;
        let what = if kind.is_dir() { What::Folder } else { What::File };
        let flags = OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC
            | OpenTreeFlags::AT_EMPTY_PATH
            | OpenTreeFlags::AT_RECURSIVE;
        let tree = open_tree(found, "", flags)?;
        let limited = NO_SETUID | NO_DEVICES;
        let attributes = if mount.write { limited } else { limited | READ_ONLY };
        sys::add_mount_attributes(tree.as_fd(), attributes)?;
        Ok(Self { at: mount.inside.clone(), what: what(tree) })
    }
}

/// Opens the folder or file at `path`, which may have no link in it.
pub(crate) fn open_real(path: &Path) -> io::Result<(OwnedFd, fs::Metadata)> {
    let found = openat2(
        CWD,
        path,
        OFlags::PATH | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS,
    )?;
    let metadata = File::from(found.try_clone()?).metadata()?;
    if metadata.is_dir() || metadata.is_file() {
        Ok((found, metadata))
    } else {
        Err(io::Error::other("it is neither a folder nor a file"))
    }
}

/// Builds the new root and makes it the only one. Runs as process 1, since `/proc` shows the pid namespace of whoever
/// mounts it.
pub(super) fn enter(plan: &Plan, trees: Trees) -> Result<(), Failure> {
    // Any folder will do to build on, since nobody else sees it; this one exists wherever we run.
    let base = Path::new("/proc");
    let limited = MountFlags::NOSUID | MountFlags::NODEV;
    mount("tmpfs", base, "tmpfs", limited, c"mode=755,size=1m")
        .during(Step::Mounts, || "mount the new root".into())?;

    for Tree { at, what } in trees.0 {
        let doing = || format!("put `{}` in place", at.display());
        place(base, &at, what).during(Step::Mounts, doing)?;
    }
    for (path, text) in MADE {
        make_file(&under(base, Path::new(path)), text)
            .during(Step::Mounts, || format!("write `{path}`"))?;
    }
    for (to, path) in LINKS {
        symlink(to, under(base, Path::new(path)))
            .during(Step::Mounts, || format!("link `{path}`"))?;
    }

    let tmp = under(base, Path::new("/tmp"));
    let options = format!("mode=1777,size={},nr_inodes={TMP_ENTRIES}", plan.tmp_bytes);
    let options = std::ffi::CString::new(options).unwrap_or_default();
    fs::create_dir(&tmp)
        .and_then(|()| Ok(mount("tmpfs", &tmp, "tmpfs", limited, options.as_c_str())?))
        .during(Step::Mounts, || "mount `/tmp`".into())?;

    // Before the old root goes: the kernel gives a fresh `/proc` only to whoever sees a whole one already.
    let proc = under(base, Path::new("/proc"));
    fs::create_dir(&proc)
        .and_then(|()| Ok(mount("proc", &proc, "proc", limited | MountFlags::NOEXEC, None)?))
        .during(Step::Proc, || "mount `/proc`".into())?;

    // pivot_root(2), "pivot_root(".", ".")": the old root lies on top of the new one, and is taken off.
    std::env::set_current_dir(base)
        .and_then(|()| Ok(rustix::process::pivot_root(".", ".")?))
        .and_then(|()| Ok(unmount(".", UnmountFlags::DETACH)?))
        .and_then(|()| std::env::set_current_dir("/"))
        .and_then(|()| Ok(mount_remount("/", limited | MountFlags::BIND | MountFlags::RDONLY, "")?))
        .during(Step::Mounts, || "change the root".into())
}

fn under(base: &Path, inside: &Path) -> PathBuf {
    base.join(inside.strip_prefix("/").unwrap_or(inside))
}

fn place(base: &Path, at: &Path, what: What) -> io::Result<()> {
    let to = under(base, at);
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    let tree = match what {
        What::Link(target) => return symlink(target, to),
        What::Folder(tree) => {
            fs::create_dir_all(&to)?;
            tree
        }
        What::File(tree) => {
            File::options().create(true).append(true).open(&to)?;
            tree
        }
    };
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    Ok(move_mount(&tree, "", CWD, &to, flags)?)
}

fn make_file(path: &Path, text: &str) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(path, text)
}

const _: () = assert!(INNER_ID == 1000, "`/etc/passwd` above names it");
