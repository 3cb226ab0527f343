//! WeCom's API for one app, one robot and one AI bot, on a real socket, with faults by script; its callbacks are encrypted
//! and signed, and its files for the bot are encrypted.
//!
//! It keeps what it knows in memory. `referee/wecom_wechatpy.py` lets `wechatpy` say whether it is right.

mod bot;
mod crypt;
mod http;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
};

use bytes::Bytes;
use ngb_core::{clock::Clock, tasks::Crew};
use serde_json::Value;
use tokio::{net::TcpListener, sync::watch};

pub use self::{
    bot::Stream,
    crypt::{Call, encrypt, encrypt_file},
};
pub use crate::fault::{Fault, How, When};
use crate::{
    call::{Answer, call},
    fault::Faults,
};

/// How a simulated company is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen; port 0 takes a free one.
    pub addr: SocketAddr,
    pub corp_id: String,
    pub agent_id: u64,
    pub secret: String,
    pub token: String,
    pub encoding_aes_key: String,
    pub robot_key: String,
    /// The AI bot, which connects at `ws_url`.
    pub bot_id: String,
    pub bot_secret: String,
    /// Where the faults that come by fraction start from.
    pub seed: u64,
    pub clock: Clock,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            addr: SocketAddr::from(([127, 0, 0, 1], 0)),
            corp_id: "ww1234567890abcdef".into(),
            agent_id: 1_000_002,
            secret: "secret-of-the-simulated-app".into(),
            token: "QDG6eK".into(),
            // Its last character has bits that base64 does not need, as three of four real keys have.
            encoding_aes_key: "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2D".into(),
            robot_key: "693axxx6-7aoc-4bc4-97a0-0ec2sifa5aaa".into(),
            bot_id: "aib-of-the-simulator".into(),
            bot_secret: "secret-of-the-simulated-bot".into(),
            seed: 1,
            clock: Clock::System,
        }
    }
}

/// A running simulator; dropping it closes its sockets.
#[derive(Debug)]
pub struct Server {
    /// What an account takes for `https://qyapi.weixin.qq.com`, without a slash at the end.
    pub url: String,
    /// What an AI bot takes for `wss://openws.work.weixin.qq.com`.
    pub ws_url: String,
    pub company: Company,
    _crew: Crew,
}

/// A handle on the company; cheap to clone.
#[derive(Clone, Debug)]
pub struct Company {
    pub(crate) config: Arc<Config>,
    state: Arc<Mutex<State>>,
    changed: watch::Sender<u64>,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) sent: Vec<Value>,
    pub(crate) files: BTreeMap<String, Bytes>,
    pub(crate) faults: Faults,
    /// Tokens that were given out; the last one counts.
    pub(crate) tokens: Vec<String>,
    pub(crate) next: u64,
    pub(crate) bot: bot::State,
}

impl Server {
    /// # Errors
    ///
    /// When the address can't be bound.
    pub async fn start(config: Config) -> std::io::Result<Self> {
        let listener = TcpListener::bind(config.addr).await?;
        let host = listener.local_addr()?;
        let (url, ws_url) = (format!("http://{host}"), format!("ws://{host}/bot"));
        let state = State {
            sent: Vec::new(),
            files: BTreeMap::new(),
            faults: Faults::new(config.seed),
            tokens: Vec::new(),
            next: 1,
            bot: bot::State::default(),
        };
        let (config, state) = (Arc::new(config), Arc::new(Mutex::new(state)));
        let company = Company { config, state, changed: watch::channel(0).0 };
        let mut crew = Crew::default();
        crew.spawn("wecom simulator", http::accept(listener, company.clone()));
        Ok(Self { url, ws_url, company, _crew: crew })
    }
}

/// Serves until the process ends, for `nanogridbot sim wecom`; `ready` is told where.
///
/// # Errors
///
/// When the address can't be bound.
pub async fn serve(config: Config, ready: impl FnOnce(&Server)) -> anyhow::Result<()> {
    let server = Server::start(config).await?;
    ready(&server);
    std::future::pending().await
}

impl Company {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while holding it")
    }

    /// Sets what goes wrong.
    pub fn fault(&self, fault: Fault) {
        self.lock().faults.add(fault);
    }

    /// What apps and robots sent, in order.
    pub fn sent(&self) -> Vec<Value> {
        self.lock().sent.clone()
    }

    /// Returns once what was sent is as `done` wants it.
    pub async fn until_sent(&self, mut done: impl FnMut(&[Value]) -> bool) {
        let mut changed = self.changed.subscribe();
        loop {
            changed.mark_unchanged();
            if done(&self.lock().sent) || changed.changed().await.is_err() {
                return;
            }
        }
    }

    /// Changes with whatever happens here.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Something was sent.
    pub(crate) fn touch(&self) {
        self.changed.send_modify(|it| *it += 1);
    }

    /// How often a token was asked for.
    pub fn tokens(&self) -> usize {
        self.lock().tokens.len()
    }

    /// Ends the token that was given out last.
    pub fn end_token(&self) {
        self.lock().tokens.push("nobody has this".into());
    }

    /// A file, by the id that it is fetched with.
    pub fn upload(&self, bytes: impl Into<Bytes>) -> String {
        let mut state = self.lock();
        state.next += 1;
        let id = format!("media-{}", state.next);
        state.files.insert(id.clone(), bytes.into());
        id
    }

    /// The file with that id.
    pub fn file(&self, id: &str) -> Option<Bytes> {
        self.lock().files.get(id).cloned()
    }

    /// What WeCom posts for `inner`, the elements of a message.
    pub fn call_of(&self, from: &str, inner: &str) -> Call {
        let at = self.config.clock.now().0 / 1000;
        let corp = &self.config.corp_id;
        let xml = format!(
            "<xml><ToUserName><![CDATA[{corp}]]></ToUserName><FromUserName><![CDATA[{from}]]></FromUserName>\
             <CreateTime>{at}</CreateTime>{inner}<AgentID>{}</AgentID></xml>",
            self.config.agent_id
        );
        encrypt(&self.config, &xml)
    }

    /// Somebody writes a text; what WeCom posts for it.
    pub fn text(&self, from: &str, id: &str, text: &str) -> Call {
        let inner = format!(
            "<MsgType><![CDATA[text]]></MsgType><Content><![CDATA[{text}]]></Content><MsgId>{id}</MsgId>"
        );
        self.call_of(from, &inner)
    }

    /// Posts a call.
    ///
    /// # Errors
    ///
    /// When there is no answer.
    pub async fn post(&self, hook: &str, it: &Call) -> anyhow::Result<Answer> {
        let url = format!("{hook}?{}", it.query);
        call("POST", &url, &[("content-type", "text/xml")], it.body.clone().into()).await
    }

    /// Checks the address of a callback, as the console does when it is saved.
    ///
    /// # Errors
    ///
    /// When it does not say the words back.
    pub async fn verify(&self, hook: &str) -> anyhow::Result<()> {
        const WORDS: &str = "1616140317555161061";
        let it = encrypt(&self.config, WORDS);
        let got = call("GET", &format!("{hook}?{}", it.echo), &[], Bytes::new()).await?;
        anyhow::ensure!(
            (got.status, got.body.as_str()) == (200, WORDS),
            "openapi回调地址请求不通过: {got:?}"
        );
        Ok(())
    }
}
