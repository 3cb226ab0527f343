//! Answers `!hello`.

wit_bindgen::generate!({ path: "wit", world: "plugin", generate_all });

use exports::nanogridbot::plugin::message_received::{Guest, Message, Verdict};
use nanogridbot::plugin::{config, log};

struct Plugin;

export!(Plugin);

impl Guest for Plugin {
    fn handle(message: Message) -> Result<Verdict, String> {
        if message.text.trim() != "!hello" {
            return Ok(Verdict::Pass);
        }
        log::write(log::Level::Info, &format!("{} says hello", message.sender));
        // The settings are a JSON object; a real plugin reads it with a crate for JSON.
        let polite = config::get().contains("\"polite\":true");
        let name = if polite { format!("dear {}", message.sender_name) } else { message.sender_name };
        Ok(Verdict::Answer(format!("Hello, {name}!")))
    }
}
