//! Which port the page is at where nobody chose one, in a network of its own, where 8080 is free at first.

use std::{process::Stdio, time::Duration};

use ngb_core::clock::Clock;
use tokio::process::Command;

/// Starts it three times: with 8080 free, taken, and free again; prints the port of each.
const SCRIPT: &str = r#"
set -eu
ip link set lo up
ngb() { "$NGB" --home "$NGB_TEST_HOME" "$@"; }
port() {
    : >"$NGB_TEST_HOME.out"
    "$NGB" --home "$NGB_TEST_HOME" serve >"$NGB_TEST_HOME.out" 2>&2 & gateway=$!
    until grep -q '^  home  ' "$NGB_TEST_HOME.out"; do kill -0 $gateway; done
    sed -n 's,^  page  *http://127.0.0.1:\([0-9]*\)/.*,\1,p' "$NGB_TEST_HOME.out"
    ngb open | sed -n 's,^http://127.0.0.1:\([0-9]*\)/.*,\1,p'
    kill -TERM $gateway
    wait $gateway
}
port
"$NGB" --home "$NGB_TEST_HOME" sim model --bind 127.0.0.1:8080 >/dev/null & taker=$!
until curl -sf http://127.0.0.1:8080/sim/totals >/dev/null; do kill -0 $taker; done
port
kill -TERM $taker
wait $taker || true
port
"#;

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "the process under test, in a network of its own")]
async fn the_next_free_one_is_taken_printed_and_remembered() {
    let dir = tempfile::tempdir().unwrap();
    let mut unshare = Command::new("unshare");
    let network = if rustix::process::geteuid().is_root() { "-n" } else { "-Urn" };
    unshare.args([network, "-p", "-f", "--kill-child", "--mount-proc", "sh", "-c", SCRIPT]);
    unshare.kill_on_drop(true).env_clear().stdin(Stdio::null());
    unshare.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    unshare.env("NGB", env!("CARGO_BIN_EXE_nanogridbot"));
    unshare.env("NGB_TEST_HOME", dir.path().join("home"));
    let out = Clock::System.timeout(Duration::from_secs(90), unshare.output()).await;
    let out = out.expect("it ends").unwrap();
    let (said, log) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{said}{log}");
    assert_eq!(said, "8080\n8080\n8081\n8081\n8081\n8081\n", "{log}");
}
