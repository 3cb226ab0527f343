//! Addresses: where a message comes from and where an answer goes.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// A chat platform, or a door of our own that works like one.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum ChannelKind {
    Whatsapp,
    Telegram,
    Slack,
    Discord,
    Wecom,
    Dingtalk,
    Feishu,
    Qq,
    /// The chat in the dashboard, and the API.
    Web,
    /// `nanogridbot shell` and `nanogridbot run`.
    Terminal,
}

impl ChannelKind {
    pub const ALL: &[Self] = &[
        Self::Whatsapp,
        Self::Telegram,
        Self::Slack,
        Self::Discord,
        Self::Wecom,
        Self::Dingtalk,
        Self::Feishu,
        Self::Qq,
        Self::Web,
        Self::Terminal,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Whatsapp => "whatsapp",
            Self::Telegram => "telegram",
            Self::Slack => "slack",
            Self::Discord => "discord",
            Self::Wecom => "wecom",
            Self::Dingtalk => "dingtalk",
            Self::Feishu => "feishu",
            Self::Qq => "qq",
            Self::Web => "web",
            Self::Terminal => "terminal",
        }
    }
}

impl fmt::Display for ChannelKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ChannelKind {
    type Err = AddressError;

    fn from_str(s: &str) -> Result<Self, AddressError> {
        Self::ALL
            .iter()
            .copied()
            .find(|it| it.as_str() == s)
            .ok_or_else(|| AddressError::UnknownChannel(s.to_owned()))
    }
}

/// Longest name of an account, in bytes.
const MAX_ACCOUNT_BYTES: usize = 40;

/// Longest chat part of an address, in bytes.
const MAX_CHAT_BYTES: usize = 200;

/// One login on a channel, written `telegram@work`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Account {
    channel: ChannelKind,
    name: Box<str>,
}

impl Account {
    /// The account that is meant when a channel has only one and nobody named it.
    pub const DEFAULT_NAME: &str = "main";

    /// # Errors
    ///
    /// When `name` isn't 1 to 40 of `a-z A-Z 0-9 . _ -`.
    pub fn new(channel: ChannelKind, name: &str) -> Result<Self, AddressError> {
        let fits = (1..=MAX_ACCOUNT_BYTES).contains(&name.len());
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if !fits || !name.chars().all(plain) {
            return Err(AddressError::BadAccount(name.to_owned()));
        }
        Ok(Self { channel, name: name.into() })
    }

    pub fn channel(&self) -> ChannelKind {
        self.channel
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The address of a person on it, by the platform's stable id: `telegram@main#4711`.
    pub fn person(&self, sender_id: &str) -> String {
        format!("{self}#{sender_id}")
    }

    /// The address of one of its chats.
    ///
    /// # Errors
    ///
    /// When `chat` is empty, too long, or has white space or control characters.
    pub fn chat(&self, chat: &str) -> Result<Jid, AddressError> {
        Ok(Jid { account: self.clone(), chat: valid_chat(chat)? })
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.channel, self.name)
    }
}

impl FromStr for Account {
    type Err = AddressError;

    fn from_str(s: &str) -> Result<Self, AddressError> {
        let (channel, name) = s.split_once('@').unwrap_or((s, Self::DEFAULT_NAME));
        Self::new(channel.parse()?, name)
    }
}

/// Address of one chat, written `telegram@main:-100123`.
///
/// [`FromStr`] and [`Account::chat`] are the only ways in, so a `Jid` in hand is well-formed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Jid {
    account: Account,
    chat: Box<str>,
}

impl Jid {
    pub fn account(&self) -> &Account {
        &self.account
    }

    pub fn channel(&self) -> ChannelKind {
        self.account.channel
    }

    /// The platform's own id for the chat.
    pub fn chat(&self) -> &str {
        &self.chat
    }
}

impl fmt::Display for Jid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.account, self.chat)
    }
}

impl FromStr for Jid {
    type Err = AddressError;

    fn from_str(s: &str) -> Result<Self, AddressError> {
        let address: Address = s.parse()?;
        match address.account {
            Some(name) => Account::new(address.channel, &name)?.chat(&address.chat),
            None => Err(AddressError::NoAccount(s.to_owned())),
        }
    }
}

/// What a person writes for a chat: a [`Jid`], or the original's form without an account, `telegram:-100123`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    pub channel: ChannelKind,
    pub account: Option<Box<str>>,
    pub chat: Box<str>,
}

impl Address {
    /// The chat's full address, among the accounts there are.
    ///
    /// # Errors
    ///
    /// When no account is named and the channel hasn't exactly one; the candidates are in the error.
    pub fn resolve(&self, accounts: &[Account]) -> Result<Jid, AddressError> {
        if let Some(name) = &self.account {
            return Account::new(self.channel, name)?.chat(&self.chat);
        }
        let mine: Vec<&Account> = accounts.iter().filter(|it| it.channel == self.channel).collect();
        match mine.as_slice() {
            [only] => only.chat(&self.chat),
            [] => Err(AddressError::NoSuchChannel(self.channel)),
            several => Err(AddressError::WhichAccount {
                channel: self.channel,
                candidates: several
                    .iter()
                    .map(|it| format!("`{it}:{}`", self.chat))
                    .collect::<Vec<_>>()
                    .join(", "),
            }),
        }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(s: &str) -> Result<Self, AddressError> {
        let Some((head, chat)) = s.split_once(':') else {
            return Err(AddressError::NoColon(s.to_owned()));
        };
        let (channel, account) = match head.split_once('@') {
            Some((channel, name)) => (channel, Some(name)),
            None => (head, None),
        };
        let channel = channel.parse()?;
        if let Some(name) = account {
            Account::new(channel, name)?;
        }
        Ok(Self { channel, account: account.map(Into::into), chat: valid_chat(chat)? })
    }
}

fn valid_chat(chat: &str) -> Result<Box<str>, AddressError> {
    let blank = |c: char| c.is_whitespace() || c.is_control();
    if chat.is_empty() || MAX_CHAT_BYTES < chat.len() || chat.contains(blank) {
        let shown: String = chat.chars().take(60).collect();
        return Err(AddressError::BadChat(shown));
    }
    Ok(chat.into())
}

/// A chat and, where the platform has one, a thread in it, written `telegram@main:-100123/7`.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
pub struct Place {
    pub jid: Jid,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<Box<str>>,
}

impl From<Jid> for Place {
    fn from(jid: Jid) -> Self {
        Self { jid, thread: None }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.thread {
            Some(thread) => write!(f, "{}/{thread}", self.jid),
            None => self.jid.fmt(f),
        }
    }
}

macro_rules! as_text {
    ($($name:ident $says:literal),+ $(,)?) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "description": $says })
            }
        }
    )+};
}

as_text!(
    Account "An account on a channel: `<channel>@<name>`.",
    Jid "A chat: `<channel>@<account>:<chat>`.",
);

/// An address that could not be understood; the text says how one looks.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum AddressError {
    #[error("`{0}` has no `:`; write `<channel>@<account>:<chat>`, e.g. `telegram@main:-100123`")]
    NoColon(String),
    #[error(
        "unknown channel `{0}`; known: whatsapp, telegram, slack, discord, wecom, dingtalk, feishu, qq, web, terminal"
    )]
    UnknownChannel(String),
    #[error(
        "`{0}` is no account name; it has 1 to {MAX_ACCOUNT_BYTES} of a-z, A-Z, 0-9, `.`, `_`, `-`"
    )]
    BadAccount(String),
    #[error("`{0}` is no chat id; it has 1 to {MAX_CHAT_BYTES} bytes and no white space")]
    BadChat(String),
    #[error("`{0}` names no account; write `<channel>@<account>:<chat>`")]
    NoAccount(String),
    #[error("no account of channel `{0}` is set up")]
    NoSuchChannel(ChannelKind),
    #[error("channel `{channel}` has several accounts; write one of {candidates}")]
    WhichAccount { channel: ChannelKind, candidates: String },
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn parse() {
        #[rustfmt::skip]
        let table = [
            ("telegram@main:-100123",     Ok(("telegram@main", "-100123"))),
            ("slack@a.b:T01/C99:x",       Ok(("slack@a.b", "T01/C99:x"))),
            ("discord@x:channel:987",     Ok(("discord@x", "channel:987"))),
            ("whatsapp@w:+1234567890",    Ok(("whatsapp@w", "+1234567890"))),
            ("qq@q:group_42",             Ok(("qq@q", "group_42"))),
            ("telegram:-100123",          Err("names no account")),
            ("telegram",                  Err("has no `:`")),
            ("icq@a:1",                   Err("unknown channel `icq`")),
            ("qq@:1",                     Err("no account name")),
            ("qq@a b:1",                  Err("no account name")),
            ("qq@a:",                     Err("no chat id")),
            ("qq@a:1 2",                  Err("no chat id")),
        ];
        for (input, want) in table {
            let got = input.parse::<Jid>();
            match want {
                Ok((account, chat)) => {
                    let jid = got.expect(input);
                    assert_eq!((jid.account().to_string().as_str(), jid.chat()), (account, chat));
                    assert_eq!(jid.to_string(), input, "round trip");
                }
                Err(needle) => {
                    let err = got.expect_err(input).to_string();
                    assert!(err.contains(needle), "{input}: {err}");
                }
            }
        }
    }

    #[test]
    fn the_originals_form_means_the_only_account() {
        let accounts: Vec<Account> =
            ["telegram@main", "qq@a", "qq@b"].map(|it| it.parse().unwrap()).into();
        #[rustfmt::skip]
        let table = [
            ("telegram:-100123",       Ok("telegram@main:-100123")),
            ("telegram:123456789",     Ok("telegram@main:123456789")),
            ("qq@a:group_42",          Ok("qq@a:group_42")),
            ("qq:group_42",            Err("write one of `qq@a:group_42`, `qq@b:group_42`")),
            ("feishu:oc_abc",          Err("no account of channel `feishu`")),
        ];
        for (input, want) in table {
            let got = input.parse::<Address>().unwrap().resolve(&accounts);
            match want {
                Ok(want) => assert_eq!(got.expect(input).to_string(), want),
                Err(needle) => {
                    let err = got.expect_err(input).to_string();
                    assert!(err.contains(needle), "{input}: {err}");
                }
            }
        }
    }

    #[test]
    fn the_error_names_every_channel() {
        let err = "icq@a:1".parse::<Jid>().unwrap_err().to_string();
        for kind in ChannelKind::ALL {
            assert!(err.contains(kind.as_str()), "{err}");
        }
    }

    proptest! {
        #[test]
        fn any_text_parses_or_is_refused(s in ".{0,300}") {
            if let Ok(jid) = s.parse::<Jid>() {
                prop_assert_eq!(jid.to_string(), s);
            }
        }

        #[test]
        fn whatever_a_platform_calls_its_chat_round_trips(
            at in 0..ChannelKind::ALL.len(), name in "[a-zA-Z0-9._-]{1,40}", chat in "[^\\s\\p{C}]{1,40}",
        ) {
            let jid = Account::new(ChannelKind::ALL[at], &name).unwrap().chat(&chat).unwrap();
            prop_assert_eq!(&jid.to_string().parse::<Jid>().unwrap(), &jid);
            let json = serde_json::to_string(&jid).unwrap();
            prop_assert_eq!(serde_json::from_str::<Jid>(&json).unwrap(), jid);
        }
    }
}
