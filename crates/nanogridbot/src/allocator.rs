//! How the C library's allocator keeps what is freed. SQLite asks it for all its memory, and so do we.

/// Free memory at an arena's end that is kept rather than given back, in bytes. The default of 128 KiB is about what one
/// statement of SQLite takes and frees: each gave it back, and the next one had its pages cleared anew.
const KEPT_BYTES: i32 = 1024 * 1024;

/// Arenas. By default each thread gets one of its own, up to eight for each core; every one keeps free memory for itself.
const ARENAS: i32 = 2;

/// To be called before anything else, while there is one thread.
#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "mallopt has no safe wrapper; see the SAFETY comment")]
pub(crate) fn set_up() {
    for (parameter, value) in [(libc::M_TRIM_THRESHOLD, KEPT_BYTES), (libc::M_ARENA_MAX, ARENAS)] {
        // SAFETY: it takes two numbers and sets one of the allocator's; no other thread allocates yet.
        let done = unsafe { libc::mallopt(parameter, value) };
        if done == 0 {
            // It works as it did without; it is only slower.
            eprintln!("warning: the allocator did not take {value} for its parameter {parameter}");
        }
    }
}

#[cfg(not(target_env = "gnu"))]
pub(crate) fn set_up() {}
