//! What the agent is given: the messages as data, with who wrote them, when, and the files that came with them.

use futures_util::StreamExt as _;
use ngb_core::{
    frame::{Prompt, PromptMessage},
    message::{Author, MediaKind, MediaRef},
    role::Role,
    text::shorten,
};
use ngb_store::{JobKind, StoredMessage};
use tokio::io::AsyncWriteExt as _;
use tracing::warn;

use crate::{homes::GROUP_INSIDE, turn::Turn};

/// Longest file that is fetched, in bytes. Telegram gives bots 20 MB.
const MAX_FILE_BYTES: u64 = 20 * 1024 * 1024;

/// Characters of a context message; the conversation is about the ones that are to be answered.
const MAX_CONTEXT_CHARS: usize = 2_000;

/// Characters of the message that another one answers.
const MAX_REPLY_CHARS: usize = 500;

pub(crate) async fn build(turn: &Turn<'_>) -> Prompt {
    let mut messages = Vec::new();
    for message in &turn.work.context {
        messages.push(shown(message, message.role.unwrap_or(Role::Guest), false, Vec::new()));
    }
    for job in &turn.work.jobs {
        if let JobKind::Message(message) = &job.kind {
            let files = files(turn, message).await;
            messages.push(shown(message, job.role, true, files));
        }
    }
    let shared = turn.shared();
    let resumed = turn.had_effect.then(|| {
        "An earlier try at this was cut off after it had already changed something. Look at what is done, and go on \
         from there."
            .to_owned()
    });
    Prompt {
        id: turn.prompt,
        messages,
        role: turn.work.jobs[0].role,
        place: turn.place().to_string(),
        now: shared.clock.now(),
        zone: shared.limits.zone.clone(),
        session: turn.work.session.clone(),
        resumed,
        model: shared.limits.model.clone(),
    }
}

fn shown(message: &StoredMessage, role: Role, engaged: bool, files: Vec<String>) -> PromptMessage {
    let text = &message.content.text;
    PromptMessage {
        sender: match message.author {
            Author::User => message.sender_name.clone(),
            Author::Assistant | Author::System => message.author.as_str().to_owned(),
        },
        sender_id: message.sender_id.clone(),
        role,
        text: if engaged { text.clone() } else { shorten(text, MAX_CONTEXT_CHARS) },
        sent_at: message.sent_at,
        reply_to: message.reply_text.as_ref().map(|it| shorten(it, MAX_REPLY_CHARS)),
        files,
        engaged,
    }
}

/// Fetches what came with a message into the group's folder; the paths are those inside the sandbox. A file that can't
/// be had is named with the reason, so that the agent can say so.
async fn files(turn: &Turn<'_>, message: &StoredMessage) -> Vec<String> {
    let mut paths = Vec::new();
    for (n, media) in message.content.media.iter().enumerate() {
        let name = ngb_core::text::file_name(&media.name);
        let file = format!("{}-{n}-{name}", message.id);
        paths.push(match fetch(turn, message, media, file).await {
            Ok(relative) => format!("{GROUP_INSIDE}/{relative}"),
            Err(err) => {
                warn!("could not fetch `{name}` of message {}: {err:#}", message.id);
                format!("{name} (could not be fetched: {err})")
            }
        });
    }
    paths
}

async fn fetch(
    turn: &Turn<'_>,
    message: &StoredMessage,
    media: &MediaRef,
    file: String,
) -> anyhow::Result<String> {
    let shared = turn.shared();
    if media.kind == MediaKind::LongText {
        let text = shared.homes.long(&media.reference).await?;
        let (mut out, relative) = shared.homes.create_incoming(&turn.group.folder, file).await?;
        out.write_all(&text).await?;
        out.flush().await?;
        return Ok(relative);
    }
    let account = message.place.jid.account();
    let channel = shared
        .outboxes
        .channel(account)
        .ok_or_else(|| anyhow::anyhow!("account `{account}` is not set up any more"))?;
    let mut stream = channel.fetch(media).await?;
    let (mut out, relative) = shared.homes.create_incoming(&turn.group.folder, file).await?;
    let mut total = 0;
    while let Some(bytes) = stream.next().await {
        let bytes = bytes?;
        total += bytes.len() as u64;
        anyhow::ensure!(total <= MAX_FILE_BYTES, "it has more than {MAX_FILE_BYTES} bytes");
        out.write_all(&bytes).await?;
    }
    out.flush().await?;
    Ok(relative)
}
