//! The executable: gateway, command line, the agent inside a sandbox, the simulators.

mod account_file;
mod alerts;
mod allocator;
mod backup;
mod chain;
mod channel;
mod channel_setup;
mod channels;
mod cli;
mod client;
mod commands;
mod configuration;
mod context;
mod dead;
mod declare;
mod doctor;
mod engine;
mod footprint;
mod foretell;
mod groups;
mod hint;
mod home;
mod import;
mod installed;
mod log;
mod logs;
mod make;
mod memory;
mod message;
mod model_book;
mod models;
mod mount;
mod net;
mod onboard;
mod original;
mod people;
mod plugin;
mod print;
mod serve;
mod service;
mod session;
mod settings;
mod shell;
mod shown;
mod simulate;
mod skill;
mod standby;
mod task;
mod upgrade;
mod usage;
mod way_out;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

use crate::{
    cli::{Cli, Command},
    context::Context,
    home::Home,
};

/// Bad usage or settings, as opposed to a failure (1).
const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    allocator::set_up();
    // Before anything else: these two run without a thread or a runtime of ours.
    let args: Vec<String> =
        std::env::args_os().map(|it| it.to_string_lossy().into_owned()).collect();
    match args.get(1).map(String::as_str) {
        Some("__sandbox") => return ngb_sandbox::native::init_main(),
        Some("agent") => return ngb_agent::main(&args[2..]),
        _ => (),
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(err) => return misused(&err),
    };
    let json = cli.json;
    // The first TLS use would panic without one.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        eprintln!("error: another TLS provider was installed first");
        return ExitCode::FAILURE;
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(err) => {
            eprintln!("error: could not start: {err}");
            return ExitCode::FAILURE;
        }
    };
    let done = runtime.block_on(run(cli));
    // What still reads standard input must not keep the process.
    runtime.shutdown_background();
    match done {
        Ok(code) => code,
        Err(err) => report(&err, json),
    }
}

/// Says what is wrong with the arguments, as one JSON document where that was asked for; help and version are no error.
fn misused(err: &clap::Error) -> ExitCode {
    let mut args = std::env::args_os().take_while(|it| it != "--");
    if !err.use_stderr() || !args.any(|it| it == "--json") {
        err.exit();
    }
    // After the first empty line come the usage and where help is.
    let text = err.to_string();
    let message = text.split("\n\n").next().unwrap_or(&text).trim_start_matches("error: ");
    let error = serde_json::json!({
        "message": message.trim(),
        "hint": "`nanogridbot help` shows the commands, `--help` after one what it takes",
    });
    print::json(&serde_json::json!({ "error": error }));
    ExitCode::from(EXIT_USAGE)
}

async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let home = Home::find(cli.home)?;
    let ctx = Context { home, json: cli.json };
    match cli.command.unwrap_or_else(|| Command::Serve(cli::Serve::default())) {
        Command::Serve(args) => serve::serve(&ctx.home, &args).await,
        Command::Run(args) => commands::run(&ctx, &args).await,
        Command::Shell(args) => shell::shell(&ctx, &args).await,
        Command::Open => commands::open(&ctx).await,
        Command::Status => commands::status(&ctx).await,
        Command::Doctor(args) => doctor::doctor(&ctx, &args).await,
        Command::Channel(command) => channel::channel(&ctx, &command).await,
        Command::Group(command) => groups::group(&ctx, &command).await,
        Command::Memory(command) => memory::memory(&ctx, &command).await,
        Command::Usage(args) => usage::usage(&ctx, &args).await,
        Command::Skill(command) => skill::skill(&ctx, &command).await,
        Command::Mount(command) => mount::mount(&ctx, &command).await,
        Command::Bind(args) => groups::bind(&ctx, &args).await,
        Command::Unbind(args) => groups::unbind(&ctx, &args).await,
        Command::Approve(args) => commands::approve(&ctx, &args).await,
        Command::Why { message } => commands::why(&ctx, message).await,
        Command::Alerts(command) => alerts::alerts(&ctx, &command).await,
        Command::Onboard(args) => onboard::onboard(&ctx, &args).await,
        Command::Simulate(args) => foretell::simulate(&ctx, &args).await,
        Command::Message(command) => message::message(&ctx, &command).await,
        Command::Dead(command) => dead::dead(&ctx, &command).await,
        Command::Task(command) => task::task(&ctx, &command).await,
        Command::People(command) => people::people(&ctx, &command).await,
        Command::Session(command) => session::session(&ctx, &command).await,
        Command::Plugin(command) => plugin::plugin(&ctx, &command).await,
        Command::Prune { before, dry_run } => commands::prune(&ctx, &before, dry_run).await,
        Command::Backup(args) => backup::backup(&ctx, &args).await,
        Command::Restore(args) => backup::restore(&ctx, &args).await,
        Command::Resume(args) => backup::resume(&ctx, &args).await,
        Command::Export(args) => declare::export(&ctx, &args).await,
        Command::Apply(args) => declare::apply(&ctx, &args).await,
        Command::Service(command) => service::service(&ctx, &command).await,
        Command::Upgrade(args) => upgrade::upgrade(&ctx, &args).await,
        Command::Import(args) => import::import(&ctx, &args).await,
        Command::Logs(args) => logs::logs(&ctx, &args).await,
        Command::Config => config(&ctx),
        Command::Completions { shell } => {
            clap_complete::generate(
                shell,
                &mut Cli::command(),
                "nanogridbot",
                &mut std::io::stdout(),
            );
            Ok(ExitCode::SUCCESS)
        }
        Command::Sim(sim) => simulate::simulate(&ctx, sim).await,
        Command::Docs { page } => {
            let text = match page {
                cli::Page::Roles => ngb_core::role::document(),
                cli::Page::Commands => ngb_core::command::document(),
                cli::Page::Configuration => configuration::document(),
            };
            print::lines(&[text.trim_end()]);
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// `nanogridbot config`: the settings in force, as a file that could be read again, but for the secrets.
fn config(ctx: &Context) -> anyhow::Result<ExitCode> {
    let (settings, _) = make::settings(&ctx.home, &cli::Serve::default())?;
    let file = ctx.home.config();
    if ctx.json {
        print::json(&serde_json::json!({ "file": file, "settings": settings }));
    } else {
        let text = toml::to_string(&settings)?;
        print::lines(&[format!("# {}", file.display()), text.trim_end().to_owned()]);
    }
    Ok(ExitCode::SUCCESS)
}

/// The error, what to do about it, and the exit code.
fn report(err: &anyhow::Error, json: bool) -> ExitCode {
    let hint = hint::hint(err);
    if json {
        let error = serde_json::json!({ "message": format!("{err:#}"), "hint": hint });
        print::json(&serde_json::json!({ "error": error }));
    } else {
        eprintln!("error: {err:#}");
        if let Some(hint) = hint {
            eprintln!("hint: {hint}");
        }
    }
    ExitCode::from(if hint::is_usage(err) { EXIT_USAGE } else { 1 })
}
