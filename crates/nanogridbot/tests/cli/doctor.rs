//! `doctor` names what is missing before anything is started, once, and what mends it.

use std::net::TcpListener;

use ngb_sim::telegram::{Config, Server};

use crate::stand::{Stand, bare, done};

/// How often `word` stands at the beginning of a finding that failed.
fn failed(out: &str, word: &str) -> usize {
    out.lines()
        .filter(|it| it.starts_with("FAIL") && it[4..].trim_start().starts_with(word))
        .count()
}

#[test]
fn what_is_missing_is_named_with_what_mends_it() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let of_port = format!("[web]\nport = {port}");
    let names_port = format!("hint: `ss -ltnp 'sport = :{port}'`");
    let hooks = format!(
        "[web]\npublic_url = \"https://bot.example.org\"\nhooks_bind = \"127.0.0.1:{port}\"\n\
         [channels.telegram.a]\ntoken = \"1:a\"\nwebhook_secret = \"abcdef\""
    );
    #[rustfmt::skip]
    let table: &[(&str, &str, &[&str])] = &[
        // settings                                     what fails   what is shown
        ("[web]\nprot = 1",                             "settings",  &["unknown setting `prot`", "hint: did you mean `port`?"]),
        ("[web]\ntoken = \"env:NO_SUCH\"",              "settings",  &["names the variable `NO_SUCH`", "hint: set it (`export NO_SUCH=…`)"]),
        ("[network]\nca_file = \"/no/such\"",           "network",   &["names the file `/no/such`"]),
        ("[agent]\nmodel = \"x/y\"",                    "model",     &["there is no `[providers.x]`"]),
        ("[agent]\ndriver = \"acp\"",                   "agent",     &["hint: set `[agent] acp_command`"]),
        ("[sandbox]\nengine = \"docker\"\nsocket = \"/no/such\"", "sandbox", &["no container engine answers at `/no/such`", "hint: sudo systemctl enable --now docker"]),
        ("[database]\nurl = \"postgres://x@127.0.0.1:1/y\"", "database", &["could not open the database", "hint: check `[database] url`"]),
        (&of_port,                                      "page",      &["is in use", &names_port]),
        (&hooks,                                        "page",      &["is in use", &names_port]),
        ("[web]\nbind = \"0.0.0.0\"",                   "page",      &["no token is set; set `[web] token`"]),
        ("[channels.wecom.a]",                          "channel",   &["`corp_id` is missing", "hint: correct it in `config.toml`; docs/channels"]),
        ("[channels.telegram.a]\ntoken = \"1:a\"\nwebhook_secret = \"abcdef\"", "channel", &["needs `[web] public_url`"]),
    ];
    for (config, what, needles) in table {
        let got = Stand::with(config).run(&["doctor", "--offline"]);
        assert_eq!(got.code, Some(1), "{config}: {got:?}");
        assert_eq!(failed(&got.out, what), 1, "{config}: {}", got.out);
        assert_eq!(failed(&got.out, ""), 1, "each trouble is told once: {config}: {}", got.out);
        for needle in *needles {
            assert!(got.out.contains(needle), "{config}: no {needle:?} in {}", got.out);
        }
    }
}

#[test]
fn a_home_that_cannot_be_used_is_one_trouble() {
    let got = done(bare().args(["--home", "/proc/x", "doctor", "--offline"]).output().unwrap());
    assert_eq!(got.code, Some(1), "{got:?}");
    assert_eq!((failed(&got.out, "home"), failed(&got.out, "")), (1, 1), "{}", got.out);
    assert!(got.out.contains("hint: make `/proc/x` writable for this user"), "{}", got.out);
}

/// It was found by a start only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_the_platform_refuses_is_named_before_a_start() {
    let server =
        Server::start(Config { token: "1:right".into(), ..Config::default() }).await.unwrap();
    let account = |token: &str| {
        format!("[channels.telegram.main]\ntoken = \"{token}\"\napi_url = \"{}\"", server.url)
    };
    let good = Stand::with(&account("1:right")).run(&["doctor"]);
    assert_eq!(good.code, Some(0), "{good:?}");
    assert!(
        good.out.contains("ok    channel   telegram@main: the platform knows us as"),
        "{good:?}"
    );

    let stand = Stand::with(&account("1:wrong-token"));
    let bad = stand.run(&["doctor"]);
    assert_eq!(bad.code, Some(1), "{bad:?}");
    assert_eq!(failed(&bad.out, "channel   telegram@main"), 1, "{}", bad.out);
    assert!(bad.out.contains("docs/channels/telegram.md"), "{}", bad.out);
    assert!(!bad.out.contains("wrong-token"), "{}", bad.out);
    let asked = server.platform.calls("getMe").len();
    let offline = stand.run(&["doctor", "--offline"]);
    assert!(offline.out.contains("telegram@main is set up, not asked"), "{offline:?}");
    assert_eq!(server.platform.calls("getMe").len(), asked, "nothing is sent");
}
