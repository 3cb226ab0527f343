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
        let http = reqwest::Client::builder().no_proxy().unix_socket(socket).build()?;
        Ok(Some(Self { http }))
    }

    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.call(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> anyhow::Result<Value> {
        self.call(Method::POST, path, Some(body)).await
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
        let body: Value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        if status.is_success() {
            return Ok(body);
        }
        let text = |key: &str| body["error"][key].as_str().map(str::to_owned);
        let message = text("message").unwrap_or_else(|| format!("the gateway answered {status}"));
        Err(Refused { status: status.as_u16(), message, hint: text("hint") }.into())
    }
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
    fn a_name_is_one_segment() {
        for (text, want) in
            [("main", "main"), ("a/b c", "a%2Fb%20c"), ("家", "%E5%AE%B6"), ("../x", "..%2Fx")]
        {
            assert_eq!(escaped(text), want);
        }
    }
}
