//! Host calls as an MCP server, for agents that others wrote.
//!
//! ```text
//! their agent ── stdio ── nanogridbot agent --host-calls SOCKET ── SOCKET ── this process ── frames ── gateway
//! ```
//! The process in the middle only passes bytes on, so rights and the prompt that is worked on stay here.

use std::{
    borrow::Cow,
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use ngb_core::tasks::Crew;
use rmcp::{
    ErrorData, RoleServer, ServerHandler, ServiceExt as _,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, Implementation,
        ListToolsResult, PaginatedRequestParams, ServerCapabilities, Tool,
    },
    service::RequestContext,
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{
    net::{UnixListener, UnixStream},
    sync::{mpsc, oneshot},
};

use crate::{
    tools::{DECLARED, ToolResult, Tools},
    turn::Turn,
};

/// The server's name, which stands before those of its tools: `mcp__nanogridbot__send_message`.
pub(crate) const SERVER: &str = ngb_core::toolbox::OWN_SERVER;

/// The argument that makes this executable the process in the middle.
pub(crate) const ARGUMENT: &str = "--host-calls";

/// What agents that others wrote have themselves; the rest of the tools is offered to them.
const THEIR_OWN: &[&str] = &["bash", "read", "write", "edit", "glob", "grep", "todo"];

/// Calls that may wait for the one that is being done.
const MAX_WAITING_CALLS: usize = 16;

/// An open server. Dropping it ends it and removes its socket.
pub(crate) struct HostCalls {
    dir: PathBuf,
    waiting: mpsc::Receiver<Wanted>,
    _serving: Crew,
}

/// A call, and who waits for what comes of it.
struct Wanted {
    name: String,
    input: Value,
    answer: oneshot::Sender<ToolResult>,
}

impl HostCalls {
    /// Opens a server in a folder of its own, which nobody else may enter.
    ///
    /// # Errors
    ///
    /// When the folder or the socket can't be made.
    pub(crate) fn open() -> io::Result<Self> {
        let dir = std::env::temp_dir().join(format!("ngb-host-calls-{}", std::process::id()));
        match std::fs::remove_dir_all(&dir) {
            Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(err),
            _ => {}
        }
        std::fs::DirBuilder::new().mode(0o700).create(&dir)?;
        let listener = UnixListener::bind(socket(&dir))?;
        let (wanted, waiting) = mpsc::channel(MAX_WAITING_CALLS);
        let server = Server { tools: Arc::new(offered()), wanted };
        let mut serving = Crew::default();
        serving.spawn("host calls", async move {
            let mut connections = Crew::default();
            while let Ok((stream, _)) = listener.accept().await {
                let server = server.clone();
                connections.spawn("host calls connection", async move {
                    // A client that says nothing sensible is gone, and sees that itself.
                    if let Ok(running) = server.serve(stream).await {
                        running.waiting().await.ok();
                    }
                });
            }
        });
        Ok(Self { dir, waiting, _serving: serving })
    }

    /// The command that speaks MCP on its standard streams.
    pub(crate) fn command(&self) -> io::Result<Vec<String>> {
        let exe = std::env::current_exe()?;
        let mut command = vec![exe.to_string_lossy().into_owned()];
        command.extend(crate::prefix());
        command.extend([ARGUMENT.to_owned(), socket(&self.dir).to_string_lossy().into_owned()]);
        Ok(command)
    }

    /// Does what is asked for, in the name of `turn`, until it is dropped.
    pub(crate) async fn serve(
        &mut self,
        tools: &mut Tools,
        turn: &Turn,
    ) -> std::convert::Infallible {
        let mut number = 0_u64;
        loop {
            let Some(Wanted { name, input, answer }) = self.waiting.recv().await else {
                // The listener is gone, so nobody can ask any more.
                std::future::pending().await
            };
            number += 1;
            let done = tools.run(turn, &format!("host_{number}"), &name, &input).await;
            // Who asked may be gone by now.
            answer.send(done).ok();
        }
    }

    /// Refuses what was asked for after the end of the prompt that it was for.
    pub(crate) fn refuse_left_over(&mut self) {
        while let Ok(wanted) = self.waiting.try_recv() {
            let output = "the prompt that this was for is over".to_owned();
            wanted.answer.send(ToolResult { ok: false, output }).ok();
        }
    }
}

impl Drop for HostCalls {
    fn drop(&mut self) {
        if let Err(err) = std::fs::remove_dir_all(&self.dir) {
            eprintln!("agent: could not remove `{}`: {err}", self.dir.display());
        }
    }
}

fn socket(dir: &Path) -> PathBuf {
    dir.join("mcp.sock")
}

/// What is in the list of tools.
#[derive(Deserialize)]
struct Declared {
    name: String,
    description: String,
    parameters: serde_json::Map<String, Value>,
}

fn offered() -> Vec<Tool> {
    let declared: Vec<Declared> = serde_json::from_str(DECLARED).expect("tools.json is JSON");
    let others = declared.into_iter().filter(|it| !THEIR_OWN.contains(&it.name.as_str()));
    others.map(|it| Tool::new(it.name, it.description, Arc::new(it.parameters))).collect()
}

#[derive(Clone)]
struct Server {
    tools: Arc<Vec<Tool>>,
    wanted: mpsc::Sender<Wanted>,
}

impl ServerHandler for Server {
    fn get_info(&self) -> rmcp::model::ServerConfig {
        rmcp::model::ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new(SERVER, env!("CARGO_PKG_VERSION")))
    }

    async fn list_tools(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(self.tools.to_vec()))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let CallToolRequestParams { name, arguments, .. } = request;
        if !self.tools.iter().any(|it| it.name == name) {
            let message = Cow::Owned(format!("there is no tool `{name}`"));
            return Err(ErrorData::invalid_params(message, None));
        }
        let gone = |_| ErrorData::internal_error("the agent is ending", None);
        let (answer, answered) = oneshot::channel();
        let input = arguments.map_or_else(|| json!({}), Value::Object);
        let wanted = Wanted { name: name.into_owned(), input, answer };
        self.wanted
            .send(wanted)
            .await
            .map_err(|_| ErrorData::internal_error("the agent is ending", None))?;
        let ToolResult { ok, output } = answered.await.map_err(gone)?;
        let content = vec![ContentBlock::text(output)];
        let result =
            if ok { CallToolResult::success(content) } else { CallToolResult::error(content) };
        Ok(result.into())
    }
}

/// Passes bytes between the standard streams and `socket` until either side ends.
pub(crate) async fn relay(socket: &Path) -> io::Result<()> {
    let (mut input, mut output) = crate::stream::standard()?;
    let mut stream = UnixStream::connect(socket).await?;
    let (mut from, mut to) = stream.split();
    tokio::select! {
        res = tokio::io::copy(&mut input, &mut to) => res,
        res = tokio::io::copy(&mut from, &mut output) => res,
    }?;
    Ok(())
}
