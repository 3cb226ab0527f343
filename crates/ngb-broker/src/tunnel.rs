//! CONNECT: a connection to a listed host, through which the agent's own programs speak TLS.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use http::{Request, Response};
use hyper::{body::Incoming, upgrade::OnUpgrade};
use hyper_util::rt::TokioIo;
use ngb_core::{
    egress::Manner,
    id::{GroupId, LaneId, RunId},
};
use reqwest::Url;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_util::{io::InspectReader, sync::CancellationToken};
use tracing::{debug, info};

use crate::{
    Client, WayOut,
    door::Asking,
    reply::{Body, Why, refuse},
};

/// How long a connection may take to come about.
const LIMIT: Duration = Duration::from_secs(15);

/// A connection to a host, and what it is to be joined with.
pub(crate) struct Tunnel {
    inside: OnUpgrade,
    outside: TcpStream,
    over: CancellationToken,
    host: String,
    port: u16,
    lane: LaneId,
    group: GroupId,
    run: RunId,
}

/// Connects to what `request` names, if that is listed.
pub(crate) async fn dig(
    way_out: &WayOut,
    asking: &Asking<'_>,
    request: &mut Request<Incoming>,
) -> Result<Tunnel, Response<Body>> {
    let named = request.uri().authority().map(ToString::to_string).unwrap_or_default();
    let (host, port) = host_and_port(&named).ok_or_else(|| {
        refuse(Why::NotAllowed, &format!("`CONNECT {named}` names no host and port"))
    })?;
    let allowed = asking.current.rules.judge(&way_out.hosts, &host, port, Manner::Tunnel);
    if let Err(refused) = allowed {
        info!(
            target: "audit", lane = %asking.lane, group = %asking.group, run = %asking.current.run,
            role = %asking.current.role, host, port, "connection refused"
        );
        return Err(refuse(Why::NotAllowed, &refused.to_string()));
    }
    let connected = asking.clock.timeout(LIMIT, connect(&way_out.http, &host, port)).await;
    let outside = connected
        .unwrap_or_else(|late| Err(late.to_string()))
        .map_err(|why| refuse(Why::Unreachable, &format!("no connection to `{host}`: {why}")))?;
    info!(
        target: "audit", lane = %asking.lane, group = %asking.group, run = %asking.current.run,
        role = %asking.current.role, host, port, "connection"
    );
    Ok(Tunnel {
        inside: hyper::upgrade::on(request),
        outside,
        over: asking.over.clone(),
        host,
        port,
        lane: asking.lane,
        group: asking.group,
        run: asking.current.run,
    })
}

/// The host as rules know it, whichever way it is written: `0x7f.1:443` is `127.0.0.1`.
fn host_and_port(authority: &str) -> Option<(String, u16)> {
    // A parser of addresses would drop a port that is the scheme's own, so the port is read by itself.
    let (_, port) = authority.rsplit_once(':')?;
    let port = port.parse().ok().filter(|it| *it != 0)?;
    let url = Url::parse(&format!("http://{authority}/")).ok()?;
    let is_plain = url.username().is_empty() && url.password().is_none() && url.path() == "/";
    let host = url.host_str()?.trim_end_matches('.').to_owned();
    (is_plain && !host.is_empty()).then_some((host, port))
}

/// Connects to an address that was looked at: the name is resolved once, so there is no second answer that could differ.
async fn connect(client: &Client, host: &str, port: u16) -> Result<TcpStream, String> {
    if let Some(proxy) = client.way.proxy_of(&format!("https://{host}:{port}/")) {
        return Err(format!(
            "connections are not made through the proxy {proxy}; name the host in `[network] no_proxy` if it is reached without"
        ));
    }
    let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let addresses = match (literal, &client.public) {
        // Judged by the rules already: a private one stands literally on a list.
        (Ok(address), _) => vec![address],
        (Err(_), Some(public)) => public.addresses(host).await.map_err(|it| it.to_string())?,
        (Err(_), None) => return Err("there is no resolver of public names".to_owned()),
    };
    let addresses: Vec<SocketAddr> =
        addresses.into_iter().map(|it| SocketAddr::new(it, port)).collect();
    let stream = TcpStream::connect(addresses.as_slice()).await.map_err(|it| it.to_string())?;
    stream.set_nodelay(true).map_err(|it| it.to_string())?;
    Ok(stream)
}

impl Tunnel {
    /// Carries bytes both ways until both sides are done, or the run is over.
    pub(crate) async fn carry(self) {
        let (out, back) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let (inside, outside) = (self.inside, self.outside);
        let carrying = async {
            let inside = inside.await.map_err(io::Error::other)?;
            let (from_inside, to_inside) = tokio::io::split(TokioIo::new(inside));
            let (from_outside, to_outside) = outside.into_split();
            tokio::try_join!(
                copy(from_inside, to_outside, &out),
                copy(from_outside, to_inside, &back)
            )
            .map(drop)
        };
        let ended = tokio::select! {
            biased;
            () = self.over.cancelled() => Ok(()),
            ended = carrying => ended,
        };
        if let Err(err) = ended {
            debug!(lane = %self.lane, host = self.host, "a connection broke: {err}");
        }
        info!(
            target: "audit", lane = %self.lane, group = %self.group, run = %self.run, host = self.host,
            port = self.port, bytes_out = out.load(Ordering::Relaxed),
            bytes_in = back.load(Ordering::Relaxed), "connection ended"
        );
    }
}

async fn copy(
    from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    count: &AtomicU64,
) -> io::Result<()> {
    let mut from = InspectReader::new(from, |bytes| {
        count.fetch_add(bytes.len() as u64, Ordering::Relaxed);
    });
    tokio::io::copy(&mut from, &mut to).await?;
    to.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authority_table() {
        #[rustfmt::skip]
        let table = [
            ("example.com:443",       Some(("example.com", 443))),
            ("Example.COM.:80",       Some(("example.com", 80))),
            ("2130706433:80",         Some(("127.0.0.1", 80))),
            ("0x7f.1:443",            Some(("127.0.0.1", 443))),
            ("[::ffff:127.0.0.1]:22", Some(("[::ffff:7f00:1]", 22))),
            ("example.com",           None),
            ("example.com:0",         None),
            ("u:p@example.com:443",   None),
            ("a/b:443",               None),
            (":443",                  None),
        ];
        for (text, want) in table {
            let got = host_and_port(text);
            assert_eq!(got.as_ref().map(|(host, port)| (host.as_str(), *port)), want, "{text}");
        }
    }
}
