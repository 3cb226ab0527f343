//! Sends: <https://open.feishu.cn/document/server-docs/im-v1/message/create>, answers, edits.

use ngb_core::{
    address::Place,
    message::{Button, Sent},
};
use serde_json::{Value, json};

use super::{
    Feishu,
    api::ApiError,
    card,
    codes::{BAD_CARD, NO_PARENT},
};
use crate::ChannelError;

/// A text on its way out.
pub(super) struct Message<'a> {
    pub(super) text: &'a str,
    pub(super) reply_to: Option<&'a str>,
    pub(super) buttons: &'a [Button],
    pub(super) key: &'a str,
}

/// The new text of a message of ours.
pub(super) struct Edit<'a> {
    pub(super) id: &'a str,
    pub(super) text: &'a str,
    pub(super) buttons: &'a [Button],
}

/// What a message is made of: its kind, and its content, which is JSON in a string.
pub(super) struct Shape {
    pub(super) kind: &'static str,
    pub(super) content: Value,
}

impl Feishu {
    pub(super) async fn send_text(
        &self,
        to: &Place,
        message: &Message<'_>,
    ) -> Result<Sent, ChannelError> {
        let doing = |it: ApiError| it.doing(format!("send to `{to}`"));
        let content = card::of(message.text, message.buttons, false).map_err(doing)?;
        let shape = Shape { kind: "interactive", content };
        let sent = match self.post(to, message.reply_to, message.key, &shape).await {
            Err(err) if err.is_one_of(BAD_CARD) => {
                tracing::warn!("Feishu did not take our card, sending plain text: {err}");
                let content = json!({"text": card::tame(message.text)});
                let shape = Shape { kind: "text", content };
                self.post(to, message.reply_to, message.key, &shape).await
            }
            done => done,
        };
        let sent = sent.map_err(doing)?;
        self.show_done(to).await;
        Ok(sent)
    }

    /// Sends one message: into its topic, as an answer, or by itself. What it answers may be gone meanwhile.
    pub(super) async fn post(
        &self,
        to: &Place,
        reply_to: Option<&str>,
        key: &str,
        shape: &Shape,
    ) -> Result<Sent, ApiError> {
        let mut body = json!({"msg_type": shape.kind, "content": shape.content.to_string()});
        if !key.is_empty() {
            // For an hour Feishu answers a repeat with the message that is there.
            body["uuid"] = key.into();
        }
        if let Some(root) = to.thread.as_deref() {
            body["reply_in_thread"] = true.into();
            return self.api.post(&reply_path(root)?, &[], &body).await.map(|it| receipt(&it));
        }
        if let Some(id) = reply_to.filter(|it| is_message(it)) {
            match self.api.post(&reply_path(id)?, &[], &body).await {
                Err(err) if err.is_one_of(NO_PARENT) => (),
                done => return done.map(|it| receipt(&it)),
            }
        }
        let chat = to.jid.chat();
        body["receive_id"] = chat.into();
        let query = [("receive_id_type", kind_of(chat))];
        self.api.post("/open-apis/im/v1/messages", &query, &body).await.map(|it| receipt(&it))
    }

    pub(super) async fn edit_text(
        &self,
        to: &Place,
        edit: &Edit<'_>,
        live: bool,
    ) -> Result<Sent, ChannelError> {
        let doing = |it: ApiError| it.doing(format!("edit `{}` in `{to}`", edit.id));
        if self.edit_stream(edit, live).await.map_err(doing)? {
            return Ok(Sent { platform_id: Some(edit.id.to_owned()) });
        }
        if !is_message(edit.id) {
            return Err(doing(ApiError::unfit(format!("`{}` is no message of Feishu", edit.id))));
        }
        let content = card::of(edit.text, edit.buttons, false).map_err(doing)?;
        let path = format!("/open-apis/im/v1/messages/{}", edit.id);
        let done = self.api.patch(&path, &json!({"content": content.to_string()})).await;
        done.map(|_| Sent { platform_id: Some(edit.id.to_owned()) }).map_err(doing)
    }
}

fn reply_path(id: &str) -> Result<String, ApiError> {
    if !is_message(id) {
        return Err(ApiError::unfit(format!(
            "`{id}` is no message of Feishu; it looks like `om_…`"
        )));
    }
    Ok(format!("/open-apis/im/v1/messages/{id}/reply"))
}

pub(super) fn is_message(id: &str) -> bool {
    id.strip_prefix("om_")
        .is_some_and(|it| it.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
}

/// What kind of address a chat is.
fn kind_of(chat: &str) -> &'static str {
    match chat.split_once('_').map_or("", |it| it.0) {
        "oc" => "chat_id",
        "ou" => "open_id",
        "on" => "union_id",
        _ if chat.contains('@') => "email",
        _ => "user_id",
    }
}

pub(super) fn receipt(answer: &Value) -> Sent {
    Sent { platform_id: answer["data"]["message_id"].as_str().map(str::to_owned) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_table() {
        #[rustfmt::skip]
        let table = [
            ("oc_1", "chat_id"), ("ou_1", "open_id"), ("on_1", "union_id"), ("a@b.c", "email"), ("4d7a", "user_id"),
        ];
        for (chat, want) in table {
            assert_eq!(kind_of(chat), want, "{chat}");
        }
    }
}
