//! What was written while the gateway was away: <https://docs.discord.com/developers/resources/message#get-channel-messages>.

use std::time::Duration;

use ngb_core::{address::Place, clock::Timestamp, message::Inbound};
use serde_json::Value;
use tracing::{info, warn};

use super::{Discord, api::ApiError, known::list, wire};
use crate::{ChannelError, Inbox, Retry};

/// How far back is looked; what is older is nobody's question any more.
const REACH: Duration = Duration::from_secs(24 * 60 * 60);

/// Most messages of one place that are fetched.
const MOST: usize = 1_000;

/// Most messages that Discord gives at a time.
const PAGE: usize = 100;

/// When Discord's ids begin (<https://docs.discord.com/developers/reference#snowflakes>), in milliseconds since 1970.
const EPOCH_MS: i64 = 1_420_070_400_000;

/// When an id was made.
pub(super) fn instant(id: &str) -> Timestamp {
    let id: u64 = id.parse().unwrap_or_default();
    let since = i64::try_from(id >> 22).unwrap_or_default();
    Timestamp(if id == 0 { 0 } else { EPOCH_MS + since })
}

/// The least id of that instant.
fn least_id(at: Timestamp) -> u64 {
    u64::try_from(at.0.saturating_sub(EPOCH_MS)).unwrap_or_default() << 22
}

impl Discord {
    /// Stores what people wrote since the last message of theirs that is stored, place by place and in order.
    ///
    /// # Errors
    ///
    /// When Discord or the store can't say now. A place that the bot may not read any more is passed over.
    pub(super) async fn catch_up(&self, inbox: &Inbox) -> Result<(), ChannelError> {
        for mark in inbox.marks().await? {
            let since = mark.sent_at.max(self.api.now() - REACH);
            let missed = match self.history(&mark.place, since).await {
                Ok(missed) => missed,
                Err(err) if err.retry == Retry::Never => {
                    let error = &err as &(dyn std::error::Error + 'static);
                    warn!(account = %self.profile.account, error, "what was missed stays unknown");
                    continue;
                }
                Err(err) => return Err(err),
            };
            if !missed.is_empty() {
                info!(account = %self.profile.account, "fetched {} messages of `{}`", missed.len(), mark.place);
                inbox.accept_all(missed).await?;
            }
        }
        Ok(())
    }

    /// What people wrote in a place since then, the oldest first; the first may be known already.
    async fn history(&self, place: &Place, since: Timestamp) -> Result<Vec<Inbound>, ChannelError> {
        let doing = |it: ApiError| it.doing(format!("fetch what was missed in `{place}`"));
        let channel = place.thread.as_deref().unwrap_or(place.jid.chat());
        let mut after = least_id(since).saturating_sub(1);
        // What is fetched doesn't say whether it was written in a server, and nothing new is common.
        let room = self.api.get(&format!("/channels/{channel}")).await.map_err(doing)?;
        let last = room["last_message_id"].as_str().and_then(|it| it.parse::<u64>().ok());
        if last.is_some_and(|it| it <= after) {
            return Ok(Vec::new());
        }
        let mut found: Vec<Value> = Vec::new();
        loop {
            let path = format!("/channels/{channel}/messages?limit={PAGE}&after={after}");
            let page = self.api.get(&path).await.map_err(doing)?;
            let ids = list(&page).filter_map(|it| it["id"].as_str()?.parse::<u64>().ok());
            let Some(last) = ids.max().filter(|it| after < *it) else { break };
            after = last;
            let count = list(&page).count();
            for message in list(&page) {
                let mut message = message.clone();
                message["guild_id"] = room["guild_id"].clone();
                found.push(message);
            }
            if count < PAGE || MOST <= found.len() {
                break;
            }
        }
        found.sort_by_key(|it| it["id"].as_str().and_then(|it| it.parse::<u64>().ok()));
        let facts = self.known.lock();
        let read = |message: &Value| {
            let event = wire::read_message(message, &self.profile.account, &facts)?;
            Some(Inbound { place: place.clone(), ..event })
        };
        Ok(found.iter().filter_map(read).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_instants() {
        // The example of the page.
        let at = instant("175928847299117063");
        assert_eq!(at.to_string(), "2016-04-30T11:18:25.796Z");
        assert!(least_id(at) <= 175_928_847_299_117_063);
        assert_eq!(instant(&least_id(at).to_string()), at);
        assert_eq!((instant(""), instant("x")), (Timestamp(0), Timestamp(0)));
    }
}
