//! What Feishu's error codes mean, and what to do: <https://open.feishu.cn/document/server-docs/api-call-guide/generic-error-code>
//! and the tables of each call.

use crate::Retry;

/// The token is over or was never good; a new one may do.
pub(super) const STALE_TOKEN: &[i64] =
    &[99_991_661, 99_991_663, 99_991_664, 99_991_668, 99_991_671];

/// An app may have 50 connections, and has them.
pub(super) const TOO_MANY_CONNECTIONS: &[i64] = &[1_000_040_350];

/// The message that is answered was withdrawn or is gone.
pub(super) const NO_PARENT: &[i64] = &[230_011, 230_019, 231_003];

/// The card itself is not as Feishu wants it.
pub(super) const BAD_CARD: &[i64] =
    &[230_099, 200_610, 200_621, 200_673, 200_732, 200_740, 200_860, 11_310];

/// Codes with something to say; what is not here is a refusal that asking again doesn't change.
#[rustfmt::skip]
const CODES: &[(i64, Retry, &str)] = &[
    (10_003,         Retry::Never,   "`app_id` and `app_secret` are not those of an app; copy them from Credentials & Basic Info (凭证与基础信息)"),
    (10_014,         Retry::Never,   "`app_secret` is wrong; copy it from Credentials & Basic Info (凭证与基础信息)"),
    (99_991_400,     Retry::Backoff, "too many calls"),
    (99_991_672,     Retry::Never,   "a permission is missing: add the one that is named under Permissions & Scopes (权限管理), and publish a version"),
    (99_991_679,     Retry::Never,   "a permission is missing: add the one that is named under Permissions & Scopes (权限管理), and publish a version"),
    (230_001,        Retry::Never,   "a parameter is not as Feishu wants it"),
    (230_002,        Retry::Never,   "the bot is not in that chat; add it under the chat's settings, Bots (群机器人)"),
    (230_006,        Retry::Never,   "the app has no bot; add the feature Bot (机器人) and publish a version"),
    (230_013,        Retry::Never,   "that person is not in the app's availability (可用范围); widen it and publish a version"),
    (230_017,        Retry::Never,   "the bot does not own that resource"),
    (230_018,        Retry::Never,   "the chat allows its owner only to write"),
    (230_020,        Retry::Backoff, "too many messages to one chat: five a second, of all bots together"),
    (230_022,        Retry::Never,   "the text was taken for something that may not be said"),
    (230_025,        Retry::Never,   "the message is longer than Feishu takes"),
    (230_027,        Retry::Never,   "a permission is missing; `im:message.group_msg` lets the bot read what is said in groups"),
    (230_028,        Retry::Never,   "the company's rules don't let that message through"),
    (230_031,        Retry::Never,   "the card is older than 14 days and can't be edited"),
    (230_035,        Retry::Never,   "the bot may not write in that chat; it is muted there"),
    (230_049,        Retry::Backoff, "the message is still being sent"),
    (230_054,        Retry::Never,   "this kind of message can't be answered so"),
    (230_110,        Retry::Never,   "the message was deleted"),
    (232_009,        Retry::Never,   "the chat is gone"),
    (234_006,        Retry::Never,   "the file is larger than Feishu takes"),
    (300_309,        Retry::Never,   "the card's stream is over"),
    (1,              Retry::Backoff, "Feishu is busy"),
    (403,            Retry::Never,   "the app may not connect; choose the long connection under Events & Callbacks (事件与回调), Receive events through persistent connection (使用长连接接收事件)"),
    (514,            Retry::Never,   "`app_id` and `app_secret` are not those of an app"),
    (1_000_040_343,  Retry::Backoff, "Feishu is busy"),
    (1_000_040_344,  Retry::Never,   "`app_id` and `app_secret` are not those of an app"),
    (1_000_040_350,  Retry::Backoff, "the app has 50 connections already: other programs use it"),
];

/// What next, and what to do about it where that can be said.
pub(super) fn find(code: i64) -> (Retry, &'static str) {
    let found = CODES.iter().find(|it| it.0 == code);
    found.map_or((Retry::Never, ""), |(_, retry, remedy)| (*retry, *remedy))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_stands_once() {
        for (at, it) in CODES.iter().enumerate() {
            assert!(CODES[at + 1..].iter().all(|other| other.0 != it.0), "{}", it.0);
        }
        assert_eq!(find(230_020).0, Retry::Backoff, "it is a limit, not a withdrawal");
        assert_eq!(find(999), (Retry::Never, ""));
    }
}
