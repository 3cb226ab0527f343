//! What people and agent said, kept as a file before the command line compacts it.

use std::{
    fs::{self, File},
    io::{self, BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
};

use ngb_core::{clock::Timestamp, text::shorten};
use serde_json::Value;

/// Where the files are, under the group's folder.
const FOLDER: &str = "conversations";

/// Characters of one message that are kept.
const MAX_MESSAGE_CHARS: usize = 2_000;

/// Characters of a title in a file's name.
const MAX_SLUG_CHARS: usize = 50;

/// Files of one name; each compaction of a day may have its own.
const MAX_SAME_NAME: u32 = 1_000;

/// Writes what `transcript` holds since its last compaction to `conversations/<date>-<slug>.md`; none where nothing was
/// said.
///
/// # Errors
///
/// When the transcript can't be read or the file not be written.
pub(super) fn keep(transcript: &Path, group: &Path, now: Timestamp) -> io::Result<Option<PathBuf>> {
    let conversation = read(transcript)?;
    if conversation.messages.is_empty() {
        return Ok(None);
    }
    let time = jiff::Timestamp::from_millisecond(now.0).unwrap_or_default();
    let slug = match conversation.title.as_deref().map(slug).filter(|it| !it.is_empty()) {
        Some(slug) => slug,
        None => time.strftime("conversation-%H%M").to_string(),
    };
    let folder = group.join(FOLDER);
    fs::create_dir_all(&folder)?;
    let name = format!("{}-{slug}", time.strftime("%Y-%m-%d"));
    let (mut file, path) = create(&folder, &name)?;
    writeln!(
        file,
        "# {}\n\nKept on {now}, before it was compacted.",
        conversation.title.unwrap_or(name)
    )?;
    for (who, text) in conversation.messages {
        write!(file, "\n**{who}**: {}\n", shorten(&text, MAX_MESSAGE_CHARS))?;
    }
    Ok(Some(path))
}

#[derive(Default)]
struct Conversation {
    title: Option<String>,
    /// Who said it, and what.
    messages: Vec<(String, String)>,
}

fn read(transcript: &Path) -> io::Result<Conversation> {
    let mut res = Conversation::default();
    for line in BufReader::new(File::open(transcript)?).lines() {
        // The last line may be half written.
        let Ok(entry) = serde_json::from_str::<Value>(&line?) else { continue };
        for key in ["summary", "aiTitle", "customTitle"] {
            if let Some(title) = entry[key].as_str() {
                res.title = Some(title.to_owned());
            }
        }
        if entry["subtype"] == "compact_boundary" {
            res.messages.clear();
        }
        if entry["isSidechain"] == true
            || entry["isMeta"] == true
            || entry["isCompactSummary"] == true
        {
            continue;
        }
        match entry["type"].as_str() {
            Some("user") => texts(&entry).iter().for_each(|it| said(it, &mut res.messages)),
            Some("assistant") => {
                res.messages.extend(texts(&entry).into_iter().map(|it| ("agent".to_owned(), it)));
            }
            _ => {}
        }
    }
    Ok(res)
}

fn texts(entry: &Value) -> Vec<String> {
    match &entry["message"]["content"] {
        Value::String(text) => vec![text.clone()],
        Value::Array(blocks) => {
            blocks.iter().filter_map(|it| it["text"].as_str().map(str::to_owned)).collect()
        }
        _ => Vec::new(),
    }
}

/// Takes the messages out of a prompt, which are JSON lines; anything else is kept as it is.
fn said(text: &str, messages: &mut Vec<(String, String)>) {
    let known = messages.len();
    for line in text.lines() {
        if let Ok(it) = serde_json::from_str::<Value>(line)
            && let (Some(sender), Some(text)) = (it["sender"].as_str(), it["text"].as_str())
        {
            messages.push((sender.to_owned(), text.to_owned()));
        }
    }
    if messages.len() == known && !text.trim().is_empty() {
        messages.push(("prompt".to_owned(), text.to_owned()));
    }
}

/// `title` as a part of a file's name: small letters and digits of any language, and `-`.
fn slug(title: &str) -> String {
    let mut res = String::new();
    for it in title.to_lowercase().chars().take(MAX_SLUG_CHARS) {
        if it.is_alphanumeric() {
            res.push(it);
        } else if !res.is_empty() && !res.ends_with('-') {
            res.push('-');
        }
    }
    res.trim_end_matches('-').to_owned()
}

/// A new file, never one that is there.
fn create(folder: &Path, name: &str) -> io::Result<(File, PathBuf)> {
    for number in 1..=MAX_SAME_NAME {
        let suffix = if number == 1 { String::new() } else { format!("-{number}") };
        let path = folder.join(format!("{name}{suffix}.md"));
        match File::create_new(&path) {
            Err(err) if err.kind() == io::ErrorKind::AlreadyExists => {}
            other => return Ok((other?, path)),
        }
    }
    Err(io::Error::other(format!("there are {MAX_SAME_NAME} files `{name}-…` already")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_said_since_the_last_compaction() {
        let dir = tempfile::tempdir().unwrap();
        let transcript = dir.path().join("s.jsonl");
        let user = |text: &str| json!({"type": "user", "message": {"content": text}});
        let agent = |text: &str| json!({"type": "assistant", "message": {"content": [{"type": "text", "text": text}, {"type": "tool_use"}]}});
        let envelope = format!("[now]\n{}", json!({"sender": "Ann", "text": "new"}));
        let side =
            json!({"type": "assistant", "isSidechain": true, "message": {"content": "inner"}});
        let lines = [
            user("old"),
            json!({"type": "system", "subtype": "compact_boundary"}),
            json!({"type": "user", "isCompactSummary": true, "message": {"content": "summed up"}}),
            user(&envelope),
            side,
            agent(&"x".repeat(3_000)),
        ];
        let write = |lines: &[Value]| {
            let text: String = lines.iter().map(|it| format!("{it}\n")).collect();
            fs::write(&transcript, text + "{\"type\":\"us").unwrap();
        };
        write(&lines);
        let now = Timestamp(1_795_365_000_042);
        let path = keep(&transcript, dir.path(), now).unwrap().unwrap();
        assert_eq!(path, dir.path().join("conversations/2026-11-22-conversation-1630.md"));
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains("**Ann**: new\n\n**agent**: xxx"), "{text}");
        assert!(!text.contains("old") && !text.contains("inner") && !text.contains("summed up"));
        assert!(text.len() < 2_200);
        let again = keep(&transcript, dir.path(), now).unwrap().unwrap();
        assert_ne!(again, path, "nothing is overwritten");
        write(&[user("hi"), json!({"type": "ai-title", "aiTitle": "Über: 猫, & Co!"})]);
        let titled = keep(&transcript, dir.path(), now).unwrap().unwrap();
        assert!(titled.ends_with("2026-11-22-über-猫-co.md"), "{titled:?}");
        fs::write(&transcript, "").unwrap();
        assert_eq!(keep(&transcript, dir.path(), now).unwrap(), None);
    }
}
