//! The names that the original read from its environment, and what they are called here.

use tracing::warn;

use crate::settings::Environment;

/// What the original read, and where it is set now.
#[rustfmt::skip]
const RENAMED: &[(&str, &str)] = &[
    ("TELEGRAM_BOT_TOKEN",                  "NGB_CHANNELS__TELEGRAM__MAIN__TOKEN"),
    ("SLACK_BOT_TOKEN",                     "NGB_CHANNELS__SLACK__MAIN__BOT_TOKEN"),
    ("DISCORD_BOT_TOKEN",                   "NGB_CHANNELS__DISCORD__MAIN__TOKEN"),
    ("DB_PATH",                             "NGB_DATABASE__URL"),
    ("BASE_DIR",                            "NGB_HOME"),
    ("DATA_DIR",                            "NGB_HOME"),
    ("WEB_HOST",                            "NGB_WEB__BIND"),
    ("WEB_PORT",                            "NGB_WEB__PORT"),
    ("LOG_LEVEL",                           "NGB_LOG__LEVEL"),
    ("CLAUDE_MODEL",                        "NGB_AGENT__MODEL"),
    ("CLAUDE_MAX_TOKENS",                   "NGB_AGENT__MAX_OUTPUT_TOKENS"),
    ("CLAUDE_API_URL",                      "ANTHROPIC_BASE_URL"),
    ("ANTHROPIC_API_URL",                   "ANTHROPIC_BASE_URL"),
    ("CONTAINER_MAX_CONCURRENT_CONTAINERS", "NGB_AGENT__MAX_RUNS"),
];

/// A line for each variable that the original would have read, that is set, and that means nothing here.
pub(crate) fn hints(env: &Environment) -> Vec<String> {
    let unread =
        RENAMED.iter().filter(|(old, new)| env.get(old).is_some() && env.get(new).is_none());
    unread.map(|(old, new)| format!("`{old}` is not read; write `{new}`")).collect()
}

/// Says them in the log.
pub(crate) fn warn_of(env: &Environment) {
    for hint in hints(env) {
        warn!("{hint}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_set_under_both_names_needs_no_hint() {
        let env =
            Environment::of(&[("WEB_PORT", "1"), ("DB_PATH", "x"), ("NGB_DATABASE__URL", "y")]);
        assert_eq!(hints(&env), ["`WEB_PORT` is not read; write `NGB_WEB__PORT`"]);
    }
}
