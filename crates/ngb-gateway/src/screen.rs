//! The second step of what comes in: plugins are asked about what is stored, in the order of its chat.
//!
//! A message is acknowledged before that, so a slow plugin delays only its own chat; what was not asked about when the
//! gateway died is found at its start.

use std::collections::{HashMap, HashSet, VecDeque};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use ngb_core::{
    decision::Decision,
    id::PassageId,
    message::{Addressed, ChatKind, Content, Happening, Inbound, MediaKind, Outbound},
    route::Access,
};
use ngb_plugins::{
    chain::End,
    hook::{Event, Part, Received},
};
use ngb_store::{Passage, Plan, StoreError, Way};
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::{
    batch::keep_long_text,
    handle::{Gateway, HandleError, Shared},
    plugins::{Of, group_of},
};

/// Passages that are read at once.
const READ: u32 = 500;

/// How long to wait when something could not be read or written.
const RETRY: std::time::Duration = std::time::Duration::from_secs(1);

/// Asks about what waits, until the end.
pub(crate) async fn run(gateway: Gateway, stop: CancellationToken) -> anyhow::Result<()> {
    let shared = &gateway.0;
    let mut last = PassageId(0);
    let mut waiting: HashMap<String, VecDeque<PassageId>> = HashMap::new();
    let mut busy: HashSet<String> = HashSet::new();
    let mut asked = FuturesUnordered::new();
    loop {
        // Interest is registered before looking, so that nothing is missed in between.
        let arrived = shared.plugins.arrived.notified();
        tokio::pin!(arrived);
        arrived.as_mut().enable();
        let more = match shared.store.waiting_passages(last, READ).await {
            Ok(rows) => {
                let more = rows.len() == READ as usize;
                for (id, jid) in rows {
                    last = id;
                    waiting.entry(jid).or_default().push_back(id);
                }
                more
            }
            Err(err) => {
                error!("could not read what plugins are to see: {:#}", anyhow::Error::from(err));
                tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    () = shared.clock.sleep(RETRY) => continue,
                }
            }
        };
        for (jid, queue) in &mut waiting {
            if !busy.contains(jid)
                && let Some(next) = queue.pop_front()
            {
                busy.insert(jid.clone());
                asked.push(until_done(&gateway, next, jid.clone()));
            }
        }
        waiting.retain(|_, queue| !queue.is_empty());
        if more {
            continue;
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = arrived => (),
            Some(jid) = asked.next() => {
                busy.remove(&jid);
            }
        }
    }
}

/// Asks about one, as often as it takes to write what comes of it.
async fn until_done(gateway: &Gateway, id: PassageId, jid: String) -> String {
    loop {
        // Read anew: its chat may have moved since, and its sender may be forgotten.
        let done = match gateway.0.store.passage(id).await {
            Ok(passage) => screen(gateway, passage, None).await,
            Err(StoreError::NotFound { .. }) => return jid,
            Err(err) => Err(err.into()),
        };
        match done {
            Ok(()) => return jid,
            Err(err) => {
                error!("could not take on what came in: {:#}", anyhow::Error::from(err));
                gateway.0.clock.sleep(RETRY).await;
            }
        }
    }
}

/// Asks about one, or only those behind `after`, and sends it on its way.
pub(crate) async fn screen(
    gateway: &Gateway,
    passage: Passage,
    after: Option<&str>,
) -> Result<(), HandleError> {
    let shared = &gateway.0;
    let Passage { id, message, way: Way::In(inbound), .. } = passage else { return Ok(()) };
    let mut inbound = *inbound;
    let of = Of { message, ..Of::default() };
    let (end, replaced) = ask(shared, &mut inbound, after, of).await?;
    let plan = match end {
        End::Passed => None,
        End::Held { by, why } => {
            shared.store.hold_passage(id, inbound, message, by, why).await?;
            return remove(shared, replaced).await;
        }
        End::Answered(text) => answer(shared, &inbound, text),
        End::Dropped { by, why } => Some(Plan::Drop { why: format!("plugin `{by}`: {why}") }),
    };
    shared.posts.seen(inbound, id, message, plan).await?;
    remove(shared, replaced).await
}

/// What becomes of a message that a plugin answers. Bots would answer back for ever, and where nobody was let in nobody is spoken
/// to: there the message takes its usual way.
fn answer(shared: &Shared, inbound: &Inbound, text: String) -> Option<Plan> {
    if inbound.sender.is_bot {
        let why = "a plugin would answer it, and bots are not answered".to_owned();
        return Some(Plan::Drop { why });
    }
    let access = shared.directory.snapshot().access(&inbound.place.jid);
    (access == Access::Approved).then(|| Plan::Answer {
        decision: Decision::Plugin,
        why: "a plugin answers it".to_owned(),
        say: vec![Outbound::Text { text, reply_to: None, buttons: Vec::new() }],
    })
}

/// Removes the files of texts that became others; only once the store knows them no more, for until then they may have to be
/// read again.
async fn remove(shared: &Shared, files: Vec<String>) -> Result<(), HandleError> {
    for it in files {
        shared.homes.remove_long(&it).await.map_err(HandleError::LongText)?;
    }
    Ok(())
}

/// Asks about the text of an event and about what it quotes, and leaves in it what they leave; also the files of long texts
/// that are no longer its own.
async fn ask(
    shared: &Shared,
    inbound: &mut Inbound,
    after: Option<&str>,
    of: Of,
) -> Result<(End, Vec<String>), HandleError> {
    let group = group_of(shared, inbound);
    let received = Received {
        message: of.message.unwrap_or(ngb_core::id::MessageId(0)),
        place: inbound.place.clone(),
        group,
        sender_id: inbound.sender.id.clone(),
        sender_name: inbound.sender.name.clone(),
        is_direct: inbound.chat.kind == ChatKind::Direct,
        sent_at: inbound.sent_at,
        part: if matches!(inbound.what, Happening::Edit(_)) { Part::Edit } else { Part::Text },
        text: String::new(),
        is_meant: false,
    };
    let (Happening::Message(content) | Happening::Edit(content)) = &mut inbound.what else {
        return Ok((End::Passed, Vec::new()));
    };
    let whole = whole_text(shared, content).await?;
    if let Some(quote) = content.quote.take() {
        let event = Received { part: Part::Quote, text: quote, ..received.clone() };
        let passed = shared.ask_plugins(Event::MessageReceived(event), after, of).await;
        content.quote = passed.event.text().map(ToOwned::to_owned);
        // What must not be seen is not kept while it waits.
        if let End::Held { .. } = passed.end {
            content.quote = None;
        }
    }
    let is_meant = content.addressed != Addressed::No;
    let event = Received { text: whole.clone(), is_meant, ..received };
    let passed = shared.ask_plugins(Event::MessageReceived(event), after, of).await;
    if !is_meant && passed.event.is_meant() {
        content.addressed = Addressed::Mention;
    }
    let left = passed.event.text().unwrap_or_default();
    let mut replaced = Vec::new();
    if left != whole {
        let left = left.to_owned();
        let long: Vec<_> =
            content.media.extract_if(.., |it| it.kind == MediaKind::LongText).collect();
        content.text = left;
        keep_long_text(shared, inbound).await.map_err(HandleError::LongText)?;
        replaced.extend(long.into_iter().map(|it| it.reference));
    }
    Ok((passed.end, replaced))
}

/// The text with what did not fit into the message.
async fn whole_text(shared: &Shared, content: &Content) -> Result<String, HandleError> {
    let long = content.media.iter().find(|it| it.kind == MediaKind::LongText);
    let Some(long) = long else { return Ok(content.text.clone()) };
    let bytes = shared.homes.long(&long.reference).await.map_err(HandleError::LongText)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
