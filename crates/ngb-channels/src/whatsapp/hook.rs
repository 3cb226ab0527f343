//! Meta's requests: the handshake, and signed events.
//!
//! <https://developers.facebook.com/docs/graph-api/webhooks/getting-started>

use ngb_core::{
    message::{Happening, Inbound},
    secret::Secret,
};
use ring::hmac;
use subtle::ConstantTimeEq as _;
use tracing::{error, info};

use super::{Whatsapp, graph::GraphError, wire};
use crate::{
    ChannelError, Intake, Pulse, Retry, Webhook, WebhookReply,
    hook::{Taken, query, take_all},
};

/// The header with the signature, in lower case.
const SIGNATURE: &str = "x-hub-signature-256";

/// Longest challenge that is said back, in bytes. Meta's has ten digits.
const MAX_CHALLENGE_BYTES: usize = 200;

/// What proves that Meta calls.
pub(super) struct Keys {
    app_secret: hmac::Key,
    verify_token: Secret,
}

impl Keys {
    pub(super) fn new(app_secret: &Secret, verify_token: Secret) -> Self {
        let app_secret = hmac::Key::new(hmac::HMAC_SHA256, app_secret.expose().as_bytes());
        Self { app_secret, verify_token }
    }

    /// The answer to the handshake: its challenge, for whoever knows our token.
    fn shake_hands(&self, text: &str) -> WebhookReply {
        let query = query(text);
        let word = |name: &str| query.get(name).map_or("", String::as_str);
        let shown = word("hub.verify_token").as_bytes();
        let is_good = bool::from(shown.ct_eq(self.verify_token.expose().as_bytes()));
        let challenge = word("hub.challenge");
        let plain = challenge.chars().all(|it| it.is_ascii_alphanumeric() || "-_.".contains(it));
        let fits = (1..=MAX_CHALLENGE_BYTES).contains(&challenge.len());
        if word("hub.mode") == "subscribe" && is_good && plain && fits {
            WebhookReply::text(challenge)
        } else {
            WebhookReply::status(403)
        }
    }

    /// Whether the body is signed with our app's secret. It is the raw body that counts: Meta escapes what is not ASCII
    /// in its own way.
    fn is_signed(&self, request: &Webhook) -> bool {
        let given = request.headers.get(SIGNATURE).and_then(|it| it.strip_prefix("sha256="));
        let tag = given.and_then(unhex);
        tag.is_some_and(|it| hmac::verify(&self.app_secret, &request.body, &it).is_ok())
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |it: u8| char::from(it).to_digit(16).and_then(|it| u8::try_from(it).ok());
    let pair = |it: &[u8]| Some(digit(*it.first()?)? << 4 | digit(*it.get(1)?)?);
    text.as_bytes().chunks(2).map(pair).collect()
}

impl Whatsapp {
    pub(super) async fn take_webhooks(&self, intake: &mut Intake) -> Result<(), ChannelError> {
        let pulse = intake.pulse.clone();
        take_all(intake, |request| self.take(request, &pulse)).await
    }

    fn take(&self, request: &Webhook, pulse: &Pulse) -> Taken {
        if request.method == "GET" {
            let reply = self.hook.shake_hands(&request.query);
            if reply.status == 200 {
                info!(account = %self.profile.account, "Meta has verified the callback address");
                pulse.beat(self.clock.now());
            }
            return Taken::Reply(reply);
        }
        if !self.hook.is_signed(request) {
            let status = if request.headers.contains_key(SIGNATURE) { 403 } else { 401 };
            return Taken::Reply(WebhookReply::status(status));
        }
        pulse.beat(self.clock.now());
        // Of an event that can't be read, the signature is the key: the same bytes have the same.
        let signature = request.headers.get(SIGNATURE).map_or("", String::as_str);
        let reader = wire::Reader {
            account: &self.profile.account,
            number: &self.graph.number,
            unread_key: signature,
        };
        let events = match crate::json::read(&request.body) {
            Ok(body) => {
                reader.receipts(&body).for_each(|it| pulse.gave_back(it));
                reader.read(&body)
            }
            // It is from Meta, and sending it again would not mend it.
            Err(err) => reader.unknown(0, format!("no JSON: {err}")).into_iter().collect(),
        };
        for event in &events {
            self.note(event);
        }
        Taken::Store(events, WebhookReply::status(200))
    }

    /// Remembers the last message of a chat, which is what gets a read mark.
    fn note(&self, event: &Inbound) {
        if let Happening::Message(content) = &event.what {
            self.heard(event.place.jid.chat(), &content.platform_id);
        }
    }

    /// Proves the token; returns only when it is no good. Meanwhile, and while Meta's API is away, messages are taken.
    pub(super) async fn introduce(&self, pulse: Pulse) -> ChannelError {
        let mut backoff = FIRST_WAIT;
        loop {
            match self.graph.me().await {
                Ok(me) => {
                    info!(account = %self.profile.account, "the number is `{}`", me.name);
                    pulse.beat(self.clock.now());
                    return std::future::pending().await;
                }
                Err(err @ GraphError::Refused { .. }) => {
                    let err = err.doing("ask who the number is");
                    if err.retry == Retry::Never {
                        return err;
                    }
                }
                Err(err) => {
                    error!(account = %self.profile.account, "could not ask who the number is: {err}")
                }
            }
            self.clock.sleep(backoff).await;
            backoff = (backoff * 2).min(LONGEST_WAIT);
        }
    }
}

/// Waits between two tries to prove the token.
const FIRST_WAIT: std::time::Duration = std::time::Duration::from_secs(1);
const LONGEST_WAIT: std::time::Duration = std::time::Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex() {
        #[rustfmt::skip]
        let table = [
            ("00ff",  Some(vec![0, 255])),
            ("",      Some(vec![])),
            ("0",     None),
            ("0g",    None),
            ("+1",    None),
        ];
        for (text, want) in table {
            assert_eq!(unhex(text), want, "{text}");
        }
    }

    #[test]
    fn only_who_knows_the_token_is_answered() {
        let keys = Keys::new(&Secret::new("app"), Secret::new("our token"));
        #[rustfmt::skip]
        let table = [
            ("hub.mode=subscribe&hub.verify_token=our+token&hub.challenge=1158201444", 200, "1158201444"),
            ("hub.mode=subscribe&hub.verify_token=other&hub.challenge=1",              403, ""),
            ("hub.mode=subscribe&hub.challenge=1",                                     403, ""),
            ("hub.mode=else&hub.verify_token=our%20token&hub.challenge=1",             403, ""),
            ("hub.mode=subscribe&hub.verify_token=our+token&hub.challenge=",           403, ""),
            ("hub.mode=subscribe&hub.verify_token=our+token&hub.challenge=%3Cb%3E",    403, ""),
            ("",                                                                       403, ""),
        ];
        for (query, status, body) in table {
            let got = keys.shake_hands(query);
            assert_eq!((got.status, got.body.as_str()), (status, body), "{query}");
        }
    }
}
