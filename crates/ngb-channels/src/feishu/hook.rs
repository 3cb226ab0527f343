//! Callbacks: <https://open.feishu.cn/document/event-subscription-guide/event-subscription-configure-/request-url-configuration-case>.
//!
//! Every call is encrypted and signed; one that is not is refused before anything of it is read.

use serde_json::json;
use tracing::warn;

use super::{Feishu, crypt::Crypt, wire};
use crate::{
    ChannelError, Intake, Webhook, WebhookReply,
    hook::{Taken, take_all},
};

impl Feishu {
    pub(super) async fn take_calls(
        &self,
        crypt: &Crypt,
        intake: &mut Intake,
    ) -> Result<(), ChannelError> {
        let me = self.me().await?;
        intake.pulse.beat(self.api.clock().now());
        self.catch_up(&intake.inbox, me).await?;
        let pulse = intake.pulse.clone();
        take_all(intake, |request| {
            let taken = self.read_call(crypt, me, request);
            if let Taken::Store(..) = &taken {
                pulse.progress(self.api.clock().now());
            }
            taken
        })
        .await
    }

    fn read_call(&self, crypt: &Crypt, me: &wire::Me, request: &Webhook) -> Taken {
        let account = &self.profile.account;
        let refuse = |why: &str| {
            warn!(%account, "a call is refused: {why}");
            Taken::Reply(WebhookReply::status(401))
        };
        if request.method != "POST" {
            return Taken::Reply(WebhookReply::status(405));
        }
        let head = |name: &str| request.headers.get(name).map_or("", String::as_str);
        let (signature, time) = (head("x-lark-signature"), head("x-lark-request-timestamp"));
        let is_signed =
            crypt.is_signed(signature, time, head("x-lark-request-nonce"), &request.body);
        // The check of the address bears no signature, but the words are encrypted all the same.
        if !signature.is_empty() && !is_signed {
            return refuse("its signature is wrong; compare the Encrypt Key with the console's");
        }
        let Some(body) = crypt.decrypt(&request.body) else {
            return refuse(
                "it is not encrypted with our Encrypt Key; set the same one in the console",
            );
        };
        let token = body["header"]["token"].as_str().or(body["token"].as_str()).unwrap_or_default();
        if !crypt.is_token(token) {
            return refuse("its Verification Token is another one");
        }
        if body["type"] == "url_verification" {
            let answer = json!({"challenge": body["challenge"]});
            return Taken::Reply(WebhookReply::text(answer.to_string()));
        }
        if !is_signed {
            return refuse("it bears no signature");
        }
        // An empty object is an answer to a card as well.
        let reply = WebhookReply::text("{}");
        match wire::read(&body, account, me) {
            Some(event) => {
                self.visible.saw(&event);
                Taken::Store(vec![event], reply)
            }
            None => Taken::Reply(reply),
        }
    }
}
