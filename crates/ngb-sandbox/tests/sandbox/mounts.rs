//! Host folders in a sandbox: what the operator lets in, as far as it was let in, and nothing that a link makes of it.

use std::{fs, os::unix::fs::symlink, path::Path};

use ngb_sandbox::HostMount;

use crate::common::House;

fn give(house: &House, path: &Path) {
    let (uid, gid) = house.owner();
    std::os::unix::fs::chown(path, Some(uid), Some(gid)).unwrap();
}

fn mount(real: &Path, name: &str, write: bool) -> HostMount {
    let inside = Path::new(ngb_core::mount::EXTRA).join(name);
    HostMount { real: real.canonicalize().unwrap(), inside, write }
}

async fn folders_and_files_are_there_as_they_were_let_in(house: House) {
    for name in ["read", "write"] {
        fs::create_dir(house.path(name)).unwrap();
        fs::write(house.path(name).join("file"), format!("of {name}\n")).unwrap();
        // Owned by the agent's user, so that only the mount stands in the way.
        give(&house, &house.path(name));
        give(&house, &house.path(name).join("file"));
    }
    let mut spec = house.spec(
        1,
        &[
            "sh",
            "cd /workspace/extra; ls; cat read/file write/file one.txt; \
             for at in read/new read/file one.txt new; do (echo x >> $at) 2>/dev/null && echo wrote $at; done; \
             rm -f read/file 2>/dev/null; echo more > write/new && mv write/new write/moved && echo x >> two.txt",
        ],
    );
    let file = house.path("read/file");
    fs::copy(&file, house.path("two")).unwrap();
    give(&house, &house.path("two"));
    spec.mounts = vec![
        mount(&house.path("read"), "read", false),
        mount(&house.path("write"), "write", true),
        mount(&file, "one.txt", false),
        mount(&house.path("two"), "two.txt", true),
    ];
    let left = house.run_spec(&spec).await;
    let want = "one.txt\nread\ntwo.txt\nwrite\nof read\nof write\nof read\n";
    assert_eq!((left.said.as_str(), left.status.code()), (want, Some(0)), "{}", left.words);
    assert_eq!(fs::read_to_string(file).unwrap(), "of read\n");
    assert_eq!(fs::read_to_string(house.path("write/moved")).unwrap(), "more\n");
    assert_eq!(fs::read_to_string(house.path("two")).unwrap(), "of read\nx\n");
}

/// Between the judgement and the mount somebody who may write there puts a link in the way.
async fn a_link_put_there_after_the_judgement_is_not_followed(house: House) {
    fs::create_dir_all(house.path("shared/docs")).unwrap();
    fs::create_dir_all(house.path("secrets/docs")).unwrap();
    fs::write(house.path("secrets/docs/file"), "secret").unwrap();
    let mut spec = house.spec(1, &["sh", "cat /workspace/extra/docs/file"]);
    spec.mounts = vec![mount(&house.path("shared/docs"), "docs", false)];

    // The folder itself, and one above it.
    fs::remove_dir(house.path("shared/docs")).unwrap();
    symlink(house.path("secrets/docs"), house.path("shared/docs")).unwrap();
    let refused = house.engine.start(&spec).await.err().expect("it is refused");
    assert!(refused.to_string().contains("open `"), "{refused}");
    fs::remove_file(house.path("shared/docs")).unwrap();
    fs::remove_dir(house.path("shared")).unwrap();
    symlink(house.path("secrets"), house.path("shared")).unwrap();
    assert!(house.engine.start(&spec).await.is_err());
}

async fn a_socket_is_no_mount(house: House) {
    let _listener = std::os::unix::net::UnixListener::bind(house.path("socket")).unwrap();
    let mut spec = house.spec(1, &["sh", "true"]);
    spec.mounts = vec![mount(&house.path("socket"), "socket", false)];
    let refused = house.engine.start(&spec).await.err().expect("it is refused");
    let why = format!("{:#}", anyhow::Error::from(refused));
    assert!(why.contains("neither a folder nor a file"), "{why}");
}

in_each_engine! {
    folders_and_files_are_there_as_they_were_let_in,
    a_link_put_there_after_the_judgement_is_not_followed,
    a_socket_is_no_mount,
}
