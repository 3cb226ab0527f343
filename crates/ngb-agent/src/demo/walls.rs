//! Tries what a sandbox must refuse, and shows what the system answers.

use std::{fs, io, time::Duration};

use ngb_core::clock::Clock;
use tokio::net::TcpStream;

use super::words::Words;

/// An address that answers to anybody with a way out.
const INTERNET: &str = "1.1.1.1:443";

/// Where a gateway's page usually is, on the host's loopback.
const HOST_LOOPBACK: &str = "127.0.0.1:8080";

/// The network devices of this network namespace.
const DEVICES: &str = "/proc/net/dev";

/// How long to wait for an answer from a network that may drop everything.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);

/// The lines of `/proc/self/status` that tell what this process may do.
const TELLING: &[&str] = &["Uid", "CapEff", "CapBnd", "NoNewPrivs", "Seccomp"];

pub(crate) async fn show(clock: &Clock, words: &Words) -> String {
    let mut res = words.walls().to_owned() + "\n\n```text\n";
    let mut tell = |what: &str, tried: io::Result<String>| {
        res += &match tried {
            Err(err) => format!("{what}: {err}\n"),
            Ok(got) => format!("{what}: {} ({got})\n", words.not_refused()),
        };
    };
    let read = |path| fs::read(path).map(|it| format!("{} bytes", it.len()));
    let list = |path| fs::read_dir(path).map(|it| format!("{} entries", it.count()));
    tell("read /etc/shadow", read("/etc/shadow"));
    tell("list /root", list("/root"));
    for (name, address) in [("the internet", INTERNET), ("the host's loopback", HOST_LOOPBACK)] {
        let tried = clock.timeout(CONNECT_LIMIT, TcpStream::connect(address)).await;
        let tried = match tried {
            Ok(tried) => tried.map(|_| "connected".to_owned()),
            Err(late) => Err(io::Error::new(io::ErrorKind::TimedOut, late)),
        };
        tell(&format!("connect to {name}, {address}"), tried);
    }
    // Where nothing listens a refusal proves nothing; that there is no other device does.
    match devices() {
        Ok(all) => res += &format!("network devices: {}\n", all.join(" ")),
        Err(err) => res += &format!("network devices: {err}\n"),
    }
    res += "```\n\n```text\n";
    let status = fs::read_to_string("/proc/self/status").unwrap_or_else(|err| err.to_string());
    for line in status.lines() {
        if line.split_once(':').is_some_and(|(name, _)| TELLING.contains(&name)) {
            res += line;
            res.push('\n');
        }
    }
    res + "```"
}

/// The network devices that there are here, the loopback's among them.
fn devices() -> io::Result<Vec<String>> {
    let text = fs::read_to_string(DEVICES)?;
    // Two lines of headings, then one a device: `    lo: 0 0 …`.
    let names = text.lines().skip(2).filter_map(|it| it.split_once(':'));
    Ok(names.map(|it| it.0.trim().to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_holds_and_what_does_not_is_said() {
        let text = show(&Clock::System, &Words::English).await;
        for needle in [
            "read /etc/shadow: ",
            "list /root: ",
            "1.1.1.1:443: ",
            "NoNewPrivs:",
            "Uid:",
            "network devices: ",
        ] {
            assert!(text.contains(needle), "{needle} in {text}");
        }
    }
}
