//! What an agent may do beyond the place of its prompt: write to other chats, see all chats, make groups.
//! A group's agent reaches the group's own chats; the main group's agent, asked by an operator, reaches all that are bound.

use ngb_core::{
    address::{Account, Address, ChannelKind, Jid, Place},
    group::{Engage, FolderName, GroupName, Limits, Trigger},
    id::GroupId,
    role::Right,
};
use ngb_store::{CallEffect, NewBound, NewGroup};
use serde_json::{Value, json};

use crate::{
    lookups::{main_only, need, unreadable},
    turn::Turn,
};

/// Chats that are told of.
const MAX_CHATS: u32 = 500;

/// The bound place that `to` names, and the group that it belongs to.
pub(crate) fn destination(turn: &Turn<'_>, to: &str) -> Result<(GroupId, Place), String> {
    let snapshot = turn.shared().directory.snapshot();
    let whole = jid(turn, to).map(Place::from);
    // A chat's own name may have a `/` in it, so what follows one is a thread only where nothing else fits.
    let split = to.rsplit_once('/').map(|(chat, thread)| {
        jid(turn, chat).map(|jid| Place { jid, thread: Some(thread.into()) })
    });
    let places = [Some(whole.clone()), split];
    let places: Vec<Place> = places.into_iter().flatten().filter_map(Result::ok).collect();
    let own = turn.group.id;
    if let Some(place) = places.iter().find(|it| snapshot.binding(own, it).is_some()) {
        return Ok((own, place.clone()));
    }
    let refused = || format!("`{to}` is no chat of this group");
    if places.is_empty() {
        return Err(whole.err().unwrap_or_else(refused));
    }
    if !turn.group.is_main {
        return Err(refused());
    }
    need(turn, Right::Operate)?;
    let bound = |place: &Place| {
        let here = snapshot.bindings(&place.jid).iter();
        let fits = here.filter(|it| it.place == *place || it.place.thread.is_none());
        fits.max_by_key(|it| it.place == *place).map(|it| it.group)
    };
    let found = places.into_iter().find_map(|it| Some((bound(&it)?, it)));
    found.ok_or_else(|| format!("`{to}` belongs to no group"))
}

/// The chat that `text` names, with or without its account.
fn jid(turn: &Turn<'_>, text: &str) -> Result<Jid, String> {
    let ours = [ChannelKind::Web, ChannelKind::Terminal];
    let ours = ours.into_iter().filter_map(|it| Account::new(it, Account::DEFAULT_NAME).ok());
    let accounts: Vec<Account> = turn.shared().accounts.names().into_iter().chain(ours).collect();
    let address: Address = text.parse().map_err(|err| format!("{err}"))?;
    address.resolve(&accounts).map_err(|err| err.to_string())
}

/// Reads groups and chats anew, and tells of the chats.
pub(crate) async fn refresh(turn: &Turn<'_>) -> Result<Value, String> {
    need(turn, Right::Command)?;
    main_only(turn)?;
    let shared = turn.shared();
    shared.directory.reload(&shared.store).await.map_err(unreadable)?;
    let chats = shared.store.chats(MAX_CHATS).await.map_err(unreadable)?;
    let snapshot = shared.directory.snapshot();
    let shown = chats.into_iter().map(|it| {
        let group = snapshot.bindings(&it.jid).first().and_then(|it| snapshot.group(it.group));
        json!({
            "jid": it.jid, "name": it.title, "lastActivity": it.last_seen_at.to_string(),
            "isRegistered": group.is_some(), "group": group.map(|it| it.name.to_string()),
        })
    });
    Ok(json!({ "groups": shown.collect::<Vec<_>>(), "lastSync": shared.clock.now().to_string() }))
}

/// A group that an agent wants.
pub(crate) struct Wanted<'a> {
    pub(crate) name: &'a str,
    pub(crate) folder: Option<&'a str>,
    pub(crate) chat: Option<&'a str>,
    pub(crate) trigger: Option<&'a str>,
}

/// Makes a group with its folder, and binds its chats: the page's, and the one that is named.
pub(crate) async fn register(turn: &Turn<'_>, it: Wanted<'_>) -> Result<CallEffect, String> {
    need(turn, Right::Configure)?;
    main_only(turn)?;
    let shared = turn.shared();
    let name: GroupName = it.name.parse().map_err(|err| format!("{err}"))?;
    let engage = match it.trigger {
        None => Engage::Mention,
        Some("") => Engage::Always,
        Some(pattern) => {
            let trigger: Trigger = pattern.parse().map_err(|err| format!("{err}"))?;
            Engage::Trigger(trigger)
        }
    };
    let chat = it.chat.map(|it| jid(turn, it)).transpose()?;
    let mut bound: Vec<NewBound> = chat
        .into_iter()
        .map(|jid| NewBound { place: jid.into(), engage: engage.clone() })
        .collect();
    let snapshot = shared.directory.snapshot();
    if let Some(there) = snapshot.groups().find(|it| it.name == name) {
        if bound.is_empty() {
            return Err(format!("there is a group `{name}` already; name a chat to bind to it"));
        }
        if there.is_main {
            return Err("nobody binds chats to the main group from inside a sandbox".to_owned());
        }
    }
    let folder: FolderName = match it.folder {
        Some(folder) => folder.parse().map_err(|err| format!("{err}"))?,
        None => snapshot.free_folder(&FolderName::like(name.as_str())),
    };
    let known = snapshot.groups().any(|it| it.name == name);
    if !known {
        let page = Account::new(ChannelKind::Web, Account::DEFAULT_NAME);
        let page = page.and_then(|it| it.chat(folder.as_str())).map_err(|err| err.to_string())?;
        bound.push(NewBound { place: page.into(), engage: Engage::Always });
        let made = shared.homes.make_group(&folder).await;
        made.map_err(|err| format!("could not make the group's folder: {err}"))?;
    }
    let group = NewGroup { name, folder, is_main: false, limits: Limits::default() };
    Ok(CallEffect::AddGroup { group: Box::new(group), bound })
}
