//! Signed posts to the webhook, in order, each until it is taken.

use std::time::Duration;

use bytes::Bytes;
use ring::hmac;

use super::platform::Platform;
use crate::call::{Answer, call};

/// The pause before an event that was not taken is posted again. Meta's own grows; a test has no time for that.
const PAUSE: Duration = Duration::from_millis(50);

/// What stands in `X-Hub-Signature-256` for a body.
pub fn signature(app_secret: &str, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, app_secret.as_bytes());
    let tag = hmac::sign(&key, body);
    let hex: String = tag.as_ref().iter().map(|it| format!("{it:02x}")).collect();
    format!("sha256={hex}")
}

pub(super) async fn deliver(platform: Platform) {
    let mut changed = platform.changed.subscribe();
    loop {
        changed.mark_unchanged();
        let next = {
            let state = platform.lock();
            state.hook.clone().and_then(|hook| Some((hook, state.queue.front()?.clone())))
        };
        let Some((hook, body)) = next else {
            if changed.changed().await.is_err() {
                return;
            }
            continue;
        };
        match platform.post(&hook, body).await {
            Ok(it) if it.status == 200 => {
                platform.lock().queue.pop_front();
                platform.touch();
            }
            other => {
                platform.lock().last_error = Some(format!("{other:?}"));
                platform.clock().sleep(PAUSE).await;
            }
        }
    }
}

impl Platform {
    /// Posts a body once, signed.
    ///
    /// # Errors
    ///
    /// When there is no answer.
    pub async fn post(&self, hook: &str, body: impl Into<Bytes>) -> anyhow::Result<Answer> {
        let body = body.into();
        let signature = signature(&self.config.app_secret, &body);
        let headers = [("content-type", "application/json"), ("x-hub-signature-256", &*signature)];
        call("POST", hook, &headers, body).await
    }

    /// Makes `hook` the address that is called, after the handshake.
    ///
    /// # Errors
    ///
    /// When it does not say the challenge back.
    pub async fn subscribe(&self, hook: &str) -> anyhow::Result<()> {
        const CHALLENGE: &str = "1158201444";
        let token = &self.config.verify_token;
        let url =
            format!("{hook}?hub.mode=subscribe&hub.challenge={CHALLENGE}&hub.verify_token={token}");
        let got = call("GET", &url, &[], Bytes::new()).await?;
        let want = Answer { status: 200, body: CHALLENGE.to_owned() };
        anyhow::ensure!(got == want, "the callback address could not be verified: {got:?}");
        self.lock().hook = Some(hook.to_owned());
        self.touch();
        Ok(())
    }

    /// Why the last post was not taken.
    pub fn last_error(&self) -> Option<String> {
        self.lock().last_error.clone()
    }
}
