//! What lies in the home, and who may read it.

use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};

use crate::stand::{Stand, done, walk};

#[test]
fn folders_are_0700_and_files_0600() {
    let stand = Stand::new();
    let gateway = stand.serve(&[]);
    let got = stand.run(&["run", "-p", "echo hi"]);
    assert_eq!(got.out, "hi\n", "{got:?}");
    stand.json(&["group", "add", "team"]);

    let home = stand.home();
    let owner = home.metadata().unwrap().uid();
    let mode =
        |path: &std::path::Path| path.symlink_metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&home), 0o700);
    let mut seen = Vec::new();
    for path in walk(&home) {
        let name = path.strip_prefix(&home).unwrap().to_str().unwrap().to_owned();
        let parts: Vec<&str> = name.split('/').collect();
        let meta = path.symlink_metadata().unwrap();
        let want = match parts.as_slice() {
            // What an agent made is its own, in a folder that nobody else enters.
            ["groups" | "lanes", _, ..] if 2 < parts.len() => continue,
            // An agent of another user goes through here to its socket; no other user comes so far.
            ["run", "broker", _] => 0o755,
            ["run", "broker", _, _] if meta.file_type().is_socket() => 0o666,
            _ if meta.is_dir() => 0o700,
            _ => 0o600,
        };
        assert_eq!(mode(&path), want, "{name}: {:o}", mode(&path));
        let is_agents = matches!(
            parts.as_slice(),
            ["groups", "main"] | ["lanes", _] | ["run", "instructions", "main", _, ..]
        );
        // As root each group has a user number of its own; as an ordinary user there is only one.
        assert_eq!(
            meta.uid() != owner,
            is_agents && owner == 0,
            "{name} belongs to {}",
            meta.uid()
        );
        seen.push(name);
    }
    for name in ["nanogridbot.db", "gateway.sock", "gateway.lock", "logs/nanogridbot.log", "lanes"]
    {
        assert!(seen.iter().any(|it| it == name), "{name}: {seen:?}");
    }
    let done = gateway.stop();
    assert_eq!(done.code, Some(0), "{done:?}");
}

/// `docs/layout.md` names all that a home has, and nothing that no home ever has.
#[test]
fn the_page_about_the_layout_is_right() {
    let stand = Stand::with("[log]\nlevel = \"info\"\n");
    let gateway = stand.serve(&["--port", "0"]);
    assert_eq!(stand.run(&["run", "-p", "echo hi"]).out, "hi\n");
    stand.json(&["group", "add", "team"]);
    stand.json(&["backup"]);
    let page =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/layout.md"));
    let page = page.unwrap();
    let (_, home) = page.split_once("## The home").unwrap();
    let (home, _) = home.split_once("## Besides it").unwrap();
    let of_line = |it: &'_ str| Some(it.strip_prefix("| `")?.split_once('`')?.0.to_owned());
    let named: Vec<String> = home.lines().filter_map(of_line).collect();
    let entries = std::fs::read_dir(stand.home()).unwrap();
    let there: Vec<String> =
        entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
    for name in &there {
        assert!(named.contains(name), "docs/layout.md does not name `{name}`");
    }
    // Who makes them: people, the shell, plugins, long messages and files, and the disk's reserve beside the start.
    let rare = [
        ".env",
        "removed",
        "shell_history",
        "plugins",
        "cache",
        "long",
        "outgoing",
        "media",
        "nanogridbot.db-reserve",
        "instructions",
    ];
    for name in named {
        assert!(there.contains(&name) || rare.contains(&name.as_str()), "no home has `{name}`");
    }
    gateway.stop();
}

/// It hung: the command's client could not be made, and nobody told the command's own gateway to end.
#[test]
fn a_machine_without_certificates_runs_commands() {
    let stand = Stand::new();
    let mut command = stand.command(&["run", "-p", "echo hi"]);
    command.env("SSL_CERT_FILE", "/nowhere").env("SSL_CERT_DIR", "/nowhere");
    let got = done(command.output().unwrap());
    assert_eq!((got.code, got.out.as_str()), (Some(0), "hi\n"), "{got:?}");
}

#[test]
fn certificates_that_cannot_be_read_are_named() {
    const NAMED: &str = "`SSL_CERT_FILE` names `/nowhere`: No such file or directory";
    let stand = Stand::new();
    let mut command = stand.command(&["doctor", "--offline"]);
    let said = done(command.env("SSL_CERT_FILE", "/nowhere").output().unwrap());
    assert!(said.out.contains(NAMED), "{said:?}");
    std::fs::write(stand.home().join(".env"), "SSL_CERT_FILE=/nowhere\n").unwrap();
    let gateway = stand.serve(&["--port", "0"]);
    assert!(gateway.log().contains(NAMED), "{}", gateway.log());
}
