//! Webhook: Telegram posts each update to us.

use serde_json::json;
use subtle::ConstantTimeEq as _;
use tracing::warn;

use super::{
    Telegram, WebhookConfig,
    poll::{ALLOWED, Aside, beside},
    wire,
};
use crate::{ChannelError, Intake, Webhook, WebhookReply};

/// The header with the secret, in lower case.
const SECRET_HEADER: &str = "x-telegram-bot-api-secret-token";

/// Longest body of an update, in bytes.
const MAX_UPDATE_BYTES: usize = 1 << 20;

impl Telegram {
    pub(super) async fn take_webhooks(
        &self,
        hook: &WebhookConfig,
        intake: &mut Intake,
    ) -> Result<(), ChannelError> {
        let asked = json!({
            "url": hook.public_url, "secret_token": hook.secret.expose(), "allowed_updates": ALLOWED,
        });
        let set = self.api.call("setWebhook", &asked).await;
        set.map_err(|it| it.doing("set the webhook"))?;
        // Before the first update: whether the bot is meant must be known when it comes.
        self.me().await?;
        intake.pulse.beat(self.clock.now());
        let mut aside = Aside::new();
        loop {
            let request = tokio::select! {
                request = beside(&mut aside, intake.webhooks.recv()) => request,
                () = intake.stop.cancelled() => return Ok(()),
            };
            let Some(request) = request else { return Ok(()) };
            let status = self.take(hook, intake, &request, &mut aside).await?;
            let reply = WebhookReply { status, body: String::new() };
            if request.reply.send(reply).is_err() {
                // Who asked is gone; Telegram posts the update again, and its key drops it.
                tracing::debug!(account = %self.profile.account, "a webhook caller did not wait for its answer");
            }
        }
    }

    /// The status for one request.
    async fn take<'a>(
        &'a self,
        hook: &WebhookConfig,
        intake: &Intake,
        request: &Webhook,
        aside: &mut Aside<'a>,
    ) -> Result<u16, ChannelError> {
        if request.method != "POST" {
            return Ok(405);
        }
        let given = request.headers.get(SECRET_HEADER).map_or("", String::as_str);
        if !bool::from(given.as_bytes().ct_eq(hook.secret.expose().as_bytes())) {
            warn!(account = %self.profile.account, "a webhook request had the wrong secret");
            return Ok(401);
        }
        intake.pulse.beat(self.clock.now());
        if MAX_UPDATE_BYTES < request.body.len() {
            warn!(account = %self.profile.account, bytes = request.body.len(), "an update was too long and is refused");
            return Ok(413);
        }
        let Ok(update) = crate::json::read(&request.body) else {
            // It is from Telegram, and posting it again would not mend it.
            warn!(account = %self.profile.account, "an update was no JSON and is dropped");
            return Ok(200);
        };
        let me = self.me().await?;
        let read = wire::read_all(std::slice::from_ref(&update), &self.profile.account, me);
        Ok(if self.store(intake, read, aside).await? { 200 } else { 503 })
    }
}
