//! All eight platforms at once, each as the chat of two people and a bot: for somebody who plays the people, and for
//! scenarios.
//!
//! ```text
//! page, scenario ──say──▶ Side ──▶ simulator ══ the platform's protocol ══ gateway
//!        ◀──shown── Side ◀─────────────┘
//! ```

mod page;
mod scenario;
mod sides;

use std::{net::SocketAddr, time::Duration};

use futures_util::future::{join_all, select_all};
use ngb_core::{
    address::{Account, ChannelKind},
    clock::Clock,
};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

pub use self::{
    page::serve,
    scenario::{BadScenario, Outcome, Scenario},
};
use crate::{dingtalk, discord, feishu, qq, qqbot, slack, telegram, wecom, whatsapp};

/// Who writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Person {
    #[default]
    Ann,
    Bob,
}

/// Where they write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Room {
    /// Ann and the bot alone.
    #[default]
    Direct,
    /// A group of both and the bot, in which what is written names the bot.
    Group,
}

/// What the bot put before people, as it stands now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Shown {
    pub room: Room,
    pub text: String,
}

/// One account of a simulated platform, as its people see it.
pub trait Side: Send + Sync {
    fn kind(&self) -> ChannelKind;

    /// The name of its account in a gateway that uses all of them.
    fn name(&self) -> &'static str {
        Account::DEFAULT_NAME
    }

    /// How people and scenarios call it: `qq`, and `qq@bot` for another account of the platform.
    fn called(&self) -> String {
        match self.name() {
            Account::DEFAULT_NAME => self.kind().to_string(),
            name => format!("{}@{name}", self.kind()),
        }
    }

    /// What stands in `[channels.<kind>.<account>]` of a gateway that uses it.
    fn settings(&self) -> Vec<(&'static str, String)>;

    /// Whether a gateway is there, so that it hears what is written now.
    fn is_connected(&self) -> bool;

    /// Somebody writes. In a room that the platform does not have, they write to the bot alone.
    fn say(&self, who: Person, room: Room, text: &str);

    /// What the bot said so far, in order.
    fn shown(&self) -> Vec<Shown>;

    /// Changes with whatever happens there.
    fn changes(&self) -> watch::Receiver<u64>;
}

/// The eight simulators, and that of QQ's official bots.
#[derive(Debug)]
pub struct All {
    pub whatsapp: whatsapp::Server,
    pub telegram: telegram::Server,
    pub slack: slack::Server,
    pub discord: discord::Server,
    pub wecom: wecom::Server,
    pub dingtalk: dingtalk::Server,
    pub feishu: feishu::Server,
    pub qq: qq::Server,
    pub qq_bot: qqbot::Server,
}

impl All {
    /// Starts them on the nine ports after that of `page`, so that a gateway finds them again; on free ones where it
    /// is 0.
    ///
    /// # Errors
    ///
    /// When an address can't be bound.
    pub async fn start(page: SocketAddr) -> std::io::Result<Self> {
        let mut port = page.port();
        let mut next = || {
            port = if port == 0 { 0 } else { port.saturating_add(1) };
            SocketAddr::new(page.ip(), port)
        };
        Ok(Self {
            whatsapp: whatsapp::Server::start(whatsapp::Config {
                addr: next(),
                ..Default::default()
            })
            .await?,
            telegram: telegram::Server::start(telegram::Config {
                addr: next(),
                ..Default::default()
            })
            .await?,
            slack: slack::Server::start(slack::Config { addr: next(), ..Default::default() })
                .await?,
            discord: discord::Server::start(discord::Config { addr: next(), ..Default::default() })
                .await?,
            wecom: wecom::Server::start(wecom::Config { addr: next(), ..Default::default() })
                .await?,
            dingtalk: dingtalk::Server::start(dingtalk::Config {
                addr: next(),
                ..Default::default()
            })
            .await?,
            feishu: feishu::Server::start(feishu::Config { addr: next(), ..Default::default() })
                .await?,
            qq: qq::Server::start(qq::Config { addr: next(), ..Default::default() }).await?,
            qq_bot: qqbot::Server::start(qqbot::Config { addr: next(), ..Default::default() })
                .await?,
        })
    }

    /// One account of each platform.
    pub fn sides(&self) -> [&dyn Side; 8] {
        [
            &self.whatsapp,
            &self.telegram,
            &self.slack,
            &self.discord,
            &self.wecom,
            &self.dingtalk,
            &self.feishu,
            &self.qq,
        ]
    }

    /// Every account.
    pub fn everyone(&self) -> impl Iterator<Item = &dyn Side> {
        self.sides().into_iter().chain([&self.qq_bot as &dyn Side])
    }

    pub fn side(&self, kind: ChannelKind) -> Option<&dyn Side> {
        self.sides().into_iter().find(|it| it.kind() == kind)
    }

    /// The settings of a gateway that uses all of them, as TOML. Whoever writes gets an agent.
    pub fn settings(&self) -> String {
        let mut text = String::new();
        for side in self.everyone() {
            text += &format!("[channels.{}.{}]\n", side.kind(), side.name());
            for (key, value) in side.settings() {
                text += &format!("{key} = \"{value}\"\n");
            }
            text += "new_chats = \"own-group\"\n\n";
        }
        text
    }

    /// Has the platforms that call a gateway call the one whose page is at `base`, trying until it answers.
    pub async fn call_back(&self, base: &str, clock: &Clock) {
        let hook = format!("{}/hooks/whatsapp/main", base.trim_end_matches('/'));
        while let Err(err) = self.whatsapp.platform.subscribe(&hook).await {
            tracing::debug!("no gateway answers at {hook} yet: {err:#}");
            clock.sleep(CALL_AGAIN).await;
        }
    }

    /// Returns once a gateway is connected to all of them; after `limit`, those that are still alone.
    pub async fn connected(&self, limit: Duration, clock: &Clock) -> Vec<String> {
        let each = self.everyone().map(|side| until(side, || side.is_connected()));
        match clock.timeout(limit, join_all(each)).await {
            Ok(_) => Vec::new(),
            Err(_) => {
                let alone = self.everyone().filter(|it| !it.is_connected());
                alone.map(|it| it.called()).collect()
            }
        }
    }

    /// Returns once something has changed at one of `changes`.
    async fn changed(changes: &mut [watch::Receiver<u64>]) {
        let waiting = changes.iter_mut().map(|it| Box::pin(it.changed()));
        // None of them ends before the simulators do.
        drop(select_all(waiting).await);
    }
}

/// The pause before a gateway that is not there yet is called again.
const CALL_AGAIN: Duration = Duration::from_millis(250);

/// Returns once `done` is true of what a platform shows.
async fn until(side: &dyn Side, mut done: impl FnMut() -> bool) {
    let mut changes = side.changes();
    loop {
        changes.mark_unchanged();
        if done() || changes.changed().await.is_err() {
            return;
        }
    }
}
