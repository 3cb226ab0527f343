//! Containers of images: our executable runs in whatever is in them, and what they ask for widens nothing.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use ngb_sandbox::{
    RunSpec, Sandbox, SandboxError,
    docker::{Docker, DockerConfig},
};

use crate::common::{House, Kind, Left, docker_config, finish, test_engine};

/// An image that goes with its test.
struct Image(String);

impl Image {
    /// Of the archive that `tar` writes, with `changes` in the words of a Dockerfile.
    fn of(name: &str, tar: &mut Command, changes: &[&str]) -> Self {
        let name = format!("ngb-test-{name}:{}", std::process::id());
        let mut packed = tar.stdout(Stdio::piped()).spawn().unwrap();
        let changes = changes.iter().flat_map(|it| ["--change", it]);
        let import = docker()
            .arg("import")
            .args(changes)
            .args(["-", &name])
            .stdin(packed.stdout.take().unwrap())
            .output()
            .unwrap();
        assert!(packed.wait().unwrap().success() && import.status.success(), "{import:?}");
        Self(name)
    }

    /// Of a folder.
    fn of_folder(name: &str, root: &Path, changes: &[&str]) -> Self {
        let mut tar = Command::new("tar");
        tar.args(["--create", "--owner=0", "--group=0", "--directory"]).arg(root).arg(".");
        Self::of(name, &mut tar, changes)
    }

    async fn run(&self, house: &House, spec: &RunSpec) -> Left {
        let config = docker_config(house.dir.path(), &house.install_id);
        let engine = Docker::new(DockerConfig { image: Some(self.0.clone()), ..config }).unwrap();
        finish(engine.start(spec).await.unwrap()).await
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let removed = docker().args(["image", "rm", &self.0]).output();
        assert!(std::thread::panicking() || removed.is_ok_and(|it| it.status.success()));
    }
}

fn docker() -> Command {
    let mut command = Command::new("docker");
    command.env("DOCKER_HOST", test_engine());
    command
}

fn folder(files: &[&str]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for file in files {
        let to = root.path().join(file.trim_start_matches('/'));
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(file, to).unwrap();
    }
    root
}

#[tokio::test]
async fn with_nothing_in_it() {
    let house = House::new(Kind::Docker);
    let image = Image::of_folder("nothing", folder(&[]).path(), &[]);
    let left = image.run(&house, &house.spec(1, &["hello"])).await;
    assert_eq!((left.said.as_str(), left.status.code()), ("hello\n", Some(0)), "{}", left.words);
}

/// Alpine's shape: one static program with many names, and no glibc. `scripts/test` installs Debian's.
#[tokio::test]
async fn with_busybox_and_no_libc() {
    let house = House::new(Kind::Docker);
    let root = folder(&["/bin/busybox"]);
    for name in ["sh", "id", "ls", "cat"] {
        std::os::unix::fs::symlink("busybox", root.path().join("bin").join(name)).unwrap();
    }
    let image = Image::of_folder("busybox", root.path(), &[]);
    let script = "id; ls /lib 2>&1; echo x > /workspace/group/made; cat /workspace/group/made";
    let left = image.run(&house, &house.spec(1, &["sh", script])).await;
    let want = "uid=1000(agent) gid=1000(agent) groups=1000(agent)\nls: /lib: No such file or directory\nx\n";
    assert_eq!(left.said, want, "{}", left.words);
}

/// The archive is `NGB_TEST_BARE`, which `scripts/test` makes.
#[tokio::test]
async fn of_an_old_debian() {
    let house = House::new(Kind::Docker);
    let archive =
        std::env::var("NGB_TEST_BARE").expect("NGB_TEST_BARE is not set; run `scripts/test`");
    let image = Image::of("debian", Command::new("cat").arg(archive), &[]);
    let script = "cut -d. -f1 /etc/debian_version; id; ls -d /home /root; ls /root";
    let left = image.run(&house, &house.spec(1, &["sh", script])).await;
    let (version, rest) = left.said.split_once('\n').unwrap();
    assert!((11..=13).contains(&version.parse::<u32>().unwrap()), "{}", left.said);
    // The homes are the image's own, and closed.
    assert_eq!(rest, "uid=1000(agent) gid=1000(agent) groups=1000(agent)\n/home\n/root\n");
    assert!(left.words.contains("Permission denied"), "{}", left.words);
}

#[tokio::test]
async fn that_asks_for_more_gets_no_more() {
    let house = House::new(Kind::Docker);
    let root = folder(&["/bin/busybox"]);
    std::os::unix::fs::symlink("busybox", root.path().join("bin/sh")).unwrap();
    let changes = [
        "VOLUME /data",
        "ENV TOOL=of-the-image HOME=/data PATH=/bin:/opt/bin",
        "USER root",
        "WORKDIR /data",
        "ENTRYPOINT [\"/bin/sh\"]",
        "ONBUILD RUN true",
        "HEALTHCHECK CMD touch /workspace/group/health",
        "EXPOSE 80",
    ];
    let image = Image::of_folder("greedy", root.path(), &changes);
    let mut spec = house.spec(
        1,
        &[
            "sh",
            "(echo x > /data/x) 2>&1; echo $TOOL $HOME $PATH; pwd; busybox id -u; echo $OF_GROUP",
        ],
    );
    spec.limits.environment.insert("OF_GROUP".into(), "it wins".into());
    let left = image.run(&house, &spec).await;
    let want = "/bin/sh: can't create /data/x: Read-only file system\n\
                of-the-image /workspace/lane /bin:/opt/bin\n/workspace/group\n1000\nit wins\n";
    assert_eq!(left.said, want, "{}", left.words);
    assert!(!house.path("group/health").exists());
}

#[tokio::test]
async fn that_is_not_there_is_named_with_what_helps() {
    let house = House::new(Kind::Docker);
    let config = docker_config(house.dir.path(), &house.install_id);
    let engine =
        Docker::new(DockerConfig { image: Some("nobody/has:1".into()), ..config }).unwrap();
    let got = engine.start(&house.spec(1, &["hello"])).await;
    let Err(err @ SandboxError::NoImage { .. }) = got else { panic!("it started") };
    assert_eq!(err.to_string(), "image `nobody/has:1` is not on this machine");
    assert!(!err.is_passing() && !err.is_engine_away());
    assert!(err.remedy(Path::new("/x")).unwrap().contains("docker pull nobody/has:1"));
}
