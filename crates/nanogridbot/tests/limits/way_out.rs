//! A group's hosts, as programs in its sandbox reach them.

use ngb_core::tasks::Crew;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::{inside, refused, stage};

/// A server of this machine that greets.
async fn greeter(crew: &mut Crew) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    crew.spawn("greeter", async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            if stream.read(&mut [0; 4096]).await.is_ok_and(|it| 0 < it) {
                let answer = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nfrom outside\n";
                stream.write_all(answer.as_bytes()).await.ok();
            }
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_finds_the_hosts_of_its_group_and_no_others() {
    let mut crew = Crew::default();
    let port = greeter(&mut crew).await;
    let (stage, _gateway) = stage().await;
    // By default this machine is reached without a proxy, and inside there is nobody.
    let tunnel = format!("curl -sS -m 20 --noproxy '' -p http://127.0.0.1:{port}/ 2>&1");
    let clear = format!("curl -sS -m 20 --noproxy '' http://127.0.0.1:{port}/ 2>&1");

    let said = inside(&stage, "team", &tunnel).await;
    assert!(said.contains("403") && !said.contains("from outside"), "{said}");
    let said = inside(&stage, "team", &clear).await;
    // A link of the prompt, which is opened only where it is public.
    assert!(said.contains("`127.0.0.1` is not a public address"), "{said}");
    let said = inside(&stage, "team", "curl -sS -m 20 http://$(echo a.example)/ 2>&1").await;
    assert!(said.contains("nanogridbot group set GROUP hosts=+a.example"), "{said}");

    let host = format!("hosts=+127.0.0.1:{port}");
    stage.cli(&["group", "set", "team", "hosts=python"]).await;
    stage.cli(&["group", "set", "team", &host]).await;
    for script in [&tunnel, &clear] {
        let said = inside(&stage, "team", script).await;
        assert!(said.contains("from outside"), "{script}: {said}");
        let said = inside(&stage, "main", script).await;
        assert!(!said.contains("from outside"), "{script}: {said}");
    }
    let said = String::from_utf8(stage.output(&["group", "show", "team"]).await.stdout).unwrap();
    assert!(said.contains(&format!("hosts = [\"python\",\"127.0.0.1:{port}\"]")), "{said}");

    stage.cli(&["group", "set", "team", "egress=none"]).await;
    let said = inside(&stage, "team", &clear).await;
    assert!(said.contains("nothing goes out of this group"), "{said}");

    let said = refused(&stage, &["group", "set", "team", "hosts=pyton"]).await;
    assert!(said.contains("`pyton` is neither a host"), "{said}");
    let said = refused(&stage, &["group", "set", "team", "egress=wide"]).await;
    assert!(said.contains("wide") && said.contains("`list`"), "{said}");
}
