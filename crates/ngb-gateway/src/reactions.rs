//! Reactions of people are kept as context of the conversation that they are about; an agent's stand under the message
//! that it answers. Neither starts a run.

use ngb_core::{
    message::{Content, Happening, Inbound},
    route::{Access, Known, NewChats, Route, route},
    text::shorten,
};
use ngb_store::{JobKind, Plan, StoreError, Work};

use crate::{handle::Shared, plan::Seen};

/// Longest part of the message above a reaction that is kept with it, in characters.
const MAX_QUOTE_CHARS: usize = 200;

/// Finds the message of ours that a reaction stands under: its thread is the reaction's, and its text is what it is
/// about. A reaction to another message loses what it points at, and is dropped by [`plan`].
pub(crate) async fn find(shared: &Shared, inbound: &mut Inbound) -> Result<(), StoreError> {
    let Happening::Reacted(content) = &mut inbound.what else { return Ok(()) };
    let Some(of) = content.reply_to.take() else { return Ok(()) };
    if let Some(own) = shared.store.own_message(&inbound.place.jid, &of).await? {
        inbound.place.thread = own.place.thread;
        content.quote = own.text.map(|it| shorten(&it, MAX_QUOTE_CHARS));
        content.reply_to = Some(of);
    }
    Ok(())
}

/// What becomes of a reaction: kept where its sender could have asked something, and never more than that.
pub(crate) fn plan(inbound: &Inbound, content: &Content, seen: &Seen<'_>) -> Plan {
    let drop = |why: &str| Plan::Drop { why: why.to_owned() };
    if content.reply_to.is_none() {
        return drop("it is a reaction to a message that is not ours");
    }
    let jid = &inbound.place.jid;
    let access = seen.snapshot.access(jid);
    if inbound.sender.is_bot || access != Access::Approved {
        return drop("it is a reaction, of a bot or in a chat that nobody approved");
    }
    let roles = seen.snapshot.roles(jid.account(), &inbound.sender.id);
    let known = Known {
        bindings: seen.snapshot.bindings(jid),
        access,
        roles: &roles,
        new_chats: NewChats::Ignore,
        bot_turns: 0,
    };
    match route(inbound, content, &known) {
        Route::Engage { group, lane_key, .. } | Route::Keep { group, lane_key, .. } => {
            let why = "it is a reaction: context for what is asked next".to_owned();
            Plan::Keep { group, lane_key, why }
        }
        Route::Drop { why } => drop(why),
        Route::OfferPairing | Route::MakeGroup => drop("no group is bound to this chat"),
    }
}

/// The message under which an agent's reaction goes: the newest that it is to answer.
pub(crate) fn target(work: &Work) -> Result<String, String> {
    let found = work.jobs.iter().rev().find_map(|it| match &it.kind {
        JobKind::Message(it) => Some(&it.content.platform_id),
        JobKind::Task { .. } | JobKind::Say { .. } => None,
    });
    let found = found.filter(|it| !it.is_empty()).cloned();
    found.ok_or_else(|| "no message is being answered under which it could stand".to_owned())
}
