//! What is to be installed: fetched, its sum verified, and unpacked beside the executable that it replaces.

use std::{
    io::{Read as _, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use anyhow::{Context as _, bail};
use sha2::{Digest as _, Sha256};
use tempfile::TempPath;

use super::Upgrade;
use crate::{
    cli::{self, BadArgument},
    home::Home,
    make,
    net::Net,
};

/// Largest archive or executable, in bytes.
const MAX_BYTES: u64 = 512 << 20;

/// Largest file with a sum, in bytes.
const MAX_SUM_BYTES: u64 = 4 << 10;

/// What the executable is called inside of an archive, and everywhere.
const EXECUTABLE: &str = "nanogridbot";

/// What an archive begins with.
const GZIP: &[u8] = &[0x1f, 0x8b];

/// Fetches, verifies and unpacks it into a file in `beside`, from where a rename puts it in place.
pub(super) async fn fetch(home: &Home, args: &Upgrade, beside: &Path) -> anyhow::Result<TempPath> {
    let sum = match &args.sha256 {
        Some(sum) => sum.clone(),
        None => {
            let file = format!("{}.sha256", args.from);
            let text = read(home, &file, MAX_SUM_BYTES).await.map_err(|err| {
                let why = format!(
                    "its sum can't be had ({err:#}); put it into `{file}`, or give it by `--sha256`"
                );
                BadArgument(why)
            })?;
            let text = String::from_utf8_lossy(&text);
            text.split_whitespace().next().unwrap_or_default().to_owned()
        }
    };
    let sum = sum.to_ascii_lowercase();
    if sum.len() != 64 || !sum.bytes().all(|it| it.is_ascii_hexdigit()) {
        return Err(
            BadArgument(format!("`{sum}` is no SHA-256: it has 64 hexadecimal digits")).into()
        );
    }
    let bytes = read(home, &args.from, MAX_BYTES).await?;
    let found = format!("{:x}", Sha256::digest(&bytes));
    if found != sum {
        bail!(
            "`{}` is damaged or another one: its SHA-256 is {found}, and should be {sum}",
            args.from
        );
    }
    let exe = if bytes.starts_with(GZIP) { unpacked(&bytes, &args.from)? } else { bytes };
    let failed = || format!("could not write beside `{}`", beside.display());
    let mut file = tempfile::Builder::new()
        .prefix(".nanogridbot-")
        .tempfile_in(beside)
        .with_context(failed)?;
    file.write_all(&exe).with_context(failed)?;
    file.as_file().set_permissions(std::fs::Permissions::from_mode(0o755)).with_context(failed)?;
    file.as_file().sync_all().with_context(failed)?;
    // A file that is open for writing can't be started.
    Ok(file.into_temp_path())
}

async fn read(home: &Home, from: &str, limit: u64) -> anyhow::Result<Vec<u8>> {
    let bytes = if from.contains("://") {
        download(home, from, limit).await?
    } else {
        let mut bytes = Vec::new();
        let file = std::fs::File::open(from).with_context(|| format!("could not read `{from}`"))?;
        file.take(limit + 1)
            .read_to_end(&mut bytes)
            .with_context(|| format!("could not read `{from}`"))?;
        bytes
    };
    if limit < bytes.len() as u64 {
        bail!("`{from}` has more than {limit} bytes");
    }
    Ok(bytes)
}

async fn download(home: &Home, url: &str, limit: u64) -> anyhow::Result<Vec<u8>> {
    let (settings, env) = make::settings(home, &cli::Serve::default())?;
    let http = Net::new(&settings.network, &env)?.builder().build()?;
    let failed = || format!("could not fetch `{url}`");
    let mut answer = http.get(url).send().await.with_context(failed)?;
    if !answer.status().is_success() {
        bail!("could not fetch `{url}`: the answer is {}", answer.status());
    }
    let mut bytes = Vec::new();
    while let Some(piece) = answer.chunk().await.with_context(failed)? {
        bytes.extend_from_slice(&piece);
        if limit < bytes.len() as u64 {
            break;
        }
    }
    Ok(bytes)
}

fn unpacked(bytes: &[u8], from: &str) -> anyhow::Result<Vec<u8>> {
    let failed = || format!("could not unpack `{from}`");
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(bytes));
    for entry in archive.entries().with_context(failed)? {
        let entry = entry.with_context(failed)?;
        let is_it = entry.path().is_ok_and(|it| it.file_name().is_some_and(|it| it == EXECUTABLE));
        if is_it && entry.header().entry_type().is_file() {
            let mut exe = Vec::new();
            entry.take(MAX_BYTES).read_to_end(&mut exe).with_context(failed)?;
            return Ok(exe);
        }
    }
    bail!("there is no `{EXECUTABLE}` in `{from}`")
}
