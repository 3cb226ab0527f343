//! What people ask of the gateway itself in a chat: `/status`, `/new`, `/停止`.
//!
//! A command is never given to an agent, and no busy queue delays it. Who may give it is the [`Right`] it needs.

use crate::{
    message::{Addressed, Content},
    notice::Lang,
    role::Right,
};

macro_rules! commands {
    ($($(#[$doc:meta])* $name:ident: $en:literal $zh:literal, $right:ident, $help:literal, $zh_help:literal;)+) => {
        /// One command.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Verb {
            $($(#[$doc])* $name,)+
        }

        impl Verb {
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// Its names after the slash, English and Chinese.
            pub fn names(self) -> [&'static str; 2] {
                match self { $(Self::$name => [$en, $zh]),+ }
            }

            /// What whoever gives it must have, in the group that it is about.
            pub fn right(self) -> Right {
                match self { $(Self::$name => Right::$right),+ }
            }

            /// What it does, for `/help`.
            pub fn help(self, lang: Lang) -> &'static str {
                match (self, lang) {
                    $((Self::$name, Lang::En) => $help, (Self::$name, Lang::Zh) => $zh_help),+
                }
            }
        }
    };
}

commands! {
    Help: "help" "帮助", Speak, "what you may ask of me here", "这里可以用的命令";
    WhoAmI: "whoami" "我是谁", Speak, "who you are to me", "我的身份";
    Stop: "stop" "停止", StopOwn, "stop what the agent does here", "停止当前任务";
    /// About the message that it answers, that it names, or else the one before it.
    Why: "why" "为什么", Speak, "what became of a message: answer one, or name it as in `/why 42`", "消息的处理情况：回复某条消息，或写 `/why 42`";
    Status: "status" "状态", Command, "how the agent of this chat is doing", "本聊天的智能体状态";
    Queue: "queue" "队列", Command, "what waits here", "等待中的消息";
    New: "new" "新会话", Stop, "begin a new conversation; what the agent remembers stays", "开始新会话；记忆保留";
    Tasks: "tasks" "任务", Command, "what is scheduled for this chat", "本聊天的定时任务";
    Memory: "memory" "记忆", Command, "what the agent remembers of this chat", "智能体记住的内容";
    Usage: "usage" "用量", Command, "runs, tokens and money of today, and what they may be", "今天的用量与上限";
    /// With a name behind it that model answers from the next message on, for those who may set up the group.
    Model: "model" "模型", Command, "who answers here; `/model PROVIDER/NAME` chooses a model, `/model default` takes that back", "由谁回答；`/模型 服务商/名称` 选择模型，`/模型 默认` 恢复";
    /// With a code behind it it makes one person of two addresses; with `undo` it takes that back.
    Pair: "pair" "配对", Speak, "say who you are on another platform: `/pair` here, `/pair CODE` there, `/pair undo`", "关联你在其他平台的账号：这里写 `/配对`，那边写 `/配对 代码`；`/配对 撤销`";
    /// `/forget me` says what goes, `/forget me yes` does it.
    Forget: "forget" "忘记", Speak, "have me forget all that you said: `/forget me`", "让我忘记你说过的一切：`/忘记 我`";
    Pause: "pause" "暂停", Operate, "have the agent rest: messages are kept and wait", "暂停智能体：消息保留并等待";
    Resume: "resume" "继续", Operate, "have it go on", "恢复智能体";
    Approve: "approve" "批准", ApproveChat, "let a chat in: `/approve CODE`", "批准聊天：`/approve 代码`";
    Deny: "deny" "拒绝", ApproveChat, "refuse a chat: `/deny CODE`", "拒绝聊天：`/deny 代码`";
}

impl Verb {
    /// Whether it is about the whole gateway, so that a role for one group is not enough.
    pub fn is_wide(self) -> bool {
        matches!(self, Self::Approve | Self::Deny)
    }

    fn of(name: &str) -> Option<Self> {
        let also = match name {
            "start" => Some(Self::Help),
            "停" => Some(Self::Stop),
            "reset" | "clear" => Some(Self::New),
            "budget" | "预算" => Some(Self::Usage),
            _ => None,
        };
        also.or_else(|| Self::ALL.iter().copied().find(|it| it.names().contains(&name)))
    }
}

/// A command as somebody wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    pub verb: Verb,
    /// What stands behind its name, such as a code.
    pub rest: String,
}

impl Command {
    /// Reads a command; none when the text is for an agent.
    ///
    /// A slash makes a command anywhere, also behind a mention, since some platforms keep lines that begin with a slash
    /// to themselves. A plain "stop" is one where it can only mean the agent: written to it alone, or while it is `busy`.
    pub fn parse(content: &Content, busy: bool) -> Option<Self> {
        let text = content.text.trim();
        let alone = |verb| Some(Self { verb, rest: String::new() });
        if matches!(text.to_lowercase().as_str(), "stop" | "停" | "停止") {
            let meant = busy || content.addressed == Addressed::Direct;
            return meant.then(|| alone(Verb::Stop)).flatten();
        }
        let text = match content.addressed {
            Addressed::Mention if text.starts_with(['@', '<']) => {
                text.split_once(char::is_whitespace).map_or("", |it| it.1.trim_start())
            }
            _ => text,
        };
        let line = text.strip_prefix('/')?;
        let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        // Where there are several bots, people write `/stop@name_of_bot`.
        let (name, bot) =
            name.split_once('@').map_or((name, None), |(name, bot)| (name, Some(bot)));
        if bot.is_some() && content.addressed == Addressed::No {
            return None;
        }
        let verb = Verb::of(&name.to_lowercase())?;
        Some(Self { verb, rest: rest.trim().to_owned() })
    }
}

/// The text of `docs/commands.md`.
pub fn document() -> String {
    let mut res = String::from(
        "# Commands in a chat\n\n\
         What you write to the gateway itself, in any chat that is let in. No busy agent delays it, and no agent is given \
         it.\nWhere a platform keeps lines that begin with a slash to itself, mention the bot first: `@bot /status`. A plain \
         `stop`, `停` or `停止`\nis enough while the agent works. [roles.md](roles.md) says who is what.\n\n\
         This page is generated from `crates/ngb-core/src/command.rs`; a test compares them.\n\n\
         | command | 中文 | what it tells or does | for |\n| --- | --- | --- | --- |\n",
    );
    for verb in Verb::ALL {
        let [en, zh] = verb.names();
        let (help, least) = (verb.help(Lang::En), verb.right().least());
        let of = if verb.is_wide() { " of the gateway" } else { "" };
        res += &format!("| `/{en}` | `/{zh}` | {help} | {least}{of} |\n");
    }
    res
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn parse_table() {
        use Addressed::{Direct, Mention, No, Reply};
        use Verb::{Approve, Help, New, Status, Stop, Why};
        #[rustfmt::skip]
        let table = [
            ("/status",               No,      false, Some((Status, ""))),
            (" /STATUS ",             No,      false, Some((Status, ""))),
            ("/状态",                  No,      false, Some((Status, ""))),
            ("/status@my_bot",        Mention, false, Some((Status, ""))),
            ("/status@other_bot",     No,      false, None),
            ("@my_bot /status",       Mention, false, Some((Status, ""))),
            ("<@U1> /new",            Mention, false, Some((New, ""))),
            ("@ann /status",          No,      false, None),
            ("/approve  ABCD-EFGH ",  Direct,  false, Some((Approve, "ABCD-EFGH"))),
            ("/why #42",              Reply,   false, Some((Why, "#42"))),
            ("/start",                Direct,  false, Some((Help, ""))),
            ("/frobnicate",           Direct,  false, None),
            ("/",                     Direct,  false, None),
            ("/ status",              Direct,  false, None),
            ("look at /status",       Direct,  false, None),
            ("stop",                  Direct,  false, Some((Stop, ""))),
            ("Stop",                  No,      true,  Some((Stop, ""))),
            ("停",                     No,      true,  Some((Stop, ""))),
            ("stop",                  No,      false, None),
            ("stop it",               Direct,  true,  None),
            ("",                      Direct,  true,  None),
        ];
        for (text, addressed, busy, want) in table {
            let content = Content { text: text.into(), addressed, ..Content::default() };
            let got = Command::parse(&content, busy);
            let want = want.map(|(verb, rest)| Command { verb, rest: rest.into() });
            assert_eq!(got, want, "{text} {addressed:?}, busy: {busy}");
        }
    }

    #[test]
    fn each_name_is_of_one_command() {
        let mut names = HashSet::new();
        for name in Verb::ALL.iter().flat_map(|it| it.names()) {
            assert!(names.insert(name), "{name}");
        }
    }

    #[test]
    fn the_page_says_what_the_code_does() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/commands.md");
        let page = std::fs::read_to_string(path).unwrap_or_default();
        assert_eq!(
            page,
            document(),
            "`nanogridbot docs commands > docs/commands.md` writes it anew"
        );
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_a_command_or_not(text in ".*") {
            let content = Content { text, addressed: Addressed::Mention, ..Content::default() };
            Command::parse(&content, true);
        }
    }
}
