//! `nanogridbot dead`: work that was given up, and sends that a platform refused for good.

use std::{process::ExitCode, str::FromStr};

use clap::Subcommand;
use ngb_core::text::shorten;
use serde_json::{Value, json};

use crate::{
    commands::print_why,
    context::Context,
    print::{self, say, text},
};

/// Longest part of a text that is listed, in characters.
const LISTED_CHARS: usize = 60;

#[derive(Debug, Subcommand)]
pub(crate) enum Dead {
    /// List what was given up.
    List,
    /// Show one, and the path of its message: `dead show 7`, `dead show send-12`.
    Show { letter: Letter },
    /// Try one again: `dead requeue 7`, `dead requeue send-12`.
    Requeue { letter: Letter },
    /// Throw one away.
    Drop { letter: Letter },
}

/// Which: the number of a job, or that of a send behind `send-`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Letter {
    Job(i64),
    Send(i64),
}

impl FromStr for Letter {
    type Err = String;

    fn from_str(words: &str) -> Result<Self, String> {
        let (make, number): (fn(i64) -> Self, _) = match words.strip_prefix("send-") {
            Some(number) => (Self::Send, number),
            None => (Self::Job, words),
        };
        let number = number.parse().map_err(|_| {
            "is the number of a job or `send-` and a number, as `nanogridbot dead list` shows them".to_owned()
        })?;
        Ok(make(number))
    }
}

impl std::fmt::Display for Letter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Job(id) => write!(f, "{id}"),
            Self::Send(id) => write!(f, "send-{id}"),
        }
    }
}

impl Letter {
    fn path(self) -> String {
        match self {
            Self::Job(id) => format!("/api/dead/{id}"),
            Self::Send(id) => format!("/api/dead/sends/{id}"),
        }
    }
}

/// `nanogridbot dead …`
pub(crate) async fn dead(ctx: &Context, command: &Dead) -> anyhow::Result<ExitCode> {
    let answer = ctx
        .with_gateway(async |client| match command {
            Dead::List => {
                let (jobs, sends) =
                    (client.get("/api/dead").await?, client.get("/api/dead/sends").await?);
                Ok(json!({ "jobs": jobs, "sends": sends }))
            }
            Dead::Show { letter } => client.get(&letter.path()).await,
            Dead::Requeue { letter } => {
                client.post(&format!("{}/requeue", letter.path()), json!({})).await
            }
            Dead::Drop { letter } => {
                client.post(&format!("{}/drop", letter.path()), json!({})).await
            }
        })
        .await?;
    ctx.show(&answer, |it| match command {
        Dead::List => list(it),
        Dead::Show { letter } => {
            let of = it.get("job").or_else(|| it.get("send")).unwrap_or(&Value::Null);
            say(&format!("{letter}: {}", text(of, "error")));
            if !it["why"].is_null() {
                print_why(&it["why"]);
            }
        }
        Dead::Requeue { letter: letter @ Letter::Job(_) } => {
            say(&format!("job {letter} waits again"))
        }
        Dead::Requeue { letter } => say(&format!("{letter} is sent again")),
        Dead::Drop { letter } => say(&format!("{letter} is dropped")),
    });
    Ok(ExitCode::SUCCESS)
}

fn list(it: &Value) {
    let row = |it: &Value, id: String, what: &str| {
        let message = it["message"].as_i64().map(|id| format!("#{id}")).unwrap_or_default();
        vec![
            id,
            message,
            text(it, "jid").into(),
            text(it, "error").into(),
            shorten(what, LISTED_CHARS),
        ]
    };
    let jobs = it["jobs"].as_array().into_iter().flatten();
    let mut rows: Vec<_> = jobs.map(|it| row(it, it["id"].to_string(), "")).collect();
    let sends = it["sends"].as_array().into_iter().flatten();
    rows.extend(sends.map(|it| row(it, format!("send-{}", it["id"]), text(it, "text"))));
    match rows.is_empty() {
        true => say("nothing was given up"),
        false => print::table(&["id", "message", "chat", "why", "text"], &rows),
    }
}
