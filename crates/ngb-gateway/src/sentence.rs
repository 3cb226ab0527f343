//! What became of a message, in one plain sentence.

use ngb_core::decision::Decision;
use ngb_store::{JobRow, OutboxRow, Why};

/// The sentence that `why` begins with.
pub fn of(why: &Why) -> String {
    match why.jobs.last() {
        Some(job) => of_job(job, why),
        None => of_decisions(why),
    }
}

/// A message that no agent was asked to answer.
fn of_decisions(why: &Why) -> String {
    let telling = |kind: Decision| match kind {
        Decision::Deleted => Some("It was taken back"),
        Decision::Kept => Some(
            "Nobody is to answer it; it is kept as context for the next message that is answered",
        ),
        Decision::Dropped => Some("Nobody is to answer it"),
        Decision::PairingOffered => Some("Its chat is not let in; a code was offered"),
        Decision::Command => Some("The gateway did it at once"),
        Decision::AskAnswered => Some("It answered a question of the agent"),
        Decision::Plugin => Some("A plugin was asked"),
        Decision::Refused => Some("It was not taken, and the chat was told"),
        _ => None,
    };
    let told = why.decisions.iter().rev().find_map(|it| Some((telling(it.kind)?, &it.detail)));
    match told {
        Some((text, detail)) if detail.is_empty() => format!("{text}."),
        Some((text, detail)) => format!("{text}: {detail}."),
        None => "It is stored, and nothing was decided about it yet.".to_owned(),
    }
}

fn of_job(job: &JobRow, why: &Why) -> String {
    let error = job.error.as_deref().unwrap_or("no reason was kept");
    match job.state.as_str() {
        "queued" if 0 < job.tries.failures => {
            let (failures, times) = (job.tries.failures, times(job.tries.failures));
            format!("It failed {failures} {times} and is tried again at {}: {error}.", job.run_at)
        }
        "queued" => format!("It waits for its turn since {}.", job.created_at),
        "held" => {
            "It is too old to be answered without asking; the chat was asked, and nobody said yet."
                .to_owned()
        }
        "running" => "An agent works on it.".to_owned(),
        "dead" => {
            format!("It was given up: {error}. `nanogridbot dead requeue {}` puts it back.", job.id)
        }
        "cancelled" => match why.decisions.iter().rev().find(|it| stops(it.kind)) {
            Some(it) if !it.detail.is_empty() => format!("It was stopped: {}.", it.detail),
            _ => "It was stopped.".to_owned(),
        },
        _ => of_answer(&why.outbox),
    }
}

fn stops(kind: Decision) -> bool {
    use Decision::{Deleted, Discarded, Dropped, Interrupted};
    matches!(kind, Interrupted | Deleted | Discarded | Dropped)
}

/// An answer by what became of its parts on their way to the platform.
fn of_answer(parts: &[OutboxRow]) -> String {
    let find = |state: &str| parts.iter().find(|it| it.state == state);
    if let Some(part) = find("failed") {
        let error = part.error.as_deref().unwrap_or("no reason was kept");
        return format!(
            "It was answered, but the platform did not take the answer: {error}. `nanogridbot dead requeue send-{}` sends it again.",
            part.id
        );
    }
    if let Some(error) = find("pending").and_then(|it| it.error.as_deref()) {
        return format!("It was answered; the answer could not be sent yet: {error}.");
    }
    if find("pending").is_some() || find("sending").is_some() {
        return "It was answered; the answer is on its way.".to_owned();
    }
    match parts.iter().filter_map(|it| it.sent_at).max() {
        Some(at) => format!("It was answered; the platform has the answer since {at}."),
        None => "It was answered.".to_owned(),
    }
}

fn times(n: u32) -> &'static str {
    if n == 1 { "time" } else { "times" }
}

#[cfg(test)]
mod tests {
    use ngb_core::{
        address::{Jid, Place},
        clock::Timestamp,
        id::{GroupId, JobId, LaneId, MessageId, OutboxId},
        job::Tries,
        message::{Author, Content, Outbound},
    };
    use ngb_store::{DecisionRow, StoredMessage};

    use super::*;

    const NOON: Timestamp = Timestamp(1_795_348_800_000);

    fn place() -> Place {
        "telegram@main:1".parse::<Jid>().unwrap().into()
    }

    fn why(decisions: &[(Decision, &str)]) -> Why {
        let decision = |(kind, detail): &(Decision, &str)| DecisionRow {
            at: NOON,
            kind: *kind,
            detail: (*detail).into(),
            job: None,
            run: None,
        };
        let message = StoredMessage {
            id: MessageId(1),
            place: place(),
            author: Author::User,
            sender_id: "7".into(),
            sender_name: "Ann".into(),
            role: None,
            content: Content::default(),
            in_reply_to: None,
            reply_text: None,
            group: None,
            lane: None,
            run: None,
            state: "received".into(),
            sent_at: NOON,
            received_at: NOON,
        };
        let decisions = decisions.iter().map(decision).collect();
        Why { message, decisions, jobs: Vec::new(), outbox: Vec::new(), usage: Vec::new() }
    }

    fn job(state: &str, failures: u32, error: Option<&str>, mut why: Why) -> Why {
        why.jobs.push(JobRow {
            id: JobId(4),
            group: GroupId(1),
            lane: LaneId(1),
            message: Some(MessageId(1)),
            place: place(),
            state: state.into(),
            run_at: NOON,
            tries: Tries { failures, gateway_deaths: 0 },
            error: error.map(str::to_owned),
            created_at: NOON,
        });
        why
    }

    fn sent(state: &str, error: Option<&str>) -> Why {
        let mut why = job("done", 0, None, why(&[]));
        why.outbox.push(OutboxRow {
            id: OutboxId(1),
            place: place(),
            item: Outbound::Typing,
            state: state.into(),
            attempt: 1,
            platform_id: None,
            error: error.map(str::to_owned),
            created_at: NOON,
            sent_at: (state == "sent").then_some(NOON),
        });
        why
    }

    #[test]
    fn each_state_has_its_sentence() {
        use Decision::*;
        let at = "2026-11-22T12:00:00.000Z";
        #[rustfmt::skip]
        let table = [
            (why(&[(Received, "")]),                              "It is stored, and nothing was decided about it yet.".to_owned()),
            (why(&[(Received, ""), (Dropped, "it is of a bot")]), "Nobody is to answer it: it is of a bot.".into()),
            (why(&[(Kept, "nobody addressed the agent")]),        "Nobody is to answer it; it is kept as context for the next message that is answered: nobody addressed the agent.".into()),
            (why(&[(PairingOffered, "")]),                        "Its chat is not let in; a code was offered.".into()),
            (why(&[(Command, "asks for its role")]),              "The gateway did it at once: asks for its role.".into()),
            (why(&[(AskAnswered, "")]),                           "It answered a question of the agent.".into()),
            (why(&[(Refused, "500 wait already")]),               "It was not taken, and the chat was told: 500 wait already.".into()),
            (why(&[(Kept, "x"), (Deleted, "")]),                  "It was taken back.".into()),
            (job("queued", 0, None, why(&[])),                    format!("It waits for its turn since {at}.")),
            (job("queued", 1, Some("no network"), why(&[])),      format!("It failed 1 time and is tried again at {at}: no network.")),
            (job("queued", 2, Some("no network"), why(&[])),      format!("It failed 2 times and is tried again at {at}: no network.")),
            (job("running", 0, None, why(&[])),                   "An agent works on it.".into()),
            (job("dead", 6, Some("gave up"), why(&[])),           "It was given up: gave up. `nanogridbot dead requeue 4` puts it back.".into()),
            (job("cancelled", 0, None, why(&[(Interrupted, "somebody stopped it")])), "It was stopped: somebody stopped it.".into()),
            (job("done", 0, None, why(&[])),                      "It was answered.".into()),
            (sent("sending", None),                               "It was answered; the answer is on its way.".into()),
            (sent("pending", Some("429")),                        "It was answered; the answer could not be sent yet: 429.".into()),
            (sent("sent", None),                                  format!("It was answered; the platform has the answer since {at}.")),
            (sent("failed", Some("the bot was blocked")),         "It was answered, but the platform did not take the answer: the bot was blocked. `nanogridbot dead requeue send-1` sends it again.".into()),
        ];
        for (why, want) in table {
            assert_eq!(of(&why), want, "{why:?}");
        }
    }
}
