//! Named tasks that start together, stop together, and are never lost.

use std::{collections::HashMap, time::Duration};

use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error};

use crate::clock::Clock;

/// The gateway's long-running tasks.
#[derive(Default)]
pub struct Tasks {
    set: JoinSet<anyhow::Result<()>>,
    names: HashMap<Id, String>,
    /// Fires when the gateway should stop taking new work.
    pub drain: CancellationToken,
}

/// How the gateway stopped.
#[derive(Debug, PartialEq, Eq)]
pub enum Stopped {
    /// Every task returned before the deadline.
    Clean,
    /// A task failed or panicked; the rest were drained.
    Failed(String),
    /// The deadline passed; the named tasks were aborted.
    Aborted(Vec<String>),
}

impl Tasks {
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    pub fn spawn(
        &mut self,
        name: impl Into<String>,
        task: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) {
        let handle = self.set.spawn(task);
        self.names.insert(handle.id(), name.into());
    }

    /// Runs until `drain` fires or a task fails, then gives the rest `grace` to finish.
    ///
    /// A task that returns `Ok` before the drain is simply over. Whoever drops the returned future aborts all of them.
    pub async fn run(mut self, clock: &Clock, grace: Duration) -> Stopped {
        let mut failed = None;
        while failed.is_none() {
            tokio::select! {
                () = self.drain.cancelled() => break,
                ended = self.set.join_next_with_id() => match ended {
                    None => return Stopped::Clean,
                    Some(ended) => failed = self.note(ended),
                },
            }
        }
        self.drain.cancel();

        let all_done = async {
            while let Some(ended) = self.set.join_next_with_id().await {
                failed = failed.take().or(self.note(ended));
            }
        };
        if clock.timeout(grace, all_done).await.is_err() {
            self.set.shutdown().await;
            let mut left: Vec<String> = self.names.into_values().collect();
            left.sort();
            return Stopped::Aborted(left);
        }
        failed.map_or(Stopped::Clean, Stopped::Failed)
    }

    /// Logs how a task ended; returns its name and error if it failed.
    fn note(
        &mut self,
        ended: Result<(Id, anyhow::Result<()>), tokio::task::JoinError>,
    ) -> Option<String> {
        let (id, res) = match ended {
            Ok((id, res)) => (id, res),
            Err(err) => (err.id(), Err(err.into())),
        };
        let name = self.names.remove(&id).unwrap_or_default();
        match res {
            Ok(()) => {
                debug!(task.name = %name, "task ended");
                None
            }
            Err(err) => {
                error!(task.name = %name, "task failed: {err:#}");
                Some(format!("{name}: {err:#}"))
            }
        }
    }
}

/// Many short tasks of one kind under one owner; dropping it aborts them all.
///
/// It is for work that comes and goes while the owner lives: a connection, a run, a send. What lives as long as the
/// gateway is a [`Tasks`] entry.
#[derive(Debug, Default)]
pub struct Crew {
    set: JoinSet<()>,
}

impl Crew {
    /// Starts `task` under `name` (its tracing span), and forgets those that have ended.
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    pub fn spawn(&mut self, name: &str, task: impl Future<Output = ()> + Send + 'static) {
        use tracing::Instrument as _;
        while let Some(ended) = self.set.try_join_next() {
            note_panic(ended);
        }
        self.set.spawn(task.instrument(tracing::debug_span!("task", name)));
    }

    /// Starts `task` on a thread of its own, for one that blocks: the writer of a database. It can't be aborted, so it must
    /// end by itself.
    pub fn spawn_thread(&mut self, name: &str, task: impl Future<Output = ()> + Send + 'static) {
        use tracing::Instrument as _;
        let task = task.instrument(tracing::debug_span!("task", name));
        let runtime = tokio::runtime::Handle::current();
        self.set.spawn_blocking(move || runtime.block_on(task));
    }

    pub fn len(&self) -> usize {
        self.set.len()
    }

    pub fn is_empty(&self) -> bool {
        self.set.is_empty()
    }

    /// Waits until every task has ended.
    pub async fn finish(&mut self) {
        while let Some(ended) = self.set.join_next().await {
            note_panic(ended);
        }
    }
}

fn note_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(err) = ended
        && err.is_panic()
    {
        error!("task panicked: {err}");
    }
}

/// Runs `work` on a thread that may block.
///
/// # Panics
///
/// When `work` panics.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub async fn blocking<T: Send + 'static>(
    name: &'static str,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        // The runtime ends before it was begun, and with it whoever waits here.
        Err(err) if err.is_cancelled() => std::future::pending().await,
        Err(err) => panic!("blocking task `{name}` failed: {err}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    #[tokio::test]
    async fn one_failure_drains_the_rest() {
        let mut tasks = Tasks::default();
        let drain = tasks.drain.clone();
        tasks.spawn("web", async move {
            drain.cancelled().await;
            Ok(())
        });
        tasks.spawn("scheduler", async { anyhow::bail!("bad cron") });
        let got = tasks.run(&Clock::System, Duration::from_secs(1)).await;
        assert_eq!(got, Stopped::Failed("scheduler: bad cron".into()));
    }

    #[tokio::test]
    async fn a_stuck_task_is_aborted_and_named() {
        let (hand, clock) = Clock::manual(Timestamp(0));
        let mut tasks = Tasks::default();
        tasks.spawn("stuck", std::future::pending());
        tasks.drain.cancel();
        let grace = Duration::from_secs(30);
        let mut run = tokio_test::task::spawn(tasks.run(&clock, grace));
        assert!(run.poll().is_pending());
        hand.send_modify(|now| *now = *now + grace);
        assert_eq!(run.await, Stopped::Aborted(vec!["stuck".into()]));
    }

    #[tokio::test]
    async fn a_panic_is_a_failure() {
        let mut tasks = Tasks::default();
        tasks.spawn("boom", async { panic!("oh") });
        let got = tasks.run(&Clock::System, Duration::from_secs(1)).await;
        assert!(matches!(got, Stopped::Failed(it) if it.starts_with("boom: ")));
    }
}
