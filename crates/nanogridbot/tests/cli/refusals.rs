//! Bad input: the message that is shown, what to do about it, and the exit code.

use std::{net::TcpListener, os::unix::fs::FileExt as _};

use crate::stand::{Stand, bare, done};

/// Settings that are refused, and commands that are.
#[test]
fn bad_input_is_refused_with_what_to_do() {
    #[rustfmt::skip]
    let table: &[(&str, &[&str], i32, &[&str])] = &[
        // settings                                    arguments                   exit  what is shown
        ("[web]\nprot = 1",                            &["serve"],                 2, &["unknown setting `prot`", "hint: did you mean `port`?", "config.toml"]),
        ("[wep]",                                      &["serve"],                 2, &["unknown setting `wep`", "hint: did you mean `web`?"]),
        ("[web]\nzzz = 1",                             &["serve"],                 2, &["unknown setting `zzz`", "hint: docs/configuration.md lists every setting"]),
        ("[web]\nport = \"x\"",                        &["serve"],                 2, &["invalid type: string \"x\", expected u16"]),
        ("[web]\nport = 70000",                        &["serve"],                 2, &["70000", "expected u16"]),
        ("[web]\ntoken = \"a\0b\"",                    &["serve"],                 2, &["config.toml` is not TOML: line 2: "]),
        ("[web\n",                                     &["serve"],                 2, &["config.toml` is not TOML: line 1: "]),
        ("[agent]\nidle = \"soon\"",                   &["serve"],                 2, &["`soon` is no length of time", "`30s`"]),
        ("[agent]\ndriver = \"magic\"",                &["serve"],                 2, &["[agent] driver", "magic"]),
        ("[agent]\nmodel = \"x/y\"",                   &["serve"],                 2, &["there is no `[providers.x]`"]),
        ("[sandbox]\nengine = \"podman\"",             &["serve"],                 2, &["unknown engine `podman`; known: auto, native, docker, bare"]),
        ("[web]\ntoken = \"env:NO_SUCH\"",             &["serve"],                 2, &["`web.token` names the variable `NO_SUCH`, which is not set", "hint: set it (`export NO_SUCH=…`)"]),
        ("[web]\ntoken = \"file:/no/such\"",           &["serve"],                 2, &["`web.token` names the file `/no/such`, which can't be read", "hint: make `/no/such` readable"]),
        ("[channels.telegram.a]\ntoken = \"env:NO\"",  &["serve"],                 2, &["`channels.telegram.a.token` names the variable `NO`"]),
        ("[web]\nprot = 1",                            &["config"],                2, &["unknown setting `prot`"]),
        ("[web]\nprot = 1",                            &["group", "list"],         2, &["unknown setting `prot`"]),
        ("[web]\nbind = \"0.0.0.0\"",                  &["serve"],                 2, &["token"]),
        ("",                                           &["serve", "--config", "/no/such.toml"], 2, &["could not read `/no/such.toml`"]),
        ("",                                           &["nope"],                  2, &["unrecognized subcommand 'nope'"]),
        ("",                                           &["serve", "--port", "x"],  2, &["invalid value 'x' for '--port <P>'"]),
        ("",                                           &["docs", "nope"],          2, &["[possible values: roles, commands, configuration]"]),
        ("",                                           &["bind", "telegram:1", "main", "--trigger", "("], 2, &["`(` is no regular expression"]),
        ("",                                           &["bind", "telegram", "main"],   2, &["`telegram` has no `:`", "telegram@main:-100123"]),
        ("",                                           &["bind", "carrier:1", "main"],  2, &["carrier"]),
        ("",                                           &["bind", "telegram:-1", "main"], 2, &["no account of channel `telegram`", "hint: `nanogridbot channel add telegram` sets one up"]),
        ("",                                           &["channel", "add", "telegram"], 2, &["nothing is given to set `telegram@main` up with", "token=…  from @BotFather"]),
        ("",                                           &["channel", "add", "qq"],       2, &["docs/channels/qq.md says what `qq` wants"]),
        ("",                                           &["bind", "web:1", "nobody"],    2, &["there is no group `nobody`", "hint: `nanogridbot group list` shows"]),
        ("",                                           &["group", "show", "nobody"],    2, &["there is no group `nobody`", "hint: `nanogridbot group list` shows"]),
        ("",                                           &["group", "add", "a", "--folder", "../a"], 2, &["../a"]),
        ("",                                           &["group", "add", "main"],       1, &["main"]),
        ("",                                           &["group", "set", "main", "nope=1"],     2, &["nope"]),
        ("",                                           &["group", "set", "main", "pids"],       2, &["`pids` is not of the form `name=value`"]),
        ("",                                           &["group", "set", "main", "pids=many"],  2, &["`many` is no number"]),
        ("",                                           &["run", "-g", "nobody", "-p", "x"],     2, &["there is no group `nobody`", "hint: `nanogridbot group list` shows"]),
        ("",                                           &["run", "-p", "x", "--timeout", "soon"], 2, &["`soon` is no length of time"]),
        ("",                                           &["why", "999"],                 2, &["999", "hint: `nanogridbot "]),
        ("",                                           &["dead", "requeue", "999"],     2, &["999", "hint: `nanogridbot "]),
        ("",                                           &["approve", "NOCODE"],          2, &["there is no open pairing code `NOCODE`", "hint: codes are used once"]),
        ("",                                           &["prune", "--before", "soon"],  2, &["`soon` is no date"]),
        ("[log]\nlevel = \"loud\"",                     &["serve"],                 2, &["`loud` is no level; known: off, error"]),
        ("[network]\nca_file = \"/no/such\"",           &["serve"],                 2, &["`network.ca_file` names the file `/no/such`, which can't be read"]),
        ("[network]\nproxy = \"gopher://x:y\"",         &["serve"],                 2, &["[network] proxy", "no address of a proxy"]),
        ("[database]\nurl = \"mysql://x/y\"",           &["serve"],                 2, &["could not open the database `mysql://x/y`", "hint: write `[database] url` like `sqlite://"]),
        ("[channels.telegram.a]\ntoken = \"1:a\"\nwebhook_secret = \"abcdef\"", &["serve"], 2, &["needs `[web] public_url`"]),
        ("",                                           &["bind", "web:1", "main", "--senders", "few"], 2, &["[possible values: known, all]"]),
        ("",                                           &["group", "remove", "nobody"],  2, &["there is no group `nobody`", "hint: `nanogridbot group list` shows"]),
        ("",                                           &["group", "remove", "main"],    1, &["the main group can't be removed"]),
        ("",                                           &["run", "-p", " "],             2, &["the message is empty"]),
        ("",                                           &["logs"],                       1, &["there is no log in"]),
        ("",                                           &["logs", "level"],              1, &["no gateway runs on"]),
        ("",                                           &["logs", "--message", "x"],     2, &["invalid value 'x' for '--message <ID>'"]),
        ("",                                           &["open"],                       1, &["no gateway runs on", "nanogridbot serve"]),
    ];
    for (config, args, code, needles) in table {
        let stand = Stand::with(config);
        let got = stand.run(args);
        assert_eq!(got.code, Some(*code), "{config:?} {args:?}: {got:?}");
        for needle in *needles {
            assert!(got.err.contains(needle), "{config:?} {args:?}: no {needle:?} in {}", got.err);
        }
        assert_eq!(got.out, "", "{config:?} {args:?}: errors go to standard error");
        assert!(!got.err.contains("panicked"), "{got:?}");
    }
}

#[test]
fn bytes_that_are_no_text() {
    use std::os::unix::ffi::OsStrExt as _;
    let stand = Stand::with("");
    std::fs::write(stand.home().join("config.toml"), b"[web]\ntoken = \"\xff\xfe\"").unwrap();
    let got = stand.run(&["serve"]);
    assert_eq!(got.code, Some(2), "{got:?}");
    assert!(got.err.contains("could not read `") && got.err.contains("valid UTF-8"), "{got:?}");

    let stand = Stand::new();
    for args in [&["group", "show"][..], &["run", "-p"]] {
        let mut command = stand.command(args);
        let got = done(command.arg(std::ffi::OsStr::from_bytes(b"a\xff")).output().unwrap());
        assert_eq!(got.code, Some(2), "{got:?}");
        assert!(got.err.contains("invalid UTF-8"), "{got:?}");
    }
}

#[test]
fn a_port_that_was_named_is_not_swapped_for_another() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let set = Stand::with(&format!("[web]\nport = {port}"));
    let named = Stand::new();
    let port = port.to_string();
    for got in [set.run(&["serve"]), named.run(&["serve", "--port", &port])] {
        assert_eq!(got.code, Some(1), "{got:?}");
        assert!(got.err.contains(&format!("`127.0.0.1:{port}` is in use")), "{got:?}");
    }
}

/// Who looks on learns within seconds that the server is away, where it should be, and what to do.
#[test]
fn a_postgres_that_cant_be_reached() {
    // One port where nobody listens, and one where somebody does and never says a word.
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    #[rustfmt::skip]
    let table = [
        (nobody,                              "Connection refused"),
        (silent.local_addr().unwrap().port(), "no answer within 5s"),
    ];
    for (port, why) in table {
        let url = format!("postgres://me:hidden@127.0.0.1:{port}/bot");
        let got = Stand::with(&format!("[database]\nurl = \"{url}\"")).run(&["serve"]);
        assert_eq!(got.code, Some(1), "{got:?}");
        let said = format!("could not open the database `postgres://me@127.0.0.1:{port}/bot`");
        assert!(got.err.contains(&said) && got.err.contains(why), "{got:?}");
        assert!(
            got.err.contains("hint: check `[database] url`, and that its server runs"),
            "{got:?}"
        );
    }
}

#[test]
fn a_home_that_cant_be_made() {
    // Even root can't make a folder below what is no folder.
    let got = done(bare().args(["--home", "/dev/null/x", "serve"]).output().unwrap());
    assert_eq!(got.code, Some(1), "{got:?}");
    assert!(got.err.contains("error: could not use the folder `/dev/null/x`"), "{got:?}");
    assert!(got.err.contains("hint: make `/dev/null/x` writable for this user"), "{got:?}");

    let got = done(bare().arg("serve").output().unwrap());
    assert_eq!(got.code, Some(1), "{got:?}");
    assert!(got.err.contains("hint: name a folder with `--home DIR`"), "{got:?}");
}

#[test]
fn two_gateways_on_one_home() {
    let stand = Stand::new();
    let first = stand.serve(&[]);
    let got = stand.run(&["serve"]);
    assert_eq!(got.code, Some(1), "{got:?}");
    assert!(got.err.contains("another gateway runs on"), "{got:?}");
    assert!(got.err.contains("hint: stop it first"), "{got:?}");
    let done = first.stop();
    assert_eq!(done.code, Some(0), "{done:?}");
}

#[test]
fn a_database_of_a_newer_program_is_left_alone() {
    let stand = Stand::new();
    assert_eq!(stand.run(&["group", "list"]).code, Some(0));
    let file = stand.home().join("nanogridbot.db");
    let db = rusqlite::Connection::open(&file).unwrap();
    db.execute("INSERT INTO migrations (version, at) VALUES (9999, 0)", []).unwrap();
    drop(db);
    let before = std::fs::read(&file).unwrap();
    for args in [&["serve"][..], &["group", "list"]] {
        let got = stand.run(args);
        assert_eq!(got.code, Some(1), "{got:?}");
        assert!(got.err.contains("the database is of a newer version (9999)"), "{got:?}");
        assert!(got.err.contains("hint: use the newer program again"), "{got:?}");
    }
    assert!(before == std::fs::read(&file).unwrap(), "the file is as it was");
}

#[test]
fn a_damaged_database_is_named() {
    let stand = Stand::new();
    assert_eq!(stand.run(&["group", "list"]).code, Some(0));
    let file = stand.home().join("nanogridbot.db");
    // The header says that this is a database, and what page size it has.
    let db = std::fs::OpenOptions::new().write(true).open(&file).unwrap();
    db.write_all_at(&[0xA5; 4096], 0).unwrap();
    for args in [&["serve"][..], &["group", "list"]] {
        let got = stand.run(args);
        assert_eq!(got.code, Some(1), "{got:?}");
        assert!(got.err.contains("is damaged"), "{got:?}");
        assert!(got.err.contains("hint: restore the newest copy"), "{got:?}");
    }
}

#[test]
fn an_error_is_one_json_document_too() {
    let stand = Stand::with("[web]\nprot = 1");
    let got = stand.run(&["--json", "status"]);
    assert_eq!(got.code, Some(1), "{got:?}");
    assert_eq!(serde_json::from_str::<serde_json::Value>(&got.out).unwrap()["running"], false);
    let got = stand.run(&["--json", "group", "list"]);
    assert_eq!(got.code, Some(2), "{got:?}");
    let said: serde_json::Value = serde_json::from_str(&got.out).unwrap();
    assert_eq!(said["error"]["hint"], "did you mean `port`?");
    for args in [&["--json", "nope"][..], &["bind", "--json"]] {
        let got = stand.run(args);
        assert_eq!((got.code, got.err.as_str()), (Some(2), ""), "{args:?}: {got:?}");
        let said: serde_json::Value = serde_json::from_str(&got.out).unwrap();
        let message = said["error"]["message"].as_str().unwrap();
        let names = message.contains("'nope'") || message.contains("<JID>");
        assert!(names && !message.contains("Usage"), "{args:?}: {said}");
    }
}
