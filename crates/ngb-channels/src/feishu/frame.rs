//! Frames of the long connection: two messages of protobuf 2, whose required fields are written even when they are zero.
//!
//! The shape is that of `pbbp2` in Feishu's own kits (<https://github.com/larksuite/oapi-sdk-go>, `ws/pbbp2.proto`).

use std::collections::HashMap;

use ngb_core::clock::Timestamp;
use prost::Message as _;

/// A frame that tells something of the connection itself.
pub(super) const CONTROL: i32 = 0;

/// A frame with an event.
pub(super) const DATA: i32 = 1;

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Header {
    #[prost(string, required, tag = "1")]
    pub(super) key: String,
    #[prost(string, required, tag = "2")]
    pub(super) value: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Frame {
    #[prost(uint64, required, tag = "1")]
    pub(super) seq_id: u64,
    #[prost(uint64, required, tag = "2")]
    pub(super) log_id: u64,
    #[prost(int32, required, tag = "3")]
    pub(super) service: i32,
    #[prost(int32, required, tag = "4")]
    pub(super) method: i32,
    #[prost(message, repeated, tag = "5")]
    pub(super) headers: Vec<Header>,
    #[prost(string, optional, tag = "6")]
    pub(super) payload_encoding: Option<String>,
    #[prost(string, optional, tag = "7")]
    pub(super) payload_type: Option<String>,
    #[prost(bytes = "vec", optional, tag = "8")]
    pub(super) payload: Option<Vec<u8>>,
    #[prost(string, optional, tag = "9")]
    pub(super) log_id_new: Option<String>,
}

impl Frame {
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        Self::decode(bytes).ok()
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        self.encode_to_vec()
    }

    pub(super) fn ping(service: i32) -> Self {
        let headers = vec![Header { key: "type".into(), value: "ping".into() }];
        Self { service, method: CONTROL, headers, ..Self::default() }
    }

    pub(super) fn header(&self, key: &str) -> &str {
        self.headers.iter().find(|it| it.key == key).map_or("", |it| &it.value)
    }

    fn number(&self, key: &str) -> usize {
        self.header(key).parse().unwrap_or_default()
    }

    /// The acknowledgement: the same frame, with all that stood in its head, and what became of it.
    pub(super) fn answer(mut self, payload: &serde_json::Value, took_ms: u128) -> Self {
        self.headers.push(Header { key: "biz_rt".into(), value: took_ms.to_string() });
        self.payload = Some(payload.to_string().into_bytes());
        self
    }
}

/// How long the parts of an event are waited for, in milliseconds; then Feishu sends all of it again.
const PARTS_MS: i64 = 5_000;

/// Most parts of an event, and most events that are waited for.
const MOST_PARTS: usize = 1_000;
const MOST_WAITING: usize = 64;

/// Events whose parts are not all here.
#[derive(Default)]
pub(super) struct Parts(HashMap<String, Waiting>);

struct Waiting {
    since: Timestamp,
    parts: Vec<Option<Vec<u8>>>,
}

impl Parts {
    /// The event, once its last part is here, in whichever order they come. What is whole is forgotten, so that the same
    /// event counts anew when Feishu sends it again.
    pub(super) fn take(&mut self, frame: &Frame, now: Timestamp) -> Option<Vec<u8>> {
        let payload = frame.payload.clone().unwrap_or_default();
        let (sum, at) = (frame.number("sum"), frame.number("seq"));
        if sum <= 1 {
            return Some(payload);
        }
        if MOST_PARTS < sum || sum <= at {
            return None;
        }
        self.0.retain(|_, it| now.0 - it.since.0 < PARTS_MS);
        let id = frame.header("message_id").to_owned();
        if MOST_WAITING <= self.0.len() && !self.0.contains_key(&id) {
            return None;
        }
        let new = || Waiting { since: now, parts: vec![None; sum] };
        let waiting = self.0.entry(id.clone()).or_insert_with(new);
        // The number of parts is what the first of them said.
        *waiting.parts.get_mut(at)? = Some(payload);
        if waiting.parts.iter().any(Option::is_none) {
            return None;
        }
        let whole = self.0.remove(&id)?;
        Some(whole.parts.into_iter().flatten().flatten().collect())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn part(id: &str, sum: usize, at: usize, text: &str) -> Frame {
        let header = |key: &str, value: String| Header { key: key.into(), value };
        let headers = vec![
            header("message_id", id.into()),
            header("sum", sum.to_string()),
            header("seq", at.to_string()),
        ];
        Frame { headers, payload: Some(text.into()), ..Frame::default() }
    }

    #[test]
    fn zeros_are_written() {
        assert_eq!(Frame::default().bytes(), [8, 0, 16, 0, 24, 0, 32, 0]);
        assert_eq!(Frame::read(&Frame::ping(7).bytes()), Some(Frame::ping(7)));
    }

    #[test]
    fn parts_come_in_any_order_and_count_once() {
        let mut parts = Parts::default();
        let now = Timestamp(1);
        assert_eq!(parts.take(&part("a", 1, 0, "whole"), now), Some(b"whole".to_vec()));
        assert_eq!(parts.take(&part("b", 3, 2, "c"), now), None);
        assert_eq!(parts.take(&part("b", 3, 0, "a"), now), None);
        assert_eq!(parts.take(&part("b", 3, 0, "a"), now), None, "a repeat");
        assert_eq!(parts.take(&part("b", 3, 1, "b"), now), Some(b"abc".to_vec()));
        assert_eq!(parts.take(&part("b", 3, 1, "b"), now), None, "it begins anew");
        assert_eq!(parts.take(&part("c", 2, 0, "a"), now), None);
        let late = Timestamp(1 + PARTS_MS);
        assert_eq!(parts.take(&part("c", 2, 1, "b"), late), None, "its first part is too old");
        for bad in [part("d", 2, 2, ""), part("d", 2_000_000, 1, ""), part("c", 9, 8, "")] {
            assert_eq!(parts.take(&bad, late), None);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Some(frame) = Frame::read(&bytes) {
                Parts::default().take(&frame, Timestamp(0));
                prop_assert_eq!(Frame::read(&frame.bytes()), Some(frame));
            }
        }
    }
}
