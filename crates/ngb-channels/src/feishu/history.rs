//! What was written while the gateway was away: <https://open.feishu.cn/document/server-docs/im-v1/message/list>.

use std::time::Duration;

use ngb_core::{address::Place, clock::Timestamp, message::Inbound};
use serde_json::Value;
use tracing::{info, warn};

use super::{
    Feishu,
    api::ApiError,
    wire::{self, Me, Said},
};
use crate::{ChannelError, Inbox, Retry};

/// How far back is looked; what is older is nobody's question any more.
const REACH: Duration = Duration::from_secs(24 * 60 * 60);

/// Most messages of one place that are fetched.
const MOST: usize = 1_000;

/// Most messages that Feishu gives at a time.
const PAGE: &str = "50";

impl Feishu {
    /// Stores what people wrote since the last message of theirs that is stored, place by place and in order.
    ///
    /// # Errors
    ///
    /// When Feishu or the store can't say now. A place that the bot may not read is passed over.
    pub(super) async fn catch_up(&self, inbox: &Inbox, me: &Me) -> Result<(), ChannelError> {
        for mark in inbox.marks().await? {
            let since = mark.sent_at.max(self.api.clock().now() - REACH);
            let missed = match self.history(&mark.place, since, me).await {
                Ok(missed) => missed,
                Err(err) => {
                    let err = err.doing(format!("fetch what was missed in `{}`", mark.place));
                    if err.retry != Retry::Never {
                        return Err(err);
                    }
                    let error = &err as &(dyn std::error::Error + 'static);
                    warn!(account = %self.profile.account, error, "what was missed stays unknown");
                    continue;
                }
            };
            let mut named = Vec::with_capacity(missed.len());
            for event in missed {
                named.push(self.named(event).await);
            }
            if !named.is_empty() {
                info!(account = %self.profile.account, "fetched {} messages of `{}`", named.len(), mark.place);
                inbox.accept_all(named).await?;
            }
        }
        Ok(())
    }

    /// What people wrote in a place since then, the oldest first; the first may be known already.
    async fn history(
        &self,
        place: &Place,
        since: Timestamp,
        me: &Me,
    ) -> Result<Vec<Inbound>, ApiError> {
        let chat = place.jid.chat();
        if !chat.starts_with("oc_") {
            return Ok(Vec::new());
        }
        let facts = self.api.get(&format!("/open-apis/im/v1/chats/{chat}"), &[]).await?;
        let is_direct = facts["data"]["chat_mode"] == "p2p";
        let container = match &place.thread {
            Some(root) => match self.topic_of(root).await? {
                Some(topic) => ("thread", topic),
                None => return Ok(Vec::new()),
            },
            None => ("chat", chat.to_owned()),
        };
        let start = (since.0 / 1000).to_string();
        let mut found: Vec<Value> = Vec::new();
        let mut token = String::new();
        loop {
            let mut query = vec![
                ("container_id_type", container.0),
                ("container_id", container.1.as_str()),
                ("sort_type", "ByCreateTimeAsc"),
                ("page_size", PAGE),
            ];
            if container.0 == "chat" {
                query.push(("start_time", &start));
            }
            if !token.is_empty() {
                query.push(("page_token", &token));
            }
            let page = self.api.get("/open-apis/im/v1/messages", &query).await?;
            found.extend(page["data"]["items"].as_array().into_iter().flatten().cloned());
            let next = page["data"]["page_token"].as_str().unwrap_or_default();
            if page["data"]["has_more"] != true || next.is_empty() || MOST <= found.len() {
                break;
            }
            next.clone_into(&mut token);
        }
        let read = |message: &Value| {
            let said = Said::of_history(message, is_direct);
            wire::read_message(&said, &self.profile.account, me)?
        };
        let is_missed = |it: &Inbound| since <= it.sent_at && it.place == *place;
        Ok(found.iter().filter_map(read).filter(is_missed).collect())
    }

    /// The topic that a message began.
    async fn topic_of(&self, root: &str) -> Result<Option<String>, ApiError> {
        let found = self.api.get(&format!("/open-apis/im/v1/messages/{root}"), &[]).await?;
        Ok(found["data"]["items"][0]["thread_id"].as_str().map(str::to_owned))
    }
}
