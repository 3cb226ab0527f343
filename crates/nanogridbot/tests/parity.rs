//! What `docs/parity.md` and other pages say is shown by a test is shown by a test that exists.

use std::{fs, path::Path};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// The ids of the original's status guide.
const IDS: &str = "P1 P2 P3 P4 D1 D2 D3 C1 C2 C3 C4 C5 C6 C7 C8 C9 C10 C11 K1 K2 K3 K4 K5 K6 K7 U1 L1 L2 W1 W2 W3 \
                   I1 I2 X1 X2 R1";

#[test]
fn each_point_has_its_row_and_each_named_test_exists() {
    let page = fs::read_to_string(Path::new(ROOT).join("docs/parity.md")).unwrap();
    let rows: Vec<Vec<&str>> = page
        .lines()
        .filter(|it| it.starts_with("| ") && !it.starts_with("| id "))
        .map(|it| it.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    let ids: Vec<&str> = rows.iter().map(|it| it[0]).collect();
    assert_eq!(ids, IDS.split_whitespace().collect::<Vec<_>>());
    for row in &rows {
        let [id, _, here, _, shown] = row.as_slice() else { panic!("{row:?} has other columns") };
        let names = shown.split('`').skip(1).step_by(2);
        let tests: Vec<(&str, &str)> = names.filter_map(|it| it.split_once("::")).collect();
        assert!(!shown.is_empty() || here.starts_with("not yet"), "{id} is shown by nothing");
        for (path, name) in tests {
            assert!(is_test(path, name), "{id}: there is no test `{name}` in {path}");
        }
    }
}

/// Whether a file of the repository has a test of that name.
fn is_test(path: &str, name: &str) -> bool {
    let Ok(text) = fs::read_to_string(Path::new(ROOT).join(path)) else { return false };
    match path.ends_with(".js") {
        true => text.contains(&format!("test(\"{name}\"")),
        false => text.contains(&format!("fn {name}(")),
    }
}

/// What an agent may try, in the order of `docs/threat-model.md`.
const ATTACKS: &[&str] = &[
    "host files",
    "the database",
    "other groups' folders",
    "other runs' processes",
    "other runs' sockets",
    "`/proc` of the host",
    "environment of the gateway",
    "write to read-only mounts",
    "write to its own settings",
    "loopback of the host",
    "the Docker socket",
    "the metadata address",
    "a private address",
    "a public address",
    "another group's broker socket",
    "ptrace",
    "mount",
    "unshare",
    "kexec",
    "keyctl",
    "io_uring",
    "BPF",
    "setuid files",
    "fork bomb",
    "memory bomb",
    "disk filler",
    "file-descriptor flood",
    "log flood",
    "leave a process behind",
    "symlink and rename races on mounts",
    "symlinks in its own folders",
    "rename races on attachments",
    "forged frames that claim another group",
    "a poisoned instructions or settings file",
    "the gateway's p99 under attack",
];

#[test]
fn each_attack_has_its_row_and_each_named_test_exists() {
    let page = fs::read_to_string(Path::new(ROOT).join("docs/threat-model.md")).unwrap();
    let (_, table) = page.split_once("\n## The attacks\n").expect("the page has its table");
    let rows: Vec<Vec<&str>> = table
        .lines()
        .filter(|it| it.starts_with("| ") && !it.starts_with("| attack "))
        .map(|it| it.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    let attacks: Vec<&str> = rows.iter().map(|it| it[0]).collect();
    assert_eq!(attacks, ATTACKS);
    for row in &rows {
        let [attack, fate, by_root, by_user] = row.as_slice() else {
            panic!("{row:?} has other columns")
        };
        let owed = "not shown yet";
        assert_eq!(*fate == owed, *by_root == owed, "{attack}: a fate is told once it is shown");
        for shown in [by_root, by_user].into_iter().filter(|it| **it != owed) {
            let tests: Vec<&str> = shown.split('`').skip(1).step_by(2).collect();
            assert!(!tests.is_empty(), "{attack} is shown by nothing: {shown}");
            for test in tests {
                let there = test.split_once("::").is_some_and(|(path, name)| is_test(path, name));
                assert!(there, "{attack}: there is no test `{test}`");
            }
        }
    }
}

#[test]
fn each_thing_that_a_plugin_may_do_wrong_is_shown() {
    let page = fs::read_to_string(Path::new(ROOT).join("docs/plugins.md")).expect("it is there");
    let (_, table) = page.split_once("\n## What a plugin can't do to you\n").expect("its table");
    let rows: Vec<&str> = table.lines().filter(|it| it.starts_with("| ")).skip(2).collect();
    assert_eq!(rows.len(), 16);
    for row in rows {
        let tests: Vec<&str> = row.split('`').filter(|it| it.contains(".rs::")).collect();
        assert!(!tests.is_empty(), "shown by nothing: {row}");
        for test in tests {
            let there = test.split_once("::").is_some_and(|(path, name)| is_test(path, name));
            assert!(there, "there is no test `{test}`");
        }
    }
}

#[test]
fn each_point_of_the_acceptance_list_is_shown() {
    let page = fs::read_to_string(Path::new(ROOT).join("docs/queue.md")).expect("it is there");
    let (_, table) = page.split_once("\n## What the original got wrong").expect("its table");
    let rows: Vec<&str> = table.lines().filter(|it| it.starts_with("| ")).skip(1).collect();
    assert_eq!(rows.len(), 13);
    for row in rows {
        let tests: Vec<&str> = row.split('`').filter(|it| it.contains("::")).collect();
        assert!(!tests.is_empty(), "shown by nothing: {row}");
        for test in tests {
            let there = test.split_once("::").is_some_and(|(path, name)| is_test(path, name));
            assert!(there, "there is no test `{test}`");
        }
    }
}

/// The platforms, as the matrix has them.
const PLATFORMS: &str = "telegram whatsapp slack discord wecom dingtalk feishu qq";

#[test]
fn each_cell_of_the_matrix_is_shown_or_owed() {
    each_cell_is_shown_or_is("docs/channels/matrix.md", "not yet");
}

#[test]
fn each_kind_of_bad_input_is_shown_on_each_platform() {
    each_cell_is_shown_or_is("docs/channels/bad-input.md", "no calls");
}

/// Kinds of bad input that must have a row, by a part of its name.
const BAD_INPUT: &[&str] = &[
    "wrong signature",
    "replayed",
    "truncated ciphertext, wrong key",
    "unknown kind of event",
    "invalid UTF-8",
    "id as number or string, missing field, deep JSON",
    "direction marks",
    "emoji and marks where a text is split",
    "a file name with `../`",
    "a frame or body over the limit",
    "a file larger than the limit",
    "a compressed bomb",
    "a text of 1 MB",
    "a media link to a private address",
    "XML entities",
];

#[test]
fn no_kind_of_bad_input_lost_its_row() {
    let page = fs::read_to_string(Path::new(ROOT).join("docs/channels/bad-input.md"))
        .expect("the page is there");
    for kind in BAD_INPUT {
        let has = |it: &str| it.split('|').nth(1).is_some_and(|name| name.contains(kind));
        assert!(page.lines().any(has), "there is no row of: {kind}");
    }
}

/// Each cell of a page's table names a test that is there, or a page of the platform's, or says `word`.
fn each_cell_is_shown_or_is(page: &str, word: &str) {
    let page = fs::read_to_string(Path::new(ROOT).join(page)).expect("the page is there");
    let mut rows = page
        .lines()
        .filter(|it| it.starts_with("| "))
        .map(|it| it.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>());
    let platforms: Vec<&str> = PLATFORMS.split(' ').collect();
    assert_eq!(rows.next().expect("it has a table")[1..], platforms);
    assert_eq!(rows.next().map(|it| it[0]), Some("---"));
    for row in rows {
        assert_eq!(row.len(), platforms.len() + 1, "{row:?}");
        for (platform, cell) in platforms.iter().zip(&row[1..]) {
            let is_page = cell.starts_with("<https://") && cell.ends_with('>');
            let test = cell.trim_matches('`').split_once("::").map(|(file, name)| {
                let path = match file.strip_prefix("src/") {
                    _ if file.starts_with("crates/") => file.to_owned(),
                    Some(file) => format!("crates/ngb-channels/src/{platform}/{file}.rs"),
                    None => format!("crates/ngb-channels/tests/{platform}/{file}.rs"),
                };
                is_test(&path, name)
            });
            let is_shown = is_page || *cell == word || test == Some(true);
            assert!(is_shown, "{} on {platform} is shown by nothing: {cell}", row[0]);
        }
    }
}
