//! What the broker answers by itself.

use std::io;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, combinators::UnsyncBoxBody};
use serde_json::json;

/// The header of a refusal by the broker itself. Its value says why: `closed`, `over_budget`, `not_allowed`,
/// `too_large` or `unreachable`.
pub const REFUSED: &str = "x-ngb-refused";

pub(crate) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// Why the broker refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// No run is current.
    Closed,
    OverBudget,
    /// The host, path or method is not on the list.
    NotAllowed,
    /// The provider, path or model is not this run's.
    NotOffered,
    TooLarge,
    /// The other side doesn't answer.
    Unreachable,
}

impl Why {
    fn status(self) -> StatusCode {
        match self {
            Self::NotAllowed => StatusCode::FORBIDDEN,
            // 401 and 403 of a model mean a key to every program that others wrote. These two mean what they are: a request
            // that can't be made so, and a door that is closed; neither is tried again.
            Self::NotOffered => StatusCode::BAD_REQUEST,
            Self::Closed => StatusCode::GONE,
            Self::OverBudget => StatusCode::PAYMENT_REQUIRED,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Unreachable => StatusCode::BAD_GATEWAY,
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::OverBudget => "over_budget",
            Self::NotAllowed | Self::NotOffered => "not_allowed",
            Self::TooLarge => "too_large",
            Self::Unreachable => "unreachable",
        }
    }
}

pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

pub(crate) fn refuse(why: Why, message: &str) -> Response<Body> {
    let body = json!({ "error": { "type": why.as_str(), "message": message } }).to_string();
    let mut res = Response::new(full(body));
    *res.status_mut() = why.status();
    let headers = res.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(REFUSED, HeaderValue::from_static(why.as_str()));
    res
}
