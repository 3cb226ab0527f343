//! What of the executable stays mapped once the start is over.

use std::{fs, io, ops::Range, path::Path, time::Duration};

use ngb_core::clock::Clock;
use tracing::{debug, warn};

/// How long after the announcement the start counts as over: accounts have connected, a first sandbox lies ready.
const SETTLED_AFTER: Duration = Duration::from_secs(2);

/// Unmaps, once, what the start touched of the executable, a while after it.
///
/// The kernel maps 64 KiB around each page that is touched, and a start touches code everywhere: settings, migrations,
/// certificates, relocations. That is 13 MiB that a gateway at rest doesn't use. The pages stay in the kernel's cache,
/// where they are the first to go when memory is short; what is used again is mapped again without a look at the disk.
pub(crate) async fn unmap_the_start(clock: Clock) -> anyhow::Result<()> {
    clock.sleep(SETTLED_AFTER).await;
    match unmap() {
        Ok(bytes) => {
            debug!(mem.kib = bytes / 1024, "what the start touched of the executable is unmapped")
        }
        // It works as it did; it is only larger.
        Err(err) => warn!("what the start touched of the executable stays mapped: {err}"),
    }
    Ok(())
}

/// Bytes of the ranges that are mapped anew from now on.
fn unmap() -> io::Result<usize> {
    let executable = fs::read_link("/proc/self/exe")?;
    let maps = fs::read_to_string("/proc/self/smaps")?;
    let ranges = as_in_the_file(&maps, &executable);
    for range in &ranges {
        let_go(range)?;
    }
    Ok(ranges.iter().map(Range::len).sum())
}

/// The parts of `executable` that can't be written and of which no page differs from the file, so that any page can be
/// read again: code and constants. `maps` is `/proc/<pid>/smaps`, see proc_pid_smaps(5).
fn as_in_the_file(maps: &str, executable: &Path) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut range = None;
    for line in maps.lines() {
        if let Some(header) = Mapping::parse(line) {
            let fits = !header.writable && Path::new(header.path) == executable;
            range = fits.then_some(header.range);
        } else if line.strip_prefix("Anonymous:").map(str::trim) == Some("0 kB") {
            found.extend(range.take());
        }
    }
    found
}

/// The first line of an entry: `7f00-7f80 r-xp 00001000 fe:00 1234   /usr/bin/nanogridbot`.
struct Mapping<'a> {
    range: Range<usize>,
    writable: bool,
    path: &'a str,
}

impl<'a> Mapping<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut words = line.splitn(6, ' ');
        let (start, end) = words.next()?.split_once('-')?;
        let range = usize::from_str_radix(start, 16).ok()?..usize::from_str_radix(end, 16).ok()?;
        let writable = words.next()?.contains('w');
        Some(Self { range, writable, path: words.nth(3)?.trim() })
    }
}

#[expect(unsafe_code, reason = "madvise has no safe wrapper; see the SAFETY comment")]
fn let_go(range: &Range<usize>) -> io::Result<()> {
    // SAFETY: the range is code or constants of this executable, never written, so that the next access reads what was there
    // from the file; see `as_in_the_file`.
    let done = unsafe {
        libc::madvise(
            std::ptr::with_exposed_provenance_mut(range.start),
            range.len(),
            libc::MADV_DONTNEED,
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_as_in_the_file_is_let_go() {
        let maps = "\
1000-3000 r--p 00000000 fe:00 77                         /opt/the bot/nanogridbot
Rss:                   8 kB
Anonymous:             0 kB
3000-9000 r-xp 00002000 fe:00 77                         /opt/the bot/nanogridbot
Anonymous:             0 kB
9000-a000 r--p 00008000 fe:00 77                         /opt/the bot/nanogridbot
Anonymous:             4 kB
a000-b000 rw-p 00009000 fe:00 77                         /opt/the bot/nanogridbot
Anonymous:             0 kB
b000-c000 r--p 00000000 fe:00 78                         /usr/share/zoneinfo/UTC
Anonymous:             0 kB
c000-d000 rw-p 00000000 00:00 0 
Anonymous:             0 kB
";
        let found = as_in_the_file(maps, Path::new("/opt/the bot/nanogridbot"));
        assert_eq!(found, [0x1000..0x3000, 0x3000..0x9000]);
    }

    #[test]
    fn this_program_goes_on_after_it() {
        let let_go = unmap().unwrap();
        assert!(let_go > 0);
        assert_eq!(format!("{:?}", Duration::from_millis(1500)), "1.5s");
    }
}
