//! Walks a folder that an agent writes to: never through a link, never out of it, never without end.

use std::{
    ffi::CString,
    io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use rustix::{
    fs::{AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, Stat, Uid, chownat, openat, statat},
    io::Errno,
};

/// Deepest folder that is walked; each level keeps one file open.
const MAX_DEPTH: usize = 64;

/// What an entry counts at least, in bytes: an empty file takes an inode, and a million of them take a disk.
const ENTRY_BYTES: u64 = 4_096;

/// What a folder holds, in bytes on the disk; stops counting once it is over `enough`.
///
/// # Errors
///
/// Where a folder can't be read, or folders are nested deeper than 64.
pub(super) fn disk_bytes(root: &Path, enough: u64) -> io::Result<u64> {
    let mut sum = 0_u64;
    walk(root, &mut |_, _, stat| {
        let blocks = u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(512);
        sum = sum.saturating_add(blocks.max(ENTRY_BYTES));
        Ok(sum <= enough)
    })?;
    Ok(sum)
}

/// Gives `root` and what is in it to `owner`, unless `root` is `owner`'s already.
pub(super) fn give(root: &Path, owner: (u32, u32)) -> io::Result<()> {
    let stat = statat(CWD, root, AtFlags::SYMLINK_NOFOLLOW)?;
    if (stat.st_uid, stat.st_gid) == owner {
        return Ok(());
    }
    let (uid, gid) = (Some(Uid::from_raw(owner.0)), Some(Gid::from_raw(owner.1)));
    walk(root, &mut |dir, name, _| {
        chownat(dir, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(true)
    })?;
    // Last, so that an interrupted change is done again.
    Ok(chownat(CWD, root, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?)
}

type Visit<'a> =
    dyn FnMut(std::os::fd::BorrowedFd<'_>, &std::ffi::CStr, &Stat) -> io::Result<bool> + 'a;

/// Shows every entry below `root` to `visit` until that says false.
fn walk(root: &Path, visit: &mut Visit<'_>) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = |dir: std::os::fd::BorrowedFd<'_>, name: &std::ffi::CStr| {
        openat(dir, name, flags, Mode::empty())
    };
    let top = openat(CWD, root, flags, Mode::empty())?;
    let mut stack: Vec<(OwnedFd, Vec<CString>)> = vec![level(top)?];
    while let Some((dir, names)) = stack.last_mut() {
        let Some(name) = names.pop() else {
            stack.pop();
            continue;
        };
        let stat = match statat(dir.as_fd(), &name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => continue, // the agent removed it meanwhile
            Err(err) => return Err(err.into()),
        };
        if !visit(dir.as_fd(), &name, &stat)? {
            return Ok(());
        }
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            continue;
        }
        let below = match open(dir.as_fd(), &name) {
            Ok(below) => below,
            // Removed, or replaced by a file or a link, meanwhile.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
            Err(err) => return Err(err.into()),
        };
        if stack.len() == MAX_DEPTH {
            return Err(io::Error::other(format!("folders are nested deeper than {MAX_DEPTH}")));
        }
        stack.push(level(below)?);
    }
    Ok(())
}

fn level(dir: OwnedFd) -> io::Result<(OwnedFd, Vec<CString>)> {
    let mut names = Vec::new();
    for entry in Dir::read_from(dir.as_fd())? {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            names.push(name.to_owned());
        }
    }
    Ok((dir, names))
}
