//! A plugin as it is handed around: a folder, a component, or an archive of both files; perhaps with a signature.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use flate2::read::GzDecoder;
use minisign_verify::{PublicKey, Signature};

use crate::wasm::{
    cache::{MAX_COMPONENT_BYTES, digest, read_component},
    error::ComponentError,
    manifest::{Manifest, ManifestError},
};

/// What a plugin's two files are called.
pub const MANIFEST_FILE: &str = "plugin.toml";
pub const COMPONENT_FILE: &str = "plugin.wasm";

/// The longest `plugin.toml`, in bytes.
const MAX_MANIFEST_BYTES: u64 = 256 << 10;

/// Files that are looked at in an archive.
const MAX_ENTRIES: usize = 1_000;

/// What a package must be, if somebody said so.
#[derive(Clone, Debug, Default)]
pub struct Proof {
    /// The SHA-256 of the file, in hex; of a folder, that of its component.
    pub sha256: Option<String>,
    /// The public key of who signed it, and the signature's file.
    pub signature: Option<(String, PathBuf)>,
}

/// A plugin that was read and proved, and not yet looked into.
#[derive(Clone, Debug)]
pub struct Package {
    /// None comes with a component alone.
    pub manifest: Option<(Manifest, String)>,
    pub component: Vec<u8>,
    /// The SHA-256 of what was read, in hex.
    pub sha256: String,
    pub is_signed: bool,
}

/// Why a package is not taken.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    #[error("could not read `{path}`")]
    Unreadable {
        path: String,
        #[source]
        source: io::Error,
    },
    #[error("`{0}` is no plugin: a folder, a .wasm file or a .tar.gz archive is")]
    Kind(String),
    #[error("`{path}` has no `{file}`")]
    Missing { path: String, file: &'static str },
    #[error("`{0}` is too large for a plugin")]
    TooLarge(String),
    #[error("`{path}` has the SHA-256 {found}, not {wanted}")]
    Hash { path: String, found: String, wanted: String },
    #[error("the signature `{path}` does not match: {why}")]
    Signature { path: String, why: String },
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error(transparent)]
    Component(#[from] ComponentError),
}

impl Package {
    /// Reads a plugin and holds it against `proof` before anything in it is believed.
    ///
    /// # Errors
    /// If it is none, can't be read, or is not what `proof` says.
    pub fn read(source: &Path, proof: &Proof) -> Result<Self, PackageError> {
        let path = source.display().to_string();
        let unreadable = |err| unreadable(source, err);
        let facts = std::fs::metadata(source).map_err(unreadable)?;
        let name = source.file_name().and_then(|it| it.to_str()).unwrap_or_default();
        let is_archive = name.ends_with(".tar.gz") || name.ends_with(".tgz");
        let (signed, is_archive) = if facts.is_dir() {
            (read_part(&source.join(COMPONENT_FILE), &path)?, false)
        } else if is_archive {
            (
                read_up_to(File::open(source).map_err(unreadable)?, MAX_COMPONENT_BYTES, source)?,
                true,
            )
        } else if name.ends_with(".wasm") {
            (read_component(source)?, false)
        } else {
            return Err(PackageError::Kind(path));
        };
        let sha256 = digest(&signed);
        let is_signed = proof.hold(source, &signed, &sha256)?;
        let (manifest, component) = if is_archive {
            let (manifest, component) = unpack(&signed, source)?;
            (Some(manifest), component)
        } else if facts.is_dir() {
            (Some(read_manifest(&source.join(MANIFEST_FILE), &path)?), signed)
        } else {
            (None, signed)
        };
        let manifest = manifest.map(|it| Ok::<_, ManifestError>((it.parse()?, it))).transpose()?;
        Ok(Self { manifest, component, sha256, is_signed })
    }
}

impl Proof {
    /// Whether a signature was asked for, and matched.
    fn hold(&self, source: &Path, bytes: &[u8], sha256: &str) -> Result<bool, PackageError> {
        if let Some(wanted) = &self.sha256
            && !wanted.eq_ignore_ascii_case(sha256)
        {
            let path = source.display().to_string();
            return Err(PackageError::Hash { path, found: sha256.into(), wanted: wanted.clone() });
        }
        let Some((key, file)) = &self.signature else { return Ok(false) };
        let wrong = |why: minisign_verify::Error| PackageError::Signature {
            path: file.display().to_string(),
            why: why.to_string(),
        };
        let text = std::fs::read_to_string(file).map_err(|err| unreadable(file, err))?;
        let key = PublicKey::from_base64(key.trim())
            .or_else(|_| PublicKey::decode(key))
            .map_err(wrong)?;
        let signature = Signature::decode(&text).map_err(wrong)?;
        key.verify(bytes, &signature, false).map_err(wrong)?;
        Ok(true)
    }
}

fn unreadable(path: &Path, source: io::Error) -> PackageError {
    PackageError::Unreadable { path: path.display().to_string(), source }
}

fn read_part(file: &Path, path: &str) -> Result<Vec<u8>, PackageError> {
    match read_component(file) {
        Err(ComponentError::Unreadable { source, .. })
            if source.kind() == io::ErrorKind::NotFound =>
        {
            Err(PackageError::Missing { path: path.to_owned(), file: COMPONENT_FILE })
        }
        read => Ok(read?),
    }
}

fn read_manifest(file: &Path, path: &str) -> Result<String, PackageError> {
    match File::open(file) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => {
            Err(PackageError::Missing { path: path.to_owned(), file: MANIFEST_FILE })
        }
        Err(err) => Err(unreadable(file, err)),
        Ok(it) => text(read_up_to(it, MAX_MANIFEST_BYTES, file)?),
    }
}

fn text(bytes: Vec<u8>) -> Result<String, PackageError> {
    let text = String::from_utf8(bytes);
    Ok(text.map_err(|err| ManifestError::Unreadable(err.to_string()))?)
}

fn read_up_to(from: impl Read, limit: u64, path: &Path) -> Result<Vec<u8>, PackageError> {
    let mut bytes = Vec::new();
    from.take(limit + 1).read_to_end(&mut bytes).map_err(|err| unreadable(path, err))?;
    if limit < bytes.len() as u64 {
        return Err(PackageError::TooLarge(path.display().to_string()));
    }
    Ok(bytes)
}

/// The two files of an archive, at its top or in one folder; nothing is written.
fn unpack(archive: &[u8], source: &Path) -> Result<(String, Vec<u8>), PackageError> {
    let broken = |err| unreadable(source, err);
    // What a small archive may grow to is bounded, whatever it says of itself.
    let grown = GzDecoder::new(archive).take(2 * MAX_COMPONENT_BYTES);
    let mut archive = tar::Archive::new(grown);
    let (mut manifest, mut component) = (None, None);
    for entry in archive.entries().map_err(broken)?.take(MAX_ENTRIES) {
        let entry = entry.map_err(broken)?;
        let path = entry.path().map_err(broken)?.into_owned();
        let is_near =
            path.components().filter(|it| matches!(it, std::path::Component::Normal(_))).count()
                <= 2;
        if !entry.header().entry_type().is_file() || !is_near {
            continue;
        }
        match path.file_name().and_then(|it| it.to_str()) {
            Some(MANIFEST_FILE) => {
                manifest = Some(text(read_up_to(entry, MAX_MANIFEST_BYTES, source)?)?)
            }
            Some(COMPONENT_FILE) => {
                component = Some(read_up_to(entry, MAX_COMPONENT_BYTES, source)?)
            }
            _ => (),
        }
    }
    let missing = |file| PackageError::Missing { path: source.display().to_string(), file };
    Ok((
        manifest.ok_or_else(|| missing(MANIFEST_FILE))?,
        component.ok_or_else(|| missing(COMPONENT_FILE))?,
    ))
}
