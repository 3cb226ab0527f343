//! What runs inside a sandbox: it speaks frames with the gateway, and works on prompts with tools.
//!
//! In reading order: where things are ([`folders`]), the line to the gateway ([`turn`], [`stream`], [`serve`]), what an
//! agent can do ([`tools`]), and who decides what to do (`demo`, `builtin`).
//!
//! Everything is on one thread. Work is stopped by dropping it: each tool kills what it started when it is dropped.

use std::{process::ExitCode, str::FromStr};

use ngb_core::clock::Clock;
use thiserror::Error;

mod folders;
mod serve;
mod stream;
mod turn;
mod way_out;

mod tools;

mod builtin;
mod demo;

pub use folders::Folders;

/// Who decides what to do about a prompt; the word after `--driver`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DriverKind {
    /// No model: it shows what the rest can do, and says so.
    Demo,
    /// A model behind the broker, with tools.
    Builtin,
}

impl FromStr for DriverKind {
    type Err = BadArgs;

    fn from_str(s: &str) -> Result<Self, BadArgs> {
        match s {
            "demo" => Ok(Self::Demo),
            "builtin" => Ok(Self::Builtin),
            _ => Err(BadArgs::UnknownDriver(s.to_owned())),
        }
    }
}

/// What `nanogridbot agent` was called with makes no sense.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum BadArgs {
    #[error("unknown driver `{0}`; known: demo, builtin")]
    UnknownDriver(String),
    #[error("usage: nanogridbot agent --driver demo|builtin")]
    Usage,
}

/// Runs an agent on this process's standard streams until the other side closes them or says `Stop`.
///
/// `args` are those after `nanogridbot agent`. It makes a runtime of its own, so it must not be called inside one.
pub fn main(args: &[String]) -> ExitCode {
    let done = parse(args).map_err(anyhow::Error::from).and_then(|driver| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let res = runtime.block_on(async {
            tools::adopt()?;
            let (input, output) = stream::standard()?;
            serve::serve(driver, Folders::from_env(), Clock::System, input, output).await
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

fn parse(args: &[String]) -> Result<DriverKind, BadArgs> {
    match args {
        [flag, driver] if flag == "--driver" => driver.parse(),
        [one] => one.strip_prefix("--driver=").ok_or(BadArgs::Usage)?.parse(),
        _ => Err(BadArgs::Usage),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments() {
        #[rustfmt::skip]
        let table: &[(&[&str], Result<DriverKind, BadArgs>)] = &[
            (&["--driver", "demo"],    Ok(DriverKind::Demo)),
            (&["--driver=builtin"],    Ok(DriverKind::Builtin)),
            (&["--driver", "x"],       Err(BadArgs::UnknownDriver("x".into()))),
            (&[],                      Err(BadArgs::Usage)),
            (&["demo"],                Err(BadArgs::Usage)),
        ];
        for (args, want) in table {
            let args: Vec<String> = args.iter().map(ToString::to_string).collect();
            assert_eq!(&parse(&args), want, "{args:?}");
        }
    }
}
