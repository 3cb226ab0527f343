//! The canary: a message to a chat of the operator's, now and then. That the platform takes it proves that an account can
//! send; that the platform gives it back, on the line that brings what people write, proves that it can receive.

use std::{sync::Arc, time::Duration};

use ngb_channels::{Channel, Delivery, Pulse, supervise::ChannelState};
use ngb_core::{
    address::{Jid, Place},
    clock::{Clock, Timestamp},
    message::{Outbound, Returns},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// How often, unless the settings say otherwise.
pub const EVERY: Duration = Duration::from_secs(15 * 60);

/// The shortest time between two.
pub const MIN_EVERY: Duration = Duration::from_secs(60);

/// Longest that the platform may take for a send, and then for giving it back.
pub const LIMIT: Duration = Duration::from_secs(60);

/// What an account is proven with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canary {
    pub to: Jid,
    pub every: Duration,
}

/// What a canary proved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CanaryStatus {
    /// When it last proved what it can.
    pub proven_at: Option<Timestamp>,
    /// Whether the platform shows the receiving side too; else only sending is proven.
    pub both_ways: bool,
    /// Why the last one failed, if none succeeded since.
    pub error: Option<String>,
}

/// One account's canary.
pub(crate) struct Bird {
    pub(crate) channel: Arc<dyn Channel>,
    pub(crate) asked: Canary,
    pub(crate) pulse: Pulse,
    pub(crate) state: watch::Receiver<ChannelState>,
    pub(crate) status: watch::Sender<CanaryStatus>,
    pub(crate) clock: Clock,
}

impl Bird {
    /// Sends now and then, until `stop` fires.
    pub(crate) async fn sing(mut self, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => (),
            () = self.go_on() => (),
        }
    }

    async fn go_on(&mut self) {
        let account = self.channel.profile().account.clone();
        let both_ways = self.channel.profile().returns != Returns::Nothing;
        // What is not up is known not to work.
        while self.state.wait_for(|it| *it == ChannelState::Up).await.is_ok() {
            let error = self.prove().await.err();
            if let Some(why) = &error {
                warn!(%account, "the canary of `{account}` failed: {why}");
            }
            let now = self.clock.now();
            let pause = error.as_ref().map_or(self.asked.every, |_| MIN_EVERY);
            self.status.send_modify(|it| {
                it.both_ways = both_ways;
                if error.is_none() {
                    it.proven_at = Some(now);
                }
                it.error = error;
            });
            self.clock.sleep(pause).await;
        }
    }

    /// Sends one, and waits for it to come back where it does.
    async fn prove(&self) -> Result<(), String> {
        let to = Place::from(self.asked.to.clone());
        let now = self.clock.now();
        let text = format!("Canary of {now}: this account works.");
        let item = Outbound::Text { text, reply_to: None, buttons: Vec::new() };
        let key = format!("canary-{}", now.0);
        let delivery = Delivery { to: &to, item: &item, key: &key, live: false };
        let sent = match self.clock.timeout(LIMIT, self.channel.send(&delivery)).await {
            Ok(Ok(sent)) => sent,
            Ok(Err(err)) => return Err(format!("{:#}", anyhow::Error::from(err))),
            Err(late) => return Err(format!("it could not be sent: {late}")),
        };
        if self.channel.profile().returns != Returns::Event {
            return Ok(());
        }
        let Some(id) = sent.platform_id else {
            return Err("the platform named no id for it".to_owned());
        };
        let back = self.clock.timeout(LIMIT, self.pulse.returned(&id)).await;
        back.map_err(|_| format!("it was sent, and did not come back within {LIMIT:?}"))
    }
}
