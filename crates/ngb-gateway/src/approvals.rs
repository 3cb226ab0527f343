//! Tools that a person allows each time: the question, who may answer it, and what is done then.
//!
//! An agent asks by itself about what it does inside the sandbox. What it wants of the gateway is asked about here, so that no
//! program of the sandbox gets past it.

use ngb_core::{
    ask::Audience,
    decision::Decision,
    frame::{ALLOW, CallOutcome, DENY, HostCall},
    message::Button,
    notice::{Lang, Notice},
    role::Role,
    text::shorten,
};
use ngb_store::NewDecision;

use crate::{
    calls::{self, OpenAsk},
    finish,
    turn::{Lost, Turn},
};

/// Characters of what an agent wants to do that a question shows: enough to judge a command.
const MAX_SHOWN_CHARS: usize = 1_200;

/// Longest name of a tool that a question shows, in characters.
const MAX_TOOL_CHARS: usize = 80;

/// Does a call, after a person allowed it where the group wants that. None when its answer comes later.
pub(crate) async fn call(
    turn: &mut Turn<'_>,
    number: u64,
    what: HostCall,
) -> Result<Option<CallOutcome>, Lost> {
    let name = what.name();
    let toolbox = turn.group.limits.toolbox();
    let is_question = matches!(what, HostCall::Approve { .. } | HostCall::Ask { .. });
    if !is_question && !toolbox.has(name) {
        let reason = format!("this group's `tools` leave `{name}` out");
        return Ok(Some(calls::refuse(turn, name, reason).await));
    }
    if is_question || !toolbox.asks(name) {
        return calls::call(turn, number, what).await;
    }
    let shown = match serde_json::to_value(&what) {
        Ok(serde_json::Value::Object(mut all)) => {
            all.remove("name");
            serde_json::Value::Object(all).to_string()
        }
        _ => String::new(),
    };
    let question = HostCall::Approve { tool: name.to_owned(), shown };
    match calls::call(turn, number, question).await? {
        Some(answer) => {
            if is_allowed(&answer) {
                calls::call(turn, number, what).await
            } else {
                Ok(Some(denied(answer)))
            }
        }
        None => {
            if let Some(open) = turn.asks.iter_mut().find(|it| it.call == number) {
                open.then = Some(what);
            }
            Ok(None)
        }
    }
}

/// Goes on after an answer: what waited for a yes is done now. None when that has its answer later, too.
pub(crate) async fn go_on(
    turn: &mut Turn<'_>,
    open: OpenAsk,
    answer: CallOutcome,
) -> Result<Option<CallOutcome>, Lost> {
    if let Some(tool) = &open.approves {
        note(turn, tool, if is_allowed(&answer) { "allowed" } else { "denied" });
    }
    match open.then {
        Some(what) if is_allowed(&answer) => calls::call(turn, open.call, what).await,
        Some(_) => Ok(Some(denied(answer))),
        None => Ok(Some(answer)),
    }
}

/// Writes down that nobody answered, where a tool was asked about.
pub(crate) fn unanswered(turn: &Turn<'_>, open: &OpenAsk) {
    if let Some(tool) = &open.approves {
        note(turn, tool, "denied: nobody answered in time");
    }
}

fn note(turn: &Turn<'_>, tool: &str, how: &str) {
    turn.shared().store.note(vec![NewDecision {
        message: finish::last_message(&turn.work),
        job: Some(turn.job()),
        run: Some(turn.claim.run),
        kind: Decision::Called,
        detail: format!("{} {how}", shorten(tool, MAX_TOOL_CHARS)),
    }]);
}

/// What is asked, and which answers there are.
pub(crate) fn question(turn: &Turn<'_>, tool: &str, shown: &str) -> (String, [Button; 2]) {
    let lang = finish::lang(&turn.work);
    // A fence inside would end ours.
    let plain = |text: &str, max| shorten(&text.replace('`', "'"), max);
    let (tool, shown) = (plain(tool, MAX_TOOL_CHARS), plain(shown, MAX_SHOWN_CHARS));
    let question = Notice::MayI { tool, shown }.say(lang, None);
    (question, answers(lang))
}

fn answers(lang: Lang) -> [Button; 2] {
    let button = |notice: Notice, value: &str| Button {
        label: notice.say(lang, None),
        value: value.to_owned(),
    };
    [button(Notice::Allow, ALLOW), button(Notice::Deny, DENY)]
}

/// Who may allow a tool in the turn's group.
pub(crate) fn audience(turn: &Turn<'_>) -> Audience {
    match turn.group.limits.approve_role {
        Some(least) => Audience { asked: Vec::new(), least: least.min(Role::Owner) },
        None => Audience { asked: calls::askers(&turn.work), ..Audience::default() },
    }
}

fn is_allowed(answer: &CallOutcome) -> bool {
    matches!(answer, CallOutcome::Ok { value } if value == ALLOW)
}

fn denied(answer: CallOutcome) -> CallOutcome {
    let reason = match answer {
        CallOutcome::Ok { .. } => "a person in the chat said no".to_owned(),
        CallOutcome::Refused { reason } => format!("nobody allowed it: {reason}"),
    };
    CallOutcome::Refused { reason }
}
