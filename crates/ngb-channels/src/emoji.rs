//! Emoji as platforms name them: Slack and Feishu have names for their reactions, and take no others.

/// An emoji, Slack's name for it, and Feishu's (empty where it has none). The first of several that share a name is the
/// one that is read. Slack: <https://api.slack.com/methods/reactions.add>; Feishu:
/// <https://open.feishu.cn/document/server-docs/im-v1/message-reaction/emojis-introduce>.
#[rustfmt::skip]
const NAMED: &[(&str, &str, &str)] = &[
    ("👍", "+1",                        "THUMBSUP"),
    ("👎", "-1",                        "ThumbsDown"),
    ("👌", "ok_hand",                   "OK"),
    ("👏", "clap",                      "APPLAUSE"),
    ("🙏", "pray",                      "THANKS"),
    ("💪", "muscle",                    "MUSCLE"),
    ("👊", "facepunch",                 "FISTBUMP"),
    ("🤝", "handshake",                 "SHAKE"),
    ("👋", "wave",                      "WAVE"),
    ("🫡", "saluting_face",             "SALUTE"),
    ("❤",  "heart",                     "HEART"),
    ("💔", "broken_heart",              "HEARTBROKEN"),
    ("🎉", "tada",                      "PARTY"),
    ("🔥", "fire",                      "Fire"),
    ("✅", "white_check_mark",          "DONE"),
    ("❌", "x",                         "CrossMark"),
    ("💯", "100",                       "Hundred"),
    ("👀", "eyes",                      "GLANCE"),
    ("🤔", "thinking_face",             "THINKING"),
    ("😀", "grinning",                  ""),
    ("😊", "blush",                     "SMILE"),
    ("😁", "grin",                      "LAUGH"),
    ("😂", "joy",                       "LOL"),
    ("🤣", "rolling_on_the_floor_laughing", ""),
    ("😉", "wink",                      "WINK"),
    ("😍", "heart_eyes",                "LOVE"),
    ("😘", "kissing_heart",             "KISS"),
    ("😎", "sunglasses",                "SHOWOFF"),
    ("😱", "scream",                    "TERROR"),
    ("😢", "cry",                       "SOB"),
    ("😭", "sob",                       "CRY"),
    ("😡", "rage",                      "ANGRY"),
    ("😅", "sweat_smile",               "SWEAT"),
    ("🤗", "hugging_face",              "HUG"),
    ("🤦", "face_palm",                 "FACEPALM"),
    ("😴", "sleeping",                  "SLEEP"),
    ("🚀", "rocket",                    ""),
    ("⭐", "star",                      ""),
    ("💡", "bulb",                      ""),
    ("⚠",  "warning",                   ""),
    ("❓", "question",                  ""),
    ("🐛", "bug",                       ""),
    ("🌹", "rose",                      "ROSE"),
    ("🍺", "beer",                      "BEER"),
    ("🎂", "birthday",                  "CAKE"),
    ("🎁", "gift",                      "GIFT"),
];

/// Names that Slack uses beside those above.
const OF_SLACK: &[(&str, &str)] =
    &[("thumbsup", "👍"), ("thumbsdown", "👎"), ("punch", "👊"), ("thinking", "🤔")];

const fn all<const N: usize>(feishu: bool) -> [&'static str; N] {
    let mut found = [""; N];
    let (mut from, mut to) = (0, 0);
    while from < NAMED.len() {
        if !feishu || !NAMED[from].2.is_empty() {
            found[to] = NAMED[from].0;
            to += 1;
        }
        from += 1;
    }
    found
}

const fn of_feishu() -> usize {
    let (mut at, mut count) = (0, 0);
    while at < NAMED.len() {
        if !NAMED[at].2.is_empty() {
            count += 1;
        }
        at += 1;
    }
    count
}

/// What can be put under a message.
pub(crate) const SLACK: &[&str] = &all::<{ NAMED.len() }>(false);
pub(crate) const FEISHU: &[&str] = &all::<{ of_feishu() }>(true);

/// Slack's name; none for what it doesn't take.
pub(crate) fn to_slack(emoji: &str) -> Option<&'static str> {
    NAMED.iter().find(|it| it.0 == emoji).map(|it| it.1)
}

/// What Slack names; a picture of the workspace's own stays a name between colons. Skin tones are left out.
pub(crate) fn from_slack(name: &str) -> String {
    let plain = name.split("::").next().unwrap_or(name);
    let other = OF_SLACK.iter().find(|it| it.0 == plain).map(|it| it.1);
    let known = NAMED.iter().find(|it| it.1 == plain).map(|it| it.0).or(other);
    known.map_or_else(|| format!(":{plain}:"), str::to_owned)
}

/// Feishu's `emoji_type`; none for what it doesn't take.
pub(crate) fn to_feishu(emoji: &str) -> Option<&'static str> {
    NAMED.iter().find(|it| it.0 == emoji).map(|it| it.2).filter(|it| !it.is_empty())
}

/// What Feishu names; a name that is not known stays one between colons.
pub(crate) fn from_feishu(kind: &str) -> String {
    let known = NAMED.iter().find(|it| it.2 == kind && !kind.is_empty());
    known.map_or_else(|| format!(":{kind}:"), |it| it.0.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_comes_back() {
        for emoji in SLACK {
            assert_eq!(from_slack(to_slack(emoji).unwrap()), *emoji);
        }
        for emoji in FEISHU {
            assert_eq!(from_feishu(to_feishu(emoji).unwrap()), *emoji);
        }
        assert_eq!((to_slack("🦤"), to_feishu("🚀")), (None, None));
        let read = ["thumbsup::skin-tone-2", "parrot", ""].map(from_slack);
        assert_eq!(read, ["👍", ":parrot:", "::"]);
        assert_eq!(from_feishu("Typing"), ":Typing:");
    }
}
