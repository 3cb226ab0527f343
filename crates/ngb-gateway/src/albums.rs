//! Which parts of an album are for the agent: all of them, once one is. In a group only the part with the caption names
//! the bot.

use std::collections::HashMap;

use ngb_core::{
    address::Place,
    clock::Timestamp,
    message::{ALBUM_WAIT, Happening, Inbound},
};
use ngb_store::{Arrival, Plan};

/// Albums that engaged lately, by place, sender and the platform's id.
#[derive(Debug, Default)]
pub(crate) struct Albums(HashMap<Key, (Timestamp, Plan)>);

type Key = (Place, String, String);

impl Albums {
    /// Parts that came now and before join the one that engages. A part that came in an earlier batch was kept as context;
    /// `prompt.rs` finds it there.
    pub(crate) fn join(&mut self, arrivals: &mut [Arrival], now: Timestamp) {
        self.0.retain(|_, (until, _)| now < *until);
        for it in arrivals.iter() {
            if let (Plan::Engage { .. }, Some(key)) = (&it.plan, key(&it.inbound)) {
                self.0.entry(key).or_insert_with(|| (now + ALBUM_WAIT, it.plan.clone()));
            }
        }
        if self.0.is_empty() {
            return;
        }
        for it in arrivals.iter_mut().filter(|it| matches!(it.plan, Plan::Keep { .. })) {
            if let Some((_, plan)) = key(&it.inbound).and_then(|it| self.0.get(&it)) {
                it.plan = plan.clone();
            }
        }
    }
}

fn key(inbound: &Inbound) -> Option<Key> {
    let Happening::Message(content) = &inbound.what else { return None };
    Some((inbound.place.clone(), inbound.sender.id.clone(), content.album.clone()?))
}

#[cfg(test)]
mod tests {
    use ngb_core::{
        address::Jid,
        id::GroupId,
        message::{ChatFacts, ChatKind, Content, Sender},
        queue::Queue,
        role::Role,
    };

    use super::*;

    fn part(album: Option<&str>, sender: &str, engages: bool) -> Arrival {
        let (group, lane_key, why) = (GroupId(1), "l".to_owned(), String::new());
        let plan = if engages {
            Plan::Engage { group, lane_key, role: Role::Guest, queue: Queue::default(), why }
        } else {
            Plan::Keep { group, lane_key, why }
        };
        let inbound = Inbound {
            event_key: "1".into(),
            place: Place::from("telegram@main:-1".parse::<Jid>().unwrap()),
            chat: ChatFacts { kind: ChatKind::Group, title: "family".into() },
            sender: Sender { id: sender.into(), name: "Ann".into(), is_bot: false },
            sent_at: Timestamp(0),
            what: Happening::Message(Content {
                album: album.map(Into::into),
                ..Content::default()
            }),
        };
        Arrival { inbound, plan }
    }

    #[test]
    fn all_parts_of_an_album_engage_once_one_does() {
        let mut albums = Albums::default();
        let engaged = |all: &[Arrival]| -> Vec<bool> {
            all.iter().map(|it| matches!(it.plan, Plan::Engage { .. })).collect()
        };
        let mut first = [
            part(Some("a"), "ann", false),
            part(Some("a"), "ann", true),
            part(Some("a"), "bob", false),
            part(Some("b"), "ann", false),
            part(None, "ann", false),
        ];
        albums.join(&mut first, Timestamp(0));
        assert_eq!(engaged(&first), [true, true, false, false, false]);
        let mut later = [part(Some("a"), "ann", false)];
        albums.join(&mut later, Timestamp(999));
        assert_eq!(engaged(&later), [true]);
        let mut too_late = [part(Some("a"), "ann", false)];
        albums.join(&mut too_late, Timestamp(1_000));
        assert_eq!(engaged(&too_late), [false]);
    }
}
