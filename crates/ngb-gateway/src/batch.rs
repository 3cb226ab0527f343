//! One batch of events: planned, written in one transaction, acknowledged, and what follows from it.

use anyhow::Context as _;
use ngb_channels::{Accepted, NotAccepted, Offer};
use ngb_core::{
    ask::OpenQuestion,
    failpoint::reach,
    id::{LaneId, MessageId, PassageId},
    message::{Author, Happening, Inbound, MAX_TEXT_BYTES, MediaKind, MediaRef},
    notice::Lang,
    queue::{Mode, Queue},
    role::{Right, Role, role_in},
    route::NewChats,
};
use ngb_plugins::hook::Hook;
use ngb_store::{Accept, AcceptDone, AnsweredAsk, Arrival, Opened, Plan, Recorded};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tracing::{debug, error, info};

use crate::{
    albums::Albums,
    commands::{self, Asked},
    events::Event,
    handle::{Gateway, HandleError, Shared},
    intake::Direct,
    plan::{self, Seen, Step},
    plugins, reactions,
};

/// Events that are taken together, and who waits for them.
#[derive(Default)]
pub(crate) struct Batch {
    events: Vec<Coming>,
    waiting: Vec<Waiting>,
}

/// An event, for the first time or back from the plugins.
pub(crate) struct Coming {
    pub(crate) inbound: Inbound,
    pub(crate) asked: Option<AskedAbout>,
}

/// Plugins were asked.
pub(crate) struct AskedAbout {
    pub(crate) passage: PassageId,
    /// The message that it is in the store.
    pub(crate) message: Option<MessageId>,
    /// What they decided; none when it goes its way.
    pub(crate) plan: Option<Plan>,
}

/// Who waits for which events of a batch.
enum Waiting {
    Offer(usize, oneshot::Sender<Result<Vec<Accepted>, NotAccepted>>),
    Post(oneshot::Sender<Result<Recorded, NotAccepted>>),
}

/// Events that are on disk.
struct Stored {
    arrivals: Vec<Arrival>,
    done: AcceptDone,
    permits: Vec<OwnedSemaphorePermit>,
}

impl Batch {
    pub(crate) fn len(&self) -> usize {
        self.events.len()
    }

    pub(crate) fn offer(&mut self, offer: Offer) {
        self.waiting.push(Waiting::Offer(offer.events.len(), offer.accepted));
        let coming = |inbound| Coming { inbound, asked: None };
        self.events.extend(offer.events.into_iter().map(coming));
    }

    pub(crate) fn post(&mut self, direct: Direct) {
        self.waiting.push(Waiting::Post(direct.stored));
        self.events.push(direct.event);
    }

    /// Puts it on disk, tells who waits, and does what follows.
    pub(crate) async fn store(self, gateway: &Gateway, albums: &mut Albums) {
        let mut answers = Vec::with_capacity(self.events.len());
        let mut last: Option<Stored> = None;
        for part in until_moves(self.events) {
            // What stands behind a move is of the chat's new address, so it is planned once that is known.
            if let Some(stored) = last.take() {
                stored.follow(gateway).await;
            }
            match write(gateway, albums, part).await {
                Ok(stored) => {
                    answers.extend(stored.done.recorded.iter().cloned().zip(stored.words()));
                    last = Some(stored);
                }
                Err(err) => {
                    error!("could not store events: {err:#}");
                    for waiting in self.waiting {
                        waiting.refuse();
                    }
                    return;
                }
            }
        }
        // First the acknowledgement, then everything else.
        let mut answers = answers.into_iter();
        for waiting in self.waiting {
            waiting.answer(&mut answers);
        }
        reach("after-acknowledgement");
        if let Some(stored) = last {
            stored.follow(gateway).await;
        }
    }
}

/// The events in parts that each end with a chat's move, but for the last.
fn until_moves(events: Vec<Coming>) -> Vec<Vec<Coming>> {
    let mut parts = vec![Vec::with_capacity(events.len())];
    for event in events {
        let moves = matches!(event.inbound.what, Happening::Moved { .. });
        if let Some(part) = parts.last_mut() {
            part.push(event);
        }
        if moves {
            parts.push(Vec::new());
        }
    }
    parts.retain(|it| !it.is_empty());
    parts
}

/// Plans events and puts them on disk, in one transaction.
async fn write(
    gateway: &Gateway,
    albums: &mut Albums,
    events: Vec<Coming>,
) -> anyhow::Result<Stored> {
    let shared = &gateway.0;
    let mut arrivals = Vec::with_capacity(events.len());
    let mut asked = Vec::with_capacity(events.len());
    for Coming { inbound, asked: about } in events {
        let place = inbound.place.clone();
        let back = about.as_ref().map(|it| (it.passage, it.message));
        let arrival = arrive(gateway, inbound, about).await;
        arrivals.push(arrival.with_context(|| format!("could not take an event of `{place}`"))?);
        asked.push(back);
    }
    let now = shared.clock.now();
    albums.join(&mut arrivals, now);
    let engaging = arrivals.iter().filter(|it| matches!(it.plan, Plan::Engage { .. })).count();
    for (arrival, back) in arrivals.iter_mut().zip(asked) {
        let Some((passage, message)) = back else { continue };
        let plan = Box::new(arrival.plan.clone());
        arrival.plan = Plan::Asked { passage, message, plan };
    }
    let permits = shared.dispatcher.permits_for_intake(engaging);
    let lease_until = shared.dispatcher.lease_until(now);
    let accept = Accept { arrivals: arrivals.clone(), now, permits: permits.len(), lease_until };
    reach("before-accept");
    match shared.store.accept(accept).await {
        Ok(done) => {
            reach("after-accept");
            Ok(Stored { arrivals, done, permits })
        }
        Err(err) => {
            drop(permits);
            shared.dispatcher.look_again();
            Err(err.into())
        }
    }
}

impl Stored {
    /// What each event's channel is told.
    fn words(&self) -> impl Iterator<Item = Accepted> {
        self.done.recorded.iter().zip(&self.arrivals).map(|(recorded, arrival)| match recorded {
            Recorded::New { .. } if matches!(arrival.plan, Plan::NotYours(_)) => Accepted::NotYours,
            // What no database can hold comes again for ever unless it is acknowledged.
            Recorded::New { .. } | Recorded::Refused { .. } => Accepted::New,
            Recorded::Repeat { .. } => Accepted::Repeat,
        })
    }

    async fn follow(self, gateway: &Gateway) {
        let Self { arrivals, done, permits } = self;
        let shared = &gateway.0;
        let claimed: Vec<_> = done.claims.iter().map(|it| it.lane).collect();
        let opened = Opened { claims: done.claims, work: done.work };
        shared.dispatcher.assign(gateway, opened, permits);
        // Permits that were not used may be what somebody else did not find.
        shared.dispatcher.look_again();
        let known = |it: &Arrival| matches!(it.plan.now(), Plan::Move { .. } | Plan::Act { .. });
        let changed = arrivals.iter().any(known);
        if arrivals.iter().any(|it| matches!(it.plan, Plan::AskPlugins)) {
            shared.plugins.arrived.notify_one();
        }
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
            debug!(
                messages = message.map(tracing::field::display),
                "stored an event of `{}`", arrival.inbound.place
            );
            shared.outboxes.hand(said);
            if let Some(answered) = answered {
                shared.answered(answered);
            }
            if job.is_some()
                && let Some(lane) = lane
                && !claimed.contains(&lane)
            {
                shared.dispatcher.waiting(lane);
                meet(shared, &arrival, lane);
            }
            announce(shared, arrival, message, lane);
        }
        if changed {
            if let Err(err) = gateway.changed().await {
                error!("could not read the bindings anew: {:#}", anyhow::Error::from(err));
            }
            // What waited for a group that rested is due.
            shared.dispatcher.wake();
            shared.forget_asked.notify_one();
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

    /// Takes as many answers as it has events.
    fn answer(self, answers: &mut impl Iterator<Item = (Recorded, Accepted)>) {
        match self {
            Self::Offer(n, accepted) => {
                drop(accepted.send(Ok(answers.take(n).map(|it| it.1).collect())));
            }
            Self::Post(stored) => {
                let found = answers.next().map(|it| it.0).ok_or(NotAccepted::NotStored);
                drop(stored.send(found));
            }
        }
    }
}

impl Shared {
    /// Tells of the answer to a question: whoever watches, and the run that waits for it.
    pub(crate) fn answered(&self, answered: AnsweredAsk) {
        let value = answered.value.clone();
        self.hub.publish(Event::AskAnswered { ask: answered.ask, value });
        self.dispatcher.answer(answered);
        // It may have let go what was held.
        self.dispatcher.wake();
    }
}

/// Tells the run that works on a lane of a message that waits behind it, where its chat wants that.
fn meet(shared: &Shared, arrival: &Arrival, lane: LaneId) {
    let Plan::Engage { queue, role, .. } = arrival.plan.now() else { return };
    match queue.mode {
        Mode::Collect | Mode::Followup => (),
        Mode::Steer => shared.dispatcher.steer(lane),
        Mode::Interrupt => {
            let only_of = (!role.may(Right::Stop)).then_some(arrival.inbound.sender.id.as_str());
            shared.dispatcher.give_way(lane, only_of);
        }
    }
}

/// Makes an event ready to be written.
async fn arrive(
    gateway: &Gateway,
    mut inbound: Inbound,
    asked: Option<AskedAbout>,
) -> anyhow::Result<Arrival> {
    let shared = &gateway.0;
    let is_back = asked.is_some();
    if !is_back {
        reactions::find(shared, &mut inbound).await?;
        keep_long_text(shared, &mut inbound).await.context("could not keep a long text")?;
    }
    let open = shared.questions.open(&shared.store, &inbound, shared.clock.now()).await?;
    let plan = match asked.and_then(|it| it.plan) {
        Some(plan) => plan,
        None if !is_back && is_for_plugins(shared, &inbound, &open) => Plan::AskPlugins,
        None => decide(gateway, &inbound, &open, is_back).await,
    };
    if let Plan::Move { to } = &plan {
        shared.questions.moved(&inbound.place.jid, to);
    }
    Ok(Arrival { inbound, plan })
}

/// Whether plugins are to be asked before it is known what becomes of an event. A command is done at once, whatever they
/// would say: nobody may keep people from stopping an agent.
fn is_for_plugins(shared: &Shared, inbound: &Inbound, open: &[OpenQuestion]) -> bool {
    let chain = shared.plugins.chain();
    if chain.is_empty() || !matches!(inbound.what, Happening::Message(_) | Happening::Edit(_)) {
        return false;
    }
    if !chain.wants(Hook::MessageReceived, plugins::group_of(shared, inbound).as_ref()) {
        return false;
    }
    let snapshot = shared.directory.snapshot();
    let new_chats = shared.accounts.new_chats(inbound.place.jid.account());
    let busy = shared.dispatcher.is_busy(&inbound.place);
    let now = shared.clock.now();
    let by_plugins = false;
    let seen = Seen { snapshot: &snapshot, new_chats, busy, open, bot_turns: 0, by_plugins, now };
    !matches!(
        plan::plan(inbound, &seen),
        Step::Stop { .. } | Step::StopAnswer(_) | Step::Command { .. }
    )
}

/// Puts a text that is too long for a message into a file that comes with it, and leaves its beginning.
pub(crate) async fn keep_long_text(shared: &Shared, inbound: &mut Inbound) -> std::io::Result<()> {
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

/// The plan of one event. Stopping happens here, before anything is written: it is the same when done twice.
async fn decide(
    gateway: &Gateway,
    inbound: &Inbound,
    open: &[OpenQuestion],
    by_plugins: bool,
) -> Plan {
    let shared = &gateway.0;
    let mut new_chats = shared.accounts.new_chats(inbound.place.jid.account());
    loop {
        let snapshot = shared.directory.snapshot();
        let busy = shared.dispatcher.is_busy(&inbound.place);
        let now = shared.clock.now();
        let (chat, sender) = (&inbound.place.jid, &inbound.sender);
        let bot_turns = if sender.is_bot { shared.pairs.turns(chat, &sender.id, now) } else { 0 };
        let seen = Seen { snapshot: &snapshot, new_chats, busy, open, bot_turns, by_plugins, now };
        match plan::plan(inbound, &seen) {
            Step::Write(plan) => {
                if sender.is_bot && matches!(plan, Plan::Engage { .. }) {
                    shared.pairs.count(chat, &sender.id, now);
                }
                return plan;
            }
            Step::Stop { only_own } => {
                let only_of = only_own.then_some(inbound.sender.id.as_str());
                let found = shared.dispatcher.interrupt_place(&inbound.place, only_of);
                let Happening::Message(content) = &inbound.what else {
                    unreachable!("only messages stop")
                };
                return plan::stopped(found, Lang::of(&content.text));
            }
            Step::StopAnswer(job) => {
                let roles = snapshot.roles(inbound.place.jid.account(), &sender.id);
                let may = |group, is_theirs| {
                    let role = role_in(&roles, group).unwrap_or(Role::Guest);
                    role.may(if is_theirs { Right::StopOwn } else { Right::Stop })
                };
                let found =
                    shared.dispatcher.interrupt_answer(&inbound.place, job, &sender.id, may);
                return plan::answer_stopped(found, job);
            }
            Step::Command { command, binding, role, lang } => {
                let asked = Asked { inbound, binding: *binding, role, lang };
                return commands::plan(gateway, &asked, &command).await;
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
            queue: Queue::default(),
            exceptions: ngb_core::group::Exceptions::default(),
        })
        .await
        .map(drop)
}

/// Tells whoever watches.
fn announce(shared: &Shared, arrival: Arrival, message: Option<MessageId>, lane: Option<LaneId>) {
    if let Plan::AskPlugins = &arrival.plan {
        // It is told once it is known what it says.
        return;
    }
    if let Plan::OfferPairing { .. } = arrival.plan.now() {
        let account = arrival.inbound.place.jid.account().clone();
        shared
            .hub
            .publish(Event::PairingOffered { account, title: arrival.inbound.chat.title.clone() });
    }
    let group = match arrival.plan.now() {
        Plan::Engage { group, .. } | Plan::Keep { group, .. } => Some(*group),
        _ => None,
    };
    let (Some(message), Happening::Message(content) | Happening::Reacted(content)) =
        (message, arrival.inbound.what)
    else {
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
