//! A token that all calls of an account share: asked for once, by one flight, and renewed before its end.

use std::time::Duration;

use ngb_core::{
    clock::{Clock, Timestamp},
    secret::Secret,
};
use tokio::sync::Mutex;

/// How long before its end a token is renewed.
const RENEW_BEFORE: Duration = Duration::from_secs(5 * 60);

pub(crate) struct Token {
    clock: Clock,
    /// Whoever asks for a new one holds the lock, so that the others wait for it instead of asking too.
    held: Mutex<Option<Held>>,
}

struct Held {
    value: Secret,
    renew_at: Timestamp,
}

impl Token {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, held: Mutex::default() }
    }

    /// The token; a new one when there is none, when it ends soon, or when it is `stale`. `ask` gets a token and how long
    /// it lives.
    ///
    /// # Errors
    ///
    /// Those of `ask`.
    pub(crate) async fn get<E>(
        &self,
        stale: Option<&Secret>,
        ask: impl AsyncFnOnce() -> Result<(Secret, Duration), E>,
    ) -> Result<Secret, E> {
        let mut held = self.held.lock().await;
        let now = self.clock.now();
        let good = |it: &&Held| now < it.renew_at && stale != Some(&it.value);
        if let Some(held) = held.as_ref().filter(good) {
            return Ok(held.value.clone());
        }
        let (value, life) = ask().await?;
        // Of a token that lives shorter than that, half its life is kept.
        let renew_at = now + life.saturating_sub(RENEW_BEFORE).max(life / 2);
        *held = Some(Held { value: value.clone(), renew_at });
        Ok(value)
    }
}
