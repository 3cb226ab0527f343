//! How settings are written out: durations in words, and nothing secret.

use std::{collections::BTreeMap, time::Duration};

use serde::{Serialize as _, Serializer};

/// Stands where a secret is.
pub(crate) const HIDDEN: &str = "[secret]";

/// Where in `url` the password stands, as in `https://user:password@host`.
fn password_range(url: &str) -> Option<std::ops::Range<usize>> {
    let start = url.find("://")? + "://".len();
    let end = url[start..].find(['/', '?', '#']).map_or(url.len(), |it| start + it);
    let at = start + url[start..end].rfind('@')?;
    let colon = start + url[start..at].find(':')?;
    Some(colon + 1..at)
}

/// The password in `url`, if there is one.
pub(crate) fn password(url: &str) -> Option<&str> {
    password_range(url).map(|it| &url[it])
}

/// `url` without its password.
pub(crate) fn without_password(url: &str) -> String {
    let mut res = url.to_owned();
    if let Some(range) = password_range(url) {
        res.replace_range(range, HIDDEN);
    }
    res
}

pub(crate) fn url<S: Serializer>(url: &Option<String>, to: S) -> Result<S::Ok, S::Error> {
    url.as_deref().map(without_password).serialize(to)
}

/// The values may well be credentials.
pub(crate) fn headers<S: Serializer>(
    headers: &BTreeMap<String, String>,
    to: S,
) -> Result<S::Ok, S::Error> {
    to.collect_map(headers.keys().map(|it| (it, HIDDEN)))
}

pub(crate) fn duration<S: Serializer>(it: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&in_words(*it))
}

pub(crate) fn maybe_duration<S: Serializer>(
    it: &Option<Duration>,
    to: S,
) -> Result<S::Ok, S::Error> {
    it.map(in_words).serialize(to)
}

/// `10m`, `1500ms`: in the largest unit that leaves no rest, readable by `parse_duration`.
fn in_words(it: Duration) -> String {
    const UNITS: [(&str, u128); 4] =
        [("d", 24 * 60 * 60 * 1000), ("h", 60 * 60 * 1000), ("m", 60 * 1000), ("s", 1000)];
    let ms = it.as_millis();
    let whole = UNITS.iter().find(|(_, unit)| *unit <= ms && ms.is_multiple_of(*unit));
    whole.map_or_else(|| format!("{ms}ms"), |(name, unit)| format!("{}{name}", ms / unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_in_addresses() {
        #[rustfmt::skip]
        let table = [
            ("http://proxy:3128",                  None,        "http://proxy:3128"),
            ("http://me:pw@proxy:3128",            Some("pw"),  "http://me:[secret]@proxy:3128"),
            ("postgres://u:p%40:x@db/name?a=b@c",  Some("p%40:x"), "postgres://u:[secret]@db/name?a=b@c"),
            ("postgres://u@db/name",               None,        "postgres://u@db/name"),
            ("sqlite:///a:b@c",                    None,        "sqlite:///a:b@c"),
            ("not a url: x@y",                     None,        "not a url: x@y"),
            ("",                                   None,        ""),
        ];
        for (url, want, shown) in table {
            assert_eq!(password(url), want, "{url}");
            assert_eq!(without_password(url), shown);
        }
    }

    #[test]
    fn durations_are_read_as_they_are_shown() {
        #[rustfmt::skip]
        let table = [
            (600_000, "10m"), (1_500, "1500ms"), (5_000, "5s"), (86_400_000, "1d"), (90_000, "90s"), (0, "0ms"),
        ];
        for (ms, want) in table {
            let it = Duration::from_millis(ms);
            assert_eq!(in_words(it), want);
            assert_eq!(crate::settings::parse_duration(want), Ok(it));
        }
    }
}
