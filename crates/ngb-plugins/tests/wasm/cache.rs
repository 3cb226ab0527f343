//! The cache of compiled components: used again, for us alone, and not believed when it was changed.

use std::os::unix::fs::PermissionsExt as _;

use crate::{
    Bench,
    guests::{self, component, on_message},
};

fn compiled(bench: &Bench) -> std::path::PathBuf {
    let entries = std::fs::read_dir(bench.dir.path().join("cache")).unwrap();
    let mut found = entries.map(|it| it.unwrap().path());
    found.find(|it| it.extension().is_some_and(|it| it == "cwasm")).unwrap()
}

fn guest() -> Vec<u8> {
    component(&guests::manifest("'message-received'", ""), "", &on_message("(unreachable)"))
}

#[test]
fn a_component_is_compiled_once() {
    let bench = Bench::new();
    let file = bench.write("a.wasm", &guest());
    let first = bench.cache().load(&bench.engine, &file).unwrap();
    assert!(!first.was_cached);
    let again = bench.cache().load(&bench.engine, &file).unwrap();
    assert!(again.was_cached);
    assert_eq!(again.sha256, first.sha256);
    let copy = bench.write("b.wasm", &guest());
    assert!(bench.cache().load(&bench.engine, &copy).unwrap().was_cached, "by what is in it");
    let mode = |path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(compiled(&bench)), 0o600);
    assert_eq!(mode(bench.dir.path().join("cache")), 0o700);
}

#[test]
fn code_that_was_changed_is_compiled_anew() {
    let bench = Bench::new();
    let file = bench.write("a.wasm", &guest());
    bench.cache().load(&bench.engine, &file).unwrap();
    let path = compiled(&bench);
    let good = std::fs::read(&path).unwrap();
    let mut bad = good.clone();
    *bad.last_mut().unwrap() ^= 1;
    std::fs::write(&path, &bad).unwrap();
    assert!(!bench.cache().load(&bench.engine, &file).unwrap().was_cached);
    assert_eq!(std::fs::read(&path).unwrap(), good);

    // One that others may write is not believed at all.
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
    assert!(!bench.cache().load(&bench.engine, &file).unwrap().was_cached);
}

#[test]
fn what_no_plugin_uses_is_forgotten() {
    let bench = Bench::new();
    let file = bench.write("a.wasm", &guest());
    let sha256 = bench.cache().load(&bench.engine, &file).unwrap().sha256;
    bench.cache().prune(&[sha256]).unwrap();
    assert!(compiled(&bench).exists());
    let path = compiled(&bench);
    bench.cache().prune(&[]).unwrap();
    assert!(!path.exists());
}
