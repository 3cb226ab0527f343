//! Feishu's signature and its cipher: <https://open.feishu.cn/document/event-subscription-guide/event-subscription-configure-/encrypt-key-encryption-configuration-case>.

use aes::Aes256;
use base64::{Engine as _, engine::general_purpose};
use cbc::{
    Decryptor,
    cipher::{BlockModeDecrypt as _, KeyIvInit as _},
};
use ring::digest;
use serde_json::Value;
use subtle::ConstantTimeEq as _;

use super::Callbacks;

/// Bytes of a block of AES.
const BLOCK_BYTES: usize = 16;

/// What proves that Feishu calls, and what its words are encrypted with.
pub(super) struct Crypt {
    settings: Callbacks,
    key: [u8; 32],
}

impl Crypt {
    pub(super) fn new(settings: Callbacks) -> Self {
        let hash = digest::digest(&digest::SHA256, settings.encrypt_key.expose().as_bytes());
        let mut key = [0; 32];
        key.copy_from_slice(hash.as_ref());
        Self { settings, key }
    }

    /// Whether `signature` is that of this body.
    pub(super) fn is_signed(&self, signature: &str, time: &str, nonce: &str, body: &[u8]) -> bool {
        let mut sum = digest::Context::new(&digest::SHA256);
        for part in
            [time.as_bytes(), nonce.as_bytes(), self.settings.encrypt_key.expose().as_bytes(), body]
        {
            sum.update(part);
        }
        let want: String = sum.finish().as_ref().iter().map(|it| format!("{it:02x}")).collect();
        bool::from(want.as_bytes().ct_eq(signature.as_bytes()))
    }

    /// Whether this is the token of the settings, where there is one.
    pub(super) fn is_token(&self, token: &str) -> bool {
        let want = self.settings.verification_token.as_ref();
        want.is_none_or(|want| bool::from(want.expose().as_bytes().ct_eq(token.as_bytes())))
    }

    /// The plain words of `{"encrypt": …}`; none where they are not ours.
    pub(super) fn decrypt(&self, body: &[u8]) -> Option<Value> {
        let body = crate::json::read(body).ok()?;
        crate::json::read(&self.open(body["encrypt"].as_str()?)?).ok()
    }

    fn open(&self, words: &str) -> Option<Vec<u8>> {
        let bytes = general_purpose::STANDARD.decode(words.trim()).ok()?;
        let (iv, words) = bytes.split_at_checked(BLOCK_BYTES)?;
        if words.is_empty() || !words.len().is_multiple_of(BLOCK_BYTES) {
            return None;
        }
        let mut opener = Decryptor::<Aes256>::new_from_slices(&self.key, iv).ok()?;
        let mut plain = Vec::with_capacity(words.len());
        for block in words.chunks_exact(BLOCK_BYTES) {
            let mut block = aes::Block::try_from(block).ok()?;
            opener.decrypt_block(&mut block);
            plain.extend_from_slice(&block);
        }
        // PKCS#7 of 16 bytes.
        let padding = usize::from(*plain.last()?);
        let end =
            plain.len().checked_sub(padding).filter(|_| (1..=BLOCK_BYTES).contains(&padding))?;
        if plain[end..].iter().any(|it| usize::from(*it) != padding) {
            return None;
        }
        plain.truncate(end);
        Some(plain)
    }
}

#[cfg(test)]
mod tests {
    use ngb_core::secret::Secret;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn crypt(key: &str) -> Crypt {
        Crypt::new(Callbacks { encrypt_key: Secret::new(key), verification_token: None })
    }

    #[test]
    fn the_example_of_the_page() {
        let opened = crypt("test key").open("P37w+VZImNgPEO1RBhJ6RtKl7n6zymIbEG1pReEzghk=");
        assert_eq!(opened.as_deref(), Some(&b"hello world"[..]));
        assert!(!crypt("test key").is_signed("", "1", "2", b"x"));
    }

    proptest! {
        #[test]
        fn any_body_is_read_or_refused(body in proptest::collection::vec(any::<u8>(), 0..200), key in ".{0,20}") {
            let words = general_purpose::STANDARD.encode(&body);
            crypt(&key).decrypt(json!({"encrypt": words}).to_string().as_bytes());
            crypt(&key).decrypt(&body);
        }
    }
}
