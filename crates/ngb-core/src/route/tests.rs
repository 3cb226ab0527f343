//! Tests of `route`.

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
        place: Place { jid: "telegram@main:-1".parse().unwrap(), thread: thread.map(Into::into) },
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
        place: Place { jid: "telegram@main:-1".parse().unwrap(), thread: thread.map(Into::into) },
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
    let topic = || vec![binding(1, None, Engage::Always), binding(2, Some("5"), Engage::Always)];
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
        (&[], Access::Unknown, None, OwnGroup, ChatKind::Direct, Addressed::Direct, "make a group"),
    ];
    for (bindings, access, role, new_chats, kind, addressed, want) in table {
        let roles: Vec<_> = role.iter().map(|it| (None, *it)).collect();
        let known =
            Known { bindings, access: *access, roles: &roles, new_chats: *new_chats, bot_turns: 0 };
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
    let got = |text| route(&inbound(ChatKind::Group, None), &content(text, Addressed::No), &known);
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
