//! All eight platforms at once: memory and processor time at rest, acknowledgements, reconnects, bursts.

use std::{
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use ngb_core::{address::ChannelKind, clock::Clock};
use ngb_sim::all::{All, Person, Room, Side};

use crate::{
    Table,
    process::{self, pss_mib, tree},
    quantile,
    subject::{Api, Programs},
};

/// Longest wait for anything; whatever takes longer is broken.
const LIMIT: Duration = Duration::from_secs(120);

/// How long the gateway is left alone before and while its rest is measured.
const REST: Duration = Duration::from_secs(5);

/// Pause between two looks at a figure that tells nobody when it changes.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// The gateway, ended with its handle.
struct Gateway(Child);

impl Drop for Gateway {
    fn drop(&mut self) {
        // There is nobody to tell.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Measures; `events` of each kind, `burst` of them at once.
pub(crate) async fn measure(
    programs: &Programs,
    home: &Path,
    events: usize,
    burst: usize,
) -> anyhow::Result<()> {
    let all = All::start(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
    all.telegram.platform.log_calls(false);
    std::fs::create_dir_all(home)?;
    let free = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    // Strangers are not answered: what is measured ends with the acknowledgement.
    let settings = all.settings().replace("\"own-group\"", "\"ignore\"");
    let config = format!("[web]\nport = {}\n[agent]\ndriver = \"demo\"\n{settings}", free.port());
    std::fs::write(home.join("config.toml"), config)?;
    let log = std::fs::File::create(home.join("output"))?;
    process::forget(&programs.gateway)?;
    let mut command = Command::new(&programs.gateway);
    command.arg("--home").arg(home).arg("serve").stdin(Stdio::null());
    let gateway = Gateway(command.stdout(log.try_clone()?).stderr(log).spawn()?);
    let pid = gateway.0.id();
    all.call_back(&format!("http://{free}"), &Clock::System).await;
    let alone = all.connected(LIMIT, &Clock::System).await;
    anyhow::ensure!(alone.is_empty(), "not connected: {alone:?}");

    tokio::time::sleep(REST).await;
    let before = process::cpu_ms(&tree(pid));
    tokio::time::sleep(REST).await;
    let cpu = (process::cpu_ms(&tree(pid)) - before) / REST.as_secs_f64() / 10.0;
    let idle = pss_mib(&tree(pid));
    Table::row(
        "eight accounts connected, memory (PSS)",
        format!("{idle:.1} MiB"),
        "",
        "",
        "35 MiB",
    );
    Table::row("eight accounts connected, processor at rest", format!("{cpu:.2} %"), "", "", "1 %");

    for side in all.sides() {
        acknowledgements(&all, side, events).await?;
    }
    for side in all.sides() {
        reconnect(&all, side).await?;
    }
    let api = Api::new(&home.join("gateway.sock"))?;
    for side in all.sides() {
        let before = stored(&api).await?;
        let began = Instant::now();
        for n in 0..burst {
            side.say(Person::Ann, Room::Direct, &format!("burst {n}"));
        }
        let kept = async {
            while stored(&api).await? < before + burst as u64 {
                tokio::time::sleep(LOOK_AGAIN * 10).await;
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(LIMIT, kept).await.with_context(|| format!("{}", side.kind()))??;
        let rate = burst as f64 / began.elapsed().as_secs_f64();
        let (kind, memory) = (side.kind(), pss_mib(&tree(pid)));
        Table::row(
            &format!("{kind}: a burst of {burst} events, none lost"),
            format!("{rate:.0}/s, {memory:.1} MiB after it"),
            "",
            "",
            "",
        );
    }
    Ok(())
}

/// How many messages of people are on disk.
async fn stored(api: &Api) -> anyhow::Result<u64> {
    let metrics = api.get("/api/status").await?;
    metrics["counts"]["messages_in"].as_u64().context("no count of messages")
}

/// From an event to its acknowledgement, which comes after the commit; one at a time.
async fn acknowledgements(all: &All, side: &dyn Side, events: usize) -> anyhow::Result<()> {
    let mut times = Vec::new();
    for n in 0..events {
        let acknowledged = done(all, side.kind());
        let began = Instant::now();
        side.say(Person::Ann, Room::Direct, &format!("event {n}"));
        let waited = async {
            match side.kind() {
                ChannelKind::Whatsapp => all.whatsapp.platform.until_taken().await,
                ChannelKind::Telegram => all.telegram.platform.wait_confirmed().await,
                ChannelKind::Slack => {
                    all.slack.platform.wait(|it| acknowledged < it.acknowledged).await;
                }
                ChannelKind::Dingtalk => {
                    all.dingtalk.platform.wait(|it| acknowledged < it.acknowledged).await;
                }
                ChannelKind::Feishu => {
                    all.feishu.platform.wait(|it| acknowledged < it.acknowledged).await;
                }
                // Their protocols have none.
                _ => (),
            }
        };
        tokio::time::timeout(LIMIT, waited).await.with_context(|| format!("{}", side.kind()))?;
        times.push(began.elapsed());
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    let kind = side.kind();
    let figure = format!("{kind}: event to stored and acknowledged, p50; p99");
    let shown = match kind {
        ChannelKind::Discord | ChannelKind::Wecom | ChannelKind::Qq => {
            "the protocol has no acknowledgement".to_owned()
        }
        _ => format!("{:.2}; {:.2} ms", quantile(&times, 50), quantile(&times, 99)),
    };
    Table::row(&figure, shown, "", "", "p99 10 ms");
    Ok(())
}

fn done(all: &All, kind: ChannelKind) -> usize {
    match kind {
        ChannelKind::Slack => all.slack.platform.figures().acknowledged,
        ChannelKind::Dingtalk => all.dingtalk.platform.figures().acknowledged,
        ChannelKind::Feishu => all.feishu.platform.figures().acknowledged,
        _ => 0,
    }
}

/// From a cut of its line to the next one that is good.
async fn reconnect(all: &All, side: &dyn Side) -> anyhow::Result<()> {
    let began = Instant::now();
    match side.kind() {
        ChannelKind::Slack => all.slack.platform.close(None),
        ChannelKind::Discord => all.discord.platform.close(None),
        ChannelKind::Wecom => all.wecom.company.cut_bot(),
        ChannelKind::Dingtalk => all.dingtalk.platform.cut(),
        ChannelKind::Feishu => all.feishu.platform.close(None),
        ChannelKind::Qq => all.qq.account.cut(),
        // A poll and a callback have no line to cut.
        _ => return Ok(()),
    }
    for want in [false, true] {
        let mut changes = side.changes();
        let settled = async {
            while side.is_connected() != want {
                // No simulator ends before this does.
                drop(changes.changed().await);
            }
        };
        tokio::time::timeout(LIMIT, settled).await.with_context(|| format!("{}", side.kind()))?;
    }
    let took = began.elapsed().as_secs_f64();
    Table::row(
        &format!("{}: back after a cut", side.kind()),
        format!("{took:.2} s"),
        "",
        "",
        "2 s",
    );
    Ok(())
}
