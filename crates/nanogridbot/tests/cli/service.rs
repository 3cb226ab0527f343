//! `service`: the unit that it writes, as systemd itself reads it, and that it goes again. No systemd runs where the tests do,
//! so that it starts under the unit is not shown here.
#![expect(clippy::disallowed_methods, reason = "systemd's own checks are a process")]

use std::{path::Path, process::Command};

use crate::stand::{Stand, done};

/// Highest exposure that `systemd-analyze security` may find, in tenths; what an unhardened service has is 96.
const MAX_EXPOSURE: &str = "75";

/// What systemd says of a unit.
fn analyzed(args: &[&str], file: &Path) -> String {
    // A user's units want a folder for what runs.
    let mut command = Command::new("systemd-analyze");
    command.env("XDG_RUNTIME_DIR", file.parent().unwrap());
    let said = command.args(args).arg(file).output();
    let said = done(said.expect("systemd-analyze is there (package systemd)"));
    assert_eq!(said.code, Some(0), "{args:?}: {said:?}");
    said.out + &said.err
}

#[test]
fn the_unit_is_one_that_systemd_takes_and_it_goes_again() {
    let stand = Stand::new();
    let dir = stand.home().with_file_name("units with 100%");
    let dir = dir.to_str().unwrap();
    for whose in ["--system", "--user"] {
        let all = |what: &'static str| ["service", what, whose, "--unit-dir", dir];
        assert_eq!(stand.json(&all("install"))["started"], false);
        let file = Path::new(dir).join("nanogridbot.service");
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains("Delegate=yes\n") && text.contains("KillMode=mixed\n"), "{text}");
        assert!(text.contains(&format!("--home \"{}\" serve", stand.home().display())), "{text}");
        let verify: &[&str] = match whose {
            "--user" => &["verify", "--user", "--man=no"],
            _ => &["verify", "--man=no"],
        };
        let said = analyzed(verify, &file);
        let of_ours: Vec<&str> = said.lines().filter(|it| it.contains("nanogridbot")).collect();
        assert!(of_ours.is_empty(), "{said}");
        if whose == "--system" {
            analyzed(
                &["security", "--offline=yes", "--threshold", MAX_EXPOSURE, "--no-pager"],
                &file,
            );
        }
        let printed = stand.run(&["service", "install", whose, "--print"]);
        assert_eq!(printed.out, text);
        let status = stand.run(&[&["--json"][..], &all("status")[..]].concat());
        assert_eq!(status.code, Some(1), "{status:?}");
        assert!(status.out.contains("\"installed\": true"), "{status:?}");
        assert_eq!(stand.json(&all("remove"))["removed"], true);
        assert_eq!(stand.json(&all("remove"))["removed"], false, "a second time there is nothing");
        assert!(!file.exists());
    }
    let user = stand.run(&["service", "install", "--user", "--unit-dir", dir]);
    assert!(user.out.contains("loginctl enable-linger "), "{user:?}");
}
