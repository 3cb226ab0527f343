//! A disk that is really full: messages are stored in what was reserved, and answered when there is room.

use std::path::{Path, PathBuf};

use crate::common::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_stored_on_a_full_disk() {
    let disk = Disk::mount();
    let mut stage = Stage::at(disk.home()).await;
    let (gateway, chats) = stage.with_chats(4).await;
    let (reserve, filler) = (stage.home.join("nanogridbot.db-reserve"), stage.home.join("filler"));
    assert_eq!(reserve.metadata().unwrap().len(), 16 << 20);

    fill(&filler);
    stage.push(&chats, 40);
    stage.settled_text("The disk is full").await;
    // What the platform need not keep any more is on the disk here.
    stage.platform().wait(|it| it.pending == 0).await;
    assert!(!reserve.exists());
    let doctor = stage.output(&["doctor"]).await;
    let said = String::from_utf8_lossy(&doctor.stdout);
    assert!(!doctor.status.success() && said.contains("FAIL  disk"), "{said}");

    // A gateway that starts on a full disk takes messages too.
    stage.kill(gateway).await;
    let gateway = stage.started().await;
    stage.push(&chats, 40);
    stage.platform().wait(|it| it.pending == 0).await;
    stage.heard("begun until there is room").await;
    assert!(stage.figures().answered < 80, "{:?}", stage.figures());

    std::fs::remove_file(filler).unwrap();
    let figures = stage.settled().await;
    stage.check("a full disk", &figures);
    stage.settled_text("The disk has room again").await;
    assert_eq!(reserve.metadata().unwrap().len(), 16 << 20);
    drop(gateway);
}

/// A small disk of its own.
pub(crate) struct Disk(tempfile::TempDir);

impl Disk {
    pub(crate) fn mount() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let flags = rustix::mount::MountFlags::empty();
        rustix::mount::mount("none", dir.path(), "tmpfs", flags, Some(c"size=48m"))
            .expect("this test mounts a tmpfs, so it needs root");
        Self(dir)
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.0.path().join("home")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        rustix::mount::unmount(self.0.path(), rustix::mount::UnmountFlags::DETACH).unwrap();
    }
}

/// Writes until nothing more fits.
pub(crate) fn fill(path: &Path) {
    use std::io::Write as _;
    let mut file = std::fs::File::create(path).unwrap();
    for size in [1 << 20, 1 << 12, 1] {
        while file.write_all(&vec![0; size]).is_ok() {}
    }
}
