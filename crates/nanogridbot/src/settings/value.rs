//! Values as people write them: addresses to listen on, lengths of time, names of engines.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use serde::{Deserialize, Deserializer, Serialize};

use crate::shown;

/// An address to listen on, with or without a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bind {
    pub(crate) ip: IpAddr,
    pub(crate) port: Option<u16>,
}

impl std::str::FromStr for Bind {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        if let Ok(ip) = s.parse::<IpAddr>() {
            return Ok(Self { ip, port: None });
        }
        match s.parse::<SocketAddr>() {
            Ok(it) => Ok(Self { ip: it.ip(), port: Some(it.port()) }),
            Err(_) => {
                Err(format!("`{s}` is no address; write one like `127.0.0.1` or `0.0.0.0:8080`"))
            }
        }
    }
}

impl<'de> Deserialize<'de> for Bind {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Serialize for Bind {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.port {
            Some(port) => to.collect_str(&SocketAddr::new(self.ip, port)),
            None => to.collect_str(&self.ip),
        }
    }
}

pub(super) fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(from)?;
    parse_duration(&text).map_err(serde::de::Error::custom)
}

pub(super) fn maybe_duration<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<Duration>, D::Error> {
    duration(from).map(Some)
}

/// A length of time, as people write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        duration(from).map(Self)
    }
}

impl Serialize for Span {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        shown::duration(&self.0, to)
    }
}

pub(super) fn engine<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let text = String::deserialize(from)?;
    match text.as_str() {
        "auto" | "native" | "docker" | "bare" => Ok(text),
        _ => {
            let why = format!("unknown engine `{text}`; known: auto, native, docker, bare");
            Err(serde::de::Error::custom(why))
        }
    }
}

pub(super) fn level<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let text = String::deserialize(from)?;
    text.parse::<ngb_web::Levels>().map_err(serde::de::Error::custom)?;
    Ok(text)
}

/// `90s`, `10m`, `1h 30m`, `7d`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let span: Result<jiff::Span, _> = text.parse();
    let day = jiff::SpanRelativeTo::days_are_24_hours();
    let length = span.and_then(|it| it.to_duration(day)).ok();
    length.and_then(|it| Duration::try_from(it).ok()).ok_or_else(|| {
        format!("`{text}` is no length of time; write one like `30s`, `10m`, `2h` or `7d`")
    })
}
