//! Calls over a socket that somebody else reads: who calls hands over a frame and waits for the answer with its key.
//!
//! ```text
//! Channel::send ─▶ Calls::call ─▶ order ─▶ Desk (in Channel::receive) ─▶ socket
//!                       ◀── answer, by key ──┘
//! ```

use std::{collections::HashMap, time::Duration};

use ngb_core::clock::Clock;
use serde_json::Value;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};

/// How long a call waits for a socket: after a start, and while one is opened anew.
const OPEN_LIMIT: Duration = Duration::from_secs(10);

/// Calls that wait to be written. Whoever comes later waits for a place.
const DEPTH: usize = 16;

/// The side of who calls.
#[derive(Debug)]
pub(crate) struct Calls {
    desk: watch::Sender<Option<mpsc::Sender<Order>>>,
    clock: Clock,
}

/// The side of who holds the socket. When it is dropped, who waits is told that the answer is lost.
pub(crate) struct Desk<'a> {
    calls: &'a Calls,
    orders: mpsc::Receiver<Order>,
    waiting: HashMap<String, oneshot::Sender<Value>>,
}

/// A frame that is to go out.
#[derive(Debug)]
pub(crate) struct Order {
    key: String,
    frame: String,
    answer: oneshot::Sender<Value>,
}

/// Why a call got no answer.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub(crate) enum CallError {
    #[error("there is no connection")]
    NotConnected,
    #[error("the connection was lost before the answer was here")]
    Lost,
    #[error("no answer came within {0:?}")]
    TimedOut(Duration),
}

impl CallError {
    /// Whether the platform may have done what was asked.
    pub(crate) fn maybe_done(self) -> bool {
        self != Self::NotConnected
    }
}

impl Calls {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { desk: watch::channel(None).0, clock }
    }

    /// Begins to take calls, for a socket that is open.
    pub(crate) fn open(&self) -> Desk<'_> {
        let (tx, orders) = mpsc::channel(DEPTH);
        self.desk.send_replace(Some(tx));
        Desk { calls: self, orders, waiting: HashMap::new() }
    }

    /// Sends `frame`, whose answer bears `key`, and waits for that answer for `limit`.
    ///
    /// # Errors
    ///
    /// When there is no socket, or none any more, or no answer.
    pub(crate) async fn call(
        &self,
        key: String,
        frame: String,
        limit: Duration,
    ) -> Result<Value, CallError> {
        let mut desk = self.desk.subscribe();
        let found = self.clock.timeout(OPEN_LIMIT, desk.wait_for(Option::is_some)).await;
        let found = found.map_err(|_| CallError::NotConnected)?;
        let line = found.ok().and_then(|it| it.clone()).ok_or(CallError::NotConnected)?;
        let (answer, answered) = oneshot::channel();
        line.send(Order { key, frame, answer }).await.map_err(|_| CallError::NotConnected)?;
        match self.clock.timeout(limit, answered).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(CallError::Lost),
            Err(_) => Err(CallError::TimedOut(limit)),
        }
    }
}

impl Desk<'_> {
    /// The next call to write. Nothing is lost when the returned future is dropped.
    pub(crate) async fn next(&mut self) -> Order {
        match self.orders.recv().await {
            Some(order) => order,
            // Cannot be: the other end is ours until we are dropped.
            None => std::future::pending().await,
        }
    }

    /// Its frame, whose answer is waited for from now on: it may be here before the write has returned.
    pub(crate) fn expect(&mut self, order: Order) -> String {
        self.waiting.retain(|_, it| !it.is_closed());
        self.waiting.insert(order.key, order.answer);
        order.frame
    }

    /// Hands an answer to who waits for it; whether anybody did.
    pub(crate) fn answer(&mut self, key: &str, answer: Value) -> bool {
        self.waiting.remove(key).is_some_and(|it| it.send(answer).is_ok())
    }
}

impl Drop for Desk<'_> {
    fn drop(&mut self) {
        self.calls.desk.send_replace(None);
    }
}

#[cfg(test)]
mod tests {
    use ngb_core::clock::Timestamp;
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn answers_find_who_asked_in_any_order() {
        let calls = Calls::new(Clock::System);
        let limit = Duration::from_secs(60);
        let mut desk = calls.open();
        let one = calls.call("1".into(), "one".into(), limit);
        let two = calls.call("2".into(), "two".into(), limit);
        let served = async {
            let first = desk.next().await;
            let second = desk.next().await;
            let frames = [desk.expect(first), desk.expect(second)];
            assert!(desk.answer("2", json!(2)));
            assert!(!desk.answer("2", json!(3)), "nobody waits twice");
            assert!(desk.answer("1", json!(1)));
            frames
        };
        let (one, two, frames) = futures_util::join!(one, two, served);
        assert_eq!((one, two), (Ok(json!(1)), Ok(json!(2))));
        assert_eq!(frames, ["one", "two"]);
    }

    #[tokio::test]
    async fn a_lost_line_leaves_doubt_and_no_line_leaves_none() {
        let (hand, clock) = Clock::manual(Timestamp(1));
        let calls = Calls::new(clock);
        let limit = Duration::from_secs(60);
        let mut desk = calls.open();
        let asked = calls.call("1".into(), "one".into(), limit);
        let cut = async {
            let order = desk.next().await;
            desk.expect(order);
            drop(desk);
        };
        let (asked, ()) = futures_util::join!(asked, cut);
        assert_eq!(asked, Err(CallError::Lost));
        assert!(CallError::Lost.maybe_done() && CallError::TimedOut(limit).maybe_done());

        let mut asked = tokio_test::task::spawn(calls.call("2".into(), "two".into(), limit));
        assert!(asked.poll().is_pending());
        hand.send_modify(|now| *now = *now + OPEN_LIMIT);
        assert_eq!(asked.poll(), std::task::Poll::Ready(Err(CallError::NotConnected)));
        assert!(!CallError::NotConnected.maybe_done());
    }
}
