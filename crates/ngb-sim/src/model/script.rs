//! What the model says: decided by the last thing that the user said, line by line.
//!
//! | line | effect |
//! |---|---|
//! | `tool:bash {"command":"ls"}` | calls the tool; several such lines are called one after another |
//! | `parallel` | calls all of them at once |
//! | `think:TEXT` | thinks so first |
//! | `say:TEXT` | answers exactly that |
//! | `long:N` | answers with N characters |
//! | `recall:WORD` | answers with the line of the prompt that has WORD in it, outside this request |
//! | anything else | echoes it, and then the results of the tools |
//!
//! A request to summarise (its text has [`SUMMARISE`] in it) gets each line with `fact` in it, once.

use serde_json::Value;

use super::{Answer, Asked, Item, ToolCall};

/// What marks a request for a summary.
const SUMMARISE: &str = "<summarise>";

/// What stands for the result of a tool that did not end: it is called again.
const CUT_OFF: &str = "[cut off before";

/// Longest summary, in bytes.
const MAX_SUMMARY_BYTES: usize = 4_000;

pub(super) fn answer(asked: &Asked) -> Answer {
    let asks = |it: &Item| matches!(it, Item::User(text) if !is_note(text));
    let last_user = asked.items.iter().rposition(asks);
    let Some(at) = last_user else {
        return Answer { text: "nobody said anything".into(), ..Answer::default() };
    };
    let Item::User(raw) = &asked.items[at] else { return Answer::default() };
    if raw.contains(SUMMARISE) {
        return Answer { text: summary(raw), ..Answer::default() };
    }
    let results: Vec<&str> = asked.items[at..]
        .iter()
        .filter_map(|it| match it {
            Item::Result { text, .. } if !text.contains(CUT_OFF) => Some(text.as_str()),
            _ => None,
        })
        .collect();
    let said = said(raw);
    let mut res = Answer::default();
    let mut calls = Vec::new();
    let mut all_at_once = false;
    let mut exact = None;
    let mut echoed: Vec<&str> = Vec::new();
    for line in said.lines() {
        if let Some((name, input)) = line.strip_prefix("tool:").and_then(|it| it.split_once(' ')) {
            let id = format!("call_{at}_{}", calls.len());
            let input = serde_json::from_str(input).unwrap_or(Value::Null);
            calls.push(ToolCall { id, name: name.to_owned(), input });
        } else if line == "parallel" {
            all_at_once = true;
        } else if let Some(thought) = line.strip_prefix("think:") {
            res.thinking = thought.to_owned();
        } else if let Some(text) = line.strip_prefix("say:") {
            exact = Some(text.to_owned());
        } else if let Some(count) = line.strip_prefix("long:").and_then(|it| it.parse().ok()) {
            exact = Some("lorem ipsum ".chars().cycle().take(count).collect());
        } else if let Some(word) = line.strip_prefix("recall:") {
            exact = Some(recall(asked, at, word));
        } else {
            echoed.push(line);
        }
    }
    let left = calls.split_off(results.len().min(calls.len()));
    if asked.has_tools && !left.is_empty() {
        res.calls = left.into_iter().take(if all_at_once { usize::MAX } else { 1 }).collect();
        return res;
    }
    echoed.extend(&results);
    res.text = exact.unwrap_or_else(|| echoed.join("\n"));
    res
}

/// Whether this is the gateway's word that a try was cut off, and nothing else: the work goes on with what was asked.
fn is_note(text: &str) -> bool {
    text.starts_with("[An earlier try") && !text.contains('\n')
}

/// What the people said: the texts of the message envelopes in `raw`, or all of it where there are none.
fn said(raw: &str) -> String {
    let texts: Vec<String> = raw
        .lines()
        .filter_map(|line| {
            let envelope: Value = serde_json::from_str(line).ok()?;
            if envelope.get("context") == Some(&Value::Bool(true)) {
                return None;
            }
            Some(envelope.get("text")?.as_str()?.to_owned())
        })
        .collect();
    if texts.is_empty() { raw.to_owned() } else { texts.join("\n") }
}

fn recall(asked: &Asked, last_user: usize, word: &str) -> String {
    let texts = asked.items[..last_user].iter().map(|it| match it {
        Item::User(text) | Item::Assistant { text, .. } | Item::Result { text, .. } => {
            text.as_str()
        }
    });
    std::iter::once(asked.system.as_str())
        .chain(texts)
        .flat_map(str::lines)
        .find(|line| line.contains(word))
        .map_or_else(|| format!("I know nothing of {word}"), str::to_owned)
}

fn summary(raw: &str) -> String {
    let mut res = String::new();
    for line in raw.lines().filter(|it| it.contains("fact")) {
        if !res.contains(line) && res.len() + line.len() <= MAX_SUMMARY_BYTES {
            res += line;
            res.push('\n');
        }
    }
    res
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn script() {
        let text = |text: &str| Answer { text: text.into(), ..Answer::default() };
        let call = |at: usize, name: &str| ToolCall {
            id: format!("call_0_{at}"),
            name: name.into(),
            input: json!({"a": 1}),
        };
        let calls = |calls: &[ToolCall]| Answer { calls: calls.to_vec(), ..Answer::default() };
        let two = "tool:x {\"a\":1}\ntool:y {\"a\":1}\nend";
        let envelope = json!({"sender": "Ann", "text": "hi\nsay:yes"}).to_string();
        #[rustfmt::skip]
        let table: Vec<(String, usize, Answer)> = vec![
            ("hello".into(),                     0, text("hello")),
            ("a\nsay:b".into(),                  0, text("b")),
            ("long:5".into(),                    0, text("lorem")),
            (two.into(),                         0, calls(&[call(0, "x")])),
            (two.into(),                         1, calls(&[call(1, "y")])),
            (two.into(),                         2, text("end\nr\nr")),
            (format!("parallel\n{two}"),         0, calls(&[call(0, "x"), call(1, "y")])),
            (format!("Messages:\n{envelope}"),   0, text("yes")),
            ("<summarise>\nfact: 7\nx\nfact: 7".into(), 0, text("fact: 7\n")),
        ];
        for (said, results, want) in table {
            let mut items = vec![Item::User(said.clone())];
            for _ in 0..results {
                items.push(Item::Result { call: String::new(), text: "r".into() });
            }
            let asked = Asked { items, has_tools: true, ..Asked::default() };
            assert_eq!(answer(&asked), want, "{said}");
        }
    }
}
