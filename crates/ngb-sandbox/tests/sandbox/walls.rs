//! Attacks from inside: each wall is pushed against by a process that wants out.

use std::{
    fs,
    net::TcpListener,
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _},
        net::UnixListener,
    },
};

use crate::common::{self, House, Kind};
use ngb_sandbox::Kept;
use tokio::io::{AsyncBufReadExt as _, BufReader};

async fn the_probe_proves_itself(house: House) {
    let probe = house.engine.probe().await.unwrap();
    let engine = house.kind.name();
    assert_eq!((probe.engine, probe.network, probe.disk), (engine, Kept::Kernel, Kept::Watcher));
    assert_eq!(probe.pids, Kept::Kernel);
    let scratch = fs::read_dir(house.path("run/sandbox")).unwrap();
    let names: Vec<_> = scratch.map(|it| it.unwrap().file_name()).collect();
    let stays = match house.kind {
        Kind::Native => "lane-0.lock",
        Kind::Docker => "container",
    };
    assert_eq!(names, [stays], "the probe removes its folders");
}

async fn host_files_are_not_there(house: House) {
    fs::write(house.path("secret"), "s3cret").unwrap();
    let secret = house.path("secret");
    let secret = secret.to_str().unwrap();
    let mut gone = vec!["/etc/shadow", "/root", "/home", "/var", "/sys/class", secret];
    if house.kind == Kind::Native {
        gone.push("/etc/hostname"); // where there is one, it is not the host's: see below
    }
    for path in gone {
        let said = house.sh(&format!("if [ -e {path} ]; then echo there; else echo no; fi")).await;
        assert_eq!(said, "no\n", "{path}");
    }
    assert_eq!(
        house.sh("uname -n; cat /etc/hostname 2>/dev/null | grep -v sandbox").await,
        "sandbox\n"
    );
    // Neither by the ways that lead around the mounts.
    for way in ["/proc/1/root/etc/shadow", "/proc/1/environ", "/proc/1/fd/0", "/proc/1/mem"] {
        let script = format!("if cat {way} 2>/dev/null; then echo open; else echo no; fi");
        let said = house.sh(&script);
        assert_eq!(said.await, "no\n", "{way}");
    }
}

fn without(lines: &str, names: &[&str]) -> String {
    lines.lines().filter(|it| !names.contains(it)).collect::<Vec<_>>().join("\n")
}

async fn only_these_stand_in_the_root(house: House) {
    let said = house.sh("ls -1 /; echo; ls -1 /dev; echo; cat /etc/resolv.conf; id").await;
    let (root, rest) = said.split_once("\n\n").unwrap();
    // An engine mounts `/sys` in every container; it is covered by an empty folder.
    let known = "bin dev etc lib lib32 lib64 libx32 proc run sbin sys tmp usr workspace";
    for name in root.lines() {
        assert!(known.split(' ').any(|it| it == name), "{name} in {root}");
    }
    let (devices, rest) = rest.split_once("\n\n").unwrap();
    let devices = match house.kind {
        Kind::Native => devices.to_owned(),
        // Of its own, all of them.
        Kind::Docker => without(devices, &["core", "mqueue", "ptmx", "pts"]),
    };
    assert_eq!(
        devices.replace('\n', " "),
        "fd full null random shm stderr stdin stdout tty urandom zero"
    );
    assert_eq!(rest, "uid=1000(agent) gid=1000(agent) groups=1000(agent)\n");
}

async fn the_environment_is_made(house: House) {
    let said = house.sh("cd; pwd; cd -; env | grep -v -e ^PWD= -e ^OLDPWD= -e ^_= | sort").await;
    let path = "PATH=/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin";
    let want = format!(
        "/workspace/lane\n/workspace/group\nHOME=/workspace/lane\nLANG=C.UTF-8\n{path}\nTERM=dumb\nTMPDIR=/tmp\n"
    );
    assert_eq!(said, want);
}

async fn no_network_but_its_own_loopback(house: House) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let here = listener.local_addr().unwrap().to_string();
    #[rustfmt::skip]
    let table = [
        (here.as_str(),      libc::ECONNREFUSED),
        ("1.1.1.1:443",      libc::ENETUNREACH),
        ("192.0.2.1:9",      libc::ENETUNREACH),
        ("169.254.169.254:80", libc::ENETUNREACH),
        ("[2606:4700:4700::1111]:443", libc::ENETUNREACH),
    ];
    for (address, errno) in table {
        let said = house.run(&["connect", address]).await.said;
        assert_eq!(said, format!("Some({errno})\n"), "{address}");
    }
    let said = house.sh("cat /proc/net/dev | tail -n +3 | cut -d: -f1 | tr -d ' '").await;
    assert_eq!(said, "lo\n");
}

async fn privileges_are_gone(house: House) {
    let said =
        house.sh("grep -E 'Cap|NoNewPrivs|Seccomp:' /proc/self/status | tr -s '\\t' ' '").await;
    let none = "0000000000000000";
    let want = format!(
        "CapInh: {none}\nCapPrm: {none}\nCapEff: {none}\nCapBnd: {none}\nCapAmb: {none}\nNoNewPrivs: 1\nSeccomp: 2\n"
    );
    assert_eq!(said, want);
}

async fn system_calls_that_reach_out_are_refused(house: House) {
    let left = house.run(&["calls"]).await;
    #[rustfmt::skip]
    let no_such_call = ["clone3", "personality", "newer than all"];
    assert!(27 <= left.said.lines().count(), "{} {}", left.said, left.words);
    for line in left.said.lines() {
        let (name, said) = line.split_once(": ").unwrap();
        let want = if no_such_call.contains(&name) { "ENOSYS" } else { "EPERM" };
        assert_eq!(said, want, "{name}");
    }
}

async fn what_is_given_read_only_stays_so(house: House) {
    let given = house.path("given");
    fs::create_dir(&given).unwrap();
    fs::write(given.join("file"), "text").unwrap();
    // Owned by the agent's user, so that only the mount stands in the way.
    let owner = house.owner();
    for path in [&given, &given.join("file")] {
        std::os::unix::fs::chown(path, Some(owner.0), Some(owner.1)).unwrap();
    }
    let mut spec = house.spec(
        1,
        &[
            "sh",
            "cat /given/file; for at in /given/file /given/new /usr/x /etc/x /x /run/x \
        /run/nanogridbot; do (echo x > $at) 2>/dev/null && echo wrote $at; done; \
        rm -f /given/file 2>/dev/null; true",
        ],
    );
    spec.read_only.push((given.clone(), "/given".into()));
    assert_eq!(house.run_spec(&spec).await.said, "text");
    assert_eq!(fs::read_to_string(given.join("file")).unwrap(), "text");
}

async fn another_lane_is_not_visible(house: House) {
    let other = house.spec(2, &[]);
    fs::write(other.lane_dir.join("note"), "of lane 2").unwrap();
    let said =
        house.sh("ls /workspace; ls -A /workspace/lane; grep -r 'of lane 2' /workspace | wc -l");
    assert_eq!(said.await, "group\nipc\nlane\n0\n");
    let name = other.lane_dir.to_str().unwrap();
    assert_eq!(house.sh(&format!("ls {name} 2>/dev/null || echo no")).await, "no\n");
}

async fn other_runs_and_sockets_of_the_host_are_not_visible(house: House) {
    let mut other = house.start(&house.spec(2, &["sh", "echo up; sleep 4711; :"])).await;
    let mut line = String::new();
    BufReader::new(&mut other.io).read_line(&mut line).await.unwrap();
    assert_eq!(line, "up\n");
    // The bracket keeps the script from finding itself.
    let said = house
        .sh("cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | grep -c 'sleep 471[1]'; \
         find / -path /proc -prune -o -path /usr -prune -o -type s -print");
    let own = match house.kind {
        Kind::Native => "",
        // Where the run's own process 1 met its gateway.
        Kind::Docker => "/run/line/socket\n",
    };
    assert_eq!(said.await, format!("0\n{own}"));
    drop(other);
}

async fn a_setuid_file_gives_no_rights(house: House) {
    assert!(rustix::process::geteuid().is_root(), "this test needs root");
    let given = house.path("given");
    fs::create_dir(&given).unwrap();
    fs::copy("/usr/bin/id", given.join("id")).unwrap();
    fs::set_permissions(given.join("id"), fs::Permissions::from_mode(0o4755)).unwrap();
    let script = "/given/id -u; cp /given/id own && chmod 4755 own; ./own -u";
    let mut spec = house.spec(1, &["sh", script]);
    spec.read_only.push((given, "/given".into()));
    let left = house.run_spec(&spec).await;
    assert_eq!(left.said, "1000\n1000\n", "{}", left.words);
}

async fn files_go_both_ways(house: House) {
    let spec = house
        .spec(1, &["sh", "cat from-host && mkdir a && echo in > a/b && echo more >> from-host"]);
    fs::write(spec.group_dir.join("from-host"), "out\n").unwrap();
    let left = house.run_spec(&spec).await;
    assert_eq!(left.said, "out\n", "{}", left.words);
    assert_eq!(fs::read_to_string(spec.group_dir.join("a/b")).unwrap(), "in\n");
    assert_eq!(fs::read_to_string(spec.group_dir.join("from-host")).unwrap(), "out\nmore\n");
    let owner = house.owner();
    let made = fs::metadata(spec.group_dir.join("a/b")).unwrap();
    assert_eq!((made.uid(), made.gid()), owner);
}

async fn the_agent_is_never_the_hosts_root(house: House) {
    assert!(rustix::process::geteuid().is_root(), "this test needs root");
    let agent = house.start(&house.spec(1, &["sh", "sleep 1000"])).await;
    let inside = common::processes(&house.install_id);
    assert!(!inside.is_empty());
    for pid in inside {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        for key in ["Uid:", "Gid:"] {
            let line = status.lines().find_map(|it| it.strip_prefix(key)).unwrap();
            let ids: Vec<u32> = line.split_whitespace().map(|it| it.parse().unwrap()).collect();
            assert_eq!(ids, [0x7000_0007; 4], "{status}");
        }
        assert!(!status.contains("Groups:\t0"), "{status}");
    }
    drop(agent);
}

async fn links_of_an_agent_lead_nowhere(house: House) {
    let victim = house.path("victim");
    fs::write(&victim, "x").unwrap();
    let path = victim.to_str().unwrap();
    house.sh(&format!("ln -s {path} link; ln -s / root; mkdir dir; ln -s .. dir/up")).await;
    // The next start must not chown or measure through them; a new owner makes it walk.
    let group = house.path("group");
    std::os::unix::fs::chown(&group, Some(0), Some(0)).unwrap();
    assert_eq!(house.sh("ls -1").await, "dir\nlink\nroot\n");
    assert_eq!(fs::metadata(&victim).unwrap().uid(), 0);
}

async fn the_brokers_socket_is_reached_by_another_user(house: House) {
    let outer = house.path("broker");
    let dir = outer.join("1");
    fs::create_dir_all(&dir).unwrap();
    fs::set_permissions(&outer, fs::Permissions::from_mode(0o700)).unwrap();
    let socket = dir.join("socket");
    let listener = UnixListener::bind(&socket).unwrap();
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o666)).unwrap();
    let mut spec = house.spec(1, &["unix", "/run/ngb/socket"]);
    spec.broker_dir = Some(dir);
    let agent = house.start(&spec).await;
    let (mut stream, _) = listener.accept().unwrap();
    std::io::Write::write_all(&mut stream, b"from the broker").unwrap();
    drop(stream);
    assert_eq!(common::finish(agent).await.said, "from the broker");
}

in_each_engine! {
    the_agent_is_never_the_hosts_root,
    the_probe_proves_itself,
    host_files_are_not_there,
    only_these_stand_in_the_root,
    the_environment_is_made,
    no_network_but_its_own_loopback,
    privileges_are_gone,
    system_calls_that_reach_out_are_refused,
    what_is_given_read_only_stays_so,
    another_lane_is_not_visible,
    other_runs_and_sockets_of_the_host_are_not_visible,
    a_setuid_file_gives_no_rights,
    files_go_both_ways,
    links_of_an_agent_lead_nowhere,
    the_brokers_socket_is_reached_by_another_user,
}
