//! What comes with a message besides its text.

use ngb_core::{
    message::{MediaKind, MediaRef},
    text::file_name,
};
use serde_json::Value;

/// The field of a message, what it is to us, and how it is named when nobody named it.
const KINDS: &[(&str, MediaKind, &str)] = &[
    ("photo", MediaKind::Photo, "photo.jpg"),
    // Before `document`, which repeats it for old clients.
    ("animation", MediaKind::Video, "animation.mp4"),
    ("document", MediaKind::Document, "file"),
    ("voice", MediaKind::Voice, "voice.ogg"),
    ("audio", MediaKind::Audio, "audio.mp3"),
    ("video", MediaKind::Video, "video.mp4"),
    ("video_note", MediaKind::Video, "video-note.mp4"),
    ("sticker", MediaKind::Sticker, "sticker.webp"),
];

/// The file of a message; Telegram puts one in each, and an album is several messages with one `media_group_id`.
pub(super) fn read(message: &Value) -> Vec<MediaRef> {
    let file = KINDS.iter().find_map(|(field, kind, name)| {
        let file = match message.get(field)? {
            // One photo in several sizes.
            Value::Array(sizes) => sizes.iter().max_by_key(|it| {
                (
                    it["width"].as_u64().unwrap_or(0) * it["height"].as_u64().unwrap_or(0),
                    it["file_size"].as_u64(),
                )
            })?,
            file => file,
        };
        let reference = file["file_id"].as_str()?.to_owned();
        let id = message["message_id"].as_i64().unwrap_or_default();
        let name = file["file_name"].as_str().map_or_else(|| format!("{id}-{name}"), file_name);
        Some(MediaRef {
            kind: *kind,
            reference,
            name,
            media_type: file["mime_type"].as_str().map(str::to_owned),
            size_bytes: file["file_size"].as_u64(),
        })
    });
    file.into_iter().collect()
}

/// What is no file and no text, said in words: a sticker, a place, a person.
pub(super) fn in_words(message: &Value) -> Option<String> {
    if let Some(emoji) = message["sticker"]["emoji"].as_str() {
        return Some(emoji.to_owned());
    }
    // A venue comes with its location beside it.
    if let Some(venue) = message.get("venue") {
        let words = |key: &str| venue[key].as_str().unwrap_or_default();
        let at = position(&venue["location"])?;
        return Some(format!("[venue: {}, {} ({at})]", words("title"), words("address")));
    }
    if let Some(location) = message.get("location") {
        return Some(format!("[location: {}]", position(location)?));
    }
    if let Some(contact) = message.get("contact") {
        let words = |key: &str| contact[key].as_str().unwrap_or_default();
        let name = format!("{} {}", words("first_name"), words("last_name"));
        return Some(format!("[contact: {}, {}]", name.trim(), words("phone_number")));
    }
    if let Some(dice) = message.get("dice") {
        return Some(format!("{} {}", dice["emoji"].as_str()?, dice["value"].as_u64()?));
    }
    if let Some(question) = message["poll"]["question"].as_str() {
        let options = message["poll"]["options"].as_array().into_iter().flatten();
        let options: Vec<&str> = options.filter_map(|it| it["text"].as_str()).collect();
        return Some(format!("[poll: {question} ({})]", options.join(" / ")));
    }
    None
}

fn position(location: &Value) -> Option<String> {
    let (latitude, longitude) = (location["latitude"].as_f64()?, location["longitude"].as_f64()?);
    Some(format!("{latitude}, {longitude}"))
}
