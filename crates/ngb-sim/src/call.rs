//! One HTTP request of a simulated platform to whoever it calls.

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Uri, client::conn::http1};
use hyper_util::rt::TokioIo;
use ngb_core::tasks::Crew;
use tokio::net::TcpStream;

/// The answer to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub body: String,
}

/// # Errors
///
/// When there is no answer.
pub(crate) async fn call(
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: Bytes,
) -> anyhow::Result<Answer> {
    let uri: Uri = url.parse().context("bad address of the webhook")?;
    let authority = uri.authority().context("no host in the address of the webhook")?.clone();
    anyhow::ensure!(uri.scheme_str() == Some("http"), "the simulator calls http only");
    let port = authority.port_u16().unwrap_or(80);
    let stream = TcpStream::connect((authority.host(), port)).await.context("connect")?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let mut crew = Crew::default();
    crew.spawn("call of a simulator", async move {
        if let Err(err) = connection.await {
            tracing::debug!("a call of a simulator: {err}");
        }
    });
    let path = uri.path_and_query().map_or("/", |it| it.as_str());
    let mut request =
        Request::builder().method(method).uri(path).header("host", authority.as_str());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = sender.send_request(request.body(Full::new(body))?).await?;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await?.to_bytes();
    Ok(Answer { status, body: String::from_utf8_lossy(&body).into_owned() })
}
