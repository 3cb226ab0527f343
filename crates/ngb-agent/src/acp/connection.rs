//! The process of an agent that speaks ACP, and the connection to it.

use std::{collections::BTreeMap, io, path::Path, time::Duration};

use agent_client_protocol::{
    Agent, Client, Error, Lines,
    schema::ProtocolVersion,
    v1::{
        ConnectionTo, Responder,
        schema::{
            self as acp, InitializeRequest, LoadSessionRequest, McpServerStdio, NewSessionRequest,
            RequestPermissionRequest, RequestPermissionResponse, SessionId, SessionNotification,
            SessionUpdate,
        },
    },
};
use futures_util::{SinkExt, TryStreamExt as _};
use ngb_core::{clock::Clock, tasks::Crew, toolbox::McpServer};
use tokio::sync::{mpsc, oneshot};
use tokio_util::codec::{FramedRead, FramedWrite, LinesCodec, LinesCodecError};

use crate::{
    Folders,
    child::{self, AgentChild},
    host_calls, mcp,
};

/// Longest line that is read, in bytes.
const MAX_LINE_BYTES: usize = 16 * 1024 * 1024;

/// Longest that an agent may take from its start to an open session.
const START_LIMIT: Duration = Duration::from_secs(60);

/// Events that may wait to be looked at; after that, the agent waits.
const MAX_WAITING_EVENTS: usize = 256;

/// What the agent says and asks of its own accord.
pub(super) enum Event {
    Update(Box<SessionUpdate>),
    Permission(Box<(RequestPermissionRequest, Responder<RequestPermissionResponse>)>),
}

/// An agent with an open session. Dropping it kills its process.
pub(super) struct Connection {
    pub(super) to: ConnectionTo<Agent>,
    pub(super) session: SessionId,
    pub(super) events: mpsc::Receiver<Event>,
    /// Whether the session is one of before, whose instructions are not known any more.
    pub(super) is_loaded: bool,
    child: AgentChild,
    _serving: Crew,
}

/// What one is started with.
pub(super) struct Start<'a> {
    /// The program and its arguments.
    pub(super) command: &'a [String],
    pub(super) folders: &'a Folders,
    pub(super) clock: &'a Clock,
    pub(super) variables: Vec<(&'static str, String)>,
    /// The command that does host calls.
    pub(super) host_calls: Vec<String>,
    /// The group's MCP servers.
    pub(super) mcp: &'a BTreeMap<String, McpServer>,
    /// The session to go on with, if the agent can.
    pub(super) session: Option<String>,
}

/// There is no agent to talk to.
#[derive(Debug, thiserror::Error)]
pub(super) enum Gone {
    #[error("could not start `{program}`: {source}")]
    NotStarted { program: String, source: io::Error },
    #[error("the agent opened no session for {START_LIMIT:?}")]
    Silent,
    #[error("the agent refused: {0}")]
    Refused(Error),
    #[error("the agent ended: {0}")]
    Ended(String),
}

impl Connection {
    pub(super) async fn open(start: Start<'_>) -> Result<Self, Gone> {
        let Start { command, folders, clock, variables, host_calls, mcp, session } = start;
        let (program, args) = command.split_first().map_or(("", &[][..]), |(it, rest)| (it, rest));
        let mut process = child::command(Path::new(program), folders);
        process.args(args).envs(variables);
        let not_started = |source| Gone::NotStarted { program: program.to_owned(), source };
        let (mut child, input, output) = AgentChild::spawn(process).map_err(not_started)?;
        let codec = || LinesCodec::new_with_max_length(MAX_LINE_BYTES);
        let lines = Lines::new(
            SinkExt::<String>::sink_map_err(FramedWrite::new(input, codec()), broken),
            FramedRead::new(output, codec()).map_err(broken),
        );
        let (event, events) = mpsc::channel(MAX_WAITING_EVENTS);
        let (connected, connection) = oneshot::channel();
        let mut serving = Crew::default();
        serving.spawn("acp connection", serve(lines, event, connected));
        let Ok(to) = connection.await else {
            return Err(Gone::Ended(child.end().await.unwrap_or_else(|err| err.to_string())));
        };
        let servers = servers(&host_calls, mcp).map_err(not_started)?;
        let opening = open_session(&to, folders, servers, session);
        let (session, is_loaded) = match clock.timeout(START_LIMIT, opening).await {
            Ok(Ok(opened)) => opened,
            Ok(Err(err)) => return Err(Gone::Refused(err)),
            Err(_) => return Err(Gone::Silent),
        };
        let mut it = Self { to, session, events, is_loaded, child, _serving: serving };
        // A session of before is told anew, to whoever shows it; nobody does here.
        while it.events.try_recv().is_ok() {}
        Ok(it)
    }

    /// What became of the process; waits for its end.
    pub(super) async fn end(&mut self) -> Gone {
        Gone::Ended(self.child.end().await.unwrap_or_else(|err| err.to_string()))
    }
}

fn broken(err: LinesCodecError) -> io::Error {
    match err {
        LinesCodecError::MaxLineLengthExceeded => io::Error::other(err),
        LinesCodecError::Io(err) => err,
    }
}

async fn serve(
    lines: impl agent_client_protocol::ConnectTo<Client>,
    event: mpsc::Sender<Event>,
    connected: oneshot::Sender<ConnectionTo<Agent>>,
) {
    let asked = event.clone();
    let ended = Client
        .v1()
        .name("nanogridbot")
        .on_receive_notification(
            async move |notification: SessionNotification, _cx| {
                // Who listened is gone when the process is about to be killed.
                event.send(Event::Update(Box::new(notification.update))).await.ok();
                Ok(())
            },
            agent_client_protocol::on_receive_notification!(),
        )
        .on_receive_request(
            async move |request: RequestPermissionRequest, responder, _cx| {
                asked.send(Event::Permission(Box::new((request, responder)))).await.ok();
                Ok(())
            },
            agent_client_protocol::on_receive_request!(),
        )
        .connect_with(lines, async move |to: ConnectionTo<Agent>| {
            connected.send(to).ok();
            std::future::pending::<Result<(), Error>>().await
        })
        .await;
    if let Err(err) = ended {
        eprintln!("agent: the connection ended: {err}");
    }
}

/// Opens a session; true when it is the one that was asked for.
async fn open_session(
    to: &ConnectionTo<Agent>,
    folders: &Folders,
    servers: Vec<acp::McpServer>,
    before: Option<String>,
) -> Result<(SessionId, bool), Error> {
    let known = to.send_request(InitializeRequest::new(ProtocolVersion::V1)).block_task().await?;
    if let Some(before) = before
        && known.agent_capabilities.load_session
    {
        let session = SessionId::new(before);
        let load =
            LoadSessionRequest::new(session.clone(), &folders.group).mcp_servers(servers.clone());
        match to.send_request(load).block_task().await {
            Ok(_) => return Ok((session, true)),
            // It is gone, or of another agent: a new one begins.
            Err(err) => eprintln!("agent: the session of before can't be used: {err}"),
        }
    }
    let new = NewSessionRequest::new(&folders.group).mcp_servers(servers);
    Ok((to.send_request(new).block_task().await?.session_id, false))
}

/// The host calls and the group's servers, each as a command.
fn servers(
    host_calls: &[String],
    mcp: &BTreeMap<String, McpServer>,
) -> io::Result<Vec<acp::McpServer>> {
    let stdio = |name: &str, words: &[String], env: &BTreeMap<String, String>| {
        let (program, args) = words.split_first().map_or(("", &[][..]), |(it, rest)| (it, rest));
        let env =
            env.iter().map(|(name, value)| acp::EnvVariable::new(name.clone(), value.clone()));
        let server = McpServerStdio::new(name, program).args(args.to_vec()).env(env.collect());
        acp::McpServer::Stdio(server)
    };
    let mut all = vec![stdio(host_calls::SERVER, host_calls, &BTreeMap::new())];
    for (name, server) in mcp {
        all.push(stdio(name, &mcp::words(server)?, &server.env));
    }
    Ok(all)
}
