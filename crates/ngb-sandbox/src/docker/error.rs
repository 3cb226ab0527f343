//! What the engine's refusals mean.

use std::{io, path::Path};

use bollard::errors::Error;

use crate::SandboxError;

const NOT_FOUND: u16 = 404;
const CONFLICT: u16 = 409;

/// An error of the engine at `socket`, met while `doing` (an infinitive).
pub(super) fn of(socket: &Path, doing: &str, err: Error) -> SandboxError {
    match err {
        // It answers, so it is there.
        Error::DockerResponseServerError { message, .. } => SandboxError::Setup {
            doing: doing.to_owned(),
            source: io::Error::other(message.trim().to_owned()),
        },
        Error::DockerStreamError { error } => {
            SandboxError::Setup { doing: doing.to_owned(), source: io::Error::other(error) }
        }
        other => SandboxError::NoEngine { socket: socket.to_owned(), source: other.into() },
    }
}

pub(super) fn is_not_found(err: &Error) -> bool {
    matches!(err, Error::DockerResponseServerError { status_code: NOT_FOUND, .. })
}

/// Whether what was to go is gone, or on its way.
pub(super) fn is_gone(err: &Error) -> bool {
    matches!(err, Error::DockerResponseServerError { status_code: NOT_FOUND | CONFLICT, .. })
}
