//! What Discord's error codes and close codes mean, and what to do.

/// Codes after which the same call may succeed:
/// <https://docs.discord.com/developers/topics/opcodes-and-status-codes#json>. Every other code is a refusal that asking
/// again doesn't change.
pub(super) const PASSING: &[i64] = &[
    20_016,  // slow mode
    20_022,  // edits of announcements
    20_028,  // writes to a channel
    20_029,  // writes to a server
    40_062,  // the service is rate limited
    130_000, // the API is overloaded
];

/// What to do about a refusal, where it can be said.
pub(super) const REMEDIES: &[(i64, &str)] = &[
    (10_003, "the channel is gone, or the bot never was in its server"),
    (10_008, "the message is gone"),
    (20_016, "the channel is in slow mode"),
    (40_005, "the file is larger than the server takes"),
    (40_060, "somebody else answered that interaction: another program uses the same token"),
    (
        50_001,
        "give the bot's role the right View Channel in that channel, and Read Message History",
    ),
    (50_007, "that person takes no direct messages from bots, or shares no server with this one"),
    (50_008, "messages can't be sent to that kind of channel"),
    (
        50_013,
        "give the bot's role Send Messages, Send Messages in Threads, Attach Files and Read Message History in that channel",
    ),
    (50_083, "the thread is archived and locked; open it again"),
    (160_002, "give the bot's role Read Message History in that channel"),
    (200_000, "the server's AutoMod blocked the text"),
];

/// What a close of the gateway means:
/// <https://docs.discord.com/developers/topics/opcodes-and-status-codes#gateway>.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closed {
    /// Connecting again can't help, and this is why.
    Final(&'static str),
    /// The session is over; a new one may begin.
    NewSession,
    /// The session goes on.
    Resume,
}

pub(super) fn closed(code: Option<u16>) -> Closed {
    match code {
        Some(4004) => Closed::Final(
            "Discord does not take the token; make a new one on the page Bot (Reset Token) and set it",
        ),
        Some(4010 | 4012) => Closed::Final(
            "Discord takes no connection like this one any more; a newer version is needed",
        ),
        Some(4011) => Closed::Final(
            "the bot is in so many servers that Discord wants several connections; take it out of some",
        ),
        Some(4013) => Closed::Final("Discord does not know the intents that were asked for"),
        Some(4014) => Closed::Final(
            "the bot may not read messages; turn on Message Content Intent on the page Bot (Privileged Gateway Intents)",
        ),
        Some(4003 | 4007 | 4009) => Closed::NewSession,
        _ => Closed::Resume,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_table() {
        for code in [4004, 4010, 4011, 4012, 4013, 4014] {
            assert!(matches!(closed(Some(code)), Closed::Final(_)), "{code}");
        }
        for code in [4003, 4007, 4009] {
            assert_eq!(closed(Some(code)), Closed::NewSession, "{code}");
        }
        for code in [Some(1000), Some(1001), Some(1006), Some(4000), Some(4008), Some(4999), None] {
            assert_eq!(closed(code), Closed::Resume, "{code:?}");
        }
    }
}
