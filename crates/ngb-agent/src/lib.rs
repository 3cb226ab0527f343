//! What runs inside a sandbox: it speaks frames with the gateway, and works on prompts with tools.
//!
//! In reading order: where things are ([`folders`]), the line to the gateway ([`turn`], [`stream`], [`serve`]), what an
//! agent can do ([`tools`]), who decides what to do (`demo`, `builtin`), and the same for agents that others wrote: their
//! [`ways`] to the gateway, the questions that they [`approve`], their processes ([`child`]), their drivers (`claude`, `acp`).
//!
//! Everything is on one thread. Work is stopped by dropping it: each tool kills what it started when it is dropped.

use std::{path::PathBuf, process::ExitCode};

use ngb_core::clock::Clock;
use thiserror::Error;

mod drops;
mod folders;
mod random;
mod serve;
mod stream;
mod turn;
mod way_out;

mod tools;

mod builtin;
mod demo;

mod forward;
mod host_calls;
mod ways;

mod approve;
mod child;
mod mcp;

mod acp;
mod claude;

pub use folders::Folders;

/// Who decides what to do about a prompt; the word after `--driver`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DriverKind {
    /// No model: it shows what the rest can do, and says so.
    Demo,
    /// A model behind the broker, with tools.
    Builtin,
    /// Claude Code's command line.
    ClaudeCode { program: PathBuf },
    /// An agent of the Agent Client Protocol: a program and its arguments.
    Acp { command: Vec<String> },
}

/// What `nanogridbot agent` was called with makes no sense.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum BadArgs {
    #[error("unknown driver `{0}`; known: demo, builtin, claude-code, acp")]
    UnknownDriver(String),
    #[error(
        "usage: nanogridbot agent --driver demo|builtin, or --driver claude-code PROGRAM, or --driver acp PROGRAM ARG..."
    )]
    Usage,
}

/// What this process is to do.
#[derive(Debug, PartialEq, Eq)]
enum Work {
    Drive(DriverKind),
    /// Be the process between another agent and the host calls of this one's parent.
    HostCalls {
        socket: PathBuf,
    },
    /// Be the process between an MCP client and a server that has an address.
    Mcp {
        url: String,
    },
}

/// Runs an agent on this process's standard streams until the other side closes them or says `Stop`.
///
/// `args` are those after `nanogridbot agent`. It makes a runtime of its own, so it must not be called inside one.
pub fn main(args: &[String]) -> ExitCode {
    let done = parse(args).map_err(anyhow::Error::from).and_then(|work| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let res = runtime.block_on(async {
            match work {
                Work::Drive(driver) => {
                    tools::adopt()?;
                    let (input, output) = stream::standard()?;
                    serve::serve(driver, Folders::from_env(), Clock::System, input, output).await
                }
                Work::Mcp { url } => {
                    let (input, output) = stream::standard()?;
                    Ok(mcp::bridge::run(&url, &Folders::from_env(), input, output).await?)
                }
                Work::HostCalls { socket } => Ok(host_calls::relay(&socket).await?),
            }
        });
        // A read of the standard input that blocks must not keep the process.
        runtime.shutdown_background();
        res
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            eprintln!("agent: {err:#}");
            ExitCode::FAILURE
        }
    }
}

fn parse(words: &[String]) -> Result<Work, BadArgs> {
    let args: Vec<&str> = words.iter().map(String::as_str).collect();
    let driver = match args[..] {
        ["--driver", "demo"] => DriverKind::Demo,
        ["--driver", "builtin"] => DriverKind::Builtin,
        ["--driver", "claude-code", program] => DriverKind::ClaudeCode { program: program.into() },
        ["--driver", "acp", _, ..] => DriverKind::Acp { command: words[2..].to_vec() },
        ["--driver", "claude-code" | "acp", ..] => return Err(BadArgs::Usage),
        ["--driver", other, ..] => return Err(BadArgs::UnknownDriver(other.to_owned())),
        [mcp::ARGUMENT, url] => return Ok(Work::Mcp { url: url.to_owned() }),
        [host_calls::ARGUMENT, socket] => return Ok(Work::HostCalls { socket: socket.into() }),
        _ => return Err(BadArgs::Usage),
    };
    Ok(Work::Drive(driver))
}

/// What stands between this executable's name and the arguments of [`main`]: `agent`, or nothing in tests.
fn prefix() -> impl Iterator<Item = String> {
    std::env::args().skip(1).take_while(|it| !it.starts_with("--"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments() {
        #[rustfmt::skip]
        let table: &[(&[&str], Result<Work, BadArgs>)] = &[
            (&["--driver", "demo"],             Ok(Work::Drive(DriverKind::Demo))),
            (&["--driver", "claude-code", "c"], Ok(Work::Drive(DriverKind::ClaudeCode { program: "c".into() }))),
            (&["--driver", "claude-code"],      Err(BadArgs::Usage)),
            (&["--driver", "acp", "x", "-y"],   Ok(Work::Drive(DriverKind::Acp { command: vec!["x".into(), "-y".into()] }))),
            (&["--driver", "acp"],              Err(BadArgs::Usage)),
            (&["--host-calls", "s"],            Ok(Work::HostCalls { socket: "s".into() })),
            (&["--mcp", "u"],                   Ok(Work::Mcp { url: "u".into() })),
            (&["--driver", "x"],                Err(BadArgs::UnknownDriver("x".into()))),
            (&[],                               Err(BadArgs::Usage)),
            (&["demo"],                         Err(BadArgs::Usage)),
        ];
        for (args, want) in table {
            let args: Vec<String> = args.iter().map(ToString::to_string).collect();
            assert_eq!(&parse(&args), want, "{args:?}");
        }
    }
}
