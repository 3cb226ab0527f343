//! Bad guests: each costs its own call, says why, and leaves the process as it was.

use std::time::Duration;

use ngb_plugins::wasm::{CallError, Capabilities, Capability, ComponentError, Limits};

use crate::{
    Bench,
    guests::{self, ANSWER, PASS, component, on_message, verdict},
    message,
};

/// What a guest that does this gets as its answer.
async fn asked(does: &str) -> CallError {
    let bench = Bench::new();
    let manifest = guests::manifest("'message-received'", "");
    let mut running = bench.run(&manifest, &component(&manifest, "", &on_message(does))).await;
    let said = running.ask(message("hello"), "{}".into()).await.unwrap_err();
    assert!(!running.is_whole(), "it is not called again as it is");
    said
}

#[tokio::test]
async fn an_endless_loop_is_stopped() {
    assert_eq!(
        asked("(loop $l (br $l)) (unreachable)").await,
        CallError::Endless(Duration::from_secs(1))
    );
}

#[tokio::test]
async fn endless_memory_is_refused() {
    let does = "(loop $l (if (i32.eq (memory.grow (i32.const 16)) (i32.const -1)) (then (unreachable))) (br $l))
                (unreachable)";
    assert_eq!(asked(does).await, CallError::Memory(Limits::default().memory_bytes));
}

#[tokio::test]
async fn endless_recursion_is_a_trap() {
    let bench = Bench::new();
    let manifest = guests::manifest("'message-received'", "");
    let body = format!(
        "(func $deep (param i32) (result i32) (i32.add (i32.const 1) (call $deep (local.get 0)))) {}",
        on_message("(drop (call $deep (i32.const 0))) (unreachable)")
    );
    let mut running = bench.run(&manifest, &component(&manifest, "", &body)).await;
    let said = running.ask(message("hello"), "{}".into()).await.unwrap_err();
    assert!(said.to_string().contains("stack"), "{said}");
}

#[tokio::test]
async fn a_trap_is_said() {
    let said = asked("(unreachable)").await.to_string();
    assert!(said.contains("unreachable"), "{said}");
}

#[tokio::test]
async fn an_address_outside_of_its_memory_is_its_own_fault() {
    let said = asked(&verdict(ANSWER, "(i32.const 131000)", "(i32.const 4000)")).await.to_string();
    assert!(said.contains("out of bounds"), "{said}");
}

#[tokio::test]
async fn an_answer_of_a_hundred_megabytes_is_too_long() {
    // 100 MiB of memory are there; the answer is what is too much.
    let does = format!(
        "(drop (memory.grow (i32.const 1600))) {}",
        verdict(ANSWER, "(i32.const 65536)", "(i32.const 104857600)")
    );
    assert_eq!(asked(&does).await, CallError::TooLong(Limits::default().output_bytes));
}

#[tokio::test]
async fn an_answer_that_is_not_utf8_is_an_error() {
    let does = format!(
        "(i32.store (i32.const 4096) (i32.const 0xfffefdfc)) {}",
        verdict(ANSWER, "(i32.const 4096)", "(i32.const 4)")
    );
    assert_eq!(asked(&does).await, CallError::NotUtf8);
}

#[tokio::test]
async fn a_verdict_that_there_is_not_is_an_error() {
    let said = asked(&verdict(77, "(i32.const 0)", "(i32.const 0)")).await.to_string();
    assert!(said.contains("discriminant"), "{said}");
}

/// `log.write` and `kv.set`, as a core module imports them.
const LOG: &str =
    r#"(import "nanogridbot:plugin/log@0.1.0" "write" (func $log (param i32 i32 i32)))"#;
const KV: &str =
    r#"(import "nanogridbot:plugin/kv@0.1.0" "set" (func $set (param i32 i32 i32 i32 i32)))"#;

#[tokio::test]
async fn a_flood_of_log_lines_is_cut() {
    let bench = Bench::new();
    let manifest = guests::manifest("'message-received'", "log = true");
    let does = format!(
        "(local $n i32)
         (loop $l
            (call $log (i32.const 1) (i32.const 4096) (i32.const 60000))
            (local.set $n (i32.add (local.get $n) (i32.const 1)))
            (br_if $l (i32.lt_u (local.get $n) (i32.const 50))))
         {}",
        verdict(PASS, "(i32.const 0)", "(i32.const 0)")
    );
    let mut running = bench.run(&manifest, &component(&manifest, LOG, &on_message(&does))).await;
    for _ in 0..10 {
        running.ask(message("hello"), "{}".into()).await.unwrap();
    }
    let lines = || bench.desk.log.lock().unwrap().len();
    assert_eq!(lines(), 100, "of 500");
    assert!(bench.desk.log.lock().unwrap().iter().all(|it| it.len() <= 2048));
    bench.desk.now_ms.store(60_000, std::sync::atomic::Ordering::Relaxed);
    running.ask(message("hello"), "{}".into()).await.unwrap();
    assert_eq!(lines(), 151);
    assert_eq!(bench.desk.log.lock().unwrap()[100], "400 lines were too many and are not here");
}

#[tokio::test]
async fn a_value_that_is_too_large_is_an_error_of_the_plugins() {
    let bench = Bench::new();
    let manifest = guests::manifest("'message-received'", "kv = true");
    // The result of `set` lies at 512; its first byte says whether it is an error, and that is the verdict.
    let does = format!(
        "(call $set (i32.const 4096) (i32.const 3) (i32.const 0) (i32.const 100000) (i32.const 512)) {}",
        "(i32.store (i32.const 0) (i32.load8_u (i32.const 512)))
         (i32.store (i32.const 4) (i32.load offset=4 (i32.const 512)))
         (i32.store (i32.const 8) (i32.load offset=8 (i32.const 512))) (i32.const 0)"
    );
    let mut running = bench.run(&manifest, &component(&manifest, KV, &on_message(&does))).await;
    let said = running.ask(message("hello"), "{}".into()).await.unwrap_err();
    assert_eq!(said, CallError::Said("a value has up to 65536 bytes, this one 100000".into()));
    assert!(running.is_whole(), "an error is no trap");
}

#[test]
fn what_is_no_plugin_is_not_taken() {
    let bench = Bench::new();
    let manifest = guests::manifest("'message-received'", "");
    let refused =
        |bytes: &[u8]| bench.program(&manifest, bytes, Capabilities::default()).err().unwrap();
    let good = component(&manifest, "", &on_message("(unreachable)"));
    let other = guests::manifest("'tick'", "");
    let tick = component(&other, "", &guests::hook("tick", "", "(unreachable)"));
    let logs = guests::manifest("'message-received'", "log = true");
    let logs = component(
        &logs,
        LOG,
        &on_message("(call $log (i32.const 0) (i32.const 0) (i32.const 0)) (unreachable)"),
    );
    let core = wat::parse_str("(module)").unwrap();
    let foreign = wat::parse_str(
        r#"(component (import "wasi:cli/environment@0.2.0" (instance (export "get" (func)))))"#,
    );
    let newer = wat::parse_str(
        r#"(component (import "nanogridbot:plugin/log@0.9.0" (instance (export "write" (func)))))"#,
    );
    let shape = wat::parse_str(
        r#"(component (core module $m (func (export "f"))) (core instance $i (instantiate $m))
            (func $f (canon lift (core func $i "f")))
            (instance $x (export "handle" (func $f)))
            (export "nanogridbot:plugin/message-received@0.1.0" (instance $x)))"#,
    );
    assert!(matches!(refused(b"hello"), ComponentError::NotWasm { .. }));
    assert!(matches!(refused(b""), ComponentError::NotWasm { .. }));
    assert!(matches!(refused(&core), ComponentError::CoreModule { .. }));
    assert!(matches!(refused(&good[..good.len() / 2]), ComponentError::Invalid(_)), "half-written");
    assert!(
        matches!(refused(&foreign.unwrap()), ComponentError::Foreign(it) if it.starts_with("wasi:cli"))
    );
    assert!(
        matches!(refused(&newer.unwrap()), ComponentError::Version(it) if it.ends_with("@0.9.0"))
    );
    assert!(matches!(refused(&tick), ComponentError::NoExport(_)));
    assert!(matches!(refused(&logs), ComponentError::Undeclared(Capability::Log)));
    let program = bench.program(&manifest, &shape.unwrap(), Capabilities::default()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let started = runtime.block_on(program.start(bench.desk.clone()));
    assert!(matches!(started.err().unwrap(), ComponentError::Shape { .. }));
}
