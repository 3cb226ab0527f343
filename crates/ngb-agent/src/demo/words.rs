//! What the demonstration understands and says, in English and Chinese.

use ngb_core::notice::Lang;

/// One of the five things it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    File,
    Reminder,
    Approval,
    LongAnswer,
    Walls,
}

/// What stands in a text that means a wish, in small letters.
const PHRASES: &[(Wish, &[&str])] = &[
    (
        Wish::File,
        &[
            "write a file",
            "write and read a file",
            "写一个文件",
            "写文件",
            "写入文件",
            "写入并读取文件",
        ],
    ),
    (Wish::Reminder, &["remind me in a minute", "remind me", "一分钟后提醒我", "提醒我"]),
    (Wish::Approval, &["ask for an approval", "ask for approval", "请求批准", "请求审批"]),
    (Wish::LongAnswer, &["a long answer", "long answer", "长回答", "长答案"]),
    (Wish::Walls, &["show the walls", "展示围墙", "展示隔离", "看看围墙"]),
];

impl Wish {
    pub(crate) fn of(text: &str) -> Option<Self> {
        let text = text.to_lowercase();
        let meant = |(_, said): &&(Self, &[&str])| said.iter().any(|it| text.contains(it));
        PHRASES.iter().find(meant).map(|(wish, _)| *wish)
    }
}

/// The language of an answer: that of the question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Words {
    English,
    Chinese,
}

impl Words {
    pub(crate) fn for_text(text: &str) -> Self {
        match Lang::of(text) {
            Lang::En => Self::English,
            Lang::Zh => Self::Chinese,
        }
    }

    fn pick<'a>(self, english: &'a str, chinese: &'a str) -> &'a str {
        match self {
            Self::English => english,
            Self::Chinese => chinese,
        }
    }

    pub(crate) fn plainly(self) -> &'static str {
        self.pick(
            "This is the demonstration agent: there is no model behind it. Set one up and real answers come from there.",
            "这是演示代理：背后没有模型。设置模型之后，才会有真正的回答。",
        )
    }

    pub(crate) fn you_said(self, text: &str) -> String {
        self.pick("You said:\n", "你说：\n").to_owned() + text
    }

    pub(crate) fn five_things(self) -> &'static str {
        self.pick(
            "It understands five things:\n\
             - write a file\n\
             - remind me in a minute\n\
             - ask for an approval\n\
             - a long answer\n\
             - show the walls",
            "它能做五件事：\n\
             - 写一个文件\n\
             - 一分钟后提醒我\n\
             - 请求批准\n\
             - 长回答\n\
             - 展示围墙",
        )
    }

    pub(crate) fn file_content(self, now: &str) -> String {
        self.pick("Written by the demonstration agent at ", "演示代理写于 ").to_owned() + now + "\n"
    }

    pub(crate) fn reminder(self) -> &'static str {
        self.pick("Here is the reminder that you asked for.", "这是你要的提醒。")
    }

    pub(crate) fn will_remind(self) -> &'static str {
        self.pick("A reminder comes in a minute.", "一分钟后会有提醒。")
    }

    pub(crate) fn question(self) -> &'static str {
        self.pick("May the demonstration go on?", "演示可以继续吗？")
    }

    pub(crate) fn options(self) -> [&'static str; 2] {
        match self {
            Self::English => ["Yes", "No"],
            Self::Chinese => ["可以", "不可以"],
        }
    }

    pub(crate) fn answered(self, answer: &str) -> String {
        self.pick("The answer was: ", "得到的回答是：").to_owned() + answer
    }

    pub(crate) fn refused(self, reason: &str) -> String {
        self.pick("The gateway refused: ", "网关拒绝了：").to_owned() + reason
    }

    pub(crate) fn piece(self, number: u32, of: u32) -> String {
        match self {
            Self::English => format!("Line {number} of {of} of a long answer; `/stop` ends it.\n"),
            Self::Chinese => format!("长回答第 {number} 行，共 {of} 行；用 `/stop` 停止。\n"),
        }
    }

    pub(crate) fn walls(self) -> &'static str {
        self.pick(
            "What was tried from inside, and what the system said:",
            "从里面试过的事，以及系统的回答：",
        )
    }

    pub(crate) fn not_refused(self) -> &'static str {
        self.pick("NOT refused", "没有被拒绝")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes() {
        #[rustfmt::skip]
        let table = [
            ("Please WRITE A FILE for me",      Some(Wish::File)),
            ("remind me in a minute",           Some(Wish::Reminder)),
            ("Ask for an approval.",            Some(Wish::Approval)),
            ("a long answer",                   Some(Wish::LongAnswer)),
            ("Show the walls!",                 Some(Wish::Walls)),
            ("请写一个文件",                     Some(Wish::File)),
            ("一分钟后提醒我",                   Some(Wish::Reminder)),
            ("请求批准",                         Some(Wish::Approval)),
            ("来个长回答",                       Some(Wish::LongAnswer)),
            ("展示围墙",                         Some(Wish::Walls)),
            // As the page's buttons say it.
            ("Write and read a file",           Some(Wish::File)),
            ("A long answer to stop",           Some(Wish::LongAnswer)),
            ("写入并读取文件",                   Some(Wish::File)),
            ("可以停止的长回答",                 Some(Wish::LongAnswer)),
            ("展示隔离墙",                       Some(Wish::Walls)),
            ("hello marker-17",                 None),
            ("",                                None),
        ];
        for (text, want) in table {
            assert_eq!(Wish::of(text), want, "{text}");
        }
    }

    #[test]
    fn what_it_offers_is_what_it_understands() {
        for words in [Words::English, Words::Chinese] {
            let offered = words.five_things().lines().filter_map(|it| it.strip_prefix("- "));
            let wishes: Vec<_> = offered.map(Wish::of).collect();
            use Wish::{Approval, File, LongAnswer, Reminder, Walls};
            assert_eq!(wishes, [File, Reminder, Approval, LongAnswer, Walls].map(Some));
        }
    }
}
