//! What a lane keeps: people can read it and put it back, and it goes where its group goes.

use ngb_core::{frame::ToAgent, group::Scope};

use crate::stage::{Actor, Stage, asked};

async fn echo(mut actor: Actor) {
    while let Some(ToAgent::Prompt(prompt)) = actor.hear().await {
        actor.done(prompt.id, &asked(&prompt)).await;
    }
}

#[tokio::test]
async fn what_a_lane_remembers_is_put_back_and_goes_with_its_group() {
    for purge in [false, true] {
        let mut stage = Stage::set(Default::default(), echo).await;
        let group = stage.group("home", "1", Scope::Thread).await;
        stage.write("1", "hi").await;
        stage.heard().await;
        assert_eq!(stage.gateway.memories(group).await.unwrap(), []);
        let (lane, key) = stage.gateway.store().lanes(group).await.unwrap().remove(0);
        assert_eq!(key, "telegram@main:1");
        let folder = stage.home().join(format!("lanes/{lane}"));
        std::fs::create_dir(folder.join("memory")).unwrap();
        for (name, text) in [("memory/1.md", "likes tea"), ("MEMORY.md", "likes beer")] {
            std::fs::write(folder.join(name), text).unwrap();
        }
        stage.gateway.put_memory_back(lane, 1).await.unwrap();
        let kept = stage.gateway.memories(group).await.unwrap().remove(0);
        assert_eq!((kept.lane, kept.text.as_str(), kept.versions), (lane, "likes tea", vec![2, 1]));
        let err = stage.gateway.put_memory_back(lane, 7).await.unwrap_err().to_string();
        assert_eq!(err, format!("lane {lane} remembers no version 7"));

        stage.gateway.remove_group(group, purge).await.unwrap();
        assert!(!folder.exists());
        let aside: Vec<_> = std::fs::read_dir(stage.home().join("removed"))
            .into_iter()
            .flatten()
            .map(|it| it.unwrap().path().join(lane.to_string()).join("MEMORY.md"))
            .filter(|it| it.exists())
            .collect();
        assert_eq!(aside.len(), usize::from(!purge));
    }
}
