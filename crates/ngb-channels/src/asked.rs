//! Questions that were put on cards: what stands on each, so that a press can change it into what was chosen.
//!
//! It is lost with the process, which costs that change: the press itself is stored like any other event.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use ngb_core::message::{Button, MAX_BUTTON_BYTES};

/// Most cards that are remembered; then the oldest is forgotten.
const MOST: usize = 500;

/// One card with a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Card {
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) buttons: Vec<Button>,
}

impl Card {
    /// What stands on the button with that value.
    pub(crate) fn label(&self, value: &str) -> Option<&str> {
        self.buttons.iter().find(|it| it.value == value).map(|it| it.label.as_str())
    }
}

/// The cards that nobody has answered yet.
#[derive(Default)]
pub(crate) struct Asked(Mutex<VecDeque<Card>>);

impl Asked {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Card>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn put(&self, card: Card) {
        let mut all = self.lock();
        all.retain(|it| it.name != card.name);
        if MOST <= all.len() {
            all.pop_front();
        }
        all.push_back(card);
    }

    /// The card of that name, which is forgotten: only the first press changes it.
    pub(crate) fn take(&self, name: &str) -> Option<Card> {
        let mut all = self.lock();
        let at = all.iter().position(|it| it.name == name)?;
        all.remove(at)
    }
}

/// The first button whose value no platform would give back: an empty one, or a longer one than it may be.
pub(crate) fn unfit(buttons: &[Button]) -> Option<String> {
    let long = |it: &&Button| it.value.is_empty() || MAX_BUTTON_BYTES < it.value.len();
    let it = buttons.iter().find(long)?;
    Some(format!("the value of the button `{}` is not 1 to {MAX_BUTTON_BYTES} bytes", it.label))
}

/// The question with its answers as a list, where no card can be had: people answer in words.
pub(crate) fn in_words(text: &str, buttons: &[Button]) -> String {
    let labels = buttons.iter().map(|it| format!("\n- {}", it.label));
    format!("{}\n{}", text.trim_end(), labels.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(name: &str) -> Card {
        let button = Button { label: "Yes".into(), value: "7:0".into() };
        Card { name: name.into(), text: "Really?".into(), buttons: vec![button] }
    }

    #[test]
    fn a_card_is_changed_once_and_the_oldest_is_forgotten() {
        let asked = Asked::default();
        for n in 0..=MOST {
            asked.put(card(&n.to_string()));
        }
        asked.put(card("7"));
        assert_eq!(asked.take("0"), None);
        assert_eq!(asked.take("7").unwrap().label("7:0"), Some("Yes"));
        assert_eq!(asked.take("7"), None);
        assert_eq!(card("1").label("7:1"), None);
    }

    #[test]
    fn what_no_platform_gives_back_is_refused() {
        let with = |value: &str| vec![Button { label: "Yes".into(), value: value.into() }];
        assert_eq!(unfit(&with("7:0")), None);
        for value in [String::new(), "x".repeat(MAX_BUTTON_BYTES + 1)] {
            assert!(unfit(&with(&value)).unwrap().contains("`Yes`"), "{value}");
        }
        assert_eq!(in_words("Really? ", &card("1").buttons), "Really?\n\n- Yes");
    }
}
