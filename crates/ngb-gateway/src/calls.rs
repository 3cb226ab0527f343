//! What an agent may ask of the gateway. Its rights are those of the prompt's people, never what the frame says.

use std::time::Duration;

use ngb_core::{
    ask::{self, Audience},
    clock::Timestamp,
    decision::Decision,
    failpoint::reach,
    frame::{ALLOW, CallOutcome, DENY, HostCall},
    id::AskId,
    message::{Button, MAX_TEXT_BYTES, Outbound},
    notice::Notice,
    role::{Right, Role},
    text::split,
};
use ngb_store::{
    CallEffect, Called, HostCallWrite, JobKind, NewDecision, NewOutbox, StoreError, Work,
};
use tracing::error;

use crate::{
    approvals,
    events::Event,
    finish,
    homes::GROUP_INSIDE,
    lookups::{self, NewWish},
    reach, reactions,
    turn::{Lost, Turn},
};

/// How long a question stays open.
const ASK_LIFE: Duration = Duration::from_secs(15 * 60);

/// Answers that a question may have.
const MAX_OPTIONS: usize = 6;

/// Calls of one run that do something. An agent that wants more says it in its answer, or is out of its mind.
const MAX_CALLS: u32 = 200;

/// Longest that something may be put off, in seconds: a year.
const MAX_DELAY_SECONDS: u64 = 365 * 24 * 60 * 60;

/// A question that nobody has answered yet.
#[derive(Clone, Debug)]
pub(crate) struct OpenAsk {
    pub(crate) ask: AskId,
    /// The call that waits for it.
    pub(crate) call: u64,
    pub(crate) ends_at: Timestamp,
    /// What the agent calls the answers, in the order of the buttons.
    values: Vec<String>,
    /// The tool that it is about, where a person is asked whether it may be used.
    pub(crate) approves: Option<String>,
    /// What is done when the answer is yes.
    pub(crate) then: Option<HostCall>,
}

impl OpenAsk {
    fn new(ask: AskId, call: u64, what: &HostCall, now: Timestamp) -> Self {
        let (values, approves) = match what {
            HostCall::Ask { options, .. } => {
                (options.iter().map(|it| it.value.clone()).collect(), None)
            }
            HostCall::Approve { tool, .. } => {
                (vec![ALLOW.to_owned(), DENY.to_owned()], Some(tool.clone()))
            }
            _ => (Vec::new(), None),
        };
        Self { ask, call, ends_at: now + ASK_LIFE, values, approves, then: None }
    }

    /// What the agent is told when the button with `value` was pressed.
    pub(crate) fn chosen(&self, value: &str) -> CallOutcome {
        match ask::index_of(value).and_then(|n| self.values.get(n)) {
            Some(own) => CallOutcome::Ok { value: own.clone().into() },
            None => {
                CallOutcome::Refused { reason: "the answer is none of those offered".to_owned() }
            }
        }
    }
}

/// Does a call. None when its answer comes later, from a person.
pub(crate) async fn call(
    turn: &mut Turn<'_>,
    number: u64,
    what: HostCall,
) -> Result<Option<CallOutcome>, Lost> {
    let arguments_hash = what.arguments_hash();
    let name = what.name();
    let counted = (name, arguments_hash.clone());
    let n = turn.counts.get(&counted).copied().unwrap_or_default();
    if MAX_CALLS <= turn.counts.values().sum() {
        let reason = format!("{MAX_CALLS} calls were made in this run, and no more may be");
        return Ok(Some(CallOutcome::Refused { reason }));
    }
    if !what.changes() {
        return Ok(Some(match lookups::look_up(turn, &what).await {
            Ok(value) => CallOutcome::Ok { value },
            Err(reason) => refuse(turn, name, reason).await,
        }));
    }
    let what = match turn.pass_call(what).await {
        Ok(what) => what,
        Err(reason) => return Ok(Some(refuse(turn, name, reason).await)),
    };
    let does = match effect(turn, &what, &arguments_hash, n).await {
        Ok(does) => does,
        Err(reason) => return Ok(Some(refuse(turn, name, reason).await)),
    };
    let buttons = match &does {
        CallEffect::Ask { options, .. } => options.clone(),
        CallEffect::Send(_)
        | CallEffect::SayLater { .. }
        | CallEffect::AddTask(_)
        | CallEffect::ChangeTask(..)
        | CallEffect::AddGroup { .. } => Vec::new(),
    };
    let write = HostCallWrite {
        claim: turn.claim,
        job: turn.job(),
        name,
        arguments_hash,
        n,
        now: turn.shared().clock.now(),
        does,
        result: serde_json::json!({ "done": true }).to_string(),
    };
    reach("before-call");
    let called = match turn.shared().store.call(write).await {
        Ok(called) => {
            // Only now: one that could not be written is no call, and trying it again is the same one.
            turn.counts.insert(counted, n + 1);
            reach("after-call");
            called
        }
        Err(StoreError::Fenced(_)) => return Err(Lost),
        Err(err) => {
            error!("could not do `{name}`: {:#}", anyhow::Error::from(err));
            let reason = "the gateway could not write; try again".to_owned();
            return Ok(Some(CallOutcome::Refused { reason }));
        }
    };
    match called {
        Called::Fenced => Err(Lost),
        Called::New { result, ask, said } => {
            turn.had_effect = true;
            turn.gateway.0.outboxes.hand(said);
            if let HostCall::ScheduleTask { .. } = &what {
                // Its time is a timer of the dispatcher's, which has to be set.
                turn.shared().dispatcher.wake();
            }
            after(turn, &what).await;
            turn.shared().store.note(vec![NewDecision {
                message: finish::last_message(&turn.work),
                job: Some(turn.job()),
                run: Some(turn.claim.run),
                kind: Decision::Called,
                detail: match &what {
                    HostCall::Approve { tool, .. } => format!("{name} {tool}"),
                    _ => name.to_owned(),
                },
            }]);
            let Some(ask) = ask else { return Ok(Some(value(&result))) };
            let question = match &what {
                HostCall::Ask { question, .. } => Some(question.clone()),
                HostCall::Approve { tool, shown } => Some(approvals::question(turn, tool, shown).0),
                _ => None,
            };
            if let Some(question) = question {
                let place = turn.place().clone();
                turn.shared().questions.asked(&place.jid);
                turn.shared().hub.publish(Event::Asked { ask, place, question, options: buttons });
            }
            turn.asks.push(OpenAsk::new(ask, number, &what, turn.shared().clock.now()));
            Ok(None)
        }
        Called::Before { answer: Some(answer), ask: Some(ask), .. } => {
            let open = OpenAsk::new(ask, number, &what, turn.shared().clock.now());
            Ok(Some(open.chosen(&answer)))
        }
        Called::Before { ask: Some(ask), .. } => {
            turn.asks.push(OpenAsk::new(ask, number, &what, turn.shared().clock.now()));
            Ok(None)
        }
        Called::Before { result, .. } => Ok(Some(value(&result))),
    }
}

/// Has others take notice of what was written.
async fn after(turn: &Turn<'_>, what: &HostCall) {
    match what {
        HostCall::AddTask { .. } | HostCall::ChangeTask { .. } | HostCall::UpdateTask { .. } => {
            turn.shared().tasks_changed.notify_one();
        }
        HostCall::RegisterGroup { .. } => {
            if let Err(err) = turn.gateway.changed().await {
                error!("could not read the groups anew: {:#}", anyhow::Error::from(err));
            }
        }
        _ => (),
    }
}

/// Says no, and keeps it for those who look after the gateway.
pub(crate) async fn refuse(turn: &Turn<'_>, name: &str, reason: String) -> CallOutcome {
    let who = format!("agent of group {}", turn.group.name);
    let detail = format!("{name}: {reason}");
    if let Err(err) = turn.shared().store.audit(&who, "host call refused", &detail).await {
        error!("could not write the audit log: {:#}", anyhow::Error::from(err));
    }
    CallOutcome::Refused { reason }
}

fn value(result: &str) -> CallOutcome {
    CallOutcome::Ok { value: serde_json::from_str(result).unwrap_or(serde_json::Value::Null) }
}

/// What the call does, or why it is refused.
async fn effect(
    turn: &Turn<'_>,
    what: &HostCall,
    arguments_hash: &str,
    n: u32,
) -> Result<CallEffect, String> {
    let place = match what {
        HostCall::SendMessage { to: Some(to), .. } => reach::destination(turn, to)?.1,
        _ => turn.place().clone(),
    };
    let shared = turn.shared();
    let role = turn.work.jobs[0].role;
    let channel = shared
        .accounts
        .of(&place)
        .ok_or_else(|| format!("account `{}` is not set up any more", place.jid.account()))?;
    let profile = channel.profile();
    let send = |item: Outbound| {
        let about = finish::last_message(&turn.work);
        NewOutbox { place: place.clone(), item, about, job: Some(turn.job()), live: false }
    };
    // Like an answer: each part is a row with a receipt of its own; buttons stand under the last.
    let say = |text: &str, buttons: Vec<Button>| -> Vec<NewOutbox> {
        let mut parts = split(text, profile.text_limit);
        let last = parts.pop().unwrap_or_default();
        let plain = |text| Outbound::Text { text, reply_to: None, buttons: Vec::new() };
        let last = Outbound::Text { text: last, reply_to: None, buttons };
        parts.into_iter().map(plain).chain([last]).map(send).collect()
    };
    let put = |question: &str, options: &[Button], audience: Audience| {
        // The value that comes back names this question and no other.
        let nonce = crate::codes::random_id();
        let options: Vec<Button> = options
            .iter()
            .enumerate()
            .map(|(n, it)| Button { label: it.label.clone(), value: ask::value_of(&nonce, n) })
            .collect();
        let numbered = !profile.buttons;
        let parts = if numbered {
            let how = Notice::AnswerInWords.say(finish::lang(&turn.work), None);
            say(&ask::as_text(question, &options, &how), Vec::new())
        } else {
            say(question, options.clone())
        };
        let expires_at = shared.clock.now() + ASK_LIFE;
        CallEffect::Ask { parts, options, numbered, audience, expires_at }
    };
    match what {
        HostCall::SendMessage { text, .. } => {
            sayable(text)?;
            Ok(CallEffect::Send(say(text, Vec::new())))
        }
        HostCall::SendFile { path, caption } => {
            if profile.max_file_bytes == 0 {
                return Err("no file can be sent in this chat".to_owned());
            }
            let relative = path
                .strip_prefix(GROUP_INSIDE)
                .map(|it| it.trim_start_matches('/'))
                .or((!path.starts_with('/')).then_some(path.as_str()))
                .ok_or_else(|| format!("`{path}` is not under {GROUP_INSIDE}"))?;
            let root = shared.homes.group(&turn.group.folder);
            let key = format!("{}-{}-{n}", turn.job(), &arguments_hash[..16]);
            let taken = shared
                .homes
                .take_outgoing(root, relative.to_owned(), key, profile.max_file_bytes)
                .await;
            let path = taken.map_err(|err| format!("could not read `{path}`: {err}"))?;
            let name = ngb_core::text::file_name(relative);
            let item = Outbound::File { path, name, caption: caption.clone(), reply_to: None };
            Ok(CallEffect::Send(vec![send(item)]))
        }
        HostCall::React { emoji } => {
            let emoji = profile.reactions.find(emoji, turn.work.is_direct)?.to_owned();
            let platform_id = reactions::target(&turn.work)?;
            Ok(CallEffect::Send(vec![send(Outbound::React { platform_id, emoji })]))
        }
        HostCall::ScheduleTask { after_seconds, text } => {
            if !role.may(Right::Schedule) {
                return Err(format!("a {role} may not have things done later"));
            }
            if MAX_DELAY_SECONDS < *after_seconds {
                return Err(format!("{after_seconds} s is longer than a year"));
            }
            sayable(text)?;
            let run_at = shared.clock.now() + Duration::from_secs(*after_seconds);
            Ok(CallEffect::SayLater { place, text: text.clone(), run_at, role })
        }
        HostCall::AddTask { text, cron, every, at, say, to, isolated } => {
            let when = (cron.as_deref(), every.as_deref(), at.as_deref());
            let wish = NewWish { text, say: *say, to: to.as_deref(), isolated: *isolated };
            lookups::new_task(turn, wish, when).await
        }
        HostCall::UpdateTask { task, text, cron, every, at } => {
            let when = (cron.as_deref(), every.as_deref(), at.as_deref());
            lookups::update_task(turn, *task, text.as_deref(), when).await
        }
        HostCall::RegisterGroup { group: name, folder, chat, trigger } => {
            let wanted = reach::Wanted {
                name,
                folder: folder.as_deref(),
                chat: chat.as_deref(),
                trigger: trigger.as_deref(),
            };
            reach::register(turn, wanted).await
        }
        HostCall::ChangeTask { task, to } => lookups::change_task(turn, *task, *to).await,
        HostCall::ListTasks
        | HostCall::SearchMessages { .. }
        | HostCall::ListGroups
        | HostCall::Refresh
        | HostCall::Usage => Err("it changes nothing".to_owned()),
        HostCall::Ask { question, options, least } => {
            sayable(question)?;
            if !(1..=MAX_OPTIONS).contains(&options.len()) {
                return Err(format!("a question has 1 to {MAX_OPTIONS} answers"));
            }
            let least = least.unwrap_or(Role::Operator).min(Role::Operator);
            let audience = Audience { asked: askers(&turn.work), least };
            Ok(put(question, options, audience))
        }
        HostCall::Approve { tool, shown } => {
            let (question, options) = approvals::question(turn, tool, shown);
            Ok(put(&question, &options, approvals::audience(turn)))
        }
    }
}

/// Refuses a text that can't be said.
fn sayable(text: &str) -> Result<(), String> {
    if text.trim().is_empty() {
        return Err("the text is empty".to_owned());
    }
    if MAX_TEXT_BYTES < text.len() {
        let kib = MAX_TEXT_BYTES / 1024;
        return Err(format!("the text is longer than {kib} KiB; write it to a file and send that"));
    }
    Ok(())
}

/// Those whose messages are being answered.
pub(crate) fn askers(work: &Work) -> Vec<String> {
    let mut asked: Vec<String> = Vec::new();
    for job in &work.jobs {
        if let JobKind::Message(it) = &job.kind
            && !asked.contains(&it.sender_id)
        {
            asked.push(it.sender_id.clone());
        }
    }
    asked
}
