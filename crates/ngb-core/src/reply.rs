//! What the gateway answers to a command in a chat, in the chat's language.

use std::fmt::{self, Write as _};

use crate::{
    command::Verb,
    id::MessageId,
    notice::Lang,
    price::Money,
    role::{Right, Role},
    text::shorten,
};

/// Characters of a waiting message, or of a task's text, that a list shows.
const LINE_CHARS: usize = 60;

/// Characters of a memory that are shown; the whole of it is on the page.
const MEMORY_CHARS: usize = 3_000;

/// An answer to a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// What this person may ask, in the order of the list.
    Help(Vec<Verb>),
    WhoAmI {
        role: Role,
    },
    Status(Status),
    Queue {
        working: bool,
        /// The head of the queue, the oldest first.
        head: Vec<Waiting>,
        /// All that wait.
        waiting: u64,
    },
    NewSession,
    Tasks(Vec<Scheduled>),
    /// What is remembered; nothing is an empty text.
    Memory(String),
    Usage(Used),
    /// Who answers here.
    Model {
        agent: String,
    },
    /// Whoever asked may not choose it.
    MayNotChoose {
        role: Role,
    },
    NoModel {
        why: String,
    },
    Paused {
        group: String,
    },
    Resumed {
        group: String,
    },
    Approved {
        title: String,
    },
    Denied {
        title: String,
    },
    /// No chat waits with that code.
    NoCode {
        code: String,
    },
    /// A code that makes one person of whoever was shown it and whoever types it.
    PairCode {
        code: String,
        minutes: u64,
    },
    /// A code is shown to one person only.
    PairAlone,
    /// It was typed where it was shown.
    PairElsewhere {
        code: String,
    },
    /// Whoever typed it has roles: they show the code, and the other side types it.
    PairOtherWay,
    NoPairCode {
        code: String,
    },
    Paired {
        other: String,
    },
    Unpaired {
        other: String,
    },
    /// There is nothing to take back.
    NotPaired,
    /// What `/forget me` would do, and how it is done.
    ForgetHow,
    ForgetBegun,
    /// A command that wants a code came without one.
    WantsCode(Verb),
    MayNot {
        verb: Verb,
        role: Role,
    },
    /// `/why` about a message that is not of this chat, or not there at all.
    NoMessage,
    /// What became of a message, as one sentence.
    Why {
        message: MessageId,
        sentence: String,
    },
}

/// How the agent of a chat is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    pub group: String,
    /// Driver and model.
    pub agent: String,
    /// The engine, or why there is none.
    pub sandbox: String,
    pub working: bool,
    pub waiting: u64,
    pub paused: bool,
    pub used: Used,
}

/// What a group used today, and what it may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    pub runs: u64,
    pub runs_per_day: u64,
    pub tokens: u64,
    pub tokens_per_day: Option<u64>,
    /// Of what has a price.
    pub cost: Money,
    pub cost_per_day: Option<Money>,
}

/// A message that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// None for what the clock asked.
    pub message: Option<MessageId>,
    pub text: String,
}

/// A task, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scheduled {
    pub task: crate::id::TaskId,
    /// When it fires next, in its zone; none while it is paused.
    pub next: Option<String>,
    pub text: String,
}

impl Reply {
    pub fn say(&self, lang: Lang) -> String {
        let mut res = String::new();
        let written = match lang {
            Lang::En => self.en(&mut res),
            Lang::Zh => self.zh(&mut res),
        };
        written.expect("a String takes everything");
        res.truncate(res.trim_end().len());
        res
    }

    fn en(&self, f: &mut String) -> fmt::Result {
        match self {
            Self::Help(verbs) => help(f, verbs, Lang::En),
            Self::WhoAmI { role } => write!(f, "You are {role} here."),
            Self::Status(it) => {
                let state = match (it.paused, it.working) {
                    (true, _) => "paused; `/resume` has it go on",
                    (false, true) => "at work here",
                    (false, false) => "ready",
                };
                writeln!(f, "{}: {state}", it.group)?;
                writeln!(f, "waiting here: {}", it.waiting)?;
                writeln!(f, "agent: {}", it.agent)?;
                writeln!(f, "sandbox: {}", it.sandbox)?;
                write!(f, "today: {}", used(it.used, Lang::En))
            }
            Self::Queue { working, head, waiting } => {
                let working = if *working { "The agent works." } else { "The agent is free." };
                if *waiting == 0 {
                    return write!(f, "{working} Nothing waits here.");
                }
                writeln!(f, "{working} Waiting here: {waiting}")?;
                queue(f, head)
            }
            Self::NewSession => f.write_str(
                "A new conversation begins with your next message. What the agent remembers stays.",
            ),
            Self::Tasks(tasks) if tasks.is_empty() => {
                f.write_str("Nothing is scheduled for this chat.")
            }
            Self::Tasks(tasks) => scheduled(f, tasks, "paused"),
            Self::Memory(text) if text.trim().is_empty() => {
                f.write_str("The agent remembers nothing of this chat yet.")
            }
            Self::Memory(text) => f.write_str(&shorten(text.trim(), MEMORY_CHARS)),
            Self::Model { agent } => write!(f, "{agent} answers here."),
            Self::MayNotChoose { role } => {
                let least = Right::Configure.least();
                write!(f, "Choosing a model is for {least} and above; you are {role} here.")
            }
            Self::NoModel { why } => write!(f, "Nothing was changed: {why}."),
            Self::Usage(it) => write!(f, "Today: {}", used(*it, Lang::En)),
            Self::Paused { group } => {
                write!(f, "{group} rests. What you write is kept and waits; `/resume` has it go on.")
            }
            Self::Resumed { group } => write!(f, "{group} goes on."),
            Self::Approved { title } => write!(f, "{title} is let in."),
            Self::Denied { title } => write!(f, "{title} is refused and not asked again."),
            Self::NoCode { code } => {
                write!(f, "No chat waits with the code {code}. A code is good for a day and once.")
            }
            Self::PairCode { code, minutes } => write!(
                f,
                "Write this to me on your other platform within {minutes} minutes: `/pair {code}`. You are one person to me then."
            ),
            Self::PairAlone => f.write_str(
                "Write `/pair` to me alone: whoever sees the code could use it.",
            ),
            Self::PairElsewhere { code } => {
                write!(f, "That is your code for the other platform: write `/pair {code}` to me there.")
            }
            Self::PairOtherWay => f.write_str(
                "You have a role here, and whoever showed you that code would get it. If that is you: write `/pair` here, and \
                 the code that I show you there.",
            ),
            Self::NoPairCode { code } => {
                write!(f, "I know no such code for you: {code}. A code is good for ten minutes and once; `/pair` makes one.")
            }
            Self::Paired { other } => {
                write!(f, "You and {other} are one person to me now. `/pair undo` takes it back.")
            }
            Self::Unpaired { other } => write!(f, "You and {other} are two people to me again."),
            Self::NotPaired => f.write_str("You are on no other platform here, as far as I know."),
            Self::ForgetHow => f.write_str(
                "I can forget all that you said to me, here and wherever I know you: your messages and my answers, the files \
                 that came with them, the conversations of the agent, and what it noted meanwhile. Your role stays. That can't \
                 be taken back. To do it, write `/forget me yes`",
            ),
            Self::ForgetBegun => f.write_str("I forget it now, and tell you when it is done."),
            Self::WantsCode(verb) => {
                write!(f, "Write the code behind it: `/{} ABCD-EFGH`", verb.names()[0])
            }
            Self::MayNot { verb, role } => {
                let least = verb.right().least();
                write!(f, "`/{}` is for {least} and above; you are {role} here.", verb.names()[0])
            }
            Self::NoMessage => f.write_str(
                "I know no such message in this chat. Answer one with `/why`, or name it: `/why 42`",
            ),
            Self::Why { message, sentence } => write!(f, "#{message}: {sentence}"),
        }
    }

    fn zh(&self, f: &mut String) -> fmt::Result {
        match self {
            Self::Help(verbs) => help(f, verbs, Lang::Zh),
            Self::WhoAmI { role } => write!(f, "你在这里的身份：{role}"),
            Self::Status(it) => {
                let state = match (it.paused, it.working) {
                    (true, _) => "已暂停；用 `/继续` 恢复",
                    (false, true) => "正在处理",
                    (false, false) => "就绪",
                };
                writeln!(f, "{}：{state}", it.group)?;
                writeln!(f, "等待中：{}", it.waiting)?;
                writeln!(f, "智能体：{}", it.agent)?;
                writeln!(f, "沙箱：{}", it.sandbox)?;
                write!(f, "今天：{}", used(it.used, Lang::Zh))
            }
            Self::Queue { working, head, waiting } => {
                let working = if *working { "智能体正在处理。" } else { "智能体空闲。" };
                if *waiting == 0 {
                    return write!(f, "{working}没有等待的消息。");
                }
                writeln!(f, "{working}等待中：{waiting}")?;
                queue(f, head)
            }
            Self::NewSession => f.write_str("下一条消息开始新会话，记忆保留。"),
            Self::Tasks(tasks) if tasks.is_empty() => f.write_str("本聊天没有定时任务。"),
            Self::Tasks(tasks) => scheduled(f, tasks, "已暂停"),
            Self::Memory(text) if text.trim().is_empty() => {
                f.write_str("智能体还没有记住本聊天的内容。")
            }
            Self::Memory(text) => f.write_str(&shorten(text.trim(), MEMORY_CHARS)),
            Self::Model { agent } => write!(f, "由 {agent} 回答。"),
            Self::MayNotChoose { role } => {
                write!(f, "选择模型需要 {} 及以上；你在这里是 {role}。", Right::Configure.least())
            }
            Self::NoModel { why } => write!(f, "没有更改：{why}"),
            Self::Usage(it) => write!(f, "今天：{}", used(*it, Lang::Zh)),
            Self::Paused { group } => {
                write!(f, "{group} 已暂停。消息会保留并等待；用 `/继续` 恢复。")
            }
            Self::Resumed { group } => write!(f, "{group} 已恢复。"),
            Self::Approved { title } => write!(f, "{title} 已获批准。"),
            Self::Denied { title } => write!(f, "{title} 已被拒绝，不会再询问。"),
            Self::NoCode { code } => {
                write!(f, "没有使用代码 {code} 等待的聊天。代码一天内有效，只能用一次。")
            }
            Self::PairCode { code, minutes } => {
                write!(f, "请在 {minutes} 分钟内，在你的另一个平台给我发送：`/配对 {code}`。之后我会把两个账号当作同一个人。")
            }
            Self::PairAlone => f.write_str("请单独给我发送 `/配对`：看到代码的人都能使用它。"),
            Self::PairElsewhere { code } => {
                write!(f, "这个代码用于另一个平台：请在那边发送 `/配对 {code}`。")
            }
            Self::PairOtherWay => f.write_str(
                "你在这里有身份，给你代码的人会得到它。如果那是你自己：请在这里发送 `/配对`，再到那边输入代码。",
            ),
            Self::NoPairCode { code } => {
                write!(f, "没有给你的代码 {code}。代码十分钟内有效，只能用一次；`/配对` 生成新的代码。")
            }
            Self::Paired { other } => write!(f, "你和 {other} 现在是同一个人。`/配对 撤销` 可以取消。"),
            Self::Unpaired { other } => write!(f, "你和 {other} 不再是同一个人。"),
            Self::NotPaired => f.write_str("你还没有关联其他平台的账号。"),
            Self::ForgetHow => f.write_str(
                "我可以忘记你在所有已知账号上对我说过的一切：你的消息和我的回答、附带的文件、智能体的会话记录，以及它当时记下的内容。\
                 你的身份保留。此操作无法撤销。确认请发送 `/忘记 我 确定`",
            ),
            Self::ForgetBegun => f.write_str("正在忘记，完成后告诉你。"),
            Self::WantsCode(verb) => {
                write!(f, "请在后面写上代码：`/{} ABCD-EFGH`", verb.names()[1])
            }
            Self::MayNot { verb, role } => {
                let least = verb.right().least();
                write!(f, "`/{}` 需要 {least} 及以上；你在这里是 {role}。", verb.names()[1])
            }
            Self::NoMessage => {
                f.write_str("本聊天没有这条消息。用 `/为什么` 回复一条消息，或写编号：`/为什么 42`")
            }
            Self::Why { message, sentence } => write!(f, "#{message}：{sentence}"),
        }
    }
}

fn help(f: &mut String, verbs: &[Verb], lang: Lang) -> fmt::Result {
    for verb in verbs {
        let [en, zh] = verb.names();
        match lang {
            Lang::En => writeln!(f, "/{en} - {}", verb.help(lang))?,
            Lang::Zh => writeln!(f, "/{zh}（/{en}）- {}", verb.help(lang))?,
        }
    }
    Ok(())
}

fn used(it: Used, lang: Lang) -> String {
    let Used { runs, runs_per_day, tokens, .. } = it;
    let of = |cap: u64| match lang {
        Lang::En => format!(" of {cap}"),
        Lang::Zh => format!("/{cap}"),
    };
    let cap = it.tokens_per_day.map(of).unwrap_or_default();
    let mut text = match lang {
        Lang::En => format!("{runs} of {runs_per_day} runs, {tokens}{cap} tokens"),
        Lang::Zh => format!("运行 {runs}/{runs_per_day} 次，token {tokens}{cap}"),
    };
    if let Some(cap) = it.cost_per_day {
        let cost = it.cost;
        text += &match lang {
            Lang::En => format!(", costs {cost} of {cap}"),
            Lang::Zh => format!("，费用 {cost}/{cap}"),
        };
    }
    text
}

fn queue(f: &mut String, head: &[Waiting]) -> fmt::Result {
    for it in head {
        let text = line(&it.text);
        match it.message {
            Some(id) => writeln!(f, "#{id} {text}")?,
            None => writeln!(f, "{text}")?,
        }
    }
    Ok(())
}

fn scheduled(f: &mut String, tasks: &[Scheduled], paused: &str) -> fmt::Result {
    for it in tasks {
        let next = it.next.as_deref().unwrap_or(paused);
        writeln!(f, "{} ({next}): {}", it.task, line(&it.text))?;
    }
    Ok(())
}

/// A text as one short line.
fn line(text: &str) -> String {
    shorten(&text.split_whitespace().collect::<Vec<_>>().join(" "), LINE_CHARS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::TaskId;

    #[test]
    fn the_catalogue() {
        let used = Used { runs: 12, runs_per_day: 200, tokens: 3_400, ..Used::default() };
        let status = Status {
            group: "home".into(),
            agent: "builtin, anthropic/opus".into(),
            sandbox: "native".into(),
            working: true,
            waiting: 2,
            paused: false,
            used,
        };
        let head = vec![
            Waiting { message: Some(MessageId(7)), text: "and\nthe second".into() },
            Waiting { message: None, text: "water the plants".into() },
        ];
        let task = |task, next: Option<&str>| Scheduled {
            task: TaskId(task),
            next: next.map(Into::into),
            text: "water the plants ".repeat(8),
        };
        let all = [
            Reply::Help(Verb::ALL.to_vec()),
            Reply::WhoAmI { role: Role::Member },
            Reply::Status(status.clone()),
            Reply::Status(Status { paused: true, ..status }),
            Reply::Queue { working: true, head, waiting: 12 },
            Reply::Queue { working: false, head: Vec::new(), waiting: 0 },
            Reply::NewSession,
            Reply::Tasks(vec![task(1, Some("2026-11-23 09:00 Europe/Berlin")), task(2, None)]),
            Reply::Tasks(Vec::new()),
            Reply::Memory("Ann likes tea.\n".into()),
            Reply::Memory(String::new()),
            Reply::Model { agent: "builtin with anthropic/opus".into() },
            Reply::MayNotChoose { role: Role::Member },
            Reply::NoModel { why: "there is no `[providers.x]` in the settings".into() },
            Reply::Usage(Used { tokens_per_day: Some(10_000), ..used }),
            Reply::Usage(Used {
                cost: Money { micros: 250_000 },
                cost_per_day: Some(Money { micros: 5_000_000 }),
                ..used
            }),
            Reply::Paused { group: "home".into() },
            Reply::Resumed { group: "home".into() },
            Reply::Approved { title: "family".into() },
            Reply::Denied { title: "family".into() },
            Reply::NoCode { code: "ABCD-EFGH".into() },
            Reply::PairCode { code: "ABCD-EFGH".into(), minutes: 10 },
            Reply::PairAlone,
            Reply::PairElsewhere { code: "ABCD-EFGH".into() },
            Reply::PairOtherWay,
            Reply::NoPairCode { code: "ABCD-EFGH".into() },
            Reply::Paired { other: "Ann (slack@main)".into() },
            Reply::Unpaired { other: "Ann (slack@main)".into() },
            Reply::NotPaired,
            Reply::ForgetHow,
            Reply::ForgetBegun,
            Reply::WantsCode(Verb::Approve),
            Reply::MayNot { verb: Verb::Pause, role: Role::Guest },
            Reply::NoMessage,
            Reply::Why { message: MessageId(42), sentence: "It was answered.".into() },
        ];
        let mut page = String::new();
        for reply in all {
            for lang in [Lang::En, Lang::Zh] {
                page += &reply.say(lang);
                page += "\n\n";
            }
        }
        insta::assert_snapshot!(page);
    }
}
