//! WeCom's side of the cipher.

use aes::Aes256;
use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};
use cbc::{
    Encryptor,
    cipher::{BlockModeEncrypt as _, KeyIvInit as _, block_padding::NoPadding},
};
use ring::digest;

use super::Config;

/// One request of WeCom's.
#[derive(Clone, Debug)]
pub struct Call {
    /// The query of a POST: signature, time, nonce.
    pub query: String,
    /// The same with the words in it, for a GET.
    pub echo: String,
    pub body: String,
}

/// A file as an AI bot gets it, and its key.
pub fn encrypt_file(plain: &[u8]) -> (Vec<u8>, String) {
    let key = *b"of one file: 32 bytes, random...";
    let mut bytes = plain.to_vec();
    (pad_and_encrypt(&key, &mut bytes), STANDARD.encode(key))
}

/// AES-256-CBC with the padding of 32.
fn pad_and_encrypt(key: &[u8; 32], bytes: &mut Vec<u8>) -> Vec<u8> {
    let iv = <[u8; 16]>::try_from(&key[..16]).unwrap_or_default();
    let missing = 32 - bytes.len() % 32;
    bytes.extend(std::iter::repeat_n(u8::try_from(missing).unwrap_or_default(), missing));
    let size = bytes.len();
    let cipher = Encryptor::<Aes256>::new(key.into(), &iv.into());
    cipher.encrypt_padded::<NoPadding>(bytes, size).map(<[u8]>::to_vec).unwrap_or_default()
}

/// Encrypts and signs `plain`.
pub fn encrypt(config: &Config, plain: &str) -> Call {
    let lenient = GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let key = GeneralPurpose::new(&alphabet::STANDARD, lenient).decode(&config.encoding_aes_key);
    let key = <[u8; 32]>::try_from(key.unwrap_or_default()).unwrap_or_default();
    let length = u32::try_from(plain.len()).unwrap_or(u32::MAX).to_be_bytes();
    let mut bytes =
        [b"0123456789abcdef", &length[..], plain.as_bytes(), config.corp_id.as_bytes()].concat();
    let words = STANDARD.encode(pad_and_encrypt(&key, &mut bytes));

    let (time, nonce) = ((config.clock.now().0 / 1000).to_string(), "1372623149".to_owned());
    let mut parts = [&config.token, &time, &nonce, &words];
    parts.sort_unstable();
    let parts: String = parts.into_iter().map(String::as_str).collect();
    let digest = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, parts.as_bytes());
    let signature: String = digest.as_ref().iter().map(|it| format!("{it:02x}")).collect();

    let query = format!("msg_signature={signature}&timestamp={time}&nonce={nonce}");
    let escaped = words.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    let body = format!(
        "<xml><ToUserName><![CDATA[{}]]></ToUserName><AgentID><![CDATA[{}]]></AgentID>\
         <Encrypt><![CDATA[{words}]]></Encrypt></xml>",
        config.corp_id, config.agent_id
    );
    Call { echo: format!("{query}&echostr={escaped}"), query, body }
}
