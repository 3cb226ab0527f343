//! The driver `builtin`: model, tools, model, until there is an answer.

use std::io;

use ngb_core::{
    clock::Clock,
    frame::{Failure, ModelSpec, Outcome, Prompt, ProviderKind, Step},
    toolbox::MCP,
};
use serde_json::Value;

use crate::{
    Folders,
    tools::{DECLARED, Tools},
    turn::{Turn, Worked},
};

mod entry;
mod transcript;

mod compact;
mod model;
pub(crate) mod prompt;
mod shape;

use compact::{compact, estimate};
use entry::{Entry, close_calls, flatten};
use model::{Model, Trouble};
use shape::{Ask, Reply};
use transcript::Transcript;

/// Calls of the model for one prompt; after that it goes round in circles.
const MAX_STEPS: usize = 100;

/// What one result of a tool may have of the window, and in bytes at most and at least.
const WINDOW_PARTS_A_RESULT: u64 = 8;
const MAX_RESULT_BYTES: usize = 48 * 1024;
const MIN_RESULT_BYTES: usize = 2 * 1024;

/// The part of the window that is kept free for the answer, at most.
const WINDOW_PARTS_AN_ANSWER: u64 = 4;

const INTERRUPTED: &str = "[interrupted by a person before it ended]";

/// Stands where a try died in the midst of a call, by no wish of anybody.
const CUT_OFF: &str = "[cut off before it ended: nobody knows how far it came]";

/// The driver.
pub(crate) struct Builtin {
    tools: Tools,
    clock: Clock,
    /// Our tools, and those that the model is told of.
    own: Vec<Value>,
    declared: Vec<Value>,
    session: Option<Transcript>,
    /// The model that was found to know no tools.
    talker: Option<(String, String)>,
}

/// What one prompt needs all its life.
struct Work<'a> {
    turn: &'a Turn,
    spec: ModelSpec,
    /// What a request may have, in tokens.
    limit: u64,
    /// By how much this model counts more than we do, in hundredths.
    scale: u64,
    compacted: bool,
    mended: bool,
    /// Whether the answer has to say that there are no tools.
    say_no_tools: bool,
}

impl Builtin {
    pub(crate) fn new(folders: Folders, clock: Clock) -> Self {
        let own = serde_json::from_str(DECLARED).expect("tools.json is JSON");
        let tools = Tools::new(folders, clock.clone());
        Self { tools, clock, own, declared: Vec::new(), session: None, talker: None }
    }

    pub(crate) async fn work(&mut self, prompt: &Prompt, turn: &Turn) -> Worked {
        let failed = |failure, reason: String| Worked {
            outcome: Outcome::Failed { failure, reason },
            session: prompt.session.clone(),
        };
        // What was done stays known, to the next try and to whatever is asked after the last one.
        let failed_at_work = |this: &Self, failure, reason: String| {
            let worked = failed(failure, reason);
            if !turn.had_effect() {
                return worked;
            }
            Worked { session: this.session.as_ref().map(Transcript::mark), ..worked }
        };
        let Some(spec) = prompt.model.clone() else {
            return failed(Failure::Permanent, "no model is set".to_owned());
        };
        if let Err(err) = self.open(prompt) {
            return failed(Failure::Passing, format!("the transcript can't be used: {err}"));
        }
        self.tools.renew(&prompt.toolbox);
        let ended = tokio::select! {
            biased;
            () = turn.stop.cancelled() => None,
            ended = async {
                self.tools.start_servers().await;
                self.show_failed(turn).await;
                self.declared = self.tools.declared(&self.own);
                self.converse(turn, spec).await
            } => Some(ended),
        };
        let outcome = match ended {
            Some(Ok(text)) => Outcome::Answered { text },
            Some(Err(trouble)) => {
                let (failure, reason) = match trouble {
                    Trouble::Failed { failure, reason } => (failure, reason),
                    Trouble::TooLong(reason) => (Failure::PromptTooLarge, reason),
                    Trouble::Malformed(reason) => (Failure::Permanent, reason),
                    Trouble::NoTools => (Failure::Permanent, "the model refuses tools".to_owned()),
                };
                return failed_at_work(self, failure, reason);
            }
            None => {
                if let Err(err) = self.close_interrupted() {
                    return failed(Failure::Permanent, err.to_string());
                }
                Outcome::Interrupted
            }
        };
        Worked { outcome, session: self.session.as_ref().map(Transcript::mark) }
    }

    /// Shows people which MCP servers don't work.
    async fn show_failed(&self, turn: &Turn) {
        for (name, why) in &self.tools.servers.failed {
            let (id, tool) = (format!("mcp_{name}"), format!("{MCP}{name}"));
            turn.show(Step::ToolStart { id: id.clone(), tool, summary: String::new() }).await;
            turn.show(Step::ToolEnd { id, ok: false, output: why.clone() }).await;
        }
    }

    /// Opens the prompt's session and writes down what was said.
    fn open(&mut self, prompt: &Prompt) -> io::Result<()> {
        let folders = &self.tools.folders;
        let same = self.session.as_ref().map(Transcript::mark);
        let mut new = false;
        let mut opened = match (&prompt.resumed, &prompt.session) {
            (None, Some(mark)) if same.as_ref() == Some(mark) => self.session.take(),
            (None, Some(mark)) => Transcript::open_at(folders, mark)?,
            (Some(_), Some(mark)) => Transcript::open_at_end(folders, &mark.id)?,
            (Some(_), None) => match Transcript::latest(folders) {
                Some(id) => Transcript::open_at_end(folders, &id)?,
                None => None,
            },
            (None, None) => None,
        };
        if opened.is_none() {
            opened = Some(Transcript::create(folders)?);
            new = true;
        }
        let Some(mut session) = opened else { return Ok(()) };
        if new {
            self.tools.forget();
        }
        match &prompt.resumed {
            Some(note) => {
                let open = close_calls(session.live(), CUT_OFF);
                if open != session.live() {
                    session.push(Entry::Restart { live: open })?;
                }
                // The try before may have died before it wrote down what it was asked.
                let said = prompt::said(prompt);
                // Its first line has the time of the try in it.
                let messages = said.split_once('\n').map_or("", |(_, it)| it);
                let known = session
                    .live()
                    .iter()
                    .any(|it| matches!(it, Entry::User { text } if text.ends_with(messages)));
                let text = if known { format!("[{note}]") } else { format!("[{note}]\n{said}") };
                session.push(Entry::User { text })?;
            }
            None => session.push(Entry::user(prompt::said(prompt)))?,
        }
        self.session = Some(session);
        Ok(())
    }

    fn close_interrupted(&mut self) -> io::Result<()> {
        let Some(session) = &mut self.session else { return Ok(()) };
        let closed = close_calls(session.live(), INTERRUPTED);
        for missing in closed.into_iter().skip(session.live().len()) {
            session.push(missing)?;
        }
        session.push(Entry::user("[A person interrupted the work above.]"))
    }

    fn live(&self) -> &[Entry] {
        self.session.as_ref().map_or(&[], Transcript::live)
    }

    fn push(&mut self, entry: Entry) -> Result<(), Trouble> {
        let Some(session) = &mut self.session else { return Ok(()) };
        session.push(entry).map_err(kept_badly)
    }

    async fn converse(&mut self, turn: &Turn, mut spec: ModelSpec) -> Result<String, Trouble> {
        let answer = spec.max_output_tokens.min(spec.window_tokens / WINDOW_PARTS_AN_ANSWER);
        spec.max_output_tokens = answer.max(1);
        let limit = spec.window_tokens.saturating_sub(spec.max_output_tokens);
        let mut work = Work {
            turn,
            spec,
            limit,
            scale: 100,
            compacted: false,
            mended: false,
            say_no_tools: false,
        };
        for _ in 0..MAX_STEPS {
            let reply = self.reply(&mut work).await?;
            let mut calls = if self.talks_only(&work.spec) { Vec::new() } else { reply.calls() };
            let step = self.session.as_ref().map_or(0, |it| it.mark().entries);
            for (at, call) in calls.iter_mut().enumerate() {
                // Some servers name their calls anew in each reply, or not at all; others refuse a name that comes twice.
                if call.id.is_empty() || work.spec.kind == ProviderKind::Ollama {
                    call.id = format!("call_{step}_{at}");
                }
            }
            let Reply { text, thoughts, .. } = reply;
            self.push(Entry::Assistant { text: text.clone(), thoughts, calls: calls.clone() })?;
            if calls.is_empty() {
                return Ok(if work.say_no_tools {
                    let model = &work.spec.model;
                    format!("{text}\n\n(`{model}` knows no tools: it can only talk here.)")
                } else {
                    text
                });
            }
            let room = work.spec.window_tokens * 4 / WINDOW_PARTS_A_RESULT;
            let room = usize::try_from(room).unwrap_or(MAX_RESULT_BYTES);
            let room = room.clamp(MIN_RESULT_BYTES, MAX_RESULT_BYTES);
            for call in calls {
                let res = self.tools.run(turn, &call.id, &call.name, &call.input).await;
                let output = cut_middle(res.output, room);
                self.push(Entry::Result { call: call.id, tool: call.name, ok: res.ok, output })?;
            }
            for more in turn.take_steered() {
                self.push(Entry::user(prompt::said(&more)))?;
            }
        }
        Err(Trouble::Failed {
            failure: Failure::Permanent,
            reason: format!("gave up after {MAX_STEPS} calls of the model"),
        })
    }

    fn talks_only(&self, spec: &ModelSpec) -> bool {
        self.talker
            .as_ref()
            .is_some_and(|(provider, model)| *provider == spec.provider && *model == spec.model)
    }

    /// One reply of the model, with a conversation that fits and that it takes.
    async fn reply(&mut self, work: &mut Work<'_>) -> Result<Reply, Trouble> {
        loop {
            let talks_only = self.talks_only(&work.spec);
            let mut standing = prompt::standing(&self.tools.folders);
            standing += &prompt::skills(&self.tools.folders);
            standing += &prompt::failed_servers(&self.tools.servers.failed);
            let no_tools = format!("{}\n\n{}", prompt::FIXED, prompt::NO_TOOLS);
            let flat = if talks_only { flatten(self.live()) } else { Vec::new() };
            let ask = Ask {
                spec: &work.spec,
                fixed: if talks_only { &no_tools } else { prompt::FIXED },
                standing: &standing,
                entries: if talks_only { &flat } else { self.live() },
                tools: if talks_only { &[] } else { &self.declared },
            };
            let request = ask.request();
            let guess = estimate(request.body.len());
            let trouble = if work.limit < guess * work.scale / 100 {
                Trouble::TooLong(format!(
                    "the prompt has about {guess} tokens, more than the {} that fit",
                    work.limit
                ))
            } else {
                match self.model(work.turn, true).ask(&request).await {
                    Ok(reply) => {
                        work.compacted = false;
                        work.scale = work.scale.max(reply.input_tokens * 100 / guess.max(1));
                        return Ok(reply);
                    }
                    Err(trouble) => trouble,
                }
            };
            match trouble {
                Trouble::TooLong(reason) => self.shorten(work, reason).await?,
                Trouble::Malformed(reason) if work.mended => {
                    return Err(Trouble::Malformed(reason));
                }
                Trouble::Malformed(_) => {
                    work.mended = true;
                    let live = flatten(&close_calls(self.live(), CUT_OFF));
                    self.push(Entry::Restart { live })?;
                }
                Trouble::NoTools if !talks_only => {
                    let spec = &work.spec;
                    self.talker = Some((spec.provider.clone(), spec.model.clone()));
                    work.say_no_tools = true;
                }
                other => return Err(other),
            }
        }
    }

    async fn shorten(&mut self, work: &mut Work<'_>, reason: String) -> Result<(), Trouble> {
        if work.compacted {
            return Err(Trouble::TooLong(reason));
        }
        work.compacted = true;
        let limit = work.limit * 100 / work.scale;
        let model = self.model(work.turn, false);
        match compact(&model, &work.spec, self.live(), limit).await? {
            Some(live) => {
                if let Some(session) = &self.session
                    && session.is_long()
                {
                    // The file before stays for a retry that begins at its mark.
                    self.session =
                        Some(Transcript::create(&self.tools.folders).map_err(kept_badly)?);
                }
                self.push(Entry::Restart { live })
            }
            None => Err(Trouble::TooLong(reason)),
        }
    }

    fn model<'a>(&'a self, turn: &'a Turn, shown: bool) -> Model<'a> {
        Model { way_out: &self.tools.way_out, clock: &self.clock, turn, shown }
    }
}

fn kept_badly(err: io::Error) -> Trouble {
    // A disk that is full for a moment.
    Trouble::failed(Failure::Passing, format!("the transcript can't be written: {err}"))
}

/// `text` in at most about `max` bytes: its start, and more of its end, where commands say how it went.
fn cut_middle(text: String, max: usize) -> String {
    if text.len() <= max {
        return text;
    }
    let mut head = max / 3;
    while !text.is_char_boundary(head) {
        head -= 1;
    }
    let mut tail = text.len() - (max - head);
    while !text.is_char_boundary(tail) {
        tail += 1;
    }
    format!("{}\n[{} bytes left out]\n{}", &text[..head], tail - head, &text[tail..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cut_middle_table() {
        #[rustfmt::skip]
        let table = [
            ("abc",            3, "abc"),
            ("abcdefghij",     6, "ab\n[4 bytes left out]\nghij"),
            ("日本語日本語",     7, "\n[12 bytes left out]\n本語"),
        ];
        for (text, max, want) in table {
            assert_eq!(cut_middle(text.to_owned(), max), want);
        }
    }
}
