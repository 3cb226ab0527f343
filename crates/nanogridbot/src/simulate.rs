//! `nanogridbot sim`: simulated platforms and a simulated model.

use std::{net::SocketAddr, path::Path, process::ExitCode, sync::Arc};

use anyhow::Context as _;
use ngb_core::{clock::Clock, tasks::Stopped};
use ngb_sim::all::{self, All, Outcome, Scenario};
use serde_json::json;

use crate::{
    cli::{self, BadArgument},
    client::Client,
    context::Context,
    home::Home,
    make::{self, Made, Purpose},
    print::{self, say},
    settings::{Edit, Environment},
};

/// `nanogridbot sim …`
pub(crate) async fn simulate(ctx: &Context, sim: cli::Sim) -> anyhow::Result<ExitCode> {
    match sim {
        cli::Sim::All { bind, write, gateway } => return all(ctx, bind, write, &gateway).await,
        cli::Sim::Scenario { file } => return scenario(ctx, &file).await,
        cli::Sim::Telegram { bind } => {
            let config = ngb_sim::telegram::Config { addr: bind, ..Default::default() };
            ngb_sim::telegram::serve(config, |server| {
                print::lines(&[
                    format!("api_url = \"{}\"", server.url),
                    format!("token = \"{}\"", server.token),
                ]);
            })
            .await?;
        }
        cli::Sim::Whatsapp { bind } => {
            let config = ngb_sim::whatsapp::Config { addr: bind, ..Default::default() };
            let shown = config.clone();
            ngb_sim::whatsapp::serve(config, |server| {
                print::lines(&[
                    format!("api_url = \"{}\"", server.url),
                    format!("access_token = \"{}\"", shown.access_token),
                    format!("phone_number_id = \"{}\"", shown.phone_number_id),
                    format!("app_secret = \"{}\"", shown.app_secret),
                    format!("verify_token = \"{}\"", shown.verify_token),
                ]);
            })
            .await?;
        }
        cli::Sim::Slack { bind } => {
            let config = ngb_sim::slack::Config { addr: bind, ..Default::default() };
            ngb_sim::slack::serve(config, |server| {
                print::lines(&[
                    format!("api_url = \"{}\"", server.url),
                    format!("bot_token = \"{}\"", server.bot_token),
                    format!("app_token = \"{}\"", server.app_token),
                ]);
            })
            .await?;
        }
        cli::Sim::Feishu { bind } => {
            let config = ngb_sim::feishu::Config { addr: bind, ..Default::default() };
            let shown = config.clone();
            ngb_sim::feishu::serve(config, |server| {
                print::lines(&[
                    format!("api_url = \"{}\"", server.url),
                    format!("app_id = \"{}\"", shown.app_id),
                    format!("app_secret = \"{}\"", shown.app_secret),
                    "and for callbacks".to_owned(),
                    format!("encrypt_key = \"{}\"", shown.encrypt_key),
                    format!("verification_token = \"{}\"", shown.verification_token),
                ]);
            })
            .await?;
        }
        cli::Sim::Discord { bind } => {
            let config = ngb_sim::discord::Config { addr: bind, ..Default::default() };
            ngb_sim::discord::serve(config, |server| {
                print::lines(&[
                    format!("api_url = \"{}\"", server.url),
                    format!("token = \"{}\"", server.token),
                ]);
            })
            .await?;
        }
        cli::Sim::Wecom { bind } => {
            let config = ngb_sim::wecom::Config { addr: bind, ..Default::default() };
            let shown = config.clone();
            ngb_sim::wecom::serve(config, |server| {
                print::lines(&[
                    format!("api_url = \"{}\"", server.url),
                    format!("corp_id = \"{}\"", shown.corp_id),
                    format!("agent_id = {}", shown.agent_id),
                    format!("secret = \"{}\"", shown.secret),
                    format!("token = \"{}\"", shown.token),
                    format!("encoding_aes_key = \"{}\"", shown.encoding_aes_key),
                    "or".to_owned(),
                    format!("ws_url = \"{}\"", server.ws_url),
                    format!("bot_id = \"{}\"", shown.bot_id),
                    format!("bot_secret = \"{}\"", shown.bot_secret),
                ]);
            })
            .await?;
        }
        cli::Sim::Dingtalk { bind } => {
            let config = ngb_sim::dingtalk::Config { addr: bind, ..Default::default() };
            let shown = config.clone();
            ngb_sim::dingtalk::serve(config, |server| {
                print::lines(&[
                    format!("api_url = \"{}\"", server.url),
                    format!("upload_url = \"{}\"", server.url),
                    format!("client_id = \"{}\"", shown.client_id),
                    format!("client_secret = \"{}\"", shown.client_secret),
                    format!("card_template_id = \"{}\"", ngb_sim::dingtalk::CARD_TEMPLATE),
                ]);
            })
            .await?;
        }
        cli::Sim::Qq { bind } => {
            let config = ngb_sim::qq::Config { addr: bind, ..Default::default() };
            let token = config.token.clone();
            ngb_sim::qq::serve(config, |server| {
                print::lines(&[
                    format!("url = \"{}\"", server.url),
                    format!("token = \"{token}\""),
                ]);
            })
            .await?;
        }
        cli::Sim::QqBot { bind } => {
            let config = ngb_sim::qqbot::Config { addr: bind, ..Default::default() };
            let shown = config.clone();
            ngb_sim::qqbot::serve(config, |server| {
                print::lines(&[
                    format!("app_id = \"{}\"", shown.app_id),
                    format!("app_secret = \"{}\"", shown.secret),
                    format!("api_url = \"{}\"", server.url),
                    format!("token_url = \"{}\"", server.token_url),
                ]);
            })
            .await?;
        }
        cli::Sim::Model { bind } => {
            print::lines(&[format!("base_url = \"http://{bind}\"")]);
            ngb_sim::model::serve(bind).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// `nanogridbot sim all`
async fn all(
    ctx: &Context,
    bind: SocketAddr,
    write: bool,
    gateway: &str,
) -> anyhow::Result<ExitCode> {
    let clock = Clock::System;
    let town = All::start(bind).await.with_context(|| {
        format!("the nine ports after that of {bind} are not free; name others by `--bind`")
    })?;
    let town = Arc::new(town);
    if write {
        write_settings(ctx, &town).await?;
    } else {
        print::lines(&[town.settings().trim_end()]);
    }
    let page = all::serve(town.clone(), bind, clock.clone(), |addr| {
        // Not among the settings, which may go to a file.
        eprintln!("the page is at http://{addr}/");
    });
    let (served, ()) = tokio::join!(page, town.call_back(gateway, &clock));
    served.context("could not serve the page")?;
    Ok(ExitCode::SUCCESS)
}

/// Puts the accounts into the file of settings, and has a gateway that runs take them up.
async fn write_settings(ctx: &Context, town: &All) -> anyhow::Result<()> {
    ctx.home.make()?;
    let env = Environment::read(ctx.home.path())?;
    let mut edit = Edit::open(&ctx.home.config())?;
    for side in town.everyone() {
        let at = ["channels", side.kind().as_str(), side.name()];
        edit.remove(&at);
        for (key, value) in side.settings() {
            edit.set(&[at[0], at[1], at[2], key], &value, &env)?;
        }
        edit.set(&[at[0], at[1], at[2], "new_chats"], "own-group", &env)?;
    }
    edit.save(&env)?;
    say(&format!("`{}` has the nine accounts", ctx.home.config().display()));
    match Client::connect(&ctx.home.socket()).await? {
        Some(client) => {
            client.post("/api/channels/reload", json!({})).await?;
            say("the gateway that runs has connected them");
        }
        None => say(&format!(
            "start the gateway: `nanogridbot --home {} serve`",
            ctx.home.path().display()
        )),
    }
    Ok(())
}

/// `nanogridbot sim scenario`: a gateway with this home's settings and a home of its own, between simulated platforms.
async fn scenario(ctx: &Context, file: &Path) -> anyhow::Result<ExitCode> {
    let scenario = read_scenario(file)?;
    let town = All::start(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
    let dir = tempfile::tempdir().context("could not make a folder for the scenario")?;
    let home = Home::find(Some(dir.path().to_owned()))?;
    prepare(&ctx.home, &home, &town)?;
    let serve = cli::Serve { port: Some(0), ..cli::Serve::default() };
    let made = make::make(&home, &serve, Purpose::Serve).await?;
    let Made { gateway, mut tasks, web, lock: _lock, lease, .. } = made;
    let base = format!("http://{}", web.addr());
    let drain = tasks.drain.clone();
    tasks.spawn("web", web.run(gateway.clone(), drain.clone()));
    let clock = gateway.clock().clone();
    let mut outcomes = Vec::new();
    let played = async {
        // Whatever comes of it, the gateway ends with it.
        let _drained = drain.drop_guard();
        town.call_back(&base, &clock).await;
        let alone = town.connected(CONNECT_LIMIT, &clock).await;
        if let Some(kind) = alone.first() {
            anyhow::bail!("the gateway did not connect to `{kind}` within {CONNECT_LIMIT:?}");
        }
        let seen = |it: &Outcome| {
            if !ctx.json {
                tell(it);
            }
            outcomes.push(it.clone());
        };
        Ok(scenario.play(&town, &clock, seen).await)
    };
    let (stopped, passed) = tokio::join!(tasks.run(&clock, GRACE), played);
    lease.give_back().await;
    gateway.store().close().await;
    if let Stopped::Failed(why) = stopped {
        anyhow::bail!("the gateway of the scenario failed: {why}");
    }
    let passed = passed?;
    if ctx.json {
        print::json(&json!({ "passed": passed, "steps": outcomes }));
    }
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// How long a scenario's gateway may take to connect to all platforms.
const CONNECT_LIMIT: std::time::Duration = std::time::Duration::from_secs(30);

/// How long the work of a scenario's gateway has to end.
const GRACE: std::time::Duration = std::time::Duration::from_secs(30);

fn read_scenario(file: &Path) -> anyhow::Result<Scenario> {
    let shown = file.display();
    let text =
        std::fs::read_to_string(file).with_context(|| format!("could not read `{shown}`"))?;
    let bad = |why: String| BadArgument(format!("`{shown}` is no scenario: {why}"));
    let scenario: Scenario = match file.extension().and_then(|it| it.to_str()) {
        Some("json") => serde_json::from_str(&text).map_err(|err| bad(err.to_string()))?,
        _ => toml::from_str(&text).map_err(|err| bad(err.to_string()))?,
    };
    scenario.check().map_err(|err| bad(err.to_string()))?;
    Ok(scenario)
}

/// Gives `home` the settings of `of`, with the simulated accounts for its own, and another database and page.
fn prepare(of: &Home, home: &Home, town: &All) -> anyhow::Result<()> {
    let found = |path: std::path::PathBuf| match std::fs::read_to_string(&path) {
        Ok(text) => Ok(text),
        Err(err) if err.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(err) => {
            Err(anyhow::Error::from(err).context(format!("could not read `{}`", path.display())))
        }
    };
    let mut settings: toml::Table = found(of.config())?
        .parse()
        .with_context(|| format!("`{}` is not TOML", of.config().display()))?;
    for section in ["channels", "database", "web", "log"] {
        settings.remove(section);
    }
    let text = format!("[log]\nlevel = \"warn\"\n\n{}\n{settings}", town.settings());
    home.make()?;
    std::fs::write(home.config(), text).context("could not write the scenario's settings")?;
    let secrets = found(of.path().join(".env"))?;
    std::fs::write(home.path().join(".env"), secrets)
        .context("could not write the scenario's `.env`")
}

/// One outcome, in a line.
fn tell(it: &Outcome) {
    let word = if it.passed { "ok" } else { "FAILED" };
    say(&format!("step {:2}  {:9} {word} after {} ms", it.step, it.on, it.took_ms));
    if it.passed {
        return;
    }
    match it.instead.as_slice() {
        [] => say("         nothing was shown"),
        shown => {
            shown.iter().for_each(|it| say(&format!("         shown: {}", print::harmless(it))))
        }
    }
}
