//! What to do about an error, in the user's words.

use ngb_core::address::AddressError;
use ngb_sandbox::SandboxError;
use ngb_store::StoreError;

use ngb_web::BindError;

use crate::{
    cli::BadArgument,
    client::Refused,
    home::HomeError,
    make::{BadClock, Held},
    settings::SettingsError,
    standby::InUse,
};

/// The first cause in the chain that knows what the user should do.
pub(crate) fn hint(err: &anyhow::Error) -> Option<String> {
    err.chain().find_map(|cause| {
        if let Some(it) = cause.downcast_ref::<SettingsError>() {
            return settings(it);
        }
        if let Some(it) = cause.downcast_ref::<Refused>() {
            return it.hint.clone();
        }
        if let Some(it) = cause.downcast_ref::<HomeError>() {
            return Some(match it {
                HomeError::InUse(_) => "stop it first, or name another folder with `--home DIR`".into(),
                HomeError::Unusable { path, .. } => {
                    format!("make `{path}` writable for this user, or name another folder with `--home DIR`")
                }
                HomeError::Unknown => "name a folder with `--home DIR`".into(),
            });
        }
        if let Some(InUse { .. }) = cause.downcast_ref() {
            return Some("run the command where that gateway runs, or end it first".into());
        }
        if let Some(it) = cause.downcast_ref::<StoreError>() {
            return store(it);
        }
        if cause.is::<BadClock>() {
            return Some("set the clock: `timedatectl set-ntp true`, or `date -s`".into());
        }
        if cause.is::<Held>() {
            return Some("`nanogridbot status` lists what waits, `nanogridbot resume --held` has it go on".into());
        }
        if let Some(hint) = crate::backup::hint(cause).or_else(|| crate::plugin::hint(cause)) {
            return Some(hint);
        }
        if let Some(AddressError::NoColon(_)) = cause.downcast_ref() {
            return Some("an address looks like `telegram:-100123`".into());
        }
        if let Some(BindError::InUse(addr)) = cause.downcast_ref() {
            return Some(format!("`ss -ltnp 'sport = :{}'` names what uses it", addr.port()));
        }
        if let Some(SandboxError::NotAllowed { .. }) = cause.downcast_ref() {
            return Some("`nanogridbot doctor` names the one command for this machine".into());
        }
        None
    })
}

fn settings(err: &SettingsError) -> Option<String> {
    match err {
        SettingsError::UnknownKey { nearest: Some(nearest), .. } => {
            Some(format!("did you mean `{nearest}`?"))
        }
        SettingsError::UnknownKey { nearest: None, .. } => {
            Some("docs/configuration.md lists every setting".into())
        }
        SettingsError::NoVariable { name, .. } => {
            Some(format!("set it (`export {name}=…`) or write it to `<home>/.env`"))
        }
        SettingsError::Unreadable { path, source }
            if source.kind() == std::io::ErrorKind::PermissionDenied =>
        {
            Some(format!("make `{path}` readable for this user"))
        }
        SettingsError::NoFile { path, .. } => Some(format!("make `{path}` readable for this user")),
        _ => None,
    }
}

fn store(err: &StoreError) -> Option<String> {
    match err {
        StoreError::Newer { .. } => {
            Some("use the newer program again, or restore a copy from `<home>/backups`".into())
        }
        StoreError::Damaged { .. } => Some(
            "restore the newest copy from `<home>/backups`, or move the file away to begin anew"
                .into(),
        ),
        StoreError::Open { .. } if err.is_bad_address() => Some(
            "write `[database] url` like `sqlite:///path/file.db` or `postgres://user:password@host/name`".into(),
        ),
        StoreError::Open { .. } => Some("check `[database] url`, and that its server runs".into()),
        _ => None,
    }
}

/// Whether the error is of how the program was called or set up: exit code 2.
pub(crate) fn is_usage(err: &anyhow::Error) -> bool {
    err.chain().any(|it| {
        // What the gateway could not make sense of, or does not know, was an argument here.
        let is_refused_argument =
            it.downcast_ref::<Refused>().is_some_and(|it| matches!(it.status, 400 | 404));
        it.is::<SettingsError>()
            || it.is::<BadArgument>()
            || is_refused_argument
            || matches!(it.downcast_ref(), Some(BindError::NoToken(_)))
            || it.downcast_ref().is_some_and(StoreError::is_bad_address)
            || crate::backup::is_usage(it)
            || crate::plugin::is_usage(it)
    })
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;
    use crate::make::check_clock;

    #[test]
    fn chain_and_hint() {
        let err =
            Err::<(), _>(HomeError::InUse("/h".into())).context("could not start").unwrap_err();
        assert_eq!(format!("{err:#}"), "could not start: another gateway runs on `/h`");
        assert!(hint(&err).unwrap().contains("--home"));
        assert!(!is_usage(&err));
    }

    #[test]
    fn a_clock_that_was_never_set_is_named() {
        for (ms, good) in [(0, false), (1_577_836_799_999, false), (1_577_836_800_000, true)] {
            let checked = check_clock(ngb_core::clock::Timestamp(ms));
            assert_eq!(checked.is_ok(), good, "{ms}");
            let Err(err) = checked.map_err(anyhow::Error::from) else { continue };
            assert!(err.to_string().contains("which can't be right"), "{err}");
            assert!(hint(&err).unwrap().contains("timedatectl"));
        }
    }
}
