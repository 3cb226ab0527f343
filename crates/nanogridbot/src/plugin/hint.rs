//! What to do about a plugin that is not taken.

use ngb_plugins::wasm::{
    ComponentError, EncodeError, FolderError, ManifestError, PackageError, RehearsalError,
};

/// What mends `cause`, if it is of a plugin.
pub(crate) fn hint(cause: &(dyn std::error::Error + 'static)) -> Option<String> {
    if let Some(it) = cause.downcast_ref::<ComponentError>() {
        return component(it);
    }
    if let Some(it) = cause.downcast_ref::<FolderError>() {
        return folder(it);
    }
    if let Some(it) = cause.downcast_ref::<PackageError>() {
        return package(it);
    }
    if cause.is::<EncodeError>() {
        return Some(
            "build it anew with `nanogridbot plugin build`: its wit/ may be of another plugin.toml"
                .into(),
        );
    }
    if let Some(RehearsalError::Component(it)) = cause.downcast_ref() {
        return component(it);
    }
    manifest(cause.downcast_ref()?)
}

fn folder(err: &FolderError) -> Option<String> {
    match err {
        FolderError::Taken { .. } => Some("`--replace` puts the new one in its place".into()),
        FolderError::NoPlugin(_) => {
            Some("`nanogridbot plugin list` names those that are there".into())
        }
        FolderError::BuiltIn(_) => Some("give it another `name` in its plugin.toml".into()),
        FolderError::NotInstalled(path) => {
            Some(format!("`nanogridbot plugin install {path}`, from elsewhere"))
        }
        FolderError::Manifest(it) => manifest(it),
        _ => None,
    }
}

fn package(err: &PackageError) -> Option<String> {
    match err {
        PackageError::Missing { file: "plugin.wasm", .. } => {
            Some("`nanogridbot plugin build` makes it of the source".into())
        }
        PackageError::Hash { .. } | PackageError::Signature { .. } => {
            Some("get it again from who wrote it; do not install this one".into())
        }
        // These say the same as what they are made of, and stand for it in the chain of causes.
        PackageError::Manifest(it) => manifest(it),
        PackageError::Component(it) => component(it),
        _ => None,
    }
}

fn manifest(err: &ManifestError) -> Option<String> {
    match err {
        ManifestError::Version(_) => {
            Some("use another version of the plugin, or of nanogridbot".into())
        }
        ManifestError::Unreadable(_) | ManifestError::NoHook => {
            Some("docs/write-a-plugin.md lists what plugin.toml says".into())
        }
        ManifestError::Name(_) => None,
    }
}

fn component(err: &ComponentError) -> Option<String> {
    match err {
        ComponentError::CoreModule { .. } => {
            Some("`nanogridbot plugin build` makes a component of it".into())
        }
        ComponentError::Foreign(_) => Some(
            "`nanogridbot plugin build` leaves out what no plugin gets; capabilities take its place".into(),
        ),
        ComponentError::Manifest(it) => manifest(it),
        ComponentError::Undeclared(it) => {
            Some(format!("add `\"{it}\"` to `[capabilities]` in its plugin.toml"))
        }
        ComponentError::Version(_) => Some("use another version of the plugin, or of nanogridbot".into()),
        ComponentError::Invalid(_) => Some("the file may be damaged or half-written; get it again".into()),
        _ => None,
    }
}

/// Whether `cause` is of what was asked for, and not of this machine.
pub(crate) fn is_usage(cause: &(dyn std::error::Error + 'static)) -> bool {
    cause.is::<ManifestError>()
        || cause.downcast_ref().is_some_and(|it| {
            !matches!(
                it,
                ComponentError::Cache { .. }
                    | ComponentError::Engine(_)
                    | ComponentError::Unreadable { .. }
            )
        })
        || cause.downcast_ref().is_some_and(|it| !matches!(it, FolderError::Unusable { .. }))
        || cause.downcast_ref().is_some_and(|it| !matches!(it, PackageError::Unreadable { .. }))
        || cause
            .downcast_ref()
            .is_some_and(|it| matches!(it, RehearsalError::Line { .. } | RehearsalError::Empty))
}
