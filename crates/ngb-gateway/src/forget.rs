//! Forgetting a person: their messages and all that was made of them, in the store and in files.
//!
//! The wish is a row before anybody is told that it is heard, so it is done after a crash, too. What can't be changed here,
//! copies of the database in `<home>/backups`, is named.

use std::{collections::BTreeSet, time::Duration};

use ngb_core::{
    address::{Account, ChannelKind},
    id::LaneId,
    message::Outbound,
    notice::Notice,
    tasks::blocking,
};
use ngb_store::{ForgetWish, NewOutbox, Traces};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::{
    forget_files::{self, Gone},
    handle::{Gateway, HandleError},
    registry::sender_of,
};

/// How long a run that works on something of theirs may take to stop.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// How often what is being sent at this moment is looked at again, and between two looks.
const SEND_LOOKS: u32 = 50;
const SEND_PAUSE: Duration = Duration::from_millis(200);

/// After this a wish that could not be fulfilled is tried again.
const RETRY: Duration = Duration::from_secs(60);

/// What was forgotten.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Forgot {
    /// Messages: theirs, and what was said about them.
    pub messages: u64,
    /// Files: transcripts, archives, what came with messages.
    pub files: u64,
    /// Lines of memories.
    pub memory_lines: u64,
    /// Copies of the database that still hold it, under `<home>/backups`.
    pub backups: Vec<String>,
    /// SHA-256 of their addresses, one a line, in order: what the audit log keeps.
    pub hash: String,
}

/// Fulfils wishes until the end.
pub(crate) async fn run(gateway: Gateway, stop: CancellationToken) -> anyhow::Result<()> {
    loop {
        // Whoever wishes from here on is found in the next round.
        let asked = gateway.0.forget_asked.notified();
        let done = match gateway.store().forget_wishes().await {
            Ok(wishes) => fulfil_all(&gateway, wishes).await,
            Err(err) => Err(err.into()),
        };
        let pause = match done {
            Ok(()) => None,
            Err(err) => {
                error!("somebody could not be forgotten yet: {:#}", anyhow::Error::from(err));
                Some(RETRY)
            }
        };
        let retry = async {
            match pause {
                Some(it) => gateway.clock().sleep(it).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = asked => (),
            () = retry => (),
        }
    }
}

async fn fulfil_all(gateway: &Gateway, wishes: Vec<ForgetWish>) -> Result<(), HandleError> {
    for wish in wishes {
        let forgot = gateway.forget(&wish.account, &wish.sender_id).await?;
        gateway.store().forgot(wish.id).await?;
        let Forgot { messages, files, backups, .. } = forgot;
        let text = Notice::Forgotten { messages, files, backups }.say(wish.lang, None);
        let item = Outbound::Text { text, reply_to: None, buttons: Vec::new() };
        let row = NewOutbox { place: wish.place, item, about: None, job: None, live: false };
        let said = gateway.store().say(vec![row]).await?;
        gateway.0.outboxes.hand(said);
    }
    Ok(())
}

impl Gateway {
    /// Forgets whoever writes as `sender` on `account`, on all their addresses.
    ///
    /// # Errors
    ///
    /// When a run of theirs does not stop, or something can't be removed; doing it again goes on.
    pub async fn forget(&self, account: &Account, sender: &str) -> Result<Forgot, HandleError> {
        let of = self.addresses(account, sender)?;
        let store = self.store();
        let traces = store.traces(&of).await?;
        store.cancel_messages(&traces.messages).await?;
        self.stop_for(&of, &traces).await?;
        let (mut left, mut jobs) = (0, BTreeSet::new());
        for look in 0..SEND_LOOKS {
            if 0 < look {
                self.clock().sleep(SEND_PAUSE).await;
            }
            let gone = store.forget_messages(&traces.messages).await?;
            jobs.extend(gone.jobs);
            left = gone.being_sent;
            if left == 0 {
                break;
            }
        }
        if 0 < left {
            return Err(HandleError::StillSending { left });
        }
        store.forget_senders(&of, &traces).await?;
        let lanes: Vec<LaneId> = traces.lanes.keys().copied().collect();
        self.0.dispatcher.end_lanes(&lanes);
        let messages = u64::try_from(traces.messages.len()).unwrap_or(u64::MAX);
        let gone = self.forget_files(traces, jobs).await?;
        store.cut_log().await?;
        self.changed().await?;
        let backups = self.backups().await?;
        let hash = hash(&of);
        let detail = format!(
            "sha256 {hash}: {messages} messages, {} files, {} lines of memory; copies that hold it: {}",
            gone.files,
            gone.memory_lines,
            if backups.is_empty() { "none".to_owned() } else { backups.join(", ") }
        );
        store.audit("the person themselves, or an owner", "forgot", &detail).await?;
        info!("forgot a person: {detail}");
        let Gone { files, memory_lines } = gone;
        Ok(Forgot { messages, files, memory_lines, backups, hash })
    }

    /// All addresses of whoever has this one, those of our own doors too.
    fn addresses(
        &self,
        account: &Account,
        sender: &str,
    ) -> Result<Vec<(Account, String)>, HandleError> {
        let mut all = BTreeSet::from([(account.to_string(), sender.to_owned())]);
        if let Some(person) = self.directory().snapshot().sender(account, sender) {
            all.extend(person.identities.iter().map(|it| (it.0.to_string(), it.1.clone())));
            for door in [ChannelKind::Web, ChannelKind::Terminal] {
                let door = Account::new(door, Account::DEFAULT_NAME)?;
                all.insert((door.to_string(), sender_of(person.user)));
            }
        }
        all.into_iter().map(|(account, sender)| Ok((account.parse()?, sender))).collect()
    }

    /// Stops the runs that answer them, and returns when they are over.
    async fn stop_for(&self, of: &[(Account, String)], traces: &Traces) -> Result<(), HandleError> {
        let mut events = self.hub().subscribe(None);
        let is_theirs = |lane: &&LaneId| {
            let Some((_, asked)) = self.at_work(**lane) else { return false };
            asked.iter().any(|it| {
                let by = |sender: &String| {
                    of.iter().any(|(account, id)| account == it.place.jid.account() && id == sender)
                };
                it.sender_id.as_ref().is_some_and(by)
            })
        };
        for lane in traces.lanes.keys().filter(is_theirs) {
            self.interrupt(*lane);
        }
        let over = async {
            while traces.lanes.keys().any(|it| is_theirs(&it)) {
                events.next().await;
            }
        };
        self.clock().timeout(STOP_LIMIT, over).await.map_err(|_| HandleError::StillAtWork)
    }

    async fn forget_files(&self, traces: Traces, jobs: BTreeSet<i64>) -> Result<Gone, HandleError> {
        let in_use = self.store().long_texts(self.clock().now() + RETRY).await?;
        let in_use: BTreeSet<String> = in_use.into_iter().collect();
        let long: Vec<String> = traces.long_texts.difference(&in_use).cloned().collect();
        let home = self.0.homes.home().to_owned();
        let work = move || forget_files::forget(&home, &traces, &jobs, &long);
        Ok(blocking("forget files", work).await?)
    }

    /// The copies of the database under `<home>/backups`.
    async fn backups(&self) -> Result<Vec<String>, HandleError> {
        let dir = self.0.homes.home().join("backups");
        let list = blocking("list backups", move || -> std::io::Result<Vec<String>> {
            let entries = match std::fs::read_dir(dir) {
                Ok(it) => it,
                Err(err) if err.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
                Err(err) => return Err(err),
            };
            let name = |it: std::io::Result<std::fs::DirEntry>| {
                it.map(|it| it.file_name().to_string_lossy().into_owned())
            };
            let mut names = entries.map(name).collect::<Result<Vec<_>, _>>()?;
            names.sort();
            Ok(names)
        });
        Ok(list.await?)
    }
}

fn hash(of: &[(Account, String)]) -> String {
    let lines: Vec<String> = of.iter().map(|it| it.0.person(&it.1)).collect();
    Sha256::digest(lines.join("\n")).iter().map(|it| format!("{it:02x}")).collect()
}
