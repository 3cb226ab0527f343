//! Secrets of the settings, which go into no file: where one stands in a text, a reference stands in the file.

use ngb_core::secret::Secret;

use crate::{
    cli::BadArgument,
    home::Home,
    settings::{Environment, Settings},
};

/// What a reference begins with, before the setting's name.
const OPEN: &str = "{{secret:";
const CLOSE: &str = "}}";

/// A shorter one stands in many a text by chance.
const MIN_CHARS: usize = 6;

/// The secrets of the settings, by the setting's name.
pub(super) struct Hidden(Vec<(String, Secret)>);

impl Hidden {
    /// Those that can be had; one whose variable is not set can stand in no text.
    pub(super) fn read(home: &Home) -> anyhow::Result<Self> {
        let env = Environment::read(home.path())?;
        let settings = Settings::load(&home.config(), false, &env)?;
        let found = settings.secret_settings().into_iter();
        let mut all: Vec<(String, Secret)> = found
            .filter_map(|(name, it)| Some((name.clone(), it.resolve(&name, &env).ok()?)))
            .filter(|it| MIN_CHARS <= it.1.expose().chars().count())
            .collect();
        // One that holds another goes first.
        all.sort_by_key(|it| std::cmp::Reverse(it.1.expose().len()));
        Ok(Self(all))
    }

    /// `text` with a reference in place of each secret.
    pub(super) fn conceal(&self, text: &str) -> String {
        let one = |text: String, (name, secret): &(String, Secret)| {
            text.replace(&written(secret.expose()), &format!("{OPEN}{name}{CLOSE}"))
        };
        self.0.iter().fold(text.to_owned(), one)
    }

    /// `text` with the secret in place of each reference.
    pub(super) fn reveal(&self, text: &str) -> Result<String, BadArgument> {
        let mut res = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once(OPEN) {
            let Some((name, after)) = after.split_once(CLOSE) else { break };
            let Some((_, secret)) = self.0.iter().find(|it| it.0 == name) else {
                let why = format!(
                    "the file refers to the secret `{name}`, which the settings here do not have"
                );
                return Err(BadArgument(why));
            };
            res += before;
            res += &written(secret.expose());
            rest = after;
        }
        Ok(res + rest)
    }
}

/// As it stands inside of a TOML string.
fn written(secret: &str) -> String {
    secret.replace('\\', "\\\\").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_a_reference_in_the_file() {
        let all = [("web.token", "s3cret-and-more"), ("channels.telegram.main.token", "1:\"x\"yz")];
        let hidden = Hidden(all.map(|(name, it)| (name.to_owned(), Secret::new(it))).to_vec());
        let text = "a = \"use s3cret-and-more\"\nb = \"1:\\\"x\\\"yz\"\n";
        let concealed = hidden.conceal(text);
        assert_eq!(
            concealed,
            "a = \"use {{secret:web.token}}\"\nb = \"{{secret:channels.telegram.main.token}}\"\n"
        );
        assert_eq!(hidden.reveal(&concealed).unwrap(), text);
        let err = hidden.reveal("x = \"{{secret:none}}\"").unwrap_err().to_string();
        assert!(err.contains("`none`"), "{err}");
    }
}
