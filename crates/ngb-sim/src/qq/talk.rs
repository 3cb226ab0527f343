//! Connections: those of applications to us, and ours to them.

use axum::{
    body::{Body, to_bytes},
    extract::{
        FromRequestParts as _, Request, WebSocketUpgrade,
        ws::{Message, WebSocket},
    },
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use futures_util::{Sink, SinkExt as _, Stream, StreamExt as _};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use ngb_core::tasks::Crew;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::{self, client::IntoClientRequest as _, http::HeaderValue};

use super::account::{Account, Order, Outcome};

/// Longest body of a control request, in bytes.
const MAX_BODY_BYTES: usize = 1 << 20;

pub(super) async fn accept(listener: TcpListener, account: Account) {
    let mut crew = Crew::default();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors, say: give those that are open time to close.
            account.config.clock.sleep(std::time::Duration::from_millis(50)).await;
            continue;
        };
        let account = account.clone();
        crew.spawn("onebot connection", async move {
            let service = service_fn(move |request: hyper::Request<Incoming>| {
                let account = account.clone();
                async move {
                    Ok::<_, std::convert::Infallible>(answer(account, request.map(Body::new)).await)
                }
            });
            let served = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            if let Err(err) = served.with_upgrades().await {
                tracing::debug!("onebot simulator lost a connection: {err}");
            }
        });
    }
}

async fn answer(account: Account, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    if let Some(name) = path.strip_prefix("/files/") {
        return match account.file(name) {
            Some(bytes) => Response::new(Body::from(bytes)),
            None => StatusCode::NOT_FOUND.into_response(),
        };
    }
    if let Some(what) = path.strip_prefix("/sim/") {
        return control(&account, what, request).await;
    }
    let query = request.uri().query().unwrap_or_default();
    let by_query = query.split('&').find_map(|it| it.strip_prefix("access_token="));
    let header = request.headers().get("authorization").and_then(|it| it.to_str().ok());
    let shown = header.and_then(|it| it.strip_prefix("Bearer ")).or(by_query).unwrap_or_default();
    let is_good = shown == account.config.token;
    let (mut parts, _) = request.into_parts();
    match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
        Ok(upgrade) => upgrade.on_upgrade(move |mut socket: WebSocket| async move {
            if is_good {
                serve(account, Axum(socket)).await;
            } else {
                // NapCat lets everybody in, says so, and hangs up.
                let refusal = json!({
                    "status": "failed", "retcode": 1403, "data": null, "message": "token验证失败",
                    "wording": "token验证失败", "echo": null,
                });
                _ = socket.send(Message::text(refusal.to_string())).await;
                _ = socket.send(Message::Close(None)).await;
            }
        }),
        Err(refused) => refused.into_response(),
    }
}

/// Calls an application, with what NapCat shows.
pub(super) async fn call(
    url: &str,
    token: &str,
    self_id: u64,
) -> anyhow::Result<impl Texts + use<>> {
    let mut request = url.into_client_request()?;
    let headers = request.headers_mut();
    headers.insert("X-Self-ID", HeaderValue::from_str(&self_id.to_string())?);
    // Also with an empty token.
    headers.insert("Authorization", HeaderValue::from_str(&format!("Bearer {token}"))?);
    headers.insert("x-client-role", HeaderValue::from_static("Universal"));
    headers.insert("User-Agent", HeaderValue::from_static("OneBot/11"));
    let host = request.uri().authority().map_or_else(String::new, ToString::to_string);
    let stream = tokio::net::TcpStream::connect(&host).await?;
    let (socket, _) = tokio_tungstenite::client_async(request, stream).await?;
    Ok(Tungstenite(socket))
}

/// A socket, whichever library made it.
pub(super) trait Texts: Send + 'static {
    fn say(&mut self, text: String) -> impl Future<Output = bool> + Send;
    /// The next text; none at the end.
    fn hear(&mut self) -> impl Future<Output = Option<String>> + Send;
}

struct Axum(WebSocket);

impl Texts for Axum {
    async fn say(&mut self, text: String) -> bool {
        self.0.send(Message::text(text)).await.is_ok()
    }

    async fn hear(&mut self) -> Option<String> {
        loop {
            match self.0.recv().await?.ok()? {
                Message::Text(text) => return Some(text.to_string()),
                Message::Close(_) => return None,
                _ => (),
            }
        }
    }
}

struct Tungstenite<S>(S);

impl<S, E> Texts for Tungstenite<S>
where
    S: Stream<Item = Result<tungstenite::Message, E>>
        + Sink<tungstenite::Message>
        + Unpin
        + Send
        + 'static,
    E: Send,
{
    async fn say(&mut self, text: String) -> bool {
        self.0.send(tungstenite::Message::text(text)).await.is_ok()
    }

    async fn hear(&mut self) -> Option<String> {
        loop {
            match self.0.next().await?.ok()? {
                tungstenite::Message::Text(text) => return Some(text.to_string()),
                tungstenite::Message::Close(_) => return None,
                _ => (),
            }
        }
    }
}

/// Events and calls, until the other side is gone.
pub(super) async fn serve(account: Account, mut socket: impl Texts) {
    let hello =
        json!({"post_type": "meta_event", "meta_event_type": "lifecycle", "sub_type": "connect"});
    if !socket.say(account.event_of(&hello).to_string()).await {
        return;
    }
    let (number, mut orders) = account.enter();
    loop {
        let is_open = tokio::select! {
            order = orders.recv() => match order {
                Some(Order::Say(text)) => socket.say(text).await,
                Some(Order::Cut) | None => false,
            },
            text = socket.hear() => match text {
                Some(text) => match account.obey(&serde_json::from_str(&text).unwrap_or_default()) {
                    Outcome::Answer(answer) => socket.say(answer.to_string()).await,
                    Outcome::Cut => false,
                },
                None => false,
            },
        };
        if !is_open {
            break;
        }
    }
    account.leave(number);
}

/// The account's side over HTTP, for who sits in another process: `POST /sim/say {user, group?, message}`,
/// `POST /sim/event {…}`, `GET /sim/calls`, `GET /sim/sent`.
async fn control(account: &Account, what: &str, request: Request) -> Response {
    let bytes = to_bytes(request.into_body(), MAX_BODY_BYTES).await.unwrap_or_default();
    let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let done = match what {
        "say" => {
            let user = body["user"].as_u64().unwrap_or(20_001);
            let message = match body["text"].as_str() {
                Some(text) => json!([{"type": "text", "data": {"text": text}}]),
                None => body["message"].clone(),
            };
            json!({"message_id": account.says(user, body["group"].as_u64(), &message)})
        }
        "event" => {
            account.event(&body);
            json!({})
        }
        "calls" => json!(account.calls()),
        "sent" => json!(account.sent()),
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    crate::wire::json_response(StatusCode::OK, done.to_string())
}
