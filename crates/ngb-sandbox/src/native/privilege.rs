//! What a process inside gives up: capabilities and resource limits.

use rustix::{
    io::Errno,
    process::{Resource, Rlimit, getrlimit, setrlimit},
    thread::{self, CapabilitySet, CapabilitySets},
};

use super::plan::{During as _, Failure, Step};

/// Open files a process may have.
pub(crate) const OPEN_FILES: u64 = 4_096;

/// Gives up every capability, also what an exec could bring back.
pub(crate) fn drop_capabilities() -> Result<(), Failure> {
    let doing = || "drop capabilities".into();
    for bit in 0..u64::BITS {
        let one = CapabilitySet::from_bits_retain(1 << bit);
        match thread::remove_capability_from_bounding_set(one) {
            Ok(()) => {}
            Err(Errno::INVAL) => break, // past the last that this kernel knows
            Err(err) => return Err(err).during(Step::Walls, doing),
        }
    }
    thread::clear_ambient_capability_set().during(Step::Walls, doing)?;
    let none = CapabilitySet::empty();
    let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
    thread::set_capabilities(None, sets).during(Step::Walls, doing)
}

/// Sets the limits of a process: its largest file in bytes, and how many processes there may be. There is none on address space: JavaScript engines reserve far more than they use.
pub(crate) fn limit(file_bytes: u64, processes: u64) -> Result<(), Failure> {
    #[rustfmt::skip]
    let limits = [
        (Resource::Core,   0),
        (Resource::Fsize,  file_bytes),
        (Resource::Nofile, OPEN_FILES),
        // Since Linux 5.14 this counts the processes of the user in *this* user namespace: those of the sandbox.
        (Resource::Nproc,  processes),
    ];
    for (resource, wanted) in limits {
        // A limit can only go down.
        let most = getrlimit(resource).maximum.unwrap_or(u64::MAX).min(wanted);
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })
            .during(Step::Walls, || format!("limit {resource:?} to {most}"))?;
    }
    Ok(())
}
