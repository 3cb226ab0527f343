//! An MCP server that has an address, as a process on standard streams: each line is posted to it through the broker, and what
//! comes back is written as lines.
//!
//! The host has to be one of those that the group may reach; a named credential for it is added by the broker, outside.

use std::{io, sync::Arc, sync::Mutex, sync::PoisonError};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _},
    sync::mpsc,
};
use tokio_util::codec::{FramedRead, LinesCodec};

use crate::{
    Folders,
    way_out::{self, NoWayOut, Streamed, WayOut},
};

/// Longest line either side may send, in bytes.
const MAX_LINE_BYTES: usize = 4 * 1024 * 1024;

/// Requests that may be under way.
const MAX_OPEN: usize = 32;

/// Lines that may wait to be written.
const MAX_WAITING_LINES: usize = 64;

/// How a request that can't be posted is answered: JSON-RPC's "internal error".
const INTERNAL_ERROR: i32 = -32603;

/// What every request after the first has to say; see
/// <https://modelcontextprotocol.io/specification/2025-11-25/basic/transports>.
#[derive(Clone, Debug, Default)]
struct Session {
    id: Option<String>,
    version: Option<String>,
}

struct Bridge {
    url: String,
    way_out: WayOut,
    session: Mutex<Session>,
    lines: mpsc::Sender<String>,
}

/// Passes messages on until the client closes its side.
pub(crate) async fn run(
    url: &str,
    folders: &Folders,
    input: impl AsyncRead + Unpin,
    mut output: impl AsyncWrite + Unpin,
) -> io::Result<()> {
    let (lines, mut waiting) = mpsc::channel(MAX_WAITING_LINES);
    let way_out = WayOut::new(folders.broker.clone());
    let bridge =
        Arc::new(Bridge { url: url.to_owned(), way_out, session: Mutex::default(), lines });
    let mut asked = FramedRead::new(input, LinesCodec::new_with_max_length(MAX_LINE_BYTES));
    let mut open = FuturesUnordered::new();
    let mut is_over = false;
    while !is_over || !open.is_empty() {
        tokio::select! {
            biased;
            Some(line) = waiting.recv() => {
                output.write_all(line.as_bytes()).await?;
                output.flush().await?;
            }
            Some(()) = open.next() => (),
            line = asked.next(), if !is_over && open.len() < MAX_OPEN => match line {
                Some(line) => open.push(pass(Arc::clone(&bridge), line.map_err(io::Error::other)?)),
                None => is_over = true,
            },
        }
    }
    while let Ok(line) = waiting.try_recv() {
        output.write_all(line.as_bytes()).await?;
    }
    output.flush().await
}

async fn pass(bridge: Arc<Bridge>, line: String) {
    let message: Value = serde_json::from_str(&line).unwrap_or_default();
    if let Err(why) = bridge.post(line, &message).await
        && let Some(id) = message.get("id").filter(|_| message.get("method").is_some())
    {
        let error = json!({ "code": INTERNAL_ERROR, "message": why });
        bridge.say(&json!({ "jsonrpc": "2.0", "id": id, "error": error })).await;
    }
}

impl Bridge {
    async fn post(&self, line: String, message: &Value) -> Result<(), String> {
        let session = self.session.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut headers = vec![("accept", "application/json, text/event-stream".to_owned())];
        headers.extend(session.id.map(|it| ("mcp-session-id", it)));
        headers.extend(session.version.map(|it| ("mcp-protocol-version", it)));
        let sent = self.way_out.post_out(&self.url, &headers, Bytes::from(line)).await;
        let answer = sent.map_err(|err| err.to_string())?;
        if !(200..300).contains(&answer.status) {
            return Err(refusal(answer).await);
        }
        if message["method"] == "initialize" {
            let id = answer.header("mcp-session-id");
            self.session.lock().unwrap_or_else(PoisonError::into_inner).id = id;
        }
        if answer.content_type().starts_with("text/event-stream") {
            return self.events(answer).await;
        }
        let whole = answer.whole().await.map_err(|err| err.to_string())?;
        if whole.body.trim_ascii().is_empty() {
            return Ok(());
        }
        let said = serde_json::from_slice(&whole.body).map_err(|err| {
            format!("`{}` answered with something else than MCP: {err}", self.url)
        })?;
        self.heard(said).await;
        Ok(())
    }

    /// Server-sent events: the data of each is a message.
    async fn events(&self, mut answer: Streamed<'_>) -> Result<(), String> {
        let broken = |err: NoWayOut| err.to_string();
        let (mut line, mut data) = (Vec::new(), String::new());
        while let Some(piece) = answer.next().await.map_err(broken)? {
            for part in piece.split_inclusive(|it| *it == b'\n') {
                line.extend_from_slice(part);
                if MAX_LINE_BYTES < line.len() + data.len() {
                    return Err(format!("`{}` sent a message that is too long", self.url));
                }
                if !part.ends_with(b"\n") {
                    continue;
                }
                let text = String::from_utf8_lossy(line.trim_ascii_end()).into_owned();
                line.clear();
                match text.strip_prefix("data:") {
                    Some(rest) => data += rest.strip_prefix(' ').unwrap_or(rest),
                    None if text.is_empty() && !data.is_empty() => {
                        // What is no message is a sign of life.
                        if let Ok(said) = serde_json::from_str(&std::mem::take(&mut data)) {
                            self.heard(said).await;
                        }
                    }
                    None => (),
                }
            }
        }
        Ok(())
    }

    async fn heard(&self, said: Value) {
        if let Some(version) = said["result"]["protocolVersion"].as_str() {
            let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
            session.version = Some(version.to_owned());
        }
        self.say(&said).await;
    }

    async fn say(&self, message: &Value) {
        // Who reads the lines is in the same loop, and ends after the writers.
        self.lines.send(format!("{message}\n")).await.ok();
    }
}

/// Why the server, or the broker, took no message.
async fn refusal(answer: Streamed<'_>) -> String {
    let (status, refused) = (answer.status, answer.refused.clone());
    let said = match answer.whole().await {
        Ok(whole) => way_out::message_of(&String::from_utf8_lossy(&whole.body)),
        Err(err) => err.to_string(),
    };
    match refused {
        Some(_) => said,
        None => format!("status {status}: {said}"),
    }
}
