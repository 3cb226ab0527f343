//! What was used: to the token where the provider says, estimated where it was cut off, in money where there is a price.

use ngb_sim::model::Fault;
use serde_json::Value;

use crate::common::{LIMIT, LOOK_AGAIN, Stage};

async fn json(stage: &Stage, args: &[&str]) -> Value {
    let out = stage.output(&[&["--json"], args].concat()).await;
    serde_json::from_slice(&out.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn use_is_shown_in_tokens_and_in_money() {
    let mut stage = Stage::new().await;
    stage.model.behave(|it| it.first_token_ms = 0);
    std::fs::create_dir_all(&stage.home).unwrap();
    let prices =
        "[prices]\ncurrency = \"CNY\"\n[prices.models]\n\"sim/*\" = { input = 2, output = 8.5 }\n";
    std::fs::write(stage.home.join("config.toml"), prices).unwrap();
    let gateway = stage.started().await;

    let answer = json(&stage, &["run", "-p", "say:hello"]).await;
    let totals = stage.model.totals()["x"];
    let used = json(&stage, &["usage"]).await;
    let line = &used["lines"][0];
    let counted = (line["input_tokens"].as_u64(), line["output_tokens"].as_u64());
    assert_eq!(counted, (Some(totals.input_tokens), Some(totals.output_tokens)), "{used}");
    #[expect(clippy::cast_precision_loss, reason = "a few thousand tokens")]
    let cost = (totals.input_tokens as f64 * 2.0 + totals.output_tokens as f64 * 8.5).round() / 1e6;
    assert_eq!(
        (&used["currency"], &line["cost"], &line["estimated_tokens"]),
        (&"CNY".into(), &cost.into(), &0.into())
    );
    let why = stage.output(&["why", &answer["id"].to_string()]).await;
    let why = String::from_utf8(why.stdout).unwrap();
    let want =
        format!("used {} + {} tokens of sim/x, cost", totals.input_tokens, totals.output_tokens);
    assert!(why.contains(&want), "{why}");

    // A stream that is cut says nothing of its tokens: what it cost is a guess, and is said to be one.
    stage.model.fail([Fault::CutStream { after_pieces: 1 }]);
    json(&stage, &["run", "-p", "say:hello again"]).await;
    let used = json(&stage, &["usage", "-g", "main", "--days", "1"]).await;
    assert!(0 < used["lines"][0]["estimated_tokens"].as_u64().unwrap(), "{used}");

    // Without a price the cost is unknown, and not nothing.
    stage.kill(gateway).await;
    std::fs::remove_file(stage.home.join("config.toml")).unwrap();
    let _gateway = stage.started().await;
    json(&stage, &["run", "-p", "say:and now"]).await;
    let used = json(&stage, &["usage"]).await;
    assert_eq!(used["lines"][0]["cost"], Value::Null, "{used}");
    let said = stage.output(&["usage"]).await;
    assert!(String::from_utf8_lossy(&said.stdout).contains("unknown"), "{said:?}");
    for bad in ["0", "400"] {
        let out = stage.output(&["usage", "--days", bad]).await;
        assert!(
            String::from_utf8_lossy(&out.stderr).contains("`days` is from 1 to 366"),
            "{out:?}"
        );
    }
}

/// It was lost with the run, and with the gateway.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_run_used_outlives_it_and_its_gateway() {
    let mut stage = Stage::new().await;
    stage.model.behave(|it| it.first_token_ms = 0);
    let (gateway, chats) = stage.with_chats(1).await;
    stage.push_with(&chats, &["tool:bash {\"command\":\"sleep 600\"}"]);
    let seen = async {
        while json(&stage, &["usage"]).await["lines"] == serde_json::json!([]) {
            stage.clock.sleep(LOOK_AGAIN).await;
        }
    };
    stage.clock.timeout(LIMIT, seen).await.expect("it is counted while it runs");
    stage.kill(gateway).await;
    let totals = stage.model.totals()["x"];
    let database = rusqlite::Connection::open(stage.home.join("nanogridbot.db")).unwrap();
    let text = "SELECT sum(input_tokens), sum(output_tokens) FROM usage_counts";
    let kept = database.query_row(text, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    let told = (totals.input_tokens.cast_signed(), totals.output_tokens.cast_signed());
    assert_eq!(kept, told);
}

/// A stream that is still coming is counted while it comes: once, to the token, where the provider gets to say how much it
/// was; as a guess where the gateway is killed before.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_under_way_is_counted() {
    let mut stage = Stage::new().await;
    // About eight seconds.
    stage.model.behave(|it| (it.first_token_ms, it.piece_ms) = (0, 80));
    let (gateway, chats) = stage.with_chats(1).await;
    let lines = async |stage: &Stage| json(stage, &["usage"]).await["lines"][0].clone();
    let tokens = |line: &Value, name: &str| line[name].as_u64().unwrap_or(0);
    let begun = async |stage: &Stage, before: u64| {
        let seen = async {
            while tokens(&lines(stage).await, "estimated_tokens") <= before {
                stage.clock.sleep(LOOK_AGAIN).await;
            }
        };
        stage.clock.timeout(LIMIT, seen).await.expect("it is counted while it comes");
    };

    let sent = stage.platform().figures().sent;
    stage.push_with(&chats, &["long:5000"]);
    begun(&stage, 0).await;
    stage.platform().wait(|it| sent < it.sent).await;
    let told = async {
        while tokens(&lines(&stage).await, "estimated_tokens") != 0 {
            stage.clock.sleep(LOOK_AGAIN).await;
        }
    };
    stage
        .clock
        .timeout(LIMIT, told)
        .await
        .expect("what the provider says takes the place of the guess");
    let (line, totals) = (lines(&stage).await, stage.model.totals()["x"]);
    let counted = (tokens(&line, "input_tokens"), tokens(&line, "output_tokens"));
    assert_eq!(counted, (totals.input_tokens, totals.output_tokens), "{line}");

    stage.push_with(&chats, &["long:5000"]);
    begun(&stage, 0).await;
    stage.kill(gateway).await;
    let _gateway = stage.started().await;
    let kept = lines(&stage).await;
    assert!(0 < tokens(&kept, "estimated_tokens"), "{kept}");
    assert!(counted.1 < tokens(&kept, "output_tokens"), "{kept}");
}
