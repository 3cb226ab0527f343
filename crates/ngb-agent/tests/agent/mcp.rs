//! MCP servers of the group: one by script, and npm's `@modelcontextprotocol/server-everything`.

use std::process::Stdio;

use ngb_broker::Credential;
use ngb_core::{
    egress::{Egress, Rules},
    frame::{CallOutcome, FromAgent, HostCall, Step},
    secret::Secret,
    toolbox::Toolbox,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

use crate::kitchen::{KINDS, Kitchen, current};

const SCRIPTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/agents/scripted_mcp.py");
const TOKEN: &str = "tok-planted-42";

async fn kitchen(toolbox: Value) -> Kitchen {
    let mut at = Kitchen::open(KINDS[0].0, KINDS[0].1).await;
    at.agent.toolbox = boxed(toolbox);
    at
}

fn boxed(toolbox: Value) -> Toolbox {
    let toolbox: Toolbox = serde_json::from_value(toolbox).unwrap();
    toolbox.check().unwrap();
    toolbox
}

fn scripted() -> Value {
    json!({ "command": ["/usr/bin/python3", SCRIPTED], "env": { "PLACE": "Zürich" }, "timeout_seconds": 2 })
}

fn everything() -> String {
    #[expect(clippy::disallowed_methods, reason = "which one is tested is said by the environment")]
    let folder =
        std::env::var("NGB_TEST_AGENTS").expect("NGB_TEST_AGENTS names a folder of agents");
    format!("{folder}/mcp-server-everything")
}

/// The names of the tools that the model was told of in the last request.
fn told(at: &Kitchen) -> Vec<String> {
    let request = at.sim.requests().pop().unwrap();
    let tools = request.body["tools"].as_array().cloned().unwrap_or_default();
    tools.iter().filter_map(|it| it["name"].as_str().map(str::to_owned)).collect()
}

#[tokio::test]
async fn tools_of_a_server_stand_beside_our_own() {
    let mut at = kitchen(json!({ "mcp": { "it": scripted() } })).await;
    let text = at.ask("tool:mcp__it__echo {\"text\":\"grüezi\"}\ndone").await;
    assert!(text.contains("you said grüezi"), "{text}");
    let names = told(&at);
    for name in ["bash", "mcp__it__echo", "mcp__it__odd_name_1"] {
        assert!(names.iter().any(|it| it == name), "{name} in {names:?}");
    }
    let text = at
        .ask("tool:mcp__it__env {}\ntool:mcp__it__fail {}\ntool:mcp__it__odd_name_1 {}\ntool:mcp__it__nothing {}")
        .await;
    for needle in
        ["Zürich", "HTTPS_PROXY", "no such thing", "you said nothing", "no tool `mcp__it__nothing`"]
    {
        assert!(text.contains(needle), "{needle:?} in {text}");
    }
    // What may be used is the group's to say, and takes no restart of the agent.
    at.agent.toolbox =
        boxed(json!({ "mcp": { "it": scripted() }, "tools": ["read", "mcp__it__echo"] }));
    let text =
        at.ask("tool:bash {\"command\":\"echo no\"}\ntool:mcp__it__echo {\"text\":\"yes\"}").await;
    assert!(text.contains("leave `bash` out") && text.contains("you said yes"), "{text}");
    assert_eq!(told(&at), ["read", "mcp__it__echo"]);
    at.agent.toolbox = Toolbox::default();
    let text = at.ask("tool:mcp__it__echo {}").await;
    assert!(text.contains("there is no tool `mcp__it__echo`"), "{text}");
}

#[tokio::test]
async fn a_server_that_hangs_floods_or_dies_costs_its_own_calls() {
    let mut at = kitchen(json!({ "mcp": {
        "it": scripted(),
        "gone": { "command": ["/nowhere/server", "x"] },
        "mute": { "command": ["/bin/sh", "-c", "echo I am no server; echo why >&2; read line"] },
    } }))
    .await;
    let text = at.ask("tool:bash {\"command\":\"true\"}\ntool:mcp__it__wait {}\ntool:mcp__it__flood {\"text\":\"a\"}\ntool:mcp__it__die {}\nlived").await;
    for needle in [
        "`it` did not answer within 2 s",
        "you said a",
        "`it` does not answer",
        "a planted death",
        "lived",
    ] {
        assert!(text.contains(needle), "{needle:?} in {text}");
    }
    // What doesn't work is shown, told to the model, and named when it is called.
    let failed = |name: &str, why: &str| {
        at.agent.seen.iter().any(|it| {
            matches!(it, FromAgent::Progress { step: Step::ToolEnd { id, ok: false, output }, .. }
                if *id == format!("mcp_{name}") && output.contains(why))
        })
    };
    assert!(failed("gone", "/nowhere/server") && failed("mute", "why"), "{:?}", at.agent.seen);
    let request = at.sim.requests().pop().unwrap().body.to_string();
    assert!(request.contains("MCP servers that do not work now"), "{request}");
    let text = at.ask("tool:mcp__gone__x {}\ntool:mcp__it__echo {\"text\":\"again\"}").await;
    assert!(text.contains("`gone` does not work: could not start `/nowhere/server`"), "{text}");
    assert!(text.contains("you said again"), "what died is started anew: {text}");
}

#[tokio::test]
async fn a_person_allows_what_the_group_says() {
    let toolbox =
        json!({ "mcp": { "it": scripted() }, "approve": ["bash", "mcp__it__*", "usage"] });
    let mut at = kitchen(toolbox).await;
    at.agent.host = |what| match what {
        HostCall::Approve { tool, shown } if tool == "bash" => {
            assert_eq!(shown, "echo hi");
            CallOutcome::Ok { value: "allow".into() }
        }
        HostCall::Approve { .. } => CallOutcome::Ok { value: "deny".into() },
        // The gateway asks by itself about what is asked of it.
        HostCall::Usage => CallOutcome::Ok { value: "little".into() },
        other => panic!("{other:?}"),
    };
    let text = at
        .ask("tool:bash {\"command\":\"echo hi\"}\ntool:mcp__it__echo {\"text\":\"x\"}\ntool:usage {}")
        .await;
    assert!(text.contains("hi") && text.contains("little"), "{text}");
    assert!(text.contains("a person in the chat said no") && !text.contains("you said"), "{text}");
}

#[expect(clippy::disallowed_methods, reason = "the server is the process that it is")]
fn spawn(program: &str, args: &[&str], env: &[(&str, &str)]) -> Child {
    Command::new(program)
        .args(args)
        .envs(env.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// Lets the run reach `port`, with the token for it.
fn open(at: &Kitchen, port: u16) {
    let rules = Rules {
        egress: Egress::List,
        hosts: vec![format!("127.0.0.1:{port}").parse().unwrap()],
        links: Vec::new(),
    };
    at.door.admit(current(None).map(|it| ngb_broker::Current { rules, ..it }));
}

#[tokio::test]
async fn a_server_with_an_address_is_reached_through_the_broker() {
    let mut server = spawn("/usr/bin/python3", &[SCRIPTED, "--http"], &[]);
    let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
    let port: u16 = lines.next_line().await.unwrap().unwrap().parse().unwrap();
    let credential = Credential {
        name: "scripted".into(),
        host: "127.0.0.1".into(),
        port: Some(port),
        plain: true,
        header: "authorization".parse().unwrap(),
        value: Secret::new(format!("Bearer {TOKEN}")),
    };
    let mut at = Kitchen::reaching(vec![credential]).await;
    let url = format!("http://127.0.0.1:{port}/mcp");
    at.agent.toolbox = boxed(json!({ "mcp": { "far": { "url": url, "timeout_seconds": 5 } } }));
    let text = at.ask("tool:mcp__far__echo {}").await;
    assert!(text.contains("hosts=+127.0.0.1"), "the refusal says what to do: {text}");
    open(&at, port);
    let text = at.ask("tool:mcp__far__echo {\"text\":\"far away\"}\ntool:mcp__far__env {}").await;
    assert!(text.contains("you said far away"), "{text}");
    assert!(!format!("{:?}", at.agent.seen).contains(TOKEN), "the token stays outside");
}

#[tokio::test]
async fn a_server_that_others_wrote_works_both_ways() {
    let program = everything();
    let port = {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap().port()
    };
    let mut server = spawn(&program, &["streamableHttp"], &[("PORT", &port.to_string())]);
    let mut lines = BufReader::new(server.stderr.take().unwrap()).lines();
    while let Some(line) = lines.next_line().await.unwrap() {
        if line.contains("listening") {
            break;
        }
    }
    let mut at = kitchen(json!({ "mcp": {
        "near": { "command": [program, "stdio"] },
        "far": { "url": format!("http://127.0.0.1:{port}/mcp") },
    } }))
    .await;
    open(&at, port);
    let text = at
        .ask("tool:mcp__near__echo {\"message\":\"one\"}\ntool:mcp__far__echo {\"message\":\"two\"}\ntool:mcp__far__get-sum {\"a\":20,\"b\":22}")
        .await;
    for needle in ["Echo: one", "Echo: two", "42"] {
        assert!(text.contains(needle), "{needle:?} in {text}");
    }
}

#[tokio::test]
async fn other_drivers_are_given_the_servers_in_their_own_form() {
    let toolbox = json!({ "mcp": { "it": scripted() }, "approve": ["mcp__it__fail"] });
    let zeds = everything().replace("mcp-server-everything", "claude-code-acp");
    let claude = everything().replace("mcp-server-everything", "claude");
    for driver in [&["claude-code", &claude][..], &["acp", &zeds]] {
        let mut at = Kitchen::with(driver, KINDS[0].0, KINDS[0].1).await;
        at.agent.toolbox = boxed(toolbox.clone());
        at.agent.host = |what| match what {
            HostCall::Approve { tool, .. } if tool == "mcp__it__fail" => {
                CallOutcome::Ok { value: "deny".into() }
            }
            HostCall::Approve { .. } => CallOutcome::Ok { value: "allow".into() },
            other => panic!("{other:?}"),
        };
        at.ask("tool:mcp__it__echo {\"text\":\"from another\"}\nsay:well").await;
        let asked = |at: &Kitchen| {
            at.sim.requests().iter().map(|it| it.body.to_string()).collect::<String>()
        };
        assert!(asked(&at).contains("you said from another"), "{driver:?}: {}", asked(&at));
        // What an agent that others wrote does by itself can be asked about where it lets us.
        if driver[0] == "claude-code" {
            at.ask("tool:mcp__it__fail {}\nsay:well").await;
            assert!(asked(&at).contains("a person in the chat said no"), "{}", asked(&at));
        }
    }
}
