//! Guests that are written by hand: each is a core module in text, made a component for the test.

use ngb_plugins::wasm::{Manifest, encode};

/// A manifest with these hooks and capabilities (TOML).
pub(crate) fn manifest(hooks: &str, capabilities: &str) -> Manifest {
    let text = format!(
        "name = 'guest'\nversion = '1.0.0'\nhooks = [{hooks}]\n[capabilities]\n{capabilities}"
    );
    text.parse().unwrap()
}

/// A component with these hooks, of the functions in `body`.
///
/// A record comes in as its fields, or from 17 values on as an address; a verdict goes out as the address of
/// `result` (0 ok, 1 error), then `verdict` at 4, then text and its length at 8 and 12.
pub(crate) fn component(manifest: &Manifest, imports: &str, body: &str) -> Vec<u8> {
    let module = format!(
        r#"(module {imports}
            (memory (export "memory") 2)
            (global $free (mut i32) (i32.const 65536))
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                (local $at i32)
                (local.set $at (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
                (global.set $free (i32.add (local.get $at) (local.get 3)))
                ;; Bump allocation: a guest that lives long begins anew.
                (if (i32.gt_u (global.get $free) (i32.const 120000)) (then (global.set $free (i32.const 65536))))
                (local.get $at))
            {body})"#
    );
    let module = wat::parse_str(module).unwrap();
    encode(&module, manifest).unwrap()
}

/// What `message-received` does, as instructions that leave the verdict's address. The record lies at `$at`.
pub(crate) fn on_message(does: &str) -> String {
    hook("message-received", "(param $at i32)", does)
}

/// A hook of one function `handle`.
pub(crate) fn hook(name: &str, params: &str, does: &str) -> String {
    format!(
        r#"(func (export "nanogridbot:plugin/{name}@0.1.0#handle") {params} (result i32) {does})"#
    )
}

/// Leaves a verdict: its number, and the text at an address.
pub(crate) fn verdict(number: u8, at: &str, bytes: &str) -> String {
    format!(
        "(i32.store (i32.const 0) (i32.const 0))
         (i32.store (i32.const 4) (i32.const {number}))
         (i32.store (i32.const 8) {at})
         (i32.store (i32.const 12) {bytes})
         (i32.const 0)"
    )
}

pub(crate) const PASS: u8 = 0;
pub(crate) const CHANGE: u8 = 1;
pub(crate) const ANSWER: u8 = 2;
