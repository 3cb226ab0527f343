//! A model that fails the real agent: what was done is not done again, and what can't be helped is told at once.

use ngb_sim::{
    model::{Behaviour, Fault},
    telegram::Draft,
};

use crate::common::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_after_an_effect_goes_on_in_the_same_session() {
    let mut stage = Stage::new().await;
    let (gateway, chats) = stage.with_chats(1).await;
    // The model has the tool called, and is then away for longer than anybody waits for it.
    stage.model.fail([Fault::None, Fault::Status { status: 429, retry_after: Some(3_600) }]);
    stage.push_with(&chats, &["tool:bash {\"command\":\"echo x >> effects; echo pear\"}"]);
    let figures = stage.settled().await;
    stage.check("a failure after an effect", &figures);
    let effects = std::fs::read_to_string(stage.home.join("groups/main/effects")).unwrap();
    assert_eq!(effects, "x\n");
    let last = stage.model.requests().pop().unwrap().body.to_string();
    assert!(last.contains("An earlier try at this was cut off"), "{last}");
    assert!(last.contains("pear\\n"), "it knows what came of the call: {last}");
    drop(gateway);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_helped_is_told_at_once() {
    type Change = fn(&mut Behaviour);
    #[rustfmt::skip]
    let table: [(Change, usize, &str); 3] = [
        (|it| it.key = Some("another".into()),    1, "I could not answer: the model provider refused the key."),
        (|it| it.models = Some(vec!["y".into()]), 1, "I could not answer: the provider has no such model."),
        // The second request is the one for a summary, which is too long as well.
        (|it| it.window_tokens = Some(10),        2, "I could not answer: this is too long for the model."),
    ];
    let stage = Stage::new().await;
    let (gateway, chats) = stage.with_chats(1).await;
    for (change, most, want) in table {
        stage.model.behave(|it| *it = Behaviour::default());
        stage.model.behave(change);
        let before = stage.model.requests().len();
        stage.platform().push(&[Draft::text(chats[0], "hello")]);
        stage.settled_text(want).await;
        let asked = stage.model.requests().len() - before;
        assert!((1..=most).contains(&asked), "{want}: asked {asked} times");
    }
    drop(gateway);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_has_so_many_tokens_a_day() {
    let stage = Stage::new().await;
    let (gateway, chats) = stage.with_chats(1).await;
    stage.cli(&["group", "set", "main", "tokens_per_day=100"]).await;
    stage.platform().push(&[Draft::text(chats[0], "hello")]);
    // A request is more than that by itself, and is not even made.
    stage.settled_text("I could not answer: today's budget is used up. Try again tomorrow.").await;
    assert_eq!(stage.model.requests().len(), 0);
    stage.cli(&["group", "set", "main", "tokens_per_day=3000"]).await;
    stage.platform().push(&[Draft::text(chats[0], "long:20000")]);
    stage.settled_text("lorem ipsum").await;
    // The answer has used up what was left; nothing is asked any more.
    stage.platform().push(&[Draft::text(chats[0], "hello")]);
    stage.settled_text("This group has used what it may today (tokens_per_day).").await;
    assert_eq!(stage.model.requests().len(), 1);
    drop(gateway);
}
