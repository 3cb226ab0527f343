//! `doctor` proves the model by one completion, and tells each way to fail apart.

use crate::common::Stage;

/// A port at which nobody listens.
fn nobody() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Variables, whether all is well then, and what is said.
type Row<'a> = (&'a [(&'a str, &'a str)], bool, &'a [&'a str]);

#[tokio::test(flavor = "multi_thread")]
async fn doctor_asks_the_model_once() {
    let mut stage = Stage::new().await;
    stage.model.behave(|it| {
        it.key = Some("right-key-123".into());
        it.models = Some(vec!["x".into()]);
        it.first_token_ms = 0;
    });
    let (model, nobody) = (stage.model.address(), nobody());
    let proxy = format!("http://me:secret-password@localhost:{nobody}");
    const KEY: &str = "NGB_PROVIDERS__SIM__API_KEY";
    const KIND: &str = "NGB_PROVIDERS__SIM__KIND";
    const URL: &str = "NGB_PROVIDERS__SIM__BASE_URL";
    const MODEL: &str = "NGB_AGENT__MODEL";
    let plain = format!("http://{model}");
    let nowhere = format!("http://127.0.0.1:{nobody}/v1");
    let tls = format!("https://{model}/v1");
    #[rustfmt::skip]
    let table: &[Row<'_>] = &[
        (&[],                                         true,  &["sim/x answered in "]),
        (&[(KIND, "anthropic"), (URL, &plain)],       true,  &["sim/x answered in "]),
        (&[(KIND, "ollama"), (URL, &plain)],          true,  &["sim/x answered in "]),
        (&[(KEY, "wrong-key-123")],                   false, &["sim/x: the provider `sim` refuses the key", "[providers.sim] api_key"]),
        (&[(MODEL, "sim/other")],                     false, &["the provider `sim` has no model `other`", "[agent] model = \"sim/…\""]),
        (&[(URL, &plain)],                            false, &["has no API of the kind `openai` (404)", "check `kind` and `base_url`"]),
        (&[(URL, &nowhere)],                          false, &["no connection to `127.0.0.1`: Connection refused", "base_url"]),
        (&[(URL, &tls)],                              false, &["no encrypted connection to `127.0.0.1`", "ca_file"]),
        (&[(URL, "http://model.test/v1"), ("NGB_NETWORK__PROXY", &proxy)],
                                                      false, &["the proxy http://localhost:", "(`[network] proxy`) can't be reached", "correct the proxy"]),
    ];
    for (changes, fine, words) in table {
        stage.env = [(KEY.into(), "right-key-123".into())].into();
        stage.env.extend(changes.iter().map(|(key, value)| ((*key).into(), (*value).into())));
        let asked = stage.model.requests().len();
        let offline = stage.output(&["doctor", "--offline"]).await;
        let said = String::from_utf8_lossy(&offline.stdout).into_owned();
        assert!(said.contains("not asked"), "{changes:?}: {said}");
        assert_eq!(stage.model.requests().len(), asked, "{changes:?}: nothing is sent");

        let out = stage.output(&["doctor"]).await;
        let said = String::from_utf8_lossy(&out.stdout).into_owned();
        assert_eq!(out.status.success(), *fine, "{changes:?}: {said}");
        for word in *words {
            assert!(said.contains(word), "{changes:?}: no {word:?} in {said}");
        }
        assert!(!said.contains("key-123") && !said.contains("secret-password"), "{said}");
    }
    let out = stage.output(&["--json", "doctor", "--offline"]).await;
    let found: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    let what: Vec<&str> = found["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["what"].as_str().unwrap())
        .collect();
    assert_eq!(
        what,
        [
            "home", "settings", "clock", "disk", "network", "model", "sandbox", "gateway",
            "database", "page", "channel"
        ]
    );
}
