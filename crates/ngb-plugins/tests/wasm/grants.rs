//! What was granted, asked for at each call of each function.

use ngb_plugins::wasm::{
    CallError, Capabilities, Capability, Limits, Manifest, Program, WasmVerdict,
};

use crate::{
    Bench, TEXT,
    guests::{self, PASS, component, on_message, verdict},
    message,
};

/// All that there is.
const EVERYTHING: &str = "log = true\nkv = true\nconfig = true\nsend-message = ['web@default:a']\n\
    'groups:read' = true\nenqueue-run = true\n'queue:read' = true\nhttp = ['api.example.com']\n\
    clock = true\nrandom = true\nmetrics = true";

/// Every function of every capability: of which interface, its parameters and result in core WASM, and a call of it.
/// An answer that is no single value is written to 512.
#[rustfmt::skip]
const FUNCTIONS: [(Capability, &str, &str, &str); 16] = {
    const AT: &str = "(i32.const 512)";
    const TWO: &str = "(i32.const 0) (i32.const 0) (i32.const 512)";
    const FOUR: &str = "(i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 512)";
    const REQUEST: &str = "(i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) \
        (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 512)";
    const COUNT: &str = "(i32.const 0) (i32.const 0) (f64.const 1)";
    [
        (Capability::Log,         "write",     "(param i32 i32 i32)",         "(i32.const 1) (i32.const 0) (i32.const 0)"),
        (Capability::Kv,          "get",       "(param i32 i32 i32)",         TWO),
        (Capability::Kv,          "set",       "(param i32 i32 i32 i32 i32)", FOUR),
        (Capability::Kv,          "delete",    "(param i32 i32 i32)",         TWO),
        (Capability::Kv,          "keys",      "(param i32 i32 i32)",         TWO),
        (Capability::Config,      "get",       "(param i32)",                 AT),
        (Capability::SendMessage, "send",      "(param i32 i32 i32 i32 i32)", FOUR),
        (Capability::SendMessage, "broadcast", "(param i32 i32 i32 i32 i32)", FOUR),
        (Capability::GroupsRead,  "all",       "(param i32)",                 AT),
        (Capability::GroupsRead,  "get",       "(param i32 i32 i32)",         TWO),
        (Capability::EnqueueRun,  "enqueue",   "(param i32 i32 i32 i32 i32)", FOUR),
        (Capability::QueueRead,   "get",       "(param i32)",                 AT),
        (Capability::Http,        "send",      "(param i32 i32 i32 i32 i32 i32 i32 i32 i32)", REQUEST),
        (Capability::Clock,       "now-ms",    "(result i64)",                ""),
        (Capability::Random,      "bytes",     "(param i32 i32)",             "(i32.const 8) (i32.const 512)"),
        (Capability::Metrics,     "add",       "(param i32 i32 f64)",         COUNT),
    ]
};

/// A component that calls the function whose letter the message begins with.
fn caller(manifest: &Manifest) -> Vec<u8> {
    let mut imports = String::new();
    let mut calls = String::new();
    for (number, (capability, name, types, args)) in FUNCTIONS.iter().enumerate() {
        let interface = capability.interface();
        imports += &format!(
            r#"(import "nanogridbot:plugin/{interface}@0.1.0" "{name}" (func $f{number} {types}))"#
        );
        let dropped = if types.contains("result") { "drop" } else { "" };
        calls += &format!(
            "(if (i32.eq (i32.load8_u {TEXT}) (i32.const {})) (then (call $f{number} {args}) {dropped}))",
            letter(number)
        );
    }
    let does = format!("{calls} {}", verdict(PASS, "(i32.const 0)", "(i32.const 0)"));
    component(manifest, &imports, &on_message(&does))
}

fn letter(number: usize) -> u8 {
    b'a' + u8::try_from(number).unwrap()
}

#[tokio::test]
async fn each_function_asks_for_its_grant_at_each_call() {
    let bench = Bench::new();
    let manifest = guests::manifest("'message-received'", EVERYTHING);
    assert_eq!(manifest.capabilities.0.len(), Capability::ALL.len());
    let file = bench.write("caller.wasm", &caller(&manifest));
    let component = bench.cache().load(&bench.engine, &file).unwrap().component;
    for (number, (capability, name, ..)) in FUNCTIONS.into_iter().enumerate() {
        let asked = async |granted: Capabilities| {
            let limits = Limits::default();
            let program =
                Program::new(&bench.engine, &component, &manifest, granted, limits).unwrap();
            let mut running = program.start(bench.desk.clone()).await.unwrap();
            let text = char::from(letter(number)).to_string();
            running.ask(message(&text), "{}".into()).await
        };
        let (mut alone, mut others) =
            (manifest.capabilities.clone(), manifest.capabilities.clone());
        alone.0.retain(|it, _| *it == capability);
        others.0.remove(&capability);
        assert_eq!(asked(alone).await, Ok(WasmVerdict::Pass), "{capability}: {name}");
        let refused = Err(CallError::NotGranted(capability));
        assert_eq!(asked(others).await, refused, "{capability}: {name}");
    }
}

/// What a guest hears that calls `function` of `interface` with these texts.
async fn heard(
    bench: &Bench,
    capability: &str,
    import: &str,
    texts: [&str; 2],
    fills: &str,
) -> CallError {
    let manifest = guests::manifest("'message-received'", capability);
    // The error's text lies behind the result's first byte; it becomes what the hook says.
    let does = format!(
        "(call $f {fills})
         (i32.store (i32.const 0) (i32.const 1))
         (i32.store (i32.const 4) (i32.load offset=4 (i32.const 512)))
         (i32.store (i32.const 8) (i32.load offset=8 (i32.const 512))) (i32.const 0)"
    );
    let [first, second] = texts;
    let data = format!(
        r#"{} (data (i32.const 1024) "{first}") (data (i32.const 2048) "{second}")"#,
        on_message(&does)
    );
    let mut running = bench.run(&manifest, &component(&manifest, import, &data)).await;
    running.ask(message("hello"), "{}".into()).await.unwrap_err()
}

#[tokio::test]
async fn only_the_chats_and_hosts_that_were_named() {
    let bench = Bench::new();
    let chat = "telegram@main:7";
    let send = r#"(import "nanogridbot:plugin/send-message@0.1.0" "send" (func $f (param i32 i32 i32 i32 i32)))"#;
    let args = format!(
        "(i32.const 1024) (i32.const {}) (i32.const 2048) (i32.const 2) (i32.const 512)",
        chat.len()
    );
    let said = heard(&bench, "send-message = ['web@*']", send, [chat, "hi"], &args).await;
    assert_eq!(said, CallError::Said(format!("the plugin was not granted to send to `{chat}`")));
    assert!(bench.desk.sent.lock().unwrap().is_empty());

    let url = "https://evil.example/x";
    let http = r#"(import "nanogridbot:plugin/http@0.1.0" "send" (func $f (param i32 i32 i32 i32 i32 i32 i32 i32 i32)))"#;
    let args = format!(
        "(i32.const 2048) (i32.const 3) (i32.const 1024) (i32.const {}) (i32.const 0) (i32.const 0)
         (i32.const 0) (i32.const 0) (i32.const 512)",
        url.len()
    );
    let said = heard(&bench, "http = ['api.example.com']", http, [url, "GET"], &args).await;
    assert_eq!(said, CallError::Said("the plugin was not granted to ask `evil.example`".into()));
}
