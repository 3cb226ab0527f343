//! What else follows from an arrival; rare, so one by one.

use ngb_core::{
    decision::Decision,
    message::Outbound,
    notice::{Lang, Notice},
};

use super::Item;
use crate::{
    NewOutbox, Plan, Queued, StoreError, acts,
    db::Tx,
    fullness::Full,
    moves,
    outbox::{self, OutRow},
    pairings,
};

/// What else follows from an arrival; rare, so one by one.
pub(super) async fn follow(tx: &mut Tx, item: &mut Item<'_>) -> Result<(), StoreError> {
    let inbound = item.inbound();
    if item.content().is_some() && item.asked.is_none() {
        item.decide(tx, Decision::Received, "");
    }
    match item.plan {
        Plan::Engage { why, .. } => match item.full {
            None => item.decide(tx, Decision::Queued, why),
            Some(full) => {
                let detail = format!("{} messages wait in its lane already", full.waiting);
                item.decide(tx, Decision::Refused, &detail);
                if full.tell {
                    let notice = queue_full(item, full);
                    item.said = say(tx, item, &[notice]).await?;
                }
            }
        },
        Plan::Keep { why, .. } => item.decide(tx, Decision::Kept, why),
        Plan::Drop { why } => item.decide(tx, Decision::Dropped, why),
        Plan::OfferPairing { notice, .. } => {
            let offered = pairings::offer(tx, inbound, item.plan, item.now).await?;
            if offered {
                item.decide(tx, Decision::PairingOffered, "a code was offered");
                item.said = say(tx, item, std::slice::from_ref(notice)).await?;
            } else {
                let why =
                    "nobody approved this chat, and a code was offered lately or too many wait";
                item.decide(tx, Decision::Dropped, why);
            }
        }
        Plan::Answer { decision, why, say: items } => {
            item.decide(tx, *decision, why);
            item.said = say(tx, item, items).await?;
        }
        Plan::Act { act, why, say: items } => {
            item.decide(tx, Decision::Command, why);
            item.said = say(tx, item, items).await?;
            acts::act(tx, act, item.message).await?;
        }
        Plan::Revise => item.message = moves::revise(tx, inbound, item.now).await?,
        Plan::FailSend => item.message = moves::fail_send(tx, inbound, item.now).await?,
        Plan::Move { to } => moves::move_chat(tx, &inbound.place.jid, to).await?,
        Plan::AnswerAsk { ask, value } => {
            let by = inbound.by();
            item.answered = moves::answer(tx, *ask, value, &by, item.now).await?;
            let detail = match &item.answered {
                Some(_) => "it answers a question",
                None => "it answers a question that is no longer open",
            };
            item.decide(tx, Decision::AskAnswered, detail);
        }
        Plan::AskPlugins => super::passages::wait(tx, item).await?,
        // `item.plan` is the one within.
        Plan::Asked { .. } => (),
        Plan::NotYours(what) => moves::not_yours(tx, *what, &inbound.by(), item.now).await?,
    }
    Ok(())
}

/// What a chat is told whose lane is full.
fn queue_full(item: &Item<'_>, full: Full) -> Outbound {
    let lang = Lang::of(item.content().map_or("", |it| it.text.as_str()));
    let waiting = usize::try_from(full.waiting).unwrap_or(usize::MAX);
    let text = Notice::QueueFull { waiting }.say(lang, item.message);
    Outbound::Text { text, reply_to: None, buttons: Vec::new() }
}

async fn say(tx: &mut Tx, item: &Item<'_>, items: &[Outbound]) -> Result<Vec<Queued>, StoreError> {
    let place = &item.inbound().place;
    let new = items.iter().map(|it| NewOutbox {
        place: place.clone(),
        item: it.clone(),
        about: item.message,
        job: None,
        live: false,
    });
    let new: Vec<NewOutbox> = new.collect();
    let rows: Vec<OutRow<'_>> = new.iter().map(OutRow::from).collect();
    outbox::queue(tx, &rows).await
}
