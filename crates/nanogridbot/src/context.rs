//! What every command gets: the home, and a gateway: the running one, or one that lives as long as the command.

use std::time::Duration;

use anyhow::Context as _;
use ngb_core::{clock::Timestamp, tasks::Stopped};
use serde_json::Value;

use crate::{
    cli,
    client::Client,
    home::{Home, HomeError},
    make::{self, Made, Purpose},
    print,
};

/// How long the work of a command's own gateway has to end, after the command.
const GRACE: Duration = Duration::from_secs(30);

/// The same for a command whose time is over: enough to say so, and to end what ends by itself.
const LATE_GRACE: Duration = Duration::from_secs(1);

/// What every command gets.
pub(crate) struct Context {
    pub(crate) home: Home,
    pub(crate) json: bool,
}

impl Context {
    /// Runs `work` against the gateway of this home. Where none runs, one is started for it: no channel, no page, and no
    /// agent.
    pub(crate) async fn with_gateway<T>(
        &self,
        work: impl AsyncFnOnce(&Client) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        self.with(Purpose::Command { agents: false }, None, work).await
    }

    /// As [`Context::with_gateway`], with agents. A gateway that was started for `work` ends soon after `ends_at`,
    /// whatever it does: what it had under way waits for the next one.
    pub(crate) async fn with_agents<T>(
        &self,
        ends_at: Option<Timestamp>,
        work: impl AsyncFnOnce(&Client) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        self.with(Purpose::Command { agents: true }, ends_at, work).await
    }

    async fn with<T>(
        &self,
        purpose: Purpose,
        ends_at: Option<Timestamp>,
        work: impl AsyncFnOnce(&Client) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        if let Some(client) = Client::connect(&self.home.socket()).await? {
            return work(&client).await;
        }
        let made = match make::make(&self.home, &cli::Serve::default(), purpose).await {
            Ok(made) => made,
            Err(err) => {
                // One that was just starting has its lock before its socket.
                let starting = matches!(err.downcast_ref(), Some(HomeError::InUse(_)));
                return match Client::connect(&self.home.socket()).await? {
                    Some(client) if starting => work(&client).await,
                    _ => Err(err),
                };
            }
        };
        let Made { gateway, mut tasks, web, lock: _lock, lease, .. } = made;
        let drain = tasks.drain.clone();
        tasks.spawn("web", web.run(gateway.clone(), drain.clone()));
        let clock = gateway.clock().clone();
        let life = async {
            let life = tasks.run(&clock, GRACE);
            match ends_at {
                None => life.await,
                Some(at) => tokio::select! {
                    stopped = life => stopped,
                    () = clock.sleep_until(at + LATE_GRACE) => Stopped::Aborted(Vec::new()),
                },
            }
        };
        let command = async {
            // Whatever comes of it, the gateway ends with it.
            let _drained = drain.drop_guard();
            let client = Client::connect(&self.home.socket()).await?;
            work(&client.context("the gateway of this command does not answer")?).await
        };
        let (stopped, done) = tokio::join!(life, command);
        lease.give_back().await;
        gateway.store().close().await;
        match stopped {
            Stopped::Clean | Stopped::Aborted(_) => done,
            Stopped::Failed(why) => {
                done.with_context(|| format!("the gateway of this command failed: {why}"))
            }
        }
    }

    /// Prints the answer of one call, in words made by `words`.
    pub(crate) fn show(&self, answer: &Value, words: impl FnOnce(&Value)) {
        if self.json { print::json(answer) } else { words(answer) }
    }
}
