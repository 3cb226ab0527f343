//! Counts tokens from what a provider answers, while it passes.
//!
//! | kind | input | output |
//! |---|---|---|
//! | Anthropic | `message_start` | `message_delta`, cumulative |
//! | OpenAI | the chunk with `usage`, when the request asked for it | the same |
//! | Ollama | the line with `done` | the same |
//!
//! Until the provider says, and when the stream is cut before it does, a number is estimated as a quarter of the bytes.

use ngb_core::{frame::ProviderKind, price::TokenCounts};
use serde_json::Value;

use crate::usage::LedgerLine;

/// Longest line of a stream that is looked at, in bytes; a longer one passes uncounted.
const MAX_LINE_BYTES: usize = 1024 * 1024;

/// Counts one answer, piece by piece.
pub(crate) struct Counter {
    kind: ProviderKind,
    line: Vec<u8>,
    /// Whether the rest of this line is skipped, since it is too long.
    skipping: bool,
    told: Told,
    /// Bytes of the answer so far: text, thinking and arguments of tools.
    answer_bytes: usize,
    entry: LedgerLine,
}

/// What the provider said.
#[derive(Default)]
struct Told {
    input: Option<TokenCounts>,
    output: Option<u64>,
    complete: bool,
}

/// Tokens of so many bytes, where nobody says.
pub(crate) fn estimate(bytes: usize) -> u64 {
    bytes.div_ceil(4) as u64
}

impl Counter {
    /// Counts the answer to a request of `request_bytes`; until the provider says otherwise they are the input.
    pub(crate) fn new(kind: ProviderKind, request_bytes: usize, entry: LedgerLine) -> Self {
        let input = TokenCounts { input: estimate(request_bytes), ..TokenCounts::default() };
        entry.set(input, false);
        let told = Told { input: Some(input), ..Told::default() };
        let (line, skipping) = (Vec::new(), false);
        Self { kind, line, skipping, told, answer_bytes: 0, entry }
    }

    /// Takes a piece of the stream before it is passed on; returns what is known now.
    pub(crate) fn take(&mut self, piece: &[u8]) -> TokenCounts {
        for part in piece.split_inclusive(|it| *it == b'\n') {
            if !self.skipping {
                self.line.extend_from_slice(part);
            }
            if part.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                if !std::mem::take(&mut self.skipping) {
                    self.look_at(&line);
                }
            } else if MAX_LINE_BYTES < self.line.len() {
                self.line = Vec::new();
                self.skipping = true;
            }
        }
        self.note()
    }

    /// Takes an answer that is one JSON document.
    pub(crate) fn take_whole(&mut self, body: &[u8]) -> TokenCounts {
        if let Ok(body) = serde_json::from_slice::<Value>(body) {
            match self.kind {
                ProviderKind::Anthropic => self.anthropic_content(&body),
                ProviderKind::OpenAi => self.openai_choices(&body, "message"),
                ProviderKind::Ollama => (),
            }
            match self.kind {
                ProviderKind::Anthropic => {
                    self.anthropic_usage(&body["usage"]);
                    self.told.complete = self.told.output.is_some();
                }
                ProviderKind::OpenAi => self.openai_usage(&body["usage"]),
                ProviderKind::Ollama => self.ollama(&body),
            }
        }
        self.note()
    }

    fn note(&self) -> TokenCounts {
        let mut now = self.told.input.unwrap_or_default();
        // A model says "1" at the start and the truth at the end.
        let estimated = estimate(self.answer_bytes);
        now.output = match self.told.output {
            Some(output) if self.told.complete => output,
            Some(output) => output.max(estimated),
            None => estimated,
        };
        self.entry.set(now, self.told.complete);
        now
    }

    fn look_at(&mut self, line: &[u8]) {
        let json = match self.kind {
            ProviderKind::Ollama => line,
            ProviderKind::Anthropic | ProviderKind::OpenAi => match line.strip_prefix(b"data:") {
                Some(data) => data,
                None => return,
            },
        };
        let Ok(data) = serde_json::from_slice::<Value>(json) else { return };
        match self.kind {
            ProviderKind::Anthropic => self.anthropic(&data),
            ProviderKind::OpenAi => self.openai(&data),
            ProviderKind::Ollama => self.ollama(&data),
        }
    }

    fn anthropic(&mut self, data: &Value) {
        match data["type"].as_str() {
            Some("message_start") => {
                self.anthropic_usage(&data["message"]["usage"]);
                // What it says of the output at the start is no count.
                self.told.output = None;
            }
            Some("content_block_delta") => {
                for key in ["text", "thinking", "partial_json"] {
                    self.answer_bytes += data["delta"][key].as_str().map_or(0, str::len);
                }
            }
            Some("message_delta") => {
                self.anthropic_usage(&data["usage"]);
                self.told.complete = self.told.output.is_some();
            }
            _ => {}
        }
    }

    fn anthropic_usage(&mut self, usage: &Value) {
        let number = |key: &str| usage[key].as_u64();
        if let Some(input) = number("input_tokens") {
            self.told.input = Some(TokenCounts {
                input,
                output: 0,
                cache_read: number("cache_read_input_tokens").unwrap_or(0),
                cache_write: number("cache_creation_input_tokens").unwrap_or(0),
            });
        }
        self.told.output = number("output_tokens").or(self.told.output);
    }

    fn openai(&mut self, data: &Value) {
        self.openai_choices(data, "delta");
        self.openai_usage(&data["usage"]);
    }

    /// The answer's bytes, in the pieces of a stream or in one.
    fn openai_choices(&mut self, data: &Value, part: &str) {
        for choice in data["choices"].as_array().into_iter().flatten() {
            let delta = &choice[part];
            for key in ["content", "reasoning_content"] {
                self.answer_bytes += delta[key].as_str().map_or(0, str::len);
            }
            for call in delta["tool_calls"].as_array().into_iter().flatten() {
                self.answer_bytes += call["function"]["arguments"].as_str().map_or(0, str::len);
            }
        }
    }

    /// The same of Anthropic's, where it came in one.
    fn anthropic_content(&mut self, body: &Value) {
        for block in body["content"].as_array().into_iter().flatten() {
            for key in ["text", "thinking"] {
                self.answer_bytes += block[key].as_str().map_or(0, str::len);
            }
            if block["input"].is_object() {
                self.answer_bytes += block["input"].to_string().len();
            }
        }
    }

    fn openai_usage(&mut self, usage: &Value) {
        let Some(prompt) = usage["prompt_tokens"].as_u64() else { return };
        let cache_read = usage["prompt_tokens_details"]["cached_tokens"].as_u64().unwrap_or(0);
        let input = prompt.saturating_sub(cache_read);
        self.told.input = Some(TokenCounts { input, output: 0, cache_read, cache_write: 0 });
        self.told.output = usage["completion_tokens"].as_u64();
        self.told.complete = self.told.output.is_some();
    }

    fn ollama(&mut self, data: &Value) {
        let message = &data["message"];
        for key in ["content", "thinking"] {
            self.answer_bytes += message[key].as_str().map_or(0, str::len);
        }
        for call in message["tool_calls"].as_array().into_iter().flatten() {
            self.answer_bytes += call["function"]["arguments"].to_string().len();
        }
        if data["done"] == true {
            // A prompt that was in its cache is not counted, and the field is left out.
            let input = data["prompt_eval_count"].as_u64().unwrap_or(0);
            self.told.input = Some(TokenCounts { input, ..TokenCounts::default() });
            self.told.output = data["eval_count"].as_u64();
            self.told.complete = self.told.output.is_some();
        }
    }
}

#[cfg(test)]
mod tests {
    use ngb_core::id::RunId;
    use serde_json::json;

    use super::*;
    use crate::usage::Ledger;

    /// Servers of one's own often say nothing of tokens; their answers are not free for that.
    #[test]
    fn an_answer_in_one_piece_without_usage_is_estimated() {
        let text = "x".repeat(400);
        let call = json!({"command": "y".repeat(400)});
        let arguments = call.to_string();
        let table = [
            (ProviderKind::Anthropic, json!({"content": [{"type": "text", "text": text}]}), 100),
            (
                ProviderKind::Anthropic,
                json!({"content": [{"type": "tool_use", "input": call}]}),
                104,
            ),
            (ProviderKind::OpenAi, json!({"choices": [{"message": {"content": text}}]}), 100),
            (
                ProviderKind::OpenAi,
                json!({"choices": [{"message": {"content": null, "tool_calls": [{"function": {"arguments": arguments}}]}}]}),
                104,
            ),
            (ProviderKind::Ollama, json!({"message": {"content": text}}), 100),
        ];
        for (kind, body, output) in table {
            let ledger = Ledger::default();
            let mut counter = Counter::new(kind, 40, ledger.begin(RunId(1), "p", "m"));
            counter.take_whole(body.to_string().as_bytes());
            drop(counter);
            let used = &ledger.take()[0];
            let got = (used.input_tokens, used.output_tokens, used.complete);
            assert_eq!(got, (10, output, false), "{kind:?} {body}");
        }
    }
}
