//! Walking the home. Agents write in their folders meanwhile, so each step is by the folder that is open, and no link is
//! followed: what is put into the backup lies in the home.

use std::{
    ffi::OsStr,
    fs::File,
    io,
    os::{fd::OwnedFd, unix::ffi::OsStrExt as _},
    path::{Path, PathBuf},
};

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags};

use super::archive::{Archive, Entry};

/// What lies directly in the home and is not copied: the database has its own way, the rest is of this gateway, of this moment,
/// or can be made anew.
const LEFT_OUT: &[&str] = &[
    "backups",
    "cache",
    "config.toml",
    ".env",
    "gateway.lock",
    "gateway.sock",
    "logs",
    "node",
    "run",
    "shell_history",
];

/// What the names of the database's own files begin with.
const DATABASE: &str = "nanogridbot.db";

/// Puts all that lies in `home` into `to`.
pub(crate) fn add(home: &Path, to: &mut Archive) -> io::Result<()> {
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY;
    let dir = fs::open(home, flags, Mode::empty())?;
    let mut names = names(&dir)?;
    names.retain(|it| {
        let name = String::from_utf8_lossy(it);
        !LEFT_OUT.contains(&&*name) && !name.starts_with(DATABASE)
    });
    walk(&dir, Path::new(""), names, to)
}

fn names(dir: &OwnedFd) -> io::Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    for entry in fs::Dir::read_from(dir)? {
        let name = entry?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

fn walk(dir: &OwnedFd, at: &Path, names: Vec<Vec<u8>>, to: &mut Archive) -> io::Result<()> {
    for name in names {
        let path = at.join(OsStr::from_bytes(&name));
        match one(dir, &name, &path, to) {
            Ok(()) => (),
            // It went away between two looks.
            Err(Failed::Reading(err)) if err.kind() == io::ErrorKind::NotFound => (),
            Err(Failed::Reading(err)) => {
                to.end.unread.push(format!("{}: {err}", path.display()));
            }
            Err(Failed::Writing(err)) => return Err(err),
        }
    }
    Ok(())
}

/// A file that can't be read is told of; a backup that can't be written has failed.
enum Failed {
    Reading(io::Error),
    Writing(io::Error),
}

impl From<rustix::io::Errno> for Failed {
    fn from(err: rustix::io::Errno) -> Self {
        Self::Reading(err.into())
    }
}

fn one(dir: &OwnedFd, name: &[u8], path: &Path, to: &mut Archive) -> Result<(), Failed> {
    let seen = fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
    // Without waiting: a pipe in its place would hold us up for ever.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::RDONLY;
    match FileType::from_raw_mode(seen.st_mode) {
        FileType::Directory => {
            let inner = fs::openat(dir, name, flags | OFlags::DIRECTORY, Mode::empty())?;
            let header = header(&fs::fstat(&inner)?, tar::EntryType::Directory, 0);
            let names = names(&inner).map_err(Failed::Reading)?;
            to.add(path, header, Entry::Folder).map_err(Failed::Writing)?;
            walk(&inner, path, names, to).map_err(Failed::Writing)
        }
        FileType::RegularFile => {
            let mut file = File::from(fs::openat(dir, name, flags, Mode::empty())?);
            let stat = fs::fstat(&file)?;
            if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
                return Ok(());
            }
            let size = u64::try_from(stat.st_size).unwrap_or(0);
            let header = header(&stat, tar::EntryType::Regular, size);
            to.add(path, header, Entry::File(&mut file, size)).map_err(Failed::Writing)
        }
        FileType::Symlink => {
            let target = fs::readlinkat(dir, name, Vec::new())?;
            let target = PathBuf::from(OsStr::from_bytes(target.as_bytes()));
            let header = header(&seen, tar::EntryType::Symlink, 0);
            to.add(path, header, Entry::Link(&target)).map_err(Failed::Writing)
        }
        // Sockets and pipes live only as long as who made them.
        _ => Ok(()),
    }
}

fn header(stat: &fs::Stat, kind: tar::EntryType, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(stat.st_mode & 0o7777);
    header.set_uid(stat.st_uid.into());
    header.set_gid(stat.st_gid.into());
    header.set_mtime(u64::try_from(stat.st_mtime).unwrap_or(0));
    header.set_size(size);
    header
}
