//! How this program reaches the world: one TLS backend, one set of roots, the proxies of the settings.

use std::{path::PathBuf, sync::Arc};

use anyhow::Context as _;
use hyper_util::client::proxy::matcher::Matcher;
use ngb_channels::http::Http;
use ngb_core::{clock::Clock, proxy::Way};
use ngb_net::Resolver;
use reqwest::{ClientBuilder, NoProxy, Proxy, Url};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};

use crate::settings::{Environment, Network, SettingsError};

/// The variables that name a proxy for `https://` where no setting does; the first that is set counts.
const HTTPS_PROXY: &[&str] = &["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];

/// The same for `http://`.
const HTTP_PROXY: &[&str] = &["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];

/// The variables that name hosts which are reached without a proxy.
const NO_PROXY: &[&str] = &["NO_PROXY", "no_proxy"];

/// The variable that names a file of certificates.
const CA_FILE: &str = "SSL_CERT_FILE";

/// What no proxy can reach: this machine itself, where a model may well run.
const THIS_MACHINE: &str = "localhost,127.0.0.0/8,::1";

/// Makes clients that all behave alike.
pub(crate) struct Net {
    exits: Exits,
    tls: ClientConfig,
    resolver: Resolver,
}

/// What the settings say, each with where it was said.
#[derive(Clone)]
struct Exits {
    http: Option<Exit>,
    https: Option<Exit>,
    no_proxy: String,
    ca_file: Option<(PathBuf, String)>,
    /// A variable's file of certificates that can't be read, and why.
    unread: Option<Arc<str>>,
}

/// A proxy.
#[derive(Clone)]
struct Exit {
    /// With user and password.
    url: Url,
    /// Without, and with the setting that names it.
    shown: Arc<str>,
}

impl Net {
    /// # Errors
    ///
    /// When a proxy's address or the file of certificates can't be used.
    pub(crate) fn new(network: &Network, env: &Environment) -> anyhow::Result<Self> {
        let first = |names: &[&'static str]| names.iter().find_map(|it| Some((*it, env.get(it)?)));
        let exit = |names: &[&'static str]| {
            first(names).map(|(name, url)| Exit::read(url, format!("`{name}`"))).transpose()
        };
        let (ca_file, unread) = match env.get(CA_FILE).map(|it| (it, std::fs::File::open(it))) {
            None => (None, None),
            Some((path, Ok(_))) => (Some((path.into(), CA_FILE.to_owned())), None),
            // Meant for other programs too: one that can't be read is named, and not ours to stumble over.
            Some((path, Err(err))) => {
                (None, Some(format!("`{CA_FILE}` names `{path}`: {err}").into()))
            }
        };
        let from_env = Exits {
            http: exit(HTTP_PROXY)?,
            https: exit(HTTPS_PROXY)?,
            no_proxy: first(NO_PROXY).map_or_else(String::new, |it| it.1.to_owned()),
            ca_file,
            unread,
        };
        Self::of(from_env.with(network, "network")?)
    }

    /// The same with what one provider or account has of its own; `at` is where that is set.
    ///
    /// # Errors
    ///
    /// When the proxy's address or the file of certificates can't be used.
    pub(crate) fn own(&self, own: &Network, at: &str) -> anyhow::Result<Self> {
        Self::of(self.exits.clone().with(own, at)?)
    }

    fn of(exits: Exits) -> anyhow::Result<Self> {
        Ok(Self { tls: tls(exits.ca_file.as_ref())?, exits, resolver: Resolver::default() })
    }

    /// A builder of clients.
    pub(crate) fn builder(&self) -> ClientBuilder {
        // Only what was read here counts, not what the library finds by itself.
        let builder = ClientBuilder::new()
            .tls_backend_preconfigured(self.tls.clone())
            .dns_resolver(self.resolver.clone())
            .no_proxy();
        let Exits { http, https, no_proxy, .. } = &self.exits;
        let none = || NoProxy::from_string(&without_proxy(no_proxy));
        let through = |of: fn(Url) -> reqwest::Result<Proxy>, exit: &Option<Exit>| {
            let proxy = of(exit.as_ref()?.url.clone()).expect("its address was read");
            Some(proxy.no_proxy(none()))
        };
        let all = [through(Proxy::http, http), through(Proxy::https, https)];
        all.into_iter().flatten().fold(builder, ClientBuilder::proxy)
    }

    /// Which proxy a request takes.
    pub(crate) fn way(&self) -> Way {
        let Exits { http, https, no_proxy, .. } = self.exits.clone();
        let hosts = [&http, &https].into_iter().flatten();
        let hosts: Vec<String> =
            hosts.filter_map(|it| it.url.host_str().map(str::to_owned)).collect();
        // Only whether one is taken is asked, so the addresses are any.
        let matcher = Matcher::builder().all("http://any").no(without_proxy(&no_proxy)).build();
        let name_of = move |url: &str| {
            let url = url.replacen("ws", "http", usize::from(url.starts_with("ws")));
            matcher.intercept(&url.parse().ok()?)?;
            let exit = if url.starts_with("https:") { &https } else { &http };
            exit.as_ref().map(|it| Arc::clone(&it.shown))
        };
        Way::new(name_of, hosts)
    }

    /// The way out in words, for people.
    pub(crate) fn shown(&self) -> String {
        let Exits { http, https, no_proxy, ca_file, .. } = &self.exits;
        let mut words: Vec<String> = Vec::new();
        match (https, http) {
            (None, None) => words.push("reached directly".to_owned()),
            (Some(a), Some(b)) if a.shown == b.shown => {
                words.push(format!("by the proxy {}", a.shown))
            }
            _ => {
                let of = |scheme: &str, it: &Option<Exit>| match it {
                    Some(it) => format!("{scheme} by the proxy {}", it.shown),
                    None => format!("{scheme} directly"),
                };
                words.extend([of("https", https), of("http", http)]);
            }
        }
        if !no_proxy.is_empty() {
            words.push(format!("but not {no_proxy}"));
        }
        if let Some((path, setting)) = ca_file {
            words.push(format!("trusting `{}` (`{setting}`) as well", path.display()));
        }
        words.extend(self.unread().map(|it| format!("without certificates of its own: {it}")));
        words.join(", ")
    }

    /// A variable's file of certificates that can't be read, and why; none where a setting names another.
    pub(crate) fn unread(&self) -> Option<&str> {
        self.exits.unread.as_deref()
    }

    /// An account's way to its platform.
    ///
    /// # Errors
    ///
    /// When a client can't be built.
    pub(crate) fn http(&self, clock: Clock) -> anyhow::Result<Http> {
        Ok(Http::new(|| self.builder(), Some(self.way()), clock)?)
    }
}

impl Exits {
    /// What `network` says, and for the rest what is known already.
    fn with(self, network: &Network, at: &str) -> Result<Self, SettingsError> {
        let own = network.proxy.as_deref();
        let own = own.map(|url| Exit::read(url, format!("`[{at}] proxy`"))).transpose()?;
        let ca_file = network.ca_file.clone().map(|it| (it, format!("{at}.ca_file")));
        Ok(Self {
            http: own.clone().or(self.http),
            https: own.or(self.https),
            no_proxy: network.no_proxy.clone().unwrap_or(self.no_proxy),
            unread: self.unread.filter(|_| ca_file.is_none()),
            ca_file: ca_file.or(self.ca_file),
        })
    }
}

impl Exit {
    fn read(text: &str, setting: String) -> Result<Self, SettingsError> {
        let bad = |why: &str| SettingsError::BadValue {
            from: setting.replace('`', ""),
            why: format!(
                "it is no address of a proxy ({why}); write one like `http://host:3128`, `https://…` or `socks5://user:password@host:1080`"
            ),
        };
        // As with curl, an address without a scheme is one of HTTP.
        let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let url = Url::parse(&text).map_err(|err| bad(&err.to_string()))?;
        let host = url.host_str().ok_or_else(|| bad("no host is named"))?;
        let scheme = url.scheme();
        if !matches!(scheme, "http" | "https" | "socks5" | "socks5h") {
            return Err(bad(&format!("`{scheme}` is unknown")));
        }
        let port = url.port().map(|it| format!(":{it}")).unwrap_or_default();
        let shown = format!("{scheme}://{host}{port} ({setting})").into();
        // As with HTTP, it is the proxy that resolves names: here they may not even be known.
        let url = match text.strip_prefix("socks5://") {
            Some(rest) => {
                Url::parse(&format!("socks5h://{rest}")).map_err(|err| bad(&err.to_string()))?
            }
            None => url,
        };
        Ok(Self { url, shown })
    }
}

fn without_proxy(named: &str) -> String {
    format!("{THIS_MACHINE},{named}")
}

fn tls(ca_file: Option<&(PathBuf, String)>) -> anyhow::Result<ClientConfig> {
    // The roots are built in, so that a machine without a certificate store works too.
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some((path, setting)) = ca_file {
        let shown = path.display();
        let pem = std::fs::read(path).map_err(|source| SettingsError::NoFile {
            setting: setting.clone(),
            path: shown.to_string(),
            source,
        })?;
        let certs: Vec<_> = CertificateDer::pem_slice_iter(&pem)
            .collect::<Result<_, _>>()
            .with_context(|| format!("`{shown}` is not PEM"))?;
        // A machine's own list may hold some of a kind that nobody uses any more.
        let (good, _) = roots.add_parsable_certificates(certs);
        if good == 0 {
            let why = format!("`{shown}` holds no certificate of an authority");
            return Err(SettingsError::BadValue { from: setting.clone(), why }.into());
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_proxy_a_request_takes() {
        let set = Network { proxy: Some("http://me:pw@set:1".into()), ..Network::default() };
        let but = Network { no_proxy: Some("model.test, 10.0.0.0/8".into()), ..Network::default() };
        let all = &[("ALL_PROXY", "socks5://all:2"), ("NO_PROXY", ".corp.test")];
        let two = &[("https_proxy", "tls:3"), ("HTTP_PROXY", "http://plain:4")];
        #[rustfmt::skip]
        type Row<'a> = (&'a Network, &'a [(&'a str, &'a str)], &'a str, Option<&'a str>);
        #[rustfmt::skip]
        let table: &[Row<'_>] = &[
            (&Network::default(), &[],  "https://a.test/",         None),
            (&set,                &[],  "https://a.test/",         Some("http://set:1 (`[network] proxy`)")),
            (&set,                &[],  "wss://a.test/",           Some("http://set:1 (`[network] proxy`)")),
            (&set,                all,  "https://a.test/",         Some("http://set:1 (`[network] proxy`)")),
            (&set,                all,  "https://x.corp.test/",    None),
            (&set,                &[],  "http://127.0.0.1:11434/", None),
            (&set,                &[],  "http://[::1]:11434/",     None),
            (&set,                &[],  "http://localhost/",       None),
            (&but,                all,  "https://model.test/",     None),
            (&but,                all,  "https://10.2.3.4/",       None),
            (&but,                all,  "https://x.corp.test/",    Some("socks5://all:2 (`ALL_PROXY`)")),
            (&but,                two,  "https://a.test/",         Some("http://tls:3 (`https_proxy`)")),
            (&but,                two,  "ws://a.test/",            Some("http://plain:4 (`HTTP_PROXY`)")),
        ];
        for (network, env, url, want) in table {
            let net = Net::new(network, &Environment::of(env)).unwrap();
            // What is known there goes through as 407.
            let fault = net.way().blame_status(url, 407).map(|it| it.to_string());
            let want = want.map(|it| {
                format!("the proxy {it} refuses the user or password that is set for it")
            });
            assert_eq!(fault, want, "{env:?} {url}");
        }
    }
}
