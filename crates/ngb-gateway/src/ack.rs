//! A reaction under each message that is worked on, taken away once it is not: of accounts whose settings ask for it.

use ngb_channels::Channel;
use ngb_store::{JobKind, WorkJob};
use tokio_util::sync::CancellationToken;

use crate::turn::Turn;

/// Work that lasts until this is dropped, also by a panic.
#[derive(Default)]
pub(crate) struct Working(CancellationToken);

impl Drop for Working {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

impl Turn<'_> {
    /// Shows under the messages of `jobs` that they are worked on.
    pub(crate) fn acknowledge(&self, jobs: &[WorkJob]) {
        let accounts = &self.shared().accounts;
        for job in jobs {
            let JobKind::Message(message) = &job.kind else { continue };
            let id = &message.content.platform_id;
            let Some(channel) = accounts.of(&job.place).filter(|_| !id.is_empty()) else {
                continue;
            };
            let Some(asked) = accounts.ack_reaction(job.place.jid.account()) else { continue };
            // Some platforms have reactions in groups only.
            if let Ok(emoji) =
                Channel::profile(&*channel).reactions.find(&asked, self.work.is_direct)
            {
                let (id, emoji, done) = (id.clone(), emoji.to_owned(), self.working.0.clone());
                self.shared().outboxes.mark(&job.place, id, emoji, done);
            }
        }
    }
}
