//! What a plugin may do and what it was refused, as people are shown it.

use crate::wasm::manifest::{Capabilities, Capability};

/// Something that a plugin asks for, and whether it has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    pub capability: Capability,
    /// The chats or hosts that it is for; empty where there are none to name.
    pub names: Vec<String>,
    pub is_granted: bool,
}

impl Grant {
    /// What of `declared` is in `granted`, and what is not. A list of names of which some were left out makes two.
    pub fn all(declared: &Capabilities, granted: &Capabilities) -> Vec<Self> {
        let mut all = Vec::new();
        for (&capability, asked) in &declared.0 {
            let theirs = granted.0.get(&capability);
            if let Some(names) = theirs {
                all.push(Self { capability, names: names.clone(), is_granted: true });
            }
            let is_left_out = |it: &&String| theirs.is_none_or(|names| !names.contains(it));
            let names: Vec<_> = asked.iter().filter(is_left_out).cloned().collect();
            if theirs.is_none() || !names.is_empty() {
                all.push(Self { capability, names, is_granted: false });
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_out_is_shown_beside_what_was_granted() {
        let manifest = |text: &str| toml::from_str::<Capabilities>(text).unwrap();
        let declared = manifest("log = true\nkv = true\nhttp = ['a.example', 'b.example']");
        let granted = manifest("log = true\nhttp = ['b.example']");
        let shown: Vec<_> = Grant::all(&declared, &granted)
            .into_iter()
            .map(|it| (it.capability.as_str(), it.names.join(" "), it.is_granted))
            .collect();
        let row = |name, names: &str, is_granted| (name, names.to_owned(), is_granted);
        let want = [
            row("log", "", true),
            row("kv", "", false),
            row("http", "b.example", true),
            row("http", "a.example", false),
        ];
        assert_eq!(shown, want);
    }
}
