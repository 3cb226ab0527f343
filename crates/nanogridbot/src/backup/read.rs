//! Reading the file: its end is looked for before anything is believed.

use std::{
    fs::File,
    io::{self, BufReader, Read, Seek as _},
    path::Path,
};

use age::secrecy::SecretString;
use anyhow::{Context as _, bail};
use flate2::read::GzDecoder;
use ngb_core::secret::Secret;
use ngb_store::copy::Rows;

use super::archive::{DATABASE, END, End, FORMAT, HOME, MANIFEST, Manifest, SEALED};

/// Largest of the entries that are read whole, in bytes: a thousand rows of the longest texts.
const MAX_ENTRY_BYTES: u64 = 1 << 30;

/// The file is sealed, and nobody said by what.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is encrypted")]
pub(crate) struct NoPassphrase(pub(crate) String);

/// The file as a tar.
pub(crate) fn open(
    file: &Path,
    key: Option<&Secret>,
) -> anyhow::Result<tar::Archive<Box<dyn Read + Send>>> {
    let shown = file.display();
    let mut it = File::open(file).with_context(|| format!("could not open `{shown}`"))?;
    let mut start = Vec::new();
    let looked = Read::by_ref(&mut it).take(SEALED.len() as u64).read_to_end(&mut start);
    looked.and_then(|_| it.rewind()).with_context(|| format!("could not read `{shown}`"))?;
    let it = BufReader::new(it);
    let bytes: Box<dyn Read + Send> = if start == SEALED {
        let key = key.ok_or_else(|| NoPassphrase(shown.to_string()))?;
        let key = age::scrypt::Identity::new(SecretString::from(key.expose().to_owned()));
        let opened = age::Decryptor::new_buffered(it)
            .and_then(|it| it.decrypt(std::iter::once(&key as &dyn age::Identity)));
        Box::new(opened.with_context(|| format!("could not decrypt `{shown}`"))?)
    } else {
        Box::new(it)
    };
    let mut tar = tar::Archive::new(Box::new(GzDecoder::new(bytes)) as Box<dyn Read + Send>);
    tar.set_preserve_permissions(true);
    tar.set_preserve_mtime(true);
    // Whoever is not root can't give files away.
    tar.set_preserve_ownerships(rustix::process::geteuid().is_root());
    Ok(tar)
}

fn whole(entry: &mut impl Read) -> io::Result<String> {
    let mut text = String::new();
    entry.take(MAX_ENTRY_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

/// Reads all of the file, puts the home's files below `into` (they lie in `into/home`), and gives what the file says of itself.
///
/// # Errors
///
/// When it is damaged, ends too early, or is of a newer program.
pub(crate) fn unpack(
    file: &Path,
    key: Option<&Secret>,
    into: &Path,
) -> anyhow::Result<(Manifest, End)> {
    let mut tar = open(file, key)?;
    let damaged = || format!("`{}` is no whole backup", file.display());
    let (mut manifest, mut end, mut found) = (None, None, End::default());
    let mut folders = Vec::new();
    for entry in tar.entries().with_context(damaged)? {
        let mut entry = entry.with_context(damaged)?;
        let path = entry.path().with_context(damaged)?.to_string_lossy().into_owned();
        if manifest.is_none() {
            if path != MANIFEST {
                bail!("{}: it does not begin with `{MANIFEST}`", damaged());
            }
            let text = whole(&mut entry).with_context(damaged)?;
            let it: Manifest = serde_json::from_str(&text).with_context(damaged)?;
            if FORMAT < it.format {
                bail!("`{}` is of a newer program ({})", file.display(), it.program);
            }
            manifest = Some(it);
        } else if path == END {
            let text = whole(&mut entry).with_context(damaged)?;
            end = Some(serde_json::from_str::<End>(&text).with_context(damaged)?);
        } else if path.starts_with(HOME) {
            if entry.header().entry_type().is_file() {
                found.files += 1;
                found.bytes += entry.size();
            }
            let put = entry.unpack_in(into);
            if !put.with_context(|| format!("could not restore `{path}`"))? {
                bail!("{}: `{path}` would lie outside of the home", damaged());
            }
            if entry.header().entry_type().is_dir() {
                let (folder, mode) = (into.join(&path), entry.header().mode()?);
                // What lies in it is still to come; it gets its own rights at the end.
                set_mode(&folder, mode | 0o700)?;
                folders.push((folder, mode));
            }
        } else if path.starts_with(DATABASE) {
            let text = whole(&mut entry).with_context(damaged)?;
            found.rows += text.lines().count().saturating_sub(1) as u64;
        } else {
            bail!("{}: nobody knows `{path}`", damaged());
        }
    }
    for (folder, mode) in folders.into_iter().rev() {
        set_mode(&folder, mode)?;
    }
    let (Some(manifest), Some(end)) = (manifest, end) else {
        bail!("{}: its end is missing", damaged());
    };
    if (end.files, end.bytes, end.rows) != (found.files, found.bytes, found.rows) {
        bail!("{}: {found:?} instead of {end:?}", damaged());
    }
    Ok((manifest, end))
}

fn set_mode(folder: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    // No link: what it points to may lie elsewhere.
    if folder.symlink_metadata()?.is_dir() {
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(mode))?;
    }
    Ok(())
}

/// Gives the database's rows to `to`, in their order, until it takes no more.
pub(crate) fn rows(
    file: &Path,
    key: Option<&Secret>,
    mut to: impl FnMut(Rows) -> bool,
) -> anyhow::Result<()> {
    let mut tar = open(file, key)?;
    for entry in tar.entries()? {
        let mut entry = entry?;
        if !entry.path()?.to_string_lossy().starts_with(DATABASE) {
            continue;
        }
        let text = whole(&mut entry)?;
        let mut lines = text.lines();
        let mut rows: Rows = serde_json::from_str(lines.next().unwrap_or_default())?;
        rows.lines = lines.map(str::to_owned).collect();
        if !to(rows) {
            break;
        }
    }
    Ok(())
}
