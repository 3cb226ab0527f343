//! WeCom's signature and its cipher. <https://developer.work.weixin.qq.com/document/path/90968>

use aes::{Aes256, Block};
use base64::{
    Engine as _, alphabet,
    engine::{GeneralPurpose, GeneralPurposeConfig, general_purpose},
};
use cbc::{
    Decryptor,
    cipher::{BlockModeDecrypt as _, KeyIvInit as _},
};
use ngb_core::secret::Secret;
use ring::digest;
use subtle::ConstantTimeEq as _;
use thiserror::Error;

/// An `EncodingAESKey` is 43 characters of base64 without the last one, whose low bits may well be set.
const KEY_CODE: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent),
);

/// Bytes of a block of AES.
const BLOCK_BYTES: usize = 16;

/// Random bytes before the length.
const NOISE_BYTES: usize = 16;

/// The padding is PKCS#7 of blocks of 32 bytes, whatever AES has.
const MAX_PADDING: u8 = 32;

/// What proves that WeCom calls, and what its words are encrypted with.
pub(super) struct Crypt {
    token: Secret,
    key: FileKey,
    /// The corp id: whose words they are.
    receiver: String,
}

/// Settings that can't be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`encoding_aes_key` is not what the console shows: 43 letters and digits")]
pub struct BadKey;

/// Words that are not WeCom's to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum CryptError {
    #[error("it is no base64 of whole blocks")]
    Shape,
    #[error("its padding or its length is wrong")]
    Padding,
    #[error("it is for somebody else")]
    Receiver,
}

impl Crypt {
    pub(super) fn new(token: Secret, aes_key: &Secret, receiver: &str) -> Result<Self, BadKey> {
        let key = KEY_CODE.decode(aes_key.expose()).map_err(|_| BadKey)?;
        let key = <[u8; 32]>::try_from(key).map_err(|_| BadKey)?;
        Ok(Self { token, key: FileKey(key), receiver: receiver.to_owned() })
    }

    /// Whether `signature` is that of `words`, with the time and the nonce of the query.
    pub(super) fn is_signed(&self, signature: &str, time: &str, nonce: &str, words: &str) -> bool {
        let want = sign(self.token.expose(), time, nonce, words);
        bool::from(want.as_bytes().ct_eq(signature.as_bytes()))
    }

    /// The plain words.
    pub(super) fn decrypt(&self, words: &str) -> Result<Vec<u8>, CryptError> {
        let bytes =
            general_purpose::STANDARD.decode(words.trim()).map_err(|_| CryptError::Shape)?;
        let mut opener = Opener::new(&self.key);
        let mut plain = opener.push(&bytes);
        plain.extend(opener.finish()?);
        let rest = plain.get(NOISE_BYTES..).ok_or(CryptError::Padding)?;
        let (length, rest) = rest.split_at_checked(4).ok_or(CryptError::Padding)?;
        let length = length.iter().fold(0_usize, |sum, it| sum << 8 | usize::from(*it));
        let (said, receiver) = rest.split_at_checked(length).ok_or(CryptError::Padding)?;
        if receiver != self.receiver.as_bytes() {
            return Err(CryptError::Receiver);
        }
        Ok(said.to_vec())
    }
}

/// SHA-1 of token, time, nonce and words, sorted, in hex.
fn sign(token: &str, time: &str, nonce: &str, words: &str) -> String {
    let mut parts = [token, time, nonce, words];
    parts.sort_unstable();
    let digest = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, parts.concat().as_bytes());
    digest.as_ref().iter().map(|it| format!("{it:02x}")).collect()
}

/// The key of one file, which comes with it.
#[derive(Clone)]
pub(super) struct FileKey([u8; 32]);

/// A file's key that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the file's key is not base64 of 32 bytes")]
pub(super) struct BadFileKey;

impl FileKey {
    /// Base64, with its padding or without.
    pub(super) fn read(text: &str) -> Result<Self, BadFileKey> {
        let bytes = KEY_CODE.decode(text.trim()).map_err(|_| BadFileKey)?;
        <[u8; 32]>::try_from(bytes).map(Self).map_err(|_| BadFileKey)
    }
}

/// AES-256-CBC with the key's first half as initial vector, as the bytes come. The last 32 are held back, since they may
/// be padding.
pub(super) struct Opener {
    cipher: Decryptor<Aes256>,
    held: Vec<u8>,
}

impl Opener {
    pub(super) fn new(key: &FileKey) -> Self {
        let mut iv = [0; BLOCK_BYTES];
        iv.copy_from_slice(&key.0[..BLOCK_BYTES]);
        Self { cipher: Decryptor::new((&key.0).into(), (&iv).into()), held: Vec::new() }
    }

    /// The plain bytes that are certain by now.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.held.extend_from_slice(bytes);
        let certain = self.held.len().saturating_sub(MAX_PADDING.into());
        let certain = certain - certain % BLOCK_BYTES;
        let rest = self.held.split_off(certain);
        self.decrypt(rest)
    }

    /// The rest, without its padding.
    pub(super) fn finish(mut self) -> Result<Vec<u8>, CryptError> {
        if self.held.is_empty() || !self.held.len().is_multiple_of(BLOCK_BYTES) {
            return Err(CryptError::Shape);
        }
        let mut plain = self.decrypt(Vec::new());
        let count = *plain.last().ok_or(CryptError::Shape)?;
        let end = plain.len().checked_sub(count.into()).ok_or(CryptError::Padding)?;
        let good = (1..=MAX_PADDING).contains(&count) && plain[end..].iter().all(|it| *it == count);
        plain.truncate(end);
        if good { Ok(plain) } else { Err(CryptError::Padding) }
    }

    /// Decrypts what is held, which is whole blocks, and holds `next`.
    fn decrypt(&mut self, next: Vec<u8>) -> Vec<u8> {
        let mut plain = std::mem::replace(&mut self.held, next);
        let (blocks, _) = Block::slice_as_chunks_mut(&mut plain);
        self.cipher.decrypt_blocks(blocks);
        plain
    }
}

#[cfg(test)]
mod tests {
    use cbc::{Encryptor, cipher::BlockModeEncrypt as _};
    use proptest::prelude::*;

    use super::*;

    fn encrypted(key: [u8; 32], plain: &[u8]) -> Vec<u8> {
        let count = 32 - plain.len() % 32;
        let mut bytes = plain.to_vec();
        bytes.extend(std::iter::repeat_n(u8::try_from(count).unwrap(), count));
        let iv = <[u8; 16]>::try_from(&key[..16]).unwrap();
        let mut cipher = Encryptor::<Aes256>::new((&key).into(), (&iv).into());
        cipher.encrypt_blocks(Block::slice_as_chunks_mut(&mut bytes).0);
        bytes
    }

    proptest! {
        #[test]
        fn a_file_is_the_same_in_any_pieces(
            key in any::<[u8; 32]>(), plain in proptest::collection::vec(any::<u8>(), 0..200), piece in 1_usize..70,
        ) {
            let mut opener = Opener::new(&FileKey(key));
            let mut got = Vec::new();
            for piece in encrypted(key, &plain).chunks(piece) {
                got.extend(opener.push(piece));
            }
            got.extend(opener.finish().unwrap());
            prop_assert_eq!(got, plain);
        }

        #[test]
        fn what_is_not_encrypted_for_us_is_refused_or_harmless(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let crypt = Crypt::new(Secret::new("t"), &Secret::new("A".repeat(43)), "ww1").unwrap();
            prop_assert!(crypt.decrypt(&general_purpose::STANDARD.encode(&bytes)).is_err());
            let mut opener = Opener::new(&FileKey([7; 32]));
            opener.push(&bytes);
            drop(opener.finish());
        }
    }

    #[test]
    fn truncated_words_and_wrong_paddings() {
        let key = [3; 32];
        let whole = encrypted(key, b"sixteen bytes 16and more of it");
        for length in [0, 1, 15, 17, 31] {
            let mut opener = Opener::new(&FileKey(key));
            opener.push(&whole[..length]);
            assert_eq!(opener.finish(), Err(CryptError::Shape), "{length}");
        }
        let mut opener = Opener::new(&FileKey(key));
        opener.push(&whole[..16]);
        assert_eq!(opener.finish(), Err(CryptError::Padding));
    }

    #[test]
    fn keys_of_files() {
        let key = general_purpose::STANDARD.encode([9; 32]);
        assert!(FileKey::read(&key).is_ok() && FileKey::read(key.trim_end_matches('=')).is_ok());
        for bad in ["", "AAAA", "no base64!", &"A".repeat(64)] {
            assert!(FileKey::read(bad).is_err(), "{bad}");
        }
    }
}
