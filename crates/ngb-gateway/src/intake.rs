//! The way in: events of all channels become rows, in batches, before any platform is told "received".

use std::{collections::BTreeMap, sync::Arc};

use ngb_channels::{
    Accepted, Channel, Inbox, Intake, NotAccepted, Offer, Pulse, Webhook, supervise::ChannelState,
};
use ngb_core::{
    address::Account,
    failpoint::reach,
    message::{Author, Happening, Inbound, MAX_TEXT_BYTES, MediaKind, MediaRef},
    notice::Lang,
    route::NewChats,
};
use ngb_store::{Accept, Arrival, Plan, Recorded};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::{
    events::Event,
    handle::{AccountStatus, Gateway, HandleError, Posted, Shared, Unheard},
    plan::{self, Step},
};

/// Events of one transaction; what waits beyond them goes into the next one.
const MAX_BATCH_EVENTS: usize = 512;

/// Offers that wait to be taken, of all channels together; a channel that finds it full waits, unacknowledged.
const INBOX_OFFERS: usize = 256;

/// Requests of one platform that wait for its adapter.
const WEBHOOK_DEPTH: usize = 64;

/// The accounts there are, and the doors that lead to the intake.
pub(crate) struct Inboxes {
    inbox: Inbox,
    posts: mpsc::Sender<Direct>,
    accounts: BTreeMap<Account, Door>,
}

/// What the gateway keeps of one account.
struct Door {
    new_chats: NewChats,
    /// Whether the platform calls us.
    webhook: bool,
    webhooks: mpsc::Sender<Webhook>,
    pulse: Pulse,
    state: watch::Receiver<ChannelState>,
}

/// One event of our own doors, whose sender wants to know its message.
pub(crate) struct Direct {
    event: Inbound,
    stored: oneshot::Sender<Result<Recorded, NotAccepted>>,
}

/// What the intake task reads.
pub(crate) struct Inlets {
    offers: mpsc::Receiver<Offer>,
    posts: mpsc::Receiver<Direct>,
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
            let intake =
                Intake { inbox: inbox.clone(), webhooks: hooks, stop: stop.clone(), pulse };
            supervised.push(Supervised { channel, intake, state: state_tx });
        }
        (Self { inbox, posts: posts_tx, accounts }, Inlets { offers, posts }, supervised)
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

    /// Takes an event of our own doors.
    pub(crate) async fn accept(&self, event: Inbound) -> Result<(), NotAccepted> {
        self.inbox.accept_all(vec![event]).await.map(drop)
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

/// Who waits for which events of a batch.
enum Waiting {
    Offer(usize, oneshot::Sender<Result<Vec<Accepted>, NotAccepted>>),
    Post(oneshot::Sender<Result<Recorded, NotAccepted>>),
}

/// Takes events until `stop` fires: all that wait, in one transaction, then their acknowledgements.
pub(crate) async fn run(
    gateway: Gateway,
    mut inlets: Inlets,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    loop {
        let mut batch = Batch::default();
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            Some(offer) = inlets.offers.recv() => batch.offer(offer),
            Some(direct) = inlets.posts.recv() => batch.post(direct),
            else => return Ok(()),
        }
        while batch.events.len() < MAX_BATCH_EVENTS {
            if let Ok(direct) = inlets.posts.try_recv() {
                batch.post(direct);
            } else if let Ok(offer) = inlets.offers.try_recv() {
                batch.offer(offer);
            } else {
                break;
            }
        }
        batch.store(&gateway).await;
    }
}

#[derive(Default)]
struct Batch {
    events: Vec<Inbound>,
    waiting: Vec<Waiting>,
}

impl Batch {
    fn offer(&mut self, offer: Offer) {
        self.waiting.push(Waiting::Offer(offer.events.len(), offer.accepted));
        self.events.extend(offer.events);
    }

    fn post(&mut self, direct: Direct) {
        self.waiting.push(Waiting::Post(direct.stored));
        self.events.push(direct.event);
    }

    async fn store(self, gateway: &Gateway) {
        let shared = &gateway.0;
        let mut arrivals = Vec::with_capacity(self.events.len());
        for mut inbound in self.events {
            if let Err(err) = keep_long_text(shared, &mut inbound).await {
                error!("could not keep a long text of `{}`: {err}", inbound.place);
                for waiting in self.waiting {
                    waiting.refuse();
                }
                return;
            }
            let plan = decide(gateway, &inbound).await;
            arrivals.push(Arrival { inbound, plan });
        }
        let engaging = arrivals.iter().filter(|it| matches!(it.plan, Plan::Engage { .. })).count();
        let permits = shared.dispatcher.permits_for_intake(engaging);
        let now = shared.clock.now();
        let lease_until = shared.dispatcher.lease_until(now);
        let moved = arrivals.iter().any(|it| matches!(it.plan, Plan::Move { .. }));
        let accept =
            Accept { arrivals: arrivals.clone(), now, permits: permits.len(), lease_until };
        reach("before-accept");
        let done = match shared.store.accept(accept).await {
            Ok(done) => done,
            Err(err) => {
                drop(permits);
                shared.dispatcher.look_again();
                error!("could not store {} events: {:#}", arrivals.len(), anyhow::Error::from(err));
                for waiting in self.waiting {
                    waiting.refuse();
                }
                return;
            }
        };
        reach("after-accept");
        // First the acknowledgement, then everything else.
        let mut recorded = done.recorded.iter();
        for waiting in self.waiting {
            waiting.answer(&mut recorded);
        }
        reach("after-acknowledgement");
        let claimed: Vec<_> = done.claims.iter().map(|it| it.lane).collect();
        shared.dispatcher.assign(gateway, done.claims, permits);
        // Permits that were not used may be what somebody else did not find.
        shared.dispatcher.look_again();
        for (arrival, recorded) in arrivals.into_iter().zip(done.recorded) {
            let (message, job, lane, said, answered) = match recorded {
                Recorded::New { message, job, lane, said, answered } => {
                    (message, job, lane, said, answered)
                }
                Recorded::Repeat { .. } => continue,
                Recorded::Refused { why } => {
                    error!("an event of `{}` can't be stored: {why}", arrival.inbound.place);
                    continue;
                }
            };
            shared.outboxes.hand(said);
            if let Some(answered) = answered {
                shared.hub.publish(Event::AskAnswered {
                    ask: answered.ask,
                    value: answered.value.clone(),
                });
                shared.dispatcher.answer(answered);
            }
            if job.is_some()
                && let Some(lane) = lane
                && !claimed.contains(&lane)
            {
                shared.dispatcher.waiting(lane);
            }
            announce(shared, arrival, message, lane);
        }
        if moved && let Err(err) = gateway.changed().await {
            error!("could not read the bindings anew: {:#}", anyhow::Error::from(err));
        }
    }
}

impl Waiting {
    fn refuse(self) {
        // Whoever waited may have gone; then nobody acknowledges, which is right as well.
        match self {
            Self::Offer(_, accepted) => drop(accepted.send(Err(NotAccepted::NotStored))),
            Self::Post(stored) => drop(stored.send(Err(NotAccepted::NotStored))),
        }
    }

    fn answer<'a>(self, recorded: &mut impl Iterator<Item = &'a Recorded>) {
        match self {
            Self::Offer(n, accepted) => {
                let word = |it: &Recorded| match it {
                    // What no database can hold comes again for ever unless it is acknowledged.
                    Recorded::New { .. } | Recorded::Refused { .. } => Accepted::New,
                    Recorded::Repeat { .. } => Accepted::Repeat,
                };
                drop(accepted.send(Ok(recorded.take(n).map(word).collect())));
            }
            Self::Post(stored) => {
                let found = recorded.next().cloned().ok_or(NotAccepted::NotStored);
                drop(stored.send(found));
            }
        }
    }
}

/// Puts a text that is too long for a message into a file that comes with it, and leaves its beginning.
async fn keep_long_text(shared: &Shared, inbound: &mut Inbound) -> std::io::Result<()> {
    let (Happening::Message(content) | Happening::Edit(content)) = &mut inbound.what else {
        return Ok(());
    };
    if content.text.len() <= MAX_TEXT_BYTES {
        return Ok(());
    }
    let size_bytes = u64::try_from(content.text.len()).ok();
    let mut cut = MAX_TEXT_BYTES;
    while !content.text.is_char_boundary(cut) {
        cut -= 1;
    }
    let head = format!("{}… (the whole text is in the file `message.txt`)", &content.text[..cut]);
    let whole = std::mem::replace(&mut content.text, head);
    let reference = shared.homes.keep_long(whole).await?;
    content.media.push(MediaRef {
        kind: MediaKind::LongText,
        reference,
        name: "message.txt".to_owned(),
        media_type: Some("text/plain".to_owned()),
        size_bytes,
    });
    Ok(())
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

/// The plan of one event. Stopping happens here, before anything is written: it is the same when done twice.
async fn decide(gateway: &Gateway, inbound: &Inbound) -> Plan {
    let shared = &gateway.0;
    let door = shared.inboxes.accounts.get(inbound.place.jid.account());
    let mut new_chats = door.map(|it| it.new_chats).unwrap_or_default();
    loop {
        let snapshot = shared.directory.snapshot();
        let busy = shared.dispatcher.is_busy(&inbound.place);
        match plan::plan(inbound, &snapshot, new_chats, busy, shared.clock.now()) {
            Step::Write(plan) => return plan,
            Step::Stop => {
                let found = shared.dispatcher.interrupt_place(&inbound.place);
                let Happening::Message(content) = &inbound.what else {
                    unreachable!("only messages stop")
                };
                return plan::stopped(found, Lang::of(&content.text));
            }
            Step::MakeGroup => {
                if let Err(err) = own_group(gateway, inbound).await {
                    error!(
                        "could not make a group for `{}`: {:#}",
                        inbound.place,
                        anyhow::Error::from(err)
                    );
                    new_chats = NewChats::Ask;
                }
            }
        }
    }
}

async fn own_group(gateway: &Gateway, inbound: &Inbound) -> Result<(), HandleError> {
    let jid = inbound.place.jid.clone();
    let group = crate::access::make_group_for(gateway, &inbound.chat.title, jid.chat()).await?;
    info!("made group {group} for the new chat `{jid}`");
    gateway
        .bind(crate::handle::Bind {
            place: jid.into(),
            group,
            engage: ngb_core::group::Engage::Mention,
            scope: ngb_core::group::Scope::Thread,
            senders: ngb_core::group::Senders::Everyone,
        })
        .await
        .map(drop)
}

/// Tells whoever watches.
fn announce(
    shared: &Shared,
    arrival: Arrival,
    message: Option<ngb_core::id::MessageId>,
    lane: Option<ngb_core::id::LaneId>,
) {
    if let Plan::OfferPairing { .. } = &arrival.plan {
        let account = arrival.inbound.place.jid.account().clone();
        shared
            .hub
            .publish(Event::PairingOffered { account, title: arrival.inbound.chat.title.clone() });
    }
    let group = match &arrival.plan {
        Plan::Engage { group, .. } | Plan::Keep { group, .. } => Some(*group),
        _ => None,
    };
    let (Some(message), Happening::Message(content)) = (message, arrival.inbound.what) else {
        return;
    };
    shared.hub.publish(Event::Message {
        message,
        place: arrival.inbound.place,
        author: Author::User,
        sender: arrival.inbound.sender.name,
        text: content.text,
        in_reply_to: None,
        group,
        lane,
        at: shared.clock.now(),
    });
}
