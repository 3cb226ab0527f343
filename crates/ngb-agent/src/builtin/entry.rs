//! What a conversation is made of, on disk and in memory.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One line of a transcript.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "snake_case")]
pub(crate) enum Entry {
    /// What people said, or what the gateway has to say.
    User { text: String },
    /// One answer of the model.
    Assistant {
        text: String,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        thoughts: Vec<Thought>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        calls: Vec<ToolUse>,
    },
    /// What came of a call; each call has exactly one, before anything else is said.
    Result { call: String, tool: String, ok: bool, output: String },
    /// What stands for all that was said before.
    Summary {
        text: String,
        /// Said once, and kept word for word.
        facts: Vec<String>,
    },
    /// The conversation from here on: it was compacted or mended, and what stands before no longer counts.
    Restart { live: Vec<Self> },
}

/// Something a model thought, with the signature by which its provider knows it again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Thought {
    pub(crate) thinking: String,
    pub(crate) signature: String,
}

/// One call of a tool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ToolUse {
    pub(crate) id: String,
    pub(crate) name: String,
    /// Always an object: providers take nothing else back.
    pub(crate) input: Value,
}

impl Entry {
    pub(crate) fn user(text: impl Into<String>) -> Self {
        Self::User { text: text.into() }
    }
}

/// Adds the results that are missing, and drops those whose call is missing.
pub(crate) fn close_calls(entries: &[Entry], missing: &str) -> Vec<Entry> {
    let mut res = Vec::with_capacity(entries.len());
    let mut open: Vec<&ToolUse> = Vec::new();
    let give_up = |open: &mut Vec<&ToolUse>, res: &mut Vec<Entry>| {
        for it in open.drain(..) {
            let (call, tool) = (it.id.clone(), it.name.clone());
            res.push(Entry::Result { call, tool, ok: false, output: missing.to_owned() });
        }
    };
    for entry in entries {
        if let Entry::Result { call, .. } = entry {
            if let Some(at) = open.iter().position(|it| it.id == *call) {
                open.remove(at);
                res.push(entry.clone());
            }
            continue;
        }
        give_up(&mut open, &mut res);
        if let Entry::Assistant { calls, .. } = entry {
            open.extend(calls);
        }
        res.push(entry.clone());
    }
    give_up(&mut open, &mut res);
    res
}

/// The conversation as plain talk, for a model that refuses it, or that has no tools.
pub(crate) fn flatten(entries: &[Entry]) -> Vec<Entry> {
    let plain = |entry: &Entry| match entry {
        Entry::Assistant { text, calls, .. } => {
            let calls = calls.iter().map(|it| format!("[called {} {}]", it.name, it.input));
            let text = std::iter::once(text.clone()).chain(calls).collect::<Vec<_>>().join("\n");
            Entry::Assistant { text, thoughts: Vec::new(), calls: Vec::new() }
        }
        Entry::Result { tool, output, .. } => Entry::user(format!("[result of {tool}]\n{output}")),
        other => other.clone(),
    };
    entries.iter().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assistant(ids: &[&str]) -> Entry {
        let calls = ids.iter().map(|id| ToolUse {
            id: id.to_string(),
            name: "bash".into(),
            input: Value::Null,
        });
        Entry::Assistant { text: String::new(), thoughts: Vec::new(), calls: calls.collect() }
    }

    fn result(id: &str, output: &str) -> Entry {
        let (call, tool) = (id.into(), "bash".into());
        Entry::Result { call, tool, ok: output != "gone", output: output.into() }
    }

    #[test]
    fn each_call_gets_its_result() {
        let user = || Entry::user("u");
        #[rustfmt::skip]
        let table = [
            (vec![user(), assistant(&["a"]), result("a", "1")],
             vec![user(), assistant(&["a"]), result("a", "1")]),
            (vec![assistant(&["a", "b"]), result("b", "1"), user()],
             vec![assistant(&["a", "b"]), result("b", "1"), result("a", "gone"), user()]),
            (vec![result("x", "1"), user()],
             vec![user()]),
            (vec![assistant(&["a"])],
             vec![assistant(&["a"]), result("a", "gone")]),
        ];
        for (given, want) in table {
            assert_eq!(close_calls(&given, "gone"), want);
        }
    }
}
