//! The settings without their secrets.

use ngb_core::secret::Secret;

use crate::{settings::Settings, shown::HIDDEN};

/// The file of settings with `[secret]` in place of every secret; `gone` names those settings.
pub(super) fn without_secrets(
    text: &str,
    settings: &Settings,
    gone: &mut Vec<String>,
) -> anyhow::Result<String> {
    let mut all: Vec<Secret> = settings.hidden();
    for (_, it) in settings.secret_settings() {
        all.extend(it.literal().cloned());
    }
    all.retain(|it| !it.expose().is_empty());
    // Not the error's own text: it quotes the line.
    let read = toml::from_str::<toml::Table>(text).map_err(|err| err.message().to_owned());
    let mut tree = toml::Value::Table(read.map_err(anyhow::Error::msg)?);
    hide("", &mut tree, &all, gone);
    // What people wrote stays as it is where there is nothing to hide.
    if gone.is_empty() { Ok(text.to_owned()) } else { Ok(toml::to_string(&tree)?) }
}

fn hide(at: &str, it: &mut toml::Value, secrets: &[Secret], gone: &mut Vec<String>) {
    let inner = |key: &str| if at.is_empty() { key.to_owned() } else { format!("{at}.{key}") };
    match it {
        toml::Value::Table(table) => {
            for (key, value) in table.iter_mut() {
                hide(&inner(key), value, secrets, gone);
            }
        }
        toml::Value::Array(list) => {
            for (n, value) in list.iter_mut().enumerate() {
                hide(&inner(&n.to_string()), value, secrets, gone);
            }
        }
        toml::Value::String(text) => {
            let before = text.clone();
            // What was restored from such a backup has nothing to hide.
            for secret in secrets.iter().map(Secret::expose).filter(|it| *it != HIDDEN) {
                // Alone, or as the password within an address.
                if text == secret {
                    HIDDEN.clone_into(text);
                } else if text.contains("://") {
                    *text = text.replace(secret, HIDDEN);
                }
            }
            if *text != before {
                gone.push(at.to_owned());
            }
        }
        _ => (),
    }
}
