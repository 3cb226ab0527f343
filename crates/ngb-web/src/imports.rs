//! A history of messages that another program kept.

use axum::{Json, extract::State};
use ngb_core::{address::Place, clock::Timestamp, message::Author};
use ngb_gateway::store::ImportedMessage;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{App, door::Who, error::ApiError, groups, input::Input};

/// Most messages of one call.
const MAX_MESSAGES: usize = 1_000;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct History {
    /// The group's number, name or folder.
    group: String,
    messages: Vec<Told>,
}

/// A message of a history.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Told {
    chat_jid: String,
    thread: Option<String>,
    /// The platform's, which tells it from others of the chat.
    id: String,
    /// Whether the agent said it.
    is_from_me: bool,
    sender_id: String,
    sender_name: String,
    text: String,
    /// Milliseconds since 1970 in UTC.
    sent_at_ms: i64,
}

/// What became of them.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Kept {
    /// Those that were not there before.
    added: u64,
}

/// Keeps messages as they were; none makes a job, none is sent.
pub(crate) async fn add(
    State(app): State<App>,
    who: Who,
    Input(history): Input<History>,
) -> Result<Json<Kept>, ApiError> {
    if MAX_MESSAGES < history.messages.len() {
        return Err(ApiError::bad(format!("a call has {MAX_MESSAGES} messages at most")));
    }
    let group = groups::find(&app, &history.group)?;
    let mut all = Vec::new();
    for it in history.messages {
        all.push(ImportedMessage {
            place: Place {
                jid: groups::resolve(&app, &it.chat_jid)?,
                thread: it.thread.map(Into::into),
            },
            platform_id: it.id,
            author: if it.is_from_me { Author::Assistant } else { Author::User },
            sender_id: it.sender_id,
            sender_name: it.sender_name,
            text: it.text,
            sent_at: Timestamp(it.sent_at_ms),
            group: group.id,
        });
    }
    let added = app.gateway.store().import_messages(all).await?;
    let detail = format!("{added} messages of {}", group.name);
    app.gateway.store().audit(&who.name, "history imported", &detail).await?;
    Ok(Json(Kept { added }))
}
