//! Callbacks, as Feishu encrypts and signs them.

use aes::Aes256;
use base64::{Engine as _, engine::general_purpose};
use cbc::{
    Encryptor,
    cipher::{BlockModeEncrypt as _, KeyIvInit as _},
};
use ring::digest;
use serde_json::json;

/// Bytes of a block of AES.
const BLOCK_BYTES: usize = 16;

/// `{"encrypt": …}` of these words.
pub(super) fn encrypt(key: &str, words: &str) -> String {
    let hash = digest::digest(&digest::SHA256, key.as_bytes());
    // A real one is random; this one need only be somewhere.
    let iv = [0x5a_u8; BLOCK_BYTES];
    let mut plain = words.as_bytes().to_vec();
    let padding = BLOCK_BYTES - plain.len() % BLOCK_BYTES;
    plain.extend(std::iter::repeat_n(u8::try_from(padding).unwrap_or(16), padding));
    let mut sealer =
        Encryptor::<Aes256>::new_from_slices(hash.as_ref(), &iv).expect("32 and 16 bytes");
    let mut bytes = iv.to_vec();
    for block in plain.chunks_exact(BLOCK_BYTES) {
        let mut block = aes::Block::try_from(block).expect("16 bytes");
        sealer.encrypt_block(&mut block);
        bytes.extend_from_slice(&block);
    }
    json!({"encrypt": general_purpose::STANDARD.encode(bytes)}).to_string()
}

/// The signature of a body.
pub(super) fn sign(key: &str, time: &str, nonce: &str, body: &str) -> String {
    let sum = digest::digest(&digest::SHA256, format!("{time}{nonce}{key}{body}").as_bytes());
    sum.as_ref().iter().map(|it| format!("{it:02x}")).collect()
}
