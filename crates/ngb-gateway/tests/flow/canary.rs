//! The canary: what proves that an account works, and what is said when it does not.

use std::time::Duration;

use ngb_channels::Retry;
use ngb_core::{
    clock::{Clock, Timestamp},
    message::Returns,
};
use ngb_gateway::{
    alerts::AlertSettings,
    canary::{Canary, CanaryStatus, EVERY, LIMIT},
};
use tokio::sync::watch;

use crate::stage::{Actor, Setting, Stage, place};

const NOON: Timestamp = Timestamp(1_795_348_800_000);

/// How often the gateway looks for alerts.
const LOOK: Duration = Duration::from_secs(30);

/// Long enough for what a look says to get to the platform.
const MOMENT: Duration = Duration::from_millis(100);

async fn nobody(_: Actor) {}

/// A stage with a canary, whose chat `ops` is told of alerts.
async fn set(returns: Returns) -> (Stage, watch::Sender<Timestamp>) {
    let (hand, clock) = Clock::manual(NOON);
    let to = vec![place("ops").jid];
    let alerts = AlertSettings { to, account_after: LOOK, short_percent: 0 };
    let canary = Some(Canary { to: place("canary").jid, every: EVERY });
    let setting = Setting { clock, alerts, canary, returns, ..Setting::default() };
    (Stage::set(setting, nobody).await, hand)
}

/// What the platform gives back of the canary of that time.
fn give_back(stage: &Stage, at: Timestamp) {
    let pulse = stage.platform.pulse.borrow().clone().expect("it is connected");
    pulse.gave_back(&format!("p-canary-{}", at.0));
}

/// Waits for a canary that fits.
async fn until(stage: &Stage, fits: impl Fn(&CanaryStatus) -> bool) -> CanaryStatus {
    loop {
        let all = stage.gateway.accounts();
        if let Some(it) = all.into_iter().find_map(|it| it.canary).filter(&fits) {
            return it;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_comes_back_proves_both_ways_and_what_does_not_is_told() {
    let (mut stage, hand) = set(Returns::Event).await;
    let (chat, text) = stage.heard().await;
    assert_eq!(chat, "canary");
    assert!(text.starts_with("Canary of 2026-"), "{text}");
    assert_eq!(until(&stage, |_| true).await, CanaryStatus::default(), "not yet");
    give_back(&stage, NOON);
    let want = CanaryStatus { proven_at: Some(NOON), both_ways: true, error: None };
    assert_eq!(until(&stage, |it| it.proven_at.is_some()).await, want);

    hand.send_replace(NOON + EVERY);
    assert_eq!(stage.heard().await.0, "canary");
    hand.send_replace(NOON + EVERY + LIMIT);
    let failed = until(&stage, |it| it.error.is_some()).await;
    assert_eq!(failed.proven_at, Some(NOON));
    let said = ops(&mut stage, &hand, false).await;
    let want = "Alert: The canary of `telegram@main` failed: it was sent, and did not come back within 60s. \
                `nanogridbot channel test telegram@main` says more.";
    assert_eq!(said, want);

    let said = ops(&mut stage, &hand, true).await;
    assert!(said.starts_with("Over: The canary of `telegram@main` failed"), "{said}");
    let proven = until(&stage, |it| it.error.is_none()).await;
    assert!(Some(NOON + EVERY) < proven.proven_at, "{proven:?}");
}

/// Moves the clock until something is said to the operators; what the canary says meanwhile comes back or not.
async fn ops(stage: &mut Stage, hand: &watch::Sender<Timestamp>, comes_back: bool) -> String {
    loop {
        hand.send_modify(|now| *now = *now + LOOK);
        while let Some((chat, text)) = stage.heard_within(MOMENT).await {
            match chat.as_str() {
                "ops" => return text,
                _ if comes_back => give_back(stage, *hand.borrow()),
                _ => (),
            }
        }
    }
}

#[tokio::test]
async fn where_nothing_comes_back_only_sending_is_proven() {
    let (mut stage, hand) = set(Returns::Nothing).await;
    assert_eq!(stage.heard().await.0, "canary");
    let want = CanaryStatus { proven_at: Some(NOON), both_ways: false, error: None };
    assert_eq!(until(&stage, |it| it.proven_at.is_some()).await, want);

    *stage.platform.faults.lock().unwrap() = vec![Retry::Never];
    hand.send_replace(NOON + EVERY);
    let failed = until(&stage, |it| it.error.is_some()).await;
    let why = "could not send to `telegram@main:canary`: the platform is away";
    assert_eq!(failed.error.as_deref(), Some(why));
    // The next one is not far, and mends it.
    hand.send_replace(NOON + EVERY + Duration::from_secs(60));
    assert_eq!(stage.heard().await.0, "canary");
    assert!(until(&stage, |it| it.error.is_none()).await.proven_at > Some(NOON));
}
