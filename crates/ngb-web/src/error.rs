//! What the API says when it says no: `{"error": {"code", "message", "hint"}}`.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use ngb_channels::NotAccepted;
use ngb_core::{
    address::AddressError,
    group::{BadName, BadTrigger},
    role::{Right, Role},
    schedule::ScheduleError,
};
use ngb_gateway::store::StoreError;
use ngb_gateway::{handle::HandleError, timetable::TaskError};
use serde_json::json;
use tracing::error;

/// A request that was refused or failed.
#[derive(Debug)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    /// What to branch on; never changes.
    pub(crate) code: &'static str,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
    retry_after_s: Option<u64>,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), hint: None, retry_after_s: None }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    pub(crate) fn not_found(what: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", format!("there is no {what}"))
    }

    /// There is none of that name; the hint says where the right ones are.
    pub(crate) fn missing(what: &str, name: impl std::fmt::Display) -> Self {
        let hint = match what {
            "account" => "`nanogridbot channel list` shows the accounts",
            "dead letter" | "dead send" => "`nanogridbot dead list` shows them",
            "group" => "`nanogridbot group list` shows the groups",
            "plugin" => "`nanogridbot plugin list` shows those that are installed",
            "held message" => "`nanogridbot plugin held` lists what is held",
            "message" => {
                "`nanogridbot session search` and the page's list of messages show their numbers"
            }
            "open pairing code" => {
                "codes are used once and end after a day; let the chat write again"
            }
            "person" => "`nanogridbot people list` shows them",
            "task" | "task in that state" => "`nanogridbot task list` shows the tasks",
            _ => return Self::not_found(format_args!("{what} `{name}`")),
        };
        Self::not_found(format_args!("{what} `{name}`")).hint(hint)
    }

    pub(crate) fn login_needed() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "login_needed", "log in first")
            .hint("`nanogridbot open` prints a fresh link; programs send `Authorization: Bearer <[web] token>`")
    }

    pub(crate) fn login_refused() -> Self {
        let message = "this code or token is not good, or was used already";
        Self::new(StatusCode::UNAUTHORIZED, "login_refused", message)
            .hint("`nanogridbot open` prints a fresh link")
    }

    pub(crate) fn forbidden(role: Option<Role>, right: Right) -> Self {
        let who =
            role.map_or_else(|| "whoever has no role here".to_owned(), |it| format!("a {it}"));
        let message = format!("{who} may not {}", right.describe());
        Self::new(StatusCode::FORBIDDEN, "forbidden", message)
    }

    pub(crate) fn too_many(wait_s: u64) -> Self {
        let message = format!("too many tries from this address; wait {wait_s} s");
        let res = Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_tries", message);
        Self { retry_after_s: Some(wait_s), ..res }
    }

    pub(crate) fn too_large(limit_bytes: usize) -> Self {
        let message = format!("the body is larger than {limit_bytes} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
    }

    pub(crate) fn stopping() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", "the gateway is stopping")
    }

    /// Something broke on our side; the cause is for the log, not for the asker.
    pub(crate) fn internal(cause: impl Into<anyhow::Error>) -> Self {
        error!("a request failed: {:#}", cause.into());
        let message = "something went wrong in the gateway; its log says what";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let Self { status, code, message, hint, retry_after_s } = self;
        let body = json!({ "error": { "code": code, "message": message, "hint": hint } });
        let mut res = (status, Json(body)).into_response();
        if let Some(wait_s) = retry_after_s {
            res.headers_mut().insert(header::RETRY_AFTER, wait_s.into());
        }
        res
    }
}

impl From<StoreError> for ApiError {
    fn from(err: StoreError) -> Self {
        match err {
            StoreError::Taken { .. } => Self::new(StatusCode::CONFLICT, "taken", err.to_string()),
            StoreError::NotFound { what, name } => Self::missing(what, name),
            StoreError::Closed => Self::stopping(),
            other => Self::internal(other),
        }
    }
}

impl From<HandleError> for ApiError {
    fn from(err: HandleError) -> Self {
        match err {
            HandleError::Store(it) => it.into(),
            HandleError::Address(it) => it.into(),
            HandleError::Name(it) => it.into(),
            HandleError::NoGroup(name) => Self::missing("group", name),
            HandleError::NoMemory { lane, version } => {
                Self::not_found(format_args!("version {version} of what lane {lane} remembers"))
            }
            HandleError::NoTask(id) => Self::missing("task", id),
            HandleError::NotHeld(id) => Self::missing("held message", id),
            HandleError::NoPlugin(name) => Self::missing("plugin", name),
            HandleError::BadPlugin(why) => Self::bad(why),
            HandleError::NoLane(lane) => Self::missing("lane", lane),
            HandleError::NoTranscript { lane, session } => {
                Self::not_found(format_args!("transcript `{session}` of lane {lane}"))
                    .hint(format!("`nanogridbot session show {lane}` lists those that are kept"))
            }
            HandleError::NothingToFork(_) => {
                Self::new(StatusCode::CONFLICT, "nothing_to_fork", err.to_string())
            }
            HandleError::Task(it @ TaskError::State(..)) => {
                Self::new(StatusCode::CONFLICT, "task_state", it.to_string())
            }
            HandleError::Task(it) => Self::bad(it.to_string()),
            HandleError::MainGroup => {
                Self::new(StatusCode::CONFLICT, "main_group", err.to_string())
            }
            HandleError::NoQuestion(_) => {
                Self::new(StatusCode::CONFLICT, "no_question", err.to_string())
            }
            HandleError::StillAtWork | HandleError::StillSending { .. } => {
                Self::new(StatusCode::CONFLICT, "still_busy", err.to_string())
            }
            HandleError::NotYours => Self::new(StatusCode::FORBIDDEN, "not_yours", err.to_string()),
            HandleError::NotAccepted(NotAccepted::Closed) => Self::stopping(),
            HandleError::NotAccepted(NotAccepted::NotStored) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "not_stored", err.to_string())
                    .hint("send it again with the same `idempotency_key`")
            }
            HandleError::NoAccount(it) => Self::not_found(format_args!("account `{it}`"))
                .hint("`nanogridbot channel list` shows them"),
            HandleError::Silent(_) => {
                Self::new(StatusCode::GATEWAY_TIMEOUT, "platform_silent", err.to_string())
            }
            HandleError::Channel(it) => {
                let why = format!("{:#}", anyhow::Error::from(it));
                Self::new(StatusCode::BAD_GATEWAY, "platform_refused", why)
            }
            HandleError::Model(ngb_gateway::answers::NotTaken { message, hint }) => {
                let err = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "model_refused", message);
                Self { hint, ..err }
            }
            HandleError::Account(ngb_gateway::answers::NotTaken { message, hint }) => {
                let err = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "account_refused", message);
                Self { hint, ..err }
            }
            HandleError::Limit { message, hint } => Self { hint, ..Self::bad(message) },
            HandleError::Settings(_) => {
                Self::new(StatusCode::CONFLICT, "bad_settings", err.to_string())
                    .hint("mend the file of settings; until then everything goes on as before")
            }
            other => Self::internal(other),
        }
    }
}

macro_rules! bad_input {
    ($($error:ty),+) => {$(
        impl From<$error> for ApiError {
            fn from(err: $error) -> Self {
                Self::bad(err.to_string())
            }
        }
    )+};
}

impl From<AddressError> for ApiError {
    fn from(err: AddressError) -> Self {
        let res = Self::bad(err.to_string());
        match err {
            AddressError::NoSuchChannel(kind) => {
                res.hint(format!("`nanogridbot channel add {kind}` sets one up"))
            }
            _ => res,
        }
    }
}

bad_input!(BadName, BadTrigger, ScheduleError, crate::BadLevel);
