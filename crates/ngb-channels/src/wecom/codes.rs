//! WeCom's error codes: what next, and what it means. <https://developer.work.weixin.qq.com/document/path/90313>

use std::time::Duration;

use crate::Retry;

/// Codes that say that the access token is no longer good.
pub(super) const STALE_TOKEN: &[i64] = &[40_014, 42_001];

/// A group robot takes 20 messages a minute.
const MINUTE: Duration = Duration::from_secs(60);

#[rustfmt::skip]
const CODES: &[(i64, Retry, &str)] = &[
    (-1,      Retry::Backoff,       "WeCom is busy"),
    (40_001,  Retry::Never,         "the secret is not that of this app"),
    (40_003,  Retry::Never,         "there is no such user"),
    (40_004,  Retry::Never,         "WeCom does not take this kind of file"),
    (40_013,  Retry::Never,         "there is no such corp id"),
    (40_014,  Retry::Backoff,       "the access token is not good"),
    (40_056,  Retry::Never,         "there is no such agent id"),
    (41_004,  Retry::Never,         "the secret is missing"),
    (42_001,  Retry::Backoff,       "the access token has expired"),
    (44_004,  Retry::Never,         "the text is empty"),
    (45_001,  Retry::Never,         "the file is too large"),
    (45_002,  Retry::Never,         "the text is too long"),
    (45_009,  Retry::After(MINUTE), "too many calls"),
    (45_033,  Retry::Backoff,       "too many calls at a time"),
    (48_002,  Retry::Never,         "the app may not use this API"),
    (60_011,  Retry::Never,         "the app may not see this user; add them to its visible range"),
    (60_020,  Retry::Never,         "this machine's public address is not trusted; add it in the console under the app's trusted IPs (企业可信IP)"),
    (60_111,  Retry::Never,         "there is no such user"),
    (81_013,  Retry::Never,         "none of the recipients may get it; add them to the app's visible range"),
    (93_000,  Retry::Never,         "the robot's key is not good, or it was removed from its group"),
    (301_002, Retry::Never,         "the app may not use this agent id"),
    (846_605, Retry::Never,         "WeCom does not know the message any more that is answered"),
    (846_608, Retry::Never,         "the stream is over: WeCom ends it after 6 minutes"),
];

/// What next after `code`, and what it means; empty where WeCom's own words suffice.
pub(super) fn find(code: i64) -> (Retry, &'static str) {
    let known = CODES.iter().find(|it| it.0 == code);
    known.map_or((Retry::Never, ""), |it| (it.1, it.2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_in_order() {
        assert!(CODES.is_sorted_by(|a, b| a.0 < b.0));
        assert_eq!(find(60_020).0, Retry::Never);
        assert_eq!(find(45_009).0, Retry::After(MINUTE));
        assert_eq!(find(7), (Retry::Never, ""));
    }
}
