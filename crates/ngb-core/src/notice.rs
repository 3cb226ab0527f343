//! Every sentence that the gateway itself says in a chat, in the chat's language.
//!
//! One plain sentence, what to do, and an id that `why` takes; no stack, no path, no key.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    frame::Failure,
    id::{MessageId, TaskId},
};

/// The language of a sentence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lang {
    #[default]
    En,
    Zh,
}

impl Lang {
    /// The language that `text` is written in, as far as we speak it.
    pub fn of(text: &str) -> Self {
        let han = text.chars().filter(|it| ('\u{4E00}'..='\u{9FFF}').contains(it)).count();
        let kana = text.chars().any(|it| ('\u{3040}'..='\u{30FF}').contains(&it));
        if 0 < han && !kana { Self::Zh } else { Self::En }
    }
}

/// What the gateway has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The chat asks to be let in. Names nothing but the code.
    Pairing {
        code: String,
    },
    /// A try failed and others follow.
    StillTrying,
    /// The answer can't be given, and trying again by itself can't help.
    Failed(Failure),
    /// Given up after all retries.
    GaveUp,
    /// It failed after something had been done already.
    PartlyDone,
    /// The run took longer than it may.
    TookTooLong {
        minutes: u64,
    },
    /// The agent said more than any run may.
    Flooded,
    /// A plugin did not want the run.
    Cancelled {
        by: String,
    },
    /// The sandbox can't be started on this machine.
    NoSandbox,
    /// The agent that was chosen is not on this machine.
    NoProgram,
    /// A folder of the host that the group is given may not be mounted.
    MountRefused,
    /// Somebody stopped it.
    Stopped,
    /// The agent said nothing more at the end, where something was shown already.
    Done,
    /// There is nothing to stop.
    NothingToStop,
    /// What an agent that has been quiet for a while is doing.
    Working {
        seconds: u64,
        doing: String,
    },
    /// A lane holds as many waiting messages as it may.
    QueueFull {
        waiting: usize,
    },
    /// Messages are too old to be answered without asking: how many, how old the oldest is, how it begins.
    TooOld {
        messages: usize,
        minutes: u64,
        begins: String,
    },
    /// The group's money is capped, and its model has no price.
    NoPrice,
    /// The group has had its runs, tokens or money of the day.
    DailyCap {
        setting: &'static str,
    },
    /// A question was answered by somebody.
    Answered {
        by: String,
        answer: String,
    },
    /// A button, or a command, is for others.
    NotYours,
    /// How a question is answered where there are no buttons.
    AnswerInWords,
    /// An agent wants to use a tool that a person has to allow.
    MayI {
        tool: String,
        shown: String,
    },
    /// The answers to that.
    Allow,
    Deny,
    /// The chat is let in.
    Welcome,
    /// Somebody who typed this person's code is one with them from now on.
    Linked {
        other: String,
    },
    /// That was taken back.
    Unlinked {
        other: String,
    },
    /// A person is forgotten, but in those copies of the database.
    Forgotten {
        messages: u64,
        files: u64,
        backups: Vec<String>,
    },
    /// A task failed so often in a row that it fires no more.
    TaskPaused {
        task: TaskId,
    },
    /// The disk is full; for the operator.
    DiskFull,
    /// The disk has room again; for the operator.
    DiskRoomy,
    /// The container engine does not answer; for the chat whose message waits for it.
    EngineAway,
    /// The same for the operator.
    EngineGone,
    /// The container engine answers again; for the operator.
    EngineBack,
}

/// A notice about one message, ready to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said<'a> {
    pub notice: &'a Notice,
    pub lang: Lang,
    /// The message that it is about; `nanogridbot why` takes its id.
    pub about: Option<MessageId>,
}

impl Notice {
    pub fn say(&self, lang: Lang, about: Option<MessageId>) -> String {
        Said { notice: self, lang, about }.to_string()
    }

    fn en(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pairing { code } => write!(
                f,
                "I don't know this chat yet. Ask whoever runs me to approve the code {code}."
            ),
            Self::StillTrying => f.write_str("I could not answer yet and am still trying; nothing is lost."),
            Self::Failed(Failure::KeyRefused) => f.write_str(
                "I could not answer: the model provider refused the key. Whoever runs me can set a new one.",
            ),
            Self::Failed(Failure::ModelUnknown) => f.write_str(
                "I could not answer: the provider has no such model. Whoever runs me can choose another.",
            ),
            Self::Failed(Failure::PromptTooLarge) => {
                f.write_str("I could not answer: this is too long for the model. Send less of it at a time.")
            }
            Self::Failed(Failure::OverBudget) => {
                f.write_str("I could not answer: today's budget is used up. Try again tomorrow.")
            }
            Self::Failed(Failure::Passing | Failure::Permanent) => {
                f.write_str("I could not answer this. Try again, or ask whoever runs me.")
            }
            Self::GaveUp => f.write_str(
                "I tried several times and could not answer. Send it again, or ask whoever runs me.",
            ),
            Self::PartlyDone => f.write_str(
                "I did a part of this and then could not go on. Look at what is done before you send it again.",
            ),
            Self::TookTooLong { minutes } => {
                write!(f, "I stopped after {minutes} minutes without an answer. Ask for less at a time.")
            }
            Self::Cancelled { by } => {
                write!(f, "The plugin `{by}` did not let this be done. Ask whoever runs me.")
            }
            Self::Flooded => f.write_str(
                "I stopped: the agent said far more than it may. Ask for less at a time, or ask whoever runs me.",
            ),
            Self::NoSandbox => f.write_str(
                "I can't work safely on this machine at the moment. Whoever runs me can run `nanogridbot doctor`.",
            ),
            Self::NoProgram => f.write_str(
                "I can't begin: the agent that was chosen is not installed. Whoever runs me can run `nanogridbot doctor`.",
            ),
            Self::MountRefused => f.write_str(
                "I could not begin: a folder that this group is given may not be shown to me. Whoever runs me can ask why.",
            ),
            Self::Stopped => f.write_str("Stopped."),
            Self::Done => f.write_str("Done."),
            Self::NothingToStop => f.write_str("There is nothing to stop."),
            Self::Working { seconds, doing } => write!(f, "Still working ({seconds} s): {doing}"),
            Self::QueueFull { waiting } => write!(
                f,
                "{waiting} messages wait here already, so I did not take this one. Send it again later."
            ),
            Self::TooOld { messages: 1, minutes, begins } => {
                write!(f, "This waited for {minutes} minutes: “{begins}”. Is it still to be answered?")
            }
            Self::TooOld { messages, minutes, begins } => write!(
                f,
                "{messages} messages waited for up to {minutes} minutes, from “{begins}” on. Are they still to be answered?"
            ),
            Self::DailyCap { setting } => write!(
                f,
                "This group has used what it may today ({setting}). Try again tomorrow, or ask whoever runs me."
            ),
            Self::NoPrice => f.write_str(
                "What this group may cost is limited (cost_per_day), and its model has no price. Whoever runs me: add it to `[prices]`.",
            ),
            Self::Answered { by, answer } => write!(f, "{by}: {answer}"),
            Self::NotYours => f.write_str("This is not yours to decide."),
            Self::MayI { tool, shown } => {
                write!(f, "May I use `{tool}`?\n\n```text\n{shown}\n```")
            }
            Self::Allow => f.write_str("Allow"),
            Self::Deny => f.write_str("Deny"),
            Self::AnswerInWords => f.write_str("Answer with the number or the words."),
            Self::Welcome => f.write_str("This chat is approved. Write to me!"),
            Self::Linked { other } => write!(
                f,
                "You and {other} are one person to me now: your code was typed there. If that was not you, write `/pair undo`."
            ),
            Self::Unlinked { other } => {
                write!(f, "You and {other} are two people to me again; it was taken back there.")
            }
            Self::Forgotten { messages, files, backups } => {
                write!(f, "Forgotten: {messages} messages and {files} files.")?;
                match backups[..] {
                    [] => f.write_str(" There is no copy that still holds them."),
                    _ => write!(
                        f,
                        " Copies of the database from before still hold them: {}. Ask whoever runs me to delete those.",
                        backups.join(", ")
                    ),
                }
            }
            Self::TaskPaused { task } => write!(
                f,
                "Task {task} failed several times in a row and is paused. `nanogridbot task show {task}` says why, \
                 `nanogridbot task resume {task}` has it go on."
            ),
            Self::DiskFull => f.write_str(
                "The disk is full. Messages are still stored, and answered once there is room: delete what is not needed \
                 on the disk that holds my home folder.",
            ),
            Self::DiskRoomy => f.write_str("The disk has room again; I go on."),
            Self::EngineAway => f.write_str(
                "I can't begin at the moment, since what keeps my agents apart from this machine does not answer. Your \
                 message waits, and I answer it by myself as soon as I can.",
            ),
            Self::EngineGone => f.write_str(
                "The container engine does not answer, so no agent can be started. Messages are stored and wait for it; \
                 `nanogridbot doctor` says what helps.",
            ),
            Self::EngineBack => f.write_str("The container engine answers again; I go on."),
        }
    }

    fn zh(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pairing { code } => write!(f, "我还不认识这个聊天。请让管理员批准代码 {code}。"),
            Self::StillTrying => f.write_str("暂时无法回答，正在重试；消息没有丢失。"),
            Self::Failed(Failure::KeyRefused) => {
                f.write_str("无法回答：模型服务拒绝了密钥。请让管理员更换密钥。")
            }
            Self::Failed(Failure::ModelUnknown) => {
                f.write_str("无法回答：服务商没有这个模型。请让管理员选择其他模型。")
            }
            Self::Failed(Failure::PromptTooLarge) => {
                f.write_str("无法回答：内容超出模型的长度。请分几次发送。")
            }
            Self::Failed(Failure::OverBudget) => {
                f.write_str("无法回答：今天的额度已用完。请明天再试。")
            }
            Self::Failed(Failure::Passing | Failure::Permanent) => {
                f.write_str("无法回答这条消息。请重试，或联系管理员。")
            }
            Self::GaveUp => f.write_str("多次尝试后仍无法回答。请重新发送，或联系管理员。"),
            Self::PartlyDone => {
                f.write_str("任务完成了一部分后无法继续。重新发送之前，请先查看已完成的内容。")
            }
            Self::TookTooLong { minutes } => {
                write!(f, "{minutes} 分钟内没有结果，已停止。请把任务拆小。")
            }
            Self::Cancelled { by } => write!(f, "插件 `{by}` 不允许执行此任务，请联系管理员。"),
            Self::Flooded => f.write_str("已停止：智能体的输出远超限额。请把任务拆小，或联系管理员。"),
            Self::NoSandbox => {
                f.write_str("目前无法在这台机器上安全运行。管理员可运行 `nanogridbot doctor`。")
            }
            Self::NoProgram => {
                f.write_str("无法开始：所选的智能体程序没有安装。管理员可运行 `nanogridbot doctor`。")
            }
            Self::MountRefused => {
                f.write_str("无法开始：分配给这个群组的一个文件夹不允许挂载。管理员可查询原因。")
            }
            Self::Stopped => f.write_str("已停止。"),
            Self::Done => f.write_str("完成。"),
            Self::NothingToStop => f.write_str("没有可以停止的任务。"),
            Self::Working { seconds, doing } => write!(f, "仍在处理（{seconds} 秒）：{doing}"),
            Self::QueueFull { waiting } => {
                write!(f, "这里已有 {waiting} 条消息在等待，这条没有收下。请稍后再发。")
            }
            Self::TooOld { messages, minutes, begins } => {
                write!(f, "{messages} 条消息已等待 {minutes} 分钟（“{begins}”）。还要回答吗？")
            }
            Self::DailyCap { setting } => {
                write!(f, "这个群组今天的用量已到上限（{setting}）。请明天再试，或联系管理员。")
            }
            Self::NoPrice => f.write_str("这个群组的费用有上限（cost_per_day），但其模型没有价格。请管理员在 `[prices]` 中补上。"),
            Self::Answered { by, answer } => write!(f, "{by}：{answer}"),
            Self::NotYours => f.write_str("这不由你决定。"),
            Self::MayI { tool, shown } => {
                write!(f, "我可以使用 `{tool}` 吗？\n\n```text\n{shown}\n```")
            }
            Self::Allow => f.write_str("允许"),
            Self::Deny => f.write_str("拒绝"),
            Self::AnswerInWords => f.write_str("请回复编号或选项文字。"),
            Self::Welcome => f.write_str("这个聊天已获批准，可以开始了！"),
            Self::Linked { other } => {
                write!(f, "你和 {other} 现在是同一个人：那边输入了你的代码。如果不是你本人，请发送 `/配对 撤销`。")
            }
            Self::Unlinked { other } => write!(f, "你和 {other} 不再是同一个人：那边取消了关联。"),
            Self::Forgotten { messages, files, backups } => {
                write!(f, "已忘记：{messages} 条消息，{files} 个文件。")?;
                match backups[..] {
                    [] => f.write_str("没有仍含有它们的副本。"),
                    _ => write!(f, "以下数据库副本仍含有它们，请让管理员删除：{}", backups.join("、")),
                }
            }
            Self::TaskPaused { task } => write!(
                f,
                "任务 {task} 连续失败多次，已暂停。用 `nanogridbot task show {task}` 查看原因，用 `nanogridbot task resume {task}` 恢复。"
            ),
            Self::DiskFull => {
                f.write_str("磁盘已满。消息仍会保存，有空间后再回答：请在存放我的主目录的磁盘上删除不需要的文件。")
            }
            Self::DiskRoomy => f.write_str("磁盘又有空间了，继续工作。"),
            Self::EngineAway => {
                f.write_str("现在还无法开始：隔离智能体的容器引擎没有响应。你的消息会等待，恢复后会自动回答。")
            }
            Self::EngineGone => f.write_str(
                "容器引擎没有响应，无法启动智能体。消息会保存并等待；运行 `nanogridbot doctor` 查看解决办法。",
            ),
            Self::EngineBack => f.write_str("容器引擎已恢复，继续工作。"),
        }
    }

    /// Whether the sentence tells of a failure, so that it carries the id that `why` takes.
    fn is_failure(&self) -> bool {
        matches!(
            self,
            Self::StillTrying
                | Self::Failed(_)
                | Self::GaveUp
                | Self::PartlyDone
                | Self::TookTooLong { .. }
                | Self::Flooded
                | Self::Cancelled { .. }
                | Self::NoSandbox
                | Self::NoProgram
                | Self::MountRefused
                | Self::QueueFull { .. }
                | Self::DailyCap { .. }
                | Self::NoPrice
        )
    }
}

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.lang {
            Lang::En => self.notice.en(f)?,
            Lang::Zh => self.notice.zh(f)?,
        }
        match self.about {
            Some(id) if self.notice.is_failure() => write!(f, " (#{id})"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every notice there is; the compiler complains in `en` and `zh` when one is added, the snapshot when one changes.
    fn all() -> Vec<Notice> {
        vec![
            Notice::Pairing { code: "ABCD-EFGH".into() },
            Notice::StillTrying,
            Notice::Failed(Failure::KeyRefused),
            Notice::Failed(Failure::ModelUnknown),
            Notice::Failed(Failure::PromptTooLarge),
            Notice::Failed(Failure::OverBudget),
            Notice::Failed(Failure::Passing),
            Notice::Failed(Failure::Permanent),
            Notice::GaveUp,
            Notice::PartlyDone,
            Notice::TookTooLong { minutes: 30 },
            Notice::Flooded,
            Notice::Cancelled { by: "word_filter".into() },
            Notice::NoSandbox,
            Notice::NoProgram,
            Notice::MountRefused,
            Notice::Stopped,
            Notice::Done,
            Notice::NothingToStop,
            Notice::Working { seconds: 20, doing: "bash: make".into() },
            Notice::QueueFull { waiting: 500 },
            Notice::TooOld { messages: 1, minutes: 16, begins: "is the shop open?".into() },
            Notice::TooOld { messages: 3, minutes: 16, begins: "is the shop open?".into() },
            Notice::DailyCap { setting: "runs_per_day" },
            Notice::NoPrice,
            Notice::Answered { by: "Ann".into(), answer: "yes".into() },
            Notice::NotYours,
            Notice::AnswerInWords,
            Notice::MayI { tool: "bash".into(), shown: "ls".into() },
            Notice::Allow,
            Notice::Deny,
            Notice::Welcome,
            Notice::Linked { other: "Ann (slack@main)".into() },
            Notice::Unlinked { other: "Ann (slack@main)".into() },
            Notice::Forgotten { messages: 12, files: 3, backups: Vec::new() },
            Notice::Forgotten { messages: 12, files: 3, backups: vec!["db-v9.sqlite".into()] },
            Notice::TaskPaused { task: TaskId(5) },
            Notice::DiskFull,
            Notice::DiskRoomy,
            Notice::EngineAway,
            Notice::EngineGone,
            Notice::EngineBack,
        ]
    }

    #[test]
    fn the_catalogue() {
        let mut page = String::new();
        for notice in all() {
            for lang in [Lang::En, Lang::Zh] {
                page += &notice.say(lang, Some(MessageId(42)));
                page.push('\n');
            }
        }
        insta::assert_snapshot!(page);
    }

    #[test]
    fn language_table() {
        #[rustfmt::skip]
        let table = [
            ("hello",            Lang::En),
            ("",                 Lang::En),
            ("你好 world",        Lang::Zh),
            ("こんにちは世界",      Lang::En),
        ];
        for (text, want) in table {
            assert_eq!(Lang::of(text), want, "{text}");
        }
    }
}
