//! What all simulators do alike: connections, JSON, and answers that are cut.

use std::time::Duration;

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use bytes::Bytes;
use futures_util::stream;
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use ngb_core::{clock::Clock, tasks::Crew};
use tokio::net::TcpListener;

/// Between two tries to take a connection.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

/// The connection is to be cut without an answer.
#[derive(Debug)]
pub(crate) struct Cut;

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("cut by script")
    }
}

impl std::error::Error for Cut {}

/// Takes connections to the simulator `name` for ever, and has `answer` answer each request.
pub(crate) async fn accept<A, F>(listener: TcpListener, clock: Clock, name: &'static str, answer: A)
where
    A: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Result<Response, Cut>> + Send + 'static,
{
    let mut crew = Crew::default();
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(err) => {
                // Out of descriptors, say: give those that are open time to close.
                tracing::warn!("the {name} simulator could not accept: {err}");
                clock.sleep(ACCEPT_AGAIN).await;
                continue;
            }
        };
        if let Err(err) = stream.set_nodelay(true) {
            tracing::debug!("no TCP_NODELAY: {err}");
        }
        let answer = answer.clone();
        crew.spawn(name, async move {
            let served =
                http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer));
            if let Err(err) = served.with_upgrades().await {
                tracing::debug!("the {name} simulator lost a connection: {err}");
            }
        });
    }
}

pub(crate) fn json_response(status: StatusCode, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The same response with a byte that is no UTF-8 for each U+FFFD.
pub(crate) async fn bad_text(response: Response) -> Response {
    let (head, body) = response.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    let text = String::from_utf8_lossy(&body);
    let parts: Vec<&[u8]> = text.split('\u{fffd}').map(str::as_bytes).collect();
    Response::from_parts(head, Body::from(parts.join(&0xff)))
}

/// The same response, whose connection is cut half-way through the body.
pub(crate) async fn half(response: Response) -> Response {
    let status = response.status();
    let body = axum::body::to_bytes(response.into_body(), usize::MAX).await;
    half_of(status, &body.unwrap_or_default())
}

/// The first half of a body, and then a cut.
pub(crate) fn half_of(status: StatusCode, whole: &Bytes) -> Response {
    let head = whole.slice(..whole.len() / 2);
    // Three steps: the middle one is a pause in which the head goes out before the cut.
    let steps = stream::unfold(0, move |step| {
        let head = head.clone();
        async move {
            match step {
                0 => Some((Ok::<_, Cut>(head), 1)),
                _ => {
                    tokio::task::yield_now().await;
                    Some((Err(Cut), 2))
                }
            }
        }
    });
    let mut response = Response::new(Body::from_stream(steps));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(whole.len()));
    response
}
