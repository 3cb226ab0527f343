//! One page with a chat box for each account, where a person plays the people.
//!
//! | call | body or query | answer |
//! |---|---|---|
//! | `GET /` | | the page |
//! | `GET /api/chats?after=N` | waits up to 25 s for something newer than version N | `{"version": N, "chats": [{"kind", "connected", "shown": [{"room", "text"}], "said": [..]}]}` |
//! | `POST /api/say` | `{"on", "who", "room", "text"}` as JSON | `{}` |

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    body::{Body, to_bytes},
    extract::Request,
    http::{HeaderValue, Method, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use ngb_core::{clock::Clock, tasks::Crew};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::watch};

use super::{All, Person, Room};

const PAGE: &str = include_str!("page.html");

/// Nothing but what stands in the page itself.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'; form-action 'none'";

/// Longest that somebody's look waits for news.
const WAIT: Duration = Duration::from_secs(25);

/// Longest body of a request, in bytes.
const MAX_BODY_BYTES: usize = 64 << 10;

/// What the page works on.
struct Town {
    all: Arc<All>,
    clock: Clock,
    /// Under which names the page may be asked for: another one is a page of a stranger that found its way here.
    own: String,
    said: Mutex<Vec<Said>>,
    /// Changes when somebody says something.
    says: watch::Sender<u64>,
}

/// What a person wrote, and how much the bot had shown on that platform before.
#[derive(Clone, Debug, serde::Serialize)]
struct Said {
    #[serde(skip)]
    on: String,
    who: Person,
    room: Room,
    text: String,
    before: usize,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Say {
    on: String,
    #[serde(default)]
    who: Person,
    #[serde(default)]
    room: Room,
    text: String,
}

/// Serves the page on `addr` until the process ends; `ready` is told its address.
///
/// # Errors
///
/// When the address can't be bound.
pub async fn serve(
    all: Arc<All>,
    addr: SocketAddr,
    clock: Clock,
    ready: impl FnOnce(SocketAddr),
) -> std::io::Result<()> {
    let listener = TcpListener::bind(addr).await?;
    let addr = listener.local_addr()?;
    ready(addr);
    let (said, says) = (Mutex::default(), watch::channel(0).0);
    let town = Arc::new(Town { all, clock, own: addr.to_string(), said, says });
    let mut crew = Crew::default();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors, say: give those that are open time to close.
            town.clock.sleep(Duration::from_millis(50)).await;
            continue;
        };
        let town = town.clone();
        crew.spawn("simulators' page", async move {
            let service = service_fn(move |request: hyper::Request<Incoming>| {
                let town = town.clone();
                async move {
                    Ok::<_, std::convert::Infallible>(town.answer(request.map(Body::new)).await)
                }
            });
            if let Err(err) =
                http1::Builder::new().serve_connection(TokioIo::new(stream), service).await
            {
                tracing::debug!("the simulators' page lost a connection: {err}");
            }
        });
    }
}

impl Town {
    async fn answer(&self, request: Request) -> Response {
        let asked = request.headers().get(header::HOST).and_then(|it| it.to_str().ok());
        if !asked.is_some_and(|it| self.is_own(it)) {
            return StatusCode::FORBIDDEN.into_response();
        }
        let path = request.uri().path().to_owned();
        let mut response = match (request.method(), path.as_str()) {
            (&Method::GET, "/") => {
                ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], PAGE).into_response()
            }
            (&Method::GET, "/api/chats") => {
                let query = request.uri().query().unwrap_or_default();
                let after = query.strip_prefix("after=").and_then(|it| it.parse().ok());
                axum::Json(self.chats(after).await).into_response()
            }
            (&Method::POST, "/api/say") => match self.say(request).await {
                Ok(()) => axum::Json(json!({})).into_response(),
                Err(why) => {
                    (StatusCode::BAD_REQUEST, axum::Json(json!({"error": why}))).into_response()
                }
            },
            _ => StatusCode::NOT_FOUND.into_response(),
        };
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }

    fn is_own(&self, host: &str) -> bool {
        let port = self.own.rsplit(':').next().unwrap_or_default();
        host == self.own || host == format!("localhost:{port}")
    }

    /// Says what a person writes. Only JSON, which a page of a stranger can't send without being asked first.
    async fn say(&self, request: Request) -> Result<(), String> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|it| it.to_str().ok());
        if kind != Some("application/json") {
            return Err("the body must be `application/json`".to_owned());
        }
        let body = to_bytes(request.into_body(), MAX_BODY_BYTES).await;
        let body = body.map_err(|err| err.to_string())?;
        let Say { on, who, room, text } =
            serde_json::from_slice(&body).map_err(|err| err.to_string())?;
        let side = self.all.everyone().find(|it| it.called() == on);
        let side = side.ok_or_else(|| format!("`{on}` is not simulated"))?;
        let before = side.shown().len();
        let said = Said { on, who, room, text: text.clone(), before };
        self.said.lock().unwrap_or_else(PoisonError::into_inner).push(said);
        side.say(who, room, &text);
        self.says.send_modify(|it| *it += 1);
        Ok(())
    }

    /// All chats, once there is something newer than `after`.
    async fn chats(&self, after: Option<u64>) -> Value {
        let mut changes: Vec<_> = self.all.everyone().map(|it| it.changes()).collect();
        changes.push(self.says.subscribe());
        let mut now = version(&mut changes);
        if after == Some(now) && self.clock.timeout(WAIT, All::changed(&mut changes)).await.is_ok()
        {
            now = version(&mut changes);
        }
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let chats = self.all.everyone().map(|side| {
            let kind = side.called();
            let said: Vec<&Said> = said.iter().filter(|it| it.on == kind).collect();
            let connected = side.is_connected();
            json!({"kind": kind, "connected": connected, "shown": side.shown(), "said": said})
        });
        json!({"version": now, "chats": chats.collect::<Vec<_>>()})
    }
}

/// Grows with each change that any of them has seen.
fn version(changes: &mut [watch::Receiver<u64>]) -> u64 {
    changes.iter_mut().map(|it| *it.borrow_and_update()).sum()
}
