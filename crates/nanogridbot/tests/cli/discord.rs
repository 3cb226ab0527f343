//! A bot on Discord: a person is let in and answered once, also for what was written while the gateway was away.

use ngb_sim::{
    discord::{Config, DIRECT, GENERAL, Server},
    fault::{Fault, How, When},
};

use crate::stand::Stand;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_is_let_in_and_answered_once() {
    let server = Server::start(Config::default()).await.unwrap();
    let (url, token, platform) = (&server.url, &server.token, &server.platform);
    let stand = Stand::with(&format!(
        "[web]\nport = 0\n[sandbox]\nengine = \"bare\"\n[agent]\nretry_base = \"50ms\"\n\
         [channels.discord.main]\ntoken = \"{token}\"\napi_url = \"{url}\"\n"
    ));
    let gateway = stand.serve(&[]);
    assert!(gateway.announced.contains("discord@main"), "{}", gateway.announced);
    platform.wait(|it| 0 < it.commands).await;

    // Not let in: nothing is said in a channel where nobody named the bot.
    platform.say(GENERAL, "1", "hi all");
    platform.say(DIRECT, "1", "hi 😀");
    platform.wait(|it| it.posted == 1).await;
    let offer = platform.posted().remove(0);
    assert_eq!(offer.channel, DIRECT);
    let code = offer.content.split_once("the code ").unwrap().1.trim_end_matches('.');
    assert_eq!(stand.run(&["approve", code, "--me"]).code, Some(0));
    assert_eq!(stand.json(&["status"])["channels"][0]["state"], "up");

    // What broke on its way back is sent again, and Discord drops the repeat.
    let fault = Fault { method: "send*".into(), how: How::CutAfter, when: When::Next(1) };
    platform.fault(fault);
    let answers = |to: &str| {
        let all = platform.posted();
        all.iter().filter(|it| it.channel == DIRECT && it.content.contains(to)).count()
    };
    platform.say(DIRECT, "1", "hello there");
    until(&stand, platform, || 0 < answers("hello there")).await;
    assert_eq!(gateway.stop().code, Some(0));
    assert_eq!(answers("hello there"), 1);

    // What was written while the gateway was away is fetched.
    platform.say(DIRECT, "1", "are you there");
    let gateway = stand.serve(&[]);
    until(&stand, platform, || 0 < answers("are you there")).await;
    assert_eq!(gateway.stop().code, Some(0));
    assert_eq!(answers("are you there"), 1);
    assert_eq!(answers("hello there"), 1);
}

/// Returns once it is so and nothing is on its way any more.
async fn until(stand: &Stand, platform: &ngb_sim::discord::Platform, done: impl Fn() -> bool) {
    platform.wait(|_| done()).await;
    loop {
        let counts = &stand.json(&["status"])["counts"];
        if counts["outbox_sending"] == 0 && counts["outbox_pending"] == 0 {
            return;
        }
    }
}
