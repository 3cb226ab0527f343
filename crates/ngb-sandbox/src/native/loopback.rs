//! Brings the loopback device of a fresh network namespace up, by one netlink message.

use std::io;

use rustix::{
    io::Errno,
    net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with},
};

/// Length of `nlmsghdr` and `ifinfomsg` of `<linux/netlink.h>` and `<linux/rtnetlink.h>`, in bytes.
const REQUEST: u32 = 16 + 16;

/// Where the error number stands in an answer of type `NLMSG_ERROR`.
const ERROR_AT: std::ops::Range<usize> = 16..20;

const RTM_NEWLINK: u16 = 16;
const NLMSG_ERROR: u16 = 2;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;

/// The loopback device has this number in every network namespace.
const LOOPBACK: i32 = 1;
const IFF_UP: u32 = 1;

pub(super) fn up() -> io::Result<()> {
    // Protocol 0 is NETLINK_ROUTE.
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    let mut request = Vec::with_capacity(32);
    request.extend(REQUEST.to_ne_bytes());
    request.extend(RTM_NEWLINK.to_ne_bytes());
    request.extend((NLM_F_REQUEST | NLM_F_ACK).to_ne_bytes());
    request.extend([0; 8]); // sequence number, port
    request.extend([0; 4]); // family, padding, device type
    request.extend(LOOPBACK.to_ne_bytes());
    request.extend(IFF_UP.to_ne_bytes());
    request.extend(IFF_UP.to_ne_bytes()); // which flags to change
    send(&socket, &request, SendFlags::empty())?;

    let mut answer = [0; 256];
    let (len, _) = recv(&socket, &mut answer[..], RecvFlags::empty())?;
    let kind = answer.get(4..6).and_then(|it| it.try_into().ok()).map(u16::from_ne_bytes);
    let error = answer[..len].get(ERROR_AT).and_then(|it| it.try_into().ok());
    match (kind, error.map(i32::from_ne_bytes)) {
        (Some(NLMSG_ERROR), Some(0)) => Ok(()),
        (Some(NLMSG_ERROR), Some(errno)) => Err(Errno::from_raw_os_error(-errno).into()),
        _ => Err(io::Error::other("netlink gave no answer to read")),
    }
}
