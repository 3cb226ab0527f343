//! The way out: rows in state `sending` go to their platform, in order within a place, and each gets a receipt.
//!
//! The store hands a row out once; whoever gets it sends it, settles it, and goes on with what the settling hands out
//! next. So a slow place delays nobody else, and a place never has two sends at a time.

use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::FutureExt as _;
use ngb_channels::{Answer, Channel, ChannelError, Delivery, Question, Retry};
use ngb_core::{
    address::Place,
    clock::Clock,
    failpoint::reach,
    id::{JobId, MessageId, OutboxId},
    job::backoff,
    message::{Outbound, Sent},
    tasks::Crew,
    text::{Limit, Unit, split},
};
use ngb_store::{NewOutbox, OutboxItem, Queued, SendOutcome, Settle, Store};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::{
    accounts::{Accounts, words_of},
    events::{Event, Hub},
    handle::Shared,
};

/// Tries of one item before it is given up, where the platform is there and names no end itself: it is the item then.
const MAX_SENDS: u32 = 8;

/// Tries before it is given up though the platform is away: a day of it.
const MAX_SENDS_AWAY: u32 = 1_500;

/// Longest wait between two tries while the platform is away, so that what waits goes soon after it is back.
const AWAY_WAIT: Duration = Duration::from_secs(60);

/// How long an account must have been up until a failure is the item's and no longer the platform's: as long as
/// [`MAX_SENDS`] tries take.
const STEADY_AFTER: Duration = Duration::from_secs(600);

/// Wait before the second try; doubles for each one after.
const BASE_WAIT: Duration = Duration::from_secs(2);

/// Longest that one send may take; a file may need long.
const SEND_LIMIT: Duration = Duration::from_secs(120);

/// Longest that a reaction may take that says that a message is worked on.
const MARK_LIMIT: Duration = Duration::from_secs(10);

/// How long what is to be sent by an account that rests is put off; while it rests, nobody looks.
const PAUSED_WAIT: Duration = Duration::from_secs(5);

/// Rows that are taken at a time when several are due.
const TAKE: usize = 256;

/// What stands before the outbox id where an edit is of a live answer whose platform id is not known yet.
const LIVE: &str = "outbox:";

/// The final text of an answer that was shown while it was made, by the row that showed it first. Its button goes.
pub(crate) fn edit_of_live(live: OutboxId, text: String) -> Outbound {
    Outbound::Edit { platform_id: format!("{LIVE}{live}"), text, buttons: Vec::new() }
}

/// The platforms that we send to.
pub(crate) struct Outboxes {
    accounts: Arc<Accounts>,
    store: Store,
    hub: Arc<Hub>,
    clock: Clock,
    crew: Mutex<Crew>,
    /// Fires when a row was put back for later, so that the dispatcher's timer is set anew.
    due_changed: Notify,
}

impl Outboxes {
    pub(crate) fn new(
        accounts: Arc<Accounts>,
        store: Store,
        hub: Arc<Hub>,
        clock: Clock,
    ) -> Arc<Self> {
        let (crew, due_changed) = (Mutex::default(), Notify::new());
        Arc::new(Self { accounts, store, hub, clock, crew, due_changed })
    }

    /// Sends what can be sent now of rows that were just made.
    pub(crate) fn hand(self: &Arc<Self>, said: Vec<Queued>) {
        for message in said.iter().filter_map(|it| it.message) {
            let this = self.clone();
            self.spawn(async move { this.announce(message).await });
        }
        self.send(said.into_iter().filter_map(|it| it.sending).collect());
    }

    /// Tells whoever watches of a message of ours that is no run's answer.
    async fn announce(&self, message: MessageId) {
        match self.store.message(message).await {
            Ok(Some(it)) => self.hub.publish(Event::Message {
                message,
                place: it.place,
                author: it.author,
                sender: "gateway".to_owned(),
                text: it.content.text,
                in_reply_to: it.in_reply_to,
                group: it.group,
                lane: it.lane,
                at: it.sent_at,
            }),
            Ok(None) => (),
            Err(err) => {
                warn!("could not tell of message {message}: {:#}", anyhow::Error::from(err))
            }
        }
    }

    /// Shows that an answer is being made. It may be lost, and nobody waits for it.
    pub(crate) fn typing(self: &Arc<Self>, place: &Place) {
        if !self.accounts.of(place).is_some_and(|it| it.profile().typing) {
            return;
        }
        let (this, place) = (self.clone(), place.clone());
        self.spawn(async move {
            this.attempt(&place, &Outbound::Typing, SEND_LIMIT, "a typing sign").await;
        });
    }

    /// Has an emoji stand under somebody's message until `done` fires. It is no row: it may be lost.
    pub(crate) fn mark(
        self: &Arc<Self>,
        place: &Place,
        platform_id: String,
        emoji: String,
        done: CancellationToken,
    ) {
        let (this, place) = (self.clone(), place.clone());
        self.spawn(async move {
            let (id, sign) = (platform_id.clone(), emoji.clone());
            let put = Outbound::React { platform_id: id, emoji: sign };
            if this.attempt(&place, &put, MARK_LIMIT, "a reaction").await {
                done.cancelled().await;
                let away = Outbound::Unreact { platform_id, emoji };
                this.attempt(&place, &away, MARK_LIMIT, "a reaction").await;
            }
        });
    }

    /// Sends `item`, which may be lost and is `what` in the log; says whether it was taken.
    async fn attempt(&self, place: &Place, item: &Outbound, limit: Duration, what: &str) -> bool {
        let Some(channel) = self.accounts.of(place) else { return false };
        let delivery = Delivery { to: place, item, key: "", live: true };
        match self.clock.timeout(limit, channel.send(&delivery)).await {
            Ok(Ok(_)) => return true,
            Ok(Err(err)) => debug!("{what} was lost: {:#}", anyhow::Error::from(err)),
            Err(late) => debug!("{what} was lost: {late}"),
        }
        false
    }

    /// Edits a message of ours while its answer is made. Such an edit is no row: it may be lost.
    pub(crate) async fn show(&self, place: &Place, edit: &Outbound) {
        self.attempt(place, edit, SEND_LIMIT, "a live edit").await;
    }

    /// Takes the rows whose time has come.
    pub(crate) async fn take_due(self: &Arc<Self>) -> Result<(), ngb_store::StoreError> {
        let accounts = self.accounts.awake();
        loop {
            let items = self.store.take_outbox(&accounts, self.clock.now(), TAKE).await?;
            if items.is_empty() {
                return Ok(());
            }
            self.send(items);
        }
    }

    /// Waits until nothing is being sent any more.
    pub(crate) async fn finish(&self) {
        let mut crew = std::mem::take(&mut *self.crew());
        crew.finish().await;
    }

    /// Returns when a row was put back for later.
    pub(crate) async fn due_changed(&self) {
        self.due_changed.notified().await;
    }

    fn crew(&self) -> std::sync::MutexGuard<'_, Crew> {
        self.crew.lock().expect("nobody panics while holding it")
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.crew().spawn("send", task);
    }

    fn send(self: &Arc<Self>, items: Vec<OutboxItem>) {
        for item in items {
            let this = self.clone();
            self.spawn(async move { this.send_on(item).await });
        }
    }

    /// Sends an item and what follows it in its place.
    async fn send_on(self: Arc<Self>, first: OutboxItem) {
        let mut next = vec![first];
        while let Some(item) = next.pop() {
            reach("before-send");
            let outcome = self.try_to_deliver(&item).await;
            tell(&item, &outcome);
            reach("after-send");
            if let SendOutcome::Retry { .. } = outcome {
                self.due_changed.notify_one();
            }
            let settle = Settle { id: item.id, outcome, now: self.clock.now() };
            match self.settle(settle).await {
                Some(items) => {
                    reach("after-settle");
                    next.extend(items);
                }
                None => return,
            }
        }
    }

    /// Writes the receipt. A database that is away for a moment must not lose it, so this goes on until it is written.
    async fn settle(&self, settle: Settle) -> Option<Vec<OutboxItem>> {
        let mut tries = 0;
        loop {
            match self.store.settle(vec![settle.clone()]).await {
                Ok(items) => return Some(items),
                Err(ngb_store::StoreError::Closed) => return None,
                Err(err) => {
                    tries += 1;
                    let wait = backoff(tries, Duration::from_millis(200));
                    warn!(
                        "could not write a receipt, again in {wait:?}: {:#}",
                        anyhow::Error::from(err)
                    );
                    self.clock.sleep(wait).await;
                }
            }
        }
    }

    /// A panic on the way is a failure like any other: the row must not stay in state `sending` until the next start.
    async fn try_to_deliver(&self, item: &OutboxItem) -> SendOutcome {
        let panic = match AssertUnwindSafe(self.deliver(item)).catch_unwind().await {
            Ok(outcome) => return outcome,
            Err(panic) => panic,
        };
        let error = format!("the gateway panicked while it sent: {}", words_of(&*panic));
        tracing::error!("row {} to `{}`: {error}", item.id, item.place);
        if MAX_SENDS <= item.attempt {
            return SendOutcome::Failed { error };
        }
        let at = self.clock.now() + backoff(item.attempt, BASE_WAIT);
        SendOutcome::Retry { at, error, in_doubt: true }
    }

    async fn deliver(&self, item: &OutboxItem) -> SendOutcome {
        let account = item.place.jid.account();
        let Some(channel) = self.accounts.channel(account) else {
            let error = format!("account `{account}` is not set up any more");
            return SendOutcome::Failed { error };
        };
        if self.accounts.is_paused(account) {
            let error = format!("account `{account}` is paused");
            let at = self.clock.now() + PAUSED_WAIT;
            return SendOutcome::Retry { at, error, in_doubt: item.in_doubt };
        }
        let key = format!("ngb-{}", item.id);
        if item.in_doubt
            && let Some(sent) = self.was_sent(&*channel, &item.place, &key).await
        {
            return SendOutcome::Sent { platform_id: sent.platform_id };
        }
        let outbound = match self.with_live_id(&item.item).await {
            Ok(outbound) => outbound,
            Err(err) => {
                let error = format!("{:#}", anyhow::Error::from(err));
                return SendOutcome::Retry {
                    at: self.clock.now() + BASE_WAIT,
                    error,
                    in_doubt: false,
                };
            }
        };
        let delivery = Delivery { to: &item.place, item: &outbound, key: &key, live: item.live };
        match self.clock.timeout(SEND_LIMIT, channel.send(&delivery)).await {
            Ok(Ok(sent)) => {
                self.accounts.sent(account, None);
                SendOutcome::Sent { platform_id: sent.platform_id }
            }
            Ok(Err(err)) => {
                let outcome = self.after(item, err);
                if let SendOutcome::Retry { error, .. } | SendOutcome::Failed { error } = &outcome {
                    self.accounts.sent(account, Some(error));
                }
                outcome
            }
            Err(late) => SendOutcome::Retry {
                at: self.clock.now() + BASE_WAIT,
                error: late.to_string(),
                in_doubt: true,
            },
        }
    }

    /// The item with the platform's id of the live answer that it edits. One whose first send never arrived becomes a
    /// message of its own.
    async fn with_live_id(&self, item: &Outbound) -> Result<Outbound, ngb_store::StoreError> {
        let Outbound::Edit { platform_id, text, buttons } = item else { return Ok(item.clone()) };
        let Some(live) = platform_id.strip_prefix(LIVE).and_then(|it| it.parse().ok()) else {
            return Ok(item.clone());
        };
        let (text, buttons) = (text.clone(), buttons.clone());
        Ok(match self.store.platform_id(live).await? {
            Some(platform_id) => Outbound::Edit { platform_id, text, buttons },
            None => Outbound::Text { text, reply_to: None, buttons },
        })
    }

    /// The platform's own word on whether it has an item; none where it can't tell.
    async fn was_sent(&self, channel: &dyn Channel, to: &Place, key: &str) -> Option<Sent> {
        let question = Question::WasSent { key: key.to_owned(), to: to.clone() };
        match channel.ask(&question).await {
            Ok(Answer::Sent(sent)) => sent,
            Ok(Answer::Me { .. } | Answer::CanNot) => None,
            Err(err) => {
                warn!("could not ask for a send in doubt: {:#}", anyhow::Error::from(err));
                None
            }
        }
    }

    fn after(&self, item: &OutboxItem, err: ChannelError) -> SendOutcome {
        if let Some(to) = err.moved_to {
            return SendOutcome::Moved { to };
        }
        let (retry, in_doubt) = (err.retry, err.maybe_done);
        // What surely did not get there says nothing against the item.
        let away = !in_doubt || !self.accounts.is_steady(item.place.jid.account(), STEADY_AFTER);
        let max_sends = if away { MAX_SENDS_AWAY } else { MAX_SENDS };
        let error = format!("{:#}", anyhow::Error::from(err));
        let wait = match retry {
            // What a wrong token refuses is wanted again once the settings have the right one.
            Retry::Never
                if item.attempt < MAX_SENDS_AWAY
                    && self.accounts.is_down(item.place.jid.account()) =>
            {
                AWAY_WAIT
            }
            Retry::Never => return SendOutcome::Failed { error },
            // A named wait is an order, not a failure; it is obeyed as often as it is given.
            Retry::After(wait) => wait,
            Retry::Backoff if max_sends <= item.attempt => {
                return SendOutcome::Failed {
                    error: format!("gave up after {} tries: {error}", item.attempt),
                };
            }
            Retry::Backoff if away => backoff(item.attempt, BASE_WAIT).min(AWAY_WAIT),
            Retry::Backoff => backoff(item.attempt, BASE_WAIT),
        };
        SendOutcome::Retry { at: self.clock.now() + wait, error, in_doubt }
    }
}

/// Notes in the log how a send went, with the message that it is about.
fn tell(item: &OutboxItem, outcome: &SendOutcome) {
    let messages = item.about.map(tracing::field::display);
    let (row, place) = (item.id, &item.place);
    match outcome {
        SendOutcome::Sent { .. } => debug!(messages, "sent row {row} to `{place}`"),
        SendOutcome::Retry { error, .. } => {
            warn!(messages, "could not send row {row} to `{place}`, trying again: {error}");
        }
        SendOutcome::Failed { error } => {
            warn!(messages, "could not send row {row} to `{place}`: {error}");
        }
        SendOutcome::Moved { to } => debug!(messages, "row {row} of `{place}` moves to `{to}`"),
    }
}

/// The limit of a text where its account is not set up any more; it only has to be some limit.
const NO_PROFILE_LIMIT: Limit = Limit { max: 4_000, unit: Unit::Chars };

impl Shared {
    /// How long a text may be in a place.
    pub(crate) fn text_limit(&self, place: &Place) -> Limit {
        self.accounts.of(place).map_or(NO_PROFILE_LIMIT, |it| it.profile().text_limit)
    }

    /// A plain text as rows, in as many parts as its place wants.
    pub(crate) fn rows_of(
        &self,
        place: &Place,
        text: &str,
        about: Option<MessageId>,
        job: Option<JobId>,
    ) -> Vec<NewOutbox> {
        let row = |text| NewOutbox {
            place: place.clone(),
            item: Outbound::Text { text, reply_to: None, buttons: Vec::new() },
            about,
            job,
            live: false,
        };
        split(text, self.text_limit(place)).into_iter().map(row).collect()
    }
}
