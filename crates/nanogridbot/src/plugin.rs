//! `nanogridbot plugin`: from nothing to a plugin that is installed.

mod build;
mod held;
mod hint;
mod install;
mod new;
mod test;
mod tune;

use std::process::ExitCode;

use ngb_plugins::wasm::{Cache, Folder};

use crate::{cli, context::Context};

pub(crate) use hint::{hint, is_usage};

/// `nanogridbot plugin …`
pub(crate) async fn plugin(ctx: &Context, command: &cli::Plugin) -> anyhow::Result<ExitCode> {
    match command {
        cli::Plugin::New { name, lang, to } => new::new(ctx, name, *lang, to.as_deref()),
        cli::Plugin::Build { folder, more } => build::build(ctx, folder, more).await,
        cli::Plugin::Test { file, plugin } => test::test(ctx, file, plugin).await,
        cli::Plugin::Install(args) => install::install(ctx, args).await,
        cli::Plugin::List => install::list(ctx),
        cli::Plugin::Remove { name } => install::remove(ctx, name),
        cli::Plugin::Active => held::active(ctx).await,
        cli::Plugin::Show { name } => tune::show(ctx, name).await,
        cli::Plugin::Enable { name } => tune::enable(ctx, name, true).await,
        cli::Plugin::Disable { name } => tune::enable(ctx, name, false).await,
        cli::Plugin::Config { name, changes, group } => {
            tune::config(ctx, name, changes, group.as_deref()).await
        }
        cli::Plugin::History { name } => tune::history(ctx, name).await,
        cli::Plugin::Revert { name, version } => tune::revert(ctx, name, *version).await,
        cli::Plugin::Reload { name } => tune::reload(ctx, name).await,
        cli::Plugin::Logs { name, follow } => held::logs(ctx, name.as_deref(), *follow).await,
        cli::Plugin::Held => held::held(ctx).await,
        cli::Plugin::Release { id } => held::decide(ctx, *id, "release").await,
        cli::Plugin::Drop { id } => held::decide(ctx, *id, "drop").await,
    }
}

/// Where plugins are installed.
fn folder(ctx: &Context) -> Folder {
    Folder::new(ctx.home.plugins())
}

/// Where what was compiled is kept.
fn cache(ctx: &Context) -> Cache {
    Cache::new(ctx.home.plugin_cache())
}
