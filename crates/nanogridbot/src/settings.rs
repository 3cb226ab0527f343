//! Settings: one tree, read once, into types that are valid.
//!
//! `config.toml` under the home, then `<home>/.env`, then the environment: `NGB_WEB__PORT=9000` overrides `port` in
//! `[web]`. A value that reads as a TOML number, boolean or list is one; everything else is text.

mod accounts;
mod edit;
mod environment;
mod load;
mod secret;
mod section;
mod value;

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

use ngb_core::{
    address::Jid,
    egress::HostRule,
    frame::ProviderKind,
    price::{self, Price},
    secret::Secret,
};
use ngb_web::Subnet;
use serde::{Deserialize, Serialize};

pub(crate) use self::{
    accounts::{
        Channels, Dingtalk, Discord, Feishu, FeishuDomain, Qq, Slack, Telegram, Wecom, Whatsapp,
    },
    edit::Edit,
    environment::Environment,
    load::SettingsError,
    secret::{SecretSetting, is_place},
    section::{Section, Wanted, accounts, wants, ways},
    value::{Bind, parse_duration},
};
use crate::shown;

/// The whole tree.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    pub(crate) web: Web,
    pub(crate) database: Database,
    pub(crate) agent: Agent,
    pub(crate) providers: BTreeMap<String, Provider>,
    pub(crate) sandbox: Sandbox,
    pub(crate) prices: Prices,
    pub(crate) egress: Egress,
    pub(crate) credentials: BTreeMap<String, Credential>,
    pub(crate) network: Network,
    pub(crate) channels: Channels,
    pub(crate) log: Log,
    pub(crate) retention: Retention,
    pub(crate) plugins: BTreeMap<String, Plugin>,
    pub(crate) alerts: Alerts,
    pub(crate) backup: Backup,
}

/// `[web]`: the page and the API.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Web {
    /// Where to listen: an address, or an address with a port. Default `127.0.0.1`; anything wider needs a `token`.
    pub(crate) bind: Option<Bind>,
    /// The port; default 8080, or the next free one.
    pub(crate) port: Option<u16>,
    /// A token for the API and the page, besides the one-time links.
    pub(crate) token: Option<SecretSetting>,
    /// Where platforms call `/hooks/<channel>/<account>`, and nothing else is served; bound only while a channel wants
    /// calls. Default on the same address as the page.
    pub(crate) hooks_bind: Option<SocketAddr>,
    /// Proxies before this gateway, addresses or networks like `10.0.0.0/8`: only what they say about who calls counts.
    pub(crate) trusted_proxies: Vec<Subnet>,
    /// The address under which people and platforms reach this gateway.
    pub(crate) public_url: Option<String>,
}

/// `[database]`: where messages, groups and runs are kept.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Database {
    /// `sqlite:///path/to/file` or `postgres://…`; default a file under the home.
    #[serde(serialize_with = "shown::url")]
    pub(crate) url: Option<String>,
}

/// `[agent]`: who answers, and with which limits.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Agent {
    /// `auto` (default: `builtin` when a model is set or found, else `demo`), `builtin`, `claude-code`, `acp`, `demo`; see
    /// docs/drivers.md.
    pub(crate) driver: String,
    /// Claude Code's executable, for the driver `claude-code`; default `claude` on the search path.
    pub(crate) claude_path: Option<PathBuf>,
    /// The command of the driver `acp`, as a list of words; it is run inside the sandbox.
    pub(crate) acp_command: Vec<String>,
    /// A folder of this machine that the command needs besides the system's; it stands at the same place inside, read-only.
    pub(crate) acp_folder: Option<PathBuf>,
    /// `<provider>/<model>`, where `<provider>` is the name of a section below; default the first that the usual variables
    /// (`ANTHROPIC_API_KEY`, `ANTHROPIC_AUTH_TOKEN`, `OPENAI_API_KEY`) give a key for.
    pub(crate) model: Option<String>,
    /// What fits into the model, in tokens; default 128,000.
    pub(crate) window_tokens: u64,
    /// The longest answer of the model, in tokens; default 8,192.
    pub(crate) max_output_tokens: u64,
    /// Runs at a time; default 16.
    pub(crate) max_runs: usize,
    /// Memory of live agents, in MiB; default a quarter of the machine's.
    pub(crate) max_live_mib: Option<u64>,
    /// How long an agent is kept for its next message; default `10m`.
    #[serde(deserialize_with = "value::duration", serialize_with = "shown::duration")]
    pub(crate) idle: Duration,
    /// Wait before the first retry; default `5s`.
    #[serde(deserialize_with = "value::duration", serialize_with = "shown::duration")]
    pub(crate) retry_base: Duration,
    /// The time zone that agents are told, an IANA name; default the machine's.
    pub(crate) zone: Option<String>,
}

impl Default for Agent {
    fn default() -> Self {
        Self {
            driver: "auto".to_owned(),
            claude_path: None,
            acp_command: Vec::new(),
            acp_folder: None,
            model: None,
            window_tokens: 128_000,
            max_output_tokens: 8_192,
            max_runs: 16,
            max_live_mib: None,
            idle: Duration::from_secs(10 * 60),
            retry_base: ngb_core::job::BASE_BACKOFF,
            zone: None,
        }
    }
}

/// `[providers.<name>]`: who answers for a model.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Provider {
    /// What its API looks like: `anthropic`, `openai`, `ollama`.
    pub(crate) kind: ProviderKind,
    /// Where it is; default the provider's own address.
    #[serde(serialize_with = "shown::url")]
    pub(crate) base_url: Option<String>,
    /// Its key; default none.
    pub(crate) api_key: Option<SecretSetting>,
    /// How the key is sent: `x-api-key`, `bearer`, `api-key`; default what the kind expects.
    pub(crate) auth: Option<String>,
    /// Further headers of each request.
    #[serde(default, serialize_with = "shown::headers")]
    pub(crate) headers: BTreeMap<String, String>,
    /// Its own way out, where it differs from `[network]`: `network = { proxy = "…" }`.
    #[serde(default)]
    pub(crate) network: Network,
}

/// `[prices]`: what models cost, so that use is shown in money; what is not here is shown as unknown.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Prices {
    /// `USD` (default), `CNY`, …; only shown.
    pub(crate) currency: String,
    /// By `"<provider>/<model>"`, where one that ends with `*` is for all that begin so: `input` and `output`, and where
    /// they differ from `input` `cache_read` and `cache_write`, each per million tokens:
    /// `"anthropic/claude-sonnet-*" = { input = 3, output = 15, cache_read = 0.3, cache_write = 3.75 }`.
    pub(crate) models: BTreeMap<String, Price>,
}

impl Default for Prices {
    fn default() -> Self {
        Self { currency: "USD".to_owned(), models: BTreeMap::new() }
    }
}

impl Prices {
    /// # Errors
    ///
    /// [`SettingsError`] where a price is none.
    pub(crate) fn table(&self) -> Result<price::Prices, SettingsError> {
        let table = price::Prices { currency: self.currency.clone(), models: self.models.clone() };
        table
            .check()
            .map_err(|why| SettingsError::BadValue { from: "prices.models".to_owned(), why })?;
        Ok(table)
    }
}

/// `[sandbox]`: how agents are kept apart from this machine.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Sandbox {
    /// `auto` (default: the first that is proved), `native`, `docker` (Docker or Podman), `bare` (no isolation at all).
    #[serde(deserialize_with = "value::engine")]
    pub(crate) engine: String,
    /// Where the engine `docker` listens; default `DOCKER_HOST`, `CONTAINER_HOST`, then the usual places.
    pub(crate) socket: Option<PathBuf>,
    /// The image of its containers; default none: they have this machine's programs, as in `native`.
    pub(crate) image: Option<String>,
}

impl Default for Sandbox {
    fn default() -> Self {
        Self { engine: "auto".to_owned(), socket: None, image: None }
    }
}

/// `[egress]`: what agents may reach besides their model.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Egress {
    /// Hosts that the agents of every group may reach, besides those of the group (`nanogridbot group set GROUP
    /// hosts=…`): `example.com`, `*.example.com`, `example.com:8443`, or a set: `python`, `node`, `rust`, `github`, `debian`.
    /// Default none.
    pub(crate) hosts: Vec<HostRule>,
}

/// `[credentials.<name>]`: what is added, outside the sandbox, to what agents send to a host that they may reach; see
/// docs/egress.md.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Credential {
    /// The host that gets it, `api.example.com` or with a port. It must be among the group's hosts as well.
    pub(crate) host: String,
    /// The header; default `authorization`.
    #[serde(default)]
    pub(crate) header: Option<String>,
    /// What stands before the value, with a space between; default `Bearer` for the header `authorization`, else nothing.
    #[serde(default)]
    pub(crate) scheme: Option<String>,
    /// The secret.
    pub(crate) value: SecretSetting,
    /// Whether the host is asked without encryption, for one of your own network; default no.
    #[serde(default)]
    pub(crate) plain: bool,
}

/// `[network]`: how this program reaches platforms and models.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Network {
    /// `http://`, `https://` or `socks5://`, with a user and password if need be; it resolves the names as well. Default
    /// the usual variables (`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`). This machine itself is reached without it.
    #[serde(serialize_with = "shown::url")]
    pub(crate) proxy: Option<String>,
    /// Hosts that are reached without it, separated by commas: names (with what is below them), addresses, networks like
    /// `10.0.0.0/8`; default the variable `NO_PROXY`.
    pub(crate) no_proxy: Option<String>,
    /// Certificates of authorities to trust as well, a PEM file; default the variable `SSL_CERT_FILE`.
    pub(crate) ca_file: Option<PathBuf>,
}

/// `[log]`: what is logged to standard error and to `<home>/logs`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Log {
    /// `error`, `warn`, `info` (default), `debug`, `trace`; or with further ones for parts of the program:
    /// `info,ngb_broker=debug`. `nanogridbot logs level` changes it while the gateway runs.
    #[serde(deserialize_with = "value::level")]
    pub(crate) level: String,
    /// `text` (default) or `json`.
    pub(crate) format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Text }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    Text,
    Json,
}

/// `[retention]`: what is forgotten, and when.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Retention {
    /// How long messages are kept, e.g. `90d`; default for ever.
    #[serde(deserialize_with = "value::maybe_duration", serialize_with = "shown::maybe_duration")]
    pub(crate) keep: Option<Duration>,
    /// How long dead letters are kept that nobody decides about; default for ever.
    #[serde(deserialize_with = "value::maybe_duration", serialize_with = "shown::maybe_duration")]
    pub(crate) dead_letters: Option<Duration>,
    /// How long it is known what each run used, at least a day; default for ever.
    #[serde(deserialize_with = "value::maybe_duration", serialize_with = "shown::maybe_duration")]
    pub(crate) usage: Option<Duration>,
    /// How long the audit log is kept; default for ever.
    #[serde(deserialize_with = "value::maybe_duration", serialize_with = "shown::maybe_duration")]
    pub(crate) audit: Option<Duration>,
}

/// `[plugins.<name>]`: a plugin that sees messages and runs: `rate_limiter`, `redactor`, `word_filter`, `auto_reply`, `mention`,
/// which come along, or one that is installed; see docs/plugins.md.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Plugin {
    /// Whether it is asked; default true.
    pub(crate) enabled: bool,
    /// Those with a smaller number are asked first; default 0. Of two that are alike the order is that above, then that of
    /// their names.
    pub(crate) order: i64,
    /// Whether what it was asked about is held where it fails; default as the plugin says.
    pub(crate) required: Option<bool>,
    /// Its own settings, as a table.
    pub(crate) config: serde_json::Map<String, serde_json::Value>,
    /// Groups with other settings: a table for each, which is laid over `config`; `false` has it off in that group.
    pub(crate) groups: BTreeMap<String, OwnConfig>,
}

impl Default for Plugin {
    fn default() -> Self {
        let (config, groups) = (serde_json::Map::new(), BTreeMap::new());
        Self { enabled: true, order: 0, required: None, config, groups }
    }
}

/// A plugin's settings in one group.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum OwnConfig {
    Is(bool),
    Config(serde_json::Map<String, serde_json::Value>),
}

/// `[alerts]`: who is told when something is not as it should be, see docs/operations.md.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Alerts {
    /// Chats, as `["telegram@main:4711"]`; default those of the main group.
    pub(crate) to: Vec<Jid>,
    /// How long an account may be unable to receive or send before that is told; default `5m`.
    #[serde(deserialize_with = "value::duration", serialize_with = "shown::duration")]
    pub(crate) account_after: Duration,
    /// How much of disk and memory has to be left, in percent; default 5, 0 never tells.
    pub(crate) short_percent: u32,
}

impl Default for Alerts {
    fn default() -> Self {
        let ngb_gateway::alerts::AlertSettings { to, account_after, short_percent } =
            Default::default();
        Self { to, account_after, short_percent }
    }
}

/// `[backup]`: backups that the gateway makes by itself, see docs/operations.md.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Backup {
    /// How often, at least `1m`, e.g. `1d`; default never.
    #[serde(deserialize_with = "value::maybe_duration", serialize_with = "shown::maybe_duration")]
    pub(crate) every: Option<Duration>,
    /// How many of them are kept; default 7.
    pub(crate) keep: usize,
    /// Where; default `<home>/backups`, which is lost with the disk.
    pub(crate) dir: Option<PathBuf>,
    /// Encrypts them, with the secrets; default unencrypted, and without.
    pub(crate) passphrase: Option<SecretSetting>,
}

impl Default for Backup {
    fn default() -> Self {
        Self { every: None, keep: 7, dir: None, passphrase: None }
    }
}

impl Settings {
    /// What is secret without being a setting of its own: passwords in addresses, values of headers.
    pub(crate) fn hidden(&self) -> Vec<Secret> {
        let urls = [self.database.url.as_deref(), self.network.proxy.as_deref()];
        let of_providers = self.providers.values().map(|it| it.base_url.as_deref());
        let of_accounts = self.channels.all();
        let of_accounts: Vec<_> = of_accounts.into_iter().flat_map(|it| it.addresses).collect();
        let proxies = self.providers.values().map(|it| it.network.proxy.as_deref());
        let urls = urls.into_iter().chain(of_providers).chain(proxies).chain(of_accounts).flatten();
        let passwords = urls.filter_map(|it| shown::password(it)).map(Secret::new);
        let headers = self.providers.values().flat_map(|it| it.headers.values());
        passwords.chain(headers.map(|it| Secret::new(it.as_str()))).collect()
    }

    /// Every secret there is, for the redactor.
    pub(crate) fn secret_settings(&self) -> Vec<(String, &SecretSetting)> {
        let mut all = Vec::new();
        if let Some(token) = &self.web.token {
            all.push(("web.token".to_owned(), token));
        }
        if let Some(passphrase) = &self.backup.passphrase {
            all.push(("backup.passphrase".to_owned(), passphrase));
        }
        for (name, provider) in &self.providers {
            if let Some(key) = &provider.api_key {
                all.push((format!("providers.{name}.api_key"), key));
            }
        }
        for (name, credential) in &self.credentials {
            all.push((format!("credentials.{name}.value"), &credential.value));
        }
        all.extend(self.channels.all().into_iter().flat_map(|it| it.secrets));
        all
    }
}
