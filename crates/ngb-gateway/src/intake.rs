//! The way in: events of all channels become rows, in batches, before any platform is told "received".

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use ngb_channels::{
    Channel, Inbox, Intake, Mark, Marks, NotAccepted, Offer, Pulse, Webhook,
    supervise::ChannelState,
};
use ngb_core::{address::Account, clock::Clock, message::Inbound, route::NewChats};
use ngb_store::{Recorded, Store};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::{
    albums::Albums,
    batch::Batch,
    handle::{AccountStatus, Gateway, HandleError, Posted, Unheard},
};

/// Events of one transaction; what waits beyond them goes into the next one.
const MAX_BATCH_EVENTS: usize = 512;

/// Offers that wait to be taken, of all channels together; a channel that finds it full waits, unacknowledged.
const INBOX_OFFERS: usize = 256;

/// Requests of one platform that wait for its adapter.
const WEBHOOK_DEPTH: usize = 64;

/// The accounts there are, and the doors that lead to the intake.
pub(crate) struct Inboxes {
    posts: mpsc::Sender<Direct>,
    pub(crate) accounts: BTreeMap<Account, Door>,
}

/// What the gateway keeps of one account.
pub(crate) struct Door {
    pub(crate) new_chats: NewChats,
    /// Whether the platform calls us.
    webhook: bool,
    webhooks: mpsc::Sender<Webhook>,
    pulse: Pulse,
    state: watch::Receiver<ChannelState>,
}

/// One event of our own doors, whose sender wants to know its message.
pub(crate) struct Direct {
    pub(crate) event: Inbound,
    pub(crate) stored: oneshot::Sender<Result<Recorded, NotAccepted>>,
}

/// What the intake task reads.
pub(crate) struct Inlets {
    offers: mpsc::Receiver<Offer>,
    posts: mpsc::Receiver<Direct>,
}

/// How long nobody wrote in a place before it is not looked at any more when something may have been missed.
const LIVELY: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Most places of an account that are looked at then, the latest first.
const MOST_MARKS: u32 = 200;

/// Reads up to where what people wrote on an account is stored.
pub(crate) fn marks(store: &Store, clock: &Clock, account: &Account) -> Marks {
    let (store, clock, account) = (store.clone(), clock.clone(), account.clone());
    Marks::new(move || {
        let (store, since, account) = (store.clone(), clock.now() - LIVELY, account.clone());
        async move {
            let found = store.heard(&account, since, MOST_MARKS).await;
            let found = found.map_err(|err| {
                let why = anyhow::Error::from(err);
                warn!(%account, "could not read what was heard last: {why:#}");
                NotAccepted::NotStored
            })?;
            Ok(found.into_iter().map(|(place, sent_at)| Mark { place, sent_at }).collect())
        }
    })
}

/// What a channel's supervisor needs.
pub(crate) struct Supervised {
    pub(crate) channel: Arc<dyn Channel>,
    pub(crate) intake: Intake,
    pub(crate) state: watch::Sender<ChannelState>,
}

impl Inboxes {
    /// Opens a door for each channel.
    pub(crate) fn open(
        channels: Vec<(Arc<dyn Channel>, NewChats)>,
        marks: impl Fn(&Account) -> Marks,
        stop: &CancellationToken,
    ) -> (Self, Inlets, Vec<Supervised>) {
        let (inbox, offers) = Inbox::new(INBOX_OFFERS);
        let (posts_tx, posts) = mpsc::channel(INBOX_OFFERS);
        let mut accounts = BTreeMap::new();
        let mut supervised = Vec::new();
        for (channel, new_chats) in channels {
            let (webhooks, hooks) = mpsc::channel(WEBHOOK_DEPTH);
            let (state_tx, state) = watch::channel(ChannelState::Connecting);
            let pulse = Pulse::default();
            let profile = channel.profile();
            let webhook = profile.webhook;
            let door = Door { new_chats, webhook, webhooks, pulse: pulse.clone(), state };
            accounts.insert(profile.account.clone(), door);
            let inbox = inbox.clone().with_marks(marks(&profile.account));
            let intake = Intake { inbox, webhooks: hooks, stop: stop.clone(), pulse };
            supervised.push(Supervised { channel, intake, state: state_tx });
        }
        (Self { posts: posts_tx, accounts }, Inlets { offers, posts }, supervised)
    }

    pub(crate) fn accounts(&self) -> Vec<Account> {
        self.accounts.keys().cloned().collect()
    }

    pub(crate) fn status(&self) -> Vec<AccountStatus> {
        let status = |(account, door): (&Account, &Door)| {
            let (state, why) = describe(&door.state.borrow());
            let last_heard_at = door.pulse.last();
            AccountStatus {
                account: account.clone(),
                state,
                why,
                last_heard_at,
                webhook: door.webhook,
            }
        };
        self.accounts.iter().map(status).collect()
    }

    pub(crate) fn takes_webhooks(&self, account: &Account) -> bool {
        self.accounts.get(account).is_some_and(|it| it.webhook)
    }

    pub(crate) async fn webhook(&self, account: &Account, request: Webhook) -> Result<(), Unheard> {
        let door = self.accounts.get(account).filter(|it| it.webhook);
        let door = door.ok_or(Unheard::NoSuchAccount)?;
        door.webhooks.send(request).await.map_err(|_| Unheard::Stopping)
    }

    /// Takes a message of our own doors, and says which it became.
    pub(crate) async fn post(&self, event: Inbound) -> Result<Posted, HandleError> {
        let (stored, answer) = oneshot::channel();
        let direct = Direct { event: event.clean(), stored };
        self.posts.send(direct).await.map_err(|_| NotAccepted::Closed)?;
        match answer.await.map_err(|_| NotAccepted::Closed)?? {
            Recorded::New { message: Some(message), .. } => Ok(Posted { message, repeat: false }),
            Recorded::Repeat { message: Some(message) } => Ok(Posted { message, repeat: true }),
            Recorded::New { message: None, .. }
            | Recorded::Repeat { message: None }
            | Recorded::Refused { .. } => Err(NotAccepted::NotStored.into()),
        }
    }
}

/// The state of a channel in a word, and why.
pub(crate) fn describe(state: &ChannelState) -> (&'static str, String) {
    match state {
        ChannelState::Connecting => ("connecting", String::new()),
        ChannelState::Up => ("up", String::new()),
        ChannelState::Waiting { until, why } => ("waiting", format!("{why} (again at {until})")),
        ChannelState::Down { why } => ("down", why.clone()),
    }
}

/// Takes events until `stop` fires: all that wait, in one transaction, then their acknowledgements.
pub(crate) async fn run(
    gateway: Gateway,
    mut inlets: Inlets,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut albums = Albums::default();
    loop {
        let mut batch = Batch::default();
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            Some(offer) = inlets.offers.recv() => batch.offer(offer),
            Some(direct) = inlets.posts.recv() => batch.post(direct),
            else => return Ok(()),
        }
        while batch.len() < MAX_BATCH_EVENTS {
            if let Ok(direct) = inlets.posts.try_recv() {
                batch.post(direct);
            } else if let Ok(offer) = inlets.offers.try_recv() {
                batch.offer(offer);
            } else {
                break;
            }
        }
        batch.store(&gateway, &mut albums).await;
    }
}
