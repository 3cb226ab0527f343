//! Watches for what an operator should know of, and tells it; `ngb-core/src/alert.rs` decides when.

use std::{path::Path, time::Duration};

use ngb_core::{
    address::{Account, ChannelKind, Jid, Place},
    alert::{Book, Found, Open},
    clock::Timestamp,
    message::Outbound,
    price::Money,
    tasks::blocking,
};
use ngb_store::{Disk, NewOutbox, StoreError, TaskState};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::{
    capped::{Cap, caps},
    events::Event,
    handle::{Gateway, HandleError, SandboxState},
};

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(30);

/// How late a task may be.
const LATE: Duration = Duration::from_secs(60);

/// How long memory has to be short.
const MEMORY_PATIENCE: Duration = Duration::from_secs(5 * 60);

/// From this part of a day's budget on it is told, in percent.
const NEAR_PERCENT: u64 = 80;

/// Where the book is kept.
const KEY: &str = "alerts";

/// Who is told, and when; from the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertSettings {
    /// Chats; none are those of the main group.
    pub to: Vec<Jid>,
    /// How long an account may be unable to receive or send.
    pub account_after: Duration,
    /// How much of disk and memory has to be left, in percent.
    pub short_percent: u32,
}

impl Default for AlertSettings {
    fn default() -> Self {
        Self { to: Vec::new(), account_after: Duration::from_secs(5 * 60), short_percent: 5 }
    }
}

/// What the gateway keeps of alerts.
pub(crate) struct Alerts {
    settings: AlertSettings,
    book: Mutex<Book>,
}

impl Alerts {
    /// Goes on where the gateway before stopped, so that nothing is told twice.
    pub(crate) async fn load(
        store: &ngb_store::Store,
        settings: AlertSettings,
    ) -> Result<Self, StoreError> {
        let kept = store.get(KEY).await?;
        let book = kept.map(|it| serde_json::from_str(&it)).transpose().unwrap_or_else(|err| {
            error!("what was kept of alerts can't be read, and is forgotten: {err}");
            None
        });
        Ok(Self { settings, book: Mutex::new(book.unwrap_or_default()) })
    }
}

/// An alert, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertRow {
    pub key: String,
    pub open: Open,
    pub muted_until: Option<Timestamp>,
}

/// Looks now and then, until `stop` fires.
pub(crate) async fn run(gateway: Gateway, stop: CancellationToken) -> anyhow::Result<()> {
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = gateway.clock().sleep(EVERY) => (),
        }
        if let Err(err) = look(&gateway).await {
            error!("could not look for alerts: {:#}", anyhow::Error::from(err));
        }
    }
}

impl Gateway {
    /// What has begun and not ended, as of the last look.
    pub async fn alerts(&self) -> Vec<AlertRow> {
        let book = self.0.alerts.book.lock().await;
        let row = |(key, open): (&String, &Open)| AlertRow {
            key: key.clone(),
            open: open.clone(),
            muted_until: book.muted.get(key).copied(),
        };
        book.open.iter().map(row).collect()
    }

    /// Tells a test to all who are told; gives where it goes.
    pub async fn test_alert(&self) -> Result<Vec<Place>, HandleError> {
        let down = down(&*self.0.alerts.book.lock().await);
        Ok(tell(self, "This is a test: alerts of this gateway come here.", &down).await?)
    }

    /// Has an alert not be told until then, whether it has begun or not.
    pub async fn mute_alert(&self, key: &str, until: Timestamp) -> Result<(), HandleError> {
        let mut book = self.0.alerts.book.lock().await;
        book.muted.insert(key.to_owned(), until);
        Ok(keep(self, &book).await?)
    }
}

/// Looks at every condition, and tells what is to be told.
async fn look(gateway: &Gateway) -> Result<(), StoreError> {
    let now = gateway.clock().now();
    let mut book = gateway.0.alerts.book.lock().await;
    let mut next = book.clone();
    let say = next.look(find(gateway, now).await?, now);
    let down = down(&next);
    for text in &say {
        warn!("{text}");
        tell(gateway, text, &down).await?;
    }
    if next != *book {
        keep(gateway, &next).await?;
        *book = next;
    }
    Ok(())
}

async fn keep(gateway: &Gateway, book: &Book) -> Result<(), StoreError> {
    let text = serde_json::to_string(book).expect("its keys are strings");
    gateway.store().put(KEY, &text).await
}

/// What stands before an account in its alert's key.
const ACCOUNT: &str = "account:";

/// The accounts that are known not to work.
fn down(book: &Book) -> Vec<Account> {
    let keys = book.open.keys();
    keys.filter_map(|it| it.strip_prefix(ACCOUNT)?.parse().ok()).collect()
}

/// Says `text` wherever alerts go, but for accounts that are `down`; gives where.
async fn tell(gateway: &Gateway, text: &str, down: &[Account]) -> Result<Vec<Place>, StoreError> {
    gateway.hub().publish(Event::Alert { text: text.to_owned() });
    let set = &gateway.0.alerts.settings.to;
    let snapshot = gateway.directory().snapshot();
    let places: Vec<Place> = if set.is_empty() {
        let main = snapshot.main_group().map(|it| it.id);
        let chats = main.into_iter().flat_map(|it| snapshot.bindings_of(it));
        // Whoever sits at the terminal sees the log.
        let chats = chats.filter(|it| it.place.jid.channel() != ChannelKind::Terminal);
        chats.map(|it| it.place.clone()).collect()
    } else {
        set.iter().cloned().map(Place::from).collect()
    };
    let works = |it: &Place| !down.contains(it.jid.account());
    let places: Vec<Place> = places.into_iter().filter(works).collect();
    let row = |place: &Place| {
        let item = Outbound::Text { text: text.to_owned(), reply_to: None, buttons: Vec::new() };
        NewOutbox { place: place.clone(), item, about: None, job: None, live: false }
    };
    let said = gateway.store().say(places.iter().map(row).collect()).await?;
    gateway.0.outboxes.hand(said);
    Ok(places)
}

/// One that is told as soon as it is found.
pub(crate) fn found(key: impl Into<String>, says: String, remedy: &str) -> Found {
    let (key, remedy) = (key.into(), remedy.to_owned());
    Found { key, says, remedy, patience: Duration::ZERO, told_elsewhere: false }
}

/// Every condition that holds now.
async fn find(gateway: &Gateway, now: Timestamp) -> Result<Vec<Found>, StoreError> {
    let mut all = accounts(gateway);
    all.extend(canaries(gateway));
    all.extend(sandbox(gateway));
    all.extend(crate::plugin_state::alerts(gateway));
    all.extend(work(gateway, now).await?);
    all.extend(budgets(gateway, now).await?);
    all.extend(backups(gateway, now).await?);
    if let Disk::Full { .. } = *gateway.store().disk().borrow() {
        let it = found("disk-full", "The disk is full.".to_owned(), "Make room; messages wait.");
        all.push(Found { told_elsewhere: true, ..it });
    }
    let home = gateway.0.homes.home().to_owned();
    let percent = gateway.0.alerts.settings.short_percent;
    all.extend(blocking("look at the machine", move || machine(&home, percent)).await);
    Ok(all)
}

fn accounts(gateway: &Gateway) -> Vec<Found> {
    let patience = gateway.0.alerts.settings.account_after;
    let bad = gateway.accounts().into_iter().filter_map(|it| {
        let ours = [ChannelKind::Web, ChannelKind::Terminal].contains(&it.account.channel());
        let what = match (it.can_receive, it.can_send) {
            _ if ours || it.state == "paused" => return None,
            (false, _) => format!("receive: {} {}", it.state, it.why),
            (true, Some(false)) => format!("send: {}", it.send_error.unwrap_or_default()),
            (true, _) => return None,
        };
        let says = format!("`{}` can't {}.", it.account, what.trim());
        let remedy = format!("`nanogridbot channel test {}` says more.", it.account);
        Some(Found { patience, ..found(format!("{ACCOUNT}{}", it.account), says, &remedy) })
    });
    bad.collect()
}

/// Accounts whose last canary proved nothing. One that is not up has an alert of its own.
fn canaries(gateway: &Gateway) -> Vec<Found> {
    let patience = gateway.0.alerts.settings.account_after;
    let bad = gateway.accounts().into_iter().filter(|it| it.can_receive).filter_map(|it| {
        let error = it.canary?.error?;
        let says = format!("The canary of `{}` failed: {error}.", it.account);
        let remedy = format!("`nanogridbot channel test {}` says more.", it.account);
        Some(Found { patience, ..found(format!("canary:{}", it.account), says, &remedy) })
    });
    bad.collect()
}

fn sandbox(gateway: &Gateway) -> Option<Found> {
    let (why, told_elsewhere) = match &*gateway.about().sandbox.borrow() {
        // `engine.rs` tells of it, and of its return.
        SandboxState::Away { why, .. } => (why.clone(), true),
        SandboxState::Refused { why, .. } => (why.clone(), false),
        SandboxState::Ready(_) | SandboxState::Proving => return None,
    };
    let says = format!("No agent can start: {why}.");
    Some(Found { told_elsewhere, ..found("sandbox", says, "`nanogridbot doctor` says more.") })
}

/// Dead letters, and tasks that fail or are late.
async fn work(gateway: &Gateway, now: Timestamp) -> Result<Vec<Found>, StoreError> {
    let mut all = Vec::new();
    let dead = gateway.store().counts().await?.jobs_dead;
    if 0 < dead {
        let says = format!("{dead} messages or tasks were given up.");
        let remedy = "`nanogridbot dead list` shows them; requeue or drop them.";
        all.push(found("dead-letters", says, remedy));
    }
    for row in gateway.store().tasks(None).await? {
        let id = row.id;
        let show = format!("`nanogridbot task history {id}` says more.");
        if let (TaskState::Paused, Some(why)) = (row.state, &row.note) {
            let says = format!("Task {id} is paused: {why}.");
            all.push(found(format!("task-failed:{id}"), says, &show));
        }
        if let Some(due) = row.next_at.filter(|it| *it + LATE < now) {
            let says = format!("Task {id} should have fired at {due}.");
            all.push(found(format!("task-late:{id}"), says, &show));
        }
    }
    Ok(all)
}

/// Backups that fail or are late.
async fn backups(gateway: &Gateway, now: Timestamp) -> Result<Option<Found>, StoreError> {
    let Some(it) = gateway.store().backups().await? else { return Ok(None) };
    let says = match (&it.failed, it.made_at) {
        (Some((at, why)), _) => format!("The backup of {at} failed: {why}."),
        (None, _) if !it.is_late(now) => return Ok(None),
        (None, Some(made)) => format!("The latest backup is of {made}."),
        (None, None) => format!("There is no backup since {}.", it.since),
    };
    let remedy = "`nanogridbot backup` makes one; see `[backup]` of the settings.";
    Ok(Some(found("backup", says, remedy)))
}

/// Groups that have used most or all of their day's budget.
async fn budgets(gateway: &Gateway, now: Timestamp) -> Result<Vec<Found>, StoreError> {
    let snapshot = gateway.directory().snapshot();
    let mut all = Vec::new();
    for group in snapshot.groups() {
        let used = gateway.store().used_today(group.id, now.day_start()).await?;
        for cap in caps(&group.limits, used) {
            let Cap { setting, used, limit } = cap;
            let what = setting.strip_suffix("_per_day").unwrap_or(setting);
            let level = match used {
                _ if limit <= used => "spent",
                _ if limit.saturating_mul(NEAR_PERCENT) <= used.saturating_mul(100) => "near",
                _ => continue,
            };
            let name = &group.name;
            let says = match cap.is_money() {
                true => {
                    let (used, limit) = (Money { micros: used }, Money { micros: limit });
                    format!("Group `{name}` cost {used} of {limit} of today.")
                }
                false => format!("Group `{name}` used {used} of {limit} {what} of today."),
            };
            let remedy =
                "`nanogridbot group set` changes the limit; the day ends at midnight, UTC.";
            all.push(found(format!("budget-{level}:{what}:{}", group.folder), says, remedy));
        }
    }
    Ok(all)
}

/// A machine that runs short.
fn machine(home: &Path, percent: u32) -> Vec<Found> {
    let disk = rustix::fs::statvfs(home).ok();
    let disk = disk.map(|it| (it.f_bavail * it.f_frsize, it.f_blocks * it.f_frsize));
    let memory = std::fs::read_to_string("/proc/meminfo").ok().and_then(|it| memory(&it));
    short(disk, memory, percent)
}

/// What is said of what is left and the whole: of the disk in bytes, of memory in KiB.
fn short(disk: Option<(u64, u64)>, memory: Option<(u64, u64)>, percent: u32) -> Vec<Found> {
    let is_short = |it: &(u64, u64)| is_short(it.0, it.1, percent);
    let mut all = Vec::new();
    if let Some((free, whole)) = disk.filter(is_short) {
        let says = format!("The disk has {} MiB of {} MiB left.", free >> 20, whole >> 20);
        all.push(found("disk", says, "Make room: `nanogridbot prune`, old backups, other files."));
    }
    if let Some((free, whole)) = memory.filter(is_short) {
        let says =
            format!("The machine has {} MiB of {} MiB memory left.", free >> 10, whole >> 10);
        let remedy = "End other programs, or set `[agent] max_live_mib` lower.";
        all.push(Found { patience: MEMORY_PATIENCE, ..found("memory", says, remedy) });
    }
    all
}

fn is_short(free: u64, whole: u64, percent: u32) -> bool {
    u128::from(free) * 100 < u128::from(whole) * u128::from(percent)
}

/// What is available and the whole, in KiB, of the text of `/proc/meminfo`.
fn memory(text: &str) -> Option<(u64, u64)> {
    let line = |name: &str| {
        let line = text.lines().find_map(|it| it.strip_prefix(name))?;
        line.split_whitespace().next()?.parse().ok()
    };
    Some((line("MemAvailable:")?, line("MemTotal:")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_is_less_than_a_twentieth() {
        #[rustfmt::skip]
        let table = [(4, 100, true), (5, 100, false), (0, 100, true), (0, 0, false), (u64::MAX, u64::MAX, false)];
        for (free, whole, want) in table {
            assert_eq!(is_short(free, whole, 5), want, "{free} of {whole}");
        }
        let text = "MemTotal:       16000 kB\nMemFree:  1 kB\nMemAvailable:    800 kB\n";
        assert_eq!(memory(text), Some((800, 16_000)));
        assert_eq!(memory("nonsense"), None);
        let says = |all: Vec<Found>| all.into_iter().map(|it| it.says).collect::<Vec<_>>();
        let disk = Some((4 << 20, 100 << 20));
        assert_eq!(
            says(short(disk, Some((4 << 10, 100 << 10)), 5)),
            [
                "The disk has 4 MiB of 100 MiB left.",
                "The machine has 4 MiB of 100 MiB memory left."
            ]
        );
        assert!(short(None, Some((50, 100)), 5).is_empty());
        assert!(short(disk, None, 0).is_empty(), "nobody wants to know");
    }
}
