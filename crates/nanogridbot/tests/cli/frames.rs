//! Frames that are far too long, at the door of the page's events.

use std::{
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
};

use crate::stand::Stand;

/// What the frame says it holds, in bytes.
const CLAIMED: u64 = 100_000_000;

/// RFC 6455: one text frame of a client, whose length stands in eight bytes, under a mask of nothing.
fn head() -> Vec<u8> {
    let mut head = vec![0x81, 0x80 | 127];
    head.extend(CLAIMED.to_be_bytes());
    head.extend([0; 4]);
    head
}

#[test]
fn a_frame_of_100_megabytes_is_refused_by_its_head() {
    let stand = Stand::new();
    let gateway = stand.serve(&[]);
    // The first frame of a connection, and one that comes later.
    for greeted in [false, true] {
        let mut line = UnixStream::connect(stand.home().join("gateway.sock")).unwrap();
        let upgrade = "GET /ws HTTP/1.1\r\nhost: localhost\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
                       sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        line.write_all(upgrade.as_bytes()).unwrap();
        if greeted {
            line.write_all(&[0x81, 0x82, 0, 0, 0, 0, b'{', b'}']).unwrap();
        }
        line.write_all(&head()).unwrap();
        let mut heard = Vec::new();
        // A connection that was cut under way to us is an end as well.
        drop(line.read_to_end(&mut heard));
        let said = String::from_utf8_lossy(&heard);
        assert!(said.starts_with("HTTP/1.1 101"), "{said}");
        assert!(said.ends_with("a frame of a client has at most 4096 bytes"), "{said}");
        let mut sent: u64 = 0;
        while line.write_all(&[b'x'; 65_536]).is_ok() {
            sent += 65_536;
            assert!(sent < CLAIMED, "it reads what nobody wants");
        }
    }
    assert_eq!(stand.run(&["status"]).code, Some(0));
    assert_eq!(gateway.stop().code, Some(0));
}
