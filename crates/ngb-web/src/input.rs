//! What requests bring along: their bodies (bounded, in time, text, JSON), paths and queries.

use std::time::Duration;

use axum::{
    body::Body,
    extract::{FromRequest, FromRequestParts, Request},
};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use http::request::Parts;
use ngb_core::clock::Clock;
use serde::de::DeserializeOwned;

use crate::{App, error::ApiError};

/// Largest body of an API request.
pub(crate) const MAX_BODY_BYTES: usize = 1024 * 1024;

/// Largest body of a message: a long text is kept as a file beside the message.
pub(crate) const MAX_MESSAGE_BYTES: usize = 16 * 1024 * 1024;

/// Longest that a body may take to arrive.
const BODY_LIMIT: Duration = Duration::from_secs(30);

/// The JSON body of a request.
#[derive(Debug)]
pub(crate) struct Input<T, const LIMIT_BYTES: usize = MAX_BODY_BYTES>(pub(crate) T);

impl<T: DeserializeOwned, const LIMIT_BYTES: usize> FromRequest<App> for Input<T, LIMIT_BYTES> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        let bytes = read(request.into_body(), LIMIT_BYTES, BODY_LIMIT, app.gateway.clock()).await?;
        parse(&bytes).map(Self)
    }
}

/// What stands in the path; what can't be understood is refused like everything else.
#[derive(Debug)]
pub(crate) struct Path<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let found = axum::extract::Path::from_request_parts(parts, state).await;
        found.map(|it| Self(it.0)).map_err(|err| ApiError::bad(err.body_text()))
    }
}

/// What stands after the path.
#[derive(Debug)]
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let found = axum::extract::Query::from_request_parts(parts, state).await;
        found.map(|it| Self(it.0)).map_err(|err| ApiError::bad(err.body_text()))
    }
}

/// The whole body, when it has at most `limit_bytes` and arrives within `limit`.
pub(crate) async fn read(
    body: Body,
    limit_bytes: usize,
    limit: Duration,
    clock: &Clock,
) -> Result<Bytes, ApiError> {
    let late = |_| {
        ApiError::new(
            http::StatusCode::REQUEST_TIMEOUT,
            "too_slow",
            "the body did not arrive in time",
        )
    };
    clock.timeout(limit, collect(body, limit_bytes)).await.map_err(late)?
}

/// A body that is too large is read on up to so many times its limit, and thrown away: who sends all of it before they read
/// would see a broken connection instead of the answer.
const READ_ON: usize = 4;

async fn collect(body: Body, limit_bytes: usize) -> Result<Bytes, ApiError> {
    let mut pieces = body.into_data_stream();
    let (mut whole, mut seen) = (BytesMut::new(), 0_usize);
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|_| ApiError::bad("the body could not be read to its end"))?;
        seen = seen.saturating_add(piece.len());
        if limit_bytes < seen {
            whole.clear();
        } else {
            whole.extend_from_slice(&piece);
        }
        if limit_bytes.saturating_mul(READ_ON) < seen {
            break;
        }
    }
    if limit_bytes < seen { Err(ApiError::too_large(limit_bytes)) } else { Ok(whole.freeze()) }
}

/// JSON out of `bytes`; an empty body counts as `{}`.
fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    let text = std::str::from_utf8(bytes).map_err(|err| {
        let at = err.valid_up_to();
        ApiError::bad(format!("the body is not valid UTF-8: byte {at} is not part of a character"))
    })?;
    let text = if text.trim().is_empty() { "{}" } else { text };
    // A list would be read as the fields in their order.
    if text.trim_start().starts_with('[') {
        let message = "the body is not what is asked for: a list, where an object is wanted";
        return Err(ApiError::bad(message));
    }
    serde_json::from_str(text)
        .map_err(|err| ApiError::bad(format!("the body is not what is asked for: {err}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wanted {
        #[expect(dead_code, reason = "only whether it parses counts")]
        name: String,
    }

    #[tokio::test]
    async fn bodies() {
        #[rustfmt::skip]
        let table: [(Vec<u8>, &str); 7] = [
            (b"{\"name\":\"a\"}".to_vec(),         ""),
            (b"{\"name\":\"\xff\"}".to_vec(),      "not valid UTF-8: byte 9"),
            (b"{\"name\":1}".to_vec(),             "invalid type: integer"),
            (b"{\"nam\":\"a\"}".to_vec(),          "unknown field `nam`, expected `name`"),
            (b" [\"a\"]".to_vec(),                  "a list, where an object is wanted"),
            (b"".to_vec(),                         "missing field `name`"),
            (vec![b'x'; 101],                      "larger than 100 bytes"),
        ];
        for (body, want) in table {
            let got = match read(Body::from(body.clone()), 100, BODY_LIMIT, &Clock::System).await {
                Ok(bytes) => parse::<Wanted>(&bytes).map(|_| ()),
                Err(err) => Err(err),
            };
            let message = got.err().map(|it| it.message).unwrap_or_default();
            assert!(message.contains(want) && message.is_empty() == want.is_empty(), "{message}");
        }
    }
}
