//! `alerts`: listed, tested, muted; settings that make no sense are named.

use crate::stand::Stand;

#[test]
fn alerts_are_listed_tested_and_muted() {
    let stand = Stand::new();
    assert_eq!(stand.json(&["alerts", "list"]), serde_json::json!([]));
    let told = stand.json(&["alerts", "test"]);
    assert_eq!(told, serde_json::json!({ "to": ["web@main:main"] }));
    let muted = stand.run(&["alerts", "mute", "account:telegram@main", "--for", "1d"]);
    assert_eq!(muted.code, Some(0), "{muted:?}");
    #[rustfmt::skip]
    let table = [
        ("x", "99d",  "`for` is from 1s to 30d"),
        ("x", "0s",   "`for` is from 1s to 30d"),
        ("x", "soon", "`soon` is no interval"),
        ("",  "1h",   "`key` has 1 to 200 bytes"),
    ];
    for (key, long, want) in table {
        let done = stand.run(&["alerts", "mute", key, "--for", long]);
        assert_eq!(done.code, Some(2), "{key} {long}: {done:?}");
        assert!(done.err.contains(want), "{key} {long}: {done:?}");
    }
}
