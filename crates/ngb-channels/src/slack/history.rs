//! What was written while the gateway was away: <https://docs.slack.dev/reference/methods/conversations.history>.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

use ngb_core::{
    clock::Timestamp,
    message::{Happening, Inbound},
};
use serde_json::{Value, json};
use tracing::{info, warn};

use super::{
    Slack,
    api::ApiError,
    wire::{self, Me},
};
use crate::{ChannelError, Inbox, Retry};

/// How far back is looked; what is older is nobody's question any more.
const REACH: Duration = Duration::from_secs(24 * 60 * 60);

/// Most messages of one channel or thread that are fetched.
const MOST: usize = 1_000;

/// Most messages that are asked for at a time; Slack recommends no more than 200.
const PAGE: &str = "200";

/// A channel or one of its threads, and since when it may have been missed.
struct Gap {
    channel: String,
    thread: Option<String>,
    since: Timestamp,
}

impl Slack {
    /// Stores what people wrote since the last message of theirs that is stored, channel by channel and in order.
    ///
    /// # Errors
    ///
    /// When Slack or the store can't say now. A channel that the bot may not read any more is passed over.
    pub(super) async fn catch_up(&self, inbox: &Inbox) -> Result<(), ChannelError> {
        let me = self.me().await?;
        let marks = inbox.marks().await?;
        let reach = self.api.http.clock.now() - REACH;
        // A mention begins a thread, so a channel may be known by its threads alone.
        let mut channels: BTreeMap<&str, Timestamp> = BTreeMap::new();
        let mut own: HashMap<&str, Timestamp> = HashMap::new();
        let mut threads = Vec::new();
        for mark in &marks {
            let channel = mark.place.jid.chat();
            let since = mark.sent_at.max(reach);
            match &mark.place.thread {
                None => _ = own.insert(channel, since),
                Some(thread) => threads.push((channel, thread.to_string(), since)),
            }
            let newest = channels.entry(channel).or_insert(since);
            *newest = since.max(*newest);
        }
        for (channel, newest) in channels {
            let since = own.get(channel).copied().unwrap_or(newest);
            let mut gaps: Vec<Gap> = { threads.iter() }
                .filter(|it| it.0 == channel)
                .map(|(_, thread, since)| Gap {
                    channel: channel.to_owned(),
                    thread: Some(thread.clone()),
                    since: *since,
                })
                .collect();
            let gap = Gap { channel: channel.to_owned(), thread: None, since };
            let said = self.missed(&gap, me).await?;
            // Somebody may have begun a thread, or taken up one that we have never seen.
            for root in &said {
                let thread = root["ts"].as_str().unwrap_or_default();
                let known = gaps.iter().any(|it| it.thread.as_deref() == Some(thread));
                if root["reply_count"].as_u64().unwrap_or_default() != 0 && !known {
                    let thread = Some(thread.to_owned());
                    gaps.push(Gap { channel: channel.to_owned(), thread, since });
                }
            }
            let mut events = self.read(&gap, said, me).await;
            for gap in &gaps {
                let said = self.missed(gap, me).await?;
                events.extend(self.read(gap, said, me).await);
            }
            if !events.is_empty() {
                events.sort_by_key(|it| it.sent_at);
                // The root of a thread is in both.
                let mut seen = HashSet::new();
                events.retain(|it| seen.insert(it.event_key.clone()));
                info!(account = %self.profile.account, "fetched {} messages of `{channel}`", events.len());
                inbox.accept_all(events).await?;
            }
        }
        Ok(())
    }

    /// What was said in a gap, the oldest first; nothing where the bot may not look.
    async fn missed(&self, gap: &Gap, me: &Me) -> Result<Vec<Value>, ChannelError> {
        match self.history(gap).await {
            Ok(said) => Ok(said),
            Err(err) => {
                let err = err.doing(format!("fetch what was missed in `{}`", gap.channel));
                if err.retry != Retry::Never {
                    return Err(err);
                }
                let error = &err as &(dyn std::error::Error + 'static);
                warn!(account = %self.profile.account, bot = %me.name, error, "what was missed stays unknown");
                Ok(Vec::new())
            }
        }
    }

    async fn history(&self, gap: &Gap) -> Result<Vec<Value>, ApiError> {
        let oldest = format!("{}.{:03}000", gap.since.0 / 1000, gap.since.0 % 1000);
        let mut found: Vec<Value> = Vec::new();
        let mut cursor = String::new();
        loop {
            let mut query = vec![
                ("channel", gap.channel.as_str()),
                ("oldest", oldest.as_str()),
                ("inclusive", "true"),
                ("limit", PAGE),
            ];
            let method = match &gap.thread {
                Some(thread) => {
                    query.push(("ts", thread));
                    "conversations.replies"
                }
                None => "conversations.history",
            };
            if !cursor.is_empty() {
                query.push(("cursor", &cursor));
            }
            let page = match self.api.get(method, &query).await {
                // An order, not a failure; what is new is not kept waiting for it, see `receive`.
                Err(ApiError::TooMany(wait)) => {
                    self.api.http.clock.sleep(wait).await;
                    continue;
                }
                page => page?,
            };
            found.extend(page["messages"].as_array().into_iter().flatten().cloned());
            let next = page["response_metadata"]["next_cursor"].as_str().unwrap_or_default();
            if page["has_more"] != true || next.is_empty() || MOST <= found.len() {
                break;
            }
            next.clone_into(&mut cursor);
        }
        // Ids of one length: their order is that of time.
        found.sort_by(|a, b| a["ts"].as_str().cmp(&b["ts"].as_str()));
        Ok(found)
    }

    /// The events that would have told of these messages, with the same keys.
    async fn read(&self, gap: &Gap, said: Vec<Value>, me: &Me) -> Vec<Inbound> {
        let mut events = Vec::new();
        for mut message in said {
            message["channel"] = gap.channel.as_str().into();
            let envelope = json!({"type": "events_api", "payload": {"event": message}});
            let Some(event) = wire::read(&envelope, &self.profile.account, me) else { continue };
            // A thread's root comes with its answers, however old it is.
            if matches!(event.what, Happening::Message(_)) && gap.since <= event.sent_at {
                events.push(self.named(event, me).await);
            }
        }
        events
    }
}
