//! The accounts on platforms: which there are, and how each is doing. They come, change, rest and go while the gateway
//! runs, and one that fails touches no other.

use std::{
    any::Any,
    collections::BTreeMap,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::Duration,
};

use futures_util::FutureExt as _;
use ngb_channels::{
    Answer, Channel, Inbox, Intake, Pulse, Question, Webhook,
    supervise::{self, ChannelState},
};
use ngb_core::{
    address::{Account, Place},
    clock::{Clock, Timestamp},
    route::NewChats,
    tasks::Crew,
};
use ngb_store::Store;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

pub use crate::account_status::{AccountStatus, AccountWatch};
use crate::{
    account_status::{Sends, describe},
    canary::{Bird, Canary, CanaryStatus},
    events::{Event, Hub},
    handle::{Gateway, HandleError, Unheard},
    registry::is_ours,
};

/// How long somebody who changes or tests an account waits for its platform.
pub const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// Requests of one platform that wait for its adapter.
const WEBHOOK_DEPTH: usize = 64;

/// An account as the settings have it.
#[derive(Clone)]
pub struct Configured {
    pub channel: Arc<dyn Channel>,
    /// What it does with chats that nobody approved.
    pub new_chats: NewChats,
    /// What stands under a message while it is worked on, where somebody asked for that.
    pub ack_reaction: Option<String>,
    /// What proves that it works, where somebody asked for that.
    pub canary: Option<Canary>,
    /// The same as long as nothing in its settings changed.
    pub fingerprint: String,
}

/// What became of the accounts when the settings were read anew.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reloaded {
    pub added: Vec<Account>,
    pub changed: Vec<Account>,
    pub removed: Vec<Account>,
}

/// Every account there is.
pub(crate) struct Accounts {
    all: RwLock<BTreeMap<Account, Entry>>,
    inbox: Inbox,
    store: Store,
    clock: Clock,
    hub: Arc<Hub>,
    /// Fires after the drain: messages are stored until then.
    stop: CancellationToken,
    crew: Mutex<Crew>,
}

/// What is kept of one account.
struct Entry {
    configured: Configured,
    webhooks: mpsc::Sender<Webhook>,
    pulse: Pulse,
    state: watch::Receiver<ChannelState>,
    sends: watch::Sender<Sends>,
    canary: watch::Sender<CanaryStatus>,
    /// Ends its receiving.
    stop: CancellationToken,
    /// Fires once its receiving has ended, so that the next one of the same account does not meet it.
    over: CancellationToken,
    paused: bool,
}

impl Accounts {
    pub(crate) fn new(
        inbox: Inbox,
        store: Store,
        clock: Clock,
        hub: Arc<Hub>,
        stop: CancellationToken,
    ) -> Arc<Self> {
        let (all, crew) = Default::default();
        Arc::new(Self { all, inbox, store, clock, hub, stop, crew })
    }

    fn all(&self) -> RwLockReadGuard<'_, BTreeMap<Account, Entry>> {
        self.all.read().expect("nobody panics while holding it")
    }

    fn all_mut(&self) -> RwLockWriteGuard<'_, BTreeMap<Account, Entry>> {
        self.all.write().expect("nobody panics while holding it")
    }

    fn crew(&self) -> MutexGuard<'_, Crew> {
        self.crew.lock().expect("nobody panics while holding it")
    }

    /// Takes an account in, in place of the one that was there; it receives from now on unless it is `paused`.
    pub(crate) fn put(&self, configured: Configured, paused: bool) {
        let account = configured.channel.profile().account.clone();
        let mut all = self.all_mut();
        let before = all.remove(&account);
        if let Some(before) = &before {
            before.stop.cancel();
        }
        let after = before.map(|it| it.over);
        let (webhooks, hooks) = mpsc::channel(WEBHOOK_DEPTH);
        let (state_tx, state) = watch::channel(ChannelState::Connecting);
        let pulse = Pulse::default();
        let canary = watch::Sender::default();
        let (stop, over) = (self.stop.child_token(), CancellationToken::new());
        if paused {
            // Nobody receives, so whoever comes next need only wait for the one before.
            let over = over.clone();
            self.crew().spawn("pause", async move {
                if let Some(after) = after {
                    after.cancelled().await;
                }
                over.cancel();
            });
        } else {
            let marks = crate::marks::of(&self.store, &self.clock, &account);
            let inbox = self.inbox.clone().with_marks(marks);
            let inbox = inbox.counted(pulse.clone(), self.clock.clone());
            let (ends, beats) = (stop.clone(), pulse.clone());
            let (stop, pulse) = (stop.clone(), pulse.clone());
            let life = Life {
                channel: configured.channel.clone(),
                intake: Intake { inbox, webhooks: hooks, stop, pulse },
                state: state_tx,
                after,
                over: over.clone(),
            };
            let mut crew = self.crew();
            crew.spawn("channel", life.live(self.clock.clone()));
            let watched = watch_state(account.clone(), state.clone(), self.hub.clone());
            crew.spawn("watch", watched);
            if let Some(asked) = &configured.canary {
                let bird = Bird {
                    channel: configured.channel.clone(),
                    asked: asked.clone(),
                    pulse: beats,
                    state: state.clone(),
                    status: canary.clone(),
                    clock: self.clock.clone(),
                };
                crew.spawn("canary", bird.sing(ends));
            }
        }
        let sends = watch::Sender::default();
        all.insert(
            account,
            Entry { configured, webhooks, pulse, state, sends, canary, stop, over, paused },
        );
    }

    /// Makes the accounts what the settings say: those that changed are connected anew, the others are not touched.
    pub(crate) fn reload(&self, wanted: Vec<Configured>) -> Reloaded {
        let mut res = Reloaded::default();
        let mut gone: Vec<Account> = self.names().into_iter().filter(|it| !is_ours(it)).collect();
        for it in wanted {
            let account = it.channel.profile().account.clone();
            gone.retain(|other| *other != account);
            let (known, paused) = match self.all().get(&account) {
                Some(old) if old.configured.fingerprint == it.fingerprint => continue,
                Some(old) => (true, old.paused),
                None => (false, false),
            };
            self.put(it, paused);
            if known { res.changed.push(account) } else { res.added.push(account) }
        }
        for account in gone {
            if let Some(old) = self.all_mut().remove(&account) {
                old.stop.cancel();
                info!(%account, "`{account}` is not in the settings any more");
                res.removed.push(account);
            }
        }
        res
    }

    /// Has an account rest, or go on: nothing is received and nothing sent; what is to be sent waits. False when there is
    /// no such account.
    pub(crate) fn pause(&self, account: &Account, paused: bool) -> bool {
        let configured = match self.all().get(account) {
            None => return false,
            Some(it) if it.paused == paused => return true,
            Some(it) => it.configured.clone(),
        };
        self.put(configured, paused);
        let state = if paused { "paused" } else { "connecting" };
        self.hub.publish(Event::Channel { account: account.clone(), state, why: String::new() });
        true
    }

    pub(crate) fn channel(&self, account: &Account) -> Option<Arc<dyn Channel>> {
        self.all().get(account).map(|it| it.configured.channel.clone())
    }

    /// The platform of a place; none when its account is not set up any more.
    pub(crate) fn of(&self, place: &Place) -> Option<Arc<dyn Channel>> {
        self.channel(place.jid.account())
    }

    pub(crate) fn new_chats(&self, account: &Account) -> NewChats {
        self.all().get(account).map(|it| it.configured.new_chats).unwrap_or_default()
    }

    /// The reaction that says that a message is worked on.
    pub(crate) fn ack_reaction(&self, account: &Account) -> Option<String> {
        self.all().get(account).and_then(|it| it.configured.ack_reaction.clone())
    }

    pub(crate) fn names(&self) -> Vec<Account> {
        self.all().keys().cloned().collect()
    }

    /// Those that may send now.
    pub(crate) fn awake(&self) -> Vec<Account> {
        self.all().iter().filter(|it| !it.1.paused).map(|it| it.0.clone()).collect()
    }

    pub(crate) fn is_paused(&self, account: &Account) -> bool {
        self.all().get(account).is_some_and(|it| it.paused)
    }

    /// Whether it waits for other settings: its token was refused, say.
    pub(crate) fn is_down(&self, account: &Account) -> bool {
        let all = self.all();
        all.get(account).is_some_and(|it| matches!(*it.state.borrow(), ChannelState::Down { .. }))
    }

    /// Whether it is up, and its line was not lost for `span`.
    pub(crate) fn is_steady(&self, account: &Account, span: Duration) -> bool {
        let now = self.clock.now();
        self.all().get(account).is_some_and(|it| {
            let notes = it.pulse.notes();
            let lost_at = notes.borrow().last_failure.as_ref().map(|it| it.0);
            let is_up = matches!(*it.state.borrow(), ChannelState::Up);
            is_up && lost_at.is_none_or(|at| span <= now.since(at))
        })
    }

    /// The platform took something, or why it did not.
    pub(crate) fn sent(&self, account: &Account, error: Option<&str>) {
        let now = self.clock.now();
        if let Some(it) = self.all().get(account) {
            it.sends.send_modify(|it| {
                it.error = error.map(str::to_owned);
                if error.is_none() {
                    it.last_at = Some(now);
                }
            });
        }
    }

    pub(crate) fn status(&self) -> Vec<AccountStatus> {
        let now = self.clock.now();
        self.all().iter().map(|(account, entry)| entry.status(account, now)).collect()
    }

    /// What tells that an account is doing differently; none when there is no such account.
    pub(crate) fn watch(&self, account: &Account) -> Option<AccountWatch> {
        self.all().get(account).map(|it| {
            let (state, notes) = (it.state.clone(), it.pulse.notes());
            AccountWatch::new(state, notes, it.sends.subscribe(), it.over.clone())
        })
    }

    pub(crate) fn takes_webhooks(&self, account: &Account) -> bool {
        self.all().get(account).is_some_and(|it| it.configured.channel.profile().webhook)
    }

    pub(crate) async fn webhook(&self, account: &Account, request: Webhook) -> Result<(), Unheard> {
        let door = self
            .all()
            .get(account)
            .filter(|it| it.configured.channel.profile().webhook)
            .map(|it| it.webhooks.clone());
        let door = door.ok_or(Unheard::NoSuchAccount)?;
        door.send(request).await.map_err(|_| Unheard::Stopping)
    }

    /// Returns once an account is connected or has failed.
    pub(crate) async fn settled(&self, account: &Account) {
        let state = self.all().get(account).filter(|it| !it.paused).map(|it| it.state.clone());
        if let Some(mut state) = state {
            // An error means that it is over, which is an end as well.
            drop(state.wait_for(|it| *it != ChannelState::Connecting).await);
        }
    }

    /// Waits until every account has ended, once `stop` fired.
    pub(crate) async fn finish(&self) -> anyhow::Result<()> {
        self.stop.cancelled().await;
        let mut crew = std::mem::take(&mut *self.crew());
        crew.finish().await;
        Ok(())
    }
}

impl Entry {
    fn status(&self, account: &Account, now: Timestamp) -> AccountStatus {
        let notes = self.pulse.notes();
        let notes = notes.borrow();
        let sends = self.sends.borrow();
        let (state, why) = match notes.rival(now) {
            _ if self.paused => ("paused", String::new()),
            Some(why) => ("contested", why.to_owned()),
            None => describe(&self.state.borrow()),
        };
        AccountStatus {
            account: account.clone(),
            state,
            why,
            can_receive: state == "up",
            can_send: match &sends.error {
                Some(_) => Some(false),
                None => sends.last_at.map(|_| true),
            },
            failures: notes.failures,
            last_failure: notes.last_failure.clone(),
            events: notes.events,
            last_event_at: notes.last_event_at,
            last_heard_at: self.pulse.last(),
            last_sent_at: sends.last_at,
            send_error: sends.error.clone(),
            canary: self.configured.canary.as_ref().map(|_| self.canary.borrow().clone()),
            webhook: self.configured.channel.profile().webhook,
        }
    }
}

/// One account's receiving, from its beginning to its end.
struct Life {
    channel: Arc<dyn Channel>,
    intake: Intake,
    state: watch::Sender<ChannelState>,
    /// The end of the one before it.
    after: Option<CancellationToken>,
    over: CancellationToken,
}

impl Life {
    async fn live(self, clock: Clock) {
        let Self { channel, intake, state, after, over } = self;
        let _over = over.drop_guard();
        if let Some(after) = after {
            after.cancelled().await;
        }
        let account = channel.profile().account.clone();
        let stop = intake.stop.clone();
        let received = supervise::keep_receiving(channel, clock, intake, state.clone());
        if let Err(panic) = AssertUnwindSafe(received).catch_unwind().await {
            let why = format!("its adapter panicked: {}", words_of(&*panic));
            error!(%account, "`{account}` is down: {why}");
            state.send_replace(ChannelState::Down { why });
            stop.cancelled().await;
        }
    }
}

/// What stands before an account's name in the store while it rests, so that it still does after a restart.
const PAUSED: &str = "paused.";

impl Gateway {
    /// Every account and how it is doing.
    pub fn accounts(&self) -> Vec<AccountStatus> {
        self.0.accounts.status()
    }

    /// What tells that an account is doing differently; none when there is no such account.
    pub fn watch_account(&self, account: &Account) -> Option<AccountWatch> {
        self.0.accounts.watch(account)
    }

    /// Whether an account was told to rest.
    pub(crate) async fn rests(&self, account: &Account) -> Result<bool, HandleError> {
        Ok(self.store().get(&format!("{PAUSED}{account}")).await?.is_some_and(|it| it == "1"))
    }

    /// Has an account rest, or go on: nothing is received and nothing sent; what is to be sent waits.
    ///
    /// # Errors
    ///
    /// [`HandleError::NoAccount`] when there is none of that name.
    pub async fn pause_account(&self, account: &Account, paused: bool) -> Result<(), HandleError> {
        if is_ours(account) || !self.0.accounts.names().contains(account) {
            return Err(HandleError::NoAccount(account.clone()));
        }
        let value = if paused { "1" } else { "0" };
        self.store().put(&format!("{PAUSED}{account}"), value).await?;
        self.0.accounts.pause(account, paused);
        self.0.dispatcher.wake();
        Ok(())
    }

    /// Reads the accounts of the settings anew: those that changed are connected anew, the others are not touched.
    ///
    /// # Errors
    ///
    /// [`HandleError::Settings`] when they make no sense; then nothing changes.
    pub async fn reload_accounts(&self) -> Result<Reloaded, HandleError> {
        let Some(book) = &self.0.account_book else { return Ok(Reloaded::default()) };
        let wanted = book.read().map_err(HandleError::Settings)?;
        let reloaded = self.0.accounts.reload(wanted);
        for account in reloaded.added.iter().chain(&reloaded.changed) {
            // A platform that is away is shown as such; nobody waits for it any longer than this.
            let settled = self.0.accounts.settled(account);
            if self.clock().timeout(CONNECT_LIMIT, settled).await.is_err() {
                info!(%account, "`{account}` is still connecting");
            }
        }
        self.0.dispatcher.wake();
        Ok(reloaded)
    }

    /// Asks the platform of an account who it is to it, and what stands in its way.
    ///
    /// # Errors
    ///
    /// [`HandleError::NoAccount`], or what the platform said.
    pub async fn test_account(&self, account: &Account) -> Result<Answer, HandleError> {
        let channel = self.0.accounts.channel(account);
        let channel = channel.ok_or_else(|| HandleError::NoAccount(account.clone()))?;
        match self.clock().timeout(CONNECT_LIMIT, channel.ask(&Question::WhoAmI)).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(HandleError::Silent(account.clone())),
        }
    }
}

/// What a panic said.
pub(crate) fn words_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("no word")
}

/// Tells whoever watches how an account is doing, until it ends.
async fn watch_state(account: Account, mut state: watch::Receiver<ChannelState>, hub: Arc<Hub>) {
    while state.changed().await.is_ok() {
        let (state, why) = describe(&state.borrow_and_update());
        hub.publish(Event::Channel { account: account.clone(), state, why });
    }
}
