//! `nanogridbot task …`: what is scheduled.

use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    client::Client,
    context::Context,
    print::{self, say, text},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// Schedule a task.
    #[command(after_help = "Examples:
  nanogridbot task add -g family --cron '0 8 * * MON-FRI' --tz Europe/Berlin -p 'Summarise the news'
  nanogridbot task add -g family --every 2h -p 'Look for new mail'
  nanogridbot task add -g family --at '2026-12-24 18:00' --say -p 'Dinner is ready'")]
    Add(Box<Add>),
    /// List what is scheduled.
    List {
        /// Only of this group.
        #[arg(short, long)]
        group: Option<String>,
    },
    /// Show a task and its latest fires.
    Show { id: i64 },
    /// Show when a task fires next.
    Next {
        id: i64,
        /// How many fires.
        #[arg(short, default_value_t = 20)]
        n: u32,
    },
    /// Have a task fire no more for now.
    Pause { id: i64 },
    /// Have a task fire again.
    Resume { id: i64 },
    /// Fire a task now, beside its schedule.
    Run { id: i64 },
    /// Cancel a task.
    #[command(alias = "remove")]
    Cancel { id: i64 },
}

#[derive(Debug, Args)]
pub(crate) struct Add {
    /// The group whose agent does it.
    #[arg(short, long)]
    group: String,
    /// What is to be done.
    #[arg(short, long)]
    prompt: String,
    #[command(flatten)]
    when: When,
    /// The time zone of `--cron` and of a local `--at`, e.g. `Europe/Berlin`; default this machine's.
    #[arg(long, value_name = "ZONE")]
    tz: Option<String>,
    /// Where the answer goes: a chat that is bound to the group.
    #[arg(long, value_name = "JID")]
    chat: Option<String>,
    /// The thread in that chat.
    #[arg(long, requires = "chat")]
    thread: Option<String>,
    /// Say the text itself; no model is asked.
    #[arg(long)]
    say: bool,
    /// Begin a conversation of its own each time, apart from the chat's.
    #[arg(long)]
    isolated: bool,
    /// What becomes of fires that were missed.
    #[arg(long, value_enum, default_value_t = Misfire::Once)]
    misfire: Misfire,
    /// What happens when the fire before is still at work.
    #[arg(long, value_enum, default_value_t = Overlap::Skip)]
    overlap: Overlap,
    /// Run each fire up to so many seconds later than its time.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    jitter: u32,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct When {
    /// A cron expression of five fields, or six with seconds first.
    #[arg(long, value_name = "EXPR")]
    cron: Option<String>,
    /// So often, e.g. `90s`, `15m`, `2h`, `1d`.
    #[arg(long, value_name = "DURATION")]
    every: Option<String>,
    /// Once, e.g. `2026-12-24 18:00` or `2026-12-24T17:00:00Z`.
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Misfire {
    /// Leave them out.
    Skip,
    /// Make up for the latest.
    Once,
    /// Make up for each, ten at most.
    All,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Overlap {
    /// Leave it out.
    Skip,
    /// Let it wait.
    Queue,
    /// End the one before.
    Replace,
}

/// The word that the API takes for a choice: the one of the command line.
fn word(it: &impl ValueEnum) -> String {
    it.to_possible_value().map(|it| it.get_name().to_owned()).unwrap_or_default()
}

fn draft(it: &Add) -> Value {
    let (kind, value) = match (&it.when.cron, &it.when.every, &it.when.at) {
        (Some(cron), ..) => ("cron", cron),
        (_, Some(every), _) => ("interval", every),
        (.., Some(at)) => ("once", at),
        (None, None, None) => unreachable!("clap wants one of them"),
    };
    json!({
        "group": it.group,
        "prompt": it.prompt,
        "schedule_type": kind,
        "schedule_value": value,
        "zone": it.tz,
        "chat_jid": it.chat,
        "thread": it.thread,
        "does": if it.say { "say" } else { "think" },
        "context_mode": if it.isolated { "isolated" } else { "group" },
        "misfire": word(&it.misfire),
        "overlap": word(&it.overlap),
        "jitter_s": it.jitter,
    })
}

/// `nanogridbot task …`
pub(crate) async fn task(ctx: &Context, command: &Task) -> anyhow::Result<ExitCode> {
    let answer = ctx.with_gateway(async |client| call(client, command).await).await?;
    ctx.show(&answer, |it| match command {
        Task::List { .. } => {
            let rows: Vec<_> = it.as_array().into_iter().flatten().map(line).collect();
            print::table(&["id", "group", "when", "status", "next", "what"], &rows);
        }
        Task::Next { .. } => {
            for fire in it["fires"].as_array().into_iter().flatten() {
                say(&format!("{}  {}", text(fire, "local"), text(fire, "at")));
            }
        }
        _ => shown(it),
    });
    Ok(ExitCode::SUCCESS)
}

async fn call(client: &Client, command: &Task) -> anyhow::Result<Value> {
    let of = |id: &i64, what: &str| format!("/api/tasks/{id}{what}");
    match command {
        Task::Add(add) => client.post("/api/tasks", draft(add)).await,
        Task::List { group: None } => client.get("/api/tasks").await,
        Task::List { group: Some(group) } => {
            client.get(&format!("/api/tasks?group={}", crate::client::escaped(group))).await
        }
        Task::Show { id } => {
            let mut task = client.get(&of(id, "")).await?;
            task["fires"] = client.get(&of(id, "/logs?n=20")).await?;
            Ok(task)
        }
        Task::Next { id, n } => client.get(&of(id, &format!("/next?n={n}"))).await,
        Task::Pause { id } => client.post(&of(id, "/pause"), json!({})).await,
        Task::Resume { id } => client.post(&of(id, "/resume"), json!({})).await,
        Task::Run { id } => client.post(&of(id, "/run"), json!({})).await,
        Task::Cancel { id } => client.call(Method::DELETE, &of(id, ""), None).await,
    }
}

/// A task in a row of a table.
fn line(it: &Value) -> Vec<String> {
    let what = text(it, "prompt").lines().next().unwrap_or_default();
    vec![
        it["id"].to_string(),
        text(it, "group_name").into(),
        when(it),
        text(it, "status").into(),
        text(it, "next_run_local").into(),
        ngb_core::text::shorten(what, 40),
    ]
}

fn when(it: &Value) -> String {
    let value = text(it, "schedule_value");
    match text(it, "schedule_type") {
        "cron" => format!("{value} ({})", text(it, "zone")),
        "interval" => format!("every {value}"),
        _ => format!("at {value}"),
    }
}

fn shown(it: &Value) {
    say(&format!("task {} of `{}`: {}", it["id"], text(it, "group_name"), when(it)));
    say(&format!("  {}", text(it, "prompt")));
    say(&format!("  {}, in {}", text(it, "status"), text(it, "target_chat_jid")));
    if let Some(note) = it["note"].as_str() {
        say(&format!("  {note}"));
    }
    if let Some(next) = it["next_run_local"].as_str() {
        say(&format!("  next {next}"));
    }
    for fire in it["fires"].as_array().into_iter().flatten() {
        let outcome = fire["skipped"].as_str().or(fire["outcome"].as_str()).unwrap_or("?");
        let error = fire["error"].as_str().map(|it| format!(": {it}")).unwrap_or_default();
        let took =
            fire["duration_ms"].as_u64().map(|it| format!(" in {it} ms")).unwrap_or_default();
        say(&format!("  {}  {outcome}{took}{error}", text(fire, "slot")));
    }
}
