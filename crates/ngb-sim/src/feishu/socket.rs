//! One long connection.

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use serde_json::json;
use tokio::sync::mpsc;

use super::{
    frame::{Frame, Header},
    platform::{Order, Platform},
};

pub(super) async fn serve(platform: Platform, mut socket: WebSocket) {
    let (orders_tx, mut orders) = mpsc::unbounded_channel();
    let number = {
        let mut state = platform.lock();
        let number = state.number();
        state.sockets.insert(number, orders_tx.clone());
        state.figures.opened += 1;
        state.repeat();
        number
    };
    platform.touch();
    loop {
        let over = tokio::select! {
            order = orders.recv() => match order {
                Some(Order::Say(bytes)) => socket.send(Message::binary(bytes)).await.is_err(),
                Some(Order::Close(Some(code))) => {
                    let frame = CloseFrame { code, reason: "by script".into() };
                    _ = socket.send(Message::Close(Some(frame))).await;
                    _ = socket.recv().await;
                    true
                }
                Some(Order::Close(None)) | None => true,
            },
            came = socket.recv() => match came {
                Some(Ok(Message::Binary(bytes))) => {
                    if let Some(answer) = take(&platform, &bytes) {
                        _ = orders_tx.send(Order::Say(answer));
                    }
                    platform.touch();
                    false
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => true,
                Some(Ok(_)) => false,
            },
        };
        if over {
            break;
        }
    }
    platform.lock().sockets.remove(&number);
    platform.touch();
}

/// Takes a frame; what is to be answered.
fn take(platform: &Platform, bytes: &[u8]) -> Option<Vec<u8>> {
    let mut state = platform.lock();
    let Some(frame) = Frame::read(bytes) else {
        state.figures.broken += 1;
        return None;
    };
    if frame.method == 0 {
        state.figures.pings += 1;
        let config = json!({"ReconnectCount": -1, "ReconnectInterval": 1, "ReconnectNonce": 0, "PingInterval": platform.config.ping_s});
        let pong = Frame {
            headers: vec![Header { key: "type".into(), value: "pong".into() }],
            payload: Some(config.to_string().into_bytes()),
            ..frame
        };
        return (!state.deaf).then(|| pong.bytes());
    }
    let whole = ["type", "message_id", "sum", "seq", "trace_id", "instance_id", "biz_rt"];
    let payload: serde_json::Value =
        serde_json::from_slice(frame.payload.as_deref().unwrap_or_default()).unwrap_or_default();
    if whole.iter().any(|it| frame.header(it).is_empty()) || frame.service != 7 {
        state.figures.broken += 1;
    } else if payload["code"] == 200 {
        let id = frame.header("message_id").to_owned();
        state.acknowledge(&id, payload);
    }
    None
}
