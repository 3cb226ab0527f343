//! One socket of the gateway.

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{
    APPLICATION, BOT, GUILD,
    platform::{Order, Platform, Session, user},
};

/// All intents there are, and those that a bot needs a right for.
const INTENTS: u64 = 0x3_FFFF | 1 << 20 | 1 << 21 | 1 << 24 | 1 << 25;
const MESSAGE_CONTENT: u64 = 1 << 15;

pub(super) async fn serve(platform: Platform, mut socket: WebSocket) {
    let (orders_tx, mut orders) = mpsc::unbounded_channel();
    let number = {
        let mut state = platform.lock();
        let number = state.number();
        state.sockets.insert(number, orders_tx);
        state.figures.opened += 1;
        number
    };
    platform.touch();
    let every = u64::try_from(platform.config.heartbeat.as_millis()).unwrap_or(u64::MAX);
    let hello =
        json!({"op": 10, "s": null, "t": null, "d": {"heartbeat_interval": every, "_trace": []}});
    let mut over = socket.send(Message::text(hello.to_string())).await.is_err();
    while !over {
        over = tokio::select! {
            biased;
            order = orders.recv() => match order {
                Some(Order::Say(text)) => socket.send(Message::text(text)).await.is_err(),
                Some(Order::Close(Some(code))) => {
                    let frame = CloseFrame { code, reason: "by script".into() };
                    _ = socket.send(Message::Close(Some(frame))).await;
                    _ = socket.recv().await;
                    true
                }
                Some(Order::Close(None)) | None => true,
            },
            came = socket.recv() => match came {
                Some(Ok(Message::Text(text))) => {
                    take(&platform, number, &text);
                    platform.touch();
                    false
                }
                Some(Ok(Message::Close(frame))) => {
                    // Who says goodbye with these ends the session.
                    if frame.is_some_and(|it| matches!(it.code, 1000 | 1001)) {
                        platform.forget_session();
                    }
                    true
                }
                Some(Err(_)) | None => true,
                Some(Ok(_)) => false,
            },
        };
    }
    let mut state = platform.lock();
    state.sockets.remove(&number);
    if let Some(session) = &mut state.session
        && session.socket == Some(number)
    {
        session.socket = None;
    }
    drop(state);
    platform.touch();
}

fn take(platform: &Platform, number: u64, text: &str) {
    let mut state = platform.lock();
    let say = |state: &super::platform::State, order: Order| {
        if let Some(socket) = state.sockets.get(&number) {
            _ = socket.send(order);
        }
    };
    let Ok(frame) = serde_json::from_str::<Value>(text) else {
        say(&state, Order::Close(Some(4002)));
        return;
    };
    let d = &frame["d"];
    let config = &platform.config;
    match frame["op"].as_u64() {
        Some(1) => {
            state.figures.heartbeats += 1;
            if !state.deaf {
                say(
                    &state,
                    Order::Say(json!({"op": 11, "s": null, "t": null, "d": null}).to_string()),
                );
            }
        }
        Some(2) => {
            let intents = d["intents"].as_u64().unwrap_or(u64::MAX);
            let has_properties =
                ["os", "browser", "device"].iter().all(|it| d["properties"][it].is_string());
            let code = match () {
                () if d["token"] != *config.token => Some(4004),
                () if intents & !INTENTS != 0 => Some(4013),
                () if intents & MESSAGE_CONTENT != 0 && !config.message_content => Some(4014),
                () if !has_properties => Some(4002),
                () => None,
            };
            if code.is_some() {
                say(&state, Order::Close(code));
                return;
            }
            state.figures.identified += 1;
            let id = format!("session-{}", state.number());
            state.session =
                Some(Session { id: id.clone(), told: Vec::new(), socket: Some(number) });
            let ready = json!({
                "v": 10, "user": user(BOT, &config.name), "session_id": id, "session_type": "normal",
                "resume_gateway_url": format!("ws://{}/resume", platform.host), "private_channels": [],
                "guilds": [{"id": GUILD, "unavailable": true}], "application": {"id": APPLICATION, "flags": 0},
                "shard": [0, 1], "relationships": [], "presences": [], "user_settings": {}, "_trace": [],
            });
            state.tell("READY", ready);
            let guild = state.guild();
            state.tell("GUILD_CREATE", guild);
        }
        Some(6) => {
            if d["token"] != *config.token {
                say(&state, Order::Close(Some(4004)));
                return;
            }
            let seq = usize::try_from(d["seq"].as_u64().unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
            let same = |it: &Session| d["session_id"] == *it.id && seq <= it.told.len();
            let Some(session) = state.session.as_mut().filter(|it| same(it)) else {
                say(
                    &state,
                    Order::Say(json!({"op": 9, "s": null, "t": null, "d": false}).to_string()),
                );
                return;
            };
            session.socket = Some(number);
            let again: Vec<String> = session.told[seq..].to_vec();
            state.figures.resumed += 1;
            for frame in again {
                say(&state, Order::Say(frame));
            }
            state.tell("RESUMED", json!({"_trace": []}));
        }
        Some(3 | 4 | 8) => (),
        _ => say(&state, Order::Close(Some(4001))),
    }
}
