//! A real agent process with its folders, and the gateway's end of its streams.

use std::{process::Stdio, time::Duration};

use ngb_core::{
    clock::{Clock, Timestamp},
    frame::{
        self, CallOutcome, FrameReader, FromAgent, HostCall, ModelSpec, Outcome, Prompt, PromptId,
        PromptMessage, SessionMark, Step, ToAgent,
    },
    role::Role,
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::BufReader,
    process::{Child, ChildStdin, ChildStdout},
};

/// Longest wait for a frame; a test that needs it has failed.
const PATIENCE: Duration = Duration::from_secs(45);

pub(crate) struct Agent {
    pub(crate) child: Child,
    pub(crate) dir: std::sync::Arc<TempDir>,
    /// How this gateway answers calls.
    pub(crate) host: fn(&HostCall) -> CallOutcome,
    /// What prompts say of the group's tools.
    pub(crate) toolbox: ngb_core::toolbox::Toolbox,
    /// Every frame that the agent sent, as text, to search it for what must not be there.
    pub(crate) seen: Vec<FromAgent>,
    to: Option<ChildStdin>,
    from: FrameReader<BufReader<ChildStdout>>,
    last: i64,
}

pub(crate) fn workspace() -> std::sync::Arc<TempDir> {
    let dir = tempfile::tempdir().unwrap();
    for name in ["group", "lane", "broker"] {
        std::fs::create_dir(dir.path().join(name)).unwrap();
    }
    std::sync::Arc::new(dir)
}

const EXECUTABLE: &str = env!("CARGO_BIN_EXE_ngb-agent");

impl Agent {
    #[expect(clippy::disallowed_methods, reason = "the agent is tested as the process that it is")]
    pub(crate) async fn start(driver: &[&str], dir: std::sync::Arc<TempDir>) -> Self {
        let mut child = tokio::process::Command::new(EXECUTABLE)
            .arg("--driver")
            .args(driver)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("NGB_WORKSPACE", dir.path())
            // By it `scripts/test` finds what an agent that was killed left behind.
            .envs(std::env::var_os("NGB_TEST_RUN").map(|it| ("NGB_TEST_RUN", it)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let to = child.stdin.take();
        let from = FrameReader::new(BufReader::new(child.stdout.take().unwrap()));
        let host = |_: &HostCall| CallOutcome::Ok { value: Value::Null };
        let mut agent = Self {
            child,
            dir,
            host,
            toolbox: Default::default(),
            seen: Vec::new(),
            to,
            from,
            last: 0,
        };
        assert_eq!(agent.next().await, Some(FromAgent::Ready { protocol: frame::PROTOCOL }));
        agent
    }

    pub(crate) async fn next(&mut self) -> Option<FromAgent> {
        let frame = Clock::System.timeout(PATIENCE, self.from.next::<FromAgent>()).await;
        let frame = frame.expect("a frame in time").unwrap();
        self.seen.extend(frame.clone());
        frame
    }

    pub(crate) async fn send(&mut self, frame: ToAgent) {
        frame::write(self.to.as_mut().unwrap(), &frame).await.unwrap();
    }

    pub(crate) async fn send_raw(&mut self, line: &str) {
        use tokio::io::AsyncWriteExt as _;
        self.to.as_mut().unwrap().write_all(line.as_bytes()).await.unwrap();
    }

    /// Closes the agent's input.
    pub(crate) fn hang_up(&mut self) {
        self.to = None;
    }

    pub(crate) async fn ask(
        &mut self,
        text: &str,
        session: Option<SessionMark>,
        model: Option<ModelSpec>,
    ) -> PromptId {
        self.last += 1;
        let id = PromptId(self.last);
        let toolbox = self.toolbox.clone();
        let prompt = Prompt { toolbox, ..prompt(id, text, session, model) };
        self.send(ToAgent::Prompt(Box::new(prompt))).await;
        id
    }

    /// Reads frames, and answers calls, until one is the one that is waited for.
    pub(crate) async fn until<T>(&mut self, mut want: impl FnMut(&FromAgent) -> Option<T>) -> T {
        loop {
            let frame = self.next().await.expect("the agent goes on");
            if let Some(it) = want(&frame) {
                return it;
            }
            let (call, outcome) = match frame {
                FromAgent::Effect { call, .. } => (call, CallOutcome::Ok { value: Value::Null }),
                FromAgent::Call { call, what, .. } => (call, (self.host)(&what)),
                _ => continue,
            };
            self.send(ToAgent::CallResult { call, outcome }).await;
        }
    }

    pub(crate) async fn done(&mut self) -> (PromptId, Outcome, Option<SessionMark>) {
        self.until(|frame| match frame {
            FromAgent::Done { prompts, outcome, session } => {
                Some((prompts[0], outcome.clone(), session.clone()))
            }
            _ => None,
        })
        .await
    }

    /// The text of the next answer.
    pub(crate) async fn answer(&mut self) -> String {
        match self.done().await.1 {
            Outcome::Answered { text } => text,
            other => panic!("not answered: {other:?}"),
        }
    }

    /// Waits until a step is shown that fits.
    pub(crate) async fn step(&mut self, fits: impl Fn(&Step) -> bool) {
        self.until(|frame| match frame {
            FromAgent::Progress { step, .. } if fits(step) => Some(()),
            _ => None,
        })
        .await;
    }
}

pub(crate) fn prompt(
    id: PromptId,
    text: &str,
    session: Option<SessionMark>,
    model: Option<ModelSpec>,
) -> Prompt {
    let now = Timestamp(1_795_365_000_042);
    let message = |text: &str, engaged| PromptMessage {
        sender: "Ann".into(),
        sender_id: "u1".into(),
        role: Role::Member,
        text: text.into(),
        sent_at: now,
        reply_to: None,
        files: Vec::new(),
        engaged,
    };
    Prompt {
        id,
        messages: vec![message(text, true)],
        role: Role::Member,
        place: "Kitchen".into(),
        now,
        zone: "Europe/Zurich".into(),
        session,
        resumed: None,
        toolbox: ngb_core::toolbox::Toolbox::default(),
        model,
    }
}
