//! A plugin is replaced while messages flow: none is lost, none is seen twice, order is kept, and so is what it knew.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use ngb_plugins::wasm::{Manifest, Program, ReplaceError, WasmPlugin, WasmVerdict};

use crate::{
    Bench,
    guests::{self, ANSWER, component, on_message, verdict},
    message,
};

/// Answers how many messages it has seen, as 8 hexadecimal digits, and hands that over. `mark` tells versions apart.
fn counter(manifest: &Manifest, mark: u32, restores: bool) -> Vec<u8> {
    let digits = r"(func $digits (local $i i32) (local $d i32)
        (loop $l
            (local.set $d (i32.and (i32.shr_u (global.get $seen) (i32.mul (local.get $i) (i32.const 4))) (i32.const 15)))
            (i32.store8 (i32.sub (i32.const 4103) (local.get $i))
                (i32.add (local.get $d) (select (i32.const 87) (i32.const 48) (i32.gt_u (local.get $d) (i32.const 9)))))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br_if $l (i32.lt_u (local.get $i) (i32.const 8)))))";
    let handle = format!(
        "(global.set $seen (i32.add (global.get $seen) (i32.const 1))) (call $digits) {}",
        verdict(ANSWER, "(i32.const 4096)", "(i32.const 8)")
    );
    let takes = if restores {
        "(global.set $seen (i32.load (local.get 0))) (i32.store (i32.const 16) (i32.const 0))"
    } else {
        "(i32.store (i32.const 16) (i32.const 1)) (i32.store (i32.const 20) (i32.const 0)) (i32.store (i32.const 24) (i32.const 0))"
    };
    let state = format!(
        r#"(func (export "nanogridbot:plugin/state@0.1.0#save") (result i32)
            (i32.store (i32.const 32) (global.get $seen))
            (i32.store (i32.const 16) (i32.const 0))
            (i32.store (i32.const 20) (i32.const 32))
            (i32.store (i32.const 24) (i32.const 4))
            (i32.const 16))
        (func (export "nanogridbot:plugin/state@0.1.0#restore") (param i32 i32) (result i32) {takes} (i32.const 16))"#
    );
    let globals =
        format!("(global $seen (mut i32) (i32.const 0)) (global $mark i32 (i32.const {mark}))");
    component(manifest, "", &format!("{globals} {digits} {} {state}", on_message(&handle)))
}

fn program(bench: &Bench, manifest: &Manifest, bytes: &[u8]) -> Program {
    bench.program(manifest, bytes, manifest.capabilities.clone()).unwrap()
}

fn manifest() -> Manifest {
    guests::manifest("'message-received', 'state'", "")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_reloads_under_load_lose_nothing() {
    let (bench, manifest) = (Bench::new(), manifest());
    let versions: Vec<Program> =
        (0..4).map(|it| program(&bench, &manifest, &counter(&manifest, it, true))).collect();
    let plugin =
        Arc::new(WasmPlugin::start(versions[0].clone(), bench.desk.clone()).await.unwrap());
    let over = AtomicBool::new(false);
    let messages = async {
        let mut answers = Vec::new();
        while !over.load(Relaxed) {
            answers.push(plugin.ask(message("hello"), "{}".into()).await);
            tokio::task::yield_now().await;
        }
        answers
    };
    let reloads = async {
        for round in 0..200 {
            plugin.replace(versions[round % versions.len()].clone()).await.unwrap();
            tokio::task::yield_now().await;
        }
        over.store(true, Relaxed);
    };
    let (answers, ()) = tokio::join!(messages, reloads);
    assert!(200 <= answers.len(), "{} messages among 200 reloads", answers.len());
    for (number, answer) in answers.iter().enumerate() {
        let want = WasmVerdict::Answer(format!("{:08x}", number + 1));
        assert_eq!(*answer, Ok(want), "message {number}");
    }
}

#[tokio::test]
async fn a_version_that_does_not_take_the_state_does_not_take_over() {
    let (bench, manifest) = (Bench::new(), manifest());
    let old = program(&bench, &manifest, &counter(&manifest, 0, true));
    let plugin = WasmPlugin::start(old, bench.desk.clone()).await.unwrap();
    plugin.ask(message("hello"), "{}".into()).await.unwrap();
    let new = program(&bench, &manifest, &counter(&manifest, 0, false));
    assert!(matches!(plugin.replace(new).await, Err(ReplaceError::Restore(_))));
    let said = plugin.ask(message("hello"), "{}".into()).await;
    assert_eq!(said, Ok(WasmVerdict::Answer("00000002".into())), "the old one goes on");
}

#[tokio::test]
async fn a_version_that_does_not_start_does_not_take_over() {
    let (bench, manifest) = (Bench::new(), manifest());
    let old = program(&bench, &manifest, &counter(&manifest, 0, true));
    let plugin = WasmPlugin::start(old, bench.desk.clone()).await.unwrap();
    let only = guests::manifest("'message-received'", "");
    let body =
        format!("(func $start (unreachable)) (start $start) {}", on_message("(unreachable)"));
    let new = program(&bench, &only, &component(&only, "", &body));
    assert!(matches!(plugin.replace(new).await, Err(ReplaceError::Component(_))));
    let said = plugin.ask(message("hello"), "{}".into()).await;
    assert_eq!(said, Ok(WasmVerdict::Answer("00000001".into())));
}

#[tokio::test]
async fn after_a_trap_the_next_message_finds_it_whole() {
    let bench = Bench::new();
    let manifest = guests::manifest("'message-received'", "");
    // Traps at every second message that one instance sees.
    let does = format!(
        "(global.set $seen (i32.add (global.get $seen) (i32.const 1)))
         (if (i32.eq (global.get $seen) (i32.const 2)) (then (unreachable))) {}",
        verdict(guests::PASS, "(i32.const 0)", "(i32.const 0)")
    );
    let body = format!("(global $seen (mut i32) (i32.const 0)) {}", on_message(&does));
    let program = program(&bench, &manifest, &component(&manifest, "", &body));
    let plugin = WasmPlugin::start(program, bench.desk.clone()).await.unwrap();
    let mut said = Vec::new();
    for _ in 0..6 {
        said.push(plugin.ask(message("hello"), "{}".into()).await.is_ok());
    }
    assert_eq!(said, [true, false, true, false, true, false]);
}
