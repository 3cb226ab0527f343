//! It calls nobody but those who are named in the settings: a whole conversation in a network of its own, in which the
//! kernel counts every connection that nobody took and every question about a name.

use std::{collections::BTreeMap, process::Stdio, time::Duration};

use ngb_core::clock::Clock;
use tokio::process::Command;

/// In a network where every address there is leads back to this machine: what is sent anywhere is seen by its counters.
/// It says them before, after a conversation, and after one call to a host by name.
const SCRIPT: &str = r#"
set -eu
ip link set lo up
ip route add local default dev lo
ip -6 route add local default dev lo
counters() { echo "== $1"; cat /proc/net/snmp; sed 's/^/snmp6 /' /proc/net/snmp6; }
curl() { command curl -sS --fail "$@"; }
up() { until command curl -sf "$1" >/dev/null; do kill -0 $!; done; }
ngb() { "$NGB" --home "$NGB_TEST_HOME" "$@" >&2; }
"$NGB" --home "$NGB_TEST_HOME" sim telegram --bind 127.0.0.1:8081 >"$NGB_TEST_HOME.sim" &
"$NGB" --home "$NGB_TEST_HOME" sim model --bind 127.0.0.1:8082 >/dev/null &
up http://127.0.0.1:8081/sim/figures
up http://127.0.0.1:8082/sim/totals
export NGB_CHANNELS__TELEGRAM__MAIN__API_URL=http://127.0.0.1:8081
export NGB_CHANNELS__TELEGRAM__MAIN__TOKEN=$(sed -n 's/^token = "\(.*\)"$/\1/p' "$NGB_TEST_HOME.sim")
export NGB_PROVIDERS__SIM__KIND=openai NGB_AGENT__MODEL=sim/x
export NGB_PROVIDERS__SIM__BASE_URL=http://127.0.0.1:8082/v1
counters before
"$NGB" --home "$NGB_TEST_HOME" serve >&2 & gateway=$!
curl "http://127.0.0.1:8081/sim/wait?polls=1" >/dev/null
ngb bind telegram@main:7 main --always
curl http://127.0.0.1:8081/sim/push -d '{"drafts":[{"chat":7,"text":"tool:bash {\"command\":\"id\"}"}]}' >/dev/null
curl "http://127.0.0.1:8081/sim/wait?sent=1" >&2
ngb run -p 'hello' --timeout 20s
ngb status
ngb doctor || true
kill -TERM $gateway
wait $gateway
counters after
export NGB_PROVIDERS__SIM__BASE_URL=https://models.example.com/v1
timeout -s KILL 3 "$NGB" --home "$NGB_TEST_HOME" run -p hello >&2 || true
counters control
"#;

/// What the kernel counted, by protocol and name.
type Counters = BTreeMap<(String, String), u64>;

/// `Tcp: Name Name`, `Tcp: 1 2`; and `snmp6 Name 1`.
fn read(text: &str) -> Counters {
    let mut res = Counters::new();
    let mut names: Vec<&str> = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let kind = words.next().unwrap_or_default();
        let rest: Vec<&str> = words.collect();
        if kind == "snmp6" {
            res.insert((kind.to_owned(), rest[0].to_owned()), rest[1].parse().unwrap());
        } else if rest.first().is_some_and(|it| it.starts_with(|c: char| c.is_alphabetic())) {
            names = rest;
        } else {
            let values =
                names.iter().zip(rest).filter_map(|(name, it)| Some((*name, it.parse().ok()?)));
            res.extend(values.map(|(name, it)| ((kind.to_owned(), name.to_owned()), it)));
        }
    }
    res
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "the process under test, in a network of its own")]
async fn nobody_is_called_but_who_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let mut unshare = Command::new("unshare");
    let network = if rustix::process::geteuid().is_root() { "-n" } else { "-Urn" };
    // Whatever is started in there ends with it.
    unshare.args([network, "-p", "-f", "--kill-child", "--mount-proc", "sh", "-c", SCRIPT]);
    unshare.kill_on_drop(true).env_clear().stdin(Stdio::null());
    unshare.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    unshare.env("NGB", env!("CARGO_BIN_EXE_nanogridbot"));
    unshare.env("NGB_TEST_HOME", dir.path().join("home"));
    let out = Clock::System.timeout(Duration::from_secs(90), unshare.output()).await;
    let out = out.expect("it ends").unwrap();
    let (said, log) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{said}{log}");
    let parts: Vec<Counters> = said.split("== ").skip(1).map(read).collect();
    let [before, after, control] = &parts[..] else { panic!("{said}{log}") };
    let more = |from: &Counters, to: &Counters, kind: &str, name: &str| {
        let key = (kind.to_owned(), name.to_owned());
        to[&key] - from[&key]
    };
    assert!(0 < more(before, after, "Tcp:", "ActiveOpens"), "the named ones are called: {log}");
    for (kind, name) in [
        ("Tcp:", "AttemptFails"),
        ("Udp:", "OutDatagrams"),
        ("snmp6", "Udp6OutDatagrams"),
        ("Ip:", "OutNoRoutes"),
        ("snmp6", "Ip6OutNoRoutes"),
    ] {
        assert_eq!(
            more(before, after, kind, name),
            0,
            "{kind} {name}: somebody else was called: {log}"
        );
    }
    // The counters do see what is called by name.
    assert!(0 < more(after, control, "Udp:", "OutDatagrams"), "{log}");
}
