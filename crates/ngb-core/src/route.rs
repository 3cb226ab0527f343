//! What to do with a message: a pure decision, with its reason.

use crate::{
    group::{Binding, Engage, Senders},
    id::{BindingId, GroupId},
    message::{Addressed, ChatKind, Content, Inbound},
    queue::Queue,
    role::{Right, Role, role_in},
};

/// What is known about the chat and the sender when a message arrives.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// The bindings of the place and of the chat around it, the oldest first.
    pub bindings: &'a [Binding],
    pub access: Access,
    /// The sender's own roles, if somebody gave any: for the whole gateway (no group), or for one group.
    pub roles: &'a [(Option<GroupId>, Role)],
    /// What happens with chats that nobody has approved.
    pub new_chats: NewChats,
}

/// Whether a chat was let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Approved,
    /// Nobody decided yet.
    Unknown,
    /// Somebody said no.
    Denied,
}

impl Known<'_> {
    /// The sender's role in `group`: the higher of the gateway's and the group's own.
    fn role_in(&self, group: GroupId) -> Option<Role> {
        role_in(self.roles, group)
    }
}

impl Access {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::Unknown => "unknown",
            Self::Denied => "denied",
        }
    }

    /// The access that [`Access::as_str`] names.
    pub fn parse(s: &str) -> Option<Self> {
        [Self::Approved, Self::Unknown, Self::Denied].into_iter().find(|it| it.as_str() == s)
    }
}

/// The setting `new_chats` of an account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NewChats {
    /// Offer a pairing code, which an operator approves.
    #[default]
    Ask,
    /// Say nothing.
    Ignore,
    /// Make a group for the chat.
    OwnGroup,
}

/// What to do with a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// Give it to an agent.
    Engage {
        binding: BindingId,
        group: GroupId,
        lane_key: String,
        role: Role,
        queue: Queue,
        why: &'static str,
    },
    /// Keep it as context for the next engaged message of that lane.
    Keep { group: GroupId, lane_key: String, why: &'static str },
    /// Nothing; the reason is for `why`.
    Drop { why: &'static str },
    /// Offer a pairing code, if none was offered lately.
    OfferPairing,
    /// Make a group for this chat, bind it, then route again.
    MakeGroup,
}

/// Decides about a new message. Total: any input has exactly one answer.
///
/// Several groups may be bound to one place: the first (by age) that engages has it, those bound to the thread before
/// those bound to the whole chat.
pub fn route(inbound: &Inbound, content: &Content, known: &Known<'_>) -> Route {
    if inbound.sender.is_bot {
        return Route::Drop { why: "the sender is a bot, and bots never engage" };
    }
    if content.text.trim().is_empty() && content.media.is_empty() {
        return Route::Drop { why: "it has neither text nor a file" };
    }
    match known.access {
        Access::Denied => return Route::Drop { why: "this chat was denied" },
        Access::Unknown => return unknown_chat(inbound, content, known),
        Access::Approved => (),
    }

    let fits = |it: &&Binding| match &it.place.thread {
        Some(_) => it.place == inbound.place,
        None => it.place.jid == inbound.place.jid,
    };
    let mut bindings: Vec<&Binding> = known.bindings.iter().filter(fits).collect();
    bindings.sort_by_key(|it| it.place.thread.is_none());

    let mut kept = None;
    for binding in bindings {
        let lane_key = binding.scope.key(&inbound.place, &inbound.sender.id);
        let given = known.role_in(binding.group);
        if binding.senders == Senders::Known && given.is_none() {
            kept = kept.or(Some(Route::Drop { why: "only known people may speak here" }));
            continue;
        }
        let role = given.unwrap_or(Role::Guest);
        if !role.may(Right::Speak) {
            kept = kept.or(Some(Route::Drop { why: "the sender may only read" }));
            continue;
        }
        match engages(&binding.engage, content) {
            Some(why) => {
                let (queue, group) = (binding.queue, binding.group);
                return Route::Engage { binding: binding.id, group, lane_key, role, queue, why };
            }
            None => {
                let why = "nobody addressed the agent";
                kept = kept.or(Some(Route::Keep { group: binding.group, lane_key, why }));
            }
        }
    }
    kept.unwrap_or(Route::Drop { why: "no group is bound to this chat" })
}

fn unknown_chat(inbound: &Inbound, content: &Content, known: &Known<'_>) -> Route {
    match known.new_chats {
        NewChats::Ignore => {
            Route::Drop { why: "nobody approved this chat, and `new_chats` is `ignore`" }
        }
        NewChats::OwnGroup => Route::MakeGroup,
        NewChats::Ask => {
            let meant = inbound.chat.kind == ChatKind::Direct || content.addressed != Addressed::No;
            if meant {
                Route::OfferPairing
            } else {
                Route::Drop { why: "nobody approved this chat, and the bot was not addressed" }
            }
        }
    }
}

/// Why a message engages, or `None`.
fn engages(engage: &Engage, content: &Content) -> Option<&'static str> {
    if let Engage::Always = engage {
        return Some("every message here is for the agent");
    }
    if let Engage::Trigger(trigger) = engage
        && trigger.matches(&content.text)
    {
        return Some("the text matches the trigger");
    }
    match content.addressed {
        Addressed::No => None,
        Addressed::Mention => Some("the bot was mentioned"),
        Addressed::Reply => Some("it answers a message of the bot"),
        Addressed::Direct => Some("it was written to the bot alone"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        address::Place,
        clock::Timestamp,
        group::Scope,
        message::{ChatFacts, Happening, Sender},
        queue::Queue,
    };

    fn inbound(kind: ChatKind, thread: Option<&str>) -> Inbound {
        Inbound {
            event_key: "1".into(),
            place: Place {
                jid: "telegram@main:-1".parse().unwrap(),
                thread: thread.map(Into::into),
            },
            chat: ChatFacts { kind, title: "family".into() },
            sender: Sender { id: "7".into(), name: "Ann".into(), is_bot: false },
            sent_at: Timestamp(0),
            what: Happening::Delete { platform_id: String::new() },
        }
    }

    fn content(text: &str, addressed: Addressed) -> Content {
        Content { platform_id: "1".into(), text: text.into(), addressed, ..Content::default() }
    }

    fn binding(id: i64, thread: Option<&str>, engage: Engage) -> Binding {
        Binding {
            id: BindingId(id),
            group: GroupId(id * 10),
            place: Place {
                jid: "telegram@main:-1".parse().unwrap(),
                thread: thread.map(Into::into),
            },
            engage,
            scope: Scope::Thread,
            senders: Senders::Everyone,
            queue: Queue::default(),
        }
    }

    fn trigger(name: &str) -> Engage {
        Engage::Trigger(crate::group::Trigger::for_name(name))
    }

    /// The group that engaged, or the reason why none did.
    fn outcome(route: &Route) -> String {
        match route {
            Route::Engage { group, .. } => group.to_string(),
            Route::Keep { why, .. } | Route::Drop { why } => (*why).to_owned(),
            Route::OfferPairing => "pairing".into(),
            Route::MakeGroup => "make a group".into(),
        }
    }

    #[test]
    fn engagement_table() {
        use Addressed::{Direct, Mention, No, Reply};
        let both = || vec![binding(1, None, trigger("andy")), binding(2, None, trigger("bob"))];
        let topic =
            || vec![binding(1, None, Engage::Always), binding(2, Some("5"), Engage::Always)];
        let mention = || vec![binding(1, None, Engage::Mention)];
        let quiet = "nobody addressed the agent";
        #[rustfmt::skip]
        type Row<'a> = (Vec<Binding>, Option<&'a str>, &'a str, Addressed, &'a str);
        let table: &[Row<'_>] = &[
            (mention(), None, "hi", No, quiet),
            (mention(), None, "hi", Mention, "10"),
            (mention(), None, "hi", Reply, "10"),
            (mention(), None, "hi", Direct, "10"),
            (mention(), None, "  ", Direct, "it has neither text nor a file"),
            (both(), None, "@bob hi", No, "20"),
            (both(), None, "@andy hi", No, "10"),
            (both(), None, "hi", Mention, "10"),
            (both(), None, "hi", No, quiet),
            (topic(), Some("5"), "hi", No, "20"),
            (topic(), Some("6"), "hi", No, "10"),
            (vec![], None, "hi", Direct, "no group is bound to this chat"),
        ];
        for (bindings, thread, text, addressed, want) in table {
            let known =
                Known { bindings, access: Access::Approved, roles: &[], new_chats: NewChats::Ask };
            let got = route(&inbound(ChatKind::Group, *thread), &content(text, *addressed), &known);
            assert_eq!(outcome(&got), *want, "{text} {addressed:?} in {thread:?}");
        }
    }

    #[test]
    fn who_may_speak_table() {
        use NewChats::{Ask, Ignore, OwnGroup};
        let always = [binding(1, None, Engage::Always)];
        let mut known_only = always.clone();
        known_only[0].senders = Senders::Known;
        #[rustfmt::skip]
        type Row<'a> =
            (&'a [Binding], Access, Option<Role>, NewChats, ChatKind, Addressed, &'a str);
        let table: &[Row<'_>] = &[
            (&always, Access::Approved, None, Ask, ChatKind::Group, Addressed::No, "10"),
            (
                &always,
                Access::Approved,
                Some(Role::Viewer),
                Ask,
                ChatKind::Group,
                Addressed::No,
                "the sender may only read",
            ),
            (
                &known_only,
                Access::Approved,
                None,
                Ask,
                ChatKind::Group,
                Addressed::No,
                "only known people may speak here",
            ),
            (
                &known_only,
                Access::Approved,
                Some(Role::Guest),
                Ask,
                ChatKind::Group,
                Addressed::No,
                "10",
            ),
            (
                &always,
                Access::Denied,
                Some(Role::Owner),
                Ask,
                ChatKind::Direct,
                Addressed::Direct,
                "this chat was denied",
            ),
            (&[], Access::Unknown, None, Ask, ChatKind::Direct, Addressed::Direct, "pairing"),
            (&[], Access::Unknown, None, Ask, ChatKind::Group, Addressed::Mention, "pairing"),
            (
                &[],
                Access::Unknown,
                None,
                Ask,
                ChatKind::Group,
                Addressed::No,
                "nobody approved this chat, and the bot was not addressed",
            ),
            (
                &[],
                Access::Unknown,
                None,
                Ignore,
                ChatKind::Direct,
                Addressed::Direct,
                "nobody approved this chat, and `new_chats` is `ignore`",
            ),
            (
                &[],
                Access::Unknown,
                None,
                OwnGroup,
                ChatKind::Direct,
                Addressed::Direct,
                "make a group",
            ),
        ];
        for (bindings, access, role, new_chats, kind, addressed, want) in table {
            let roles: Vec<_> = role.iter().map(|it| (None, *it)).collect();
            let known = Known { bindings, access: *access, roles: &roles, new_chats: *new_chats };
            let got = route(&inbound(*kind, None), &content("hi", *addressed), &known);
            assert_eq!(
                outcome(&got),
                *want,
                "{access:?} {role:?} {new_chats:?} {kind:?} {addressed:?}"
            );
        }
    }

    #[test]
    fn a_role_of_one_group_counts_there_only() {
        let bindings = [binding(1, None, trigger("andy")), binding(2, None, trigger("bob"))];
        let roles = [(Some(GroupId(10)), Role::Member), (None, Role::Viewer)];
        let known = Known {
            bindings: &bindings,
            access: Access::Approved,
            roles: &roles,
            new_chats: NewChats::Ask,
        };
        let got =
            |text| route(&inbound(ChatKind::Group, None), &content(text, Addressed::No), &known);
        assert!(matches!(got("@andy hi"), Route::Engage { role: Role::Member, .. }));
        assert!(!matches!(got("@bob hi"), Route::Engage { .. }), "a viewer there");
    }

    #[test]
    fn bots_never_engage() {
        let bindings = [binding(1, None, Engage::Always)];
        let mut from_bot = inbound(ChatKind::Group, None);
        from_bot.sender.is_bot = true;
        let known = Known {
            bindings: &bindings,
            access: Access::Approved,
            roles: &[(None, Role::Owner)],
            new_chats: NewChats::Ask,
        };
        let got = route(&from_bot, &content("hi", Addressed::Mention), &known);
        assert!(matches!(got, Route::Drop { .. }));
    }

    proptest! {
        #[test]
        fn any_message_has_an_answer(
            text in ".{0,200}", sender in ".{0,20}", is_bot: bool, at in 0..4_usize, role in 0..6_usize,
        ) {
            let bindings = [binding(1, None, trigger("andy")), binding(2, Some("5"), Engage::Mention)];
            let mut inbound = inbound(ChatKind::Group, None);
            inbound.sender.id = sender;
            inbound.sender.is_bot = is_bot;
            let addressed = [Addressed::No, Addressed::Mention, Addressed::Reply, Addressed::Direct][at];
            let known = Known {
                bindings: &bindings, access: Access::Approved, roles: &[(None, Role::ALL[role])],
                new_chats: NewChats::Ask,
            };
            route(&inbound, &content(&text, addressed), &known);
        }
    }
}
