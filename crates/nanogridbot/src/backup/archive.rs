//! Writing the file: beside its name first, so that a name never stands for half a backup.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufWriter, Read, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use age::secrecy::SecretString;
use flate2::{Compression, write::GzEncoder};
use ngb_core::{clock::Timestamp, secret::Secret};
use ngb_store::copy::Rows;
use serde::{Deserialize, Serialize};

/// The form of the file; a program reads those up to its own.
pub(crate) const FORMAT: u32 = 1;

/// The first entry.
pub(crate) const MANIFEST: &str = "backup.json";

/// What stands before the entries of the home, and of the database.
pub(crate) const HOME: &str = "home/";
pub(crate) const DATABASE: &str = "database/";

/// The last entry.
pub(crate) const END: &str = "end.json";

/// What a file that was sealed begins with.
pub(crate) const SEALED: &[u8] = b"age-encryption.org/";

/// What the file is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) format: u32,
    /// The version of the program that wrote it.
    pub(crate) program: String,
    pub(crate) made_at: Timestamp,
    /// Settings that held a secret which is not in here: they are to be filled in again.
    pub(crate) without: Vec<String>,
}

/// How much is in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct End {
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    pub(crate) rows: u64,
    /// Files of the home that could not be read.
    pub(crate) unread: Vec<String>,
}

/// Where the bytes go.
enum Sink {
    Plain(BufWriter<File>),
    Sealed(age::stream::StreamWriter<BufWriter<File>>),
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(it) => it.write(bytes),
            Self::Sealed(it) => it.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(it) => it.flush(),
            Self::Sealed(it) => it.flush(),
        }
    }
}

/// A backup that is being written. Dropped before [`Archive::finish`] it is gone.
pub(crate) struct Archive {
    tar: tar::Builder<GzEncoder<Sink>>,
    part: Part,
    to: PathBuf,
    made_at: Timestamp,
    entries: u64,
    pub(crate) end: End,
}

/// The file under its passing name.
struct Part(PathBuf);

impl Drop for Part {
    fn drop(&mut self) {
        // Gone already where it got its name.
        drop(std::fs::remove_file(&self.0));
    }
}

impl Archive {
    /// Begins the file `to`, which must not be there.
    pub(crate) fn begin(to: &Path, manifest: &Manifest, seal: Option<&Secret>) -> io::Result<Self> {
        if to.try_exists()? {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let mut name = to.file_name().ok_or(io::ErrorKind::InvalidFilename)?.to_owned();
        name.push(".part");
        let part = Part(to.with_file_name(name));
        // What a backup that was killed left is written over.
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(&part.0)?;
        let file = BufWriter::new(file);
        let sink = match seal {
            None => Sink::Plain(file),
            Some(it) => {
                let passphrase = SecretString::from(it.expose().to_owned());
                Sink::Sealed(age::Encryptor::with_user_passphrase(passphrase).wrap_output(file)?)
            }
        };
        let tar = tar::Builder::new(GzEncoder::new(sink, Compression::fast()));
        let (made_at, end) = (manifest.made_at, End::default());
        let mut res = Self { tar, part, to: to.to_owned(), made_at, entries: 0, end };
        res.add_json(MANIFEST, manifest)?;
        Ok(res)
    }

    fn add_json(&mut self, name: &str, it: &impl Serialize) -> io::Result<()> {
        self.add_bytes(name, &serde_json::to_vec(it)?)
    }

    fn add_bytes(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o600);
        header.set_uid(rustix::process::geteuid().as_raw().into());
        header.set_gid(rustix::process::getegid().as_raw().into());
        header.set_mtime(u64::try_from(self.made_at.0 / 1_000).unwrap_or(0));
        header.set_size(bytes.len() as u64);
        self.tar.append_data(&mut header, name, bytes)
    }

    /// A file of the home whose text is given.
    pub(crate) fn add_text(&mut self, path: &str, text: &str) -> io::Result<()> {
        self.end.files += 1;
        self.end.bytes += text.len() as u64;
        self.add_bytes(&format!("{HOME}{path}"), text.as_bytes())
    }

    /// A folder, a file or a link of the home, as `header` says.
    pub(crate) fn add(
        &mut self,
        path: &Path,
        mut header: tar::Header,
        it: Entry<'_>,
    ) -> io::Result<()> {
        let path = Path::new(HOME).join(path);
        match it {
            Entry::Folder => self.tar.append_data(&mut header, path, io::empty()),
            Entry::Link(target) => self.tar.append_link(&mut header, path, target),
            Entry::File(file, size) => {
                self.end.files += 1;
                self.end.bytes += size;
                // It may grow or shrink meanwhile; the entry is as long as its header says.
                let bytes = file.chain(io::repeat(0)).take(size);
                self.tar.append_data(&mut header, path, bytes)
            }
        }
    }

    /// Some rows of the database.
    pub(crate) fn add_rows(&mut self, rows: &Rows) -> io::Result<()> {
        self.entries += 1;
        self.end.rows += rows.lines.len() as u64;
        let mut text = serde_json::to_string(rows)?;
        for line in &rows.lines {
            text.push('\n');
            text.push_str(line);
        }
        self.add_bytes(
            &format!("{DATABASE}{:08}-{}.jsonl", self.entries, rows.table),
            text.as_bytes(),
        )
    }

    /// Ends the file, has it on the disk, and gives it its name; returns how large it is.
    pub(crate) fn finish(mut self) -> io::Result<u64> {
        let end = self.end.clone();
        self.add_json(END, &end)?;
        let sink = self.tar.into_inner()?.finish()?;
        let file = match sink {
            Sink::Plain(it) => it,
            Sink::Sealed(it) => it.finish()?,
        };
        let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        std::fs::rename(&self.part.0, &self.to)?;
        if let Some(dir) = self.to.parent().filter(|it| !it.as_os_str().is_empty()) {
            File::open(dir)?.sync_all()?;
        }
        Ok(file.metadata()?.len())
    }
}

/// What stands in a folder.
pub(crate) enum Entry<'a> {
    Folder,
    Link(&'a Path),
    File(&'a mut dyn Read, u64),
}
