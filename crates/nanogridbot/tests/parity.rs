//! What `docs/parity.md` says is shown by a test is shown by a test that exists.

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
            let text = fs::read_to_string(Path::new(ROOT).join(path));
            let text = text.unwrap_or_else(|err| panic!("{id}: {path}: {err}"));
            let is_there = match path.ends_with(".js") {
                true => text.contains(&format!("test(\"{name}\"")),
                false => text.contains(&format!("fn {name}(")),
            };
            assert!(is_there, "{id}: there is no test `{name}` in {path}");
        }
    }
}
