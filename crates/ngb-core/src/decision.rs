//! What was decided about a message: the rows that `why` shows.

use serde::{Deserialize, Serialize};

macro_rules! decisions {
    ($($(#[$doc:meta])* $name:ident = $word:literal),+ $(,)?) => {
        /// One kind of decision. The word is what is stored and shown.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
        pub enum Decision {
            $($(#[$doc])* #[serde(rename = $word)] $name,)+
        }

        impl Decision {
            pub const ALL: &[Self] = &[$(Self::$name),+];

            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word),+ }
            }

            /// The decision that [`Decision::as_str`] names.
            pub fn parse(s: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|it| it.as_str() == s)
            }
        }
    };
}

decisions! {
    /// It is stored.
    Received = "received",
    /// A later event changed its text.
    Edited = "edited",
    /// A later event took it back.
    Deleted = "deleted",
    /// Nobody is to answer it; kept as context for the next engaged message.
    Kept = "kept",
    /// Nobody is to answer it, and it is no context either.
    Dropped = "dropped",
    /// The chat or the person is unknown; a pairing code was offered.
    PairingOffered = "pairing_offered",
    /// A command of the gateway, done at once.
    Command = "command",
    /// It answered a question that an agent had asked.
    AskAnswered = "ask_answered",
    /// It engages: a job waits.
    Queued = "queued",
    /// A cap was reached; the chat was told.
    Refused = "refused",
    /// It is too old to be answered blindly; the chat is asked.
    Held = "held",
    /// A run took it up.
    Claimed = "claimed",
    /// A sandbox was started for the run.
    SandboxStarted = "sandbox_started",
    /// The agent has it.
    Prompted = "prompted",
    /// The agent is about to do something that can't be taken back.
    Effect = "effect",
    /// The agent asked the gateway to do something.
    Called = "called",
    /// A try failed; another follows.
    Retry = "retry",
    /// The gateway was restarted while it ran; it runs again.
    Requeued = "requeued",
    /// A plugin said something about it, or failed to.
    Plugin = "plugin",
    /// Somebody stopped it.
    Interrupted = "interrupted",
    /// The agent's answer is stored.
    Answered = "answered",
    /// Given up; in the dead letters.
    Dead = "dead",
    /// A dead letter was put back by hand.
    Revived = "revived",
    /// A dead letter was thrown away by hand.
    Discarded = "discarded",
    /// A part of the answer is on its way.
    Sending = "sending",
    /// The platform has it.
    Sent = "sent",
    /// Nobody knows whether the platform has it.
    Unknown = "unknown",
    /// The platform refused it; another try follows.
    SendRetry = "send_retry",
    /// The platform refused it for good.
    SendFailed = "send_failed",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        for it in Decision::ALL {
            assert_eq!(Decision::parse(it.as_str()), Some(*it));
        }
    }
}
