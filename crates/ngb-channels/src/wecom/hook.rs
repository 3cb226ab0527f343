//! WeCom's requests: the check of the address, and encrypted events.
//!
//! <https://developer.work.weixin.qq.com/document/path/90930>

use std::collections::BTreeMap;

use tracing::{info, warn};

use super::{ApiError, App, Wecom, codes, wire, xml};
use crate::{
    ChannelError, Intake, Pulse, Retry, Webhook, WebhookReply,
    hook::{Taken, query, take_all},
};

/// Largest request, in bytes; WeCom's own plug-in takes no more.
const MAX_REQUEST_BYTES: usize = 1 << 20;

impl Wecom {
    pub(super) async fn take_webhooks(
        &self,
        app: &App,
        intake: &mut Intake,
    ) -> Result<(), ChannelError> {
        let pulse = intake.pulse.clone();
        tokio::select! {
            taken = take_all(intake, |request| self.take(app, request, &pulse)) => taken,
            err = self.prove(app, pulse.clone()) => Err(err),
        }
    }

    fn take(&self, app: &App, request: &Webhook, pulse: &Pulse) -> Taken {
        let query = query(&request.query);
        if request.method == "GET" {
            let words = query.get("echostr").map_or("", String::as_str);
            let said = decrypted(app, &query, words).and_then(|it| String::from_utf8(it).ok());
            return Taken::Reply(match said {
                Some(said) => {
                    info!(account = %self.profile.account, "WeCom has verified the callback address");
                    pulse.beat(self.clock.now());
                    WebhookReply::text(said)
                }
                None => WebhookReply::status(403),
            });
        }
        // Only the envelope is read before the signature, which is over what it holds.
        let envelope = (request.body.len() <= MAX_REQUEST_BYTES)
            .then(|| std::str::from_utf8(&request.body).ok())
            .flatten()
            .and_then(|it| xml::read(it).ok());
        let words = envelope.as_ref().and_then(|it| it.get("Encrypt")).map_or("", String::as_str);
        let Some(said) = decrypted(app, &query, words) else {
            return Taken::Reply(WebhookReply::status(403));
        };
        pulse.beat(self.clock.now());
        let reader = wire::Reader {
            account: &self.profile.account,
            unread_key: query.get("msg_signature").map_or("", String::as_str),
        };
        let fields = String::from_utf8(said).map_err(|_| "no UTF-8".to_owned());
        let fields = fields.and_then(|it| xml::read(&it).map_err(|err| err.to_string()));
        let event = match fields {
            Ok(fields) => reader.read(&fields),
            // It is from WeCom, and sending it again would not mend it.
            Err(why) => reader.unknown(&format!("no XML: {why}")),
        };
        Taken::Store(event.into_iter().collect(), WebhookReply::status(200))
    }

    /// Proves corp id, secret and agent; returns only when they are no good. Meanwhile messages are taken.
    async fn prove(&self, app: &App, pulse: Pulse) -> ChannelError {
        loop {
            match app.api.token(None).await {
                Ok(_) => {
                    pulse.beat(self.clock.now());
                    return std::future::pending().await;
                }
                Err(err) => {
                    // An address that is not trusted yet is mended in the console, without a restart.
                    let is_final = matches!(&err, ApiError::Refused { code, .. }
                        if *code != 60_020 && codes::find(*code).0 == Retry::Never);
                    if is_final {
                        return err.doing("ask for an access token");
                    }
                    warn!(account = %self.profile.account, "could not ask for an access token: {err}");
                }
            }
            self.clock.sleep(PROVE_EVERY).await;
        }
    }
}

/// Wait before the credentials are tried again.
const PROVE_EVERY: std::time::Duration = std::time::Duration::from_secs(30);

/// What `words` say, when WeCom signed them for us.
fn decrypted(app: &App, query: &BTreeMap<String, String>, words: &str) -> Option<Vec<u8>> {
    let word = |name: &str| query.get(name).map_or("", String::as_str);
    let signature = word("msg_signature");
    if words.is_empty() || !app.crypt.is_signed(signature, word("timestamp"), word("nonce"), words)
    {
        return None;
    }
    match app.crypt.decrypt(words) {
        Ok(said) => Some(said),
        Err(err) => {
            warn!(corp = %app.corp_id, "a signed request of WeCom could not be decrypted: {err}");
            None
        }
    }
}
