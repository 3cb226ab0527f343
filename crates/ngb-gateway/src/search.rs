//! Writing the words that messages are found by: beside the way of a message, and for those of an earlier version.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::handle::Gateway;

/// How often new messages are looked for. Until then a search finds them by their text.
const EVERY: Duration = Duration::from_secs(5);

/// Between two transactions, so that nobody who wants to write waits long: at least two thousand messages a second.
const PAUSE: Duration = Duration::from_millis(20);

/// Writes the words of new messages until the end.
pub(crate) async fn run(gateway: Gateway, stop: CancellationToken) -> anyhow::Result<()> {
    let clock = gateway.clock().clone();
    let mut wait = EVERY;
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = clock.sleep(wait) => (),
        }
        let store = gateway.store();
        wait = match store.has_new_words().await {
            Ok(true) => match store.write_words().await {
                Ok(_) => PAUSE,
                Err(err) => put_off(err.into()),
            },
            Ok(false) => EVERY,
            Err(err) => put_off(err.into()),
        };
    }
}

fn put_off(err: anyhow::Error) -> Duration {
    error!("could not write the words of messages: {err:#}");
    EVERY
}
