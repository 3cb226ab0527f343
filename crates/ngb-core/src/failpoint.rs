//! Instants at which a test has this process killed.
//!
//! `NGB_KILL_AT=after-send:2` kills it, as `kill -9` does, when it reaches the point `after-send` for the second time. It
//! is there with debug assertions only; in a release build a point is nothing.

/// Passes the point `name`, unless the process is to die there.
#[cfg(debug_assertions)]
pub fn reach(name: &str) {
    use std::sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    };

    static KILL_AT: OnceLock<Option<(String, u32)>> = OnceLock::new();
    static REACHED: AtomicU32 = AtomicU32::new(0);
    let wanted = KILL_AT.get_or_init(|| {
        let text = std::env::var_os("NGB_KILL_AT")?.into_string().ok()?;
        let (name, n) = text.split_once(':')?;
        Some((name.to_owned(), n.parse().ok()?))
    });
    let Some((wanted, n)) = wanted else { return };
    if wanted == name && REACHED.fetch_add(1, Ordering::Relaxed) + 1 == *n {
        let me = rustix::process::getpid();
        if let Err(err) = rustix::process::kill_process(me, rustix::process::Signal::KILL) {
            panic!("could not die at `{name}`: {err}");
        }
    }
}

/// Passes the point `name`.
#[cfg(not(debug_assertions))]
pub fn reach(_name: &str) {}
