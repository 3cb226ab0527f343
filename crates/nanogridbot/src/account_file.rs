//! The accounts of the file of settings, as the running gateway reads and writes them.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use ngb_core::{
    address::{Account, ChannelKind},
    clock::Clock,
    secret::{Redactor, Secret},
};
use ngb_gateway::{
    account_book::{AccountBook, Want, Way},
    accounts::Configured,
    answers::NotTaken,
};

use crate::{
    channels,
    cli::{self, BadArgument},
    hint::hint,
    home::Home,
    make,
    net::Net,
    settings::{self, Edit, Environment},
};

/// Where the settings are, and what is to be kept out of the log.
pub(crate) struct AccountFile {
    pub(crate) home: Home,
    pub(crate) serve: cli::Serve,
    pub(crate) clock: Clock,
    pub(crate) redactor: Redactor,
}

/// The section of an account.
fn section(account: &Account) -> [&str; 3] {
    ["channels", account.channel().as_str(), account.name()]
}

/// The file with a section for `account` in it, not yet written. It makes sense: the account can be made of it.
///
/// # Errors
///
/// When the section is there already, or makes no sense.
pub(crate) fn with_account(
    file: &Path,
    env: &Environment,
    account: &Account,
    values: &[(String, Secret)],
) -> anyhow::Result<Edit> {
    if matches!(account.channel(), ChannelKind::Web | ChannelKind::Terminal) {
        return Err(BadArgument(format!("`{}` is always there", account.channel())).into());
    }
    let mut edit = Edit::open(file)?;
    let at = section(account);
    if edit.has(&at) {
        let why = format!(
            "`{account}` is in `{}` already; change it there, then `nanogridbot channel reload`",
            file.display()
        );
        return Err(BadArgument(why).into());
    }
    if values.is_empty() {
        let kind = account.channel();
        let it = wanted(kind)
            .unwrap_or_else(|| format!("docs/channels/{kind}.md says what `{kind}` wants"));
        let why = format!("nothing is given to set `{account}` up with; {it}");
        return Err(BadArgument(why).into());
    }
    for (key, value) in values {
        edit.set(&[at[0], at[1], at[2], key], value.expose(), env)?;
    }
    let made = edit.settings(env).map_err(anyhow::Error::from).and_then(|settings| {
        let net = Net::new(&settings.network, env)?;
        channels::make(&settings, env, &net, &Clock::System).map(drop)
    });
    match (made, wanted(account.channel())) {
        (Ok(()), _) => Ok(edit),
        (Err(err), Some(wanted)) => Err(err.context(wanted)),
        (Err(err), None) => Err(err),
    }
}

/// What a platform's section wants, in words; none where that is not one thing.
fn wanted(kind: ChannelKind) -> Option<String> {
    let line = |(key, help): &settings::Wanted| format!("  {key}=…  {help}");
    let lines: Vec<String> = settings::wants(kind).iter().map(line).collect();
    (!lines.is_empty()).then(|| format!("`{kind}` wants\n{}", lines.join("\n")))
}

/// Takes the section of `account` out of the file.
///
/// # Errors
///
/// When there is none, or the file can't be written.
pub(crate) fn remove_account(
    file: &Path,
    env: &Environment,
    account: &Account,
) -> anyhow::Result<()> {
    let mut edit = Edit::open(file)?;
    if !edit.remove(&section(account)) {
        return Err(BadArgument(format!("`{account}` is not in `{}`", file.display())).into());
    }
    edit.save(env)
}

impl AccountFile {
    fn file(&self) -> PathBuf {
        self.serve.config.clone().unwrap_or_else(|| self.home.config())
    }

    fn write(&self, account: &Account, values: &[(String, Secret)]) -> anyhow::Result<()> {
        let env = Environment::read(self.home.path())?;
        with_account(&self.file(), &env, account, values)?.save(&env)
    }

    fn take_away(&self, account: &Account) -> anyhow::Result<()> {
        remove_account(&self.file(), &Environment::read(self.home.path())?, account)
    }
}

impl AccountBook for AccountFile {
    fn ways(&self, kind: ChannelKind) -> Vec<Way> {
        let want = |(key, help): &settings::Wanted| Want {
            key,
            help,
            is_secret: !key.ends_with("_id") && !matches!(*key, "url" | "listen"),
        };
        let way = |(says, wants): (&'static str, &[settings::Wanted])| Way {
            says,
            wants: wants.iter().map(want).collect(),
        };
        settings::ways(kind).into_iter().map(way).collect()
    }

    /// Secrets that are found are kept out of the log from then on.
    fn read(&self) -> anyhow::Result<Vec<Configured>> {
        let (settings, env) = make::settings(&self.home, &self.serve)?;
        let mut secrets = settings.hidden();
        for (name, setting) in settings.secret_settings() {
            secrets.push(setting.resolve(&name, &env)?);
        }
        self.redactor.add(secrets);
        let net = Net::new(&settings.network, &env)?;
        make::configured(&settings, &env, &net, &self.clock)
    }

    fn add(&self, account: &Account, values: &[(String, Secret)]) -> Result<(), NotTaken> {
        self.redactor.add(values.iter().map(|it| it.1.clone()));
        self.write(account, values).map_err(|err| not_taken(&err))
    }

    fn remove(&self, account: &Account) -> Result<(), NotTaken> {
        let done = self.take_away(account).context("nothing was changed");
        done.map_err(|err| not_taken(&err))
    }
}

fn not_taken(err: &anyhow::Error) -> NotTaken {
    NotTaken { message: format!("{err:#}"), hint: hint(err) }
}
