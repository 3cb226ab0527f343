//! Frames as lines: how they are written and read.

use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{MAX_FRAME_BYTES, PROTOCOL};

#[derive(Debug, Error)]
pub enum ProtocolError {
    #[error("a line is longer than {MAX_FRAME_BYTES} bytes")]
    TooLong,
    #[error("a line is not a known frame: `{line}`")]
    NotAFrame {
        line: String,
        #[source]
        source: serde_json::Error,
    },
    #[error("the agent speaks protocol {0}, the gateway {PROTOCOL}")]
    WrongVersion(u32),
    #[error("the pipe to the agent broke")]
    Io(#[from] std::io::Error),
}

/// A frame as it is written: one line, with its end.
///
/// # Errors
///
/// When it is too long for the other side.
pub fn line<T: Serialize>(frame: &T) -> Result<Vec<u8>, ProtocolError> {
    let mut line = serde_json::to_vec(frame).expect("frames have only string keys");
    line.push(b'\n');
    if MAX_FRAME_BYTES < line.len() { Err(ProtocolError::TooLong) } else { Ok(line) }
}

/// Writes one frame and flushes it.
///
/// # Errors
///
/// When the frame is too long for the other side, or the pipe broke.
pub async fn write<T: Serialize>(
    to: &mut (impl AsyncWrite + Unpin),
    frame: &T,
) -> Result<(), ProtocolError> {
    to.write_all(&line(frame)?).await?;
    to.flush().await?;
    Ok(())
}

/// Reads frames. The limit is in the read, so that a hostile side can't fill the memory.
///
/// [`FrameReader::next`] may be dropped at any await and called again: what was read stays.
#[derive(Debug)]
pub struct FrameReader<R> {
    reader: R,
    line: Vec<u8>,
}

impl<R: AsyncBufRead + Unpin> FrameReader<R> {
    pub fn new(reader: R) -> Self {
        Self { reader, line: Vec::new() }
    }

    /// The next frame, or `None` once the other side closed between frames.
    ///
    /// # Errors
    ///
    /// When the line is too long, is no frame, or the pipe broke.
    pub async fn next<T: for<'de> Deserialize<'de>>(&mut self) -> Result<Option<T>, ProtocolError> {
        let room = (MAX_FRAME_BYTES + 1 - self.line.len()) as u64;
        (&mut self.reader).take(room).read_until(b'\n', &mut self.line).await?;
        if self.line.is_empty() {
            return Ok(None);
        }
        if MAX_FRAME_BYTES < self.line.len() {
            return Err(ProtocolError::TooLong);
        }
        let mut line = std::mem::take(&mut self.line);
        without_nuls(&mut line);
        serde_json::from_slice(&line).map(Some).map_err(|source| ProtocolError::NotAFrame {
            line: String::from_utf8_lossy(&line[..line.len().min(120)]).trim_end().to_owned(),
            source,
        })
    }
}

/// Makes U+FFFD of each NUL in the strings of a line of JSON: no platform and no PostgreSQL takes one.
fn without_nuls(line: &mut [u8]) {
    const NUL: &[u8] = b"\\u0000";
    let mut at = 0;
    while at < line.len() {
        if line[at] != b'\\' {
            at += 1;
            continue;
        }
        if line[at..].starts_with(NUL) {
            line[at..at + NUL.len()].copy_from_slice(b"\\ufffd");
        }
        // An escape has two characters at least, and the second begins none.
        at += 2;
    }
}
