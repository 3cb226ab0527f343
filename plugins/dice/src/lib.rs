//! Rolls dice: `!roll 2d6`. Knows how often it has rolled, also after it was replaced.

wit_bindgen::generate!({ path: "wit", world: "plugin", generate_all });

use std::cell::Cell;

use exports::nanogridbot::plugin::{
    message_received::{self, Message, Verdict},
    state,
};
use nanogridbot::plugin::{config, metrics, random};

thread_local! {
    /// Rolls so far. A component has one thread.
    static ROLLS: Cell<u64> = const { Cell::new(0) };
}

/// The most sides of a die: one byte decides.
const MAX_SIDES: u8 = 100;

struct Dice;

export!(Dice);

impl message_received::Guest for Dice {
    fn handle(message: Message) -> Result<Verdict, String> {
        let Some(wanted) = message.text.trim().strip_prefix("!roll ") else {
            return Ok(Verdict::Pass);
        };
        let max = max_dice()?;
        let Some((count, sides)) = parse(wanted, max) else {
            let usage = format!("Like this: !roll 2d6, with up to {max} dice of up to {MAX_SIDES} sides.");
            return Ok(Verdict::Answer(usage));
        };
        let rolled: Vec<u8> = (0..count).map(|_| roll(sides)).collect();
        let number = ROLLS.get() + 1;
        ROLLS.set(number);
        metrics::add("rolls", 1.0);
        let each: Vec<String> = rolled.iter().map(u8::to_string).collect();
        let sum: u32 = rolled.iter().copied().map(u32::from).sum();
        let dice = each.join(" + ");
        Ok(Verdict::Answer(match count {
            1 => format!("Roll {number}: {sum}"),
            _ => format!("Roll {number}: {dice} = {sum}"),
        }))
    }
}

impl state::Guest for Dice {
    fn save() -> Result<Vec<u8>, String> {
        Ok(ROLLS.get().to_le_bytes().to_vec())
    }

    fn restore(state: Vec<u8>) -> Result<(), String> {
        let bytes = state.try_into().map_err(|it: Vec<u8>| format!("{} bytes are no count", it.len()))?;
        ROLLS.set(u64::from_le_bytes(bytes));
        Ok(())
    }
}

fn max_dice() -> Result<u8, String> {
    let config: serde_json::Value = serde_json::from_str(&config::get()).map_err(|err| err.to_string())?;
    let max = config["max_dice"].as_u64().and_then(|it| u8::try_from(it).ok());
    max.ok_or_else(|| "max_dice is no number of dice".to_owned())
}

/// `2d6` as (2, 6).
fn parse(text: &str, max: u8) -> Option<(u8, u8)> {
    let (count, sides) = text.trim().split_once('d')?;
    let count = if count.is_empty() { 1 } else { count.parse().ok()? };
    let sides = sides.parse().ok()?;
    ((1..=max).contains(&count) && (1..=MAX_SIDES).contains(&sides)).then_some((count, sides))
}

/// One of 1 to `sides`, each as likely: bytes beyond the last whole multiple are thrown away.
fn roll(sides: u8) -> u8 {
    let fair = (256 / u16::from(sides) * u16::from(sides)) as u16;
    loop {
        let byte = random::bytes(1)[0];
        if u16::from(byte) < fair {
            return byte % sides + 1;
        }
    }
}
