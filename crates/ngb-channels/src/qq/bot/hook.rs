//! Callbacks: <https://bot.q.qq.com/wiki/develop/api-v2/dev-prepare/interface-framework/event-emit.html>.
//!
//! Each is signed with Ed25519 by a key that both sides make of the bot's secret; one that is not is refused before anything
//! of it is read.

use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use serde_json::json;
use tracing::warn;

use super::{QqBot, wire};
use crate::{
    ChannelError, Intake, Webhook, WebhookReply,
    hook::{Taken, take_all},
};

/// Bytes of the key's seed: the secret, as often as it takes.
const SEED_BYTES: usize = 32;

/// What QQ asks for when the address is set in the console, and what an event is.
const CHECK: u64 = 13;
const DISPATCH: u64 = 0;

/// That an event was taken.
const TAKEN: &str = r#"{"op":12}"#;

/// The key of a secret; none of an empty one.
pub(super) fn key_of(secret: &str) -> Option<Ed25519KeyPair> {
    let seed: Vec<u8> = secret.bytes().cycle().take(SEED_BYTES).collect();
    Ed25519KeyPair::from_seed_unchecked(&seed).ok()
}

/// Whether QQ signed this.
pub(super) fn is_signed(key: &Ed25519KeyPair, signature: &str, time: &str, body: &[u8]) -> bool {
    let Some(signature) = from_hex(signature) else { return false };
    let said = [time.as_bytes(), body].concat();
    UnparsedPublicKey::new(&ED25519, key.public_key()).verify(&said, &signature).is_ok()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|it| it.to_digit(16).and_then(|it| u8::try_from(it).ok())).collect();
    let digits = digits.filter(|it| it.len().is_multiple_of(2))?;
    Some(digits.chunks(2).map(|it| it[0] << 4 | it[1]).collect())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|it| format!("{it:02x}")).collect()
}

impl QqBot {
    pub(super) async fn take_calls(&self, intake: &mut Intake) -> Result<(), ChannelError> {
        let Some(key) = key_of(self.secret.expose()) else {
            return Err(super::api::ApiError::unfit("the bot's secret is empty").doing("listen"));
        };
        let me = self.me().await?;
        intake.pulse.beat(self.api.clock().now());
        let pulse = intake.pulse.clone();
        take_all(intake, |request| {
            let taken = self.read_call(&key, me, request);
            if let Taken::Store(..) = &taken {
                pulse.progress(self.api.clock().now());
            }
            taken
        })
        .await
    }

    fn read_call(&self, key: &Ed25519KeyPair, me: &wire::Me, request: &Webhook) -> Taken {
        let account = &self.profile.account;
        if request.method != "POST" {
            return Taken::Reply(WebhookReply::status(405));
        }
        let head = |name: &str| request.headers.get(name).map_or("", String::as_str);
        let (signature, time) = (head("x-signature-ed25519"), head("x-signature-timestamp"));
        if !is_signed(key, signature, time, &request.body) {
            warn!(%account, "a call is refused: its signature is wrong; compare the secret with the console's");
            return Taken::Reply(WebhookReply::status(401));
        }
        let body = crate::json::read(&request.body).unwrap_or_default();
        let d = &body["d"];
        match body["op"].as_u64() {
            Some(CHECK) => {
                let said = |name: &str| d[name].as_str().unwrap_or_default().to_owned();
                let token = said("plain_token");
                let signed = key.sign(format!("{}{token}", said("event_ts")).as_bytes());
                let answer = json!({"plain_token": token, "signature": hex(signed.as_ref())});
                Taken::Reply(WebhookReply::text(answer.to_string()))
            }
            Some(DISPATCH) => {
                let said = wire::Said {
                    kind: body["t"].as_str().unwrap_or("no type"),
                    id: body["id"].as_str().unwrap_or_default(),
                    d,
                    account,
                    me,
                    now: self.api.clock().now(),
                };
                match wire::read(&said) {
                    Some(event) => {
                        self.note(&event);
                        Taken::Store(vec![event], WebhookReply::text(TAKEN))
                    }
                    None => Taken::Reply(WebhookReply::text(TAKEN)),
                }
            }
            _ => Taken::Reply(WebhookReply::text(TAKEN)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures() {
        // The example of the page.
        let key = key_of("naOC0ocQE3shWLAfffVLB1rhYPG7").unwrap();
        let sign =
            |time: &str, body: &[u8]| hex(key.sign(&[time.as_bytes(), body].concat()).as_ref());
        let (time, body) =
            ("1725442341", br#"{"op":0,"d":{},"t":"GATEWAY_EVENT_NAME"}"#.as_slice());
        let good = sign(time, body);
        #[rustfmt::skip]
        let table = [
            (good.as_str(),         time,         body,            true),
            (good.as_str(),         "1725442342", body,            false),
            (good.as_str(),         time,         b"{}".as_slice(), false),
            (&good[2..],            time,         body,            false),
            ("",                    time,         body,            false),
            ("zz",                  time,         body,            false),
            ("é",                   time,         body,            false),
        ];
        for (signature, time, body, want) in table {
            assert_eq!(is_signed(&key, signature, time, body), want, "{signature}");
        }
        assert!(key_of("").is_none());
        // The other example: the answer to the check of an address.
        let key = key_of("DG5g3B4j9X2KOErG").unwrap();
        let answer = hex(key.sign(b"1725442341Arq0D5A61EgUu4OxUvOp").as_ref());
        assert_eq!(
            answer,
            "87befc99c42c651b3aac0278e71ada338433ae26fcb24307bdc5ad38c1adc2d01bcfcadc0842edac85e85205028a1132afe09280305f13aa6909ffc2d652c706"
        );
    }
}
