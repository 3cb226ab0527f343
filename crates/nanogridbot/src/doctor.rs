//! Looking for what is missing or wrong: each finding with the command that mends it.

use std::{path::Path, process::ExitCode};

use anyhow::Context as _;
use ngb_core::clock::Clock;
use ngb_gateway::programs::{CLAUDE_VERSION, NoProgram};
use ngb_sandbox::{Probe, Refusal, SandboxError};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    cli,
    client::Client,
    context::Context,
    engine, make, models,
    net::Net,
    print,
    settings::{Environment, Settings},
};

mod accounts;
mod machine;
mod running;

/// One thing that was looked at.
#[derive(Debug, Serialize)]
pub(crate) struct Finding {
    pub(crate) what: &'static str,
    pub(crate) ok: bool,
    detail: String,
    /// The command or setting that mends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    mend: Option<String>,
    /// A word for machines, where the sandbox is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Refusal>,
}

impl Finding {
    fn fine(what: &'static str, detail: impl Into<String>) -> Self {
        Self { what, ok: true, detail: detail.into(), mend: None, reason: None }
    }

    /// What is wrong, and the hint that the command line would give for it.
    fn failed(what: &'static str, err: &anyhow::Error) -> Self {
        let mend = crate::hint::hint(err);
        Self { what, ok: false, detail: format!("{err:#}"), mend, reason: None }
    }
}

/// `nanogridbot doctor`
pub(crate) async fn doctor(ctx: &Context, args: &cli::Doctor) -> anyhow::Result<ExitCode> {
    if args.fix.is_some() {
        return fix_sandbox();
    }
    let (findings, probe) = look(ctx, args.offline).await?;
    let ok = findings.iter().all(|it| it.ok);
    if ctx.json {
        print::json(&json!({ "ok": ok, "findings": findings, "sandbox": probe }));
    } else {
        for it in &findings {
            let mark = if it.ok { "ok  " } else { "FAIL" };
            print::lines(&[format!("{mark}  {:9} {}", it.what, it.detail)]);
            if let Some(mend) = &it.mend {
                print::lines(&[format!("      hint: {mend}")]);
            }
        }
    }
    Ok(if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Everything that can be looked at. What hangs on something that is not well is left out, so that each trouble is told once.
pub(crate) async fn look(
    ctx: &Context,
    offline: bool,
) -> anyhow::Result<(Vec<Finding>, Option<Probe>)> {
    let (home, settings) = (machine::home(ctx), settings(ctx));
    let has_home = home.ok;
    let mut all = vec![home];
    let read = match settings {
        Ok(read) => {
            all.push(Finding::fine("settings", "read"));
            Some(read)
        }
        Err(err) => {
            all.push(Finding::failed("settings", &err));
            None
        }
    };
    all.push(machine::clock());
    if has_home {
        all.push(machine::room(ctx));
    }
    let mut out = None;
    if let Some((settings, env)) = &read {
        match Net::new(&settings.network, env) {
            Ok(net) => {
                all.push(Finding::fine("network", net.shown()));
                all.push(model(settings, env, &net, offline).await);
                out = Some(net);
            }
            Err(err) => all.push(Finding::failed("network", &err)),
        }
        all.extend(agent(settings, env));
    }
    let mut probe = None;
    if has_home {
        let engine = read.as_ref().map(|it| it.0.sandbox.clone()).unwrap_or_default();
        let (finding, proved) = sandbox(ctx, &engine).await;
        all.push(finding);
        probe = proved;
    }
    match Client::connect(&ctx.home.socket()).await? {
        Some(client) => all.extend(running::findings(ctx, client.get("/api/status").await?)?),
        None => {
            all.push(Finding {
                mend: Some("start it with `nanogridbot serve`".to_owned()),
                ..Finding::fine("gateway", "not running")
            });
            if let Some((settings, env)) = read.as_ref().filter(|_| has_home) {
                all.push(database(ctx, settings).await);
                if let Some(net) = &out {
                    all.extend(accounts::findings(settings, env, net, offline).await);
                }
            }
        }
    }
    Ok((all, probe))
}

/// The settings, with each secret that they name.
fn settings(ctx: &Context) -> anyhow::Result<(Settings, Environment)> {
    let (settings, env) = make::settings(&ctx.home, &cli::Serve::default())?;
    for (name, setting) in settings.secret_settings() {
        setting.resolve(&name, &env)?;
    }
    Ok((settings, env))
}

/// The database, opened as a start would open it; the lock keeps a gateway from starting meanwhile.
async fn database(ctx: &Context, settings: &Settings) -> Finding {
    let opened = async {
        let _lock = ctx.home.lock_soon(&Clock::System).await?;
        make::open_store(&ctx.home, settings, &Clock::System).await?.close().await;
        anyhow::Ok(())
    };
    match opened.await {
        Ok(()) => Finding::fine("database", "opens"),
        Err(err) => Finding::failed("database", &err),
    }
}

/// The model, proved by one completion unless nothing is to be sent.
async fn model(settings: &Settings, env: &Environment, net: &Net, offline: bool) -> Finding {
    let models = match models::find(settings, env, net) {
        Ok(models) => models,
        Err(err) => return Finding::failed("model", &err),
    };
    let Some(model) = models.model else {
        return Finding {
            mend: Some(
                "set it on the page, or `[agent] model`, or ANTHROPIC_API_KEY or OPENAI_API_KEY"
                    .to_owned(),
            ),
            ..Finding::fine("model", "none; the demonstration agent answers")
        };
    };
    let name = format!("{}/{}", model.provider, model.model);
    if offline {
        return Finding::fine("model", format!("{name}, not asked"));
    }
    let Some(provider) = models.providers.iter().find(|it| it.name == model.provider) else {
        unreachable!("a model has its provider")
    };
    match ngb_broker::prove(provider, &model.model, &Clock::System).await {
        Ok(took) => {
            Finding::fine("model", format!("{name} answered in {:.1} s", took.as_secs_f64()))
        }
        Err(err) => Finding {
            mend: Some(err.mend()),
            ..Finding::failed("model", &anyhow::Error::from(err).context(name))
        },
    }
}

/// The agent that others wrote, where the settings choose one.
fn agent(settings: &Settings, env: &Environment) -> Option<Finding> {
    let programs = models::programs(&settings.agent, env);
    Some(match settings.agent.driver.as_str() {
        "claude-code" => match programs.find_claude() {
            Ok(path) => {
                let version = package_version(&path).map(|it| format!(" {it}")).unwrap_or_default();
                Finding::fine("agent", format!("Claude Code{version} at `{}`", path.display()))
            }
            Err(err) => Finding {
                mend: Some(format!(
                    "`npm install --global @anthropic-ai/claude-code@{CLAUDE_VERSION}`, or set `[agent] claude_path`"
                )),
                ..Finding::failed("agent", &err.into())
            },
        },
        "acp" if programs.acp.is_empty() => Finding {
            mend: Some("set `[agent] acp_command`; docs/drivers.md has examples".to_owned()),
            ..Finding::failed("agent", &NoProgram::NoCommand.into())
        },
        "acp" => Finding::fine("agent", format!("acp: `{}`", programs.acp.join(" "))),
        _ => return None,
    })
}

/// The version of the npm package that an executable is of.
fn package_version(program: &Path) -> Option<String> {
    let of = |folder: &Path| std::fs::read(folder.join("package.json")).ok();
    let package = program.ancestors().skip(1).take(2).find_map(of)?;
    let package: Value = serde_json::from_slice(&package).ok()?;
    Some(package["version"].as_str()?.to_owned())
}

async fn sandbox(ctx: &Context, engine: &crate::settings::Sandbox) -> (Finding, Option<Probe>) {
    match engine::choose(&ctx.home, engine, &Clock::System).await {
        Ok((_, probe)) => {
            let detail = format!(
                "`{}`; memory: {}, cpu: {}, pids: {}, disk: {}, network: {}{}",
                probe.engine,
                probe.memory,
                probe.cpu,
                probe.pids,
                probe.disk,
                probe.network,
                probe.remarks.iter().map(|it| format!("; {it}")).collect::<String>(),
            );
            (Finding::fine("sandbox", detail), Some(probe))
        }
        Err(err) => {
            let exe = std::env::current_exe().unwrap_or_default();
            let reason = match &err {
                SandboxError::NotAllowed { reason } => Some(*reason),
                _ => None,
            };
            let mend = err.remedy(&exe);
            let failed = Finding::failed("sandbox", &err.into());
            (Finding { mend, reason, ..failed }, None)
        }
    }
}

/// Where the AppArmor profile goes.
const PROFILE: &str = "/etc/apparmor.d/nanogridbot";

/// Writes and loads the AppArmor profile that lets this executable make user namespaces.
#[expect(clippy::disallowed_methods, reason = "the operator asked for this one command")]
fn fix_sandbox() -> anyhow::Result<ExitCode> {
    let exe = std::env::current_exe().context("could not find this executable")?;
    let profile = ngb_sandbox::apparmor_profile(&exe);
    std::fs::write(PROFILE, profile)
        .with_context(|| format!("could not write `{PROFILE}`; run it as root"))?;
    let status = std::process::Command::new("apparmor_parser").args(["-r", PROFILE]).status();
    let status =
        status.context("could not start `apparmor_parser`; install the package `apparmor`")?;
    if !status.success() {
        anyhow::bail!("`apparmor_parser -r {PROFILE}` failed");
    }
    print::lines(&[format!("wrote and loaded `{PROFILE}`; start the gateway anew")]);
    Ok(ExitCode::SUCCESS)
}
