//! The commands.

use std::{
    io::{self, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::mpsc,
};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use ngb_core::{
    clock::{Clock, Timestamp},
    secret::Secret,
    tasks::blocking,
};
use ngb_store::{OpenOptions, Restored, Store, copy, copy::Rows};
use serde_json::json;

use super::{
    archive::{Archive, End, FORMAT, Manifest},
    hide::without_secrets,
    read::{self, NoPassphrase},
    start, tree,
};
use crate::{
    context::Context,
    home::Home,
    print::say,
    settings::{Environment, Settings},
    shown::HIDDEN,
};

/// The variable with the passphrase.
const PASSPHRASE: &str = "NGB_BACKUP_PASSPHRASE";

/// Parts of the database that are read ahead of those that are written.
const PARTS_AHEAD: usize = 4;

/// What waits, of each kind, that is listed.
const MAX_LISTED: u32 = 100;

#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  nanogridbot backup\n  NGB_BACKUP_PASSPHRASE=… nanogridbot backup --encrypt /mnt/usb/gateway.backup\n  nanogridbot backup verify /mnt/usb/gateway.backup"
)]
pub(crate) struct Backup {
    /// Write this file, which must not be there; default one with the time in `<home>/backups`.
    file: Option<PathBuf>,
    /// Encrypt it, with age; only then secrets are in it. The passphrase is of `--passphrase-file` or
    /// NGB_BACKUP_PASSPHRASE.
    #[arg(long)]
    encrypt: bool,
    #[command(flatten)]
    key: Key,
    #[command(subcommand)]
    command: Option<BackupCommand>,
}

#[derive(Debug, Subcommand)]
enum BackupCommand {
    /// Restore a backup into a scratch folder, bring it up to date, look for damage, and start it there, held.
    Verify {
        file: PathBuf,
        #[command(flatten)]
        key: Key,
    },
}

#[derive(Debug, Args)]
struct Key {
    /// The first line of this file is the passphrase.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  nanogridbot --home /srv/gateway restore /mnt/usb/gateway.backup"
)]
pub(crate) struct Restore {
    /// What `nanogridbot backup` wrote.
    file: PathBuf,
    #[command(flatten)]
    key: Key,
}

/// The home has something in it.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not empty")]
struct NotEmpty(String);

/// What to do about an error of these commands.
pub(crate) fn hint(cause: &(dyn std::error::Error + 'static)) -> Option<String> {
    if cause.is::<NoPassphrase>() {
        return Some(format!("name the passphrase: `--passphrase-file FILE`, or {PASSPHRASE}"));
    }
    cause.is::<NotEmpty>().then(|| "name a folder that is empty or not there: `--home DIR`".into())
}

/// Whether it is of how the program was called.
pub(crate) fn is_usage(cause: &(dyn std::error::Error + 'static)) -> bool {
    cause.is::<NoPassphrase>() || cause.is::<NotEmpty>()
}

impl Key {
    fn read(&self, env: &Environment) -> anyhow::Result<Option<Secret>> {
        let Some(file) = &self.passphrase_file else {
            return Ok(env.get(PASSPHRASE).map(Secret::new));
        };
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("could not read `{}`", file.display()))?;
        match text.lines().next().filter(|it| !it.is_empty()) {
            Some(line) => Ok(Some(Secret::new(line))),
            None => bail!("`{}` has no passphrase in its first line", file.display()),
        }
    }
}

/// `nanogridbot backup`
pub(crate) async fn backup(ctx: &Context, args: &Backup) -> anyhow::Result<ExitCode> {
    if let Some(BackupCommand::Verify { file, key }) = &args.command {
        return verify(ctx, file, key).await;
    }
    let env = Environment::read(ctx.home.path())?;
    let settings = Settings::load(&ctx.home.config(), false, &env)?;
    let seal = match (args.encrypt, args.key.read(&env)?) {
        (true, None) => return Err(NoPassphrase("the backup".to_owned()).into()),
        (true, key) => key,
        (false, _) => None,
    };
    let made_at = Clock::System.now();
    let file = match &args.file {
        Some(file) => std::path::absolute(file)?,
        None => {
            std::fs::create_dir_all(ctx.home.backups())?;
            let when = made_at.to_string().replace([':', '.'], "-");
            ctx.home.backups().join(format!("{when}.backup"))
        }
    };
    let (end, bytes) = make(&ctx.home, &settings, &file, made_at, seal, true).await?;
    for it in &end.unread {
        eprintln!("warning: left out, since it could not be read: {it}");
    }
    let answer = json!({
        "file": file, "bytes": bytes, "made_at": made_at.to_string(), "encrypted": args.encrypt,
        "rows": end.rows, "files": end.files, "unread": end.unread,
    });
    ctx.show(&answer, |_| {
        say(&format!("{}: {} rows, {} files, {bytes} bytes", file.display(), end.rows, end.files));
        if !args.encrypt {
            say("secrets of the settings are not in it; `--encrypt` takes them along");
        }
    });
    Ok(ExitCode::SUCCESS)
}

/// Writes the backup, whether or not a gateway runs.
pub(super) async fn make(
    home: &Home,
    settings: &Settings,
    file: &Path,
    made_at: Timestamp,
    seal: Option<Secret>,
    watched: bool,
) -> anyhow::Result<(End, u64)> {
    let watched = watched && io::stderr().is_terminal();
    let url = settings.database.url.clone().unwrap_or_else(|| home.database_url());
    let config = match std::fs::read_to_string(home.config()) {
        Ok(text) => Some(text),
        Err(err) if err.kind() == io::ErrorKind::NotFound => None,
        Err(err) => return Err(err).context("could not read the settings"),
    };
    let mut without = Vec::new();
    let config = match config {
        Some(text) if seal.is_none() => Some(without_secrets(&text, settings, &mut without)?),
        config => config,
    };
    let variables = std::fs::read_to_string(home.path().join(".env")).ok();
    if seal.is_none() && variables.is_some() {
        without.push(".env".to_owned());
    }
    let manifest =
        Manifest { format: FORMAT, program: env!("CARGO_PKG_VERSION").into(), made_at, without };
    let failed = format!("could not write `{}`", file.display());
    let mut archive = Archive::begin(file, &manifest, seal.as_ref()).context(failed.clone())?;
    if let Some(text) = config {
        archive.add_text("config.toml", &text).context(failed.clone())?;
    }
    if let Some(text) = variables.filter(|_| seal.is_some()) {
        archive.add_text(".env", &text).context(failed.clone())?;
    }
    // First the rows, then the files that they name.
    let (rows_tx, rows) = mpsc::sync_channel::<Rows>(PARTS_AHEAD);
    let writing = blocking("write the backup", move || -> io::Result<Archive> {
        for part in rows {
            archive.add_rows(&part)?;
            progress(&archive.end, watched);
        }
        Ok(archive)
    });
    let gone = || io::Error::from(io::ErrorKind::BrokenPipe);
    let reading = copy::read(url, move |rows| rows_tx.send(rows).map_err(|_| gone()));
    let (read, written) = tokio::join!(reading, writing);
    let mut archive = written.context(failed.clone())?;
    if read? == 0 {
        bail!("there is no database yet; start the gateway once");
    }
    let path = home.path().to_owned();
    let done = blocking("back up the files", move || {
        tree::add(&path, &mut archive)?;
        progress(&archive.end, watched);
        let end = archive.end.clone();
        archive.finish().map(|bytes| (end, bytes))
    });
    let done = done.await.context(failed)?;
    if watched {
        eprintln!();
    }
    Ok(done)
}

/// How far it is, for whoever looks on.
fn progress(end: &End, watched: bool) {
    if watched {
        eprint!("\r{} rows, {} files", end.rows, end.files);
        drop(io::stderr().flush());
    }
}

/// Puts the database of the backup `file` into the one at `url`.
async fn fill(
    file: &Path,
    key: Option<Secret>,
    url: String,
    restored: Restored,
) -> anyhow::Result<()> {
    let (rows_tx, rows) = mpsc::sync_channel(PARTS_AHEAD);
    let file = file.to_owned();
    let reading = blocking("read the backup", move || {
        let read = read::rows(&file, key.as_ref(), |it| rows_tx.send(Some(it)).is_ok());
        if read.is_ok() {
            // Whoever writes has failed already where nobody takes it.
            drop(rows_tx.send(None));
        }
        read
    });
    let gone = |_| io::Error::from(io::ErrorKind::UnexpectedEof);
    let writing = copy::write(url, restored, move || rows.recv().map_err(gone));
    let (read, written) = tokio::join!(reading, writing);
    read?;
    Ok(written?)
}

/// `nanogridbot backup verify`
async fn verify(ctx: &Context, file: &Path, key: &Key) -> anyhow::Result<ExitCode> {
    let env = Environment::read(ctx.home.path())?;
    let key = key.read(&env)?;
    let clock = Clock::System;
    let scratch = tempfile::tempdir().context("could not make a scratch folder")?;
    let (from, into, opener) = (file.to_owned(), scratch.path().to_owned(), key.clone());
    let unpacked = blocking("read the backup", move || read::unpack(&from, opener.as_ref(), &into));
    let (manifest, end) = unpacked.await?;
    let url = format!("sqlite://{}", scratch.path().join("scratch.db").display());
    let restored = Restored { at: clock.now(), made_at: manifest.made_at };
    fill(file, key, url.clone(), restored).await?;
    let backups_dir = scratch.path().join("backups");
    let options =
        OpenOptions { url: url.clone(), backups_dir, node: "verify".into(), clock: clock.clone() };
    let store = Store::open(options).await?;
    let (counts, waits) = (store.counts().await?, store.waits(MAX_LISTED).await?);
    store.close().await;
    let damage = copy::damage(url.clone()).await?;
    if !damage.is_empty() {
        bail!("the database in `{}` is damaged: {}", file.display(), damage.join("; "));
    }
    let started = start::held(scratch.path(), &url).await;
    let started = started.with_context(|| format!("`{}` can be read, and", file.display()))?;
    let answer = json!({
        "held": !started["restored"].is_null(),
        "file": file, "ok": true, "made_at": manifest.made_at.to_string(), "program": manifest.program,
        "rows": end.rows, "files": end.files, "bytes": end.bytes, "without": manifest.without,
        "groups": counts.groups, "messages": counts.messages_in + counts.messages_out,
        "waits": {
            "sends": waits.sends.len(), "messages": waits.jobs.len(), "tasks": waits.tasks.len(),
        },
    });
    ctx.show(&answer, |it| {
        say(&format!("{} is whole: made at {}", file.display(), manifest.made_at));
        say(&format!(
            "  {} groups, {} messages, {} files",
            it["groups"], it["messages"], end.files
        ));
        for name in &manifest.without {
            say(&format!("  without `{name}`"));
        }
        say("  a gateway on it came up, and was held");
    });
    Ok(ExitCode::SUCCESS)
}

/// `nanogridbot restore`
pub(crate) async fn restore(ctx: &Context, args: &Restore) -> anyhow::Result<ExitCode> {
    let home = ctx.home.path();
    let shown = home.display();
    if home.is_dir() && std::fs::read_dir(home)?.next().is_some() {
        return Err(NotEmpty(shown.to_string()).into());
    }
    let key = args.key.read(&Environment::read(home)?)?;
    let parent = home.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(parent).with_context(|| format!("could not make `{shown}`"))?;
    // Beside the home, so that it appears at once and whole.
    let scratch = tempfile::Builder::new().prefix(".restore-").tempdir_in(parent);
    let scratch = scratch.with_context(|| format!("could not write beside `{shown}`"))?;
    let (from, into, opener) = (args.file.clone(), scratch.path().to_owned(), key.clone());
    let unpacked = blocking("read the backup", move || read::unpack(&from, opener.as_ref(), &into));
    let (manifest, end) = unpacked.await?;
    let new = Home::find(Some(scratch.path().join("home")))?;
    new.make()?;
    private(new.path())?;
    let env = Environment::read(new.path())?;
    let settings = Settings::load(&new.config(), false, &env)?;
    let url = settings.database.url.unwrap_or_else(|| new.database_url());
    if url.contains(HIDDEN) {
        bail!("the password of the database is not in the backup; set NGB_DATABASE__URL");
    }
    let restored = Restored { at: Clock::System.now(), made_at: manifest.made_at };
    fill(&args.file, key, url, restored).await?;
    if home.is_dir() {
        std::fs::remove_dir(home)?;
    }
    std::fs::rename(new.path(), home).with_context(|| format!("could not make `{shown}`"))?;
    let answer = json!({
        "home": home, "made_at": manifest.made_at.to_string(), "rows": end.rows, "files": end.files,
        "unread": end.unread, "without": manifest.without,
    });
    ctx.show(&answer, |_| {
        say(&format!("{shown}: as it was at {}", manifest.made_at));
        for name in &manifest.without {
            say(&format!("  `{name}` was not in the backup: fill it in"));
        }
        say("It is held: nothing is taken, sent or answered. `nanogridbot status` lists what waits,");
        say("`nanogridbot resume --held` has it go on.");
    });
    Ok(ExitCode::SUCCESS)
}

/// For its owner only, whatever the backup made of it.
fn private(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))
}
