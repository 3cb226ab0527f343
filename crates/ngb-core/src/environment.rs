//! Variables that a group's agents are given: which there may be, and which are no place for a secret.

use std::collections::BTreeMap;

use thiserror::Error;

/// Variables of one group.
const MAX_VARIABLES: usize = 64;

/// Longest name and longest value, in bytes.
const MAX_NAME_BYTES: usize = 128;
const MAX_VALUE_BYTES: usize = 8 << 10;

/// What the sandbox itself says, and an agent relies on.
const FIXED: &[&str] = &["HOME", "TMPDIR"];

/// A word of a name that says that its value is a secret.
const SECRET_WORDS: &[&str] = &[
    "APIKEY",
    "AUTH",
    "COOKIE",
    "CREDENTIAL",
    "CREDENTIALS",
    "KEY",
    "PASS",
    "PASSPHRASE",
    "PASSWD",
    "PASSWORD",
    "PRIVATE",
    "PWD",
    "SECRET",
    "SECRETS",
    "TOKEN",
    "TOKENS",
];

/// How keys begin that providers give out: Anthropic and OpenAI, GitHub, GitLab, Slack, AWS, Google, Hugging Face, npm,
/// PyPI, PEM files, JSON web tokens.
const SECRET_BEGINNINGS: &[&str] = &[
    "sk-",
    "sk_live_",
    "ghp_",
    "gho_",
    "ghs_",
    "github_pat_",
    "glpat-",
    "xoxb-",
    "xoxp-",
    "xapp-",
    "AKIA",
    "ASIA",
    "AIza",
    "hf_",
    "npm_",
    "pypi-",
    "-----BEGIN",
    "eyJhbGciOi",
];

/// Why a variable is refused.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum BadVariable {
    #[error("{0} variables; a group may have {MAX_VARIABLES}")]
    TooMany(usize),
    #[error(
        "`{0}` is no name for a variable: letters, digits and `_`, no digit first, {MAX_NAME_BYTES} bytes at most"
    )]
    Name(String),
    #[error("`{0}` is what the sandbox says")]
    Fixed(String),
    #[error("the value of `{0}` has a NUL in it, or more than {MAX_VALUE_BYTES} bytes")]
    Value(String),
    /// Says nothing of the value.
    #[error(
        "`{0}` looks like a credential, and whatever runs inside could read it; keys belong into the settings, from where \
         they are added to a request outside of the sandbox"
    )]
    Secret(String),
}

/// # Errors
///
/// The first variable that may not be.
pub fn check(variables: &BTreeMap<String, String>) -> Result<(), BadVariable> {
    if MAX_VARIABLES < variables.len() {
        return Err(BadVariable::TooMany(variables.len()));
    }
    for (name, value) in variables {
        let plain = |it: char| it.is_ascii_alphanumeric() || it == '_';
        let begins = |it: char| it.is_ascii_alphabetic() || it == '_';
        if !name.starts_with(begins) || !name.chars().all(plain) || MAX_NAME_BYTES < name.len() {
            return Err(BadVariable::Name(name.clone()));
        }
        if FIXED.contains(&name.as_str()) {
            return Err(BadVariable::Fixed(name.clone()));
        }
        if value.contains('\0') || MAX_VALUE_BYTES < value.len() {
            return Err(BadVariable::Value(name.clone()));
        }
        if is_secret(name, value) {
            return Err(BadVariable::Secret(name.clone()));
        }
    }
    Ok(())
}

fn is_secret(name: &str, value: &str) -> bool {
    let name = name.to_ascii_uppercase();
    let named = name.split('_').any(|it| SECRET_WORDS.contains(&it));
    let begins = SECRET_BEGINNINGS.iter().any(|it| value.trim_start().starts_with(it));
    // A password in an address: `postgres://user:password@host`.
    let in_address = value.split_once("://").is_some_and(|(_, rest)| {
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'))
    });
    named || begins || in_address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be() {
        let secret = |it: &str| Err(BadVariable::Secret(it.into()));
        #[rustfmt::skip]
        let table = [
            ("LANG",              "de_DE.UTF-8",                Ok(())),
            ("KEYBOARD_LAYOUT",   "us",                         Ok(())),
            ("MONKEY",            "a",                          Ok(())),
            ("PROJECT_URL",       "https://example.com/a@b:c",  Ok(())),
            ("HOME",              "/",                          Err(BadVariable::Fixed("HOME".into()))),
            ("1A",                "",                           Err(BadVariable::Name("1A".into()))),
            ("A=B",               "",                           Err(BadVariable::Name("A=B".into()))),
            ("",                  "",                           Err(BadVariable::Name(String::new()))),
            ("A",                 "a\0b",                       Err(BadVariable::Value("A".into()))),
            ("OPENAI_API_KEY",    "x",                          secret("OPENAI_API_KEY")),
            ("github_token",      "x",                          secret("github_token")),
            ("DB_PASSWORD",       "x",                          secret("DB_PASSWORD")),
            ("MODEL",             "sk-ant-abc",                 secret("MODEL")),
            ("CERT",              "-----BEGIN PRIVATE KEY-----", secret("CERT")),
            ("DATABASE_URL",      "postgres://me:pw@host/db",   secret("DATABASE_URL")),
            ("DATABASE_URL",      "postgres://me@host/db",      Ok(())),
        ];
        for (name, value, want) in table {
            assert_eq!(check(&BTreeMap::from([(name.into(), value.into())])), want, "{name}");
        }
    }
}
