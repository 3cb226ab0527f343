//! What to do with a message: a pure decision, with its reason.

use crate::{
    group::{Binding, Engage, Hearing, Senders},
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
    /// How often the sender, a bot, had an agent answer it in this chat within the last hour.
    pub bot_turns: u32,
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
/// Several groups may be bound to one place: the first that the text names by its trigger has it, or else the first (by age)
/// that engages; those bound to the thread before those bound to the whole chat.
pub fn route(inbound: &Inbound, content: &Content, known: &Known<'_>) -> Route {
    if inbound.sender.is_bot && known.access != Access::Approved {
        return Route::Drop { why: "the sender is a bot, and nobody approved this chat" };
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
    // What is said of a thread counts there instead of what is said of its chat.
    let own: Vec<GroupId> =
        bindings.iter().filter(|it| it.place.thread.is_some()).map(|it| it.group).collect();
    bindings.retain(|it| it.place.thread.is_some() || !own.contains(&it.group));
    bindings.sort_by_key(|it| it.place.thread.is_none());

    let heard: Vec<(&Binding, Heard)> =
        bindings.into_iter().map(|it| (it, hears(it, inbound, content, known))).collect();
    let of_thread = heard.partition_point(|it| it.0.place.thread.is_some());
    for level in [&heard[..of_thread], &heard[of_thread..]] {
        let named = level.iter().filter_map(|(it, heard)| match heard {
            Heard::Named { at, role } => Some((*at, *it, *role)),
            _ => None,
        });
        if let Some((_, binding, role)) = named.min_by_key(|it| it.0) {
            return engage(binding, inbound, role, "the text matches the trigger");
        }
        let engaged = level.iter().find_map(|(it, heard)| match heard {
            Heard::Engages { why, role } => Some((*it, *role, *why)),
            _ => None,
        });
        if let Some((binding, role, why)) = engaged {
            return engage(binding, inbound, role, why);
        }
    }
    let left = heard.into_iter().find_map(|(it, heard)| match heard {
        Heard::Refused { why } => Some(Route::Drop { why }),
        Heard::Quiet { why } => {
            let lane_key = it.scope.key(&inbound.place, &inbound.sender.id);
            Some(Route::Keep { group: it.group, lane_key, why })
        }
        Heard::Named { .. } | Heard::Engages { .. } => None,
    });
    left.unwrap_or(Route::Drop { why: "no group is bound to this chat" })
}

/// What one binding makes of a message.
#[derive(Clone, Copy, Debug)]
enum Heard {
    /// Its trigger matches, so many bytes from the start.
    Named {
        at: usize,
        role: Role,
    },
    Engages {
        why: &'static str,
        role: Role,
    },
    /// It is context.
    Quiet {
        why: &'static str,
    },
    /// Its sender has no say here.
    Refused {
        why: &'static str,
    },
}

fn engage(binding: &Binding, inbound: &Inbound, role: Role, why: &'static str) -> Route {
    Route::Engage {
        binding: binding.id,
        group: binding.group,
        lane_key: binding.scope.key(&inbound.place, &inbound.sender.id),
        role,
        queue: binding.queue,
        why,
    }
}

fn hears(binding: &Binding, inbound: &Inbound, content: &Content, known: &Known<'_>) -> Heard {
    let given = known.role_in(binding.group);
    if binding.senders == Senders::Known && given.is_none() {
        return Heard::Refused { why: "only known people may speak here" };
    }
    let role = given.unwrap_or(Role::Guest);
    if !role.may(Right::Speak) {
        return Heard::Refused { why: "the sender may only read" };
    }
    if inbound.sender.is_bot {
        match binding.exceptions.bots_per_hour {
            0 => return Heard::Refused { why: "the sender is a bot, and no bot is heard here" },
            most if most <= known.bot_turns => {
                let why = "this bot was answered as often within an hour as it may be here: it looks like a loop";
                return Heard::Refused { why };
            }
            _ => (),
        }
    }
    match binding.exceptions.senders.get(&inbound.sender.id) {
        Some(Hearing::Never) => return Heard::Quiet { why: "this sender is not heard here" },
        Some(Hearing::Always) => {
            return Heard::Engages { why: "whatever this sender writes is for the agent", role };
        }
        Some(Hearing::Mention) => return addressed(content, role),
        None => (),
    }
    match &binding.engage {
        Engage::Never => Heard::Quiet { why: "the agent only listens here" },
        Engage::Always => Heard::Engages { why: "every message here is for the agent", role },
        Engage::Mention => addressed(content, role),
        Engage::Trigger(trigger) => match trigger.finds(&content.text) {
            Some(at) => Heard::Named { at, role },
            None => addressed(content, role),
        },
    }
}

fn addressed(content: &Content, role: Role) -> Heard {
    let why = match content.addressed {
        Addressed::No => return Heard::Quiet { why: "nobody addressed the agent" },
        Addressed::Mention => "the bot was mentioned",
        Addressed::Reply => "it answers a message of the bot",
        Addressed::Direct => "it was written to the bot alone",
    };
    Heard::Engages { why, role }
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        address::Place,
        clock::Timestamp,
        group::{Exceptions, Scope},
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
            exceptions: Exceptions::default(),
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
        let anywhere = |name: &str| Engage::Trigger(name.parse().unwrap());
        let named = || {
            vec![
                binding(1, None, Engage::Always),
                binding(2, None, anywhere("andy")),
                binding(3, None, anywhere("bob")),
            ]
        };
        let never = || {
            let mut bindings =
                vec![binding(1, None, Engage::Mention), binding(2, Some("5"), Engage::Never)];
            bindings[1].group = bindings[0].group;
            bindings
        };
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
            // The first that the text names, wherever the default stands.
            (named(), None, "hi bob and andy", No, "30"),
            (named(), None, "hi andy and bob", No, "20"),
            (named(), None, "hi", No, "10"),
            (topic(), Some("5"), "bob", No, "20"),
            (never(), Some("5"), "hi", Mention, "the agent only listens here"),
            (never(), Some("6"), "hi", Mention, "10"),
            (topic(), Some("5"), "hi", No, "20"),
            (topic(), Some("6"), "hi", No, "10"),
            (vec![], None, "hi", Direct, "no group is bound to this chat"),
        ];
        for (bindings, thread, text, addressed, want) in table {
            let known = Known {
                bindings,
                access: Access::Approved,
                roles: &[],
                new_chats: NewChats::Ask,
                bot_turns: 0,
            };
            let got = route(&inbound(ChatKind::Group, *thread), &content(text, *addressed), &known);
            assert_eq!(outcome(&got), *want, "{text} {addressed:?} in {thread:?}");
        }
    }

    #[test]
    fn exceptions_table() {
        use Addressed::{Mention, No};
        let of = |engage: Engage, hearing: Option<Hearing>, bots_per_hour| {
            let mut it = binding(1, None, engage);
            it.exceptions.senders.extend(hearing.map(|it| ("7".to_owned(), it)));
            it.exceptions.bots_per_hour = bots_per_hour;
            it
        };
        let (quiet, loops) = (
            "nobody addressed the agent",
            "this bot was answered as often within an hour as it may be here: it looks like a loop",
        );
        #[rustfmt::skip]
        let table = [
            // binding, is a bot, its turns, addressed
            (of(Engage::Mention, Some(Hearing::Always), 0),  false, 0, No,      "10"),
            (of(Engage::Always, Some(Hearing::Mention), 0),  false, 0, No,      quiet),
            (of(Engage::Always, Some(Hearing::Mention), 0),  false, 0, Mention, "10"),
            (of(Engage::Always, Some(Hearing::Never), 0),    false, 0, Mention, "this sender is not heard here"),
            (of(Engage::Always, None, 0),                    true,  0, Mention, "the sender is a bot, and no bot is heard here"),
            (of(Engage::Mention, None, 2),                   true,  1, No,      quiet),
            (of(Engage::Mention, None, 2),                   true,  1, Mention, "10"),
            (of(Engage::Mention, None, 2),                   true,  2, Mention, loops),
        ];
        for (binding, is_bot, bot_turns, addressed, want) in table {
            let bindings = [binding];
            let known = Known {
                bindings: &bindings,
                access: Access::Approved,
                roles: &[],
                new_chats: NewChats::Ask,
                bot_turns,
            };
            let mut event = inbound(ChatKind::Group, None);
            event.sender.is_bot = is_bot;
            let got = route(&event, &content("hi", addressed), &known);
            assert_eq!(outcome(&got), want, "{bindings:?} {addressed:?}");
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
            let known = Known {
                bindings,
                access: *access,
                roles: &roles,
                new_chats: *new_chats,
                bot_turns: 0,
            };
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
            bot_turns: 0,
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
            bot_turns: 0,
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
                new_chats: NewChats::Ask, bot_turns: 0,
            };
            route(&inbound, &content(&text, addressed), &known);
        }
    }
}
