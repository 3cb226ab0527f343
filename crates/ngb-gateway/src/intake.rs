//! The way in: events of all channels become rows, in batches, before any platform is told "received".

use ngb_channels::{Inbox, NotAccepted, Offer};
use ngb_core::{
    id::{MessageId, PassageId},
    message::Inbound,
};
use ngb_store::{Plan, Recorded};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::{
    albums::Albums,
    batch::{AskedAbout, Batch, Coming},
    handle::{Gateway, HandleError, Posted},
};

/// Events of one transaction; what waits beyond them goes into the next one.
const MAX_BATCH_EVENTS: usize = 512;

/// Offers that wait to be taken, of all channels together; a channel that finds it full waits, unacknowledged.
const INBOX_OFFERS: usize = 256;

/// Where our own doors put what people write.
pub(crate) struct Posts(mpsc::Sender<Direct>);

/// One event of our own doors, whose sender wants to know its message.
pub(crate) struct Direct {
    pub(crate) event: Coming,
    pub(crate) stored: oneshot::Sender<Result<Recorded, NotAccepted>>,
}

/// What the intake task reads.
pub(crate) struct Inlets {
    offers: mpsc::Receiver<Offer>,
    posts: mpsc::Receiver<Direct>,
}

/// Opens the two ways in: the platforms' and our own.
pub(crate) fn open() -> (Inbox, Posts, Inlets) {
    let (inbox, offers) = Inbox::new(INBOX_OFFERS);
    let (posts_tx, posts) = mpsc::channel(INBOX_OFFERS);
    (inbox, Posts(posts_tx), Inlets { offers, posts })
}

impl Posts {
    /// Takes a message of our own doors, and says which it became.
    pub(crate) async fn post(&self, event: Inbound) -> Result<Posted, HandleError> {
        let (stored, answer) = oneshot::channel();
        let event = Coming { inbound: event.clean(), asked: None };
        let direct = Direct { event, stored };
        self.0.send(direct).await.map_err(|_| NotAccepted::Closed)?;
        match answer.await.map_err(|_| NotAccepted::Closed)?? {
            Recorded::New { message: Some(message), .. } => Ok(Posted { message, repeat: false }),
            Recorded::Repeat { message: Some(message) } => Ok(Posted { message, repeat: true }),
            Recorded::New { message: None, .. }
            | Recorded::Repeat { message: None }
            | Recorded::Refused { .. } => Err(NotAccepted::NotStored.into()),
        }
    }

    /// Takes back what plugins were asked about; `plan` is what they decided, none that it goes its way.
    pub(crate) async fn seen(
        &self,
        inbound: Inbound,
        passage: PassageId,
        message: Option<MessageId>,
        plan: Option<Plan>,
    ) -> Result<(), HandleError> {
        let (stored, answer) = oneshot::channel();
        let asked = Some(AskedAbout { passage, message, plan });
        let direct = Direct { event: Coming { inbound, asked }, stored };
        self.0.send(direct).await.map_err(|_| NotAccepted::Closed)?;
        answer.await.map_err(|_| NotAccepted::Closed)??;
        Ok(())
    }
}

/// Takes events until `stop` fires: all that wait, in one transaction, then their acknowledgements.
pub(crate) async fn run(
    gateway: Gateway,
    mut inlets: Inlets,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut albums = Albums::default();
    loop {
        let mut batch = Batch::default();
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            Some(offer) = inlets.offers.recv() => batch.offer(offer),
            Some(direct) = inlets.posts.recv() => batch.post(direct),
            else => return Ok(()),
        }
        while batch.len() < MAX_BATCH_EVENTS {
            if let Ok(direct) = inlets.posts.try_recv() {
                batch.post(direct);
            } else if let Ok(offer) = inlets.offers.try_recv() {
                batch.offer(offer);
            } else {
                break;
            }
        }
        batch.store(&gateway, &mut albums).await;
    }
}
