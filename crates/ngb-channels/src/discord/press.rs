//! Interactions: buttons and slash commands.
//!
//! <https://docs.discord.com/developers/interactions/receiving-and-responding>: Discord waits 3 s for its answer, and shows
//! the person a failure then.

use ngb_core::{
    address::Account,
    message::{Addressed, Content, Happening, Inbound},
    notice::{Lang, Notice},
    text::shorten,
};
use serde_json::{Value, json};
use tracing::debug;

use super::{
    Discord, MAX_TEXT,
    commands::ASK,
    known::{Facts, list, text},
    wire,
};
use crate::Accepted;

/// A slash command.
const COMMAND: i64 = 2;

/// A button of ours.
const COMPONENT: i64 = 3;

/// Answers by a message (<https://docs.discord.com/developers/interactions/receiving-and-responding#interaction-response-object-interaction-callback-type>).
const MESSAGE: i64 = 4;

/// Answers by nothing that people see.
const NOTHING: i64 = 6;

/// A message that only the person sees who acted.
const EPHEMERAL: i64 = 1 << 6;

/// What an interaction holds.
pub(super) fn read(event: &Value, account: &Account, facts: &Facts) -> Option<Inbound> {
    let data = &event["data"];
    let id = text(&event["id"]);
    let what = match event["type"].as_i64() {
        Some(COMPONENT) => match (event["message"]["id"].as_str(), data["custom_id"].as_str()) {
            (Some(message), Some(value)) => {
                Happening::Pressed { platform_id: message.to_owned(), value: value.to_owned() }
            }
            _ => return wire::unknown("INTERACTION_CREATE/3", event, account, facts),
        },
        // Kind 1 is typed; the others are in the menu of a message or a person.
        Some(COMMAND) if data["type"].as_i64().unwrap_or(1) == 1 => {
            let is_direct = event["guild_id"].is_null();
            Happening::Message(Content {
                platform_id: format!("command:{id}"),
                text: said(data),
                addressed: if is_direct { Addressed::Direct } else { Addressed::Mention },
                ..Content::default()
            })
        }
        kind => {
            let kind = format!("INTERACTION_CREATE/{}", kind.unwrap_or_default());
            return wire::unknown(&kind, event, account, facts);
        }
    };
    wire::inbound(format!("i:{id}"), event, account, facts, what)
}

/// `/name value`; of `/ask` only what was asked.
fn said(data: &Value) -> String {
    let values = list(&data["options"]).map(|it| text(&it["value"]));
    let name = data["name"].as_str().unwrap_or_default();
    let head = if name == ASK { String::new() } else { format!("/{name}") };
    std::iter::once(head).chain(values).collect::<Vec<_>>().join(" ").trim().to_owned()
}

/// Who waits for an answer to an interaction.
pub(super) struct Waiting {
    id: String,
    token: String,
    /// What a command said, since Discord shows only its name.
    said: Option<String>,
}

impl Waiting {
    pub(super) fn of(event: &Value) -> Option<Self> {
        let said = (event["type"] == COMMAND).then(|| {
            let name = event["data"]["name"].as_str().unwrap_or_default();
            let said = said(&event["data"]);
            if name == ASK { said } else { format!("`{said}`") }
        });
        let (id, token) = (event["id"].as_str()?.to_owned(), event["token"].as_str()?.to_owned());
        Some(Self { id, token, said })
    }
}

impl Discord {
    /// Tells Discord that an interaction is on disk. The person sees at most a failure that was none, so a failure is
    /// only noted.
    pub(super) async fn acknowledge(&self, waiting: &Waiting, accepted: Accepted) {
        let nobody = json!({"parse": []});
        let body = match (&waiting.said, accepted) {
            (_, Accepted::NotYours) => {
                let word = Notice::NotYours.say(Lang::En, None);
                json!({"type": MESSAGE, "data": {"content": word, "flags": EPHEMERAL, "allowed_mentions": nobody}})
            }
            (Some(said), _) => {
                let said = shorten(&format!("> {}", said.replace('\n', "\n> ")), MAX_TEXT.max);
                json!({"type": MESSAGE, "data": {"content": said, "allowed_mentions": nobody}})
            }
            (None, _) => json!({"type": NOTHING}),
        };
        let path = format!("/interactions/{}/{}/callback", waiting.id, waiting.token);
        if let Err(err) = self.api.post(&path, &body).await {
            debug!(account = %self.profile.account, "an interaction could not be acknowledged: {err}");
        }
    }
}
