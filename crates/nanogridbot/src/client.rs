//! The command line's way to a gateway: the same API as everybody's, over the local socket.

use std::path::Path;

use anyhow::Context as _;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use thiserror::Error;

/// A gateway that answers.
pub(crate) struct Client {
    http: reqwest::Client,
}

/// The gateway refused, in its own words.
#[derive(Debug, Error)]
#[error("{message}")]
pub(crate) struct Refused {
    pub(crate) status: u16,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl Client {
    /// The gateway behind `socket`; none when nobody listens there.
    pub(crate) async fn connect(socket: &Path) -> anyhow::Result<Option<Self>> {
        if tokio::net::UnixStream::connect(socket).await.is_err() {
            return Ok(None);
        }
        // There is no TLS on a socket; without this a machine that has no certificates could not even build a client.
        let builder = reqwest::Client::builder().tls_certs_only([]);
        let http = builder.no_proxy().unix_socket(socket).build()?;
        Ok(Some(Self { http }))
    }

    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.call(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> anyhow::Result<Value> {
        self.call(Method::POST, path, Some(body)).await
    }

    /// Posts `body` and reads the events of the answer as they come.
    pub(crate) async fn stream(&self, path: &str, body: Value) -> anyhow::Result<Events> {
        let request = self.http.post(format!("http://localhost{path}")).json(&body);
        let request = request.header("accept", "text/event-stream");
        let answer = request.send().await.context("the gateway did not answer")?;
        let status = answer.status();
        if status.is_success() {
            return Ok(Events { answer, read: Vec::new() });
        }
        Err(refused(status, &answer.bytes().await.context("the gateway's answer broke off")?)
            .into())
    }

    /// Whether it says that it takes and answers messages.
    pub(crate) async fn is_ready(&self) -> bool {
        let answer = self.http.get("http://localhost/readyz").send().await;
        answer.is_ok_and(|it| it.status().is_success())
    }

    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> anyhow::Result<Value> {
        let mut request = self.http.request(method, format!("http://localhost{path}"));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.context("the gateway did not answer")?;
        let status = answer.status();
        let bytes = answer.bytes().await.context("the gateway's answer broke off")?;
        if status == StatusCode::NO_CONTENT || bytes.is_empty() && status.is_success() {
            return Ok(Value::Null);
        }
        if status.is_success() {
            return serde_json::from_slice(&bytes).context("the gateway's answer is no JSON");
        }
        Err(refused(status, &bytes).into())
    }
}

fn refused(status: StatusCode, body: &[u8]) -> Refused {
    // Whatever else it is, it is a refusal.
    let body: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    let text = |key: &str| body["error"][key].as_str().map(str::to_owned);
    let message = text("message").unwrap_or_else(|| format!("the gateway answered {status}"));
    Refused { status: status.as_u16(), message, hint: text("hint") }
}

/// Server-sent events of the gateway's own kind: a name, and one line of JSON.
pub(crate) struct Events {
    answer: reqwest::Response,
    read: Vec<u8>,
}

impl Events {
    /// The next one; none at the end. It may be dropped at any await and called again.
    pub(crate) async fn next(&mut self) -> anyhow::Result<Option<(String, Value)>> {
        const END: &[u8] = b"\n\n";
        loop {
            while let Some(at) = self.read.windows(END.len()).position(|it| it == END) {
                let block: Vec<u8> = self.read.drain(..at + END.len()).collect();
                if let Some(event) = event(&String::from_utf8_lossy(&block))? {
                    return Ok(Some(event));
                }
            }
            match self.answer.chunk().await {
                Ok(Some(piece)) => self.read.extend_from_slice(&piece),
                // However it ended, nothing more comes.
                Ok(None) | Err(_) => return Ok(None),
            }
        }
    }
}

/// One block of the stream; none for a comment, which keeps the line alive.
fn event(block: &str) -> anyhow::Result<Option<(String, Value)>> {
    let field = |name: &str| {
        block.lines().find_map(|it| it.strip_prefix(name)?.strip_prefix(':').map(str::trim_start))
    };
    let (Some(name), Some(data)) = (field("event"), field("data")) else { return Ok(None) };
    let data = serde_json::from_str(data).context("an event of the gateway is no JSON")?;
    Ok(Some((name.to_owned(), data)))
}

/// `text` as one segment of a path.
pub(crate) fn escaped(text: &str) -> String {
    let byte = |it: u8| match it {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(it).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_a_stream() {
        let table = [
            ("event: done\ndata: {\"a\":1}\n\n", Some(("done", serde_json::json!({"a": 1})))),
            ("data:{}\nevent:x\n\n", Some(("x", serde_json::json!({})))),
            (":\n\n", None),
            (": still here\n\n", None),
        ];
        for (block, want) in table {
            let want = want.map(|(name, data)| (name.to_owned(), data));
            assert_eq!(event(block).unwrap(), want, "{block:?}");
        }
        assert!(event("event: x\ndata: {\n\n").is_err());
    }

    #[test]
    fn a_name_is_one_segment() {
        for (text, want) in
            [("main", "main"), ("a/b c", "a%2Fb%20c"), ("家", "%E5%AE%B6"), ("../x", "..%2Fx")]
        {
            assert_eq!(escaped(text), want);
        }
    }
}
