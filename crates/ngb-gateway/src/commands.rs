//! Commands in a chat: what they look up, and what they change. No queue stands before them.

use ngb_core::{
    clock::Timestamp,
    command::{Command, Verb},
    driver::ModelName,
    group::{Binding, Group, Limits},
    id::{LaneId, MessageId},
    message::{Happening, Inbound},
    notice::{Lang, Notice},
    price::Money,
    reply::{Reply, Scheduled, Status, Used, Waiting},
    role::{Right, Role, wide_role},
};
use ngb_store::{Act, GroupChange, MessageFilter, Plan, StoreError, TaskRow, TaskState};
use tracing::error;

use crate::{
    handle::{Approve, Gateway, HandleError, SandboxState},
    plan::{done, told},
    sentence,
};

/// Waiting messages that `/queue` shows.
const QUEUE_HEAD: u32 = 10;

/// Tasks that `/tasks` shows.
const MAX_TASKS: usize = 20;

/// Who asked, where, and about which group.
pub(crate) struct Asked<'a> {
    pub(crate) inbound: &'a Inbound,
    pub(crate) binding: Binding,
    pub(crate) role: Role,
    pub(crate) lang: Lang,
}

/// What is to be written for a command that its sender may give.
pub(crate) async fn plan(gateway: &Gateway, asked: &Asked<'_>, command: &Command) -> Plan {
    let name = command.verb.names()[0];
    let why = format!("asks for `{name}`");
    let group = asked.binding.group;
    let reply = match command.verb {
        Verb::New => {
            let act = Act::NewSession { group, lane_key: asked.lane_key() };
            return done(act, why, Reply::NewSession.say(asked.lang));
        }
        Verb::Pause | Verb::Resume => {
            let paused = command.verb == Verb::Pause;
            let name = asked.group_name(gateway);
            let reply =
                if paused { Reply::Paused { group: name } } else { Reply::Resumed { group: name } };
            return done(Act::Pause { group, paused }, why, reply.say(asked.lang));
        }
        Verb::Forget => return forget(asked, &command.rest, why),
        _ => look_up(gateway, asked, command).await,
    };
    match reply {
        Ok(reply) => told(why, reply.say(asked.lang)),
        Err(err) => {
            error!(
                "could not answer `/{name}` in `{}`: {:#}",
                asked.inbound.place,
                anyhow::Error::from(err)
            );
            let notice = Notice::Failed(ngb_core::frame::Failure::Passing);
            told(format!("{why}; it could not be answered"), notice.say(asked.lang, None))
        }
    }
}

/// Says what would be forgotten, or has it done. What can't be taken back is asked for twice.
fn forget(asked: &Asked<'_>, rest: &str, why: String) -> Plan {
    let words: Vec<String> = rest.split_whitespace().map(str::to_lowercase).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    if !matches!(words[..], ["me" | "我", "yes" | "确定"]) {
        return told(why, Reply::ForgetHow.say(asked.lang));
    }
    let inbound = asked.inbound;
    let act = Act::Forget {
        account: inbound.place.jid.account().clone(),
        sender_id: inbound.sender.id.clone(),
        place: inbound.place.clone(),
        lang: asked.lang,
    };
    done(act, why, Reply::ForgetBegun.say(asked.lang))
}

async fn look_up(
    gateway: &Gateway,
    asked: &Asked<'_>,
    command: &Command,
) -> Result<Reply, HandleError> {
    Ok(match command.verb {
        Verb::Help => Reply::Help(asked.may(gateway)),
        Verb::WhoAmI => Reply::WhoAmI { role: asked.role },
        Verb::Status => Reply::Status(status(gateway, asked).await?),
        Verb::Queue => queue(gateway, asked).await?,
        Verb::Tasks => Reply::Tasks(tasks(gateway, asked).await?),
        Verb::Usage => Reply::Usage(used(gateway, asked).await?),
        Verb::Model => model(gateway, asked, &command.rest).await?,
        Verb::Memory => Reply::Memory(memory(gateway, asked).await?),
        Verb::Why => why(gateway, asked, &command.rest).await?,
        Verb::Approve | Verb::Deny => decide(gateway, asked, command).await?,
        Verb::Pair => crate::pair::pair(gateway, asked, &command.rest).await?,
        Verb::New | Verb::Stop | Verb::Pause | Verb::Resume | Verb::Forget => {
            unreachable!("these change something, and look nothing up")
        }
    })
}

impl Asked<'_> {
    fn lane_key(&self) -> String {
        self.binding.scope.key(&self.inbound.place, &self.inbound.sender.id)
    }

    async fn lane(&self, gateway: &Gateway) -> Result<Option<LaneId>, StoreError> {
        gateway.store().lane(self.binding.group, &self.lane_key()).await
    }

    fn group(&self, gateway: &Gateway) -> Option<Group> {
        gateway.directory().snapshot().group(self.binding.group).cloned()
    }

    fn group_name(&self, gateway: &Gateway) -> String {
        self.group(gateway).map(|it| it.name.to_string()).unwrap_or_default()
    }

    /// The commands that its sender may give here.
    fn may(&self, gateway: &Gateway) -> Vec<Verb> {
        let account = self.inbound.place.jid.account();
        let roles = gateway.directory().snapshot().roles(account, &self.inbound.sender.id);
        let wide = wide_role(&roles).unwrap_or(Role::Guest);
        let may = |it: &Verb| if it.is_wide() { wide } else { self.role }.may(it.right());
        Verb::ALL.iter().copied().filter(may).collect()
    }
}

async fn status(gateway: &Gateway, asked: &Asked<'_>) -> Result<Status, HandleError> {
    let lane = asked.lane(gateway).await?;
    let waiting = match lane {
        Some(lane) => gateway.store().waiting(lane).await?,
        None => 0,
    };
    let sandbox = match &*gateway.about().sandbox.borrow() {
        SandboxState::Proving => "being proved".to_owned(),
        SandboxState::Ready(probe) => probe.engine.to_owned(),
        SandboxState::Away { .. } => "its engine does not answer; work waits for it".to_owned(),
        SandboxState::Refused { .. } => "none works here; `nanogridbot doctor` says why".to_owned(),
    };
    Ok(Status {
        group: asked.group_name(gateway),
        agent: agent(gateway, asked),
        sandbox,
        working: lane.is_some_and(|it| gateway.at_work(it).is_some()),
        waiting,
        paused: asked.group(gateway).is_some_and(|it| it.paused),
        used: used(gateway, asked).await?,
    })
}

fn agent(gateway: &Gateway, asked: &Asked<'_>) -> String {
    let group = asked.group(gateway);
    group.map_or_else(|| gateway.answers().to_string(), |it| gateway.answers_in(&it))
}

/// Says who answers here, or has another model answer.
async fn model(gateway: &Gateway, asked: &Asked<'_>, rest: &str) -> Result<Reply, HandleError> {
    if rest.is_empty() {
        return Ok(Reply::Model { agent: agent(gateway, asked) });
    }
    if !asked.role.may(Right::Configure) {
        return Ok(Reply::MayNotChoose { role: asked.role });
    }
    let Some(group) = asked.group(gateway) else {
        return Err(HandleError::NoGroup(asked.binding.group.to_string()));
    };
    let model = match rest {
        "default" | "默认" => None,
        name => match name.parse::<ModelName>() {
            Ok(name) => Some(name),
            Err(err) => return Ok(Reply::NoModel { why: err.to_string() }),
        },
    };
    let limits = Limits { model, ..group.limits };
    let change = GroupChange { limits: Some(limits), ..GroupChange::default() };
    match gateway.change_group(group.id, change).await {
        Ok(()) => Ok(Reply::Model { agent: agent(gateway, asked) }),
        Err(HandleError::Limit { message, .. }) => Ok(Reply::NoModel { why: message }),
        Err(err) => Err(err),
    }
}

async fn used(gateway: &Gateway, asked: &Asked<'_>) -> Result<Used, HandleError> {
    let today = gateway.clock().now().day_start();
    let used = gateway.store().used_today(asked.binding.group, today).await?;
    let limits = asked.group(gateway).map(|it| it.limits).unwrap_or_default();
    Ok(Used {
        runs: used.runs,
        runs_per_day: limits.runs_per_day,
        tokens: used.tokens,
        tokens_per_day: limits.tokens_per_day,
        cost: Money { micros: used.cost_micros },
        cost_per_day: limits.cost_per_day,
    })
}

async fn queue(gateway: &Gateway, asked: &Asked<'_>) -> Result<Reply, HandleError> {
    let Some(lane) = asked.lane(gateway).await? else {
        return Ok(Reply::Queue { working: false, head: Vec::new(), waiting: 0 });
    };
    let head = gateway.store().queue_head(lane, QUEUE_HEAD).await?.into_iter();
    let head = head.map(|(message, text)| Waiting { message, text }).collect();
    Ok(Reply::Queue {
        working: gateway.at_work(lane).is_some(),
        head,
        waiting: gateway.store().waiting(lane).await?,
    })
}

/// What is scheduled for this chat; in the main group's chats for all of the group, since it is the operator's own.
async fn tasks(gateway: &Gateway, asked: &Asked<'_>) -> Result<Vec<Scheduled>, HandleError> {
    let is_main = asked.group(gateway).is_some_and(|it| it.is_main);
    let here = |it: &TaskRow| {
        matches!(it.state, TaskState::Active | TaskState::Paused)
            && (is_main || it.task.place.jid == asked.inbound.place.jid)
    };
    let next = |it: &TaskRow| it.next_at.map(|at| it.task.schedule.zone().show(at));
    let shown = |it: TaskRow| Scheduled { task: it.id, next: next(&it), text: it.task.text };
    let all = gateway.store().tasks(Some(asked.binding.group)).await?;
    Ok(all.into_iter().filter(here).take(MAX_TASKS).map(shown).collect())
}

async fn memory(gateway: &Gateway, asked: &Asked<'_>) -> Result<String, HandleError> {
    match asked.lane(gateway).await? {
        Some(lane) => gateway.memory(lane).await,
        None => Ok(String::new()),
    }
}

/// The message that the command answers, that it names, or else the one before it; never one of another chat.
async fn why(gateway: &Gateway, asked: &Asked<'_>, named: &str) -> Result<Reply, HandleError> {
    let place = &asked.inbound.place;
    let Happening::Message(content) = &asked.inbound.what else { return Ok(Reply::NoMessage) };
    let store = gateway.store();
    let found = match (named.trim_start_matches('#').parse::<i64>(), &content.reply_to) {
        (Ok(id), _) => store.message(MessageId(id)).await?,
        (Err(_), _) if !named.is_empty() => None,
        (Err(_), Some(answered)) => store.find_message(&place.jid, answered).await?,
        (Err(_), None) => {
            let thread = Some(place.thread.as_deref().unwrap_or_default().to_owned());
            let filter = MessageFilter {
                jid: Some(place.jid.clone()),
                thread,
                limit: 1,
                ..Default::default()
            };
            store.messages(filter).await?.pop()
        }
    };
    let Some(mut found) = found.filter(|it| it.place.jid == place.jid) else {
        return Ok(Reply::NoMessage);
    };
    // Of an answer people want to know what it answers.
    if let Some(asked) = found.in_reply_to
        && let Some(message) = store.message(asked).await?
    {
        found = message;
    }
    let why = store.why(found.id).await?;
    Ok(Reply::Why { message: found.id, sentence: sentence::of(&why) })
}

/// Lets a chat in or refuses it. That is written before the command is kept: said twice it is the same.
async fn decide(
    gateway: &Gateway,
    asked: &Asked<'_>,
    command: &Command,
) -> Result<Reply, HandleError> {
    let code = command.rest.to_uppercase();
    if code.is_empty() {
        return Ok(Reply::WantsCode(command.verb));
    }
    let by = asked.inbound.by();
    let found = waiting_title(gateway, &code, gateway.clock().now()).await?;
    let Some(title) = found else { return Ok(Reply::NoCode { code }) };
    let decided = match command.verb {
        Verb::Approve => {
            gateway.approve(&code, Approve { by: by.clone(), ..Approve::default() }).await.map(drop)
        }
        _ => gateway.deny(&code).await,
    };
    match decided {
        Ok(()) => (),
        Err(HandleError::Store(StoreError::NotFound { .. })) => return Ok(Reply::NoCode { code }),
        Err(err) => return Err(err),
    }
    let what = if command.verb == Verb::Approve { "chat approved" } else { "chat denied" };
    gateway.store().audit(&by, what, &code).await?;
    Ok(if command.verb == Verb::Approve {
        Reply::Approved { title }
    } else {
        Reply::Denied { title }
    })
}

/// The chat that waits with a code.
async fn waiting_title(
    gateway: &Gateway,
    code: &str,
    now: Timestamp,
) -> Result<Option<String>, StoreError> {
    let open = gateway.store().pairings(now).await?;
    Ok(open.into_iter().find(|it| it.code == code).map(|it| it.chat_title))
}
