//! What an agent can do: a closed set of tools, each an enum variant with its arguments.

use std::time::Duration;

use ngb_core::{
    clock::Clock,
    frame::{HostCall, Step},
    role::Role,
    text::shorten,
    toolbox::{MCP, Toolbox},
};
use serde_json::{Value, json};

use crate::{Folders, approve, forward::Forward, mcp::Servers, turn::Turn, way_out::WayOut};

mod file;

mod bash;
mod call;
mod fetch;
mod notes;
mod offspring;
mod search;

pub(crate) use notes::MAX_MEMORY_BYTES;
pub(crate) use offspring::{Offspring, adopt};

use call::Call;
use file::Seen;

/// Name, description and parameters of each tool, as JSON: an array of objects with these three fields.
pub(crate) const DECLARED: &str = include_str!("tools.json");

/// Longest summary of a call that is shown, in characters.
const MAX_SUMMARY_CHARS: usize = 120;

/// How often a tool that runs long is heard of; a group's `silence_seconds` is minutes.
const HEARD_EVERY: Duration = Duration::from_secs(30);

/// Longest output of a tool that is shown to people while it works, in bytes. The model gets more.
pub(crate) const MAX_SHOWN_BYTES: usize = 4 * 1024;

/// What came of a call. A failed one is told to the model like any other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ToolResult {
    pub(crate) ok: bool,
    pub(crate) output: String,
}

/// The tools, and what they remember of this session.
pub(crate) struct Tools {
    pub(crate) folders: Folders,
    pub(crate) way_out: WayOut,
    pub(crate) servers: Servers,
    /// What the group has, as the prompt says.
    toolbox: Toolbox,
    clock: Clock,
    seen: Seen,
    /// Opened for the first command.
    forward: Option<Forward>,
}

impl Tools {
    pub(crate) fn new(folders: Folders, clock: Clock) -> Self {
        let way_out = WayOut::new(folders.broker.clone());
        let (servers, toolbox) = (Servers::default(), Toolbox::default());
        Self { folders, way_out, servers, toolbox, clock, seen: Seen::default(), forward: None }
    }

    /// Takes up what the group has now.
    pub(crate) fn renew(&mut self, toolbox: &Toolbox) {
        if self.toolbox != *toolbox {
            self.toolbox = toolbox.clone();
        }
    }

    /// Starts the group's MCP servers that don't run.
    pub(crate) async fn start_servers(&mut self) {
        if self.toolbox.mcp.is_empty() && self.servers.is_empty() {
            return;
        }
        let variables = self.proxy_variables().await;
        let wanted = &self.toolbox.mcp;
        self.servers.renew(wanted, &self.folders, &self.clock, &variables).await;
    }

    /// The tools as models are told of them: ours of `own` that the group has, and those of its servers.
    pub(crate) fn declared(&self, own: &[Value]) -> Vec<Value> {
        let all = own.iter().chain(self.servers.declared());
        let has = |it: &&Value| it["name"].as_str().is_some_and(|name| self.toolbox.has(name));
        all.filter(has).cloned().collect()
    }

    /// Begins another session: what the one before had read counts no longer.
    pub(crate) fn forget(&mut self) {
        self.seen = Seen::default();
    }

    /// Runs the tool `name` and shows its start and end. Dropping the future ends all that the tool started.
    pub(crate) async fn run(
        &mut self,
        turn: &Turn,
        id: &str,
        name: &str,
        input: &Value,
    ) -> ToolResult {
        let summary = summary(input);
        let start = Step::ToolStart { id: id.to_owned(), tool: name.to_owned(), summary };
        turn.show(start).await;
        let res = self.run_allowed(turn, name, input).await;
        let ok = res.is_ok();
        let output = res.unwrap_or_else(|refused| refused);
        let shown = crate::turn::cut_to(output.clone(), MAX_SHOWN_BYTES);
        turn.show(Step::ToolEnd { id: id.to_owned(), ok, output: shown }).await;
        ToolResult { ok, output }
    }

    /// Runs a tool that the group has, after a person allowed it where that is wanted. What is asked of the host is asked
    /// about there.
    async fn run_allowed(
        &mut self,
        turn: &Turn,
        name: &str,
        input: &Value,
    ) -> Result<String, String> {
        if !self.toolbox.has(name) {
            return Err(format!("this group's `tools` leave `{name}` out"));
        }
        let call = if name.starts_with(MCP) {
            None
        } else {
            let call = serde_json::from_value(json!({ "name": name, "input": input }));
            Some(call.map_err(|err| format!("wrong call of `{name}`: {err}"))?)
        };
        if self.toolbox.asks(name) && !call.as_ref().is_some_and(Call::is_of_host) {
            approve::ask(turn, name, input).await?;
        }
        self.call_heard(turn, call, name, input).await
    }

    /// Runs a call and says now and then that it is still at it: a tool has a time limit of its own, and what it does in
    /// silence must not end the run before.
    async fn call_heard(
        &mut self,
        turn: &Turn,
        call: Option<Call>,
        name: &str,
        input: &Value,
    ) -> Result<String, String> {
        let clock = self.clock.clone();
        let working = async {
            match call {
                Some(call) => self.call(turn, call).await,
                None => {
                    turn.before_effect().await.map_err(|it| it.to_string())?;
                    self.servers.call(&self.clock, name, input).await
                }
            }
        };
        tokio::pin!(working);
        loop {
            tokio::select! {
                biased;
                res = &mut working => return res,
                () = clock.sleep(HEARD_EVERY) => {
                    turn.show(Step::Thinking { delta: String::new() }).await;
                }
            }
        }
    }

    /// How a command finds the way out; none where no port can be opened, which the command will say by itself.
    async fn proxy_variables(&mut self) -> Vec<(&'static str, String)> {
        if self.forward.is_none() {
            self.forward = Forward::open(self.folders.broker.clone()).await.ok();
        }
        self.forward.as_ref().map(Forward::proxy_variables).unwrap_or_default()
    }

    async fn call(&mut self, turn: &Turn, call: Call) -> Result<String, String> {
        if call.has_effect() {
            turn.before_effect().await.map_err(|it| it.to_string())?;
        }
        match call {
            Call::Bash(it) => {
                let variables = self.proxy_variables().await;
                it.run(&self.folders, &self.clock, variables).await
            }
            Call::Glob(it) => it.run(&self.folders).await,
            Call::Grep(it) => it.run(&self.folders).await,
            Call::Fetch(it) => it.run(&self.way_out).await,
            Call::Todo(it) => it.run(),
            Call::Memory(it) => it.run(&self.folders),
            Call::Read(it) => it.run(&self.folders, &mut self.seen),
            Call::Write(it) => it.run(&self.folders, &mut self.seen),
            Call::Edit(it) => it.run(&self.folders, &mut self.seen),
            Call::SendMessage { text, to } => {
                ask_host(turn, HostCall::SendMessage { text, to }).await
            }
            Call::SendFile { path, caption } => {
                ask_host(turn, HostCall::SendFile { path, caption }).await
            }
            Call::React { emoji } => ask_host(turn, HostCall::React { emoji }).await,
            Call::ScheduleTask { after_seconds, text } => {
                ask_host(turn, HostCall::ScheduleTask { after_seconds, text }).await
            }
            Call::AddTask { text, cron, every, at, say, to, isolated } => {
                let what = HostCall::AddTask { text, cron, every, at, say, to, isolated };
                ask_host(turn, what).await
            }
            Call::UpdateTask { task, text, cron, every, at } => {
                ask_host(turn, HostCall::UpdateTask { task, text, cron, every, at }).await
            }
            Call::ChangeTask { task, to } => {
                ask_host(turn, HostCall::ChangeTask { task, to }).await
            }
            Call::ListTasks {} => ask_host(turn, HostCall::ListTasks).await,
            Call::SearchMessages { text, whole_group } => {
                ask_host(turn, HostCall::SearchMessages { text, whole_group }).await
            }
            Call::ListGroups {} => ask_host(turn, HostCall::ListGroups).await,
            Call::Refresh {} => ask_host(turn, HostCall::Refresh).await,
            Call::RegisterGroup { name, folder, chat, trigger } => {
                let group = name;
                ask_host(turn, HostCall::RegisterGroup { group, folder, chat, trigger }).await
            }
            Call::Usage {} => ask_host(turn, HostCall::Usage).await,
            Call::Ask { question, options, anyone } => {
                let options = options.iter().map(|it| button(it)).collect();
                let least = anyone.then_some(Role::Guest);
                ask_host(turn, HostCall::Ask { question, options, least }).await
            }
        }
    }
}

/// A button that says and means `label`.
pub(crate) fn button(label: &str) -> ngb_core::message::Button {
    let mut end = label.len().min(ngb_core::message::MAX_BUTTON_BYTES);
    while !label.is_char_boundary(end) {
        end -= 1;
    }
    ngb_core::message::Button { label: label.to_owned(), value: label[..end].to_owned() }
}

async fn ask_host(turn: &Turn, what: HostCall) -> Result<String, String> {
    match turn.call(what).await {
        Ok(Value::Null) => Ok("done".to_owned()),
        Ok(Value::String(text)) => Ok(text),
        Ok(other) => Ok(other.to_string()),
        Err(refused) => Err(refused.to_string()),
    }
}

/// One line of what is done, from the argument that says most.
pub(crate) fn summary(input: &Value) -> String {
    const TELLING: &[&str] =
        &["command", "path", "file_path", "pattern", "url", "text", "question"];
    let told = TELLING.iter().find_map(|key| input.get(*key)?.as_str());
    let line = told.unwrap_or_default().lines().next().unwrap_or_default();
    shorten(line, MAX_SUMMARY_CHARS)
}

#[cfg(test)]
mod tests {
    use ngb_core::{
        clock::Timestamp,
        frame::{FromAgent, PromptId},
    };
    use tokio::sync::mpsc;

    use super::*;
    use crate::turn::OpenCalls;

    #[test]
    fn the_settings_know_every_tool() {
        let declared: Vec<Value> = serde_json::from_str(DECLARED).unwrap();
        let names: Vec<&str> = declared.iter().filter_map(|it| it["name"].as_str()).collect();
        assert_eq!(names, ngb_core::toolbox::OWN_TOOLS);
    }

    #[tokio::test]
    async fn a_tool_that_runs_long_is_heard_of() {
        let (hand, clock) = Clock::manual(Timestamp(0));
        let (out, mut heard) = mpsc::channel(8);
        let turn = Turn::new(PromptId(1), out, OpenCalls::default());
        let mut tools = Tools::new(Folders::under("/nowhere".as_ref()), clock);
        // A question that nobody answers.
        let (question, options) = ("well?".into(), vec!["yes".into()]);
        let ask = Call::Ask { question, options, anyone: false };
        let mut working =
            tokio_test::task::spawn(tools.call_heard(&turn, Some(ask), "ask", &Value::Null));
        assert!(working.poll().is_pending());
        assert!(matches!(heard.try_recv(), Ok(FromAgent::Effect { .. })));
        hand.send_modify(|now| *now = *now + HEARD_EVERY);
        assert!(working.is_woken());
        assert!(working.poll().is_pending());
        assert!(matches!(heard.try_recv(), Ok(FromAgent::Progress { .. })));
    }
}
