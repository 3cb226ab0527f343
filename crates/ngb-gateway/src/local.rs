//! Our own doors as channels: the chat on the page, the API, the terminal.
//!
//! Nothing has to be sent anywhere: what is said is in the store, and whoever watches gets it as an event.

use std::time::Duration;

use async_trait::async_trait;
use ngb_channels::{Answer, Channel, ChannelError, Delivery, Intake, MediaStream, Question, Retry};
use ngb_core::{
    address::{Account, ChannelKind},
    clock::Clock,
    message::{MediaKind, MediaRef, Profile, Sent},
    text::{Limit, Unit},
};

/// Longest message on the page or in a terminal, in characters; it is far beyond what anybody reads.
const MAX_TEXT_CHARS: usize = 200_000;

/// A channel whose other end is this program.
pub struct LocalChannel {
    profile: Profile,
    clock: Clock,
}

impl LocalChannel {
    /// The door of `kind`, which is [`ChannelKind::Web`] or [`ChannelKind::Terminal`].
    pub fn new(kind: ChannelKind, clock: Clock) -> Self {
        let account =
            Account::new(kind, Account::DEFAULT_NAME).expect("the default name is a name");
        Self {
            clock,
            profile: Profile {
                account,
                text_limit: Limit { max: MAX_TEXT_CHARS, unit: Unit::Chars },
                threads: false,
                // Progress comes as events, so no message is edited for it.
                edits: false,
                edit_interval: Duration::ZERO,
                typing: false,
                buttons: true,
                live_buttons: false,
                max_file_bytes: 0,
                reactions: ngb_core::reaction::Reactions::None,
                idempotent_sends: true,
                webhook: false,
                returns: ngb_core::message::Returns::Nothing,
            },
        }
    }
}

#[async_trait]
impl Channel for LocalChannel {
    fn profile(&self) -> &Profile {
        &self.profile
    }

    async fn receive(&self, intake: &mut Intake) -> Result<(), ChannelError> {
        intake.pulse.beat(self.clock.now());
        intake.stop.cancelled().await;
        Ok(())
    }

    /// Done as soon as it is asked: the row that asks is the message.
    async fn send(&self, delivery: &Delivery<'_>) -> Result<Sent, ChannelError> {
        Ok(Sent { platform_id: Some(delivery.key.to_owned()) })
    }

    async fn fetch(&self, media: &MediaRef) -> Result<MediaStream, ChannelError> {
        Err(ChannelError {
            doing: format!("read `{}` from `{}`", media.name, self.profile.account),
            retry: Retry::Never,
            maybe_done: false,
            moved_to: None,
            source: match media.kind {
                MediaKind::LongText => "long texts are read from the gateway's own folder".into(),
                _ => "nothing can be attached here".into(),
            },
        })
    }

    async fn ask(&self, question: &Question) -> Result<Answer, ChannelError> {
        Ok(match question {
            Question::WhoAmI => {
                let name = self.profile.account.to_string();
                Answer::Me { id: name.clone(), name, remarks: Vec::new() }
            }
            Question::WasSent { key, .. } => {
                Answer::Sent(Some(Sent { platform_id: Some(key.clone()) }))
            }
        })
    }
}
