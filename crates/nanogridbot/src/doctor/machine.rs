//! The machine: the home, the clock, the disk.

use ngb_core::clock::Clock;
use rustix::fs::Access;

use super::Finding;
use crate::{context::Context, home::HomeError, make};

/// Room on the disk of the home below which a warning is due, in bytes.
const LITTLE_ROOM_BYTES: u64 = 64 << 20;

/// The home: there, and writable. To make it says nothing of one that was there before.
pub(super) fn home(ctx: &Context) -> Finding {
    let shown = ctx.home.path().display().to_string();
    let written = ctx.home.make().and_then(|()| {
        let writable = Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK;
        rustix::fs::access(ctx.home.path(), writable)
            .map_err(|err| HomeError::Unusable { path: shown.clone(), source: err.into() })
    });
    match written {
        Ok(()) => Finding::fine("home", shown),
        Err(err) => Finding::failed("home", &err.into()),
    }
}

/// A clock that was never set makes every certificate look wrong and every schedule late.
pub(super) fn clock() -> Finding {
    let now = Clock::System.now();
    match make::check_clock(now) {
        Ok(()) => Finding::fine("clock", now.to_string()),
        Err(err) => Finding::failed("clock", &err.into()),
    }
}

/// How much room there is.
pub(super) fn room(ctx: &Context) -> Finding {
    let home = ctx.home.path();
    let free = match rustix::fs::statvfs(home) {
        Ok(it) => it.f_bavail * it.f_frsize,
        Err(err) => {
            let err = anyhow::Error::from(std::io::Error::from(err));
            return Finding::failed("disk", &err.context(format!("`{}`", home.display())));
        }
    };
    let little = free < LITTLE_ROOM_BYTES;
    Finding {
        ok: !little,
        mend: little.then(|| {
            format!("delete what is not needed on the disk that holds `{}`", home.display())
        }),
        ..Finding::fine("disk", format!("{} MiB free", free >> 20))
    }
}
