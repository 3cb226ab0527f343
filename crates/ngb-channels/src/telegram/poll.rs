//! Long polling: an offset is confirmed only once all before it is on disk.

use std::time::Duration;

use futures_util::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use ngb_core::notice::Notice;
use serde_json::{Value, json};
use tracing::{info, warn};

use super::{
    Telegram,
    api::ApiError,
    wire::{self, Read},
};
use crate::{Accepted, ChannelError, Intake, NotAccepted, Pulse, Retry};

/// How long Telegram holds a poll open when nothing is there. 50 s is the most it does.
const POLL: Duration = Duration::from_secs(50);

/// Most updates in one poll, which is also the most that Telegram gives.
const BATCH: u32 = 100;

/// What we want to be told, named on each poll: Telegram remembers what the last program asked for.
pub(super) const ALLOWED: &[&str] = &[
    "message",
    "edited_message",
    "channel_post",
    "edited_channel_post",
    "callback_query",
    "message_reaction",
    "my_chat_member",
];

/// The first pause when nothing can be stored, and the least time from one poll to the next when nothing comes.
const FIRST_WAIT: Duration = Duration::from_millis(250);

/// The longest pause when nothing can be stored.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// How long another poller counts as there after it was last noticed: two that poll take turns, so one poll that ends well
/// proves nothing.
const RIVAL_LINGERS: Duration = Duration::from_secs(3 * 60);

/// Calls that delay nothing: who we are, and answers to button aside. What is left of them at the end is dropped.
pub(super) type Aside<'a> = FuturesUnordered<BoxFuture<'a, ()>>;

/// What `work` returns, with the calls in `aside` going on beside it.
pub(super) async fn beside<T>(aside: &mut Aside<'_>, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            biased;
            done = &mut work => return done,
            Some(()) = aside.next() => (),
        }
    }
}

impl Telegram {
    pub(super) async fn poll(&self, intake: &mut Intake) -> Result<(), ChannelError> {
        // 0 is "from the first that is not confirmed"; the key of each update drops what is already here.
        let mut offset = 0;
        let mut wait = FIRST_WAIT;
        // A first poll may hold for long; who we are comes at once, and shows that the line is good.
        let mut aside = Aside::new();
        aside.push(Box::pin(self.introduce(intake.pulse.clone())));
        loop {
            let began = self.clock.now();
            let asked = json!({
                "offset": offset, "timeout": POLL.as_secs(), "limit": BATCH, "allowed_updates": ALLOWED,
            });
            let poll = beside(&mut aside, self.api.long_poll("getUpdates", &asked, POLL));
            let updates = tokio::select! {
                polled = poll => match polled {
                    Ok(updates) => updates,
                    Err(ApiError::WebhookSet) => {
                        self.delete_webhook().await?;
                        continue;
                    }
                    Err(err @ ApiError::OtherPoller) => {
                        intake.pulse.rival(err.to_string(), self.clock.now(), Some(RIVAL_LINGERS));
                        return Err(err.doing("poll for updates"));
                    }
                    Err(err) => return Err(err.doing("poll for updates")),
                },
                () = intake.stop.cancelled() => return Ok(()),
            };
            intake.pulse.progress(self.clock.now());
            let Value::Array(updates) = updates else {
                let source = "the answer to getUpdates is no list".into();
                return Err(ChannelError {
                    doing: "poll for updates".into(),
                    retry: Retry::Backoff,
                    maybe_done: false,
                    moved_to: None,
                    source,
                });
            };
            if updates.is_empty() {
                // A server that does not hold polls open would be asked without an end.
                let rest = FIRST_WAIT.saturating_sub(self.clock.now().since(began));
                tokio::select! {
                    () = beside(&mut aside, self.clock.sleep(rest)) => continue,
                    () = intake.stop.cancelled() => return Ok(()),
                }
            }
            // Beside the others: one of them may be the one that is asking, and nobody else wakes it.
            let me = tokio::select! {
                me = beside(&mut aside, self.me()) => me?,
                () = intake.stop.cancelled() => return Ok(()),
            };
            let read = wire::read_all(&updates, &self.profile.account, me);
            // Updates without an id can't be confirmed alone and would come again at once, for ever.
            let confirmable = read.next_offset.is_some();
            let next = read.next_offset.map_or(offset, |it| it.max(offset));
            if self.store(intake, read, &mut aside).await? {
                offset = next;
                if confirmable {
                    wait = FIRST_WAIT;
                    continue;
                }
            }
            tokio::select! {
                () = self.clock.sleep(wait) => (),
                () = intake.stop.cancelled() => return Ok(()),
            }
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    /// Puts a batch on disk; whether it is there. Then the buttons that were pressed in it are answered in `aside`.
    ///
    /// # Errors
    ///
    /// When the gateway is closed for good.
    pub(super) async fn store<'a>(
        &'a self,
        intake: &Intake,
        read: Read,
        aside: &mut Aside<'a>,
    ) -> Result<bool, ChannelError> {
        match intake.inbox.accept_all(read.events).await {
            Ok(accepted) => {
                for press in read.pressed {
                    let word = match accepted.get(press.event) {
                        Some(Accepted::NotYours) => Some(Notice::NotYours.say(press.lang, None)),
                        _ => None,
                    };
                    aside.push(Box::pin(self.answer_press(press.id, word)));
                }
                Ok(true)
            }
            Err(NotAccepted::NotStored) => {
                warn!(
                    account = %self.profile.account,
                    "updates could not be stored, so they are not confirmed and come again",
                );
                Ok(false)
            }
            Err(closed @ NotAccepted::Closed) => Err(ChannelError {
                doing: "hand on updates".into(),
                retry: Retry::Never,
                maybe_done: false,
                moved_to: None,
                source: closed.into(),
            }),
        }
    }

    /// Shows that the line is good. What is known from before shows nothing, so Telegram is asked each time.
    async fn introduce(&self, pulse: Pulse) {
        let is_known = self.me.initialized();
        let asked = match is_known {
            false => self.me().await.map(drop),
            true => match self.api.call("getMe", &json!({})).await {
                Ok(_) => Ok(()),
                Err(err) => Err(err.doing("ask who the bot is")),
            },
        };
        match asked {
            Ok(()) => {
                if let (false, Some(me)) = (is_known, self.me.get()) {
                    info!(account = %self.profile.account, "the bot is `@{}`", me.username);
                }
                pulse.beat(self.clock.now());
            }
            // The poll says so too, and the first batch asks again.
            Err(err) => tracing::debug!(account = %self.profile.account, "{err}"),
        }
    }

    /// Ends the spinner on a button, with a word for whoever pressed it alone. It is a courtesy with a short life, so a
    /// failure is only noted.
    async fn answer_press(&self, id: String, word: Option<String>) {
        let mut answer = json!({"callback_query_id": id});
        if let Some(word) = word {
            answer["text"] = word.into();
        }
        if let Err(err) = self.api.call("answerCallbackQuery", &answer).await {
            tracing::debug!(account = %self.profile.account, "could not answer a button press: {err}");
        }
    }

    /// Takes away a webhook that is in the way of polling; what waits for it is kept.
    async fn delete_webhook(&self) -> Result<(), ChannelError> {
        info!(account = %self.profile.account, "a webhook was set for this bot; it is deleted, so that polling works");
        let deleted = self.api.call("deleteWebhook", &json!({"drop_pending_updates": false})).await;
        deleted.map(drop).map_err(|it| it.doing("delete the webhook that is in the way of polling"))
    }
}
