//! WeCom's signature and its cipher. <https://developer.work.weixin.qq.com/document/path/90968>

use aes::Aes256;
use base64::{
    Engine as _, alphabet,
    engine::{GeneralPurpose, GeneralPurposeConfig, general_purpose},
};
use cbc::{
    Decryptor,
    cipher::{BlockModeDecrypt as _, KeyIvInit as _, block_padding::NoPadding},
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

/// Random bytes before the length.
const NOISE_BYTES: usize = 16;

/// The padding is PKCS#7 of blocks of 32 bytes, whatever AES has.
const MAX_PADDING: u8 = 32;

/// What proves that WeCom calls, and what its words are encrypted with.
#[derive(Debug)]
pub(super) struct Crypt {
    token: Secret,
    key: [u8; 32],
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
        Ok(Self { token, key, receiver: receiver.to_owned() })
    }

    /// Whether `signature` is that of `words`, with the time and the nonce of the query.
    pub(super) fn is_signed(&self, signature: &str, time: &str, nonce: &str, words: &str) -> bool {
        let want = sign(self.token.expose(), time, nonce, words);
        bool::from(want.as_bytes().ct_eq(signature.as_bytes()))
    }

    /// The plain words.
    pub(super) fn decrypt(&self, words: &str) -> Result<Vec<u8>, CryptError> {
        let mut bytes =
            general_purpose::STANDARD.decode(words.trim()).map_err(|_| CryptError::Shape)?;
        let plain = decrypt(&self.key, &mut bytes)?;
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

/// AES-256-CBC with the key's first half as initial vector, and the padding of 32 taken off.
fn decrypt<'a>(key: &[u8; 32], bytes: &'a mut [u8]) -> Result<&'a [u8], CryptError> {
    let iv = <[u8; 16]>::try_from(&key[..16]).map_err(|_| CryptError::Shape)?;
    let cipher = Decryptor::<Aes256>::new(key.into(), &iv.into());
    let plain = cipher.decrypt_padded::<NoPadding>(bytes).map_err(|_| CryptError::Shape)?;
    let count = *plain.last().ok_or(CryptError::Shape)?;
    let end = plain.len().checked_sub(usize::from(count)).ok_or(CryptError::Padding)?;
    let good = (1..=MAX_PADDING).contains(&count) && plain[end..].iter().all(|it| *it == count);
    if good { Ok(&plain[..end]) } else { Err(CryptError::Padding) }
}
