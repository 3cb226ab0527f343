//! What each call does.

use axum::{http::StatusCode, response::Response};
use serde_json::{Value, json};

use super::{
    CARD_KEY, CARD_TEMPLATE, QUESTION_TEMPLATE,
    platform::{Call, Card, Platform},
};
use crate::wire::json_response;

/// Longest parameters of a message, in bytes.
const MAX_PARAM_BYTES: usize = 15_000;

/// Somebody who is not of the company.
const STRANGER: &str = "stranger";

pub(super) fn refused(status: u16, code: &str, words: &str) -> Response {
    let body = json!({"requestid": "r", "code": code, "message": words});
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
    json_response(status, body.to_string())
}

fn done(body: &Value) -> Response {
    json_response(StatusCode::OK, body.to_string())
}

pub(super) fn call(
    platform: &Platform,
    method: &str,
    token: &str,
    query: &str,
    body: &Value,
) -> Response {
    let config = &platform.config;
    let mut state = platform.lock();
    let text = |name: &str| body[name].as_str().unwrap_or_default();
    let is_ours = |id: &str, secret: &str| id == config.client_id && secret == config.client_secret;
    match method {
        "gateway/connections/open" => {
            if !is_ours(text("clientId"), text("clientSecret")) {
                return refused(401, "authFailed", "鉴权失败");
            }
            if body["subscriptions"].as_array().is_none_or(Vec::is_empty) {
                return refused(400, "invalidParameter", "no subscriptions");
            }
            // Real ones have signs that must be escaped.
            let ticket = format!("ticket+/={}", state.number());
            state.tickets.insert(ticket.clone());
            return done(
                &json!({"endpoint": format!("ws://{}/connect", platform.host), "ticket": ticket}),
            );
        }
        "oauth2/accessToken" => {
            if !is_ours(text("appKey"), text("appSecret")) {
                return refused(400, "invalidClientIdOrSecret", "无效的clientId或者clientSecret");
            }
            let token = format!("token-{}", state.tokens.len());
            state.tokens.push(token.clone());
            return done(&json!({"accessToken": token, "expireIn": 7200}));
        }
        "robot/sendBySession" => {
            let session = query.strip_prefix("session=").unwrap_or_default();
            let Some(chat) = state.sessions.get(session).cloned() else {
                return done(&json!({"errcode": 300_001, "errmsg": "session 不存在"}));
            };
            let kind = text("msgtype");
            let content = match kind {
                "text" => &body["text"]["content"],
                "markdown"
                    if body["markdown"]["title"].as_str().is_some_and(|it| !it.is_empty()) =>
                {
                    &body["markdown"]["text"]
                }
                _ => &Value::Null,
            };
            if content.as_str().is_none_or(str::is_empty) {
                return done(&json!({"errcode": 40_035, "errmsg": "缺少参数 text"}));
            }
            state.said.push(Call { door: "session".into(), to: chat, body: body.clone() });
            return done(&json!({"errcode": 0, "errmsg": "ok"}));
        }
        _ => (),
    }
    if state.tokens.last().is_none_or(|it| it != token) {
        return refused(401, "InvalidAuthentication", "不合法的access_token");
    }
    let is_param = || {
        let param = text("msgParam");
        param.len() <= MAX_PARAM_BYTES
            && serde_json::from_str::<Value>(param).is_ok_and(|it| it.is_object())
    };
    match method {
        "robot/oToMessages/batchSend" | "robot/groupMessages/send" => {
            if text("robotCode") != config.client_id {
                return refused(400, "robot.notExist", "机器人不存在");
            }
            if !is_param() || text("msgKey").is_empty() {
                return refused(400, "invalidParameter.param.invalid", "msgParam");
            }
            let to = match method {
                "robot/groupMessages/send" => text("openConversationId"),
                _ => body["userIds"][0].as_str().unwrap_or_default(),
            };
            if to.is_empty() {
                return refused(400, "resource.not.found", "no chat");
            }
            let key = format!("query-{}", state.number());
            if to == STRANGER {
                return done(&json!({"processQueryKey": key, "invalidStaffIdList": [to]}));
            }
            let door = method.rsplit('/').next().unwrap_or_default().to_owned();
            let call = Call { door, to: to.to_owned(), body: body.clone() };
            state.said.push(call);
            done(
                &json!({"processQueryKey": key, "invalidStaffIdList": [], "flowControlledStaffIdList": []}),
            )
        }
        "robot/messageFiles/download" => {
            if text("robotCode") != config.client_id
                || !state.files.contains_key(text("downloadCode"))
            {
                return refused(400, "invalidParameter.downloadCode", "downloadCode");
            }
            let url = format!("http://{}/files/{}", platform.host, text("downloadCode"));
            done(&json!({"downloadUrl": url}))
        }
        "robot/emotion/reply" => {
            state.signs.insert(text("openMsgId").to_owned());
            done(&json!({"success": true}))
        }
        "robot/emotion/recall" => {
            state.signs.remove(text("openMsgId"));
            done(&json!({"success": true}))
        }
        "card/instances" if body["cardTemplateId"].is_null() => {
            let Some(card) = state.cards.get_mut(text("outTrackId")) else {
                return refused(400, "param.outTrackIdInvalid", "no such card");
            };
            let new = body["cardData"]["cardParamMap"].as_object().cloned().unwrap_or_default();
            if let Some(params) = card.params.as_object_mut() {
                params.extend(new);
            }
            done(&json!({"success": true}))
        }
        // DingTalk's own library makes a card and delivers it in two steps.
        "card/instances" | "card/instances/createAndDeliver" => {
            if ![CARD_TEMPLATE, QUESTION_TEMPLATE].contains(&text("cardTemplateId"))
                || state.no_cards
            {
                return refused(400, "param.templateIdInvalid", "template");
            }
            let name = text("outTrackId").to_owned();
            let card = Card {
                name: name.clone(),
                space: text("openSpaceId").to_owned(),
                content: String::new(),
                finished: false,
                states: 0,
                params: body["cardData"]["cardParamMap"].clone(),
            };
            state.cards.entry(name).or_insert(card);
            done(&json!({"result": {"deliverResults": [{"success": true}]}, "success": true}))
        }
        "card/instances/deliver" => match state.cards.get_mut(text("outTrackId")) {
            Some(card) => {
                text("openSpaceId").clone_into(&mut card.space);
                done(&json!({"success": true}))
            }
            None => refused(400, "param.outTrackIdInvalid", "no such card"),
        },
        "card/streaming" => {
            let guid = text("guid").to_owned();
            if guid.is_empty() || body["isFull"] != true || text("key") != CARD_KEY {
                return refused(400, "invalidParameter", "streaming");
            }
            let is_new = state.guids.insert(guid);
            let Some(card) = state.cards.get_mut(text("outTrackId")) else {
                return refused(400, "param.outTrackIdInvalid", "no such card");
            };
            if card.finished && is_new {
                return refused(400, "card.finished", "the card is finished");
            }
            if is_new {
                text("content").clone_into(&mut card.content);
                card.finished = body["isFinalize"] == true;
                card.states += 1;
            }
            done(&json!({"result": true, "success": true}))
        }
        _ => refused(404, "InvalidAction.NotFound", "no such call"),
    }
}
