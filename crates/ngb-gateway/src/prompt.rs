//! What the agent is given: the messages as data, with who wrote them, when, and the files that came with them.

use futures_util::StreamExt as _;
use ngb_core::{
    frame::{Prompt, PromptId, PromptMessage},
    message::{Author, MediaKind, MediaRef},
    role::Role,
    text::shorten,
};
use ngb_store::{JobKind, StoredMessage, WorkJob};
use tokio::io::AsyncWriteExt as _;
use tracing::warn;

use crate::{homes::GROUP_INSIDE, turn::Turn};

/// Longest file that is fetched, in bytes. Telegram gives bots 20 MB.
const MAX_FILE_BYTES: u64 = 20 * 1024 * 1024;

/// Characters of a context message; the conversation is about the ones that are to be answered.
const MAX_CONTEXT_CHARS: usize = 2_000;

/// Characters of the message that another one answers.
const MAX_REPLY_CHARS: usize = 500;

/// The prompt of the jobs that a run began with.
pub(crate) async fn build(turn: &Turn<'_>) -> Prompt {
    of(turn, turn.prompt, &turn.work.jobs, &turn.work.context).await
}

/// A prompt of some of a run's jobs, which are never none, and of what was said beside them.
pub(crate) async fn of(
    turn: &Turn<'_>,
    id: PromptId,
    jobs: &[WorkJob],
    context: &[StoredMessage],
) -> Prompt {
    let engaged: Vec<(&StoredMessage, Role)> = (jobs.iter())
        .filter_map(|job| match &job.kind {
            JobKind::Message(message) => Some((&**message, job.role)),
            JobKind::Say { .. } | JobKind::Task { .. } => None,
        })
        .collect();
    // In a group the parts of an album that came before the one that names the bot were kept as context.
    let (early, context): (Vec<&StoredMessage>, Vec<&StoredMessage>) =
        context.iter().partition(|it| engaged.iter().any(|(of, _)| same_album(it, of)));
    let mut messages: Vec<PromptMessage> = (context.into_iter())
        .map(|it| shown(it, it.role.unwrap_or(Role::Guest), false, Vec::new()))
        .collect();
    let mut last: Option<&StoredMessage> = None;
    for (message, role) in engaged {
        let joins = last.is_some_and(|it| same_album(it, message));
        let mut part = shown(message, role, true, Vec::new());
        if !joins {
            for it in early.iter().filter(|it| same_album(it, message)) {
                part.files.extend(files(turn, it).await);
            }
        }
        part.files.extend(files(turn, message).await);
        match messages.last_mut().filter(|_| joins) {
            Some(whole) => join(whole, part),
            None => messages.push(part),
        }
        last = Some(message);
    }
    messages.extend(jobs.iter().filter_map(scheduled));
    let shared = turn.shared();
    let resumed = turn.had_effect.then(|| {
        "An earlier try at this was cut off after it had already changed something. Look at what is done, and go on \
         from there."
            .to_owned()
    });
    Prompt {
        id,
        messages,
        role: jobs[0].role,
        place: turn.place().to_string(),
        now: shared.clock.now(),
        zone: shared.limits.zone.clone(),
        session: turn.work.session.clone(),
        resumed,
        model: turn.answers.model.clone(),
        toolbox: turn.group.limits.toolbox(),
    }
}

/// Whether two messages are parts of one album.
fn same_album(a: &StoredMessage, b: &StoredMessage) -> bool {
    a.content.album.is_some()
        && (&a.content.album, &a.place, &a.sender_id) == (&b.content.album, &b.place, &b.sender_id)
}

/// Adds a part of an album to the parts before it.
fn join(whole: &mut PromptMessage, part: PromptMessage) {
    whole.files.extend(part.files);
    if !whole.text.is_empty() && !part.text.is_empty() {
        whole.text.push('\n');
    }
    whole.text += &part.text;
}

/// What the clock asks, said by nobody.
fn scheduled(job: &WorkJob) -> Option<PromptMessage> {
    let JobKind::Task { task, text, slot_at } = &job.kind else { return None };
    Some(PromptMessage {
        sender: format!("task {task}, by the clock"),
        sender_id: format!("task:{task}"),
        role: job.role,
        text: text.clone(),
        sent_at: *slot_at,
        reply_to: None,
        files: Vec::new(),
        engaged: true,
    })
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
        .accounts
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
