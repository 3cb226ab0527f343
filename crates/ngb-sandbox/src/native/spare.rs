//! A first process that waits for its plan: loaded and in its control groups, which is most of a start.

use std::{
    io,
    sync::{Arc, PoisonError, Weak},
    time::Duration,
};

use ngb_core::clock::Clock;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, pidfd_open},
};
use tokio::{net::UnixStream, process::Command};

use super::{Shared, cgroup::Group, plan::Join};
use crate::outside::Outside;

/// Longest wait for a control group to become empty once its processes are dead, and between two looks.
const REMOVE_LIMIT: Duration = Duration::from_secs(5);
const REMOVE_PERIOD: Duration = Duration::from_millis(10);

/// Longest wait for a killed spare, which has nothing in it, to be dead.
const SPARE_END_LIMIT: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };

pub(super) struct Spare {
    pub(super) outside: Outside,
    pub(super) io: UnixStream,
    pub(super) groups: Groups,
}

impl Spare {
    /// The one that waits, or a new one.
    pub(super) async fn take(shared: &Arc<Shared>) -> io::Result<Self> {
        let spare = shared.spare.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut spare) = spare
            && spare.outside.child.try_wait()?.is_none()
        {
            return Ok(spare);
        }
        Self::new(shared).await
    }

    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    async fn new(shared: &Arc<Shared>) -> io::Result<Self> {
        let name = shared.next_name();
        shared.note_live(&name, true);
        let group = shared.parents.make(&name);
        // From here on an error removes the groups.
        let groups = Groups { shared: Arc::downgrade(shared), name, group };
        let mut command = Command::new(&shared.config.exe);
        command.args(["__sandbox", &shared.config.install_id]).env_clear().current_dir("/");
        let (mut outside, io) = Outside::start(&mut command)?;
        outside.line.say(&Join { cgroups: groups.group.dirs() }).await?;
        Ok(Self { outside, io, groups })
    }

    /// Has one wait again.
    pub(super) async fn refill(shared: &Arc<Shared>) {
        match Self::new(shared).await {
            Ok(spare) => {
                let mut slot = shared.spare.lock().unwrap_or_else(PoisonError::into_inner);
                slot.get_or_insert(spare);
            }
            // The next start tries again, and tells.
            Err(err) => tracing::warn!("no spare sandbox can be started: {err}"),
        }
    }
}

impl Drop for Shared {
    /// Takes the spare along with its control groups, which must be empty to go.
    fn drop(&mut self) {
        let spare = self.spare.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut spare) = spare else { return };
        let ended = spare.outside.child.start_kill().and_then(|()| {
            let id = i32::try_from(spare.outside.pid()).ok().and_then(Pid::from_raw);
            let Some(id) = id else { return Ok(()) };
            let handle = pidfd_open(id, PidfdFlags::empty())?;
            poll(&mut [PollFd::new(&handle, PollFlags::IN)], Some(&SPARE_END_LIMIT))?;
            Ok(())
        });
        if let Err(err) = ended {
            tracing::warn!("the spare sandbox can't be ended: {err}");
        }
    }
}

/// The control groups of a sandbox; removed with it.
pub(super) struct Groups {
    /// Weak, since the engine holds a spare, which holds this.
    shared: Weak<Shared>,
    name: String,
    pub(super) group: Group,
}

impl Groups {
    /// Removes the groups once the last process in them is gone.
    pub(super) async fn remove(self, clock: &Clock) {
        let gone = clock.timeout(REMOVE_LIMIT, async {
            while !self.group.remove() {
                clock.sleep(REMOVE_PERIOD).await;
            }
        });
        if gone.await.is_err() {
            tracing::warn!("the control groups of `{}` don't become empty", self.name);
        }
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        // What is not empty yet stays for `reap`.
        self.group.remove();
        if let Some(shared) = self.shared.upgrade() {
            shared.note_live(&self.name, false);
        }
    }
}
