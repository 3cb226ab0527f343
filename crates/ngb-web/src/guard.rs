//! What protects the page from other pages: host and origin checks, and the policy of each answer.

use std::net::IpAddr;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};

use crate::{App, error::ApiError};

/// Scripts and styles come from here only, and nothing leaves for elsewhere: no picture in an answer can carry words
/// of a chat away.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Set on requests that came by the public address over https: their cookies may not travel in the clear.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Secure;

/// Refuses what another page, or a name that was bent to our address, would send.
pub(crate) async fn check(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let public = app.settings.public_url.as_deref().and_then(|it| it.parse::<Uri>().ok());
    match judge(request.headers(), public.as_ref()) {
        Err(err) => return with_policy(err.into_response(), false),
        Ok(true) => {
            request.extensions_mut().insert(Secure);
        }
        Ok(false) => (),
    }
    let is_api = request.uri().path().starts_with("/api/");
    with_policy(next.run(request).await, is_api)
}

/// Whether the request came by the public address over https; an error when it must not be served.
fn judge(headers: &HeaderMap, public: Option<&Uri>) -> Result<bool, ApiError> {
    let text = |name: HeaderName| headers.get(name).and_then(|it| it.to_str().ok());
    let refuse = |message: String| ApiError::new(StatusCode::FORBIDDEN, "wrong_origin", message);

    let host = text(header::HOST).unwrap_or_default();
    let Ok(authority) = host.parse::<http::uri::Authority>() else {
        return Err(refuse(format!("`{host}` is no host")));
    };
    let by_public =
        public.and_then(Uri::host).is_some_and(|it| it.eq_ignore_ascii_case(authority.host()));
    if !by_public && !is_ours(authority.host()) {
        let err = refuse(format!("this gateway is not `{}`", authority.host()));
        return Err(err.hint("set `[web] public_url` to the address that you use"));
    }
    let secure = by_public && public.and_then(Uri::scheme_str) == Some("https");

    if let Some(origin) = text(header::ORIGIN) {
        let of = origin.parse::<Uri>().ok();
        let of = of.as_ref().and_then(Uri::authority);
        let same = of.is_some_and(|it| it.as_str().eq_ignore_ascii_case(authority.as_str()));
        let from_public = of.is_some() && of == public.and_then(Uri::authority);
        if !same && !from_public {
            return Err(refuse(format!("pages of `{origin}` may not use this gateway")));
        }
    }
    Ok(secure)
}

/// Whether a host can't be a name that somebody else's name server bent to us: an address, or this machine.
fn is_ours(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.parse::<IpAddr>().is_ok()
        || host.eq_ignore_ascii_case("localhost")
        || host.ends_with(".localhost")
}

fn with_policy(mut response: Response, is_api: bool) -> Response {
    let headers = response.headers_mut();
    let mut set = |name: HeaderName, value| headers.insert(name, HeaderValue::from_static(value));
    set(header::CONTENT_SECURITY_POLICY, POLICY);
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::X_FRAME_OPTIONS, "DENY");
    set(header::REFERRER_POLICY, "no-referrer");
    set(HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
    set(HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
    if is_api {
        set(header::CACHE_CONTROL, "no-store");
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_origins() {
        let public: Uri = "https://bot.example.org".parse().unwrap();
        #[rustfmt::skip]
        let table = [
            ("127.0.0.1:8080",        "",                             Some(false)),
            ("localhost:9000",        "http://localhost:9000",        Some(false)),
            ("[::1]:8080",            "http://[::1]:8080",            Some(false)),
            ("192.168.1.7:8080",      "http://192.168.1.7:8080",      Some(false)),
            ("bot.example.org",       "https://bot.example.org",      Some(true)),
            ("127.0.0.1:8080",        "https://bot.example.org",      Some(false)),
            ("evil.example.org:8080", "",                             None),
            ("127.0.0.1.evil.org",    "",                             None),
            ("127.0.0.1:8080",        "http://localhost:3000",        None),
            ("127.0.0.1:8080",        "http://127.0.0.1:3000",        None),
            ("127.0.0.1:8080",        "http://evil.example.org",      None),
            ("127.0.0.1:8080",        "null",                         None),
            ("",                      "",                             None),
        ];
        for (host, origin, want) in table {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            if !origin.is_empty() {
                headers.insert(header::ORIGIN, origin.parse().unwrap());
            }
            assert_eq!(judge(&headers, Some(&public)).ok(), want, "{host} {origin}");
        }
    }
}
