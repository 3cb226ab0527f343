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
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicU32},
};

use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use ngb_core::{
    clock::Clock,
    egress::Rules,
    id::{GroupId, LaneId, RunId},
    price::Price,
    role::Role,
    secret::Redactor,
    tasks::Crew,
};
use tokio::{net::UnixListener, sync::Semaphore};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::{
    Shared, model,
    purse::Purse,
    reply::{Body, Why, full, refuse},
    tunnel::{self, Tunnel},
    usage::{Ledger, Usage},
};

/// The socket's name in the folder of its run.
pub(crate) const SOCKET: &str = "broker.sock";

/// Connections that one agent may have at a time.
const MAX_CONNECTIONS: usize = 64;

/// Longest request, in bytes.
pub(crate) const MAX_REQUEST_BYTES: usize = 32 * 1024 * 1024;

/// Longest path of a Unix socket that the kernel takes is 107 bytes; longer ones go by their folder's descriptor.
const MAX_SOCKET_PATH_BYTES: usize = 107;

/// The run that may use a door now.
#[derive(Clone, Debug)]
pub struct Current {
    pub run: RunId,
    /// The one model that it may ask; none is no model at all.
    pub model: Option<Allowed>,
    /// The least role of those who asked.
    pub role: Role,
    /// What its group may still spend today.
    pub purse: Purse,
    /// Which hosts it may reach.
    pub rules: Rules,
}

/// A model by its provider's name in the settings and its own.
#[derive(Clone, Debug)]
pub struct Allowed {
    pub provider: String,
    pub model: String,
    /// What it costs, where the operator's table says.
    pub price: Option<Price>,
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
    admitted: Arc<Mutex<Option<Admission>>>,
    ledger: Ledger,
}

/// A run that is let through, until `over` fires: what it has under way is cut then.
#[derive(Clone)]
struct Admission {
    current: Current,
    reads: Arc<AtomicU32>,
    over: CancellationToken,
}

impl DoorState {
    fn admitted(&self) -> MutexGuard<'_, Option<Admission>> {
        self.admitted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the parts of the broker need to know of a request.
pub(crate) struct Asking<'a> {
    pub(crate) lane: LaneId,
    pub(crate) group: GroupId,
    pub(crate) current: Current,
    /// Pages of hosts that are on no list, so far.
    pub(crate) reads: Arc<AtomicU32>,
    /// Fires when the run may use the door no longer.
    pub(crate) over: CancellationToken,
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

    /// Lets requests through in the name of `current`, or none. Those that were let through before are cut, also in the
    /// middle of an answer; what came of it is counted.
    pub fn admit(&self, current: Option<Current>) {
        let admission = current.map(|current| Admission {
            current,
            reads: Arc::default(),
            over: CancellationToken::new(),
        });
        let before = std::mem::replace(&mut *self.state.admitted(), admission);
        if let Some(before) = before {
            before.over.cancel();
        }
    }

    /// What was used and not taken before.
    ///
    /// Whatever the agent has seen of an answer is in it: counting comes before passing on.
    pub fn take_usage(&self) -> Vec<Usage> {
        self.state.ledger.take()
    }

    /// What requests that are under way used so far. It is told again when it is taken.
    pub fn open_usage(&self) -> Vec<Usage> {
        self.state.ledger.open()
    }

    /// What was used by requests that are over, and not taken before.
    pub fn take_ended_usage(&self) -> Vec<Usage> {
        self.state.ledger.take_ended()
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
            let dug = Mutex::default();
            let at = At { lane, group, dug: &dug };
            let service = service_fn(|request| answer(&shared, &state, &at, request));
            let served = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades()
                .await;
            if let Err(err) = served {
                debug!(%lane, "broker connection: {err}");
            }
            let tunnel = dug.into_inner().unwrap_or_else(PoisonError::into_inner);
            if let Some(tunnel) = tunnel {
                tunnel.carry().await;
            }
            drop(permit);
        });
    }
}

/// Where a connection came in.
struct At<'a> {
    lane: LaneId,
    group: GroupId,
    /// What the connection becomes once its last answer is out.
    dug: &'a Mutex<Option<Tunnel>>,
}

async fn answer(
    shared: &Shared,
    state: &DoorState,
    at: &At<'_>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let admitted = state.admitted().clone();
    let Some(Admission { current, reads, over }) = admitted else {
        return Ok(refuse(Why::Closed, "no run is current: nothing goes out between runs"));
    };
    let asking = Asking {
        lane: at.lane,
        group: at.group,
        current,
        reads,
        over: over.clone(),
        ledger: &state.ledger,
        redactor: &shared.redactor,
        clock: &shared.clock,
    };
    tokio::select! {
        biased;
        () = over.cancelled() => Ok(refuse(Why::Closed, "the run that asked is over")),
        res = serve(shared, &asking, at, request) => Ok(res),
    }
}

/// Does what is asked, if it is something that goes out.
async fn serve(
    shared: &Shared,
    asking: &Asking<'_>,
    at: &At<'_>,
    mut request: Request<Incoming>,
) -> Response<Body> {
    if request.method() == Method::CONNECT {
        let way_out = shared.way_out();
        return match tunnel::dig(&way_out, asking, &mut request).await {
            Ok(tunnel) => {
                *at.dug.lock().unwrap_or_else(PoisonError::into_inner) = Some(tunnel);
                Response::new(full(Vec::new()))
            }
            Err(refused) => refused,
        };
    }
    let (head, body) = request.into_parts();
    let is_absolute = head.uri.scheme().is_some();
    let path = head.uri.path().strip_prefix("/model/").filter(|_| head.method == Method::POST);
    if path.is_none() && !is_absolute {
        let message = format!("`{} {}` is not something that goes out", head.method, head.uri);
        return refuse(Why::NotOffered, &message);
    }
    let body = match Limited::new(body, MAX_REQUEST_BYTES).collect().await {
        Ok(body) => body.to_bytes(),
        Err(err) => return refuse(Why::TooLarge, &format!("the request was not read: {err}")),
    };
    match path {
        Some(path) if !is_absolute => {
            model::forward(asking, &shared.providers(), path, &head.headers, body).await
        }
        _ => shared.way_out().fetch(asking, &head, body).await,
    }
}
