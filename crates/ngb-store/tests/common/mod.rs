//! A store for a test, on either database, and short ways to say what a test says often.
#![expect(dead_code, unreachable_pub, reason = "each test file uses its own part")]

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use ngb_core::{
    address::Place,
    clock::{Clock, Timestamp},
    group::{Engage, Exceptions, Limits, Scope, Senders},
    id::{GroupId, JobId, MessageId},
    job::{JobState, Tries},
    message::{Author, ChatFacts, ChatKind, Content, Happening, Inbound, Outbound, Sender},
    queue::Queue,
    role::Role,
};
use ngb_store::*;
use tokio::sync::watch;

pub const T0: Timestamp = Timestamp(1_800_000_000_000);
pub const LEASE: Duration = Duration::from_secs(60);

/// A store of its own, and what keeps it alive.
pub struct Fix {
    pub store: Store,
    pub url: String,
    pub dir: tempfile::TempDir,
    pub clock: Clock,
    pub hand: watch::Sender<Timestamp>,
}

pub async fn sqlite(_name: &str) -> Fix {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/db.sqlite", dir.path().display());
    open(dir, url).await
}

#[expect(clippy::disallowed_methods, reason = "a test has no settings")]
pub fn postgres_url() -> String {
    std::env::var("NGB_TEST_POSTGRES")
        .expect("NGB_TEST_POSTGRES is not set: scripts/test starts a PostgreSQL and sets it")
}

pub async fn postgres(name: &str) -> Fix {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let base = postgres_url();
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    let schema = format!("{name}_{}_{n}", std::process::id()).to_lowercase();
    let pool = sqlx::PgPool::connect(&base).await.expect("NGB_TEST_POSTGRES can be connected to");
    let drop = format!("DROP SCHEMA IF EXISTS {schema} CASCADE");
    sqlx::query(sqlx::AssertSqlSafe(drop)).execute(&pool).await.unwrap();
    let make = format!("CREATE SCHEMA {schema}");
    sqlx::query(sqlx::AssertSqlSafe(make)).execute(&pool).await.unwrap();
    pool.close().await;
    let and = if base.contains('?') { '&' } else { '?' };
    let url = format!("{base}{and}options=-csearch_path%3D{schema}");
    open(tempfile::tempdir().unwrap(), url).await
}

async fn open(dir: tempfile::TempDir, url: String) -> Fix {
    let (hand, clock) = Clock::manual(T0);
    let store = another(&dir, &url, &clock, "node-1").await.unwrap();
    Fix { store, url, dir, clock, hand }
}

pub async fn another(
    dir: &tempfile::TempDir,
    url: &str,
    clock: &Clock,
    node: &str,
) -> Result<Store, StoreError> {
    let options = OpenOptions {
        url: url.to_owned(),
        backups_dir: dir.path().join("backups"),
        node: node.to_owned(),
        clock: clock.clone(),
    };
    Store::open(options).await
}

/// Runs each test on both databases.
#[macro_export]
macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {
        mod on_sqlite { $(#[tokio::test] async fn $name() { super::$name(super::common::sqlite(stringify!($name)).await).await })+ }
        mod on_postgres { $(#[tokio::test] async fn $name() { super::$name(super::common::postgres(stringify!($name)).await).await })+ }
    };
}

pub fn place(chat: &str) -> Place {
    Place { jid: format!("telegram@main:{chat}").parse().unwrap(), thread: None }
}

pub fn inbound(key: &str, chat: &str, what: Happening) -> Inbound {
    Inbound {
        event_key: key.into(),
        place: place(chat),
        chat: ChatFacts { kind: ChatKind::Group, title: format!("chat {chat}") },
        sender: Sender { id: "7".into(), name: "Ann".into(), is_bot: false },
        sent_at: T0,
        what,
    }
}

pub fn text(platform_id: &str, text: &str) -> Content {
    Content { platform_id: platform_id.into(), text: text.into(), ..Content::default() }
}

/// A message that engages `group`; its event key is its platform id.
pub fn engage(group: GroupId, chat: &str, id: &str, body: &str) -> Arrival {
    let lane_key = format!("telegram@main:{chat}");
    Arrival {
        inbound: inbound(&format!("{chat}/{id}"), chat, Happening::Message(text(id, body))),
        plan: Plan::Engage {
            group,
            lane_key,
            role: Role::Guest,
            queue: Queue::default(),
            why: "always".into(),
        },
    }
}

pub fn keep(group: GroupId, chat: &str, id: &str, body: &str) -> Arrival {
    let mut res = engage(group, chat, id, body);
    let lane_key = format!("telegram@main:{chat}");
    res.plan = Plan::Keep { group, lane_key, why: "nobody addressed the agent".into() };
    res
}

pub fn accept(arrivals: Vec<Arrival>, permits: usize) -> Accept {
    Accept { arrivals, now: T0, permits, lease_until: T0 + LEASE }
}

pub fn message_of(recorded: &Recorded) -> MessageId {
    match recorded {
        Recorded::New { message: Some(it), .. } | Recorded::Repeat { message: Some(it) } => *it,
        other => panic!("no message: {other:?}"),
    }
}

pub fn job_of(recorded: &Recorded) -> JobId {
    match recorded {
        Recorded::New { job: Some(it), .. } => *it,
        other => panic!("no job: {other:?}"),
    }
}

pub fn say(chat: &str, body: &str, about: Option<MessageId>) -> NewOutbox {
    let item = Outbound::Text { text: body.into(), reply_to: None, buttons: vec![] };
    NewOutbox { place: place(chat), item, about, job: None, live: false }
}

pub fn sent(id: ngb_core::id::OutboxId, platform_id: &str) -> Settle {
    let outcome = SendOutcome::Sent { platform_id: Some(platform_id.into()) };
    Settle { id, outcome, now: T0 }
}

impl Fix {
    pub async fn group(&self, name: &str) -> GroupId {
        self.group_of(name, Limits::default()).await
    }

    pub async fn group_of(&self, name: &str, limits: Limits) -> GroupId {
        let (name, folder) = (name.parse().unwrap(), name.parse().unwrap());
        self.store.add_group(NewGroup { name, folder, is_main: false, limits }).await.unwrap()
    }

    pub async fn bind(&self, group: GroupId, chat: &str) {
        let binding = NewBinding {
            group,
            place: place(chat),
            engage: Engage::Always,
            scope: Scope::Thread,
            senders: Senders::Everyone,
            queue: Queue::default(),
            exceptions: Exceptions::default(),
        };
        self.store.bind(binding).await.unwrap();
    }

    pub async fn accept(&self, arrivals: Vec<Arrival>, permits: usize) -> AcceptDone {
        self.store.accept(accept(arrivals, permits)).await.unwrap()
    }

    pub async fn claim(&self, permits: usize) -> Vec<Claim> {
        self.store.claim(permits, T0, T0 + LEASE).await.unwrap().claims
    }

    /// The end of a run that answers all its jobs with `body`.
    pub async fn answer(&self, claim: Claim, body: &str) -> Finish {
        let work = self.store.work(&claim).await.unwrap();
        let first = &work.jobs[0];
        let about = match &first.kind {
            JobKind::Message(it) => Some(it.id),
            JobKind::Say { .. } | JobKind::Task { .. } => None,
        };
        let item = Outbound::Text { text: body.into(), reply_to: None, buttons: vec![] };
        let place = first.place.clone();
        Finish {
            claim,
            now: T0,
            jobs: work.jobs.iter().map(|it| (it.id, JobState::Done, it.tries)).collect(),
            answer: Some(NewMessage {
                place: place.clone(),
                author: Author::Assistant,
                text: body.into(),
                in_reply_to: about,
            }),
            outbox: vec![NewOutbox { place, item, about, job: Some(first.id), live: false }],
            session: None,
            usage: vec![],
            error: None,
            context_given: true,
            decisions: vec![],
        }
    }

    pub async fn finish(&self, claim: Claim, body: &str) -> Result<Vec<Queued>, StoreError> {
        let finish = self.answer(claim, body).await;
        self.store.finish(finish).await.map(|it| it.said)
    }

    /// The texts of a run's jobs.
    pub async fn texts(&self, claim: &Claim) -> Vec<String> {
        let text = |it: WorkJob| match it.kind {
            JobKind::Message(it) => it.content.text,
            JobKind::Say { text } => format!("say {text}"),
            JobKind::Task { text, .. } => format!("do {text}"),
        };
        self.store.work(claim).await.unwrap().jobs.into_iter().map(text).collect()
    }
}

pub fn tries(failures: u32, gateway_deaths: u32) -> Tries {
    Tries { failures, gateway_deaths }
}
