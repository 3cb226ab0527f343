//! `nanogridbot service …`: the gateway as a service of systemd, of the machine or of one user.

mod unit;

use std::{
    io::{ErrorKind, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use serde_json::json;

use self::unit::Unit;
use crate::{cli::BadArgument, client::Client, context::Context, print::say};

/// What the unit is called.
const NAME: &str = "nanogridbot.service";

/// Is there where systemd is the first process.
const SYSTEMD: &str = "/run/systemd/system";

#[derive(Debug, Subcommand)]
pub(crate) enum Service {
    /// Write the unit, and have it start now and with the machine (or with its user).
    #[command(after_help = "Examples:
  sudo nanogridbot --home /var/lib/nanogridbot service install
  nanogridbot service install --user
  nanogridbot service install --print")]
    Install {
        #[command(flatten)]
        which: Which,
        /// Only print the unit.
        #[arg(long)]
        print: bool,
    },
    /// Stop the service and take the unit away; the home stays.
    #[command(after_help = "Example:\n  sudo nanogridbot service remove")]
    Remove {
        #[command(flatten)]
        which: Which,
    },
    /// Say whether the unit is there, and whether it runs. Exits with 1 where it does not.
    #[command(after_help = "Example:\n  nanogridbot service status")]
    Status {
        #[command(flatten)]
        which: Which,
    },
}

/// Whose service it is; default the machine's for root, else the user's own.
#[derive(Clone, Debug, Args)]
pub(crate) struct Which {
    /// The machine's: root only.
    #[arg(long, conflicts_with = "user")]
    system: bool,
    /// This user's own.
    #[arg(long)]
    user: bool,
    /// Where units are; default `/etc/systemd/system`, or `~/.config/systemd/user`.
    #[arg(long, value_name = "DIR")]
    unit_dir: Option<PathBuf>,
}

impl Which {
    fn is_user(&self) -> bool {
        self.user || !self.system && !rustix::process::geteuid().is_root()
    }

    /// The unit's file.
    fn file(&self) -> Result<PathBuf, BadArgument> {
        let set =
            |name: &str| std::env::var_os(name).filter(|it| !it.is_empty()).map(PathBuf::from);
        let dir = match &self.unit_dir {
            Some(dir) => Some(dir.clone()),
            None if self.is_user() => set("XDG_CONFIG_HOME")
                .or_else(|| set("HOME").map(|it| it.join(".config")))
                .map(|it| it.join("systemd/user")),
            None => Some(PathBuf::from("/etc/systemd/system")),
        };
        let unknown =
            || BadArgument("`HOME` is not set; name the folder: `--unit-dir DIR`".to_owned());
        Ok(dir.ok_or_else(unknown)?.join(NAME))
    }

    /// Whether systemd is to be told: it runs, and looks where the unit is.
    fn is_live(&self) -> bool {
        self.unit_dir.is_none() && Path::new(SYSTEMD).is_dir()
    }

    /// Has systemd do something.
    fn tell(&self, args: &[&str]) -> anyhow::Result<std::process::Output> {
        let whose: &[&str] = if self.is_user() { &["--user"] } else { &[] };
        #[expect(
            clippy::disallowed_methods,
            reason = "systemd has no other door that needs no library"
        )]
        let mut command = std::process::Command::new("systemctl");
        let out = command.args(whose).args(args).output();
        out.with_context(|| format!("could not start `systemctl {}`", args.join(" ")))
    }

    fn must(&self, args: &[&str]) -> anyhow::Result<()> {
        let out = self.tell(args)?;
        if !out.status.success() {
            let said = String::from_utf8_lossy(&out.stderr);
            bail!("`systemctl {}` failed: {}", args.join(" "), said.trim());
        }
        Ok(())
    }

    /// What `systemctl show` says of one property.
    fn property(&self, name: &str) -> anyhow::Result<String> {
        let out = self.tell(&["show", "--value", "--property", name, NAME])?;
        Ok(String::from_utf8_lossy(&out.stdout).trim().to_owned())
    }
}

/// `nanogridbot service …`
pub(crate) async fn service(ctx: &Context, command: &Service) -> anyhow::Result<ExitCode> {
    match command {
        Service::Install { which, print } => install(ctx, which, *print),
        Service::Remove { which } => remove(ctx, which),
        Service::Status { which } => status(ctx, which).await,
    }
}

fn install(ctx: &Context, which: &Which, only_print: bool) -> anyhow::Result<ExitCode> {
    let exe = std::env::current_exe().context("could not find this executable")?;
    let unit = Unit { exe: &exe, home: ctx.home.path(), is_user: which.is_user() };
    let text = unit.text()?;
    if only_print {
        say(text.trim_end());
        return Ok(ExitCode::SUCCESS);
    }
    let file = which.file()?;
    ctx.home.make()?;
    write(&file, &text)?;
    let is_live = which.is_live();
    if is_live {
        which.must(&["daemon-reload"])?;
        which.must(&["enable", "--now", NAME])?;
    }
    let linger = which.is_user().then(|| format!("loginctl enable-linger {}", unit::user_name()));
    let answer = json!({
        "unit": file, "exe": exe, "home": ctx.home.path(), "started": is_live, "linger": linger,
    });
    ctx.show(&answer, |_| {
        say(&format!("wrote {}", file.display()));
        if is_live {
            say("it runs, and starts with the machine");
        } else {
            say("systemd does not run here, or does not look there: nothing was started");
        }
        if let Some(linger) = &linger {
            say(&format!(
                "it ends when you log out, and starts when you log in; to have it always: {linger}"
            ));
        }
        say(&format!(
            "what it says: journalctl {}-u {NAME}",
            if which.is_user() { "--user " } else { "" }
        ));
    });
    Ok(ExitCode::SUCCESS)
}

/// Writes the unit whole or not at all; it has no secret in it.
fn write(file: &Path, text: &str) -> anyhow::Result<()> {
    let failed = || format!("could not write `{}`", file.display());
    let dir = file.parent().with_context(failed)?;
    std::fs::create_dir_all(dir).with_context(failed)?;
    let new = file.with_extension("new");
    let mut options = std::fs::File::options();
    let opened = options.write(true).create(true).truncate(true).mode(0o644).open(&new);
    let written = opened.and_then(|mut it| {
        it.write_all(text.as_bytes())?;
        it.sync_all()
    });
    written.and_then(|()| std::fs::rename(&new, file)).with_context(failed)
}

fn remove(ctx: &Context, which: &Which) -> anyhow::Result<ExitCode> {
    let file = which.file()?;
    let was_there = file.exists();
    if was_there && which.is_live() {
        which.must(&["disable", "--now", NAME])?;
    }
    match std::fs::remove_file(&file) {
        Err(err) if err.kind() != ErrorKind::NotFound => {
            return Err(err).with_context(|| format!("could not remove `{}`", file.display()));
        }
        _ => (),
    }
    if was_there && which.is_live() {
        which.must(&["daemon-reload"])?;
    }
    ctx.show(&json!({ "unit": file, "removed": was_there }), |_| {
        if was_there {
            say(&format!(
                "removed {}; the home {} stays",
                file.display(),
                ctx.home.path().display()
            ));
        } else {
            say(&format!("there is no {}", file.display()));
        }
    });
    Ok(ExitCode::SUCCESS)
}

async fn status(ctx: &Context, which: &Which) -> anyhow::Result<ExitCode> {
    let file = which.file()?;
    let is_there = file.exists();
    let (state, enabled) = match is_there && which.is_live() {
        true => (which.property("ActiveState")?, which.property("UnitFileState")?),
        false => ("unknown".to_owned(), "unknown".to_owned()),
    };
    let answers = Client::connect(&ctx.home.socket()).await?.is_some();
    let answer = json!({
        "unit": file, "installed": is_there, "state": state, "enabled": enabled, "answers": answers,
    });
    ctx.show(&answer, |_| {
        match is_there {
            true => say(&format!("{}: {state}, {enabled}", file.display())),
            false => say(&format!(
                "{} is not there; `nanogridbot service install` writes it",
                file.display()
            )),
        }
        let home = ctx.home.path().display();
        say(&if answers {
            format!("a gateway runs on {home}")
        } else {
            format!("no gateway runs on {home}")
        });
    });
    let runs = is_there && state == "active";
    Ok(if runs { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
