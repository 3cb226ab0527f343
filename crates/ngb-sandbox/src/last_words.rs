//! The end of an agent's standard error.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// How much is kept, in bytes.
const KEPT_BYTES: usize = 4 << 10;

/// The end of an agent's standard error, at most 4 KiB.
#[derive(Clone, Debug, Default)]
pub struct LastWords(pub Arc<Mutex<String>>);

/// How long the end of a dead agent's standard error may take to be read.
pub(crate) const WORDS_LIMIT: std::time::Duration = std::time::Duration::from_millis(200);

impl LastWords {
    /// Adds to the end and forgets the beginning.
    pub(crate) fn add(&self, bytes: &[u8]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push_str(&String::from_utf8_lossy(bytes));
        let from = kept.ceil_char_boundary(kept.len().saturating_sub(KEPT_BYTES));
        kept.drain(..from);
    }

    /// Listens until the end of `stderr`.
    pub(crate) async fn listen(&self, mut stderr: impl AsyncRead + Unpin) {
        let mut buffer = [0; 1024];
        // An error is an end like any other: nothing more can be heard.
        while let Ok(len @ 1..) = stderr.read(&mut buffer).await {
            self.add(&buffer[..len]);
        }
    }

    /// What was heard so far.
    pub fn text(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_end_is_kept_whatever_the_bytes() {
        let words = LastWords::default();
        let flood: Vec<u8> = "ä".repeat(5_000).into_bytes();
        words.listen(&flood[1..]).await;
        words.listen(&b"the end"[..]).await;
        let text = words.text();
        assert!(text.len() <= KEPT_BYTES && text.ends_with("äthe end"), "{text}");
    }
}
