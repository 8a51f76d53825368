use std::{fmt, mem};

use base64::{Engine as _, decoded_len_estimate, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

use crate::{
    credentials::CredentialsError,
    header::Scheme,
    principal::{Principal, PrincipalBuilder},
};

/// The most bytes of base64 that are decoded. A longer credential is answered with 431.
const MAX_ENCODED: usize = 8 * 1024;

/// The user-id and the password of HTTP Basic (RFC 7617 §2), unverified. They are zeroed in memory when they are
/// dropped; the header that they came in is not ours to zero.
///
/// ```
/// use tower_auth::basic::BasicCredentials;
///
/// let credentials = BasicCredentials::decode(b"QWxhZGRpbjpvcGVuIHNlc2FtZQ==")?;
/// assert_eq!(credentials.user_id(), "Aladdin");
/// assert_eq!(credentials.password(), "open sesame");
/// assert_eq!(format!("{credentials:?}"), r#"BasicCredentials { user_id: "Aladdin", .. }"#);
/// # Ok::<(), tower_auth::credentials::CredentialsError>(())
/// ```
#[derive(Clone)]
pub struct BasicCredentials {
    /// `user-id ":" password`, and where the colon is.
    pair: Zeroizing<String>,
    colon: usize,
}

impl BasicCredentials {
    /// Decodes what follows the scheme: canonical base64 of UTF-8 without control characters, split
    /// at the first colon.
    ///
    /// # Errors
    ///
    /// If it is anything else, or longer than 8 KiB.
    pub fn decode(encoded: &[u8]) -> Result<Self, CredentialsError> {
        if encoded.len() > MAX_ENCODED {
            return Err(CredentialsError::TooLarge);
        }
        let mut bytes = Zeroizing::new(vec![0; decoded_len_estimate(encoded.len())]);
        let length = STANDARD.decode_slice(encoded, &mut bytes);
        bytes.truncate(length.map_err(|_| CredentialsError::Undecodable)?);
        let pair = String::from_utf8(mem::take(&mut bytes)).map_err(|error| {
            drop(Zeroizing::new(error.into_bytes()));
            CredentialsError::Undecodable
        })?;
        let pair = Zeroizing::new(pair);
        // Only where some byte is not plain ASCII is there more to look at.
        let simple = pair.bytes().fold(true, |simple, byte| simple & (0x20..0x7f).contains(&byte));
        if !simple && pair.chars().any(char::is_control) {
            return Err(CredentialsError::Undecodable);
        }
        let colon = pair.bytes().position(|byte| byte == b':');
        let colon = colon.ok_or(CredentialsError::Undecodable)?;
        Ok(Self { pair, colon })
    }

    /// The user-id: everything before the first colon.
    #[must_use]
    pub fn user_id(&self) -> &str {
        self.pair.get(..self.colon).unwrap_or_default()
    }

    /// The password: everything after the first colon.
    #[must_use]
    pub fn password(&self) -> &str {
        self.pair.get(self.colon + 1..).unwrap_or_default()
    }

    /// Both, as they were sent.
    #[cfg(feature = "password-hash")]
    pub(crate) fn pair(&self) -> &str {
        &self.pair
    }

    /// The principal that these credentials stand for once a verifier found them right: its subject
    /// is the user-id.
    pub fn to_principal(&self) -> PrincipalBuilder {
        Principal::builder(self.user_id(), Scheme::BASIC)
    }
}

/// Without the password.
impl fmt::Debug for BasicCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BasicCredentials").field("user_id", &self.user_id()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(text: &[u8]) -> Result<(String, String), CredentialsError> {
        let credentials = BasicCredentials::decode(STANDARD.encode(text).as_bytes())?;
        Ok((credentials.user_id().to_owned(), credentials.password().to_owned()))
    }

    #[test]
    fn the_first_colon_splits() {
        assert_eq!(decode(b"a:b:c"), Ok(("a".into(), "b:c".into())));
        assert_eq!(decode(b":"), Ok((String::new(), String::new())));
        assert_eq!(decode("test:123£".as_bytes()), Ok(("test".into(), "123£".into())));
    }

    #[test]
    fn what_is_no_text_is_refused() {
        for odd in [
            &b"no colon"[..],
            b"a\0:b",
            b"a:b\r\n",
            b"a:\x1f",
            b"a:\x7f",
            b"a:\xff",
            "a:\u{85}".as_bytes(),
        ] {
            assert_eq!(decode(odd), Err(CredentialsError::Undecodable), "{odd:?}");
        }
    }

    #[test]
    fn base64_is_strict() {
        // Padding left out, in the middle, too much; a bit set that no byte needs; another alphabet.
        for odd in
            ["Zm9vOmJhcg", "Zm9v=OmJhcg==", "Zm9vOmJhcg===", "Zm9vOmJhch==", "YjY0OmE_Yj5jfn5-", ""]
        {
            assert!(BasicCredentials::decode(odd.as_bytes()).is_err(), "{odd}");
        }
    }
}
