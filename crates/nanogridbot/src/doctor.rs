//! Looking for what is missing or wrong: each finding with the command that mends it.

use std::{path::Path, process::ExitCode};

use anyhow::Context as _;
use ngb_core::clock::Clock;
use ngb_gateway::programs::{CLAUDE_VERSION, NoProgram};
use ngb_sandbox::{Probe, Refusal, SandboxError};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    cli, client::Client, commands::webhook_line, context::Context, engine, make, models, net::Net,
    print, settings,
};

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    what: &'static str,
    ok: bool,
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
    let mut findings = Vec::new();
    findings.push(home(ctx));
    findings.push(settings(ctx));
    findings.push(clock());
    findings.push(network(ctx));
    findings.push(room(ctx));
    findings.push(model(ctx, args.offline).await);
    findings.extend(agent(ctx));
    let (finding, probe) = sandbox(ctx).await;
    findings.push(finding);
    match Client::connect(&ctx.home.socket()).await? {
        Some(client) => {
            let status = client.get("/api/status").await?;
            findings.push(gateway(&status));
            findings.extend(accounts(&status));
            findings.extend(disk(ctx, &status));
            findings.extend(callbacks(&status));
        }
        None => {
            findings.push(Finding {
                mend: Some("start it with `nanogridbot serve`".to_owned()),
                ..Finding::fine("gateway", "not running")
            });
            findings.push(database(ctx).await);
        }
    }
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

fn home(ctx: &Context) -> Finding {
    let shown = ctx.home.path().display().to_string();
    match ctx.home.make() {
        Ok(()) => Finding::fine("home", shown),
        Err(err) => Finding::failed("home", &err.into()),
    }
}

fn settings(ctx: &Context) -> Finding {
    let read = make::settings(&ctx.home, &cli::Serve::default()).and_then(|(settings, env)| {
        for (name, setting) in settings.secret_settings() {
            setting.resolve(&name, &env)?;
        }
        Ok(())
    });
    match read {
        Ok(()) => Finding::fine("settings", "read"),
        Err(err) => Finding::failed("settings", &err),
    }
}

/// The database, opened as a start would open it; the lock keeps a gateway from starting meanwhile.
async fn database(ctx: &Context) -> Finding {
    let opened = async {
        let (settings, _) = make::settings(&ctx.home, &cli::Serve::default())?;
        let _lock = ctx.home.lock_soon(&Clock::System).await?;
        make::open_store(&ctx.home, &settings, &Clock::System).await?.close().await;
        anyhow::Ok(())
    };
    match opened.await {
        Ok(()) => Finding::fine("database", "opens"),
        Err(err) => Finding::failed("database", &err),
    }
}

/// A clock that was never set makes every certificate look wrong and every schedule late.
fn clock() -> Finding {
    let now = Clock::System.now();
    match make::check_clock(now) {
        Ok(()) => Finding::fine("clock", now.to_string()),
        Err(err) => Finding::failed("clock", &err.into()),
    }
}

/// Room on the disk of the home below which a warning is due, in bytes.
const LITTLE_ROOM_BYTES: u64 = 64 << 20;

/// How much room there is.
fn room(ctx: &Context) -> Finding {
    let home = ctx.home.path();
    let free = match rustix::fs::statvfs(home) {
        Ok(it) => it.f_bavail * it.f_frsize,
        Err(err) => return Finding::failed("disk", &std::io::Error::from(err).into()),
    };
    let little = free < LITTLE_ROOM_BYTES;
    Finding {
        ok: !little,
        mend: little.then(|| {
            format!("delete what is not needed on the disk that holds `{}`", home.display())
        }),
        ..Finding::fine("disk", format!("{} MiB free", free >> 20))
    }
}

/// The way out: proxies and certificates.
fn network(ctx: &Context) -> Finding {
    let net = make::settings(&ctx.home, &cli::Serve::default())
        .and_then(|(settings, env)| Net::new(&settings.network, &env));
    match net {
        Ok(net) => Finding::fine("network", net.shown()),
        Err(err) => Finding::failed("network", &err),
    }
}

/// The model, proved by one completion unless nothing is to be sent.
async fn model(ctx: &Context, offline: bool) -> Finding {
    let found = make::settings(&ctx.home, &cli::Serve::default()).and_then(|(settings, env)| {
        let net = Net::new(&settings.network, &env)?;
        models::find(&settings, &env, &net)
    });
    let models = match found {
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
fn agent(ctx: &Context) -> Option<Finding> {
    let (settings, env) = make::settings(&ctx.home, &cli::Serve::default()).ok()?;
    let programs = models::programs(&settings.agent, &env);
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

async fn sandbox(ctx: &Context) -> (Finding, Option<Probe>) {
    let engine = match make::settings(&ctx.home, &cli::Serve::default()) {
        Ok((settings, _)) => settings.sandbox,
        Err(_) => settings::Sandbox::default(),
    };
    match engine::choose(&ctx.home, &engine, &Clock::System).await {
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

/// The running gateway, its database and its page.
fn gateway(status: &Value) -> Finding {
    let version = print::text(status, "version");
    Finding::fine("gateway", format!("{version} runs, and its database answers"))
}

/// Each account on a platform, as the running gateway sees it.
fn accounts(status: &Value) -> Vec<Finding> {
    let all = status["channels"].as_array().into_iter().flatten();
    let platforms = all.filter(|it| !matches!(print::text(it, "name"), "web" | "terminal"));
    let finding = |it: &Value| {
        let (account, state) = (print::text(it, "account"), print::text(it, "state"));
        let detail = [account, state, print::text(it, "why")].join(" ");
        let ok = !matches!(state, "down" | "waiting");
        Finding {
            ok,
            mend: (!ok).then(|| {
                format!("mend what it says, then `nanogridbot channel test {account}`; its settings are in docs/channels")
            }),
            ..Finding::fine("channel", detail.trim_end())
        }
    };
    platforms.map(finding).collect()
}

/// A full disk, as the running gateway found it.
fn disk(ctx: &Context, status: &Value) -> Option<Finding> {
    let since = status["disk"]["since"].as_str()?;
    let home = ctx.home.path().display();
    Some(Finding {
        ok: false,
        mend: Some(format!("delete what is not needed on the disk that holds `{home}`")),
        ..Finding::fine(
            "disk",
            format!("full since {since}; messages are stored, nothing is begun"),
        )
    })
}

/// Where platforms call: the address to paste into each one's console.
fn callbacks(status: &Value) -> Option<Finding> {
    let channels = status["channels"].as_array()?.iter();
    let lines = channels.filter_map(|it| {
        let line = webhook_line(&it["webhook"])?;
        Some(format!("{}: {line}", it["account"].as_str().unwrap_or_default()))
    });
    let lines: Vec<String> = lines.collect();
    let is_known = !lines.iter().any(|it| it.contains("public_url"));
    (!lines.is_empty()).then(|| Finding {
        ok: is_known,
        mend: (!is_known).then(|| {
            "set `[web] public_url` to the https address at which platforms reach this gateway"
                .to_owned()
        }),
        ..Finding::fine("callbacks", lines.join("; "))
    })
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
