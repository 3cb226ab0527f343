//! The slash commands that the bot offers: <https://docs.discord.com/developers/interactions/application-commands>.

use std::sync::atomic::{AtomicBool, Ordering};

use ngb_core::{command::Verb, notice::Lang, text::shorten};
use serde_json::{Value, json};
use tracing::warn;

use super::{Discord, api::ApiError, known::list};
use crate::{Answer, ChannelError, http::HttpError};

/// Asks the agent, where the bot can't be named or messages can't be read.
pub(super) const ASK: &str = "ask";

/// The right to read what people write, on in the bot's settings; the second one is that of a bot in few servers
/// (<https://docs.discord.com/developers/resources/application#application-object-application-flags>).
const MESSAGE_CONTENT: [i64; 2] = [1 << 18, 1 << 19];

/// Whether the commands were offered since the start.
#[derive(Default)]
pub(super) struct Offered(AtomicBool);

/// Longest description of a command, in characters.
const MAX_DESCRIPTION_CHARS: usize = 100;

/// Our commands: the agent's, and those of the gateway itself. Others that the application has stay.
fn ours() -> Vec<Value> {
    let text = |description: &str, required: bool| json!([{"type": 3, "name": "text", "description": description, "required": required}]);
    let ask = json!({
        "type": 1, "name": ASK, "description": "ask the agent", "description_localizations": {"zh-CN": "问代理"},
        "options": text("what to ask", true),
    });
    let own = Verb::ALL.iter().map(|verb| {
        let [name, zh] = verb.names();
        let help = |lang| shorten(verb.help(lang), MAX_DESCRIPTION_CHARS);
        let takes = matches!(verb, Verb::Why | Verb::Approve | Verb::Deny);
        json!({
            "type": 1, "name": name, "name_localizations": {"zh-CN": zh}, "description": help(Lang::En),
            "description_localizations": {"zh-CN": help(Lang::Zh)},
            "options": if takes { text("which", *verb != Verb::Why) } else { json!([]) },
        })
    });
    std::iter::once(ask).chain(own).collect()
}

impl Discord {
    /// Offers the commands that are missing, once in a process. Without them the bot works too, so a failure is only
    /// told.
    pub(super) async fn offer_commands(&self) {
        if self.offered.0.swap(true, Ordering::Relaxed) {
            return;
        }
        if let Err(err) = self.add_missing_commands().await {
            self.offered.0.store(false, Ordering::Relaxed);
            warn!(account = %self.profile.account, "the slash commands could not be offered: {err}");
        }
    }

    async fn add_missing_commands(&self) -> Result<(), ApiError> {
        let application = self.known.me().application;
        if application.is_empty() {
            return Err(ApiError::unfit("Discord named no application"));
        }
        let path = format!("/applications/{application}/commands");
        let there = self.api.get(&path).await?;
        for command in ours() {
            let same = |it: &Value| {
                it["name"] == command["name"] && it["description"] == command["description"]
            };
            if !list(&there).any(same) {
                self.api.post(&path, &command).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn who_am_i(&self) -> Result<Answer, ChannelError> {
        let doing = |it: ApiError| it.doing("ask who the bot is");
        let me = self.api.get("/users/@me").await.map_err(doing)?;
        let application = self.api.get("/applications/@me").await.map_err(doing)?;
        let mut remarks = Vec::new();
        let flags = application["flags"].as_i64().unwrap_or_default();
        if MESSAGE_CONTENT.iter().all(|it| flags & it == 0) {
            remarks.push(
                "the bot may not read messages; turn on Message Content Intent on the page Bot (Privileged Gateway Intents)"
                    .to_owned(),
            );
        }
        match (me["id"].as_str(), me["username"].as_str()) {
            (Some(id), Some(name)) => {
                Ok(Answer::Me { id: id.to_owned(), name: name.to_owned(), remarks })
            }
            _ => {
                Err(HttpError::Unfit("Discord named no bot".to_owned()).doing("ask who the bot is"))
            }
        }
    }
}
