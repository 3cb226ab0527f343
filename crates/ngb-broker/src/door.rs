//! One agent's way out: a Unix socket, who is admitted through it, and what was used.

use std::{
    convert::Infallible,
    fs,
    io::{self, Read as _},
    os::{
        fd::AsRawFd as _,
        unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    },
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use ngb_core::{
    clock::Clock,
    id::{GroupId, LaneId, RunId},
    role::Role,
    secret::Redactor,
    tasks::Crew,
};
use tokio::{net::UnixListener, sync::Semaphore};
use tracing::{debug, warn};

use crate::{
    Shared, model,
    reply::{Body, Why, refuse},
    usage::{Ledger, Usage},
};

/// The socket's name in the folder of its run.
pub(crate) const SOCKET: &str = "broker.sock";

/// Connections that one agent may have at a time.
const MAX_CONNECTIONS: usize = 16;

/// Longest request, in bytes.
const MAX_REQUEST_BYTES: usize = 32 * 1024 * 1024;

/// Longest path of a Unix socket that the kernel takes is 107 bytes; longer ones go by their folder's descriptor.
const MAX_SOCKET_PATH_BYTES: usize = 107;

/// The run that may use a door now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Current {
    pub run: RunId,
    /// The least role of those who asked.
    pub role: Role,
    /// What the run may still spend, in tokens; none is without end.
    pub tokens_left: Option<u64>,
}

/// A way out for one agent process. Dropping it closes the socket and everything that goes through it.
pub struct Door {
    dir: PathBuf,
    state: DoorState,
    _serving: Crew,
}

/// Who is admitted, and what was used.
#[derive(Clone, Default)]
struct DoorState {
    admitted: Arc<Mutex<Option<(Current, Budget)>>>,
    ledger: Ledger,
}

impl DoorState {
    fn admitted(&self) -> MutexGuard<'_, Option<(Current, Budget)>> {
        self.admitted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a run may still spend; requests under way share it.
#[derive(Clone)]
pub(crate) struct Budget(Arc<Mutex<Option<u64>>>);

impl Budget {
    fn left(&self) -> MutexGuard<'_, Option<u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn allows(&self, tokens: u64) -> bool {
        self.left().is_none_or(|left| tokens <= left)
    }

    pub(crate) fn spend(&self, tokens: u64) {
        if let Some(left) = self.left().as_mut() {
            *left = left.saturating_sub(tokens);
        }
    }
}

/// What the parts of the broker need to know of a request.
pub(crate) struct Asking<'a> {
    pub(crate) lane: LaneId,
    pub(crate) group: GroupId,
    pub(crate) current: Current,
    pub(crate) budget: Budget,
    pub(crate) ledger: &'a Ledger,
    pub(crate) redactor: &'a Redactor,
    pub(crate) clock: &'a Clock,
}

impl Door {
    pub(crate) fn open(shared: Arc<Shared>, lane: LaneId, group: GroupId) -> io::Result<Self> {
        let dir = shared.dir.join(random_name()?);
        fs::DirBuilder::new().mode(0o755).create(&dir)?;
        // The umask may have taken bits away; whoever is inside has another uid.
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755))?;
        let listener = listen(&dir)?;
        fs::set_permissions(dir.join(SOCKET), fs::Permissions::from_mode(0o666))?;
        let state = DoorState::default();
        let mut serving = Crew::default();
        serving.spawn("broker door", accept(listener, shared, state.clone(), lane, group));
        Ok(Self { dir, state, _serving: serving })
    }

    /// The folder with the socket and nothing else, to be mounted into the sandbox.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Lets requests through in the name of `current`, or none; those under way go on.
    pub fn admit(&self, current: Option<Current>) {
        *self.state.admitted() =
            current.map(|it| (it, Budget(Arc::new(Mutex::new(it.tokens_left)))));
    }

    /// What was used and not taken before.
    ///
    /// Whatever the agent has seen of an answer is in it: counting comes before passing on.
    pub fn take_usage(&self) -> Vec<Usage> {
        self.state.ledger.take()
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        if let Err(err) = fs::remove_dir_all(&self.dir) {
            warn!("could not remove `{}`: {err}", self.dir.display());
        }
    }
}

/// 128 random bits in hex: a name that no other lane can guess.
fn random_name() -> io::Result<String> {
    let mut bytes = [0; 16];
    fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|it| format!("{it:02x}")).collect())
}

fn listen(dir: &Path) -> io::Result<UnixListener> {
    let path = dir.join(SOCKET);
    if path.as_os_str().len() <= MAX_SOCKET_PATH_BYTES {
        return UnixListener::bind(path);
    }
    let folder = fs::File::open(dir)?;
    UnixListener::bind(format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd()))
}

async fn accept(
    listener: UnixListener,
    shared: Arc<Shared>,
    state: DoorState,
    lane: LaneId,
    group: GroupId,
) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = Crew::default();
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(err) => {
                // Out of descriptors, say: the next try must not spin.
                warn!(%lane, "broker socket: {err}");
                shared.clock.sleep(std::time::Duration::from_millis(100)).await;
                continue;
            }
        };
        let (shared, state) = (Arc::clone(&shared), state.clone());
        connections.spawn("broker connection", async move {
            let service = service_fn(|request| answer(&shared, &state, lane, group, request));
            let served =
                http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            if let Err(err) = served {
                debug!(%lane, "broker connection: {err}");
            }
            drop(permit);
        });
    }
}

async fn answer(
    shared: &Shared,
    state: &DoorState,
    lane: LaneId,
    group: GroupId,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let Some((current, budget)) = state.admitted().clone() else {
        return Ok(refuse(Why::Closed, "no run is current: nothing goes out between runs"));
    };
    let asking = Asking {
        lane,
        group,
        current,
        budget,
        ledger: &state.ledger,
        redactor: &shared.redactor,
        clock: &shared.clock,
    };
    let (head, body) = request.into_parts();
    if head.uri.scheme().is_some() {
        return Ok(shared.egress.fetch(&asking, head.method, &head.uri.to_string()).await);
    }
    let path = head.uri.path().strip_prefix("/model/");
    let Some(path) = path.filter(|_| head.method == Method::POST) else {
        let message = format!("`{} {}` is not something that goes out", head.method, head.uri);
        return Ok(refuse(Why::NotAllowed, &message));
    };
    let body = match Limited::new(body, MAX_REQUEST_BYTES).collect().await {
        Ok(body) => body.to_bytes(),
        Err(err) => return Ok(refuse(Why::TooLarge, &format!("the request was not read: {err}"))),
    };
    Ok(model::forward(&asking, &shared.providers, path, &head.headers, body).await)
}
