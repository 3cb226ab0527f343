//! `nanogridbot onboard`: a model that answers, a chat, what a day may cost; each proved before it is kept. It can be run
//! again to look at what there is, and to change it.

use std::{io::IsTerminal as _, process::ExitCode};

use anyhow::{Context as _, bail};
use clap::Args;
use ngb_core::address::ChannelKind;
use reqwest::Method;
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    channel,
    cli::{self, BadArgument},
    client::Client,
    context::Context,
    doctor, groups,
    print::{self, say, text},
    settings::is_place,
};

/// What is asked for where nothing is given and somebody sits at a terminal.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: nanogridbot onboard --non-interactive --provider deepseek --key env:DEEPSEEK_API_KEY --limit cost_per_day=2"
)]
pub(crate) struct Onboard {
    /// Where the model is: `anthropic`, `openai`, `azure`, `openrouter`, `gemini`, `deepseek`, `qwen`, `kimi`, `glm`, `doubao`,
    /// `minimax`, `siliconflow`, `ollama`, `lmstudio`, `llamacpp`, `vllm`.
    #[arg(long)]
    provider: Option<String>,
    /// Its name at the provider.
    #[arg(long, requires = "provider")]
    model: Option<String>,
    /// Another address than the provider's usual one.
    #[arg(long, requires = "provider")]
    base_url: Option<String>,
    /// Where the key is found: `env:NAME` or `file:PATH`. A key itself would stay in the shell's history.
    #[arg(long, requires = "provider")]
    key: Option<String>,
    /// A limit of the main group, as `group set` takes it: `cost_per_day=2`, `runs_per_day=100`.
    #[arg(long = "limit", value_name = "NAME=VALUE")]
    limits: Vec<String>,
    /// Ask nothing: take what is given and what is found here.
    #[arg(long)]
    non_interactive: bool,
    /// Only say what would be done.
    #[arg(long)]
    dry_run: bool,
}

/// What became of one step.
#[derive(Debug, Serialize)]
struct Step {
    step: &'static str,
    ok: bool,
    detail: String,
}

/// What is to be written as the model.
struct Choice {
    body: Value,
    shown: String,
}

/// `nanogridbot onboard`
pub(crate) async fn onboard(ctx: &Context, args: &Onboard) -> anyhow::Result<ExitCode> {
    let asks = !args.non_interactive && !ctx.json && std::io::stdin().is_terminal();
    let mut steps = ctx
        .with_gateway(async |client| {
            let model = model(client, args, asks).await?;
            tell(ctx, &model);
            let budget = budget(client, args, asks).await?;
            tell(ctx, &budget);
            Ok(vec![model, budget])
        })
        .await?;
    if asks && !args.dry_run {
        connect_chat(ctx).await?;
    }
    if !args.dry_run {
        let (findings, _) = doctor::look(ctx, false).await?;
        let bad: Vec<_> = findings.iter().filter(|it| !it.ok).map(|it| it.what).collect();
        let detail = match bad.as_slice() {
            [] => "all is well".to_owned(),
            bad => format!("`nanogridbot doctor` says how to mend: {}", bad.join(", ")),
        };
        let check = Step { step: "check", ok: bad.is_empty(), detail };
        tell(ctx, &check);
        steps.push(check);
    }
    let ok = steps.iter().all(|it| it.ok);
    let home = ctx.home.path().display().to_string();
    ctx.show(&json!({ "ok": ok, "home": home, "steps": steps }), |_| {
        print::lines(&[
            String::new(),
            format!("everything is kept in {home}; settings are in {}", ctx.home.config().display()),
            "`nanogridbot` starts the gateway and prints the page's link; `nanogridbot run -p TEXT` asks from here".to_owned(),
            "`nanogridbot channel add PLATFORM` connects a chat; `nanogridbot onboard` again looks at all of this".to_owned(),
        ]);
    });
    Ok(if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn tell(ctx: &Context, it: &Step) {
    if !ctx.json {
        say(&format!("{}  {:7} {}", if it.ok { "ok  " } else { "FAIL" }, it.step, it.detail));
    }
}

async fn model(client: &Client, args: &Onboard, asks: bool) -> anyhow::Result<Step> {
    let status = client.get("/api/status").await?;
    let now = text(&status, "agent").to_owned();
    let step = |ok, detail| Ok(Step { step: "model", ok, detail });
    let keeps = args.provider.is_none() && !now.starts_with("demo");
    if keeps && !(asks && yes(&format!("{now} answers now. Choose another model?"), false)?) {
        return step(true, format!("{now} answers, as before"));
    }
    let offers = client.get("/api/model/offers").await?;
    let offers: Vec<&Value> = offers.as_array().into_iter().flatten().collect();
    let Some(offer) = chosen(&offers, args, asks)? else {
        return step(
            false,
            "no key and no model server is found here; name one by `--provider` and `--key env:NAME`".to_owned(),
        );
    };
    let Choice { body, shown } = choice(offer, args, asks)?;
    if args.dry_run {
        return step(
            true,
            format!("{shown} would be asked for one answer, and kept if it gives one"),
        );
    }
    if asks {
        say(&format!("asking {shown} …"));
    }
    let saved = client.post("/api/model", body).await.context("nothing was changed")?;
    let took = saved["took_ms"].as_u64().unwrap_or(0);
    step(true, format!("{} answered in {took} ms and is kept", text(&saved, "agent")))
}

/// Which provider: the one that is named, that somebody chooses, or else the first of which something is here.
fn chosen<'a>(
    offers: &[&'a Value],
    args: &Onboard,
    asks: bool,
) -> anyhow::Result<Option<&'a Value>> {
    let named = |name: &str| offers.iter().find(|it| it["name"] == name).copied();
    if let Some(name) = &args.provider {
        let Some(offer) = named(name) else {
            let known: Vec<_> = offers.iter().map(|it| text(it, "name")).collect();
            let why =
                format!("`{name}` is no provider that is known here; known: {}", known.join(", "));
            return Err(BadArgument(why).into());
        };
        return Ok(Some(offer));
    }
    let is_here = |it: &&&Value| it["variable"].is_string() || it["models"][0].is_string();
    let first = offers.iter().find(is_here).copied();
    if !asks {
        return Ok(first);
    }
    for it in offers {
        let here = match (it["variable"].as_str(), it["models"].as_array()) {
            (Some(variable), _) => format!("  {variable} is set"),
            (None, Some(models)) => format!("  runs here, with {} models", models.len()),
            (None, None) => String::new(),
        };
        say(&format!("  {:12} {}{here}", text(it, "name"), text(it, "title")));
    }
    loop {
        let name = ask("provider", first.map(|it| text(it, "name")))?;
        match named(&name) {
            Some(offer) => return Ok(Some(offer)),
            None => say(&format!("there is no `{name}` in the list")),
        }
    }
}

fn choice(offer: &Value, args: &Onboard, asks: bool) -> anyhow::Result<Choice> {
    let name = text(offer, "name");
    let own = offer["models"][0].as_str();
    let usual = own.unwrap_or(text(offer, "model"));
    let usual_url = text(offer, "base_url");
    let of_account = |it: &str| it.contains('<');
    let base_url = match &args.base_url {
        Some(url) => url.clone(),
        None if of_account(usual_url) && asks => ask(&format!("address, as {usual_url}"), None)?,
        None => usual_url.to_owned(),
    };
    let model = match &args.model {
        Some(model) => model.clone(),
        None if asks => ask("model", Some(usual).filter(|it| !of_account(it)))?,
        None => usual.to_owned(),
    };
    for (what, flag) in [(&base_url, "--base-url"), (&model, "--model")] {
        if of_account(what) {
            let why = format!("`{what}` is to be filled in; give `{flag}`");
            return Err(BadArgument(why).into());
        }
    }
    let variable = offer["variable"].as_str().map(|it| format!("env:{it}"));
    let key = match (&args.key, variable) {
        (Some(key), _) if is_place(key) => Some(key.clone()),
        (Some(_), _) => {
            let why = "`--key` takes `env:NAME` or `file:PATH`; a key itself would stay in the shell's history";
            return Err(BadArgument(why.to_owned()).into());
        }
        (None, Some(variable)) => Some(variable),
        (None, None) if offer["needs_key"] != true => None,
        (None, None) if asks => {
            Some(ask("key (or env:NAME, file:PATH; it is kept in the settings, mode 0600)", None)?)
        }
        (None, None) => bail!("`{name}` wants a key; give `--key env:NAME` or `--key file:PATH`"),
    };
    let body = json!({
        "provider": name, "kind": offer["kind"], "model": model, "base_url": base_url,
        "auth": offer["auth"], "api_key": key,
    });
    Ok(Choice { body, shown: format!("{name}/{model}") })
}

async fn budget(client: &Client, args: &Onboard, asks: bool) -> anyhow::Result<Step> {
    let groups = client.get("/api/groups").await?;
    let main = groups.as_array().into_iter().flatten().find(|it| it["is_main"] == true);
    let main = main.context("there is no main group")?;
    let limits = &main["limits"];
    let mut given = args.limits.clone();
    if given.is_empty() && asks {
        let runs = limits["runs_per_day"].to_string();
        given.push(format!("runs_per_day={}", ask("runs a day, of the main group", Some(&runs))?));
        let tokens =
            limits["tokens_per_day"].as_u64().map_or("none".to_owned(), |it| it.to_string());
        given.push(format!("tokens_per_day={}", ask("tokens a day", Some(&tokens))?));
    }
    let new = groups::limit_values(&given.iter().collect::<Vec<_>>())?;
    let limits = if given.is_empty() || args.dry_run {
        limits.clone()
    } else {
        let path = format!("/api/groups/{}", main["id"]);
        let changed = client.call(Method::PATCH, &path, Some(json!({ "limits": new }))).await?;
        changed["limits"].clone()
    };
    let cap = |key: &str, what: &str| match &limits[key] {
        Value::Null => format!("{what} without a cap"),
        cap => format!("{cap} {what}"),
    };
    let all = [("runs_per_day", "runs"), ("tokens_per_day", "tokens"), ("cost_per_day", "money")];
    let said = all.map(|(key, what)| cap(key, what)).join(", ");
    let would = if args.dry_run && !given.is_empty() {
        format!("; would be set: {}", given.join(", "))
    } else {
        String::new()
    };
    Ok(Step { step: "budget", ok: true, detail: format!("a day of the main group: {said}{would}") })
}

/// Adds an account and waits for its first answered message, where somebody wants one.
async fn connect_chat(ctx: &Context) -> anyhow::Result<()> {
    let kind = ask("chat platform to connect (telegram, slack, …), or none", Some("none"))?;
    if kind == "none" {
        return Ok(());
    }
    let kind: ChannelKind = kind.parse().map_err(|_| {
        BadArgument(format!("`{kind}` is no platform; `nanogridbot channel add --help` lists them"))
    })?;
    let add = cli::Channel::Add { kind, name: "main".to_owned(), settings: Vec::new(), wait: None };
    channel::channel(ctx, &add).await?;
    Ok(())
}

/// Asks at the terminal; an empty line is the usual answer.
fn ask(what: &str, usual: Option<&str>) -> anyhow::Result<String> {
    let prompt = match usual {
        Some(usual) => format!("{what} [{usual}]:"),
        None => format!("{what}:"),
    };
    loop {
        let Some(answer) = print::ask(&prompt)? else {
            bail!("the terminal was closed; nothing more was changed");
        };
        match (answer.as_str(), usual) {
            ("", Some(usual)) => return Ok(usual.to_owned()),
            ("", None) => (),
            _ => return Ok(answer),
        }
    }
}

fn yes(what: &str, usual: bool) -> anyhow::Result<bool> {
    let answer = ask(what, Some(if usual { "yes" } else { "no" }))?;
    Ok(matches!(answer.to_lowercase().as_str(), "y" | "yes" | "j" | "是"))
}
