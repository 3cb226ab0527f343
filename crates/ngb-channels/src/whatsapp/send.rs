//! Sends: texts, questions with buttons, files, templates, and the sign that somebody types.

use std::path::Path;

use ngb_core::{
    address::Place,
    message::{Button, Sent},
    text::shorten,
};
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

use super::{Whatsapp, graph::GraphError, markup};
use crate::http::HttpError;

/// Longest text of a message, in characters.
/// <https://developers.facebook.com/documentation/business-messaging/whatsapp/messages/text-messages>
const MAX_BODY_CHARS: usize = 4_096;

/// Longest text above buttons, in characters.
/// <https://developers.facebook.com/documentation/business-messaging/whatsapp/messages/interactive-reply-buttons-messages>
const MAX_INTERACTIVE_CHARS: usize = 1_024;

/// Buttons of a message, and the longest label of one, in characters.
const MAX_BUTTONS: usize = 3;
const MAX_LABEL_CHARS: usize = 20;

/// Rows of a list, and the longest title of one, in characters.
const MAX_ROWS: usize = 10;
const MAX_ROW_CHARS: usize = 24;

/// Longest caption, in characters.
const MAX_CAPTION_CHARS: usize = 1_024;

/// Longest value of a template's parameter, in characters; the body as a whole may have 1,024.
const MAX_PARAMETER_CHARS: usize = 900;

/// A file on its way out.
pub(super) struct Upload<'a> {
    pub(super) path: &'a Path,
    pub(super) name: &'a str,
    pub(super) caption: &'a str,
    pub(super) reply_to: Option<&'a str>,
}

impl Whatsapp {
    pub(super) async fn send_text(
        &self,
        to: &Place,
        text: &str,
        reply_to: Option<&str>,
        buttons: &[Button],
    ) -> Result<Sent, GraphError> {
        let mut shown = markup::render(text);
        if MAX_BODY_CHARS < shown.chars().count() {
            text.clone_into(&mut shown);
        }
        let mut body = message(to);
        match question(&shown, buttons) {
            Some(interactive) => {
                body["type"] = "interactive".into();
                body["interactive"] = interactive;
            }
            None => {
                body["type"] = "text".into();
                body["text"] = json!({"body": with_options(&shown, buttons), "preview_url": false});
            }
        }
        answer(&mut body, reply_to);
        match self.post(body).await {
            Err(err) if err.is_window_closed() && self.template.is_some() => {
                self.send_template(to, &shown).await
            }
            sent => sent,
        }
    }

    pub(super) async fn react(
        &self,
        to: &Place,
        platform_id: &str,
        emoji: &str,
    ) -> Result<Sent, GraphError> {
        let done = self.stand(to, platform_id, emoji).await;
        if done.is_ok() {
            self.put.note(format!("{to}/{platform_id}"), emoji.to_owned());
        }
        done
    }

    /// Takes it away, unless another one stands there since: whoever reacts has one.
    pub(super) async fn unreact(
        &self,
        to: &Place,
        platform_id: &str,
        emoji: &str,
    ) -> Result<Sent, GraphError> {
        match self.put.take(&format!("{to}/{platform_id}")) {
            Some(last) if last == emoji => self.stand(to, platform_id, "").await,
            _ => Ok(Sent::default()),
        }
    }

    /// Has a reaction of ours stand under a message; an empty one takes it away.
    async fn stand(&self, to: &Place, platform_id: &str, emoji: &str) -> Result<Sent, GraphError> {
        let mut body = message(to);
        body["type"] = "reaction".into();
        body["reaction"] = json!({"message_id": platform_id, "emoji": emoji});
        self.post(body).await
    }

    /// Sends, and once more as no answer when the message that it answers is what Meta minds.
    async fn post(&self, mut body: Value) -> Result<Sent, GraphError> {
        let sent = match self.graph.message(&body).await {
            Err(GraphError::Refused { code: 100 | 131_009, text, .. })
                if !body["context"].is_null() && text.to_lowercase().contains("context") =>
            {
                body.as_object_mut().map(|it| it.remove("context"));
                self.graph.message(&body).await
            }
            sent => sent,
        };
        sent.map(|id| Sent { platform_id: Some(id) })
    }

    /// The text as the one parameter of the template, which may have no line ends and no tabs.
    async fn send_template(&self, to: &Place, text: &str) -> Result<Sent, GraphError> {
        let Some(template) = &self.template else {
            return Err(GraphError::Unfit("no template is set for the account".into()));
        };
        let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let parameter = json!({"type": "text", "text": shorten(&line, MAX_PARAMETER_CHARS)});
        let mut body = message(to);
        body["type"] = "template".into();
        body["template"] = json!({
            "name": template.name,
            "language": {"code": template.language},
            "components": [{"type": "body", "parameters": [parameter]}],
        });
        self.post(body).await
    }

    pub(super) async fn send_file(
        &self,
        to: &Place,
        upload: &Upload<'_>,
    ) -> Result<Sent, GraphError> {
        let file = tokio::fs::File::open(upload.path).await.map_err(HttpError::File)?;
        let facts = file.metadata().await.map_err(HttpError::File)?;
        let size = facts.len();
        if !facts.is_file() || size == 0 {
            let why =
                format!("`{}` is no file, or an empty one, which WhatsApp refuses", upload.name);
            return Err(GraphError::Unfit(why));
        }
        let kind = Kind::of(upload.name, size);
        if kind.max_bytes < size {
            let most = kind.max_bytes >> 20;
            let why = format!("`{}` is larger than the {most} MB that WhatsApp takes", upload.name);
            return Err(GraphError::Unfit(why));
        }
        // No more than was promised in the length, should the file grow meanwhile.
        let bytes = tokio_util::io::ReaderStream::new(tokio::io::AsyncReadExt::take(file, size));
        let part = Part::stream_with_length(reqwest::Body::wrap_stream(bytes), size)
            .file_name(upload.name.to_owned())
            .mime_str(kind.media_type)
            .map_err(|_| GraphError::Unfit("a media type of ours is none".into()))?;
        let form = Form::new().text("messaging_product", "whatsapp").text("type", kind.media_type);
        let id = self.graph.upload(form.part("file", part)).await?;

        let mut media = json!({"id": id});
        let caption = markup::render(upload.caption);
        if !caption.is_empty() && kind.field != "audio" {
            media["caption"] = shorten(&caption, MAX_CAPTION_CHARS).into();
        }
        if kind.field == "document" {
            media["filename"] = upload.name.into();
        }
        let mut body = message(to);
        body["type"] = kind.field.into();
        body[kind.field] = media;
        answer(&mut body, upload.reply_to);
        self.post(body).await
    }

    /// Marks the last message of the chat as read and shows that somebody types, for at most 25 seconds. WhatsApp ties
    /// both to a message; in a chat that was silent since the start there is none to tie them to.
    pub(super) async fn typing(&self, to: &Place) -> Result<Sent, GraphError> {
        let last = self.recent().iter().find(|it| it.0 == to.jid.chat()).map(|it| it.1.clone());
        if let Some(last) = last {
            let body = json!({
                "messaging_product": "whatsapp", "status": "read", "message_id": last,
                "typing_indicator": {"type": "text"},
            });
            self.graph.mark(&body).await?;
        }
        Ok(Sent::default())
    }
}

/// A message to a chat: a number, the id of a person whose number is hidden, or a group.
fn message(to: &Place) -> Value {
    let chat = to.jid.chat();
    let mut body = json!({"messaging_product": "whatsapp", "recipient_type": "individual"});
    if is_user_id(chat) {
        body["recipient"] = chat.into();
    } else {
        body["to"] = chat.into();
        if !chat.trim_start_matches('+').chars().all(|it| it.is_ascii_digit()) {
            body["recipient_type"] = "group".into();
        }
    }
    body
}

/// Whether it is a business-scoped user id: a country, a point, and more (`US.13491208655302741918`).
fn is_user_id(chat: &str) -> bool {
    let Some((country, rest)) = chat.split_once('.') else { return false };
    country.len() == 2 && country.chars().all(|it| it.is_ascii_uppercase()) && !rest.is_empty()
}

fn answer(body: &mut Value, reply_to: Option<&str>) {
    if let Some(id) = reply_to {
        body["context"] = json!({"message_id": id});
    }
}

/// A text with something to press: up to three buttons, or a list of up to ten. None when it doesn't fit either.
fn question(text: &str, buttons: &[Button]) -> Option<Value> {
    if buttons.is_empty() || MAX_INTERACTIVE_CHARS < text.chars().count() {
        return None;
    }
    let fit = |max: usize| buttons.iter().all(|it| (1..=max).contains(&it.label.chars().count()));
    if buttons.len() <= MAX_BUTTONS && fit(MAX_LABEL_CHARS) {
        let button =
            |it: &Button| json!({"type": "reply", "reply": {"id": it.value, "title": it.label}});
        let buttons: Vec<Value> = buttons.iter().map(button).collect();
        return Some(
            json!({"type": "button", "body": {"text": text}, "action": {"buttons": buttons}}),
        );
    }
    if buttons.len() <= MAX_ROWS && fit(MAX_ROW_CHARS) {
        let row = |it: &Button| json!({"id": it.value, "title": it.label});
        let rows: Vec<Value> = buttons.iter().map(row).collect();
        let action = json!({"button": "…", "sections": [{"rows": rows}]});
        return Some(json!({"type": "list", "body": {"text": text}, "action": action}));
    }
    None
}

/// The text with what can be answered, for a person to write.
fn with_options(text: &str, buttons: &[Button]) -> String {
    let options = buttons.iter().map(|it| format!("\n- {}", it.label)).collect::<String>();
    if options.is_empty() {
        text.to_owned()
    } else {
        shorten(&format!("{text}\n{options}"), MAX_BODY_CHARS)
    }
}

/// How a file is sent.
#[derive(Debug, PartialEq)]
struct Kind {
    /// The type of the message, and the field with the file.
    field: &'static str,
    media_type: &'static str,
    max_bytes: u64,
}

/// The kinds that are shown as what they are, up to these sizes; all else, and what is larger, is a document.
/// <https://developers.facebook.com/docs/whatsapp/cloud-api/reference/media#supported-media-types>
#[rustfmt::skip]
const KINDS: &[(&str, &str, &str, u64)] = &[
    ("jpg",  "image", "image/jpeg",  5 << 20),
    ("jpeg", "image", "image/jpeg",  5 << 20),
    ("png",  "image", "image/png",   5 << 20),
    ("mp4",  "video", "video/mp4",  16 << 20),
    ("3gp",  "video", "video/3gpp", 16 << 20),
    ("aac",  "audio", "audio/aac",  16 << 20),
    ("amr",  "audio", "audio/amr",  16 << 20),
    ("mp3",  "audio", "audio/mpeg", 16 << 20),
    ("m4a",  "audio", "audio/mp4",  16 << 20),
    ("ogg",  "audio", "audio/ogg",  16 << 20),
];

/// Types of documents; WhatsApp refuses types that it doesn't know, and takes anything as text.
#[rustfmt::skip]
const DOCUMENTS: &[(&str, &str)] = &[
    ("pdf",  "application/pdf"),
    ("doc",  "application/msword"),
    ("docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    ("xls",  "application/vnd.ms-excel"),
    ("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    ("ppt",  "application/vnd.ms-powerpoint"),
    ("pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation"),
];

impl Kind {
    fn of(name: &str, size: u64) -> Self {
        let end = name.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
        if let Some((_, field, media_type, max_bytes)) = KINDS.iter().find(|it| it.0 == end)
            && size <= *max_bytes
        {
            return Self { field, media_type, max_bytes: *max_bytes };
        }
        let known = DOCUMENTS.iter().find(|it| it.0 == end).map(|it| it.1);
        let media_type = known.unwrap_or("text/plain");
        Self { field: "document", media_type, max_bytes: super::MAX_UPLOAD_BYTES }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buttons(labels: &[&str]) -> Vec<Button> {
        labels.iter().map(|it| Button { label: (*it).into(), value: format!("v-{it}") }).collect()
    }

    #[test]
    fn what_can_be_pressed() {
        let long = "x".repeat(MAX_INTERACTIVE_CHARS + 1);
        #[rustfmt::skip]
        let table: [(&str, &[&str], Option<&str>); 7] = [
            ("?",   &[],                              None),
            ("?",   &["Yes", "No"],                   Some("button")),
            ("?",   &["1", "2", "3", "4"],            Some("list")),
            ("?",   &["a label of 21 chars.."],       Some("list")),
            ("?",   &["a label that is far too long for both"], None),
            (&long, &["Yes"],                         None),
            ("?",   &["1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11"], None),
        ];
        for (text, labels, want) in table {
            let got = question(text, &buttons(labels));
            assert_eq!(got.as_ref().map(|it| it["type"].as_str().unwrap()), want, "{labels:?}");
        }
        assert_eq!(with_options("?", &buttons(&["Yes", "No"])), "?\n\n- Yes\n- No");
    }

    #[test]
    fn who_is_written_to() {
        #[rustfmt::skip]
        let table = [
            ("4915112345678",             "to",        "individual"),
            ("US.13491208655302741918",   "recipient", "individual"),
            ("US.ENT.11815799212886844830", "recipient", "individual"),
            ("HBgLMTY1MDM4Nzk0MzkVAgASGA", "to",       "group"),
        ];
        for (chat, field, kind) in table {
            let place = Place::from(
                format!("whatsapp@main:{chat}").parse::<ngb_core::address::Jid>().unwrap(),
            );
            let got = message(&place);
            assert_eq!(
                (got[field].as_str(), got["recipient_type"].as_str()),
                (Some(chat), Some(kind))
            );
        }
    }

    #[test]
    fn kinds_of_files() {
        #[rustfmt::skip]
        let table = [
            ("a.JPG",   1,       "image",    "image/jpeg"),
            ("a.jpg",   6 << 20, "document", "text/plain"),
            ("a.mp3",   1,       "audio",    "audio/mpeg"),
            ("a.pdf",   1,       "document", "application/pdf"),
            ("a.rs",    1,       "document", "text/plain"),
            ("noend",   1,       "document", "text/plain"),
        ];
        for (name, size, field, media_type) in table {
            let got = Kind::of(name, size);
            assert_eq!((got.field, got.media_type), (field, media_type), "{name}");
        }
    }
}
