//! Speed and size, measured on the real executable with simulators over real sockets, beside the floor.
//!
//! `bench <nanogridbot> <floor> <scratch folder> [--quick] [--only start|live|inbox|load|channels]`; `scripts/bench` builds and
//! calls it. What each figure means is in `docs/benchmarks.md`.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "it measures time and processes, and prints"
)]

mod channels;
mod fill;
mod inbox;
mod process;
mod subject;

use std::{path::PathBuf, time::Duration};

use subject::{Kind, Programs, Subject};

/// The chats of the main subject: each a group of its own with a live agent.
const CHATS: std::ops::Range<i64> = 1..51;

/// The chats of those that are compared with each other.
const FEW: std::ops::Range<i64> = 1..11;

/// A chat whose lane never ends its first run.
const BUSY: i64 = 99;

/// Chats whose work is stopped while so many messages wait behind it.
const STOPPED: std::ops::Range<i64> = 200..210;
const WAITING_BEHIND: usize = 1_000;

/// Rounds in which two programs take turns.
const ROUNDS: usize = 5;

/// How much is measured.
struct Sizes {
    starts: usize,
    asked: usize,
    asked_together: usize,
    inbox: usize,
    waiting: usize,
    stored: usize,
    /// Events of each platform, one at a time, and at once.
    events: usize,
    burst: usize,
}

const FULL: Sizes = Sizes {
    starts: 15,
    asked: 300,
    asked_together: 30,
    inbox: 60_000,
    waiting: 20_000,
    stored: 1_000_000,
    events: 1_000,
    burst: 10_000,
};

const QUICK: Sizes = Sizes {
    starts: 5,
    asked: 100,
    asked_together: 10,
    inbox: 20_000,
    waiting: 5_000,
    stored: 100_000,
    events: 200,
    burst: 10_000,
};

/// The table, row by row.
struct Table;

impl Table {
    fn head() {
        println!("| figure | ours | floor or base | ratio | target |");
        println!("|---|---|---|---|---|");
    }

    fn row(figure: &str, ours: String, base: &str, ratio: &str, target: &str) {
        println!("| {figure} | {ours} | {base} | {ratio} | {target} |");
    }
}

fn ms(it: Duration) -> f64 {
    it.as_secs_f64() * 1_000.0
}

/// The value below which `share` hundredths of the times are, in milliseconds.
fn quantile(times: &[Duration], share: usize) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort();
    ms(sorted[(sorted.len() - 1) * share / 100])
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// What two programs showed in turn: of each round the 50th and the 99th hundredth, in milliseconds.
#[derive(Default)]
struct Rounds {
    ours: Vec<[f64; 2]>,
    base: Vec<[f64; 2]>,
}

impl Rounds {
    async fn run(
        ours: (&mut Subject, std::ops::Range<i64>),
        base: (&mut Subject, std::ops::Range<i64>),
        asked: usize,
    ) -> anyhow::Result<Self> {
        let mut res = Self::default();
        for _ in 0..ROUNDS {
            let times = base.0.ask_in_turn(base.1.clone(), asked).await?;
            res.base.push([quantile(&times, 50), quantile(&times, 99)]);
            let times = ours.0.ask_in_turn(ours.1.clone(), asked).await?;
            res.ours.push([quantile(&times, 50), quantile(&times, 99)]);
        }
        Ok(res)
    }

    /// Medians over the rounds of ours, of the base, and of the ratio.
    fn medians(&self, which: usize) -> [f64; 3] {
        let of = |it: &[[f64; 2]]| median(&it.iter().map(|it| it[which]).collect::<Vec<_>>());
        let ratios: Vec<f64> = self
            .ours
            .iter()
            .zip(&self.base)
            .map(|(ours, base)| ours[which] / base[which])
            .collect();
        [of(&self.ours), of(&self.base), median(&ratios)]
    }

    fn row(&self, figure: &str, which: usize, target: &str) {
        let [ours, base, ratio] = self.medians(which);
        let (ours, base, ratio) =
            (format!("{ours:.2} ms"), format!("{base:.2} ms"), format!("{ratio:.2}"));
        Table::row(figure, ours, &base, &ratio, target);
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let quick = args.iter().any(|it| it == "--quick");
    args.retain(|it| it != "--quick");
    let only = match args.iter().position(|it| it == "--only") {
        Some(at) => args.drain(at..(at + 2).min(args.len())).nth(1),
        None => None,
    };
    let [gateway, floor, scratch] = args.as_slice() else {
        anyhow::bail!("usage: bench NANOGRIDBOT FLOOR SCRATCH_FOLDER [--quick] [--only PART]");
    };
    let sizes = if quick { QUICK } else { FULL };
    let programs = Programs { gateway: gateway.into(), floor: floor.into() };
    let scratch = PathBuf::from(scratch);

    let wanted = |part: &str| only.as_ref().is_none_or(|it| it == part);
    let parts = ["start", "live", "inbox", "load", "channels"];
    anyhow::ensure!(parts.iter().any(|it| wanted(it)), "--only takes one of {parts:?}");

    Table::head();
    if wanted("start") {
        start(&programs, &scratch, &sizes).await?;
    }
    if wanted("live") {
        live(&programs, &scratch, &sizes).await?;
    }
    if wanted("inbox") {
        let rate = inbox::measure(&scratch.join("inbox"), sizes.inbox).await?;
        Table::row(
            "inbound at the inbox, durable, dispatch paused",
            format!("{rate:.0}/s"),
            "",
            "",
            "5,000/s",
        );
    }
    if wanted("load") {
        with_load(&programs, &scratch, &sizes).await?;
    }
    if wanted("channels") {
        let (events, burst) = (sizes.events, sizes.burst);
        channels::measure(&programs, &scratch.join("channels"), events, burst).await?;
    }
    Ok(())
}

/// The executable's size, and its start.
async fn start(
    programs: &Programs,
    scratch: &std::path::Path,
    sizes: &Sizes,
) -> anyhow::Result<()> {
    let bytes = std::fs::metadata(&programs.gateway)?.len();
    Table::row(
        "executable",
        format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20)),
        "",
        "",
        "30 MiB",
    );
    let mut ours = Subject::new(Kind::Gateway, programs, scratch.join("start")).await?;
    let mut floor = Subject::new(Kind::Floor, programs, scratch.join("floor start")).await?;
    ours.start().await?;
    ours.groups(CHATS).await?;
    ours.stop(false)?;
    floor.start().await?;
    floor.stop(false)?;

    let [mut starts, mut floors] = [const { Vec::new() }; 2];
    for _ in 0..sizes.starts {
        floors.push(floor.start().await?);
        floor.stop(false)?;
        starts.push(ours.start().await?);
        ours.stop(false)?;
    }
    let (it, base) = (quantile(&starts, 50), quantile(&floors, 50));
    Table::row(
        "start to the first poll, p50",
        format!("{it:.1} ms"),
        &format!("{base:.1} ms"),
        &format!("{:.2}", it / base),
        "30 ms",
    );
    Ok(())
}

/// Memory, one message, fifty at once.
async fn live(programs: &Programs, scratch: &std::path::Path, sizes: &Sizes) -> anyhow::Result<()> {
    let mut ours = Subject::new(Kind::Gateway, programs, scratch.join("ours")).await?;
    let mut floor = Subject::new(Kind::Floor, programs, scratch.join("floor")).await?;
    ours.start().await?;
    ours.groups(CHATS).await?;
    // What making groups cost is gone with the process that did it.
    ours.stop(false)?;
    process::forget(&programs.gateway)?;
    process::forget(&programs.floor)?;
    ours.start().await?;
    floor.start().await?;
    // The sandbox is proved beside the start; what that takes is over by then.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let gateway = ours.pid()?;
    let idle = process::pss_mib(&process::tree(gateway));
    let base = process::pss_mib(&[floor.pid()?]);
    Table::row(
        "idle memory (PSS), Telegram connected",
        format!("{idle:.1} MiB"),
        &format!("{base:.1} MiB"),
        &format!("{:.2}", idle / base),
        "20 MiB",
    );

    let count = usize::try_from(CHATS.end - CHATS.start)?;
    let cold = ours.ask_in_turn(CHATS, count).await?;
    Table::row(
        "message to reply, cold sandbox, p50",
        format!("{:.1} ms", quantile(&cold, 50)),
        "",
        "",
        "20 ms",
    );
    Table::row(
        "message to reply, cold sandbox, p99",
        format!("{:.1} ms", quantile(&cold, 99)),
        "",
        "",
        "",
    );
    tokio::time::sleep(Duration::from_secs(1)).await;
    let all = process::pss_mib(&process::tree(gateway));
    Table::row(
        "memory (PSS) per live agent",
        format!("{:.1} MiB", (all - idle) / count as f64),
        "",
        "",
        "8 MiB",
    );

    floor.ask_in_turn(CHATS, count).await?;
    let rounds = Rounds::run((&mut ours, CHATS), (&mut floor, CHATS), sizes.asked).await?;
    rounds.row("message to reply, live agent, p50", 0, "4 ms; 2x");
    rounds.row("message to reply, live agent, p99", 1, "20 ms; 3x");

    let [mut rates, mut bases, mut cpus, mut base_cpus] = [const { Vec::new() }; 4];
    for _ in 0..ROUNDS {
        let messages = (count * sizes.asked_together) as f64;
        for (subject, rates, cpus) in
            [(&mut floor, &mut bases, &mut base_cpus), (&mut ours, &mut rates, &mut cpus)]
        {
            let tree = process::tree(subject.pid()?);
            let before = process::cpu_ms(&tree);
            let took = subject.ask_all(CHATS, sizes.asked_together).await?;
            cpus.push((process::cpu_ms(&tree) - before) / messages);
            rates.push(messages / took.as_secs_f64());
        }
    }
    let (it, base) = (median(&rates), median(&bases));
    Table::row(
        "50 chats at once, live agents",
        format!("{it:.0} replies/s"),
        &format!("{base:.0}"),
        &format!("{:.2}", it / base),
        "1,000/s",
    );
    let (it, base) = (median(&cpus), median(&base_cpus));
    Table::row(
        "processor time per message, all processes",
        format!("{it:.2} ms"),
        &format!("{base:.2} ms"),
        &format!("{:.2}", it / base),
        "2 ms",
    );
    Ok(())
}

/// One message beside a large database, and beside a long queue.
async fn with_load(
    programs: &Programs,
    scratch: &std::path::Path,
    sizes: &Sizes,
) -> anyhow::Result<()> {
    let mut empty = Subject::new(Kind::Gateway, programs, scratch.join("empty")).await?;
    empty.start().await?;
    let other = 11..21;
    empty.groups(FEW).await?;
    empty.groups(other.clone()).await?;
    empty.ask_in_turn(FEW.start..other.end, 20).await?;

    let mut full = Subject::new(Kind::Gateway, programs, scratch.join("full")).await?;
    full.start().await?;
    full.groups(FEW).await?;
    full.ask_in_turn(FEW, 10).await?;
    full.stop(false)?;
    fill::fill(&full.home, sizes.stored)?;
    full.start().await?;
    full.ask_in_turn(FEW, 10).await?;
    let rounds = Rounds::run((&mut full, FEW), (&mut empty, FEW), sizes.asked / 2).await?;
    rounds.row(&format!("p50 with {} stored messages", sizes.stored), 0, "1.3x");
    full.stop(true)?;

    let mut queue = Subject::new(Kind::Gateway, programs, scratch.join("queue")).await?;
    queue.start().await?;
    queue.groups(FEW).await?;
    queue.groups(BUSY..BUSY + 1).await?;
    queue.ask_in_turn(FEW, 10).await?;
    queue.occupy(BUSY).await?;
    let took = queue.flood(BUSY, sizes.waiting).await?;
    let rate = sizes.waiting as f64 / took.as_secs_f64();
    Table::row(
        "inbound through the Telegram simulator, durable",
        format!("{rate:.0}/s"),
        "",
        "",
        "3,000/s",
    );
    let rounds = Rounds::run((&mut queue, FEW), (&mut empty, other), sizes.asked / 2).await?;
    rounds.row(&format!("p50 with {} jobs of another lane waiting", sizes.waiting), 0, "1.1x");
    queue.stop(true)?;
    stops(programs, scratch).await
}

/// `/stop` in a chat whose agent is in the middle of a command, with a thousand messages behind it.
async fn stops(programs: &Programs, scratch: &std::path::Path) -> anyhow::Result<()> {
    let mut ours = Subject::new(Kind::Gateway, programs, scratch.join("stop")).await?;
    ours.start().await?;
    ours.groups(STOPPED).await?;
    let mut times = Vec::new();
    for chat in STOPPED {
        ours.occupy(chat).await?;
        ours.flood(chat, WAITING_BEHIND).await?;
        times.push(ours.say(chat, "/stop").await?);
    }
    Table::row(
        &format!("`/stop` to its answer, {WAITING_BEHIND} messages waiting, p50 / most"),
        format!("{:.1} / {:.1} ms", quantile(&times, 50), quantile(&times, 100)),
        "",
        "",
        "200 ms",
    );
    Ok(())
}
