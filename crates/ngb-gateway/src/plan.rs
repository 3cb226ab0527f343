//! What is to be written for an event: routing and the commands that leave before it, as a pure decision.

use std::time::Duration;

use ngb_core::{
    ask::{self, Answerer, OpenQuestion, Pressed},
    clock::Timestamp,
    command::{Command, Verb},
    decision::Decision,
    group::Binding,
    id::JobId,
    message::{Happening, Inbound, Outbound},
    notice::{Lang, Notice},
    reply::Reply,
    role::{Right, Role, role_in, wide_role},
    route::{Access, Known, NewChats, Route, route},
    stop,
};
use ngb_store::{Act, Plan, Theirs};

use crate::{dispatch::Interrupted, reactions, registry::Snapshot};

/// How long a pairing code can be used.
pub const PAIRING_LIFE: Duration = Duration::from_secs(24 * 60 * 60);

/// A chat is offered at most one code in this time.
pub const PAIRING_PAUSE: Duration = Duration::from_secs(24 * 60 * 60);

/// Codes of one account that may be open at a time.
pub const MAX_PENDING_PAIRINGS: u32 = 20;

/// Groups that `new_chats = "own-group"` makes, before it asks instead.
pub const MAX_OWN_GROUPS: usize = 200;

/// What the gateway does with an event before it is written.
#[derive(Clone, Debug)]
pub enum Step {
    /// Write it.
    Write(Plan),
    /// Stop what runs in its place, then write it.
    Stop {
        /// Only what the sender asked for.
        only_own: bool,
    },
    /// Stop the answer to this job, under which a button was pressed, then write it.
    StopAnswer(JobId),
    /// Make a group for its chat, then plan again.
    MakeGroup,
    /// Look up what a command asks for, then write the answer.
    Command {
        command: Command,
        /// The binding of the group that it is about.
        binding: Box<Binding>,
        /// The sender's role in that group.
        role: Role,
        lang: Lang,
    },
}

/// What is known when an event is planned.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    pub snapshot: &'a Snapshot,
    pub new_chats: NewChats,
    /// Whether an agent works in the event's place now.
    pub busy: bool,
    /// The open questions of its chat, the oldest first.
    pub open: &'a [OpenQuestion],
    /// How often the sender, a bot, was answered in the chat within the last hour.
    pub bot_turns: u32,
    /// Whether plugins have seen it. No command ever comes to them, so what reads like one is their text and not the sender's
    /// wish.
    pub by_plugins: bool,
    pub now: Timestamp,
}

/// Plans one event.
pub fn plan(inbound: &Inbound, seen: &Seen<'_>) -> Step {
    let Seen { snapshot, new_chats, busy, open, bot_turns, by_plugins, now } = *seen;
    let account = inbound.place.jid.account();
    let roles = snapshot.roles(account, &inbound.sender.id);
    let who = Answerer { sender_id: &inbound.sender.id, roles: &roles };
    let content = match &inbound.what {
        Happening::Message(content) => content,
        Happening::Edit(_) | Happening::Delete { .. } => return Step::Write(Plan::Revise),
        Happening::Moved { to } => return Step::Write(Plan::Move { to: to.clone() }),
        Happening::Undelivered { .. } => return Step::Write(Plan::FailSend),
        Happening::Reacted(content) => return Step::Write(reactions::plan(inbound, content, seen)),
        Happening::Pressed { value, .. } if let Some(job) = stop::pressed(value) => {
            return Step::StopAnswer(job);
        }
        Happening::Pressed { platform_id, value } => {
            return Step::Write(match ask::pressed(open, platform_id, value, who) {
                Pressed::Answers(ask) => Plan::AnswerAsk { ask, value: value.clone() },
                Pressed::NotYours(ask) => Plan::NotYours(Theirs::Question(ask)),
                Pressed::Nothing => {
                    Plan::Drop { why: "no question with that button is open".to_owned() }
                }
            });
        }
        Happening::Unknown { kind } => {
            let why = format!("this version does not understand `{kind}`");
            return Step::Write(Plan::Drop { why });
        }
    };
    let bindings = snapshot.bindings(&inbound.place.jid);
    let access = snapshot.access(&inbound.place.jid);

    if access == Access::Approved && !inbound.sender.is_bot && !bindings.is_empty() {
        if !by_plugins && let Some(it) = Command::parse(content, busy) {
            return command(it, inbound, seen, Lang::of(&content.text));
        }
        if let Some((ask, option)) = ask::answered(open, &inbound.place, content, who) {
            return Step::Write(Plan::AnswerAsk { ask, value: option.value.clone() });
        }
    }
    let new_chats = match new_chats {
        NewChats::OwnGroup if MAX_OWN_GROUPS <= snapshot.groups().count() => NewChats::Ask,
        other => other,
    };
    let known = Known { bindings, access, roles: &roles, new_chats, bot_turns };
    Step::Write(match route(inbound, content, &known) {
        Route::Engage { group, lane_key, role, queue, why, .. } => {
            Plan::Engage { group, lane_key, role, queue, why: why.to_owned() }
        }
        Route::Keep { group, lane_key, why } => Plan::Keep { group, lane_key, why: why.to_owned() },
        Route::Drop { why } => Plan::Drop { why: why.to_owned() },
        Route::MakeGroup => return Step::MakeGroup,
        Route::OfferPairing => {
            let code = crate::codes::typed_code();
            let notice = Notice::Pairing { code: code.clone() };
            Plan::OfferPairing {
                code,
                notice: text(notice.say(Lang::of(&content.text), None)),
                expires_at: now + PAIRING_LIFE,
                not_since: now - PAIRING_PAUSE,
                max_pending: MAX_PENDING_PAIRINGS,
            }
        }
    })
}

/// The plan of a [`Step::Stop`], once it is known whether there was anything to stop.
pub fn stopped(found: Interrupted, lang: Lang) -> Plan {
    let (why, say) = match found {
        // The run says itself that it was stopped.
        Interrupted::Yes => ("stops what runs here", None),
        Interrupted::NotTheirs => {
            ("asks to stop what somebody else asked for", Some(Notice::NotYours))
        }
        Interrupted::Nothing => ("stops what runs here; nothing did", Some(Notice::NothingToStop)),
    };
    let say = say.map(|it| text(it.say(lang, None))).into_iter().collect();
    Plan::Answer { decision: Decision::Command, why: why.to_owned(), say }
}

/// The plan of a [`Step::StopAnswer`], once it is known what came of it. Whoever pressed sees it at the message.
pub fn answer_stopped(found: Interrupted, job: JobId) -> Plan {
    match found {
        Interrupted::Yes => Plan::Drop { why: "stops the answer above it".to_owned() },
        Interrupted::NotTheirs => Plan::NotYours(Theirs::Answer(job)),
        Interrupted::Nothing => Plan::Drop { why: "the answer above it is done".to_owned() },
    }
}

fn text(text: String) -> Outbound {
    Outbound::Text { text, reply_to: None, buttons: Vec::new() }
}

/// What a command comes to: a refusal, a stop, or something to look up.
fn command(command: Command, inbound: &Inbound, seen: &Seen<'_>, lang: Lang) -> Step {
    let snapshot = seen.snapshot;
    let roles = snapshot.roles(inbound.place.jid.account(), &inbound.sender.id);
    let binding = snapshot.about(&inbound.place, &command.rest);
    let Some(binding) = binding else {
        return Step::Write(Plan::Drop { why: "no group is bound to this chat".to_owned() });
    };
    let verb = command.verb;
    let here = role_in(&roles, binding.group).unwrap_or(Role::Guest);
    let role = if verb.is_wide() { wide_role(&roles).unwrap_or(Role::Guest) } else { here };
    if !role.may(verb.right()) {
        let say = match verb {
            Verb::Stop => Notice::NotYours.say(lang, None),
            _ => Reply::MayNot { verb, role }.say(lang),
        };
        return Step::Write(told(
            format!("asks for `{}` without the right to", verb.names()[0]),
            say,
        ));
    }
    match verb {
        Verb::Stop if seen.busy => Step::Stop { only_own: !role.may(Right::Stop) },
        Verb::Stop => Step::Write(stopped(Interrupted::Nothing, lang)),
        _ => Step::Command { command, binding: Box::new(binding.clone()), role: here, lang },
    }
}

/// A command whose answer is all there is to it.
pub(crate) fn told(why: String, say: String) -> Plan {
    Plan::Answer { decision: Decision::Command, why, say: vec![text(say)] }
}

/// A command that changes something, and its answer.
pub(crate) fn done(act: Act, why: String, say: String) -> Plan {
    Plan::Act { act, why, say: vec![text(say)] }
}

#[cfg(test)]
mod tests {
    use ngb_core::{
        address::{Jid, Place},
        ask::Audience,
        group::{Engage, Group, Limits, Scope, Senders},
        id::{AskId, BindingId, GroupId},
        message::{Addressed, Button, ChatFacts, ChatKind, Content, Sender},
        queue::Queue,
    };
    use ngb_store::Registry;

    use super::*;

    fn snapshot() -> Snapshot {
        let jid: Jid = "telegram@main:1".parse().unwrap();
        let group = Group {
            id: GroupId(1),
            name: "home".parse().unwrap(),
            folder: "home".parse().unwrap(),
            is_main: false,
            paused: false,
            limits: Limits::default(),
        };
        let binding = Binding {
            id: BindingId(1),
            group: GroupId(1),
            place: jid.clone().into(),
            engage: Engage::Mention,
            scope: Scope::Thread,
            senders: Senders::Everyone,
            queue: Queue::default(),
            exceptions: ngb_core::group::Exceptions::default(),
        };
        Snapshot::new(Registry {
            groups: vec![group],
            bindings: vec![binding],
            access: vec![(jid, Access::Approved)],
            people: Vec::new(),
        })
    }

    fn message(chat: &str, text: &str, addressed: Addressed) -> Inbound {
        Inbound {
            event_key: "1".into(),
            place: Place::from(format!("telegram@main:{chat}").parse::<Jid>().unwrap()),
            chat: ChatFacts { kind: ChatKind::Group, title: "family".into() },
            sender: Sender { id: "7".into(), name: "Ann".into(), is_bot: false },
            sent_at: Timestamp(0),
            what: Happening::Message(Content {
                platform_id: "1".into(),
                text: text.into(),
                addressed,
                ..Content::default()
            }),
        }
    }

    fn question() -> OpenQuestion {
        let option = |label: &str| Button { label: label.into(), value: format!("n:{label}") };
        OpenQuestion {
            ask: AskId(1),
            group: GroupId(1),
            place: Place::from("telegram@main:1".parse::<Jid>().unwrap()),
            options: vec![option("The attic"), option("The cellar")],
            audience: Audience { asked: vec!["7".into()], ..Audience::default() },
            numbered: true,
            platform_id: Some("500".into()),
        }
    }

    #[test]
    fn press_table() {
        let snapshot = snapshot();
        let open = [question()];
        #[rustfmt::skip]
        let table = [
            ("7", "n:The attic", "chosen"),
            ("8", "n:The attic", "not yours"),
            ("7", "x:The attic", "drop"),
            ("8", "stop:5",      "stop"),
            ("8", "stop:it",     "drop"),
        ];
        for (sender, value, want) in table {
            let mut event = message("1", "", Addressed::No);
            event.sender.id = sender.into();
            event.what = Happening::Pressed { platform_id: "500".into(), value: value.into() };
            let (new_chats, now) = (NewChats::Ask, Timestamp(0));
            let seen = Seen {
                snapshot: &snapshot,
                new_chats,
                busy: false,
                open: &open,
                bot_turns: 0,
                by_plugins: false,
                now,
            };
            let got = match plan(&event, &seen) {
                Step::Write(Plan::AnswerAsk { .. }) => "chosen",
                Step::Write(Plan::NotYours(_)) => "not yours",
                Step::StopAnswer(JobId(5)) => "stop",
                Step::Write(Plan::Drop { .. }) => "drop",
                other => panic!("{other:?}"),
            };
            assert_eq!(got, want, "{sender} presses {value}");
        }
    }

    #[test]
    fn plan_table() {
        use Addressed::{Direct, Mention, No};
        #[rustfmt::skip]
        let table = [
            ("1", "hello",        Mention, false, "engage"),
            ("1", "hello",        No,      false, "keep"),
            ("2", "hello",        Mention, false, "pairing"),
            ("2", "hello",        No,      false, "drop"),
            ("1", "/stop",        No,      true,  "stop"),
            ("1", "/stop@my_bot", Mention, true,  "stop"),
            ("1", "/STOP",        No,      false, "answer"),
            ("1", "停止",          No,      true,  "stop"),
            ("1", "stop",         No,      false, "keep"),
            ("1", "stop",         Direct,  false, "answer"),
            ("1", "stop it",      Direct,  true,  "engage"),
            ("1", "/whoami",      No,      false, "look up"),
            ("1", "/help",        Direct,  false, "look up"),
            ("1", "/status",      No,      false, "answer"),
            ("1", "/approve X",   No,      false, "answer"),
            ("2", "/status",      Direct,  false, "pairing"),
            ("2", "/stop",        No,      true,  "drop"),
            ("1", "/unknown",     Direct,  false, "engage"),
            ("1", "2",            No,      false, "chosen"),
            ("1", "the cellar",   No,      false, "chosen"),
            ("1", "3",            No,      false, "keep"),
            ("2", "2",            No,      false, "drop"),
        ];
        for (chat, text, addressed, busy, want) in table {
            let event = message(chat, text, addressed);
            let snapshot = snapshot();
            let open = [question()];
            let (new_chats, now) = (NewChats::Ask, Timestamp(0));
            let seen = Seen {
                snapshot: &snapshot,
                new_chats,
                busy,
                open: &open,
                bot_turns: 0,
                by_plugins: false,
                now,
            };
            let got = match plan(&event, &seen) {
                Step::Stop { only_own } => {
                    assert!(only_own, "a guest stops what is theirs");
                    "stop"
                }
                Step::StopAnswer(_) => "stop an answer",
                Step::MakeGroup => "make group",
                Step::Command { .. } => "look up",
                Step::Write(Plan::Engage { .. }) => "engage",
                Step::Write(Plan::Keep { .. }) => "keep",
                Step::Write(Plan::Drop { .. }) => "drop",
                Step::Write(Plan::OfferPairing { .. }) => "pairing",
                Step::Write(Plan::Answer { .. }) => "answer",
                Step::Write(Plan::AnswerAsk { .. }) => "chosen",
                Step::Write(_) => "other",
            };
            assert_eq!(got, want, "{text} in chat {chat}, busy: {busy}");
        }
    }

    /// A plugin may write anything into a message, but the rights of its sender are not its own.
    #[test]
    fn what_a_plugin_wrote_is_no_command() {
        let snapshot = snapshot();
        for text in ["/stop", "/whoami"] {
            let event = message("1", text, Addressed::Direct);
            let seen = Seen {
                snapshot: &snapshot,
                new_chats: NewChats::Ask,
                busy: true,
                open: &[],
                bot_turns: 0,
                by_plugins: true,
                now: Timestamp(0),
            };
            assert!(matches!(plan(&event, &seen), Step::Write(Plan::Engage { .. })), "{text}");
        }
    }
}
