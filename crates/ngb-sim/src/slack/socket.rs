//! One socket of an app.

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use serde_json::Value;

use super::platform::{Order, Platform};

pub(super) async fn serve(platform: Platform, mut socket: WebSocket) {
    let (number, mut orders) = platform.lock().seat();
    platform.touch();
    loop {
        let done = tokio::select! {
            order = orders.recv() => match order {
                Some(Order::Say(text)) => socket.send(Message::text(text)).await.is_err(),
                Some(Order::Close(Some(code))) => {
                    let frame = CloseFrame { code, reason: "by script".into() };
                    _ = socket.send(Message::Close(Some(frame))).await;
                    // Slack leaves the connection to the client after its close; a moment is enough here.
                    _ = socket.recv().await;
                    true
                }
                Some(Order::Close(None)) | None => true,
            },
            came = socket.recv() => match came {
                Some(Ok(Message::Text(text))) => {
                    let frame: Value = serde_json::from_str(&text).unwrap_or_default();
                    if let Some(id) = frame["envelope_id"].as_str() {
                        platform.lock().acknowledge(id);
                        platform.touch();
                    }
                    false
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => true,
                Some(Ok(_)) => false,
            },
        };
        if done {
            break;
        }
    }
    platform.lock().leave(number);
    platform.touch();
}
