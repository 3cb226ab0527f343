//! An agent, a real broker and the model simulator.

use futures_util::future::join_all;
use ngb_broker::{
    Allowed, Amount, Auth, Broker, BrokerConfig, Caps, Client, Credential, Current, Door, Provider,
    Purse, WayOut,
};
use ngb_core::{
    clock::{Clock, Timestamp},
    frame::{ModelSpec, Outcome, ProviderKind, SessionMark},
    id::{GroupId, LaneId, RunId},
    proxy::Way,
    role::Role,
    secret::Secret,
};
use ngb_sim::model::ModelServer;

use crate::process::{Agent, workspace};

pub(crate) const KEY: &str = "sk-planted-0123456789";

pub(crate) const KINDS: [(ProviderKind, Auth); 3] = [
    (ProviderKind::Anthropic, Auth::XApiKey),
    (ProviderKind::OpenAi, Auth::Bearer),
    (ProviderKind::Ollama, Auth::Bearer),
];

/// An agent with its broker and its model.
pub(crate) struct Kitchen {
    pub(crate) agent: Agent,
    pub(crate) sim: ModelServer,
    pub(crate) door: Door,
    pub(crate) spec: ModelSpec,
    pub(crate) mark: Option<SessionMark>,
    driver: Vec<String>,
    _sockets: tempfile::TempDir,
}

pub(crate) fn current(tokens_left: Option<u64>) -> Option<Current> {
    let model = Some(Allowed { provider: "sim".into(), model: "sim-1".into(), price: None });
    let purse = Purse::default();
    let caps = Caps { tokens: tokens_left, micros: None };
    purse.renew(Timestamp(0), caps, Amount::default());
    Some(Current { run: RunId(1), model, role: Role::Member, purse, rules: Default::default() })
}

impl Kitchen {
    pub(crate) async fn open(kind: ProviderKind, auth: Auth) -> Self {
        Self::with(&["builtin"], kind, auth).await
    }

    /// One whose broker adds credentials.
    pub(crate) async fn reaching(credentials: Vec<Credential>) -> Self {
        Self::of(&["builtin"], KINDS[0].0, KINDS[0].1, credentials).await
    }

    /// One whose agent has another driver, with what it needs.
    pub(crate) async fn with(driver: &[&str], kind: ProviderKind, auth: Auth) -> Self {
        Self::of(driver, kind, auth, Vec::new()).await
    }

    async fn of(
        driver: &[&str],
        kind: ProviderKind,
        auth: Auth,
        credentials: Vec<Credential>,
    ) -> Self {
        rustls::crypto::ring::default_provider().install_default().ok();
        let plain = || reqwest::Client::builder().no_proxy();
        let sim = ModelServer::start().await.unwrap();
        sim.behave(|it| it.key = Some(KEY.into()));
        let sockets = tempfile::tempdir().unwrap();
        let base_url = match kind {
            ProviderKind::OpenAi => format!("{}/v1", sim.url()),
            _ => sim.url(),
        };
        let provider = Provider {
            name: "sim".into(),
            kind,
            base_url,
            api_key: Some(Secret::new(KEY)),
            auth,
            headers: Vec::new(),
            http: Client::of_model(plain(), Way::direct()).unwrap(),
        };
        let config = BrokerConfig {
            dir: sockets.path().join("broker"),
            providers: vec![provider],
            way_out: WayOut { credentials, ..WayOut::new(plain, &Way::direct()).unwrap() },
        };
        let broker = Broker::new(config, Clock::System).unwrap();
        let door = broker.open(LaneId(1), GroupId(1)).unwrap();
        door.admit(current(None));
        let dir = workspace();
        let socket = dir.path().join("broker/broker.sock");
        std::os::unix::fs::symlink(door.dir().join("broker.sock"), socket).unwrap();
        let agent = Agent::start(driver, dir).await;
        let spec = ModelSpec {
            provider: "sim".into(),
            kind,
            model: "sim-1".into(),
            window_tokens: 100_000,
            max_output_tokens: 2_000,
        };
        let driver = driver.iter().map(ToString::to_string).collect();
        Self { agent, sim, door, spec, mark: None, driver, _sockets: sockets }
    }

    pub(crate) async fn all() -> Vec<Self> {
        join_all(KINDS.map(|(kind, auth)| Self::open(kind, auth))).await
    }

    pub(crate) async fn outcome(&mut self, text: &str) -> Outcome {
        self.agent.ask(text, self.mark.clone(), Some(self.spec.clone())).await;
        let (_, outcome, mark) = self.agent.done().await;
        self.mark = mark;
        outcome
    }

    pub(crate) async fn ask(&mut self, text: &str) -> String {
        match self.outcome(text).await {
            Outcome::Answered { text } => text,
            other => panic!("{:?}: {text}: {other:?}", self.spec.kind),
        }
    }

    pub(crate) async fn restart(&mut self) {
        let driver: Vec<&str> = self.driver.iter().map(String::as_str).collect();
        self.agent = Agent::start(&driver, self.agent.dir.clone()).await;
    }

    pub(crate) fn path(&self, path: &str) -> std::path::PathBuf {
        self.agent.dir.path().join(path)
    }
}
