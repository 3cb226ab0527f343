//! A line that outlives its sockets: the next one is opened before the last one is closed.

use std::time::Duration;

use futures_util::future::BoxFuture;
use ngb_core::clock::{Clock, Timestamp};
use thiserror::Error;

use super::{Event, Socket, SocketError, at, pending};
use crate::ChannelError;

/// How long a socket that was replaced still delivers what was on its way.
const RETIRE: Duration = Duration::from_secs(10);

/// The code of an ordinary goodbye (RFC 6455, 7.4.1).
const NORMAL: u16 = 1000;

/// One or two sockets of an account: the one in use, and for a while the one before it.
pub struct Line<'a> {
    clock: Clock,
    current: Option<Seated>,
    old: Option<(Seated, Timestamp)>,
    opening: Option<BoxFuture<'a, Result<Socket, ChannelError>>>,
    sockets: u64,
}

/// Which socket of a line something came on, since its answer belongs there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seat(u64);

struct Seated {
    seat: Seat,
    socket: Socket,
}

/// The line is over.
#[derive(Debug, Error)]
pub enum Lost {
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The last socket ended, and the one that was to replace it could not be opened.
    #[error(transparent)]
    Opening(#[from] ChannelError),
}

impl<'a> Line<'a> {
    pub fn new(socket: Socket) -> Self {
        let clock = socket.clock.clone();
        let current = Some(Seated { seat: Seat(0), socket });
        Self { clock, current, old: None, opening: None, sockets: 1 }
    }

    /// Opens another socket beside the one in use. `opening` returns one that is ready for work (after the platform's
    /// hello). While one is being opened already this changes nothing.
    pub fn replace(&mut self, opening: BoxFuture<'a, Result<Socket, ChannelError>>) {
        self.opening.get_or_insert(opening);
    }

    /// What comes next, and on which socket. Nothing is lost when the returned future is dropped.
    ///
    /// # Errors
    ///
    /// When no socket is left and none is being opened. A replacement that fails is only a warning while the socket in
    /// use still works.
    pub async fn next(&mut self) -> Result<(Seat, Event), Lost> {
        loop {
            let retire_at = self.old.as_ref().map(|(_, at)| *at);
            tokio::select! {
                biased;
                (seat, event) = next_of(self.old.as_mut().map(|(it, _)| it)) => match event {
                    Ok(event) => return Ok((seat, event)),
                    Err(err) => {
                        tracing::debug!("a replaced socket ended: {err}");
                        self.old = None;
                    }
                },
                (seat, event) = next_of(self.current.as_mut()) => match event {
                    Ok(event) => return Ok((seat, event)),
                    Err(err) if self.opening.is_some() => {
                        tracing::debug!("a socket ended before its replacement was there: {err}");
                        self.current = None;
                    }
                    Err(err) => return Err(err.into()),
                },
                opened = pending(&mut self.opening) => {
                    self.opening = None;
                    self.take(opened)?;
                }
                () = at(&self.clock, retire_at) => {
                    if let Some((it, _)) = self.old.take() {
                        it.socket.close(NORMAL, "replaced").await;
                    }
                }
            }
        }
    }

    fn take(&mut self, opened: Result<Socket, ChannelError>) -> Result<(), Lost> {
        match opened {
            Ok(socket) => {
                let seated = Seated { seat: Seat(self.sockets), socket };
                self.sockets += 1;
                let before = self.current.replace(seated);
                self.old = before.map(|it| (it, self.clock.now() + RETIRE));
                Ok(())
            }
            Err(err) if self.current.is_some() => {
                tracing::warn!(
                    error = &err as &dyn std::error::Error,
                    "a socket could not be replaced yet"
                );
                Ok(())
            }
            Err(err) => Err(err.into()),
        }
    }

    /// Sends on the socket that something came on; whether it is still there.
    ///
    /// # Errors
    ///
    /// When that socket is over; the line may have another.
    pub async fn send_text(&mut self, seat: Seat, text: String) -> Result<bool, SocketError> {
        let old = self.old.as_mut().map(|(it, _)| it);
        match [old, self.current.as_mut()].into_iter().flatten().find(|it| it.seat == seat) {
            Some(it) => it.socket.send_text(text).await.map(|()| true),
            None => Ok(false),
        }
    }

    /// Closes all that is open.
    pub async fn close(self) {
        let old = self.old.map(|(it, _)| it);
        let goodbyes = [self.current, old].into_iter().flatten();
        futures_util::future::join_all(goodbyes.map(|it| it.socket.close(NORMAL, ""))).await;
    }
}

async fn next_of(seated: Option<&mut Seated>) -> (Seat, Result<Event, SocketError>) {
    match seated {
        Some(it) => (it.seat, it.socket.next().await),
        None => std::future::pending().await,
    }
}
