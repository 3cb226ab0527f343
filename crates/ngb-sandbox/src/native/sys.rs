//! The system calls that have no safe wrapper; all unsafe code of the project is in this file, but for one call in
//! `nanogridbot/src/allocator.rs`.

use std::{
    io,
    os::fd::{AsRawFd as _, BorrowedFd},
};

use rustix::{process::Pid, thread::UnshareFlags};

/// Which side of [`fork`] this is.
pub(super) enum Forked {
    Parent(Pid),
    Child,
}

/// Splits this process in two.
///
/// # Errors
///
/// When the process has more than one thread (the other threads' locks would stay locked in the child), and what
/// `fork(2)` says.
#[expect(unsafe_code, reason = "fork has no safe wrapper; see the SAFETY comment")]
pub(super) fn fork() -> io::Result<Forked> {
    if std::fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(io::Error::other("a process with several threads does not fork"));
    }
    // SAFETY: fork is unsound only where another thread may hold a lock or be halfway through a change; the check
    // above has just shown that there is no other thread, and none can start between it and here.
    let pid = unsafe { libc::fork() };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Forked::Child),
        pid => Pid::from_raw(pid)
            .map(Forked::Parent)
            .ok_or_else(|| io::Error::other("fork gave no process id")),
    }
}

/// Moves this process (its next child, for the pid namespace) into new namespaces.
#[expect(unsafe_code, reason = "the safe wrapper is deprecated; see the SAFETY comment")]
pub(crate) fn unshare(namespaces: UnshareFlags) -> io::Result<()> {
    // SAFETY: only `CLONE_FILES` is a danger to safe code (descriptors that mean another file in each thread); none of
    // the callers passes it, and they are single-threaded.
    unsafe { rustix::thread::unshare_unsafe(namespaces - UnshareFlags::FILES) }?;
    Ok(())
}

/// Adds `attributes` (`MOUNT_ATTR_*`) to a detached mount and to all mounts below it. Linux 5.12.
#[expect(unsafe_code, reason = "rustix has no mount_setattr; see the SAFETY comment")]
pub(super) fn add_mount_attributes(mount: BorrowedFd<'_>, attributes: u64) -> io::Result<()> {
    let wanted =
        libc::mount_attr { attr_set: attributes, attr_clr: 0, propagation: 0, userns_fd: 0 };
    // SAFETY: the path is a constant C string, `wanted` outlives the call and its size is what is passed; the kernel
    // only reads both.
    let got = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | libc::AT_RECURSIVE,
            &raw const wanted,
            size_of::<libc::mount_attr>(),
        )
    };
    if got == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Marks every descriptor from `first` on to be closed by the next exec. Linux 5.11.
#[expect(unsafe_code, reason = "rustix has no close_range; see the SAFETY comment")]
pub(crate) fn close_on_exec_from(first: u32) -> io::Result<()> {
    // SAFETY: with `CLOSE_RANGE_CLOEXEC` nothing is closed here, so no descriptor that safe code owns goes away.
    let got =
        unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if got == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
