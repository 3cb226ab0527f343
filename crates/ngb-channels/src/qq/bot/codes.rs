//! What QQ's numbers mean: of the OpenAPI
//! (<https://bot.q.qq.com/wiki/develop/api-v2/dev-prepare/error-trace/openapi.html>) and of the gateway
//! (<https://bot.q.qq.com/wiki/develop/api-v2/dev-prepare/error-trace/websocket.html>).

use std::time::Duration;

use crate::Retry;

/// The same answer was taken before: the message's id and our number are known.
pub(super) const DUPLICATE: i64 = 40_054_005;

/// The message waits for QQ's review, which is no refusal; it comes with a status of success.
pub(super) const REVIEWED: &[i64] = &[304_023, 304_024];

/// The message that is answered is too old, answered too often, or not known.
pub(super) const WINDOW_OVER: &[i64] =
    &[304_027, 304_103, 40_034_005, 40_034_024, 40_034_025, 40_034_026, 40_034_027, 40_034_128];

/// The access token is not good any more.
pub(super) const STALE: &[i64] = &[11_241, 11_242, 11_243, 11_244];

/// Codes: what next, and what it means.
#[rustfmt::skip]
const CODES: &[(i64, Retry, &str)] = &[
    (11_298,     Retry::After(Duration::from_secs(30)), "this machine's address is not on the bot's list (IP 白名单)"),
    (22_009,     Retry::After(Duration::from_secs(60)), "too many messages in this chat"),
    (100_016,    Retry::Never, "the app id or the secret is wrong; compare them with the console (开发设置)"),
    (40_023_002, Retry::After(Duration::from_secs(30)), "this machine's address is not on the bot's list (IP 白名单)"),
    (40_034_006, Retry::Never, "QQ's review refused the text"),
    (40_034_100, Retry::Never, "QQ lets this bot speak of itself no more for now; it can answer"),
    (40_034_101, Retry::Never, "the bot is not in the group"),
    (40_034_102, Retry::Never, "QQ lets this bot only answer, not speak of itself"),
    (40_034_105, Retry::Never, "people there turned off what the bot says of itself; it can answer"),
    (40_054_002, Retry::Never, "the bot is muted there"),
    (40_054_003, Retry::Never, "the bot is not in the group"),
    (40_054_004, Retry::Never, "the bot is no friend of this person"),
    (40_054_007, Retry::Never, "the text is too long"),
    (40_054_010, Retry::Never, "QQ takes no addresses of this site; register it in the console (消息URL配置)"),
    (40_054_013, Retry::Never, "this person refuses the bot's messages"),
    (40_054_018, Retry::Never, "the text is too long"),
];

/// What is known of a code.
pub(super) fn find(code: i64) -> Option<(Retry, &'static str)> {
    if WINDOW_OVER.contains(&code) {
        let words = "the message is too old to be answered, or was answered as often as it may be";
        return Some((Retry::Never, words));
    }
    CODES.iter().find(|it| it.0 == code).map(|it| (it.1, it.2))
}

/// What the end of a socket means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closed {
    Resume,
    NewSession,
    /// The token is not good any more.
    NewToken,
    Final(&'static str),
}

pub(super) fn closed(code: Option<u16>) -> Closed {
    match code {
        Some(4004) => Closed::NewToken,
        Some(4006 | 4007 | 4900..=4913 | 9001 | 9005) => Closed::NewSession,
        Some(4010) => Closed::Final("QQ did not take the shard"),
        Some(4011) => Closed::Final("the bot is in more channels than one connection may have"),
        Some(4012) => Closed::Final("QQ does not know this version of the gateway"),
        Some(4013) => Closed::Final("QQ did not take the intents"),
        Some(4014) => Closed::Final(
            "the bot has no right to these events; without channels (频道) set `guilds = false`",
        ),
        Some(4914) => Closed::Final("the bot is not published any more; publish it in the console"),
        Some(4915) => Closed::Final("QQ has banned the bot; appeal in the console"),
        _ => Closed::Resume,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_of_a_socket() {
        #[rustfmt::skip]
        let table = [
            (None,       Closed::Resume),
            (Some(1000), Closed::Resume),
            (Some(4009), Closed::Resume),
            (Some(4004), Closed::NewToken),
            (Some(4006), Closed::NewSession),
            (Some(4905), Closed::NewSession),
        ];
        for (code, want) in table {
            assert_eq!(closed(code), want, "{code:?}");
        }
        for code in [4010, 4011, 4012, 4013, 4014, 4914, 4915] {
            assert!(matches!(closed(Some(code)), Closed::Final(_)), "{code}");
        }
    }
}
