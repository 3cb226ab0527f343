//! Requests of platforms, as adapters take them: all that wait are read, stored together, then answered.

use ngb_core::message::Inbound;
use tokio::sync::oneshot;
use tracing::{debug, warn};

use crate::{ChannelError, Intake, NotAccepted, Webhook, WebhookReply};

/// Most requests whose events are stored together.
const BATCH: usize = 64;

/// What an adapter makes of a request, once it has proved that its platform sent it.
#[derive(Debug)]
pub(crate) enum Taken {
    /// Answered at once: nothing is to be stored.
    Reply(WebhookReply),
    /// Answered so once these are on disk.
    Store(Vec<Inbound>, WebhookReply),
}

impl WebhookReply {
    pub(crate) fn status(status: u16) -> Self {
        Self { status, body: String::new() }
    }

    pub(crate) fn text(body: impl Into<String>) -> Self {
        Self { status: 200, body: body.into() }
    }
}

/// Takes requests until stopped. One that can't be stored gets 503, so that the platform sends it again.
///
/// # Errors
///
/// When the gateway takes no messages any more and nobody said stop.
pub(crate) async fn take_all(
    intake: &mut Intake,
    mut read: impl FnMut(&Webhook) -> Taken,
) -> Result<(), ChannelError> {
    let mut requests = Vec::new();
    loop {
        let count = tokio::select! {
            count = intake.webhooks.recv_many(&mut requests, BATCH) => count,
            () = intake.stop.cancelled() => return Ok(()),
        };
        if count == 0 {
            return Ok(());
        }
        let mut events = Vec::new();
        let mut waiting = Vec::new();
        for request in requests.drain(..) {
            match read(&request) {
                Taken::Reply(reply) => answer(request.reply, reply),
                Taken::Store(more, reply) => {
                    events.extend(more);
                    waiting.push((request.reply, reply));
                }
            }
        }
        if waiting.is_empty() {
            continue;
        }
        let stored = match events.is_empty() {
            true => Ok(()),
            false => intake.inbox.accept_all(events).await.map(drop),
        };
        for (to, reply) in waiting {
            answer(to, if stored.is_ok() { reply } else { WebhookReply::status(503) });
        }
        match stored {
            Ok(()) => (),
            Err(NotAccepted::NotStored) => {
                warn!("events could not be stored, so their platform is told to send them again");
            }
            Err(NotAccepted::Closed) if intake.stop.is_cancelled() => return Ok(()),
            Err(closed @ NotAccepted::Closed) => return Err(closed.into()),
        }
    }
}

/// Who asked may be gone; its platform sends the event again, and its key drops it.
fn answer(to: oneshot::Sender<WebhookReply>, reply: WebhookReply) {
    if to.send(reply).is_err() {
        debug!("a platform did not wait for its answer");
    }
}

impl From<NotAccepted> for ChannelError {
    fn from(err: NotAccepted) -> Self {
        Self {
            doing: "hand on events".into(),
            retry: crate::Retry::Never,
            maybe_done: false,
            moved_to: None,
            source: err.into(),
        }
    }
}

/// The pairs of a query string, decoded once; of a name that comes twice the first counts.
pub(crate) fn query(text: &str) -> std::collections::BTreeMap<String, String> {
    let mut res = std::collections::BTreeMap::new();
    let Ok(url) = reqwest::Url::parse(&format!("http://localhost/?{text}")) else { return res };
    for (name, value) in url.query_pairs() {
        res.entry(name.into_owned()).or_insert_with(|| value.into_owned());
    }
    res
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries() {
        let got = query("a=1&b=%2B+x&a=2&c");
        let got: Vec<_> = got.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(got, [("a", "1"), ("b", "+ x"), ("c", "")]);
    }

    #[test]
    fn any_query_and_any_body_is_read() {
        crate::fuzz::run("hook", |input| {
            query(&String::from_utf8_lossy(input));
            if let Ok(value) = crate::json::read(input) {
                assert!(serde_json::to_string(&value).is_ok(), "it can be kept");
            }
        });
    }
}
