//! What plugins leave of a run: of its prompt, of what its agent says, of its answer.

use ngb_core::{
    address::Place,
    frame::{HostCall, Prompt, PromptMessage},
    id::GroupId,
    notice::Notice,
    text::without_internal,
};
use ngb_plugins::{
    chain::End,
    hook::{Event, Finished, Hook, Sending, Starting},
};
use ngb_store::Withheld;
use tracing::error;

use crate::{
    finish::{self, Ended},
    plugins::Of,
    reach,
    turn::Turn,
};

/// What became of a text on its way out.
pub(crate) enum Said {
    /// It may be sent, as it is now.
    Passed(String),
    /// It is not sent, for this reason.
    Stopped(String),
}

impl Turn<'_> {
    fn of(&self) -> Of {
        let message = finish::last_message(&self.work);
        Of { message, job: Some(self.job()), run: Some(self.claim.run) }
    }

    /// Lets plugins see the prompt; the end of the run where one of them does not want it.
    pub(crate) async fn pass_prompt(&self, mut prompt: Prompt) -> Result<Prompt, Ended> {
        if !self.shared().wants(Hook::RunStarting, &self.group.name) {
            return Ok(prompt);
        }
        let engaged = prompt.messages.iter().filter(|it| it.engaged).map(|it| it.text.as_str());
        let text = engaged.collect::<Vec<_>>().join("\n\n");
        let event = Event::RunStarting(Starting {
            run: self.claim.run,
            group: self.group.name.clone(),
            place: self.place().clone(),
            prompt: text.clone(),
        });
        let passed = self.shared().ask_plugins(event, None, self.of()).await;
        if let End::Dropped { by, why } = passed.end {
            let reason = format!("plugin `{by}` cancelled the run: {why}");
            return Err(Ended::Permanent { reason, notice: Notice::Cancelled { by } });
        }
        let left = passed.event.text().unwrap_or_default();
        if left != text {
            replace(&mut prompt.messages, left);
        }
        Ok(prompt)
    }

    /// Lets plugins see how the run ended, and what is to be said of it.
    pub(crate) async fn pass_end(&mut self, ended: Ended) -> Ended {
        if self.shared().plugins.chain().is_empty() {
            return ended;
        }
        let (text, error) = match &ended {
            Ended::Answered { text } => (text.clone(), None),
            Ended::Interrupted => (self.live.text().to_owned(), Some("it was stopped".to_owned())),
            Ended::Passing(reason) | Ended::Permanent { reason, .. } => {
                (String::new(), Some(reason.clone()))
            }
        };
        let failed = error.is_some();
        let event = Event::RunFinished(Finished {
            run: self.claim.run,
            group: self.group.name.clone(),
            place: self.place().clone(),
            text,
            error,
        });
        let passed = self.shared().ask_plugins(event, None, self.of()).await;
        let text = passed.event.text().unwrap_or_default().to_owned();
        match ended {
            Ended::Answered { .. } => Ended::Answered { text: self.sayable(text).await },
            Ended::Interrupted if failed => {
                let text = self.sayable(text).await;
                self.live.leave(text);
                Ended::Interrupted
            }
            other => other,
        }
    }

    /// What plugins leave of a text that ends the run; nothing where it is not to be sent.
    async fn sayable(&self, text: String) -> String {
        match self.pass_text(text, self.claim.group, self.place()).await {
            Said::Passed(text) => text,
            Said::Stopped(_) => String::new(),
        }
    }

    /// What plugins leave of a text that a call sends; the reason where it is not to be sent.
    async fn passed(&self, text: String, group: GroupId, place: &Place) -> Result<String, String> {
        match self.pass_text(text, group, place).await {
            Said::Passed(text) => Ok(text),
            Said::Stopped(why) => Err(why),
        }
    }

    /// Lets plugins see a text that is to be sent to a place of a group.
    async fn pass_text(&self, text: String, group: GroupId, place: &Place) -> Said {
        let shared = self.shared();
        let text = without_internal(&text);
        let name = self.gateway.group_name(group).unwrap_or_else(|| self.group.name.clone());
        if text.trim().is_empty() || !shared.wants(Hook::MessageSending, &name) {
            return Said::Passed(text);
        }
        let event = Event::MessageSending(Sending {
            place: place.clone(),
            group: name,
            about: finish::last_message(&self.work),
            text,
        });
        let passed = shared.ask_plugins(event, None, self.of()).await;
        let text = passed.event.text().unwrap_or_default().to_owned();
        match passed.end {
            // An answer is for what comes in; the chain lets none pass here.
            End::Passed | End::Answered(_) => Said::Passed(text),
            End::Dropped { by, why } => Said::Stopped(format!("plugin `{by}`: {why}")),
            End::Held { by, why } => {
                let reason = format!("plugin `{by}` holds it until somebody decides: {why}");
                let withheld = Withheld {
                    place: place.clone(),
                    group,
                    job: self.job(),
                    about: finish::last_message(&self.work),
                    text,
                    plugin: by,
                    why,
                };
                // Nothing is said of what could not be kept: the run's own end tells.
                if let Err(err) = shared.store.withhold(withheld).await {
                    error!("could not hold a text: {:#}", anyhow::Error::from(err));
                }
                Said::Stopped(reason)
            }
        }
    }

    /// Lets plugins see what a call would send; the reason where it is not to be sent.
    pub(crate) async fn pass_call(&self, what: HostCall) -> Result<HostCall, String> {
        let pass = async |text: String| self.passed(text, self.claim.group, self.place()).await;
        Ok(match what {
            HostCall::SendMessage { text, to: None } => {
                HostCall::SendMessage { text: pass(text).await?, to: None }
            }
            // Asked as of the place where it is to be read; a held one would be said there too.
            HostCall::SendMessage { text, to: Some(to) } => {
                let (group, place) = reach::destination(self, &to)?;
                let text = self.passed(text, group, &place).await?;
                HostCall::SendMessage { text, to: Some(to) }
            }
            HostCall::SendFile { path, caption } => {
                HostCall::SendFile { path, caption: pass(caption).await? }
            }
            HostCall::Ask { question, options, least } => {
                HostCall::Ask { question: pass(question).await?, options, least }
            }
            // What tasks say passes when they say it.
            other => other,
        })
    }
}

/// Puts one text in the place of all that were engaged.
fn replace(messages: &mut Vec<PromptMessage>, text: &str) {
    let Some(last) = messages.iter().rposition(|it| it.engaged) else { return };
    text.clone_into(&mut messages[last].text);
    let mut at = 0;
    messages.retain(|it| {
        at += 1;
        !it.engaged || at == last + 1
    });
}
