//! What every command gets: the home, and a gateway: the running one, or one that lives as long as the command.

use std::time::Duration;

use anyhow::Context as _;
use ngb_core::tasks::Stopped;
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

/// What every command gets.
pub(crate) struct Context {
    pub(crate) home: Home,
    pub(crate) json: bool,
}

impl Context {
    /// Runs `work` against the gateway of this home. Where none runs, one is started for it: no channel, no page.
    pub(crate) async fn with_gateway<T>(
        &self,
        work: impl AsyncFnOnce(&Client) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        if let Some(client) = Client::connect(&self.home.socket()).await? {
            return work(&client).await;
        }
        let made = match make::make(&self.home, &cli::Serve::default(), Purpose::Command).await {
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
        let life = tasks.run(&clock, GRACE);
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
