//! What plugins cost: an empty hook, ten of them, and the start of components that were compiled before.
//!
//! `plugin_time COUNT SCRATCH [COMPONENT.wasm ...]`; `scripts/bench --only plugins` builds and calls it.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "it measures time, and prints"
)]

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use ngb_plugins::wasm::{
    Cache, Candidate, Limits, Manifest, Package, Proof, WasmEngine, WasmEvent, WasmMessage,
    WasmPlugin, encode, silent,
};

/// Passes what comes.
const EMPTY: &str = r#"(module
    (memory (export "memory") 2)
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 65536))
    (func (export "nanogridbot:plugin/message-received@0.1.0#handle") (param i32) (result i32) (i32.const 0)))"#;

const MANIFEST: &str = "name = 'empty'\nversion = '1.0.0'\nhooks = ['message-received']\n";

fn main() {
    let mut args = std::env::args().skip(1);
    let count: usize = args.next().unwrap().parse().unwrap();
    let scratch = PathBuf::from(args.next().unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    println!("| plugins | p50 | p99 | target |");
    println!("|---|---|---|---|");
    runtime.block_on(async {
        hooks(count, &scratch).await;
        for file in args {
            start(&scratch, Path::new(&file)).await;
        }
    });
}

async fn candidate(scratch: &Path, file: &Path) -> (WasmEngine, Candidate) {
    let engine = WasmEngine::new().unwrap();
    let package = Package::read(file, &Proof::default()).unwrap();
    let cache = Cache::new(scratch.join("cache"));
    let it = Candidate::compile(&engine, &cache, package, "measured").await.unwrap();
    (engine, it)
}

async fn hooks(count: usize, scratch: &Path) {
    let manifest: Manifest = MANIFEST.parse().unwrap();
    let file = scratch.join("empty.wasm");
    std::fs::write(&file, encode(&wat::parse_str(EMPTY).unwrap(), &manifest).unwrap()).unwrap();
    let (_engine, it) = candidate(scratch, &file).await;
    let program = it.program(manifest.capabilities, Limits::default()).unwrap();
    let mut plugins = Vec::new();
    for _ in 0..10 {
        plugins.push(WasmPlugin::start(program.clone(), silent()).await.unwrap());
    }
    let config: Arc<str> = "{}".into();
    for (used, target) in [(1, "50 µs"), (10, "300 µs")] {
        let mut times = Vec::with_capacity(count);
        for _ in 0..count {
            let message = WasmMessage {
                chat: "telegram@main:4711".to_owned(),
                sender: "4711".to_owned(),
                sender_name: "Ada".to_owned(),
                text: "What is the weather like in Bern tomorrow?".to_owned(),
                ..WasmMessage::default()
            };
            let began = Instant::now();
            for plugin in &plugins[..used] {
                let event = WasmEvent::MessageReceived(message.clone());
                plugin.ask(event, config.clone()).await.unwrap();
            }
            times.push(began.elapsed());
        }
        row(&format!("{used} empty hooks on a message"), times, &format!("p99 {target}"));
    }
}

/// What a gateway's start pays for a component that was compiled before.
async fn start(scratch: &Path, file: &Path) {
    let (engine, it) = candidate(scratch, file).await;
    let cache = Cache::new(scratch.join("cache"));
    cache.load(&engine, file).unwrap();
    let times = (0..20).map(|_| {
        let began = Instant::now();
        assert!(cache.load(&engine, file).unwrap().was_cached);
        began.elapsed()
    });
    let times = times.collect();
    let name = file.file_stem().unwrap().to_string_lossy().into_owned();
    row(&format!("`{name}` loaded from the cache"), times, "5 ms");
    let program = it.program(it.manifest.capabilities.clone(), Limits::default()).unwrap();
    let mut times = Vec::new();
    for _ in 0..20 {
        let began = Instant::now();
        drop(program.start(silent()).await.unwrap());
        times.push(began.elapsed());
    }
    row(&format!("`{name}` instantiated"), times, "with the load");
}

fn row(what: &str, mut times: Vec<Duration>, target: &str) {
    times.sort();
    let at = |share: usize| times[(times.len() - 1) * share / 100].as_secs_f64() * 1e6;
    println!("| {what} | {:.1} µs | {:.1} µs | {target} |", at(50), at(99));
}
