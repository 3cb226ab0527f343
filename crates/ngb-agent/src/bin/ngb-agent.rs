//! The agent as a process of its own, for the tests.

fn main() -> std::process::ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    ngb_agent::main(&args)
}
