//! What is measured: the real executable or the floor, each with simulators of its own.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use ngb_sim::{
    model::ModelServer,
    telegram::{self, Draft, Server},
};
use serde_json::{Value, json};

/// Longest wait for anything; whatever takes longer is broken.
const LIMIT: Duration = Duration::from_secs(120);

/// Pause between two messages of which only one is under way, so that one's last commit isn't the next one's delay.
const PAUSE: Duration = Duration::from_millis(5);

/// Where the executables are.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    pub(crate) gateway: PathBuf,
    pub(crate) floor: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Gateway,
    Floor,
}

/// A program under measurement.
pub(crate) struct Subject {
    kind: Kind,
    program: PathBuf,
    pub(crate) home: PathBuf,
    pub(crate) telegram: Server,
    pub(crate) model: ModelServer,
    child: Option<Child>,
    said: u64,
}

impl Subject {
    pub(crate) async fn new(
        kind: Kind,
        programs: &Programs,
        home: PathBuf,
    ) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&home)?;
        let telegram = Server::start(telegram::Config::default()).await?;
        telegram.platform.log_calls(false);
        let model = ModelServer::start().await?;
        model.behave(|it| it.record = false);
        let program = match kind {
            Kind::Gateway => programs.gateway.clone(),
            Kind::Floor => programs.floor.clone(),
        };
        let config = format!(
            "[web]\nport = 0\n[agent]\nmodel = \"sim/model\"\nidle = \"1h\"\n\
             [providers.sim]\nkind = \"anthropic\"\nbase_url = \"{}\"\napi_key = \"bench\"\n\
             [channels.telegram.main]\ntoken = \"{}\"\napi_url = \"{}\"\n",
            model.url(),
            telegram.token,
            telegram.url,
        );
        std::fs::write(home.join("config.toml"), config)?;
        Ok(Self { kind, program, home, telegram, model, child: None, said: 0 })
    }

    /// Starts the program; how long it took to its first `getUpdates`.
    pub(crate) async fn start(&mut self) -> anyhow::Result<Duration> {
        let mut command = Command::new(&self.program);
        match self.kind {
            Kind::Gateway => command.arg("--home").arg(&self.home).arg("serve"),
            Kind::Floor => command
                .args([&self.telegram.url, &self.telegram.token, &self.model.url()])
                .arg(self.home.join("floor.db")),
        };
        let log =
            std::fs::File::options().create(true).append(true).open(self.home.join("output"))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let polls = self.telegram.platform.figures().polls;
        let begun = Instant::now();
        self.child = Some(command.spawn()?);
        self.wait("its first poll", |it| polls < it.polls).await?;
        Ok(begun.elapsed())
    }

    pub(crate) fn pid(&self) -> anyhow::Result<u32> {
        Ok(self.child.as_ref().context("it does not run")?.id())
    }

    /// Ends the program in order, or at once.
    pub(crate) fn stop(&mut self, at_once: bool) -> anyhow::Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        if at_once || self.kind == Kind::Floor {
            child.kill()?;
        } else {
            ensure!(Command::new("kill").arg(child.id().to_string()).status()?.success());
        }
        child.wait()?;
        Ok(())
    }

    async fn wait(
        &self,
        what: &str,
        done: impl Fn(&telegram::Figures) -> bool,
    ) -> anyhow::Result<telegram::Figures> {
        let waited = tokio::time::timeout(LIMIT, self.telegram.platform.wait(done)).await;
        waited.with_context(|| {
            format!("{what} did not come within {LIMIT:?}; see {}", self.home.display())
        })
    }

    /// One message in `chat`; how long until its answer was shown.
    pub(crate) async fn ask(&mut self, chat: i64) -> anyhow::Result<Duration> {
        self.said += 1;
        self.say(chat, &format!("hello {}", self.said)).await
    }

    /// `text` in `chat`; how long until something was said there.
    pub(crate) async fn say(&mut self, chat: i64, text: &str) -> anyhow::Result<Duration> {
        let sent = self.telegram.platform.figures().sent;
        let draft = Draft::text(chat, text);
        let begun = Instant::now();
        self.telegram.platform.push(&[draft]);
        self.wait("an answer", |it| sent < it.sent).await?;
        let took = begun.elapsed();
        tokio::time::sleep(PAUSE).await;
        Ok(took)
    }

    /// `count` messages one after the other, over `chats` in turn.
    pub(crate) async fn ask_in_turn(
        &mut self,
        chats: std::ops::Range<i64>,
        count: usize,
    ) -> anyhow::Result<Vec<Duration>> {
        let mut times = Vec::new();
        for chat in chats.cycle().take(count) {
            times.push(self.ask(chat).await?);
        }
        Ok(times)
    }

    /// Everybody in `chats` writes at the same time, each `count` messages, the next when the answer is there;
    /// how long all of it took.
    pub(crate) async fn ask_all(
        &mut self,
        chats: std::ops::Range<i64>,
        count: usize,
    ) -> anyhow::Result<Duration> {
        let platform = &self.telegram.platform;
        let first = platform.figures().sent;
        let mut left: std::collections::HashMap<i64, usize> =
            chats.clone().map(|it| (it, count - 1)).collect();
        let mut seen = first;
        let want = first + left.len() * count;
        let begun = Instant::now();
        platform.push(&chats.map(|it| Draft::text(it, "hello all")).collect::<Vec<_>>());
        while seen < want {
            self.wait("an answer", |it| seen < it.sent).await?;
            let new = platform.sent(seen);
            seen += new.len();
            let mut next = Vec::new();
            for message in new {
                let left = left.get_mut(&message.chat).context("an answer in another chat")?;
                if 0 < *left {
                    *left -= 1;
                    next.push(Draft::text(message.chat, "hello again"));
                }
            }
            platform.push(&next);
        }
        Ok(begun.elapsed())
    }

    /// A message in `chat` whose run doesn't end by itself.
    pub(crate) async fn occupy(&mut self, chat: i64) -> anyhow::Result<()> {
        let draft = Draft::text(chat, "tool:bash {\"command\":\"sleep 3600\"}");
        self.telegram.platform.push(&[draft]);
        let asked = async {
            // The model has been asked once its first answer, the call of the tool, is counted.
            let requests = || self.model.totals().values().map(|it| it.requests).sum::<u64>();
            let before = requests();
            while requests() == before {
                tokio::time::sleep(PAUSE).await;
            }
        };
        tokio::time::timeout(LIMIT, asked).await.context("the run did not begin")
    }

    /// `count` messages in `chat`, pushed at once; how long until all are confirmed, which is when they are on disk.
    pub(crate) async fn flood(&mut self, chat: i64, count: usize) -> anyhow::Result<Duration> {
        let drafts: Vec<Draft> =
            (0..count).map(|n| Draft::text(chat, format!("flood {n}"))).collect();
        let begun = Instant::now();
        self.telegram.platform.push(&drafts);
        self.wait("the last confirmation", |it| it.pending == 0).await?;
        Ok(begun.elapsed())
    }

    /// Makes a group of its own for each chat.
    pub(crate) async fn groups(&self, chats: std::ops::Range<i64>) -> anyhow::Result<()> {
        let socket = self.home.join("gateway.sock");
        // The channels start before the API does.
        let listens = async {
            while tokio::net::UnixStream::connect(&socket).await.is_err() {
                tokio::time::sleep(PAUSE).await;
            }
        };
        tokio::time::timeout(LIMIT, listens).await.context("the API did not come up")?;
        let api = Api::new(&socket)?;
        for chat in chats {
            let name = format!("chat{chat}");
            api.call("POST", "/api/groups", json!({"name": name})).await?;
            let limits = json!({"limits": {"runs_per_day": 1_000_000}});
            api.call("PATCH", &format!("/api/groups/{name}"), limits).await?;
            let binding = json!({"jid": format!("telegram:{chat}"), "engage": "always", "scope": "chat", "queue": {"max_waiting": 100_000}});
            api.call("POST", &format!("/api/groups/{name}/bindings"), binding).await?;
        }
        Ok(())
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // What lives on would disturb the next figure; there is nobody to tell.
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// The gateway's API on its local socket.
pub(crate) struct Api {
    http: reqwest::Client,
}

impl Api {
    pub(crate) fn new(socket: &Path) -> anyhow::Result<Self> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        let builder = reqwest::Client::builder().tls_backend_preconfigured(tls).no_proxy();
        Ok(Self { http: builder.unix_socket(socket).build()? })
    }

    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        Ok(self.http.get(format!("http://localhost{path}")).send().await?.json().await?)
    }

    async fn call(&self, method: &str, path: &str, body: Value) -> anyhow::Result<()> {
        let method = reqwest::Method::from_bytes(method.as_bytes())?;
        let request = self.http.request(method, format!("http://localhost{path}")).json(&body);
        let answer = request.send().await?;
        let status = answer.status();
        ensure!(status.is_success(), "{path}: {status}: {}", answer.text().await?);
        Ok(())
    }
}
