//! Delivery of updates to a webhook, in order, each until it is taken.

use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Uri, client::conn::http1};
use hyper_util::rt::TokioIo;
use ngb_core::tasks::Crew;
use tokio::net::TcpStream;

use super::platform::{Hook, Platform};

/// The pause before an update that was not taken is posted again. Telegram's own grows; a test has no time for that.
const PAUSE: Duration = Duration::from_millis(50);

pub(super) async fn deliver(platform: Platform) {
    let mut changed = platform.changed.subscribe();
    loop {
        changed.mark_unchanged();
        let next = {
            let mut state = platform.lock();
            state.release_late(platform.clock.now());
            let hook = state.webhook.clone();
            hook.and_then(|hook| {
                Some((hook, state.queue.front().map(|it| (it.id, it.json.clone()))?))
            })
        };
        let Some((hook, (id, update))) = next else {
            if changed.changed().await.is_err() {
                return;
            }
            continue;
        };
        let taken = post(&hook, &update).await;
        let failed = taken.is_err();
        settle(&platform, id, taken);
        platform.touch();
        if failed {
            platform.clock.sleep(PAUSE).await;
        }
    }
}

/// Notes what became of an update: gone once it was taken as often as it is owed, else to be posted again.
fn settle(platform: &Platform, id: i64, taken: anyhow::Result<()>) {
    let mut state = platform.lock();
    match taken {
        Ok(()) => match state.queue.front_mut().filter(|it| it.id == id && 1 < it.owed) {
            Some(front) => front.owed -= 1,
            None => state.queue.retain(|it| it.id != id),
        },
        Err(err) => {
            if let Some(hook) = &mut state.webhook {
                hook.last_error = Some(format!("{err:#}"));
            }
        }
    }
}

async fn post(hook: &Hook, update: &str) -> anyhow::Result<()> {
    let uri: Uri = hook.url.parse().context("bad webhook url")?;
    let authority = uri.authority().context("no host in the webhook url")?.clone();
    anyhow::ensure!(uri.scheme_str() == Some("http"), "the simulator posts to http only");
    let port = authority.port_u16().unwrap_or(80);
    let stream = TcpStream::connect((authority.host(), port)).await.context("connect")?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let mut crew = Crew::default();
    crew.spawn("webhook connection", async move {
        if let Err(err) = connection.await {
            tracing::debug!("webhook connection: {err}");
        }
    });
    let path = uri.path_and_query().map_or("/", |it| it.as_str());
    let mut request = Request::post(path)
        .header("host", authority.as_str())
        .header("content-type", "application/json");
    if let Some(secret) = &hook.secret {
        request = request.header("x-telegram-bot-api-secret-token", secret);
    }
    let body = Full::new(Bytes::copy_from_slice(update.as_bytes()));
    let response = sender.send_request(request.body(body)?).await?;
    let status = response.status();
    anyhow::ensure!(status.is_success(), "Wrong response from the webhook: {status}");
    Ok(())
}
