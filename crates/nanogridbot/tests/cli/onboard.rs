//! `onboard`: nothing is kept before it has answered, and a second time changes nothing.

use ngb_sim::model::ModelServer;
use serde_json::Value;

use crate::stand::{Done, Stand, done};

const KEY: &str = "sk-planted-4711";

/// `onboard --non-interactive` with more arguments, where the environment has a key.
fn onboard(stand: &Stand, more: &[&str]) -> Done {
    let args = [&["onboard", "--non-interactive"], more].concat();
    done(stand.command(&args).env("DEEPSEEK_API_KEY", KEY).output().unwrap())
}

fn settings(stand: &Stand) -> String {
    std::fs::read_to_string(stand.home().join("config.toml")).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_is_proved_before_it_is_kept() {
    let sim = ModelServer::start().await.unwrap();
    sim.behave(|it| it.key = Some(KEY.into()));
    let url = format!("{}/v1", sim.url());
    let at = ["--provider", "deepseek", "--base-url", &url];
    let with = |more: &[&'static str]| [&at[..], more].concat();
    let stand = Stand::new();

    let dry = onboard(&stand, &with(&["--dry-run", "--limit", "cost_per_day=2"]));
    assert_eq!(dry.code, Some(0), "{dry:?}");
    assert!(dry.out.contains("deepseek/deepseek-chat would be asked"), "{}", dry.out);
    assert!(dry.out.contains("would be set: cost_per_day=2"), "{}", dry.out);
    assert_eq!((settings(&stand), sim.requests().len()), (String::new(), 0));

    let wrong = onboard(&stand, &with(&["--key", "env:HOME_OF_NOBODY"]));
    assert_ne!(wrong.code, Some(0), "{wrong:?}");
    sim.behave(|it| it.key = Some("another".into()));
    let refused = onboard(&stand, &with(&[]));
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.err.contains("refuses the key"), "{}", refused.err);
    assert!(!settings(&stand).contains("deepseek"), "{}", settings(&stand));

    sim.behave(|it| it.key = Some(KEY.into()));
    let kept =
        onboard(&stand, &with(&["--limit", "cost_per_day=2.5", "--limit", "runs_per_day=7"]));
    assert_eq!(kept.code, Some(0), "{kept:?}");
    assert!(kept.out.contains("deepseek/deepseek-chat answered in "), "{}", kept.out);
    assert!(kept.out.contains("7 runs, tokens without a cap, 2.5 money"), "{}", kept.out);
    let written = settings(&stand);
    assert!(written.contains("\"env:DEEPSEEK_API_KEY\"") && !written.contains(KEY), "{written}");

    let again = onboard(&stand, &["--json"]);
    let again: Value = serde_json::from_str(&again.out).unwrap();
    assert_eq!(again["ok"], true, "{again}");
    let says = again["steps"][0]["detail"].as_str().unwrap();
    assert!(says.contains("deepseek/deepseek-chat answers, as before"), "{says}");
    assert_eq!(settings(&stand), written);

    // A group may have a model of its own, of a provider that is known.
    let with_key =
        |args: &[&str]| done(stand.command(args).env("DEEPSEEK_API_KEY", KEY).output().unwrap());
    // Money is not counted where nobody says what the model costs, so the cap would keep it from being asked.
    let said = with_key(&["run", "-p", "say:hello"]);
    assert!(said.out.contains("its model has no price"), "{said:?}");
    assert_eq!(with_key(&["group", "set", "main", "cost_per_day=none"]).code, Some(0));
    assert_eq!(with_key(&["group", "add", "b"]).code, Some(0));
    let set = |model: &str| with_key(&["group", "set", "b", &format!("model={model}")]);
    let unknown = set("nobody/x");
    assert_eq!(unknown.code, Some(2), "{unknown:?}");
    assert!(unknown.err.contains("there is no `[providers.nobody]`"), "{}", unknown.err);
    assert_eq!(set("deepseek/reasoner").code, Some(0));
    for (group, model) in [("main", "deepseek-chat"), ("b", "reasoner")] {
        let ran = with_key(&["run", "-g", group, "-p", "say:hello"]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert_eq!(sim.requests().pop().unwrap().body["model"], model);
    }
}

#[test]
fn what_is_missing_is_named() {
    let stand = Stand::new();
    let table: &[(&[&str], &str)] = &[
        (&["--provider", "nobody"], "known: anthropic, openai"),
        (&["--provider", "azure", "--key", "env:X"], "give `--base-url`"),
        (&["--provider", "kimi"], "wants a key; give `--key env:NAME`"),
        (&["--provider", "kimi", "--key", "sk-plain"], "takes `env:NAME` or `file:PATH`"),
    ];
    for (args, says) in table {
        let got = onboard(&stand, args);
        assert_ne!(got.code, Some(0), "{args:?}: {got:?}");
        assert!(got.err.contains(says), "{args:?}: {}", got.err);
        assert!(!got.err.contains("sk-plain"), "{}", got.err);
    }
}
