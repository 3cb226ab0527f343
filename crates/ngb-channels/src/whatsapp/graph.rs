//! Calls of the Graph API, and what their failures mean.

use ngb_core::secret::Secret;
use reqwest::RequestBuilder;
use serde_json::Value;
use thiserror::Error;

use super::codes::{self, WINDOW_CLOSED};
use crate::{
    ChannelError, Retry,
    http::{CALL_LIMIT, Http, HttpError, Reply, UPLOAD_LIMIT},
};

/// One number in one version of the API.
pub(super) struct Graph {
    /// `<api_url>/<version>`
    pub(super) url: String,
    pub(super) number: String,
    pub(super) token: Secret,
    pub(super) http: Http,
}

/// The number, as Meta says.
#[derive(Debug)]
pub(super) struct Me {
    /// The verified name, or else the number as it is shown.
    pub(super) name: String,
    pub(super) remarks: Vec<String>,
}

/// Why a call did not do what was asked.
#[derive(Debug, Error)]
pub(super) enum GraphError {
    #[error("{}", refusal(*code, text, codes::find(*code, *status).hint))]
    Refused { code: u64, status: u16, text: String },
    #[error(transparent)]
    Http(#[from] HttpError),
    /// A 200 without what it should hold.
    #[error("the answer is not what the Graph API says: no `{0}`")]
    Unreadable(&'static str),
    #[error("{0}")]
    Unfit(String),
}

/// Meta's words, its code, and what they mean.
pub(super) fn refusal(code: u64, text: &str, hint: &str) -> String {
    let hint = if hint.is_empty() { String::new() } else { format!("; {hint}") };
    format!("WhatsApp said {code}: {text}{hint}")
}

impl GraphError {
    pub(super) fn no_edits() -> Self {
        Self::Unfit("WhatsApp has no way for a business to edit a message".into())
    }

    /// The same for whoever asked.
    pub(super) fn doing(self, doing: impl Into<String>) -> ChannelError {
        let (retry, maybe_done) = match &self {
            // What Meta says it did not do was not done.
            Self::Refused { code, status, .. } => (codes::find(*code, *status).retry, false),
            Self::Http(err) => (err.retry(), err.maybe_done()),
            Self::Unreadable(_) => (Retry::Backoff, true),
            Self::Unfit(_) => (Retry::Never, false),
        };
        let source = Box::new(self);
        ChannelError { doing: doing.into(), retry, maybe_done, moved_to: None, source }
    }

    /// Whether only a template may be sent.
    pub(super) fn is_window_closed(&self) -> bool {
        matches!(self, Self::Refused { code: WINDOW_CLOSED, .. })
    }
}

impl Graph {
    /// The address of something that the number has: `messages`, `media`.
    pub(super) fn of_number(&self, what: &str) -> String {
        format!("{}/{}/{what}", self.url, self.number)
    }

    /// Sends a message; its id.
    pub(super) async fn message(&self, body: &Value) -> Result<String, GraphError> {
        let request = self.http.post(self.of_number("messages")).json(body);
        let answer = self.call(request, CALL_LIMIT).await?;
        let id = answer["messages"][0]["id"].as_str();
        id.map(str::to_owned).ok_or(GraphError::Unreadable("messages"))
    }

    /// Posts to `messages` what makes no message.
    pub(super) async fn mark(&self, body: &Value) -> Result<(), GraphError> {
        let request = self.http.post(self.of_number("messages")).json(body);
        self.call(request, CALL_LIMIT).await.map(drop)
    }

    /// Uploads a file; its id.
    pub(super) async fn upload(
        &self,
        form: reqwest::multipart::Form,
    ) -> Result<String, GraphError> {
        let request = self.http.post(self.of_number("media")).multipart(form);
        let answer = self.call(request, UPLOAD_LIMIT).await?;
        answer["id"].as_str().map(str::to_owned).ok_or(GraphError::Unreadable("id"))
    }

    /// What the API knows of a file.
    pub(super) async fn media(&self, id: &str) -> Result<Value, GraphError> {
        // An id goes into the path: only what ids are made of.
        if id.is_empty() || !id.chars().all(|it| it.is_ascii_alphanumeric() || "._-".contains(it)) {
            return Err(GraphError::Unfit("WhatsApp named no file that can be fetched".into()));
        }
        let request = self.http.get(format!("{}/{id}", self.url));
        let request = request.query(&[("phone_number_id", &self.number)]);
        self.call(request, CALL_LIMIT).await
    }

    /// Who the number is, which also proves the token.
    pub(super) async fn me(&self) -> Result<Me, GraphError> {
        const FIELDS: &str = "display_phone_number,verified_name,quality_rating";
        let request = self.http.get(format!("{}/{}", self.url, self.number));
        let answer = self.call(request.query(&[("fields", FIELDS)]), CALL_LIMIT).await?;
        let word = |key: &str| answer[key].as_str().filter(|it| !it.is_empty());
        let number = word("display_phone_number").unwrap_or(&self.number);
        let name = word("verified_name").unwrap_or(number).to_owned();
        let mut remarks = Vec::new();
        if let Some(quality @ ("RED" | "YELLOW")) = word("quality_rating") {
            let quality = quality.to_lowercase();
            remarks.push(format!(
                "Meta rates the quality of {number} as {quality}: people block or report it"
            ));
        }
        Ok(Me { name, remarks })
    }

    async fn call(
        &self,
        request: RequestBuilder,
        limit: std::time::Duration,
    ) -> Result<Value, GraphError> {
        let request = request.bearer_auth(self.token.expose());
        let Reply { status, body, retry_after, .. } = self.http.json(request, limit).await?;
        let error = &body["error"];
        if !error.is_null() {
            let text = error["error_data"]["details"].as_str().or(error["message"].as_str());
            let text = text.unwrap_or("no reason").to_owned();
            let code = error["code"].as_u64().unwrap_or_default();
            return Err(GraphError::Refused { code, status, text });
        }
        if 400 <= status {
            return Err(HttpError::Status { status, retry_after }.into());
        }
        Ok(body)
    }
}
