//! What would become of a message, by the same rules and what is known now. Nothing is written, sent or asked of a plugin.

use ngb_core::{
    address::Place,
    group::Group,
    id::GroupId,
    message::{Addressed, ChatFacts, ChatKind, Content, Happening, Inbound, Sender},
    queue::Mode,
    role::Role,
};
use ngb_plugins::hook::Hook;
use ngb_store::Plan;
use serde::Serialize;

use crate::{
    capped::{Cap, caps},
    handle::{Gateway, HandleError, SandboxState},
    plan::{self, Seen, Step},
    plugins,
};

/// A message that nobody wrote.
#[derive(Clone, Debug)]
pub struct Supposed {
    pub place: Place,
    pub sender_id: String,
    pub is_bot: bool,
    pub text: String,
    pub addressed: Addressed,
}

/// What would become of it.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
pub struct Foretold {
    /// `answer`, `keep`, `drop`, `offer_pairing`, `make_group`, `command`, `stop`, `answered_question`.
    pub decision: &'static str,
    pub why: String,
    pub group: Option<String>,
    /// What it would share a conversation with.
    pub lane_key: Option<String>,
    /// The sender's role in the group.
    pub role: Option<Role>,
    pub queue: Option<Mode>,
    /// Who would answer.
    pub agent: Option<String>,
    /// What would keep or change it on its way.
    pub remarks: Vec<String>,
}

impl Gateway {
    /// Says what would become of a message.
    pub async fn foretell(&self, it: Supposed) -> Result<Foretold, HandleError> {
        let shared = &self.0;
        let now = shared.clock.now();
        let kind = match it.addressed {
            Addressed::Direct => ChatKind::Direct,
            _ => ChatKind::Group,
        };
        let content = Content {
            platform_id: String::new(),
            text: it.text,
            media: Vec::new(),
            reply_to: None,
            quote: None,
            album: None,
            addressed: it.addressed,
        };
        let inbound = Inbound {
            event_key: String::new(),
            chat: ChatFacts { kind, title: it.place.jid.to_string() },
            place: it.place,
            sender: Sender { id: it.sender_id.clone(), name: it.sender_id, is_bot: it.is_bot },
            sent_at: now,
            what: Happening::Message(content),
        };
        let open = shared.questions.open(&shared.store, &inbound, now).await?;
        let snapshot = shared.directory.snapshot();
        let account = inbound.place.jid.account();
        let bot_turns = match it.is_bot {
            true => shared.pairs.turns(&inbound.place.jid, &inbound.sender.id, now),
            false => 0,
        };
        let seen = Seen {
            snapshot: &snapshot,
            new_chats: shared.accounts.new_chats(account),
            busy: shared.dispatcher.is_busy(&inbound.place),
            open: &open,
            bot_turns,
            by_plugins: false,
            now,
        };
        let mut told = told(plan::plan(&inbound, &seen), &|it| snapshot.group(it).cloned());
        if let Some(group) = told.1.take() {
            told.0.agent = Some(self.answers_in(&group));
            told.0.remarks.extend(self.in_the_way(&group).await?);
        }
        let is_asked = matches!(told.0.decision, "answer" | "keep" | "drop" | "offer_pairing");
        let chain = shared.plugins.chain();
        let about = plugins::group_of(shared, &inbound);
        let are_there = !chain.is_empty() && chain.wants(Hook::MessageReceived, about.as_ref());
        if is_asked && are_there {
            told.0
                .remarks
                .push("plugins would be asked first, and may change, answer or stop it".to_owned());
        }
        Ok(told.0)
    }

    /// What would keep the group's agent from answering at once.
    async fn in_the_way(&self, group: &Group) -> Result<Vec<String>, HandleError> {
        let mut all = Vec::new();
        if group.paused {
            all.push("the group rests; the message would wait for `/resume`".to_owned());
        }
        match &*self.about().sandbox.borrow() {
            SandboxState::Ready(_) => (),
            SandboxState::Proving => {
                all.push("the sandbox is being proved; it would wait".to_owned())
            }
            SandboxState::Away { .. } => {
                all.push("the sandbox's engine is away; it would wait".to_owned())
            }
            SandboxState::Refused { .. } => {
                all.push("no sandbox works here, so nobody could answer".to_owned())
            }
        }
        let used = self.store().used_today(group.id, self.clock().now().day_start()).await?;
        let used_up = caps(&group.limits, used).filter(Cap::is_used_up);
        all.extend(used_up.map(|it| {
            format!("the group's `{}` is used up, so it would be told that", it.setting)
        }));
        Ok(all)
    }
}

/// A step in words, and the group that would answer.
fn told(step: Step, group: &dyn Fn(GroupId) -> Option<Group>) -> (Foretold, Option<Group>) {
    let of = |decision, why: String| Foretold {
        decision,
        why,
        group: None,
        lane_key: None,
        role: None,
        queue: None,
        agent: None,
        remarks: Vec::new(),
    };
    let within = |it: Foretold, id: GroupId, lane_key: String| {
        let name = group(id).map(|it| it.name.to_string());
        Foretold { group: name, lane_key: Some(lane_key), ..it }
    };
    let plan = match step {
        Step::Write(plan) => plan,
        Step::Stop { only_own } => {
            let whose = if only_own { "what the sender asked for" } else { "what runs there" };
            return (of("stop", format!("stops {whose}")), None);
        }
        Step::StopAnswer(_) => return (of("stop", "stops an answer".to_owned()), None),
        Step::MakeGroup => {
            return (
                of(
                    "make_group",
                    "nobody approved this chat, and `new_chats` is `own-group`".to_owned(),
                ),
                None,
            );
        }
        Step::Command { command, binding, role, .. } => {
            let why = format!("the gateway's own command `/{}`", command.verb.names()[0]);
            let name = group(binding.group).map(|it| it.name.to_string());
            return (Foretold { group: name, role: Some(role), ..of("command", why) }, None);
        }
    };
    match plan {
        Plan::Engage { group: id, lane_key, role, queue, why } => {
            let it = within(of("answer", why), id, lane_key);
            (Foretold { role: Some(role), queue: Some(queue.mode), ..it }, group(id))
        }
        Plan::Keep { group: id, lane_key, why } => (within(of("keep", why), id, lane_key), None),
        Plan::Drop { why } => (of("drop", why), None),
        Plan::OfferPairing { .. } => (
            of(
                "offer_pairing",
                "nobody approved this chat; it is shown a code, once a day at most".to_owned(),
            ),
            None,
        ),
        Plan::AnswerAsk { .. } | Plan::NotYours(_) => {
            (of("answered_question", "it answers a question that is open there".to_owned()), None)
        }
        Plan::Answer { why, .. } | Plan::Act { why, .. } => (of("command", why), None),
        Plan::Revise
        | Plan::FailSend
        | Plan::Move { .. }
        | Plan::AskPlugins
        | Plan::Asked { .. } => {
            unreachable!("a new message is none of these")
        }
    }
}
