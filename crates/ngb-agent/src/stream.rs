//! This process's standard streams, without a thread for each where the system lets us.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    os::unix::fs::FileTypeExt as _,
    pin::Pin,
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{UnixStream, unix::pipe},
};

pub(crate) type Input = Pin<Box<dyn AsyncRead>>;
pub(crate) type Output = Pin<Box<dyn AsyncWrite>>;

/// Standard input and output.
///
/// # Errors
///
/// When one of them is closed, or can't be made non-blocking.
pub(crate) fn standard() -> io::Result<(Input, Output)> {
    let (fd, kind) = own(std::io::stdin().as_fd())?;
    let input: Input = match kind {
        Kind::Pipe => Box::pin(pipe::Receiver::from_owned_fd(fd)?),
        Kind::Socket => Box::pin(socket(fd)?),
        Kind::Other => Box::pin(tokio::io::stdin()),
    };
    let (fd, kind) = own(std::io::stdout().as_fd())?;
    let output: Output = match kind {
        Kind::Pipe => Box::pin(pipe::Sender::from_owned_fd(fd)?),
        Kind::Socket => Box::pin(socket(fd)?),
        Kind::Other => Box::pin(tokio::io::stdout()),
    };
    Ok((input, output))
}

enum Kind {
    Pipe,
    Socket,
    /// A terminal or a file: these can't be waited for, so a thread reads them.
    Other,
}

fn own(fd: impl AsFd) -> io::Result<(OwnedFd, Kind)> {
    let fd = fd.as_fd().try_clone_to_owned()?;
    let file = std::fs::File::from(fd);
    let kind = file.metadata()?.file_type();
    let kind = if kind.is_fifo() {
        Kind::Pipe
    } else if kind.is_socket() {
        Kind::Socket
    } else {
        Kind::Other
    };
    Ok((file.into(), kind))
}

fn socket(fd: OwnedFd) -> io::Result<UnixStream> {
    let socket = std::os::unix::net::UnixStream::from(fd);
    socket.set_nonblocking(true)?;
    UnixStream::from_std(socket)
}
