//! A whole gateway with fakes at its seams: a platform that is a script, an agent that is a closure.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use async_trait::async_trait;
use ngb_broker::{Broker, BrokerConfig, WayOut};
use ngb_channels::{
    Accepted, Answer, Channel, ChannelError, Delivery, Inbox, Intake, MediaStream, Pulse, Question,
    Retry,
};
use ngb_core::{
    address::{Account, Jid, Place},
    clock::{Clock, Timestamp},
    driver::Driver,
    frame::{self, FrameReader, FromAgent, Outcome, Prompt, PromptId, SessionMark, ToAgent},
    group::{Engage, Exceptions, Scope, Senders},
    id::GroupId,
    message::{
        Addressed, ChatFacts, ChatKind, Content, Happening, Inbound, MediaRef, Outbound, Profile,
        Returns, Sender, Sent,
    },
    price::Prices,
    proxy::Way,
    queue::Queue,
    route::NewChats,
    tasks::Tasks,
    text::{Limit, Unit},
};
use ngb_gateway::{
    Gateway, Parts, RunLimits, Running,
    accounts::Configured,
    alerts::AlertSettings,
    answers::Answers,
    canary::Canary,
    desk::Desk,
    dispatch::Caps,
    events::{Event, Next, Subscription},
    handle::{Bind, SandboxState},
    plugins::{Given, Keeper, KnownPlugin},
    programs::Programs,
    retention::Retention,
};
use ngb_plugins::chain::Chain;
use ngb_sandbox::{Sandbox, fake::Fake};
use ngb_store::{OpenOptions, Store};
use tempfile::TempDir;
use tokio::{
    io::BufReader,
    sync::{mpsc, watch},
};
use tokio_util::sync::CancellationToken;

/// A platform whose users are the test.
pub(crate) struct Platform {
    profile: Profile,
    inbox: watch::Sender<Option<Inbox>>,
    /// What its account knows of its line.
    pub(crate) pulse: watch::Sender<Option<Pulse>>,
    said: mpsc::UnboundedSender<(Place, Outbound)>,
    /// How often it was told that an answer is being made.
    pub(crate) typing: watch::Sender<usize>,
    /// What the next sends fail with, the last one first.
    pub(crate) faults: Mutex<Vec<Retry>>,
    /// Whether what fails may have been done all the same.
    pub(crate) maybe_done: AtomicBool,
    /// How many of the next sends panic.
    pub(crate) panics: AtomicUsize,
    next: Mutex<u64>,
}

#[async_trait]
impl Channel for Platform {
    fn profile(&self) -> &Profile {
        &self.profile
    }

    async fn receive(&self, intake: &mut Intake) -> Result<(), ChannelError> {
        self.inbox.send_replace(Some(intake.inbox.clone()));
        self.pulse.send_replace(Some(intake.pulse.clone()));
        intake.pulse.beat(Timestamp(0));
        intake.stop.cancelled().await;
        Ok(())
    }

    async fn send(&self, delivery: &Delivery<'_>) -> Result<Sent, ChannelError> {
        if let Outbound::Typing = delivery.item {
            self.typing.send_modify(|it| *it += 1);
            return Ok(Sent::default());
        }
        let left = self.panics.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1));
        assert!(left.is_err(), "a planted panic");
        if let Some(retry) = self.faults.lock().unwrap().pop() {
            let source = "the platform is away".into();
            let doing = format!("send to `{}`", delivery.to);
            let maybe_done = self.maybe_done.load(Relaxed);
            return Err(ChannelError { doing, retry, maybe_done, moved_to: None, source });
        }
        self.said.send((delivery.to.clone(), delivery.item.clone())).unwrap();
        Ok(Sent { platform_id: Some(format!("p-{}", delivery.key)) })
    }

    /// Each file holds its own reference.
    async fn fetch(&self, media: &MediaRef) -> Result<MediaStream, ChannelError> {
        let bytes = media.reference.clone().into_bytes().into();
        Ok(Box::pin(futures_util::stream::iter([Ok(bytes)])))
    }

    async fn ask(&self, _: &Question) -> Result<Answer, ChannelError> {
        Ok(Answer::CanNot)
    }
}

/// The agent's side of one process: it hears prompts and answers.
pub(crate) struct Actor {
    reader: FrameReader<BufReader<tokio::io::ReadHalf<tokio::io::DuplexStream>>>,
    writer: tokio::io::WriteHalf<tokio::io::DuplexStream>,
}

impl Actor {
    async fn new(io: tokio::io::DuplexStream) -> Self {
        let (reader, writer) = tokio::io::split(io);
        let mut actor = Self { reader: FrameReader::new(BufReader::new(reader)), writer };
        actor.say(&FromAgent::Ready { protocol: frame::PROTOCOL }).await;
        actor
    }

    pub(crate) async fn say(&mut self, frame: &FromAgent) {
        // The gateway may have gone; then the script ends at its next read.
        drop(frame::write(&mut self.writer, frame).await);
    }

    pub(crate) async fn hear(&mut self) -> Option<ToAgent> {
        self.reader.next().await.unwrap_or(None)
    }

    pub(crate) async fn done(&mut self, prompt: PromptId, text: &str) {
        let outcome = Outcome::Answered { text: text.to_owned() };
        let session = Some(SessionMark { id: "s".into(), entries: 1 });
        self.say(&FromAgent::Done { prompts: vec![prompt], outcome, session }).await;
    }
}

/// What is to be answered of a prompt, joined.
pub(crate) fn asked(prompt: &Prompt) -> String {
    let engaged: Vec<&str> =
        prompt.messages.iter().filter(|it| it.engaged).map(|it| it.text.as_str()).collect();
    engaged.join("+")
}

/// Makes the engine of a home.
pub(crate) type Engine = fn(&std::path::Path) -> Arc<dyn Sandbox>;

/// How a stage is set.
pub(crate) struct Setting {
    pub(crate) max_runs: usize,
    pub(crate) retry_base: Duration,
    pub(crate) clock: Clock,
    /// How many starts of a sandbox panic.
    pub(crate) panics: usize,
    /// Why no sandbox can be had; none where it can.
    pub(crate) refused: Option<&'static str>,
    /// Whether the sandbox's engine is away at first.
    pub(crate) away: bool,
    /// Whether the platform has buttons.
    pub(crate) buttons: bool,
    /// Who is asked about messages and runs.
    pub(crate) plugins: Chain,
    pub(crate) alerts: AlertSettings,
    /// What stands under a message that is worked on.
    pub(crate) ack_reaction: Option<&'static str>,
    pub(crate) canary: Option<Canary>,
    /// What the platform gives back of what is sent.
    pub(crate) returns: Returns,
    /// Where the agents run for real; none has them be the script.
    pub(crate) sandbox: Option<Engine>,
}

impl Default for Setting {
    fn default() -> Self {
        Self {
            max_runs: 16,
            retry_base: Duration::from_millis(1),
            clock: Clock::System,
            panics: 0,
            refused: None,
            away: false,
            buttons: true,
            plugins: Chain::default(),
            // The machine of the test may be short of anything.
            alerts: AlertSettings { short_percent: 0, ..AlertSettings::default() },
            ack_reaction: None,
            canary: None,
            returns: Returns::Nothing,
            sandbox: None,
        }
    }
}

/// Plugins that a test puts in a row.
#[derive(Default)]
pub(crate) struct Row(Mutex<Chain>);

impl Row {
    pub(crate) fn put(&self, chain: Chain) {
        *self.0.lock().unwrap() = chain;
    }

    fn now(&self) -> Chain {
        self.0.lock().unwrap().clone()
    }
}

#[async_trait::async_trait]
impl Keeper for Row {
    fn known(&self) -> Vec<KnownPlugin> {
        Vec::new()
    }

    fn check(&self, _: &str, _: &serde_json::Value) -> Result<(), String> {
        Ok(())
    }

    fn take(&self, _: BTreeMap<String, serde_json::Value>) {}

    fn chain(&self) -> (Chain, BTreeMap<String, String>) {
        let chain = self.now();
        // Whoever changes it meanwhile is not to be overwritten by what was read before.
        std::thread::yield_now();
        (chain, BTreeMap::new())
    }

    async fn reload(&self, _: &str) -> Result<(), String> {
        Ok(())
    }
}

/// Everything that a test touches.
pub(crate) struct Stage {
    pub(crate) plugins: Arc<Row>,
    pub(crate) gateway: Gateway,
    pub(crate) platform: Arc<Platform>,
    /// Where installed plugins ask for things.
    pub(crate) desk: Arc<Desk>,
    said: mpsc::UnboundedReceiver<(Place, Outbound)>,
    drain: CancellationToken,
    life: Option<tokio::task::JoinHandle<ngb_core::tasks::Stopped>>,
    home: Arc<TempDir>,
    /// What is known of the engine.
    pub(crate) engine: watch::Sender<SandboxState>,
    pub(crate) probe: ngb_sandbox::Probe,
}

/// An engine that does not answer since then.
pub(crate) fn away(since: Timestamp) -> SandboxState {
    SandboxState::Away { why: "it is away".into(), remedy: String::new(), since }
}

impl Stage {
    /// Starts a gateway whose agents are `script`, called once per process.
    pub(crate) async fn set<F, Done>(setting: Setting, script: F) -> Self
    where
        F: Fn(Actor) -> Done + Send + Sync + Clone + 'static,
        Done: Future<Output = ()> + Send + 'static,
    {
        Self::on(Arc::new(TempDir::new().unwrap()), setting, script).await
    }

    #[expect(clippy::disallowed_methods, reason = "a test owns its gateway's life")]
    pub(crate) async fn on<F, Done>(home: Arc<TempDir>, setting: Setting, script: F) -> Self
    where
        F: Fn(Actor) -> Done + Send + Sync + Clone + 'static,
        Done: Future<Output = ()> + Send + 'static,
    {
        // Two are possible in one test process; the first stays.
        drop(rustls::crypto::ring::default_provider().install_default());
        let clock = setting.clock;
        let store = Store::open(OpenOptions {
            url: format!("sqlite://{}/db", home.path().display()),
            backups_dir: home.path().join("backups"),
            node: "test".into(),
            clock: clock.clone(),
        })
        .await
        .unwrap();
        let row = Arc::new(Row::default());
        row.put(setting.plugins);
        let (said_tx, said) = mpsc::unbounded_channel();
        let platform = Arc::new(Platform {
            profile: Profile {
                account: Account::new(ngb_core::address::ChannelKind::Telegram, "main").unwrap(),
                text_limit: Limit { max: 4096, unit: Unit::Utf16 },
                threads: true,
                edits: true,
                edit_interval: Duration::from_millis(1_500),
                typing: true,
                buttons: setting.buttons,
                live_buttons: setting.buttons,
                max_file_bytes: 1 << 20,
                reactions: ngb_core::reaction::Reactions::Any,
                idempotent_sends: false,
                webhook: false,
                returns: setting.returns,
            },
            inbox: watch::Sender::new(None),
            pulse: watch::Sender::new(None),
            said: said_tx,
            typing: watch::Sender::new(0),
            faults: Mutex::default(),
            maybe_done: AtomicBool::new(false),
            panics: AtomicUsize::new(0),
            next: Mutex::new(0),
        });
        let panics = AtomicUsize::new(setting.panics);
        let real = setting.sandbox.map(|it| it(home.path()));
        let fake = Fake::new(move |_, io| {
            let left = panics.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1));
            assert!(left.is_err(), "a planted panic");
            let script = script.clone();
            async move {
                script(Actor::new(io).await).await;
                0
            }
        });
        let sandbox = real.unwrap_or_else(|| Arc::new(fake));
        let state = match setting.refused {
            Some(why) => SandboxState::Refused { why: why.into(), remedy: String::new() },
            None if setting.away => away(clock.now()),
            None => SandboxState::Ready(sandbox.probe().await.unwrap()),
        };
        let probe = sandbox.probe().await.unwrap();
        let (engine, sandbox_state) = watch::channel(state);
        let broker = BrokerConfig {
            dir: home.path().join("broker"),
            providers: Vec::new(),
            way_out: WayOut::new(reqwest::Client::builder, &Way::direct()).unwrap(),
        };
        let channel: Arc<dyn Channel> = platform.clone();
        let desk = Desk::new(clock.clone());
        let Running { gateway, tasks } = ngb_gateway::start(Parts {
            broker: Broker::new(broker, clock.clone()).unwrap(),
            home: home.path().to_owned(),
            accounts: vec![Configured {
                channel,
                new_chats: NewChats::Ask,
                ack_reaction: setting.ack_reaction.map(str::to_owned),
                canary: setting.canary,
                fingerprint: "1".into(),
            }],
            account_book: None,
            sandbox: watch::channel(Some(sandbox)).1,
            sandbox_state,
            limits: RunLimits {
                idle: Duration::from_secs(60),
                retry_base: setting.retry_base,
                zone: "UTC".into(),
                prices: Prices::default(),
                window_tokens: 100_000,
                max_output_tokens: 8_192,
            },
            answers: Answers { driver: Driver::Demo, model: None },
            programs: Programs::default(),
            model_book: None,
            caps: Caps { max_runs: setting.max_runs, max_live_bytes: 1 << 40 },
            retention: Retention::default(),
            plugins: Given { chain: row.now(), keeper: Some(row.clone()), ..Given::default() },
            desk: desk.clone(),
            alerts: setting.alerts,
            scheduler: true,
            version: "test",
            store,
            clock,
        })
        .await
        .unwrap();
        let drain = tasks.drain.clone();
        let life = tokio::spawn(Self::live(tasks));
        let life = Some(life);
        Self { plugins: row, gateway, platform, desk, said, drain, life, home, engine, probe }
    }

    async fn live(tasks: Tasks) -> ngb_core::tasks::Stopped {
        tasks.run(&Clock::System, Duration::from_secs(10)).await
    }

    pub(crate) fn home(&self) -> &std::path::Path {
        self.home.path()
    }

    /// Makes a group that answers everything in `chat`.
    pub(crate) async fn group(&self, name: &str, chat: &str, scope: Scope) -> GroupId {
        self.group_with(name, chat, scope, Queue::default()).await
    }

    /// The same, with messages that wait so.
    pub(crate) async fn group_with(
        &self,
        name: &str,
        chat: &str,
        scope: Scope,
        queue: Queue,
    ) -> GroupId {
        let group = match self.gateway.group(name) {
            Ok(group) => group.id,
            Err(_) => self.gateway.add_group(name, None, false).await.unwrap(),
        };
        let place = place(chat);
        let (engage, senders) = (Engage::Always, Senders::Everyone);
        let exceptions = Exceptions::default();
        self.gateway
            .bind(Bind { place, group, engage, scope, senders, queue, exceptions })
            .await
            .unwrap();
        group
    }

    /// Somebody writes; it is on disk when this returns.
    pub(crate) async fn write(&self, chat: &str, text: &str) -> Accepted {
        self.write_all(vec![self.message(chat, text)]).await[0]
    }

    pub(crate) fn message(&self, chat: &str, text: &str) -> Inbound {
        let n = {
            let mut next = self.platform.next.lock().unwrap();
            *next += 1;
            *next
        };
        Inbound {
            event_key: n.to_string(),
            place: place(chat),
            chat: ChatFacts { kind: ChatKind::Direct, title: chat.into() },
            sender: Sender { id: format!("u{chat}"), name: format!("Ann {chat}"), is_bot: false },
            sent_at: Timestamp(0),
            what: Happening::Message(Content {
                platform_id: n.to_string(),
                text: text.into(),
                addressed: Addressed::Direct,
                ..Content::default()
            }),
        }
    }

    pub(crate) async fn write_all(&self, events: Vec<Inbound>) -> Vec<Accepted> {
        let mut inbox = self.platform.inbox.subscribe();
        let inbox = inbox.wait_for(Option::is_some).await.unwrap().clone().unwrap();
        inbox.accept_all(events).await.unwrap()
    }

    /// Watches runs from now on.
    pub(crate) fn runs(&self) -> Runs {
        Runs(self.gateway.hub().subscribe(None))
    }

    /// The next thing that is said anywhere.
    pub(crate) async fn item(&mut self) -> (Place, Outbound) {
        let next = Clock::System.timeout(Duration::from_secs(20), self.said.recv()).await;
        next.expect("something is said within 20 s").expect("the platform lives")
    }

    /// The next thing that is said anywhere: chat and text.
    pub(crate) async fn heard(&mut self) -> (String, String) {
        let (place, item) = self.item().await;
        let text = match item {
            Outbound::Text { text, .. } | Outbound::Edit { text, .. } => text,
            other => format!("{other:?}"),
        };
        (place.jid.chat().to_owned(), text)
    }

    /// What is said next within `limit`, if anything.
    pub(crate) async fn heard_within(&mut self, limit: Duration) -> Option<(String, String)> {
        let (place, item) = Clock::System.timeout(limit, self.said.recv()).await.ok()??;
        let Outbound::Text { text, .. } = item else { return None };
        Some((place.jid.chat().to_owned(), text))
    }

    /// The next `n` things, by chat.
    pub(crate) async fn heard_by_chat(&mut self, n: usize) -> HashMap<String, Vec<String>> {
        let mut all: HashMap<String, Vec<String>> = HashMap::new();
        for _ in 0..n {
            let (chat, text) = self.heard().await;
            all.entry(chat).or_default().push(text);
        }
        all
    }

    /// The message with that text.
    pub(crate) async fn message_id(&self, text: &str) -> ngb_core::id::MessageId {
        let filter = ngb_store::MessageFilter { limit: 100, ..Default::default() };
        let all = self.gateway.store().messages(filter).await.unwrap();
        all.iter().find(|it| it.content.text == text).unwrap().id
    }

    /// Whether nothing more was said so far.
    pub(crate) fn is_quiet(&mut self) -> bool {
        self.said.try_recv().is_err()
    }

    /// The home, for a gateway after this one.
    pub(crate) fn keep(&self) -> Arc<TempDir> {
        self.home.clone()
    }

    /// Drains and stops; everything that was under way is over.
    pub(crate) async fn end(mut self) -> ngb_core::tasks::Stopped {
        self.drain.cancel();
        let stopped = self.life.take().unwrap().await.unwrap();
        self.gateway.store().close().await;
        stopped
    }
}

/// The runs that begin.
pub(crate) struct Runs(Subscription);

impl Runs {
    /// Returns once one is under way.
    pub(crate) async fn begun(&mut self) {
        loop {
            let Next::Events(batch) = self.0.next().await else { continue };
            if batch.iter().any(|it| matches!(it.event, Event::RunStarted { .. })) {
                return;
            }
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Some(life) = &self.life {
            life.abort();
        }
    }
}

pub(crate) fn place(chat: &str) -> Place {
    let jid: Jid = format!("telegram@main:{chat}").parse().unwrap();
    jid.into()
}
