//! A full disk: nothing new is begun, and the operator is told when it fills and when there is room again.

use ngb_core::{
    address::ChannelKind,
    notice::{Lang, Notice},
};
use ngb_store::Disk;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::{events::Event, handle::Gateway};

/// Returns when the disk is full or has room again.
pub(crate) async fn changed(disk: &mut watch::Receiver<Disk>) {
    if disk.changed().await.is_err() {
        // Nobody watches this disk.
        std::future::pending().await
    }
}

/// Tells the operator of each change, in the chats of the main group, until `stop` fires.
pub(crate) async fn run(gateway: Gateway, stop: CancellationToken) -> anyhow::Result<()> {
    let mut disk = gateway.store().disk();
    let mut told = Disk::Roomy;
    loop {
        let state = *disk.borrow_and_update();
        match (told, state) {
            (Disk::Roomy, Disk::Full { .. }) => tell(&gateway, &Notice::DiskFull).await,
            (Disk::Full { .. }, Disk::Roomy) => tell(&gateway, &Notice::DiskRoomy).await,
            (Disk::Roomy, Disk::Roomy) | (Disk::Full { .. }, Disk::Full { .. }) => (),
        }
        told = state;
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = changed(&mut disk) => (),
        }
    }
}

/// Tells the operator, in the chats of the main group.
pub(crate) async fn tell(gateway: &Gateway, notice: &Notice) {
    gateway.hub().publish(Event::Settings);
    let directory = gateway.directory().snapshot();
    let main = directory.main_group().map(|it| it.id);
    let chats = main.into_iter().flat_map(|it| directory.bindings_of(it));
    // Whoever sits at the terminal sees the log.
    for it in chats.filter(|it| it.place.jid.channel() != ChannelKind::Terminal) {
        if let Err(err) = gateway.0.say(&it.place, notice.clone(), Lang::En).await {
            error!("could not tell the operator: {:#}", anyhow::Error::from(err));
        }
    }
}
