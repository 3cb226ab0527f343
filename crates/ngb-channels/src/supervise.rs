//! Keeps a channel connected.

use std::{sync::Arc, time::Duration};

use ngb_core::{
    clock::{Clock, Timestamp},
    text::with_causes,
};
use tokio::sync::watch;
use tracing::{error, info, warn};

use crate::{Channel, ChannelError, Intake, Retry, backoff::Backoff, pulse::Beats};

const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// How a channel is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChannelState {
    /// It has not heard from its platform yet.
    Connecting,
    Up,
    /// It lost its platform, and tries again at that time.
    Waiting {
        until: Timestamp,
        why: String,
    },
    /// Trying again can't help; it stays so until its settings change.
    Down {
        why: String,
    },
}

/// Receives from `channel` until `intake.stop` fires, reconnecting with backoff, and says in `status` how it is.
///
/// An error that says trying again can't help leaves this channel down and the others up, so this never fails.
pub async fn keep_receiving(
    channel: Arc<dyn Channel>,
    clock: Clock,
    mut intake: Intake,
    status: watch::Sender<ChannelState>,
) {
    let account = channel.profile().account.clone();
    let stop = intake.stop.clone();
    let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
    loop {
        let achieved = intake.pulse.achieved();
        let received = {
            let mut beats = intake.pulse.beats();
            status.send_replace(ChannelState::Connecting);
            let mut receive = std::pin::pin!(channel.receive(&mut intake));
            tokio::select! {
                biased;
                received = &mut receive => received,
                () = next_beat(&mut beats) => {
                    info!(%account, "`{account}` is connected");
                    status.send_replace(ChannelState::Up);
                    receive.await
                }
            }
        };
        let Err(err) = received else { return };
        // What worked earns a fresh start, however short it was; a greeting alone does not.
        if achieved != intake.pulse.achieved() {
            backoff.reset();
        }
        let why = with_causes(&err);
        intake.pulse.failed(clock.now(), &why);
        let pause = match err.retry {
            Retry::Never => {
                error!(%account, error = chain(&err), "`{account}` is down until its settings change");
                status.send_replace(ChannelState::Down { why });
                stop.cancelled().await;
                return;
            }
            Retry::After(it) => it,
            Retry::Backoff => backoff.wait(),
        };
        warn!(%account, error = chain(&err), "`{account}` lost its platform, back in {pause:?}");
        let until = clock.now() + pause;
        status.send_replace(ChannelState::Waiting { until, why });
        tokio::select! {
            () = clock.sleep_until(until) => (),
            () = stop.cancelled() => return,
        }
    }
}

async fn next_beat(beats: &mut watch::Receiver<Beats>) {
    if beats.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Lets `tracing` record the causes as well.
fn chain(err: &ChannelError) -> &(dyn std::error::Error + 'static) {
    err
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;
    use ngb_core::{
        address::Account,
        message::{MediaRef, Profile, Returns, Sent},
        text::{Limit, Unit},
    };
    use tokio::sync::mpsc;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::{Answer, Delivery, Inbox, MediaStream, Pulse, Question};

    /// Plays the scripted failures, the last first, then beats and receives until stopped.
    struct Flaky {
        profile: Profile,
        errors: Mutex<Vec<(How, Retry)>>,
    }

    /// How far a connection comes before it fails.
    enum How {
        NotAtAll,
        Greeted,
        Worked,
    }

    #[async_trait]
    impl Channel for Flaky {
        fn profile(&self) -> &Profile {
            &self.profile
        }

        async fn receive(&self, intake: &mut Intake) -> Result<(), ChannelError> {
            let next = self.errors.lock().unwrap().pop();
            if let Some((how, retry)) = next {
                match how {
                    How::NotAtAll => (),
                    How::Greeted => intake.pulse.beat(Timestamp(1)),
                    How::Worked => intake.pulse.progress(Timestamp(1)),
                }
                return Err(broken(retry));
            }
            intake.pulse.beat(Timestamp(1));
            intake.stop.cancelled().await;
            Ok(())
        }

        async fn send(&self, _: &Delivery<'_>) -> Result<Sent, ChannelError> {
            Err(broken(Retry::Never))
        }

        async fn fetch(&self, _: &MediaRef) -> Result<MediaStream, ChannelError> {
            Err(broken(Retry::Never))
        }

        async fn ask(&self, _: &Question) -> Result<Answer, ChannelError> {
            Ok(Answer::CanNot)
        }
    }

    fn broken(retry: Retry) -> ChannelError {
        let source = "connection reset".into();
        ChannelError { doing: "receive".into(), retry, maybe_done: false, moved_to: None, source }
    }

    struct Stage {
        channel: Arc<Flaky>,
        intake: Intake,
        stop: CancellationToken,
        status: watch::Sender<ChannelState>,
    }

    fn stage(errors: Vec<(How, Retry)>) -> Stage {
        let profile = Profile {
            account: "slack@a".parse::<Account>().unwrap(),
            text_limit: Limit { max: 40_000, unit: Unit::Chars },
            threads: true,
            edits: true,
            edit_interval: Duration::ZERO,
            typing: false,
            buttons: true,
            live_buttons: false,
            max_file_bytes: 0,
            reactions: ngb_core::reaction::Reactions::None,
            idempotent_sends: false,
            webhook: false,
            returns: Returns::Nothing,
        };
        let stop = CancellationToken::new();
        let intake = Intake {
            inbox: Inbox::new(1).0,
            webhooks: mpsc::channel(1).1,
            stop: stop.clone(),
            pulse: Pulse::default(),
        };
        let channel = Arc::new(Flaky { profile, errors: Mutex::new(errors) });
        Stage { channel, intake, stop, status: watch::channel(ChannelState::Connecting).0 }
    }

    #[test]
    fn a_wrong_token_takes_down_one_account_only() {
        let (hand, clock) = Clock::manual(Timestamp(0));
        let it = stage(vec![(How::NotAtAll, Retry::Never)]);
        let status = it.status.subscribe();
        let mut task =
            tokio_test::task::spawn(keep_receiving(it.channel, clock, it.intake, it.status));
        assert!(task.poll().is_pending());
        let why = "could not receive: connection reset".to_owned();
        assert_eq!(*status.borrow(), ChannelState::Down { why });
        hand.send_modify(|now| *now = *now + LONGEST_WAIT * 100);
        assert!(task.poll().is_pending(), "it waits for the gateway, not for the clock");
        it.stop.cancel();
        assert!(matches!(task.poll(), std::task::Poll::Ready(())));
    }

    #[test]
    fn waits_double_until_something_works_and_a_platforms_own_wait_is_kept() {
        let (hand, clock) = Clock::manual(Timestamp(0));
        #[rustfmt::skip]
        let mut failures = vec![
            (How::NotAtAll, Retry::Backoff,                           500,    1_000),
            (How::NotAtAll, Retry::After(Duration::from_secs(30)),    30_000, 30_000),
            (How::NotAtAll, Retry::Backoff,                           1_000,  2_000),
            // A platform that greets and hangs up.
            (How::Greeted,  Retry::Backoff,                           2_000,  4_000),
            (How::Greeted,  Retry::Backoff,                           4_000,  8_000),
            (How::Worked,   Retry::Backoff,                           500,    1_000),
            (How::NotAtAll, Retry::Backoff,                           1_000,  2_000),
        ];
        let waits: Vec<(i64, i64)> = failures.iter().map(|it| (it.2, it.3)).collect();
        failures.reverse();
        let it = stage(failures.into_iter().map(|(how, retry, ..)| (how, retry)).collect());
        let status = it.status.subscribe();
        let channel = it.channel.clone();
        let mut task =
            tokio_test::task::spawn(keep_receiving(it.channel, clock, it.intake, it.status));
        for (at, (least_ms, most_ms)) in waits.iter().enumerate() {
            assert!(task.poll().is_pending());
            assert_eq!(channel.errors.lock().unwrap().len(), waits.len() - at - 1);
            let now = *hand.borrow();
            let ChannelState::Waiting { until, .. } = &*status.borrow() else { panic!("waits") };
            let wait = until.0 - now.0;
            assert!((*least_ms..=*most_ms).contains(&wait), "{wait} ms, failure {at}");
            hand.send_replace(now + Duration::from_millis(*most_ms as u64));
        }
        assert!(task.poll().is_pending(), "connected at last");
        assert_eq!(*status.borrow(), ChannelState::Up);
        it.stop.cancel();
        assert!(task.poll().is_ready());
    }
}
