//! Letting chats and people in.

use ngb_core::{
    group::{Engage, FolderName, GroupName, Scope, Senders},
    id::GroupId,
    message::Outbound,
    notice::{Lang, Notice},
    text::shorten,
};
use ngb_store::{NewOutbox, Pairing};

use crate::handle::{Approve, Bind, Gateway, HandleError};

/// Lets a chat in by its code: it is bound to a group, whoever wrote is known to be `me` from then on, and the chat is
/// told.
pub(crate) async fn approve(
    gateway: &Gateway,
    code: &str,
    how: Approve,
) -> Result<Pairing, HandleError> {
    let code = code.trim().to_uppercase();
    let pairing = gateway.store().approve(&code, &how.by, gateway.clock().now()).await?;
    let group = match (how.group, how.me) {
        (Some(group), _) => group,
        (None, Some(_)) => main_group(gateway)?,
        (None, None) => own_group(gateway, &pairing).await?,
    };
    let snapshot = gateway.directory().snapshot();
    let is_main = snapshot.group(group).is_some_and(|it| it.is_main);
    gateway
        .bind(Bind {
            place: pairing.place.jid.clone().into(),
            group,
            engage: if is_main && pairing.is_direct { Engage::Always } else { Engage::Mention },
            scope: Scope::Thread,
            senders: Senders::Everyone,
            queue: ngb_core::queue::Queue::default(),
            exceptions: ngb_core::group::Exceptions::default(),
        })
        .await?;
    if let Some(me) = how.me {
        // They are who they were: whoever approves gives nobody a role by it, not even themselves.
        gateway.store().link(me, pairing.place.jid.account(), &pairing.sender_id).await?;
        gateway.changed().await?;
    }
    gateway.0.say(&pairing.place, Notice::Welcome, Lang::of(&pairing.chat_title)).await?;
    Ok(pairing)
}

fn main_group(gateway: &Gateway) -> Result<GroupId, HandleError> {
    let snapshot = gateway.directory().snapshot();
    snapshot.main_group().map(|it| it.id).ok_or_else(|| HandleError::NoGroup("main".to_owned()))
}

/// A group of the chat's own, named like it.
async fn own_group(gateway: &Gateway, pairing: &Pairing) -> Result<GroupId, HandleError> {
    make_group_for(gateway, &pairing.chat_title, pairing.place.jid.chat()).await
}

/// Makes a group named like a chat; a name that is taken gets the chat's id behind it.
pub(crate) async fn make_group_for(
    gateway: &Gateway,
    title: &str,
    chat: &str,
) -> Result<GroupId, HandleError> {
    let clean: String = title.chars().filter(|it| !it.is_control()).collect();
    let clean = shorten(clean.trim(), 40);
    let snapshot = gateway.directory().snapshot();
    let taken = |name: &str| snapshot.groups().any(|it| it.name.as_str() == name);
    let name = match clean.parse::<GroupName>() {
        Ok(it) if !taken(it.as_str()) => it.to_string(),
        Ok(it) => format!("{it} {chat:.18}"),
        Err(_) => format!("chat {chat:.40}"),
    };
    let like = match FolderName::like(&name) {
        // Nothing of the name is left (Chinese, say), so the chat's id says more.
        it if it.as_str() == "group" => FolderName::like(&format!("chat-{chat}")),
        it => it,
    };
    let folder = snapshot.free_folder(&like);
    gateway.add_group(&name, Some(folder.as_str()), false).await
}

impl crate::handle::Shared {
    /// Says something of our own in a place, through the outbox.
    pub(crate) async fn say(
        &self,
        place: &ngb_core::address::Place,
        notice: Notice,
        lang: Lang,
    ) -> Result<(), HandleError> {
        let text = notice.say(lang, None);
        let item = Outbound::Text { text, reply_to: None, buttons: Vec::new() };
        let row = NewOutbox { place: place.clone(), item, about: None, job: None, live: false };
        let said = self.store.say(vec![row]).await?;
        self.outboxes.hand(said);
        Ok(())
    }
}
