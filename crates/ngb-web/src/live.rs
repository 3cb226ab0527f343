//! What agents do at this moment, for a page that is opened in the middle of it.
//!
//! It is folded from the events, so that a page reads it and its cursor together and then goes on with the events.

use std::{collections::BTreeMap, sync::Mutex};

use axum::{Json, extract::State};
use ngb_core::{
    address::Place,
    frame::Step,
    id::{AskId, GroupId, LaneId, MessageId, RunId},
    message::Button,
    role::Right,
};
use ngb_gateway::{
    Gateway,
    events::{Cursor, Event, Next, Subscription},
};
use schemars::JsonSchema;
use serde::Serialize;

use crate::{App, door::Who};

/// Text and thinking of one run that are kept, in bytes; the newest stay.
const MAX_KEPT_BYTES: usize = 256 * 1024;

/// Tools of one run that are kept; the newest stay.
const MAX_TOOLS: usize = 200;

/// Questions that are kept; the newest stay.
const MAX_ASKS: usize = 1_000;

#[derive(Debug)]
pub(crate) struct Live {
    /// Taken by [`Live::follow`].
    events: tokio::sync::Mutex<Subscription>,
    now: Mutex<Now>,
}

#[derive(Debug)]
struct Now {
    cursor: Cursor,
    runs: BTreeMap<RunId, Run>,
    asks: BTreeMap<AskId, Ask>,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "LiveRun")]
struct Run {
    run: RunId,
    lane: LaneId,
    group: GroupId,
    place: Place,
    messages: Vec<MessageId>,
    text: String,
    thinking: String,
    tools: Vec<Tool>,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "LiveTool")]
struct Tool {
    id: String,
    tool: String,
    summary: String,
    /// None while it runs.
    ok: Option<bool>,
    output: String,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "LiveAsk")]
struct Ask {
    ask: AskId,
    place: Place,
    question: String,
    options: Vec<Button>,
}

/// What agents do at this moment, and where `/ws` goes on.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Live")]
pub(crate) struct LiveView {
    #[serde(flatten)]
    cursor: Cursor,
    runs: Vec<Run>,
    asks: Vec<Ask>,
}

impl Live {
    pub(crate) fn new(gateway: &Gateway) -> Self {
        // From the first event of this start: runs may have begun before the server.
        let Cursor { instance, .. } = gateway.hub().cursor();
        let cursor = Cursor { instance, number: 0 };
        Self {
            events: tokio::sync::Mutex::new(gateway.hub().subscribe(Some(cursor))),
            now: Mutex::new(Now { cursor, runs: BTreeMap::new(), asks: BTreeMap::new() }),
        }
    }

    /// Keeps up with the events for ever.
    pub(crate) async fn follow(&self) {
        let mut events = self.events.lock().await;
        loop {
            let next = events.next().await;
            let mut now = self.now.lock().expect("nobody panics while holding it");
            match next {
                Next::Events(events) => events.into_iter().for_each(|it| now.take(it.event)),
                Next::Reset => {
                    now.runs.clear();
                    now.asks.clear();
                }
            }
            now.cursor = events.cursor();
        }
    }

    /// Groups that an agent works for now.
    pub(crate) fn active(&self) -> std::collections::HashSet<GroupId> {
        let now = self.now.lock().expect("nobody panics while holding it");
        now.runs.values().map(|it| it.group).collect()
    }

    fn snapshot(&self, app: &App, who: &Who) -> LiveView {
        let directory = app.gateway.directory().snapshot();
        let now = self.now.lock().expect("nobody panics while holding it");
        let runs = now.runs.values().filter(|it| who.may_in(it.group, Right::Read));
        let asks = now.asks.values().filter(|it| who.sees(None, &it.place, &directory));
        LiveView {
            cursor: now.cursor,
            runs: runs.cloned().collect(),
            asks: asks.cloned().collect(),
        }
    }
}

impl Now {
    fn take(&mut self, event: Event) {
        match event {
            Event::RunStarted { run, lane, group, place, messages } => {
                let (text, thinking, tools) = (String::new(), String::new(), Vec::new());
                let new = Run { run, lane, group, place, messages, text, thinking, tools };
                // A lane has one run at a time: what it had before is over.
                self.runs.retain(|_, it| it.lane != lane);
                self.runs.insert(run, new);
            }
            Event::Step { run, step, .. } => {
                if let Some(run) = self.runs.get_mut(&run) {
                    run.take(step);
                }
            }
            Event::RunFinished { run, place, .. } => {
                self.runs.remove(&run);
                // A question is of the run that waits for its answer.
                self.asks.retain(|_, it| it.place != place);
            }
            Event::Asked { ask, place, question, options } => {
                self.asks.insert(ask, Ask { ask, place, question, options });
                if MAX_ASKS < self.asks.len() {
                    self.asks.pop_first();
                }
            }
            Event::AskAnswered { ask, .. } => {
                self.asks.remove(&ask);
            }
            Event::Message { .. }
            | Event::PairingOffered { .. }
            | Event::Channel { .. }
            | Event::Settings
            | Event::Alert { .. } => (),
        }
    }
}

impl Run {
    fn take(&mut self, step: Step) {
        match step {
            Step::Text { delta } => append(&mut self.text, &delta),
            Step::Thinking { delta } => append(&mut self.thinking, &delta),
            Step::ToolStart { id, tool, summary } => {
                if self.tools.len() == MAX_TOOLS {
                    self.tools.remove(0);
                }
                self.tools.push(Tool { id, tool, summary, ok: None, output: String::new() });
            }
            Step::ToolEnd { id, ok, output } => {
                if let Some(tool) = self.tools.iter_mut().rfind(|it| it.id == id) {
                    tool.ok = Some(ok);
                    append(&mut tool.output, &output);
                }
            }
        }
    }
}

/// Appends, and forgets the oldest beyond [`MAX_KEPT_BYTES`].
fn append(to: &mut String, more: &str) {
    to.push_str(more);
    if MAX_KEPT_BYTES < to.len() {
        let cut = to.ceil_char_boundary(to.len() - MAX_KEPT_BYTES);
        to.drain(..cut);
    }
}

/// What is being done now, and the cursor where `/ws` goes on.
pub(crate) async fn show(State(app): State<App>, who: Who) -> Json<LiveView> {
    Json(app.live.snapshot(&app, &who))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_folded_and_forgotten() {
        let place: Place = "web@main:home".parse::<ngb_core::address::Jid>().unwrap().into();
        let (run, lane, group) = (RunId(1), LaneId(2), GroupId(3));
        let cursor = Cursor { instance: 1, number: 0 };
        let mut now = Now { cursor, runs: BTreeMap::new(), asks: BTreeMap::new() };
        let step = |step| Event::Step { run, lane, group, place: place.clone(), step };
        now.take(Event::RunStarted { run, lane, group, place: place.clone(), messages: vec![] });
        now.take(step(Step::Text { delta: "ab".into() }));
        now.take(step(Step::Text { delta: "c".into() }));
        now.take(step(Step::ToolStart {
            id: "1".into(),
            tool: "bash".into(),
            summary: "ls".into(),
        }));
        now.take(step(Step::ToolEnd { id: "1".into(), ok: true, output: "x".into() }));
        let ask = Event::Asked {
            ask: AskId(9),
            place: place.clone(),
            question: "?".into(),
            options: vec![],
        };
        now.take(ask);
        assert_eq!(now.runs[&run].text, "abc");
        assert_eq!(
            (now.runs[&run].tools[0].ok, now.runs[&run].tools[0].output.as_str()),
            (Some(true), "x")
        );
        let (messages, outcome) = (vec![], "answered");
        now.take(Event::RunFinished { run, lane, group, place, messages, outcome, answer: None });
        assert!(now.runs.is_empty() && now.asks.is_empty());
    }

    #[test]
    fn memory_is_bounded() {
        let mut text = String::new();
        for _ in 0..3 {
            append(&mut text, &"家".repeat(MAX_KEPT_BYTES / 4));
        }
        assert!(MAX_KEPT_BYTES - 3 < text.len() && text.len() <= MAX_KEPT_BYTES);
    }
}
