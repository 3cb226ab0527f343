//! Frames of the long connection, as Feishu writes them.

use prost::Message as _;

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
    /// A frame with every required field: one that leaves out its zeros is not what it is again when it is written.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        Self::decode(bytes).ok().filter(|it| it.encode_to_vec() == bytes)
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        self.encode_to_vec()
    }

    pub(super) fn header(&self, key: &str) -> &str {
        self.headers.iter().find(|it| it.key == key).map_or("", |it| &it.value)
    }

    /// The parts of an event, the last one first.
    pub(super) fn parts(id: &str, number: u64, payload: &str, count: usize) -> Vec<Vec<u8>> {
        let size = payload.len().div_ceil(count).max(1);
        let pieces: Vec<&[u8]> = payload.as_bytes().chunks(size).collect();
        let count = pieces.len();
        let part = |(at, piece): (usize, &&[u8])| {
            let heads = [
                ("type", "event".to_owned()),
                ("message_id", id.to_owned()),
                ("sum", count.to_string()),
                ("seq", at.to_string()),
                ("trace_id", format!("trace-{id}")),
                ("instance_id", "i-1".to_owned()),
            ];
            let header = |(key, value): (&str, String)| Header { key: key.to_owned(), value };
            let frame = Self {
                seq_id: number,
                log_id: 0,
                service: 7,
                method: 1,
                headers: heads.map(header).into(),
                payload: Some(piece.to_vec()),
                ..Self::default()
            };
            frame.bytes()
        };
        pieces.iter().enumerate().map(part).rev().collect()
    }
}
