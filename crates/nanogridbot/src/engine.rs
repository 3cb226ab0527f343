//! The sandbox engine: the one of the settings, proved by really starting a sandbox, or the reason why there is none.

use std::{path::PathBuf, sync::Arc, time::Duration};

use ngb_core::clock::Clock;
use ngb_gateway::handle::SandboxState;
use ngb_sandbox::{
    Probe, Sandbox, SandboxError,
    bare::{Bare, BareConfig},
    docker::{Docker, DockerConfig, SocketNames},
    native::{DEFAULT_UID_BASE, Native, NativeConfig},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{home::Home, settings};

/// Between two looks for a container engine that is away, and for an image that is not there.
const ENGINE_PERIOD: Duration = Duration::from_secs(2);
const IMAGE_PERIOD: Duration = Duration::from_secs(30);

/// What [`keep`] looks after.
pub(crate) struct Kept {
    pub(crate) home: Home,
    pub(crate) settings: settings::Sandbox,
    pub(crate) clock: Clock,
    pub(crate) sandbox: watch::Sender<Option<Arc<dyn Sandbox>>>,
    pub(crate) state: watch::Sender<SandboxState>,
}

/// Proves that agents can be started apart from this machine, says so, and proves it anew when that changes, until the
/// drain; never falls to less.
pub(crate) async fn keep(kept: Kept, drain: CancellationToken) -> anyhow::Result<()> {
    let Kept { home, settings, clock, sandbox, state } = kept;
    let mut known = None;
    loop {
        let err = match prove(&mut known, &home, &settings, &clock).await {
            Ok((chosen, probe)) => {
                info!("agents run in `{}` sandboxes", probe.engine);
                sandbox.send_replace(Some(Arc::clone(&chosen)));
                state.send_replace(SandboxState::Ready(probe));
                tokio::select! {
                    lost = chosen.lost() => {
                        sandbox.send_replace(None);
                        lost
                    }
                    () = drain.cancelled() => return Ok(()),
                }
            }
            Err(err) => err,
        };
        let wait = match &err {
            SandboxError::NoEngine { .. } => Some(ENGINE_PERIOD),
            SandboxError::NoImage { .. } => Some(IMAGE_PERIOD),
            _ => None,
        };
        let away = err.is_engine_away();
        let exe = std::env::current_exe().unwrap_or_default();
        let remedy = err.remedy(&exe).unwrap_or_else(|| "nanogridbot doctor".to_owned());
        let why = format!("{:#}", anyhow::Error::from(err));
        let now = match (away, &*state.borrow()) {
            (true, SandboxState::Away { since, .. }) => {
                SandboxState::Away { why: why.clone(), remedy, since: *since }
            }
            (true, _) => SandboxState::Away { why: why.clone(), remedy, since: clock.now() },
            (false, _) => SandboxState::Refused { why: why.clone(), remedy },
        };
        if state.send_if_modified(|it| {
            let changed = *it != now;
            *it = now;
            changed
        }) {
            error!("no sandbox can be had here: {why}");
        }
        match wait {
            Some(wait) => tokio::select! {
                () = clock.sleep(wait) => {}
                () = drain.cancelled() => return Ok(()),
            },
            None => return Ok(()),
        }
    }
}

/// The engine of the settings, proved, without what an earlier gateway left. One that is `known` is proved anew: it has
/// the agents that outlived its absence.
async fn prove(
    known: &mut Option<Arc<dyn Sandbox>>,
    home: &Home,
    settings: &settings::Sandbox,
    clock: &Clock,
) -> Result<(Arc<dyn Sandbox>, Probe), SandboxError> {
    let (chosen, probe) = match known {
        Some(it) => (Arc::clone(it), it.probe().await?),
        None => choose(home, settings, clock).await?,
    };
    *known = Some(Arc::clone(&chosen));
    let reaped = chosen.reap().await?;
    if 0 < reaped {
        warn!("ended {reaped} sandboxes that an earlier gateway left");
    }
    Ok((chosen, probe))
}

/// The engine of the settings, proved.
pub(crate) async fn choose(
    home: &Home,
    settings: &settings::Sandbox,
    clock: &Clock,
) -> Result<(Arc<dyn Sandbox>, Probe), SandboxError> {
    let exe = std::env::current_exe().map_err(|source| SandboxError::Setup {
        doing: "find this executable".to_owned(),
        source,
    })?;
    let install_id = home.install_id();
    let native = NativeConfig {
        home: home.path().to_owned(),
        exe: exe.clone(),
        install_id: install_id.clone(),
        uid_base: DEFAULT_UID_BASE,
        clock: clock.clone(),
    };
    let docker = DockerConfig {
        home: home.path().to_owned(),
        exe: exe.clone(),
        install_id: install_id.clone(),
        uid_base: DEFAULT_UID_BASE,
        socket: socket_names(settings),
        image: settings.image.clone(),
        clock: clock.clone(),
    };
    let chosen: Arc<dyn Sandbox> = match settings.engine.as_str() {
        "native" => Arc::new(Native::new(native)?),
        "docker" => Arc::new(Docker::new(docker)?),
        "bare" => {
            let home = home.path().to_owned();
            let config = BareConfig { home, exe, install_id, clock: clock.clone() };
            Arc::new(Bare::new(config, std::env::vars()))
        }
        _ => return ngb_sandbox::choose(native, docker).await,
    };
    let probe = chosen.probe().await?;
    Ok((chosen, probe))
}

/// What names the socket of a container engine here.
fn socket_names(settings: &settings::Sandbox) -> SocketNames {
    let text = |name: &str| std::env::var_os(name)?.into_string().ok();
    SocketNames {
        setting: settings.socket.clone(),
        docker_host: text("DOCKER_HOST"),
        container_host: text("CONTAINER_HOST"),
        runtime_dir: std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from),
    }
}
