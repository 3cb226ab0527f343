//! A scenario: what people write, and what they must be shown, on one platform or on all.

use std::time::Duration;

use ngb_core::{address::ChannelKind, clock::Clock};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{All, Person, Room, Side, until};

/// How long an answer may take where the step doesn't say.
const DEFAULT_WITHIN: Duration = Duration::from_secs(60);

/// Steps, one after the other.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    pub step: Vec<Step>,
}

/// One step: what is said, then what is awaited, on each of its platforms at once.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The platforms, by name, each with all of its accounts; default all eight.
    #[serde(default)]
    on: Vec<ChannelKind>,
    #[serde(default)]
    who: Person,
    #[serde(default)]
    room: Room,
    /// What they write; default nothing.
    say: Option<String>,
    /// What must be shown there after it was said; default nothing.
    expect: Option<String>,
    /// How long that may take, in seconds; default 60.
    within_s: Option<u64>,
    /// For so many seconds nothing may be shown there.
    quiet_s: Option<u64>,
}

/// A scenario that makes no sense.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum BadScenario {
    #[error("it has no step")]
    Empty,
    #[error("step {0} neither says nor expects anything; it wants `say`, `expect` or `quiet_s`")]
    Nothing(usize),
    #[error("step {step}: `{kind}` is not simulated")]
    NotSimulated { step: usize, kind: ChannelKind },
    #[error(
        "step {0}: WhatsApp's business numbers are in no group; name the platforms of a group step by `on`"
    )]
    NoGroups(usize),
}

/// What became of one step on one platform.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// Counted from 1.
    pub step: usize,
    /// Of a platform with two accounts, `qq` and `qq@bot`.
    pub on: String,
    pub passed: bool,
    /// From what was said to what was shown, in milliseconds.
    pub took_ms: u64,
    /// What was shown instead; empty when it passed.
    pub instead: Vec<String>,
}

impl Scenario {
    /// Whether it can be played at all.
    ///
    /// # Errors
    ///
    /// The first step that can't.
    pub fn check(&self) -> Result<(), BadScenario> {
        if self.step.is_empty() {
            return Err(BadScenario::Empty);
        }
        for (number, step) in (1..).zip(&self.step) {
            if step.say.is_none() && step.expect.is_none() && step.quiet_s.is_none() {
                return Err(BadScenario::Nothing(number));
            }
            let ours = [ChannelKind::Web, ChannelKind::Terminal];
            if let Some(kind) = step.on.iter().find(|it| ours.contains(it)) {
                return Err(BadScenario::NotSimulated { step: number, kind: *kind });
            }
            if step.room == Room::Group && step.wants(ChannelKind::Whatsapp) {
                return Err(BadScenario::NoGroups(number));
            }
        }
        Ok(())
    }

    /// Plays it; `seen` is told each outcome. Whether all passed.
    pub async fn play(&self, all: &All, clock: &Clock, mut seen: impl FnMut(&Outcome)) -> bool {
        let mut passed = true;
        for (number, step) in (1..).zip(&self.step) {
            let sides = all.everyone().filter(|it| step.wants(it.kind()));
            let played = sides.map(|side| step.play(number, side, clock));
            for outcome in futures_util::future::join_all(played).await {
                passed &= outcome.passed;
                seen(&outcome);
            }
        }
        passed
    }
}

impl Step {
    fn wants(&self, kind: ChannelKind) -> bool {
        self.on.is_empty() || self.on.contains(&kind)
    }

    async fn play(&self, step: usize, side: &dyn Side, clock: &Clock) -> Outcome {
        let began = clock.now();
        let before = side.shown().len();
        if let Some(text) = &self.say {
            side.say(self.who, self.room, text);
        }
        let shown = || -> Vec<String> {
            let all = side.shown();
            let here = all.into_iter().skip(before).filter(|it| it.room == self.room);
            here.map(|it| it.text).collect()
        };
        let mut passed = true;
        if let Some(text) = &self.expect {
            let within = self.within_s.map_or(DEFAULT_WITHIN, Duration::from_secs);
            let found = until(side, || shown().iter().any(|it| it.contains(text.as_str())));
            passed = clock.timeout(within, found).await.is_ok();
        }
        if let (true, Some(quiet)) = (passed, self.quiet_s) {
            let known = shown().len();
            let more = until(side, || known < shown().len());
            passed = clock.timeout(Duration::from_secs(quiet), more).await.is_err();
        }
        let took = clock.now().since(began).as_millis();
        Outcome {
            step,
            on: side.called(),
            passed,
            took_ms: u64::try_from(took).unwrap_or(u64::MAX),
            instead: if passed { Vec::new() } else { shown() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<(), String> {
        let scenario: Scenario = serde_json::from_str(json).map_err(|it| it.to_string())?;
        scenario.check().map_err(|it| it.to_string())
    }

    #[test]
    fn a_bad_scenario_is_told_what_is_wrong() {
        #[rustfmt::skip]
        let table = [
            (r#"{"step": [{"say": "hi"}]}"#,                                     ""),
            (r#"{"step": [{"on": ["qq"], "room": "group", "quiet_s": 1}]}"#,     ""),
            (r#"{"step": []}"#,                                                  "it has no step"),
            (r#"{"step": [{"say": "hi"}, {"on": ["qq"]}]}"#,                     "step 2 neither says"),
            (r#"{"step": [{"on": ["web"], "say": "hi"}]}"#,                      "`web` is not simulated"),
            (r#"{"step": [{"room": "group", "say": "hi"}]}"#,                    "in no group"),
            (r#"{"step": [{"say": "hi", "expects": "x"}]}"#,                     "unknown field `expects`"),
            (r#"{"step": [{"on": ["icq"], "say": "hi"}]}"#,                      "unknown variant `icq`"),
        ];
        for (json, want) in table {
            match read(json) {
                Ok(()) => assert_eq!(want, "", "{json}"),
                Err(why) => assert!(!want.is_empty() && why.contains(want), "{json}: {why}"),
            }
        }
    }
}
