//! Packages and the folder of installed plugins.

use std::io::Write as _;

use ngb_core::clock::Timestamp;
use ngb_plugins::wasm::{
    Capability, Folder, FolderError, Manifest, Package, PackageError, Proof, Record,
};

use crate::{
    Bench,
    guests::{self, component, on_message},
};

const MANIFEST: &str = "name = 'guest'\nversion = '1.0.0'\nhooks = ['message-received']\n";

/// A public key, and a signature by it of the smallest component there is, in the format of `minisign`.
const KEY: &str = "RWQBAgMEBQYHCEbez+tpjwUZ7n1ljI3rky6uOXxAlwaXeVGtN782wXRc";
const SIGNATURE: &str = "untrusted comment: signature from minisign secret key
RUQBAgMEBQYHCP6Vpr2aVGaGj4jGWFVF4o+DKBhjTb3Hu9Ah2fWfJe7LxhVqQCPwYVbrgKy6yv3fiaH+lOkhpwCqpgW68uOuPQY=
trusted comment: timestamp:1790000000\tfile:plugin.wasm\thashed
4WUYfP0jUy0cBtK2DeDLXjC1xmw0cDLmxeo5IlmXas/vx/QOgBwDCwIKBwP11K2QdFpVw6rE4g/icwFOkaxuAg==
";
const SIGNED: &[u8] = b"\0asm\x0d\0\x01\0";

fn guest() -> Vec<u8> {
    component(&guests::manifest("'message-received'", ""), "", &on_message("(unreachable)"))
}

fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut tar = tar::Builder::new(gzip);
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, *bytes).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap()
}

#[test]
fn a_plugin_comes_as_a_folder_a_file_or_an_archive() {
    let bench = Bench::new();
    let bytes = guest();
    let folder = bench.dir.path().join("folder");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("plugin.toml"), MANIFEST).unwrap();
    std::fs::write(folder.join("plugin.wasm"), &bytes).unwrap();
    let file = bench.write("guest.wasm", &bytes);
    let files: [(&str, &[u8]); 3] =
        [("x/plugin.toml", MANIFEST.as_bytes()), ("x/README.md", b"#"), ("x/plugin.wasm", &bytes)];
    let archive = bench.write("guest.tar.gz", &archive(&files));
    for (source, has_manifest) in [(folder, true), (file, false), (archive, true)] {
        let package = Package::read(&source, &Proof::default()).unwrap();
        assert_eq!(package.component, bytes, "{}", source.display());
        assert_eq!(package.manifest.is_some(), has_manifest);
        let right = Proof { sha256: Some(package.sha256.to_uppercase()), signature: None };
        Package::read(&source, &right).unwrap();
        let wrong = Proof { sha256: Some("00".repeat(32)), signature: None };
        assert!(matches!(Package::read(&source, &wrong), Err(PackageError::Hash { .. })));
    }
}

#[test]
fn a_package_that_lacks_something_says_what() {
    let bench = Bench::new();
    let said = |name: &str, bytes: &[u8]| {
        Package::read(&bench.write(name, bytes), &Proof::default()).unwrap_err().to_string()
    };
    let no_component = archive(&[("plugin.toml", MANIFEST.as_bytes())]);
    let no_manifest = archive(&[("plugin.wasm", &guest())]);
    assert!(said("a.tar.gz", &no_component).contains("has no `plugin.wasm`"));
    assert!(said("a.tar.gz", &no_manifest).contains("has no `plugin.toml`"));
    assert!(said("a.tar.gz", b"hello").contains("could not read"));
    assert!(said("a.tar.gz", &no_manifest[..no_manifest.len() / 2]).contains("could not read"));
    assert!(said("a.zip", b"PK").contains("is no plugin"));
}

/// A gigabyte of zeroes, as small as gzip makes it.
#[test]
fn an_archive_that_grows_without_end_is_not_followed() {
    let bench = Bench::new();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut header = tar::Header::new_gnu();
    header.set_path("plugin.wasm").unwrap();
    header.set_size(1 << 30);
    header.set_cksum();
    gzip.write_all(header.as_bytes()).unwrap();
    for _ in 0..256 {
        gzip.write_all(&vec![0; 1 << 20]).unwrap();
    }
    let file = bench.write("bomb.tar.gz", &gzip.finish().unwrap());
    let read = Package::read(&file, &Proof::default());
    assert!(matches!(read, Err(PackageError::TooLarge(_))), "{read:?}");
}

#[test]
fn a_signature_must_match() {
    let bench = Bench::new();
    let file = bench.write("guest.wasm", &guest());
    let signature = bench.write("guest.wasm.minisig", SIGNATURE.as_bytes());
    let signed = bench.write("signed.wasm", SIGNED);
    let read_one = |file: &std::path::Path, key: &str, signature: &std::path::Path| {
        let proof = Proof { sha256: None, signature: Some((key.to_owned(), signature.to_owned())) };
        Package::read(file, &proof)
    };
    let read = |key: &str, signature: &std::path::Path| read_one(&file, key, signature);
    assert!(read_one(&signed, KEY, &signature).unwrap().is_signed);
    let commented = format!("untrusted comment: minisign public key\n{KEY}\n");
    assert!(
        read_one(&signed, &commented, &signature).unwrap().is_signed,
        "the key as a file has it"
    );
    // The signature is good, and of something else.
    assert!(matches!(read(KEY, &signature), Err(PackageError::Signature { .. })));
    assert!(matches!(read("no key", &signature), Err(PackageError::Signature { .. })));
    let torn = bench.write("torn.minisig", &SIGNATURE.as_bytes()[..100]);
    assert!(matches!(read(KEY, &torn), Err(PackageError::Signature { .. })));
    let nowhere = bench.dir.path().join("nowhere");
    assert!(matches!(read(KEY, &nowhere), Err(PackageError::Unreadable { .. })));
}

#[test]
fn one_plugin_a_name() {
    let bench = Bench::new();
    let folder = Folder::new(bench.dir.path().join("plugins"));
    assert!(folder.names().unwrap().is_empty());
    let manifest: Manifest = MANIFEST.parse().unwrap();
    let record = Record {
        sha256: "00".to_owned(),
        is_signed: false,
        installed_at: Timestamp(1),
        granted: manifest.capabilities.clone(),
    };
    folder.check_free("guest", false).unwrap();
    folder.put(&manifest, MANIFEST, b"one", &record).unwrap();
    assert!(matches!(folder.check_free("guest", false), Err(FolderError::Taken { .. })));
    assert!(matches!(folder.check_free("redactor", false), Err(FolderError::BuiltIn(_))));
    folder.check_free("guest", true).unwrap();
    folder.put(&manifest, MANIFEST, b"two", &record).unwrap();
    assert_eq!(folder.names().unwrap(), ["guest"], "nothing half-way is left");
    let installed = folder.open("guest").unwrap();
    assert_eq!(std::fs::read(&installed.component).unwrap(), b"two");
    assert_eq!(installed.record, record);

    // A copy under another name is no second plugin of that name.
    let copy = folder.path().join("other");
    std::fs::create_dir(&copy).unwrap();
    std::fs::write(copy.join("plugin.toml"), MANIFEST).unwrap();
    assert!(matches!(folder.open("other"), Err(FolderError::OtherName { .. })));

    folder.remove("guest").unwrap();
    assert!(matches!(folder.remove("guest"), Err(FolderError::NoPlugin(_))));
    assert!(folder.remove("../guest").is_err());
}

#[test]
fn what_was_not_granted_is_not_there_however_much_is_declared() {
    let bench = Bench::new();
    let folder = Folder::new(bench.dir.path().join("plugins"));
    let text = format!("{MANIFEST}[capabilities]\nlog = true\nhttp = ['a.example', 'b.example']\n");
    let manifest: Manifest = text.parse().unwrap();
    let small = "[granted]\nhttp = ['a.example', 'c.example']\n";
    let record: Record =
        toml::from_str(&format!("sha256 = '00'\nis_signed = false\ninstalled_at = 1\n{small}"))
            .unwrap();
    folder.put(&manifest, &text, b"one", &record).unwrap();
    let installed = folder.open("guest").unwrap();
    let granted = installed.granted();
    assert!(!granted.has(Capability::Log));
    assert!(granted.allows(Capability::Http, "a.example"));
    assert!(!granted.allows(Capability::Http, "c.example"), "granted once, declared no longer");
    assert_eq!(installed.missing(), [Capability::Log, Capability::Http]);
}
