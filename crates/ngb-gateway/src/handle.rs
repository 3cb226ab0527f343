//! The gateway's door for everybody who is not a chat: the page, the API, the command line.

mod groups;

use std::sync::Arc;

use ngb_broker::Broker;
use ngb_core::{
    address::{Account, Address, AddressError, ChannelKind, Jid, Place},
    ask::{self, Answerer, Pressed},
    clock::{Clock, Timestamp},
    group::{BadName, Engage, Exceptions, Group, Scope, Senders},
    id::{GroupId, JobId, LaneId, MessageId, OutboxId, TaskId, UserId},
    message::{Addressed, ChatFacts, ChatKind, Content, Happening, Inbound, Sender},
    queue::Queue,
    role::Role,
};
pub use ngb_sandbox::Probe;
use ngb_sandbox::Sandbox;
use ngb_store::{Pairing, Restored, Store, StoreError};
use thiserror::Error;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::{
    account_book::AccountBook,
    accounts::{Accounts, CONNECT_LIMIT},
    alerts::Alerts,
    answers::{Current, NotTaken},
    dispatch::Dispatcher,
    events::{Event, Hub},
    homes::Homes,
    intake::Posts,
    outbox::Outboxes,
    pairs::Pairs,
    plugins::Plugins,
    programs::Programs,
    purses::Purses,
    questions::Questions,
    registry::Directory,
    start::RunLimits,
    timetable::TaskError,
};

/// A handle on the running gateway; cheap to clone.
#[derive(Clone)]
pub struct Gateway(pub(crate) Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    pub(crate) hub: Arc<Hub>,
    pub(crate) alerts: Alerts,
    pub(crate) directory: Directory,
    pub(crate) dispatcher: Dispatcher,
    pub(crate) outboxes: Arc<Outboxes>,
    pub(crate) accounts: Arc<Accounts>,
    /// Reads the accounts of the settings anew; none where there are no settings to read.
    pub(crate) account_book: Option<Box<dyn AccountBook>>,
    pub(crate) posts: Posts,
    pub(crate) questions: Questions,
    pub(crate) pairs: Pairs,
    pub(crate) homes: Homes,
    pub(crate) broker: Broker,
    pub(crate) purses: Purses,
    pub(crate) sandbox: watch::Receiver<Option<Arc<dyn Sandbox>>>,
    pub(crate) limits: RunLimits,
    pub(crate) programs: Programs,
    pub(crate) answers: Current,
    pub(crate) about: About,
    pub(crate) plugins: Plugins,
    /// Fires once messages are no longer taken.
    pub(crate) closed: CancellationToken,
    /// Fires when a task was made or changed, so that the scheduler looks anew.
    pub(crate) tasks_changed: Notify,
    /// Fires when somebody wants to be forgotten.
    pub(crate) forget_asked: Notify,
    /// Fires when what was restored is held no more.
    pub(crate) released: CancellationToken,
}

/// What the gateway runs with, for status pages.
#[derive(Clone, Debug)]
pub struct About {
    pub version: &'static str,
    pub started_at: Timestamp,
    /// Where the database comes from while it is held: nothing is taken, sent or answered.
    pub restored: Option<Restored>,
    /// What the sandbox's probe said; none while it is being proved.
    pub sandbox: watch::Receiver<SandboxState>,
}

/// Whether agents can be started.
#[derive(Clone, Debug, PartialEq)]
pub enum SandboxState {
    Proving,
    Ready(Probe),
    /// The engine does not answer; what is asked waits for it.
    Away {
        why: String,
        remedy: String,
        since: Timestamp,
    },
    /// No engine works here: why, and the one command that mends it.
    Refused {
        why: String,
        remedy: String,
    },
}

/// What was asked of the gateway can't be done.
#[derive(Debug, Error)]
pub enum HandleError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error(transparent)]
    Name(#[from] BadName),
    #[error("there is no group `{0}`")]
    NoGroup(String),
    #[error("no plugin holds {0}; `nanogridbot plugin held` lists what is held")]
    NotHeld(ngb_core::id::PassageId),
    #[error("there is no plugin `{0}`")]
    NoPlugin(String),
    /// Why a plugin, or its settings, stay as they are.
    #[error("{0}")]
    BadPlugin(String),
    #[error("could not keep a long text")]
    LongText(#[source] std::io::Error),
    #[error("there is no task {0}")]
    NoTask(TaskId),
    #[error(transparent)]
    Task(#[from] TaskError),
    #[error("the main group can't be removed")]
    MainGroup,
    /// Its buttons are gone, it was answered, or its time is over.
    #[error("no question with that button is open in `{0}`")]
    NoQuestion(Jid),
    #[error("this question is for whoever asked, and for those with a higher role")]
    NotYours,
    #[error("there is no lane {0}")]
    NoLane(LaneId),
    #[error("lane {lane} keeps no transcript `{session}` of the driver `builtin`")]
    NoTranscript { lane: LaneId, session: String },
    #[error("lane {0} has no session yet; there is nothing to fork")]
    NothingToFork(LaneId),
    /// What they asked is being done, and does not stop.
    #[error("an agent that works on something of theirs does not stop; try again")]
    StillAtWork,
    /// What was said to them is on its way.
    #[error("{left} items are being sent to them at this moment; try again")]
    StillSending { left: u64 },
    #[error("could not look through files of the home")]
    Files(#[from] std::io::Error),
    #[error("there is no account `{0}`")]
    NoAccount(Account),
    #[error("the platform of `{0}` did not answer within {CONNECT_LIMIT:?}")]
    Silent(Account),
    #[error(transparent)]
    Channel(#[from] ngb_channels::ChannelError),
    /// A limit of a group that can't be: what, and what to do.
    #[error("{message}")]
    Limit { message: String, hint: Option<String> },
    /// They can't be read, or make no sense.
    #[error("{0:#}")]
    Settings(anyhow::Error),
    #[error(transparent)]
    Model(#[from] NotTaken),
    #[error(transparent)]
    Account(NotTaken),
    #[error("the message could not be taken: {0}")]
    NotAccepted(#[from] ngb_channels::NotAccepted),
    #[error("lane {lane} remembers no version {version}")]
    NoMemory { lane: LaneId, version: u64 },
    #[error("could not read or write what lane {lane} remembers")]
    Memory {
        lane: LaneId,
        #[source]
        source: std::io::Error,
    },
    #[error("could not make the folder of group `{group}`")]
    Folder {
        group: String,
        #[source]
        source: std::io::Error,
    },
}

/// A message that somebody writes in the page, in a terminal or through the API.
#[derive(Clone, Debug)]
pub struct Post {
    /// A `web` or `terminal` address.
    pub place: Place,
    pub sender_id: String,
    pub sender_name: String,
    pub text: String,
    /// The same key again is the same message. None makes a new one.
    pub idempotency_key: Option<String>,
}

/// A posted message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Posted {
    pub message: MessageId,
    /// Whether it had been posted before.
    pub repeat: bool,
}

/// Nobody takes a platform's request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unheard {
    /// There is no such account, or its platform doesn't call.
    NoSuchAccount,
    Stopping,
}

/// What a binding is to be.
#[derive(Clone, Debug)]
pub struct Bind {
    pub place: Place,
    pub group: GroupId,
    pub engage: Engage,
    pub scope: Scope,
    pub senders: Senders,
    pub queue: Queue,
    pub exceptions: Exceptions,
}

/// How a pairing is to be approved.
#[derive(Clone, Debug, Default)]
pub struct Approve {
    /// The group that the chat is bound to; none makes one for it, or takes the main group with `me`.
    pub group: Option<GroupId>,
    /// The person who wrote, when it is one whom we know: they have their roles there too, and speak to the main group.
    pub me: Option<UserId>,
    /// Who approves, for the audit.
    pub by: String,
}

impl Gateway {
    /// The store, for reading.
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// The time zone that agents are told, an IANA name.
    pub fn zone(&self) -> &str {
        &self.0.limits.zone
    }

    pub fn hub(&self) -> &Arc<Hub> {
        &self.0.hub
    }

    pub fn about(&self) -> &About {
        &self.0.about
    }

    /// Every group and binding, from memory.
    pub fn directory(&self) -> &Directory {
        &self.0.directory
    }

    /// Lanes with an agent: how many work, how many wait for their next prompt.
    pub fn agents(&self) -> crate::dispatch::Agents {
        self.0.dispatcher.agents()
    }

    /// Whether the platform of this account calls us.
    pub fn takes_webhooks(&self, account: &Account) -> bool {
        self.0.accounts.takes_webhooks(account)
    }

    /// Hands a platform's request to the account that it is for.
    pub async fn webhook(
        &self,
        account: &Account,
        request: ngb_channels::Webhook,
    ) -> Result<(), Unheard> {
        self.0.accounts.webhook(account, request).await
    }

    /// Fires after the drain: from then on no message is taken.
    pub fn closed(&self) -> &CancellationToken {
        &self.0.closed
    }

    /// The address that somebody wrote, among the accounts there are.
    pub fn resolve(&self, address: &str) -> Result<Jid, AddressError> {
        address.parse::<Address>()?.resolve(&self.0.accounts.names())
    }

    /// The group of that name or folder.
    pub fn group(&self, name: &str) -> Result<Group, HandleError> {
        let directory = self.0.directory.snapshot();
        let found =
            directory.groups().find(|it| it.name.as_str() == name || it.folder.as_str() == name);
        found.cloned().ok_or_else(|| HandleError::NoGroup(name.to_owned()))
    }

    /// Stores a message; it is on disk when this returns.
    pub async fn post(&self, post: Post) -> Result<Posted, HandleError> {
        let key = match post.idempotency_key {
            Some(key) => key,
            None => crate::codes::random_id(),
        };
        let inbound = Inbound {
            event_key: key.clone(),
            place: post.place.clone(),
            chat: ChatFacts { kind: ChatKind::Direct, title: post.place.jid.chat().to_owned() },
            sender: Sender { id: post.sender_id, name: post.sender_name, is_bot: false },
            sent_at: self.0.clock.now(),
            what: Happening::Message(Content {
                platform_id: key,
                text: post.text,
                addressed: Addressed::Direct,
                ..Content::default()
            }),
        };
        self.0.posts.post(inbound).await
    }

    /// Presses a button under a question in `chat`, as a person of our own doors.
    ///
    /// # Errors
    ///
    /// When no such question is open, or when it is not for them.
    pub async fn press(&self, chat: &Jid, sender: &str, value: &str) -> Result<(), HandleError> {
        let shared = &self.0;
        let door = Account::new(ChannelKind::Web, Account::DEFAULT_NAME)?;
        let roles = shared.directory.snapshot().roles(&door, sender);
        let who = Answerer { sender_id: sender, roles: &roles };
        let open = shared.store.open_questions(chat, shared.clock.now()).await?;
        let ask = match ask::pressed(&open, "", value, who) {
            Pressed::Answers(ask) => ask,
            Pressed::NotYours(_) => return Err(HandleError::NotYours),
            Pressed::Nothing => return Err(HandleError::NoQuestion(chat.clone())),
        };
        let by = door.person(sender);
        match shared.store.answer_ask(ask, value, &by).await? {
            Some(answered) => shared.answered(answered),
            None => return Err(HandleError::NoQuestion(chat.clone())),
        }
        Ok(())
    }

    /// For which group an agent works on a lane now, and who asked for it.
    pub fn at_work(&self, lane: LaneId) -> Option<(GroupId, Vec<crate::dispatch::Asked>)> {
        self.0.dispatcher.at_work(lane)
    }

    /// Stops what an agent does on a lane now; false when nothing runs there. What waits goes on afterwards.
    pub fn interrupt(&self, lane: LaneId) -> bool {
        self.0.dispatcher.interrupt(lane)
    }

    /// Lets a chat or a person in by their code.
    pub async fn approve(&self, code: &str, how: Approve) -> Result<Pairing, HandleError> {
        crate::access::approve(self, code, how).await
    }

    /// Says no to a code; the chat is not asked again.
    pub async fn deny(&self, code: &str) -> Result<(), HandleError> {
        self.0.store.deny(code).await?;
        self.changed().await
    }

    /// The person who owns this gateway; made at the first login.
    pub async fn owner(&self) -> Result<UserId, HandleError> {
        let found = self.0.directory.snapshot().owner();
        if let Some(owner) = found {
            return Ok(owner);
        }
        let owner = self.0.store.add_person("owner").await?;
        self.0.store.grant(owner, None, Role::Owner).await?;
        self.changed().await?;
        Ok(owner)
    }

    /// Puts a dead letter back into its queue.
    pub async fn revive(&self, job: JobId) -> Result<(), HandleError> {
        self.0.store.revive(job).await?;
        self.0.dispatcher.wake();
        Ok(())
    }

    /// Throws a dead letter away.
    pub async fn discard(&self, job: JobId) -> Result<(), HandleError> {
        self.0.store.discard(job).await?;
        Ok(())
    }

    /// Has what a platform refused for good sent again.
    pub async fn resend(&self, id: OutboxId) -> Result<(), HandleError> {
        self.0.store.resend(id).await?;
        self.0.dispatcher.wake();
        Ok(())
    }

    /// Holds no more what was restored; false where nothing was held. With `give_up` what waits becomes dead letters. Whoever
    /// runs the gateway then begins anew ([`Gateway::released`]).
    pub async fn release_restored(&self, give_up: bool) -> Result<bool, HandleError> {
        let was_held = self.0.store.release_restored(give_up).await?;
        if was_held {
            self.0.released.cancel();
        }
        Ok(was_held)
    }

    /// Fires when what was restored is held no more.
    pub fn released(&self) -> &CancellationToken {
        &self.0.released
    }

    /// Reads groups, bindings and people anew, and tells everybody.
    pub(crate) async fn changed(&self) -> Result<(), HandleError> {
        self.0.directory.reload(&self.0.store).await?;
        self.0.hub.publish(Event::Settings);
        Ok(())
    }
}
