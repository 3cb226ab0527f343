//! Which model answers: from the settings, or from the variables that other programs use.

use std::collections::BTreeMap;

use ngb_broker::{Auth, Provider};
use ngb_core::{
    driver::{BadModelName, Driver, ModelName, UnknownDriver},
    frame::{ModelSpec, ProviderKind},
    secret::Secret,
};
use ngb_gateway::programs::Programs;
use reqwest::header::{HeaderName, HeaderValue};

use crate::{
    net::Net,
    settings::{self, Environment, Settings, SettingsError},
};

/// The model that is used when a key of Anthropic's is found, and no `ANTHROPIC_MODEL`.
const ANTHROPIC_MODEL: &str = "claude-sonnet-4-5";

/// The model that is used when a key of OpenAI's is found, and no `OPENAI_MODEL`.
const OPENAI_MODEL: &str = "gpt-5-mini";

/// Who answers, and with which model.
pub(crate) struct Models {
    pub(crate) driver: Driver,
    pub(crate) model: Option<ModelSpec>,
    pub(crate) providers: Vec<Provider>,
    /// Where the model was found, when no setting names one.
    pub(crate) found_in: Option<&'static str>,
    pub(crate) secrets: Vec<Secret>,
}

/// Where drivers find the agents that others wrote.
pub(crate) fn programs(settings: &settings::Agent, env: &Environment) -> Programs {
    Programs {
        claude: settings.claude_path.clone(),
        search: env.get("PATH").map(std::env::split_paths).into_iter().flatten().collect(),
        acp: settings.acp_command.clone(),
        acp_folder: settings.acp_folder.clone(),
    }
}

pub(crate) fn find(settings: &Settings, env: &Environment, net: &Net) -> anyhow::Result<Models> {
    let mut named = settings.providers.clone();
    let found = found_in_env(env, &mut named)?;
    let (text, found_in) = match (&settings.agent.model, found) {
        (Some(model), _) => (Some(model.clone()), None),
        (None, Some((model, variable))) => (Some(model), Some(variable)),
        (None, None) => (None, None),
    };
    let model = text.map(|it| spec(&it, &named, settings)).transpose()?;
    let driver = match settings.agent.driver.as_str() {
        "auto" if model.is_some() => Driver::Builtin,
        "auto" => Driver::Demo,
        other => other.parse().map_err(|err: UnknownDriver| SettingsError::BadValue {
            from: "[agent] driver".to_owned(),
            why: err.to_string(),
        })?,
    };
    driver.check(model.as_ref().map(|it| it.kind)).map_err(|why| SettingsError::BadValue {
        from: "[agent]".to_owned(),
        why: why.to_owned(),
    })?;
    let mut providers = Vec::new();
    let mut secrets = Vec::new();
    for (name, it) in named {
        let api_key = it
            .api_key
            .as_ref()
            .map(|key| key.resolve(&format!("providers.{name}.api_key"), env))
            .transpose()?;
        secrets.extend(api_key.clone());
        let own = net.own(&it.network, &format!("providers.{name}.network"))?;
        let http = ngb_broker::Client::of_model(own.builder(), own.way())?;
        let base_url = it.base_url.clone().unwrap_or_else(|| default_url(it.kind).to_owned());
        let auth = auth(&name, &it)?;
        let headers = headers(&name, &it.headers)?;
        providers.push(Provider { name, kind: it.kind, base_url, api_key, auth, headers, http });
    }
    Ok(Models { driver, model, providers, found_in, secrets })
}

/// The variables of one provider, besides its key's.
#[derive(Clone, Copy)]
struct Usual {
    name: &'static str,
    url: &'static str,
    model: &'static str,
    default_model: &'static str,
}

const ANTHROPIC: Usual = Usual {
    name: "anthropic",
    url: "ANTHROPIC_BASE_URL",
    model: "ANTHROPIC_MODEL",
    default_model: ANTHROPIC_MODEL,
};

const OPENAI: Usual = Usual {
    name: "openai",
    url: "OPENAI_BASE_URL",
    model: "OPENAI_MODEL",
    default_model: OPENAI_MODEL,
};

/// The provider that the usual variables describe, put among the named ones unless it is there already.
fn found_in_env(
    env: &Environment,
    named: &mut BTreeMap<String, settings::Provider>,
) -> Result<Option<(String, &'static str)>, SettingsError> {
    #[rustfmt::skip]
    let known = [
        ("ANTHROPIC_API_KEY",    ProviderKind::Anthropic, "x-api-key", ANTHROPIC),
        ("ANTHROPIC_AUTH_TOKEN", ProviderKind::Anthropic, "bearer",    ANTHROPIC),
        ("OPENAI_API_KEY",       ProviderKind::OpenAi,    "bearer",    OPENAI),
    ];
    let mut first = None;
    for (variable, kind, auth, Usual { name, url, model, default_model }) in known {
        if env.get(variable).is_none() || named.contains_key(name) {
            continue;
        }
        let provider = settings::Provider {
            kind,
            base_url: env.get(url).map(str::to_owned),
            api_key: Some(settings::SecretSetting::from_env(variable)),
            auth: Some(auth.to_owned()),
            headers: BTreeMap::new(),
            network: settings::Network::default(),
        };
        named.insert(name.to_owned(), provider);
        let model = env.get(model).unwrap_or(default_model);
        first = first.or(Some((format!("{name}/{model}"), variable)));
    }
    Ok(first)
}

fn spec(
    text: &str,
    named: &BTreeMap<String, settings::Provider>,
    settings: &Settings,
) -> Result<ModelSpec, SettingsError> {
    let bad = |why: String| SettingsError::BadValue { from: "[agent] model".to_owned(), why };
    let ModelName { provider, model } =
        text.parse().map_err(|err: BadModelName| bad(err.to_string()))?;
    let Some(known) = named.get(&provider) else {
        return Err(bad(format!("there is no `[providers.{provider}]`")));
    };
    Ok(ModelSpec {
        provider,
        kind: known.kind,
        model,
        window_tokens: settings.agent.window_tokens,
        max_output_tokens: settings.agent.max_output_tokens,
    })
}

fn default_url(kind: ProviderKind) -> &'static str {
    match kind {
        ProviderKind::Anthropic => "https://api.anthropic.com",
        ProviderKind::OpenAi => "https://api.openai.com/v1",
        ProviderKind::Ollama => "http://127.0.0.1:11434",
    }
}

fn auth(name: &str, provider: &settings::Provider) -> Result<Auth, SettingsError> {
    match provider.auth.as_deref() {
        Some("x-api-key") => Ok(Auth::XApiKey),
        Some("bearer") => Ok(Auth::Bearer),
        Some("api-key") => Ok(Auth::ApiKey),
        None if provider.kind == ProviderKind::Anthropic => Ok(Auth::XApiKey),
        None => Ok(Auth::Bearer),
        Some(other) => Err(SettingsError::BadValue {
            from: format!("[providers.{name}] auth"),
            why: format!("`{other}` is unknown; known: x-api-key, bearer, api-key"),
        }),
    }
}

fn headers(
    name: &str,
    from: &BTreeMap<String, String>,
) -> Result<Vec<(HeaderName, HeaderValue)>, SettingsError> {
    let header = |(key, value): (&String, &String)| {
        let bad = |why: String| SettingsError::BadValue {
            from: format!("[providers.{name}] headers.{key}"),
            why,
        };
        let key = HeaderName::try_from(key).map_err(|err| bad(err.to_string()))?;
        let mut value = HeaderValue::try_from(value).map_err(|err| bad(err.to_string()))?;
        // It may well be a credential.
        value.set_sensitive(true);
        Ok((key, value))
    };
    from.iter().map(header).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    type Variables = &'static [(&'static str, &'static str)];
    /// The model, the variable that it was found by, how the key is sent, and where.
    type Found = (&'static str, &'static str, &'static str, Option<&'static str>);

    #[test]
    fn the_usual_variables() {
        #[rustfmt::skip]
        let table: &[(Variables, Option<Found>)] = &[
            (&[],                                                            None),
            (&[("ANTHROPIC_BASE_URL", "https://x")],                         None),
            (&[("ANTHROPIC_API_KEY", "k")],                                  Some(("anthropic/claude-sonnet-4-5", "ANTHROPIC_API_KEY", "x-api-key", None))),
            (&[("ANTHROPIC_AUTH_TOKEN", "k"), ("ANTHROPIC_MODEL", "m/1"),
               ("ANTHROPIC_BASE_URL", "https://x")],                         Some(("anthropic/m/1", "ANTHROPIC_AUTH_TOKEN", "bearer", Some("https://x")))),
            (&[("OPENAI_API_KEY", "k"), ("OPENAI_BASE_URL", "http://y/v1")], Some(("openai/gpt-5-mini", "OPENAI_API_KEY", "bearer", Some("http://y/v1")))),
            (&[("OPENAI_API_KEY", "k"), ("OPENAI_MODEL", "z")],              Some(("openai/z", "OPENAI_API_KEY", "bearer", None))),
            (&[("OPENAI_API_KEY", "k"), ("ANTHROPIC_API_KEY", "k")],         Some(("anthropic/claude-sonnet-4-5", "ANTHROPIC_API_KEY", "x-api-key", None))),
        ];
        for (variables, want) in table {
            let mut named = BTreeMap::new();
            let found = found_in_env(&Environment::of(variables), &mut named).unwrap();
            let got = found.as_ref().map(|(model, variable)| {
                let provider = &named[model.split('/').next().unwrap()];
                let auth = provider.auth.as_deref().unwrap();
                (model.as_str(), *variable, auth, provider.base_url.as_deref())
            });
            assert_eq!(got, *want, "{variables:?}");
        }
    }
}
