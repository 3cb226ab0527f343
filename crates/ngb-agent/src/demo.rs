//! A driver without a model: it does five things with the real tools, and says plainly that it is a demonstration.

use std::time::Duration;

use ngb_core::{
    clock::Clock,
    frame::{HostCall, Outcome, Prompt, Step},
};
use serde_json::json;

use crate::{
    Folders,
    tools::{Tools, button},
    turn::{Turn, Worked},
};

mod walls;
mod words;

use words::{Wish, Words};

/// How long the long answer takes in all, and in how many pieces it comes.
const LONG_ANSWER: Duration = Duration::from_secs(30);
const LONG_ANSWER_PIECES: u32 = 150;

/// After how long the reminder comes, in seconds.
const REMIND_AFTER_SECONDS: u64 = 60;

/// The driver `demo`.
pub(crate) struct Demo {
    tools: Tools,
    clock: Clock,
}

impl Demo {
    pub(crate) fn new(folders: Folders, clock: Clock) -> Self {
        Self { tools: Tools::new(folders, clock.clone()), clock }
    }

    pub(crate) async fn work(&mut self, prompt: &Prompt, turn: &Turn) -> Worked {
        let session = prompt.session.clone();
        let outcome = tokio::select! {
            biased;
            () = turn.stop.cancelled() => Outcome::Interrupted,
            text = self.answer(prompt, turn) => Outcome::Answered { text },
        };
        Worked { outcome, session }
    }

    async fn answer(&mut self, prompt: &Prompt, turn: &Turn) -> String {
        let asked: Vec<&str> =
            prompt.messages.iter().filter(|it| it.engaged).map(|it| it.text.as_str()).collect();
        let asked = asked.join("\n");
        if let Some(rest) = asked.strip_prefix("echo ") {
            return rest.to_owned();
        }
        let words = Words::for_text(&asked);
        let shown = match Wish::of(&asked) {
            Some(Wish::File) => self.file(turn, &words).await,
            Some(Wish::Reminder) => self.reminder(turn, &words).await,
            Some(Wish::Approval) => self.approval(turn, &words).await,
            Some(Wish::LongAnswer) => self.long_answer(turn, &words).await,
            Some(Wish::Walls) => walls::show(&self.clock, &words).await,
            None => words.five_things().to_owned(),
        };
        format!("{}\n\n{}\n\n{shown}", words.plainly(), words.you_said(&asked))
    }

    async fn file(&mut self, turn: &Turn, words: &Words) -> String {
        let path = "demo.txt";
        if self.tools.folders.group.join(path).exists() {
            self.tools.run(turn, "seen", "read", &json!({ "path": path })).await;
        }
        let content = words.file_content(&self.clock.now().to_string());
        let write = json!({ "path": path, "content": content });
        let wrote = self.tools.run(turn, "write", "write", &write).await;
        if !wrote.ok {
            return wrote.output;
        }
        let read = self.tools.run(turn, "read", "read", &json!({ "path": path })).await;
        format!("{}\n\n```text\n{}\n```", wrote.output, read.output.trim_end())
    }

    async fn reminder(&self, turn: &Turn, words: &Words) -> String {
        let text = words.reminder().to_owned();
        let what = HostCall::ScheduleTask { after_seconds: REMIND_AFTER_SECONDS, text };
        match turn.call(what).await {
            Ok(_) => words.will_remind().to_owned(),
            Err(refused) => words.refused(&refused.to_string()),
        }
    }

    async fn approval(&self, turn: &Turn, words: &Words) -> String {
        let [yes, no] = words.options();
        let options = vec![button(yes), button(no)];
        let question = words.question().to_owned();
        match turn.call(HostCall::Ask { question, options, least: None }).await {
            Ok(answer) => {
                words.answered(answer.as_str().map_or(answer.to_string(), str::to_owned).as_str())
            }
            Err(refused) => words.refused(&refused.to_string()),
        }
    }

    async fn long_answer(&self, turn: &Turn, words: &Words) -> String {
        let mut text = String::new();
        for number in 1..=LONG_ANSWER_PIECES {
            let delta = words.piece(number, LONG_ANSWER_PIECES);
            text += &delta;
            turn.show(Step::Text { delta }).await;
            self.clock.sleep(LONG_ANSWER / LONG_ANSWER_PIECES).await;
        }
        text
    }
}
