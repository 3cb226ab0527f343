//! One socket of the gateway.

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{
    BOT,
    platform::{Order, Platform, Session, State},
};

/// The events of channels, which are a right of their own.
const CHANNELS: u64 = 1 | 1 << 1 | 1 << 9 | 1 << 10 | 1 << 12 | 1 << 18 | 1 << 30;

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
    let hello = json!({"op": 10, "d": {"heartbeat_interval": every}});
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
                Some(Ok(Message::Close(_)) | Err(_)) | None => true,
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
    let say = |state: &State, order: Order| {
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
    let good = state.tokens.last().is_some_and(|it| d["token"] == format!("QQBot {it}"));
    match frame["op"].as_u64() {
        Some(1) => {
            state.figures.heartbeats += 1;
            say(&state, Order::Say(json!({"op": 11}).to_string()));
        }
        Some(2 | 6) if !good => say(&state, Order::Close(Some(4004))),
        Some(2) => {
            let intents = d["intents"].as_u64().unwrap_or_default();
            let code = match () {
                () if intents == 0 => Some(4013),
                () if intents & CHANNELS != 0 && !config.guilds => Some(4014),
                () if d["shard"] != json!([0, 1]) => Some(4010),
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
            let user = json!({"id": BOT, "username": config.name, "bot": true, "status": 1});
            state.tell(
                "READY",
                json!({"version": 1, "session_id": id, "user": user, "shard": [0, 1]}),
            );
        }
        Some(6) => {
            let seq = usize::try_from(d["seq"].as_u64().unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
            let same = |it: &Session| d["session_id"] == *it.id && seq <= it.told.len();
            let Some(session) = state.session.as_mut().filter(|it| same(it)) else {
                say(&state, Order::Say(json!({"op": 9, "d": false}).to_string()));
                return;
            };
            session.socket = Some(number);
            let again: Vec<String> = session.told[seq..].to_vec();
            state.figures.resumed += 1;
            for frame in again {
                say(&state, Order::Say(frame));
            }
            state.tell("RESUMED", json!(""));
        }
        _ => say(&state, Order::Close(Some(4001))),
    }
}
