//! Reactions, both ways: <https://docs.slack.dev/reference/methods/reactions.add>,
//! <https://docs.slack.dev/reference/events/reaction_added>.

use ngb_core::{
    address::Place,
    message::{Happening, Sent},
    reaction::came_or_went,
};
use serde_json::{Value, json};

use super::{Slack, api::ApiError};
use crate::{ChannelError, emoji};

impl Slack {
    /// Puts a reaction there or takes it away; that it is so already is no failure.
    pub(super) async fn change(
        &self,
        method: &str,
        already: &str,
        to: &Place,
        platform_id: &str,
        emoji: &str,
    ) -> Result<Sent, ChannelError> {
        let doing = |it: ApiError| it.doing(format!("react to `{platform_id}` in `{to}`"));
        let Some(name) = emoji::to_slack(emoji) else {
            return Err(doing(ApiError::unfit(format!("Slack has no reaction `{emoji}`"))));
        };
        let asked = json!({"channel": to.jid.chat(), "timestamp": platform_id, "name": name});
        match self.api.call(method, &asked).await {
            Err(err) if !err.says(already) => Err(doing(err)),
            _ => Ok(Sent::default()),
        }
    }
}

/// A `reaction_added` or `reaction_removed`; none when it stands under no message, but a file.
pub(super) fn read(event: &Value) -> Option<Happening> {
    let of = event["item"]["ts"].as_str()?;
    let name = [emoji::from_slack(event["reaction"].as_str()?)];
    Some(came_or_went(of, &name, event["type"] == "reaction_added"))
}
