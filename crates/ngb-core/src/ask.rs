//! Questions to people: who may answer, and which answer a press or a text is.

use serde::{Deserialize, Serialize};

use crate::{
    address::Place,
    id::{AskId, GroupId},
    message::{Button, Content},
    role::{Right, Role},
};

/// Who may answer a question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audience {
    /// The platform's ids of those who asked the agent.
    pub asked: Vec<String>,
    /// Who has at least this role may answer as well.
    pub least: Role,
}

impl Default for Audience {
    /// Whoever keeps things running.
    fn default() -> Self {
        Self { asked: Vec::new(), least: Role::Operator }
    }
}

impl Audience {
    /// Whether a sender with `role` in the question's group may answer. Who only reads never may.
    pub fn includes(&self, sender_id: &str, role: Role) -> bool {
        let asked = self.asked.iter().any(|it| it == sender_id) && role.may(Right::StopOwn);
        asked || (self.least <= role && role.may(Right::Speak))
    }
}

/// A question that is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenQuestion {
    pub ask: AskId,
    pub group: GroupId,
    pub place: Place,
    pub options: Vec<Button>,
    pub audience: Audience,
    /// Whether the options were shown with numbers, for want of buttons.
    pub numbered: bool,
    /// The platform's id of the message with the question; none while nobody knows.
    pub platform_id: Option<String>,
}

/// Who wants to answer.
#[derive(Clone, Copy, Debug)]
pub struct Answerer<'a> {
    pub sender_id: &'a str,
    /// Their roles: for the whole gateway (no group), and for single groups.
    pub roles: &'a [(Option<GroupId>, Role)],
}

impl Answerer<'_> {
    fn may(self, ask: &OpenQuestion) -> bool {
        let here = |(of, role): &(Option<GroupId>, Role)| {
            of.is_none_or(|it| it == ask.group).then_some(*role)
        };
        let role = self.roles.iter().filter_map(here).max().unwrap_or(Role::Guest);
        ask.audience.includes(self.sender_id, role)
    }
}

/// What a press of a button means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pressed {
    /// It answers this question.
    Answers(AskId),
    /// It is of this question, which is not for whoever pressed.
    NotYours(AskId),
    /// No open question has such a button.
    Nothing,
}

/// Whose button was pressed. Two questions may have the same buttons: the one under which it stands goes first, then the
/// newest. `open` has the oldest first.
pub fn pressed(open: &[OpenQuestion], under: &str, value: &str, who: Answerer<'_>) -> Pressed {
    let has = |it: &&OpenQuestion| it.options.iter().any(|it| it.value == value);
    let newest_first = || open.iter().rev().filter(has);
    let here = newest_first().find(|it| it.platform_id.as_deref() == Some(under));
    match here.or_else(|| newest_first().next()) {
        Some(it) if who.may(it) => Pressed::Answers(it.ask),
        Some(it) => Pressed::NotYours(it.ask),
        None => Pressed::Nothing,
    }
}

/// The question of `place` that a text answers, and the option it chooses. A text that answers another message than the
/// question is none.
pub fn answered<'a>(
    open: &'a [OpenQuestion],
    place: &Place,
    content: &Content,
    who: Answerer<'_>,
) -> Option<(AskId, &'a Button)> {
    let mut mine = open.iter().rev().filter(|it| {
        let replies = content.reply_to.is_none() || content.reply_to == it.platform_id;
        it.place == *place && replies && who.may(it)
    });
    mine.find_map(|it| Some((it.ask, chosen(&it.options, &content.text, it.numbered)?)))
}

/// The option that a text names: by its number where they have numbers, else by its words.
fn chosen<'a>(options: &'a [Button], text: &str, numbered: bool) -> Option<&'a Button> {
    let bare = |text: &str| {
        let around = |c: char| c.is_whitespace() || ".,:;!?()[]#\"'。，！？“”".contains(c);
        text.trim_matches(around).to_lowercase()
    };
    let text = bare(text);
    if text.is_empty() {
        return None;
    }
    if let (true, Ok(n)) = (numbered, text.parse::<usize>()) {
        return options.get(n.checked_sub(1)?);
    }
    let mut named = options.iter().filter(|it| bare(&it.label) == text);
    // Of two with the same words none is meant more than the other.
    named.next().filter(|_| named.next().is_none())
}

/// Which option a button's value is, counted from 0: see [`value_of`].
pub fn index_of(value: &str) -> Option<usize> {
    value.rsplit_once(':').and_then(|(_, n)| n.parse().ok())
}

/// The value of the button of the n-th option, which names one question and no other by its `nonce`.
pub fn value_of(nonce: &str, n: usize) -> String {
    format!("{nonce}:{n}")
}

/// The question with its options as a numbered list, for channels without buttons. `how` tells people what to write.
pub fn as_text(question: &str, options: &[Button], how: &str) -> String {
    let mut text = format!("{}\n", question.trim_end());
    for (n, option) in (1..).zip(options) {
        text += &format!("\n{n}. {}", option.label);
    }
    format!("{text}\n\n{how}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Jid;

    fn place(chat: &str) -> Place {
        Place::from(format!("telegram@main:{chat}").parse::<Jid>().unwrap())
    }

    fn open(ask: i64, platform_id: &str, labels: &[&str]) -> OpenQuestion {
        let option =
            |it: &&str| Button { label: (*it).into(), value: format!("v:{}", it.to_lowercase()) };
        OpenQuestion {
            ask: AskId(ask),
            group: GroupId(1),
            place: place("1"),
            options: labels.iter().map(option).collect(),
            audience: Audience { asked: vec!["ann".into()], ..Audience::default() },
            numbered: true,
            platform_id: Some(platform_id.into()),
        }
    }

    #[test]
    fn audience_table() {
        let asked = |least| Audience { asked: vec!["ann".into()], least };
        #[rustfmt::skip]
        let table = [
            (asked(Role::Operator), "ann", Role::Guest,    true),
            (asked(Role::Operator), "ann", Role::Viewer,   false),
            (asked(Role::Operator), "bob", Role::Guest,    false),
            (asked(Role::Operator), "bob", Role::Member,   false),
            (asked(Role::Operator), "bob", Role::Operator, true),
            (asked(Role::Operator), "bob", Role::Owner,    true),
            (asked(Role::Member),   "bob", Role::Member,   true),
            (asked(Role::Guest),    "bob", Role::Guest,    true),
            (asked(Role::Guest),    "bob", Role::Viewer,   false),
            (asked(Role::Viewer),   "bob", Role::Viewer,   false),
            (Audience::default(),   "ann", Role::Member,   false),
        ];
        for (audience, sender, role, want) in table {
            assert_eq!(audience.includes(sender, role), want, "{audience:?} {sender} {role}");
        }
    }

    #[test]
    fn pressed_table() {
        let asks = [open(1, "500", &["Yes", "No"]), open(2, "501", &["Yes", "Never"])];
        let roles = |sender: &str| match sender {
            "op" => vec![(None, Role::Guest), (Some(GroupId(1)), Role::Operator)],
            "other" => vec![(Some(GroupId(2)), Role::Owner)],
            _ => Vec::new(),
        };
        #[rustfmt::skip]
        let table = [
            ("500", "v:yes",   "ann", Pressed::Answers(AskId(1))),
            ("501", "v:yes",   "ann", Pressed::Answers(AskId(2))),
            ("",    "v:yes",   "ann", Pressed::Answers(AskId(2))),
            ("",    "v:no",    "op",  Pressed::Answers(AskId(1))),
            ("500", "v:yes",   "bob", Pressed::NotYours(AskId(1))),
            ("500", "v:yes",   "other", Pressed::NotYours(AskId(1))),
            ("500", "v:maybe", "ann", Pressed::Nothing),
        ];
        for (under, value, sender, want) in table {
            let who = Answerer { sender_id: sender, roles: &roles(sender) };
            let got = pressed(&asks, under, value, who);
            assert_eq!(got, want, "{sender} presses {value} under {under}");
        }
    }

    #[test]
    fn answered_table() {
        let asks = [open(1, "500", &["Yes, do it", "No"]), open(2, "501", &["1", "2", "否"])];
        type Row<'a> = (&'a str, Option<&'a str>, &'a str, &'a str, bool, Option<(i64, &'a str)>);
        #[rustfmt::skip]
        let table: &[Row<'_>] = &[
            ("1", Some("500"), "1",            "ann", true,  Some((1, "Yes, do it"))),
            ("1", Some("500"), "2.",           "ann", true,  Some((1, "No"))),
            ("1", Some("500"), "(2)",          "ann", true,  Some((1, "No"))),
            ("1", Some("500"), "3",            "ann", true,  None),
            ("1", Some("500"), "0",            "ann", true,  None),
            ("1", Some("500"), "yes, DO it!",  "ann", true,  Some((1, "Yes, do it"))),
            ("1", Some("500"), "yes",          "ann", true,  None),
            ("1", Some("500"), "2",            "ann", false, None),
            ("1", None,        "no",           "ann", false, Some((1, "No"))),
            ("1", None,        "2",            "ann", true,  Some((2, "2"))),
            ("1", None,        " 否。",          "ann", true,  Some((2, "否"))),
            ("1", None,        "no thanks",    "ann", true,  None),
            ("1", None,        "no",           "bob", true,  None),
            ("1", Some("77"),  "no",           "ann", true,  None),
            ("2", None,        "no",           "ann", true,  None),
            ("1", None,        "",             "ann", true,  None),
            ("1", None,        "99999999999999999999999", "ann", true, None),
        ];
        for (chat, reply_to, text, sender, numbered, want) in table {
            let content = Content {
                text: (*text).into(),
                reply_to: reply_to.map(Into::into),
                ..Content::default()
            };
            let mut asks = asks.clone();
            asks.iter_mut().for_each(|it| it.numbered = *numbered);
            let who = Answerer { sender_id: sender, roles: &[] };
            let got = answered(&asks, &place(chat), &content, who);
            let got = got.map(|(ask, option)| (ask.0, option.label.as_str()));
            assert_eq!(got, *want, "{sender} writes {text:?} to {reply_to:?} in {chat}");
        }
    }

    #[test]
    fn of_two_with_the_same_words_none_is_meant() {
        let asks = [open(1, "500", &["Yes", "yes!"])];
        let content = Content { text: "yes".into(), ..Content::default() };
        let who = Answerer { sender_id: "ann", roles: &[] };
        assert_eq!(answered(&asks, &place("1"), &content, who), None);
    }

    #[test]
    fn a_list_of_options() {
        let asks = open(1, "500", &["Yes", "No"]);
        let got = as_text("Sure?\n", &asks.options, "Answer with a number.");
        assert_eq!(got, "Sure?\n\n1. Yes\n2. No\n\nAnswer with a number.");
    }
}
