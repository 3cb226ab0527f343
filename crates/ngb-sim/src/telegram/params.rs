//! The parameters of a call: query, form, JSON or multipart, as the Bot API takes them.

use std::collections::BTreeMap;

use axum::{
    RequestExt as _,
    extract::{DefaultBodyLimit, Form, FromRequest as _, Multipart, Query, Request},
    http::header::CONTENT_TYPE,
};
use bytes::Bytes;
use serde_json::{Map, Value};

/// Longest body that is read, in bytes: the 50 MB of an upload and room for the rest.
pub(super) const MAX_BODY_BYTES: usize = 64 << 20;

/// What a call says.
#[derive(Debug, Default)]
pub(super) struct Params {
    pub(super) fields: Map<String, Value>,
    pub(super) files: BTreeMap<String, Part>,
}

#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) name: String,
    pub(super) media_type: Option<String>,
    pub(super) bytes: Bytes,
}

impl Params {
    /// # Errors
    ///
    /// What is wrong with it, for the description of a 400.
    pub(super) async fn read(mut request: Request) -> Result<Self, String> {
        DefaultBodyLimit::max(MAX_BODY_BYTES).apply(&mut request);
        let mut params = Self::default();
        let query: Query<Vec<(String, String)>> =
            Query::try_from_uri(request.uri()).map_err(|it| it.to_string())?;
        params.take(query.0);
        let kind = request
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|it| it.to_str().ok())
            .unwrap_or_default()
            .to_owned();
        if kind.starts_with("application/json") {
            let body = axum::body::to_bytes(request.into_body(), MAX_BODY_BYTES)
                .await
                .map_err(|it| it.to_string())?;
            let fields: Map<String, Value> =
                serde_json::from_slice(&body).map_err(|it| it.to_string())?;
            params.fields.extend(fields);
        } else if kind.starts_with("application/x-www-form-urlencoded") {
            let form: Form<Vec<(String, String)>> = request
                .extract()
                .await
                .map_err(|it: axum::extract::rejection::FormRejection| it.to_string())?;
            params.take(form.0);
        } else if kind.starts_with("multipart/form-data") {
            params.take_parts(request).await?;
        }
        Ok(params)
    }

    async fn take_parts(&mut self, request: Request) -> Result<(), String> {
        let mut parts = Multipart::from_request(request, &()).await.map_err(|it| it.to_string())?;
        while let Some(part) = parts.next_field().await.map_err(|it| it.to_string())? {
            let field = part.name().unwrap_or_default().to_owned();
            let file = part.file_name().map(str::to_owned);
            let media_type = part.content_type().map(str::to_owned);
            let bytes = part.bytes().await.map_err(|it| it.to_string())?;
            match file {
                Some(name) => drop(self.files.insert(field, Part { name, media_type, bytes })),
                None => {
                    let text = String::from_utf8_lossy(&bytes).into_owned();
                    self.fields.insert(field, text.into());
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, pairs: Vec<(String, String)>) {
        self.fields.extend(pairs.into_iter().map(|(key, value)| (key, Value::String(value))));
    }

    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.fields.get(key).and_then(Value::as_str)
    }

    /// A number, or a text that is one.
    pub(super) fn number(&self, key: &str) -> Option<i64> {
        match self.fields.get(key)? {
            Value::String(text) => text.parse().ok(),
            other => other.as_i64(),
        }
    }

    pub(super) fn flag(&self, key: &str) -> bool {
        match self.fields.get(key) {
            Some(Value::Bool(it)) => *it,
            Some(Value::String(it)) => it == "true" || it == "True" || it == "1",
            _ => false,
        }
    }

    /// An object or list, or a text that holds one as JSON.
    pub(super) fn json(&self, key: &str) -> Option<Value> {
        match self.fields.get(key)? {
            Value::String(text) => serde_json::from_str(text).ok(),
            other => Some(other.clone()),
        }
    }
}
