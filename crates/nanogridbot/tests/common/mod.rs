//! A home with the real executable on it, between a simulated Telegram and a simulated model that survive its deaths.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::{ExitStatus, Output, Stdio},
    time::Duration,
};

use ngb_core::clock::{Clock, Timestamp};
use ngb_sim::{
    model::ModelServer,
    telegram::{Config, Draft, Platform, SentMessage, Server},
};
use tokio::process::{Child, Command};

/// The variable that names a gateway's database.
const DATABASE_URL: &str = "NGB_DATABASE__URL";

/// Longest that anything here may take; whoever waits so long has found a loss.
pub(crate) const LIMIT: Duration = Duration::from_secs(90);

/// How long before a kill the platform may have answered a send whose receipt is not yet on the disk. A commit takes a
/// millisecond here, but on a busy machine it waits for its disk, and the task that asks for it for a processor. Whatever
/// was answered earlier, and is not on the disk, is held against the gateway.
const RECEIPT: Duration = Duration::from_secs(1);

/// Between two looks at what a gateway has said: a file tells nobody that it grew.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// What the tests share: the world outside of the gateway, and the folder that it keeps.
pub(crate) struct Stage {
    pub(crate) home: PathBuf,
    pub(crate) telegram: Server,
    pub(crate) model: ModelServer,
    pub(crate) clock: Clock,
    /// Variables of the gateway, besides those that point it to the simulators.
    pub(crate) env: BTreeMap<String, String>,
    /// How many messages people have sent.
    pushed: usize,
    /// Sends that no gateway can know the outcome of.
    pub(crate) in_doubt: usize,
    _dir: Option<tempfile::TempDir>,
}

/// What became of the messages.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(crate) answered: usize,
    pub(crate) lost: usize,
    /// Replies that say again what another one said.
    pub(crate) doubled: usize,
}

/// A gateway that runs. Dropping it kills it.
pub(crate) struct Gateway {
    child: Child,
}

/// A command of the executable under test, with nothing of this process's environment but the search path.
#[expect(clippy::disallowed_methods, reason = "the process under test")]
pub(crate) fn program(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nanogridbot"));
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command.arg("--home").arg(home).kill_on_drop(true).stdin(Stdio::null());
    command
}

impl Stage {
    pub(crate) async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("home");
        Self { _dir: Some(dir), ..Self::at(home).await }
    }

    /// A stage whose home is elsewhere.
    pub(crate) async fn at(home: PathBuf) -> Self {
        let telegram = Server::start(Config::default()).await.unwrap();
        let model = ModelServer::start().await.unwrap();
        model.behave(|it| it.first_token_ms = 300);
        Self {
            home,
            telegram,
            model,
            clock: Clock::System,
            env: BTreeMap::new(),
            pushed: 0,
            in_doubt: 0,
            _dir: None,
        }
    }

    pub(crate) fn platform(&self) -> &Platform {
        &self.telegram.platform
    }

    /// A command on this home, pointed to the simulators.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = program(&self.home);
        command
            .args(args)
            .env("NGB_CHANNELS__TELEGRAM__MAIN__TOKEN", &self.telegram.token)
            .env("NGB_CHANNELS__TELEGRAM__MAIN__API_URL", &self.telegram.url)
            .env("NGB_PROVIDERS__SIM__KIND", "openai")
            .env("NGB_PROVIDERS__SIM__BASE_URL", format!("{}/v1", self.model.url()))
            .env("NGB_AGENT__MODEL", "sim/x")
            .env("NGB_AGENT__RETRY_BASE", "100ms")
            .envs(self.env.iter().filter(|it| !it.0.starts_with('-')));
        // `-NAME` takes a variable away.
        for name in self.env.keys().filter_map(|it| it.strip_prefix('-')) {
            command.env_remove(name);
        }
        command
    }

    /// Runs a command of the command line, which must do well.
    pub(crate) async fn cli(&self, args: &[&str]) {
        let out = self.output(args).await;
        assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
    }

    pub(crate) async fn output(&self, args: &[&str]) -> Output {
        let out = self.command(args).output();
        self.clock.timeout(LIMIT, out).await.expect("the command ends").unwrap()
    }

    /// Starts a gateway, and lets so many chats speak to its main group.
    pub(crate) async fn with_chats(&self, count: i64) -> (Gateway, Vec<i64>) {
        let gateway = self.started().await;
        // More runs in the midst of something at a kill, and more of them a day than anybody has.
        self.cli(&["group", "set", "main", "max_parallel=16", "runs_per_day=100000"]).await;
        let chats: Vec<i64> = (1..=count).map(|it| 1_000 + it).collect();
        for chat in &chats {
            self.cli(&["bind", &format!("telegram@main:{chat}"), "main", "--always"]).await;
        }
        (gateway, chats)
    }

    /// Starts a gateway, and does not wait for it.
    pub(crate) fn start(&self) -> Gateway {
        let log = std::fs::File::options().append(true).create(true).open(self.log()).unwrap();
        let mut command = self.command(&["serve", "--port", "0"]);
        command.stdout(log.try_clone().unwrap()).stderr(log);
        Gateway { child: command.spawn().unwrap() }
    }

    /// Starts a gateway and waits until it polls the platform.
    pub(crate) async fn started(&self) -> Gateway {
        let polls = self.platform().figures().polls;
        let gateway = self.start();
        let up = self.platform().wait(|it| polls < it.polls);
        self.clock.timeout(LIMIT, up).await.expect("the gateway polls");
        gateway
    }

    fn log(&self) -> PathBuf {
        std::fs::create_dir_all(&self.home).unwrap();
        self.home.join("gateway.out")
    }

    /// People send `count` messages, to one chat after the other, each with a marker of its own.
    pub(crate) fn push(&mut self, chats: &[i64], count: usize) {
        let from = self.pushed;
        self.pushed += count;
        let draft = |n: usize| Draft::text(chats[n % chats.len()], format!("hello {}", marker(n)));
        self.platform().push(&(from..self.pushed).map(draft).collect::<Vec<_>>());
    }

    /// People send these lines, to one chat after the other, each with a marker of its own in a line below.
    pub(crate) fn push_with(&mut self, chats: &[i64], lines: &[&str]) {
        let draft = |(n, line): (usize, &&str)| {
            let text = format!("{line}\nhello {}", marker(self.pushed + n));
            Draft::text(chats[n % chats.len()], text)
        };
        self.platform().push(&lines.iter().enumerate().map(draft).collect::<Vec<_>>());
        self.pushed += lines.len();
    }

    /// `kill -9`, and a count of the sends that it hit.
    pub(crate) async fn kill(&mut self, mut gateway: Gateway) {
        gateway.child.start_kill().unwrap();
        gateway.child.wait().await.unwrap();
        self.count_doubts(self.clock.now()).await;
    }

    /// Counts the sends that a death at `died` hit: as the platform saw it, those that had no answer or had it just now;
    /// and no more than the gateway itself had under way.
    async fn count_doubts(&mut self, died: Timestamp) {
        let hit = |it: &&SentMessage| it.answered_at.is_none_or(|at| died - RECEIPT <= at);
        let sent = self.platform().sent(0);
        // A message that was in doubt at an earlier death has had its turn.
        let since = |it: &&SentMessage| died - RECEIPT - Duration::from_secs(1) <= it.at;
        let seen = sent.iter().filter(since).filter(hit).count();
        self.in_doubt += seen.min(self.under_way().await);
    }

    /// Sends that a gateway, which must be dead, had handed to the platform without having written a receipt.
    pub(crate) async fn under_way(&self) -> usize {
        const SENDING: &str = "SELECT count(*) FROM outbox WHERE state = 'sending'";
        let count: i64 = match self.env.get(DATABASE_URL) {
            Some(url) => {
                let pool = sqlx::PgPool::connect(url).await.unwrap();
                sqlx::query_scalar(SENDING).fetch_one(&pool).await.unwrap()
            }
            None => {
                // In a copy: what the log of the database holds is for the next gateway to take up.
                let copy = tempfile::tempdir().unwrap();
                for name in ["nanogridbot.db", "nanogridbot.db-wal"] {
                    // Right after a checkpoint there may be no log.
                    drop(std::fs::copy(self.home.join(name), copy.path().join(name)));
                }
                let copy = rusqlite::Connection::open(copy.path().join("nanogridbot.db")).unwrap();
                copy.query_row(SENDING, [], |row| row.get(0)).unwrap()
            }
        };
        usize::try_from(count).unwrap()
    }

    /// Has the gateways of this stage use a database of their own on the PostgreSQL of the tests.
    #[expect(clippy::disallowed_methods, reason = "a test has no settings")]
    pub(crate) async fn on_postgres(&mut self, name: &str) {
        let base = std::env::var("NGB_TEST_POSTGRES")
            .expect("NGB_TEST_POSTGRES is not set: scripts/test starts a PostgreSQL and sets it");
        let schema = format!("{name}_{}", std::process::id());
        let pool =
            sqlx::PgPool::connect(&base).await.expect("NGB_TEST_POSTGRES can be connected to");
        for text in ["DROP SCHEMA IF EXISTS {} CASCADE", "CREATE SCHEMA {}"] {
            let text = text.replace("{}", &schema);
            sqlx::query(sqlx::AssertSqlSafe(text)).execute(&pool).await.unwrap();
        }
        let and = if base.contains('?') { '&' } else { '?' };
        let url = format!("{base}{and}options=-csearch_path%3D{schema}");
        self.env.insert(DATABASE_URL.into(), url);
    }

    /// Lets a person of the chats be the owner, and waits until the bot has said so.
    pub(crate) async fn with_owner(&self, chat: i64) {
        const STRANGE_CHAT: i64 = 999;
        let knock = Draft { from: Some(chat), ..Draft::text(STRANGE_CHAT, "hello?") };
        self.platform().push(&[knock]);
        self.settled_text("approve the code").await;
        let sent = self.platform().sent(0);
        let said = sent.iter().find(|it| it.text.contains("approve the code")).unwrap();
        let code = said.text.rsplit(' ').next().unwrap().trim_end_matches('.');
        self.cli(&["approve", code, "--me"]).await;
        self.settled_text("This chat is approved").await;
    }

    /// What became of all messages so far.
    pub(crate) fn figures(&self) -> Figures {
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        let mut doubled = 0;
        for message in self.platform().sent(0) {
            let found: BTreeSet<&str> =
                message.text.split_whitespace().filter(|it| is_marker(it)).collect();
            doubled += usize::from(found.iter().any(|it| seen.contains_key(*it)));
            for it in found {
                *seen.entry(it.to_owned()).or_default() += 1;
            }
        }
        let lost = (0..self.pushed).filter(|n| !seen.contains_key(&marker(*n))).count();
        let answered = (0..self.pushed).filter(|n| seen.get(&marker(*n)) == Some(&1)).count();
        Figures { answered, lost, doubled }
    }

    /// Waits until each message has an answer, or for as long as anybody would.
    pub(crate) async fn settled(&self) -> Figures {
        // What is still on its way may be a double. An answer may also come as an edit of one that was shown before.
        let all = self.platform().wait(|it| it.in_flight == 0 && self.figures().lost == 0);
        // Too late is for the figures to tell.
        drop(self.clock.timeout(LIMIT, all).await);
        self.figures()
    }

    /// Waits until `text` was sent.
    pub(crate) async fn settled_text(&self, text: &str) {
        let said = || self.platform().sent(0).iter().any(|it| it.text.contains(text));
        let all = self.platform().wait(|it| it.in_flight == 0 && said());
        self.clock.timeout(LIMIT, all).await.expect("it is sent");
    }

    /// Waits until the platform was told of work oftener than `before`: a run has begun.
    pub(crate) async fn typing_since(&self, before: usize) {
        let more = self.platform().wait(|_| before < self.platform().calls("sendChatAction").len());
        self.clock.timeout(LIMIT, more).await.expect("a run begins");
    }

    /// Prints the figures and holds them to the promise: nothing lost, and doubled only what was in doubt.
    pub(crate) fn check(&self, what: &str, figures: &Figures) {
        let Figures { answered, lost, doubled } = figures;
        let in_doubt = self.in_doubt;
        println!(
            "crash: {what}: answered {answered}, lost {lost}, doubled {doubled}, in doubt {in_doubt}"
        );
        if 0 < *lost || in_doubt < *doubled {
            println!("{}", self.tail());
        }
        assert_eq!(*lost, 0, "{what}");
        assert!(*doubled <= in_doubt, "{what}: {figures:?}, in doubt {in_doubt}");
    }

    /// Waits until a gateway has said `text`.
    pub(crate) async fn heard(&self, text: &str) {
        let said = async {
            while !std::fs::read_to_string(self.log()).unwrap_or_default().contains(text) {
                self.clock.sleep(LOOK_AGAIN).await;
            }
        };
        self.clock.timeout(LIMIT, said).await.expect("the gateway says so");
    }

    /// The end of what the gateways said.
    pub(crate) fn tail(&self) -> String {
        let text = std::fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }
}

impl Gateway {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        Clock::System.timeout(LIMIT, self.child.wait()).await.expect("it ends").unwrap()
    }
}

fn marker(n: usize) -> String {
    format!("marker-{n}.")
}

fn is_marker(word: &str) -> bool {
    word.starts_with("marker-") && word.ends_with('.')
}

/// Random numbers that can be had again by their seed (SplitMix64).
pub(crate) struct Dice(u64);

impl Dice {
    /// Seeded by `NGB_TEST_SEED`, else by the time; the seed is printed.
    pub(crate) fn roll_out(what: &str) -> Self {
        let set = std::env::var_os("NGB_TEST_SEED").and_then(|it| it.to_str()?.parse().ok());
        let seed = set.unwrap_or_else(|| Clock::System.now().0.unsigned_abs());
        println!("crash: {what}: NGB_TEST_SEED={seed}");
        Self(seed)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % end
    }

    pub(crate) fn millis(&mut self, end: u64) -> Duration {
        Duration::from_millis(self.below(end))
    }
}
