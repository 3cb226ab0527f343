//! The driver `acp` behind the walls, with npm's `@zed-industries/claude-code-acp`.

use std::fs;

use serde_json::json;

use crate::{
    claude::{ask, program, remembered, stage},
    common::Stage,
};

/// The same model, and another agent before it.
async fn acp() -> Stage {
    let mut stage = stage().await;
    let script = program("claude-code-acp").canonicalize().unwrap();
    // `.bin`, `node_modules`, and the folder that both are in.
    let folder = program("").ancestors().nth(2).unwrap().canonicalize().unwrap();
    let config = format!(
        "[agent]\ndriver = \"acp\"\nacp_command = [\"node\", \"{}\"]\nacp_folder = \"{}\"\n",
        script.display(),
        folder.display()
    );
    fs::create_dir_all(&stage.home).unwrap();
    fs::write(stage.home.join("config.toml"), config).unwrap();
    stage.env.remove("NGB_AGENT__DRIVER");
    stage.env.remove("NGB_AGENT__CLAUDE_PATH");
    stage
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_others_wrote_works_behind_the_walls() {
    let stage = acp().await;
    let gateway = stage.started().await;
    fs::write(stage.home.join("groups/main/note.txt"), "written on the host").unwrap();
    let read = json!({ "file_path": "/workspace/group/note.txt" });
    let said = ask(&stage, "main", &format!("the fact is 2207\ntool:Read {read}\nread")).await;
    assert!(said.contains("written on the host"), "{said}");
    remembered(&stage, "the fact is 2207").await;
    drop(gateway);
    let _gateway = stage.started().await;
    let said = ask(&stage, "main", "recall:2207").await;
    assert!(said.contains("the fact is 2207"), "{said}\n{}", stage.tail());
}
