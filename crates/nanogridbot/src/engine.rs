//! The sandbox engine: the one of the settings, proved by really starting a sandbox, or the reason why there is none.

use std::sync::Arc;

use ngb_core::clock::Clock;
use ngb_gateway::handle::SandboxState;
use ngb_sandbox::{
    Sandbox,
    bare::{Bare, BareConfig},
    native::{DEFAULT_UID_BASE, NativeConfig},
};
use tokio::sync::watch;
use tracing::{error, info, warn};

use crate::home::Home;

/// Proves that agents can be started apart from this machine, and says so; never falls to less.
pub(crate) async fn prove(
    home: Home,
    engine: String,
    clock: Clock,
    sandbox: watch::Sender<Option<Arc<dyn Sandbox>>>,
    state: watch::Sender<SandboxState>,
) -> anyhow::Result<()> {
    match choose(&home, &engine, &clock).await {
        Ok((chosen, probe)) => {
            let reaped = chosen.reap().await?;
            if 0 < reaped {
                warn!("ended {reaped} sandboxes that an earlier gateway left");
            }
            info!("agents run in `{}` sandboxes", probe.engine);
            sandbox.send_replace(Some(chosen));
            state.send_replace(SandboxState::Ready(probe));
        }
        Err(err) => {
            let exe = std::env::current_exe().unwrap_or_default();
            let remedy = match &err {
                ngb_sandbox::SandboxError::NotAllowed { reason } => {
                    ngb_sandbox::remedy(*reason, &exe)
                }
                _ => "nanogridbot doctor".to_owned(),
            };
            let why = format!("{:#}", anyhow::Error::from(err));
            error!("no sandbox can be had here: {why}");
            state.send_replace(SandboxState::Refused { why, remedy });
        }
    }
    Ok(())
}

/// The engine of the settings, proved.
pub(crate) async fn choose(
    home: &Home,
    engine: &str,
    clock: &Clock,
) -> Result<(Arc<dyn Sandbox>, ngb_sandbox::Probe), ngb_sandbox::SandboxError> {
    let exe = std::env::current_exe().map_err(|source| ngb_sandbox::SandboxError::Setup {
        doing: "find this executable".to_owned(),
        source,
    })?;
    let install_id = home.install_id();
    if engine == "bare" {
        let home = home.path().to_owned();
        let config = BareConfig { home, exe, install_id, clock: clock.clone() };
        let bare = Bare::new(config, std::env::vars());
        let probe = bare.probe().await?;
        return Ok((Arc::new(bare), probe));
    }
    ngb_sandbox::choose(NativeConfig {
        home: home.path().to_owned(),
        exe,
        install_id,
        uid_base: DEFAULT_UID_BASE,
        clock: clock.clone(),
    })
    .await
}
