//! The way out of a sandbox: which hosts an agent may reach, and how. Nothing here connects anywhere.

use std::{fmt, net::IpAddr, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::public::is_public;

/// Entries of one list of hosts.
pub const MAX_HOSTS: usize = 256;

/// Longest entry, in bytes: a name has at most 253.
const MAX_ENTRY_BYTES: usize = 260;

/// Ports of an entry that names none.
const WEB_PORTS: [u16; 2] = [80, 443];

/// Links of one message that are opened for its run.
const MAX_LINKS: usize = 16;

/// How far a group's agents get.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Egress {
    /// Nowhere but to their model.
    None,
    /// To the hosts of the group and of `[egress] hosts`.
    #[default]
    List,
    /// To those, and with GET and HEAD to every public address.
    Web,
}

impl Egress {
    pub const ALL: &[Self] = &[Self::None, Self::List, Self::Web];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::List => "list",
            Self::Web => "web",
        }
    }
}

/// Hosts that go together, by name.
const SETS: &[(&str, &[&str])] = &[
    ("python", &["pypi.org", "files.pythonhosted.org"]),
    ("node", &["registry.npmjs.org", "registry.yarnpkg.com", "nodejs.org"]),
    ("rust", &["crates.io", "static.crates.io", "index.crates.io", "static.rust-lang.org"]),
    (
        "github",
        &[
            "github.com",
            "api.github.com",
            "codeload.github.com",
            "raw.githubusercontent.com",
            "objects.githubusercontent.com",
            "release-assets.githubusercontent.com",
        ],
    ),
    ("debian", &["deb.debian.org", "security.debian.org", "snapshot.debian.org"]),
];

/// What stands in a list of hosts is no host.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error(
    "`{0}` is neither a host like `example.com`, `*.example.com` or `example.com:8443` nor a set (python, node, rust, github, debian)"
)]
pub struct BadHost(String);

/// One entry of a list of hosts: a host, all hosts under a name, or a set of hosts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct HostRule(Box<str>);

impl FromStr for HostRule {
    type Err = BadHost;

    fn from_str(s: &str) -> Result<Self, BadHost> {
        let text = s.trim().to_ascii_lowercase();
        let is_set = SETS.iter().any(|it| it.0 == text);
        if is_set || (text.len() <= MAX_ENTRY_BYTES && Pattern::of(&text).is_host()) {
            return Ok(Self(text.into()));
        }
        Err(BadHost(s.chars().take(80).collect()))
    }
}

impl TryFrom<String> for HostRule {
    type Error = BadHost;

    fn try_from(s: String) -> Result<Self, BadHost> {
        s.parse()
    }
}

impl From<HostRule> for String {
    fn from(it: HostRule) -> Self {
        it.0.into()
    }
}

impl fmt::Display for HostRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl HostRule {
    /// Whether it is about `host` (without a dot at its end) at `port`.
    pub fn covers(&self, host: &str, port: u16) -> bool {
        match SETS.iter().find(|it| it.0 == &*self.0) {
            Some((_, hosts)) => hosts.contains(&host) && WEB_PORTS.contains(&port),
            None => Pattern::of(&self.0).covers(host, port),
        }
    }

    /// Whether it names `host` itself, and not all that is under a name or in a set.
    fn is_literally(&self, host: &str) -> bool {
        Pattern::of(&self.0).name == host
    }
}

/// A [`HostRule`] that is no set.
struct Pattern<'a> {
    /// Without the `*.` of one that means all hosts under it.
    name: &'a str,
    below: bool,
    /// None means [`WEB_PORTS`]; the second one is no number.
    port: Option<Option<u16>>,
}

impl<'a> Pattern<'a> {
    fn of(entry: &'a str) -> Self {
        let (host, port) = match entry.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
                (host, Some(port.parse().ok()))
            }
            _ => (entry, None),
        };
        let (name, below) = match host.strip_prefix("*.") {
            Some(rest) => (rest, true),
            None => (host, false),
        };
        Self { name: name.trim_end_matches('.'), below, port }
    }

    /// A name without a dot in it is most often a set that is misspelt.
    fn is_host(&self) -> bool {
        let is_named_port = matches!(self.port, Some(Some(1..)));
        let bracketed = self.name.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
        let is_v6 = bracketed.is_some_and(|it| it.parse::<IpAddr>().is_ok());
        let label = |it: &str| {
            !it.is_empty() && it.bytes().all(|it| it.is_ascii_alphanumeric() || b"-_".contains(&it))
        };
        let is_name = self.name.split('.').all(label);
        let is_local = self.name == "localhost" || is_named_port;
        (self.port.is_none() || is_named_port)
            && (is_v6 || (is_name && (self.name.contains('.') || is_local)))
            && !(self.below && (is_v6 || self.name.parse::<IpAddr>().is_ok()))
    }

    fn covers(&self, host: &str, port: u16) -> bool {
        let ports = match self.port {
            Some(it) => it == Some(port),
            None => WEB_PORTS.contains(&port),
        };
        let rest = host.strip_suffix(self.name);
        ports
            && match rest {
                Some("") => !self.below,
                Some(rest) => self.below && rest.ends_with('.'),
                None => false,
            }
    }
}

/// What one run may reach.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    pub egress: Egress,
    /// The group's own, besides those of `[egress] hosts`.
    pub hosts: Vec<HostRule>,
    /// Addresses that the person wrote in the message which is answered.
    pub links: Vec<String>,
}

/// How a program asks for a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// GET or HEAD of this address, given to the broker in the clear.
    Read { is_link: bool },
    /// Another method, given to the broker in the clear.
    Write,
    /// CONNECT: what goes through is opaque.
    Tunnel,
}

/// By what a host may be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allowed<'a> {
    /// This entry of a list.
    Listed(&'a HostRule),
    /// The person wrote this address.
    Link,
    /// The mode `web`.
    Web,
}

/// A host may not be reached; says by which rule, and how to ask for it.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Refused {
    #[error(
        "nothing goes out of this group (egress = none); the operator changes that: `nanogridbot group set GROUP egress=list`"
    )]
    None,
    #[error(
        "`{host}` (port {port}) is not among the hosts that may be asked (egress = {egress}); the operator adds it: `nanogridbot group set GROUP hosts=+{host}{named_port}`, or `[egress] hosts` for all groups"
    )]
    NotListed { host: String, port: u16, egress: &'static str, named_port: String },
    #[error(
        "`{host}` may only be read (egress = web: GET and HEAD given in the clear); for anything else the operator adds it: `nanogridbot group set GROUP hosts=+{host}`"
    )]
    OnlyRead { host: String },
    #[error("`{0}` is not a public address")]
    NotPublic(String),
}

impl Rules {
    /// Whether `host` (lower case, without a dot at its end) may be asked at `port`, by these rules and `everywhere`, the hosts of
    /// all groups.
    ///
    /// # Errors
    ///
    /// [`Refused`] says why not.
    pub fn judge<'a>(
        &'a self,
        everywhere: &'a [HostRule],
        host: &str,
        port: u16,
        manner: Manner,
    ) -> Result<Allowed<'a>, Refused> {
        if self.egress == Egress::None {
            return Err(Refused::None);
        }
        let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        let is_private = literal.is_ok_and(|it| !is_public(it));
        let entry = self.hosts.iter().chain(everywhere).find(|it| it.covers(host, port));
        if let Some(entry) = entry {
            // A private address stands for itself, and only when it stands literally on the list.
            if is_private && !entry.is_literally(host) {
                return Err(Refused::NotPublic(host.to_owned()));
            }
            return Ok(Allowed::Listed(entry));
        }
        let is_web = WEB_PORTS.contains(&port);
        match (manner, self.egress) {
            (Manner::Read { is_link: true }, _) if is_private => {
                Err(Refused::NotPublic(host.to_owned()))
            }
            (Manner::Read { is_link: true }, _) if is_web => Ok(Allowed::Link),
            (Manner::Read { .. }, Egress::Web) if is_private => {
                Err(Refused::NotPublic(host.to_owned()))
            }
            (Manner::Read { .. }, Egress::Web) if is_web => Ok(Allowed::Web),
            (Manner::Write | Manner::Tunnel, Egress::Web) if is_web => {
                Err(Refused::OnlyRead { host: host.to_owned() })
            }
            _ => Err(Refused::NotListed {
                host: host.to_owned(),
                port,
                egress: self.egress.as_str(),
                named_port: if is_web { String::new() } else { format!(":{port}") },
            }),
        }
    }
}

/// The addresses of the web in what a person wrote.
pub fn links(text: &str) -> impl Iterator<Item = &str> {
    let starts = |it: &&str| it.starts_with("https://") || it.starts_with("http://");
    let opening = |it: char| it.is_whitespace() || "<>()[]{}\"'`|（）「」《》，。、".contains(it);
    text.split(opening)
        .filter(starts)
        .map(|it| it.trim_end_matches(['.', ',', ';', ':', '!', '?', '*', '_']))
        .take(MAX_LINKS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(egress: Egress, hosts: &[&str]) -> Rules {
        let hosts = hosts.iter().map(|it| it.parse().unwrap()).collect();
        Rules { egress, hosts, links: Vec::new() }
    }

    #[test]
    fn host_table() {
        #[rustfmt::skip]
        let table = [
            ("example.com",         "example.com",            443,   true),
            ("Example.COM",         "example.com",            80,    true),
            ("example.com",         "www.example.com",        443,   false),
            ("example.com",         "evil-example.com",       443,   false),
            ("example.com",         "example.com",            8080,  false),
            ("example.com:8080",    "example.com",            8080,  true),
            ("example.com:8080",    "example.com",            443,   false),
            ("*.example.com",       "a.b.example.com",        443,   true),
            ("*.example.com",       "example.com",            443,   false),
            ("*.example.com",       "evilexample.com",        443,   false),
            ("127.0.0.1:9",         "127.0.0.1",              9,     true),
            ("[::1]:9",             "[::1]",                  9,     true),
            ("python",              "files.pythonhosted.org", 443,   true),
            ("python",              "files.pythonhosted.org", 22,    false),
            ("python",              "python",                 443,   false),
            ("github",              "evil.github.com",        443,   false),
        ];
        for (entry, host, port, want) in table {
            let rule: HostRule = entry.parse().unwrap();
            assert_eq!(rule.covers(host, port), want, "{entry} {host}:{port}");
        }
    }

    #[test]
    fn what_is_no_host() {
        for bad in [
            "",
            "pyton",
            "*",
            "*.",
            "a b.com",
            "https://example.com",
            "example.com/x",
            "example.com:0",
            "example.com:http",
            "*.10.0.0.1",
            "a..b",
            "[::1",
            "::1",
            "user@example.com",
        ] {
            assert!(bad.parse::<HostRule>().is_err(), "{bad}");
        }
    }

    #[test]
    fn judge_table() {
        let read = Manner::Read { is_link: false };
        let link = Manner::Read { is_link: true };
        let (write, tunnel) = (Manner::Write, Manner::Tunnel);
        #[rustfmt::skip]
        let table = [
            (Egress::None, "a.example",       443,  read,   "nothing goes out"),
            (Egress::None, "listed.example",  443,  read,   "nothing goes out"),
            (Egress::None, "a.example",       443,  link,   "nothing goes out"),
            (Egress::List, "listed.example",  443,  write,  "listed"),
            (Egress::List, "listed.example",  443,  tunnel, "listed"),
            (Egress::List, "listed.example",  25,   tunnel, "hosts=+listed.example:25"),
            (Egress::List, "a.example",       443,  read,   "not among the hosts"),
            (Egress::List, "a.example",       443,  link,   "link"),
            (Egress::List, "a.example",       8080, link,   "not among the hosts"),
            (Egress::List, "169.254.169.254", 80,   link,   "not a public address"),
            (Egress::Web,  "a.example",       443,  read,   "web"),
            (Egress::Web,  "a.example",       8080, read,   "not among the hosts"),
            (Egress::Web,  "a.example",       443,  write,  "may only be read"),
            (Egress::Web,  "a.example",       443,  tunnel, "may only be read"),
            (Egress::Web,  "127.0.0.1",       80,   read,   "not a public address"),
            (Egress::Web,  "[::ffff:7f00:1]", 80,   read,   "not a public address"),
            (Egress::Web,  "192.168.1.1",     80,   read,   "listed"),
        ];
        let everywhere = ["listed.example".parse().unwrap()];
        for (egress, host, port, manner, want) in table {
            let rules = rules(egress, &["192.168.1.1"]);
            let got = match rules.judge(&everywhere, host, port, manner) {
                Ok(Allowed::Listed(_)) => "listed".to_owned(),
                Ok(Allowed::Link) => "link".to_owned(),
                Ok(Allowed::Web) => "web".to_owned(),
                Err(refused) => refused.to_string(),
            };
            assert!(got.contains(want), "{egress:?} {host}:{port} {manner:?}: {got}");
        }
    }

    #[test]
    fn links_of_a_text() {
        #[rustfmt::skip]
        let table: &[(&str, &[&str])] = &[
            ("see https://a.example/x?y=1, please", &["https://a.example/x?y=1"]),
            ("[it](http://b.example/z).",           &["http://b.example/z"]),
            ("看 https://c.example/中文。谢谢",       &["https://c.example/中文"]),
            ("ftp://a.example a.example xhttp://b", &[]),
        ];
        for (text, want) in table {
            assert_eq!(links(text).collect::<Vec<_>>(), *want, "{text}");
        }
    }
}
