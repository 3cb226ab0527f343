//! How an account is doing, as it is shown, and what tells that it is doing differently.

use ngb_channels::{Notes, supervise::ChannelState};
use ngb_core::{address::Account, clock::Timestamp};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::canary::CanaryStatus;

/// How one account is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountStatus {
    pub account: Account,
    /// connecting, up, waiting, down, paused, contested
    pub state: &'static str,
    pub why: String,
    /// Whether what people write gets here.
    pub can_receive: bool,
    /// Whether the platform took the last thing that was sent; none while nothing was.
    pub can_send: Option<bool>,
    /// How often the line was lost, or could not be opened, since the account was set up or changed.
    pub failures: u64,
    /// The last time of these, and why.
    pub last_failure: Option<(Timestamp, String)>,
    /// What people did and was stored since then.
    pub events: u64,
    pub last_event_at: Option<Timestamp>,
    /// The last completed poll or frame.
    pub last_heard_at: Option<Timestamp>,
    /// When the platform last took something from us.
    pub last_sent_at: Option<Timestamp>,
    /// What the last send failed with, if nothing was taken since.
    pub send_error: Option<String>,
    /// What the canary proved; none where nobody asked for one.
    pub canary: Option<CanaryStatus>,
    /// Whether the platform calls us, at `/hooks/<channel>/<account>`.
    pub webhook: bool,
}

/// How its sends went.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sends {
    pub(crate) last_at: Option<Timestamp>,
    pub(crate) error: Option<String>,
}

/// Tells that an account is doing differently.
pub struct AccountWatch {
    state: watch::Receiver<ChannelState>,
    notes: watch::Receiver<Notes>,
    sends: watch::Receiver<Sends>,
    /// None where it was over from the beginning: it rests.
    over: Option<CancellationToken>,
}

impl AccountWatch {
    /// From here on: what was before is no change.
    pub(crate) fn new(
        mut state: watch::Receiver<ChannelState>,
        mut notes: watch::Receiver<Notes>,
        mut sends: watch::Receiver<Sends>,
        over: CancellationToken,
    ) -> Self {
        // A clone has seen what its original has, and nobody looks by the original.
        state.mark_unchanged();
        notes.mark_unchanged();
        sends.mark_unchanged();
        let over = (!over.is_cancelled()).then_some(over);
        Self { state, notes, sends, over }
    }

    /// Returns at the next change, or once the account rests, is gone or was made anew; false then, and at once from there on.
    pub async fn changed(&mut self) -> bool {
        // An error means that it is over, which `over` says.
        tokio::select! {
            Ok(()) = self.state.changed() => true,
            Ok(()) = self.notes.changed() => true,
            Ok(()) = self.sends.changed() => true,
            () = ended(self.over.as_ref()) => false,
        }
    }
}

async fn ended(over: Option<&CancellationToken>) {
    match over {
        Some(over) => over.cancelled().await,
        None => std::future::pending().await,
    }
}

/// The state of a channel in a word, and why.
pub(crate) fn describe(state: &ChannelState) -> (&'static str, String) {
    match state {
        ChannelState::Connecting => ("connecting", String::new()),
        ChannelState::Up => ("up", String::new()),
        ChannelState::Waiting { until, why } => ("waiting", format!("{why} (again at {until})")),
        ChannelState::Down { why } => ("down", why.clone()),
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn what_was_before_is_no_change() {
        let (state_tx, state) = watch::channel(ChannelState::Connecting);
        let (notes_tx, notes) = watch::channel(Notes::default());
        let (sends_tx, sends) = watch::channel(Sends::default());
        let over = CancellationToken::new();
        state_tx.send_replace(ChannelState::Up);
        notes_tx.send_replace(Notes::default());
        sends_tx.send_replace(Sends::default());
        let mut watch = AccountWatch::new(state.clone(), notes, sends, over.clone());
        assert_eq!(watch.changed().now_or_never(), None);

        state_tx.send_replace(ChannelState::Connecting);
        assert_eq!(watch.changed().now_or_never(), Some(true));
        assert_eq!(watch.changed().now_or_never(), None);
        over.cancel();
        assert_eq!(watch.changed().now_or_never(), Some(false));
    }
}
