use std::{fmt, mem};

use base64::{Engine as _, decoded_len_estimate, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

#[cfg(any(feature = "throttle", feature = "password-hash"))]
use super::client_address::ClientAddress;
use crate::{
    credentials::CredentialsError,
    header::Scheme,
    principal::{Principal, PrincipalBuilder},
};

/// The longest base64 text that is decoded, in bytes. Longer credentials are rejected with 431.
const MAX_ENCODED: usize = 8 * 1024;

/// The longest user id, colon and password that fit, in bytes.
const MAX_PAIR: usize = MAX_ENCODED / 4 * 3;

/// The user id and password of HTTP Basic (RFC 7617 §2), not yet verified.
///
/// The memory is zeroed on drop. The request header that contained them is not zeroed.
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
    /// `user-id ":" password`
    pair: Zeroizing<String>,
    /// The byte index of the first colon in `pair`.
    colon: usize,
    /// The client that sent them, if a throttle has found it. It limits the use of the hash queue.
    #[cfg(any(feature = "throttle", feature = "password-hash"))]
    #[cfg_attr(not(feature = "password-hash"), allow(dead_code))]
    client: Option<ClientAddress>,
}

impl BasicCredentials {
    /// Creates credentials that were not sent with HTTP Basic, for example with a login form.
    ///
    /// Pass them to a [`PasswordVerifier`](super::PasswordVerifier), or, in a handler, use
    /// [`BasicAuth::verify`](crate::BasicAuth::verify). The limits are those of
    /// [`decode`](Self::decode).
    ///
    /// ```
    /// use tower_auth::basic::BasicCredentials;
    ///
    /// let credentials = BasicCredentials::new("alice", "correct horse")?;
    /// assert_eq!(credentials.user_id(), "alice");
    /// assert!(BasicCredentials::new("a:b", "correct horse").is_err());
    /// # Ok::<(), tower_auth::credentials::CredentialsError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// - [`InvalidCharacter`](CredentialsError::InvalidCharacter) if the user id contains a colon,
    ///   or if the user id or the password contains a control character. HTTP Basic
    ///   cannot transmit them. This is returned without a look at the users, and faster than the
    ///   rejection of a wrong password. It reveals nothing, because no user can have them.
    /// - [`TooLarge`](CredentialsError::TooLarge) if both together are longer than 6 KiB.
    pub fn new(user_id: &str, password: &str) -> Result<Self, CredentialsError> {
        if user_id.len().saturating_add(password.len()) >= MAX_PAIR {
            return Err(CredentialsError::TooLarge);
        }
        if user_id.contains(':') || user_id.chars().chain(password.chars()).any(char::is_control) {
            return Err(CredentialsError::InvalidCharacter);
        }
        // Reserved in advance: a string that grows would leave copies that are not zeroed.
        let mut pair = Zeroizing::new(String::with_capacity(user_id.len() + 1 + password.len()));
        [user_id, ":", password].into_iter().for_each(|part| pair.push_str(part));
        Ok(Self::split(pair, user_id.len()))
    }

    /// Decodes the value that follows the scheme, and splits it at the first colon.
    ///
    /// # Errors
    ///
    /// - [`TooLarge`](CredentialsError::TooLarge) if `encoded` is longer than 8 KiB.
    /// - [`Undecodable`](CredentialsError::Undecodable) if it is not canonical base64 of UTF-8, or
    ///   if the decoded text contains a control character or no colon.
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
        // Most credentials are printable ASCII, which this loop checks without decoding characters.
        let ascii = pair.bytes().fold(true, |ascii, byte| ascii & (0x20..0x7f).contains(&byte));
        if !ascii && pair.chars().any(char::is_control) {
            return Err(CredentialsError::Undecodable);
        }
        let colon = pair.bytes().position(|byte| byte == b':');
        let colon = colon.ok_or(CredentialsError::Undecodable)?;
        Ok(Self::split(pair, colon))
    }

    fn split(pair: Zeroizing<String>, colon: usize) -> Self {
        Self {
            pair,
            colon,
            #[cfg(any(feature = "throttle", feature = "password-hash"))]
            client: None,
        }
    }

    /// Returns the user id: everything before the first colon.
    #[must_use]
    pub fn user_id(&self) -> &str {
        self.pair.get(..self.colon).unwrap_or_default()
    }

    /// Returns the password: everything after the first colon.
    #[must_use]
    pub fn password(&self) -> &str {
        self.pair.get(self.colon + 1..).unwrap_or_default()
    }

    /// Returns the decoded text: user id, colon, password.
    #[cfg(feature = "password-hash")]
    pub(crate) fn pair(&self) -> &str {
        &self.pair
    }

    #[cfg(feature = "throttle")]
    pub(crate) fn set_client(&mut self, client: ClientAddress) {
        self.client = Some(client);
    }

    #[cfg(feature = "password-hash")]
    pub(crate) fn client(&self) -> Option<ClientAddress> {
        self.client
    }

    /// Starts a [`Principal`] whose subject is the user id and whose scheme is Basic.
    ///
    /// Call it only after the password was checked.
    pub fn to_principal(&self) -> PrincipalBuilder {
        Principal::builder(self.user_id(), Scheme::BASIC)
    }
}

/// Omits the password.
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
    fn credentials_are_split_at_the_first_colon() {
        assert_eq!(decode(b"a:b:c"), Ok(("a".into(), "b:c".into())));
        assert_eq!(decode(b":"), Ok((String::new(), String::new())));
        assert_eq!(decode("test:123£".as_bytes()), Ok(("test".into(), "123£".into())));
    }

    #[test]
    fn missing_colon_control_character_or_invalid_utf8_is_rejected() {
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
    fn new_accepts_exactly_what_decode_accepts() {
        let texts = ["", "a", "a b", "ä", "a:b", ":", "a\n", "\0", "\u{7f}", "\u{85}", "\u{a0}"];
        for (user_id, password) in texts.into_iter().flat_map(|id| texts.map(|text| (id, text))) {
            let parts = |sent: BasicCredentials| {
                (sent.user_id().to_owned(), sent.password().to_owned(), sent.pair.to_string())
            };
            let encoded = STANDARD.encode(format!("{user_id}:{password}"));
            let decoded = BasicCredentials::decode(encoded.as_bytes()).map(parts).ok();
            // With a colon in the user id, another user id would be decoded.
            let decoded = decoded.filter(|(decoded_id, ..)| decoded_id == user_id);
            let new = BasicCredentials::new(user_id, password).map(parts);
            assert_eq!(new.clone().ok(), decoded, "{user_id:?} {password:?}");
            assert!(new.is_ok() || new == Err(CredentialsError::InvalidCharacter));
        }
    }

    #[test]
    fn credentials_above_6_kib_are_too_large() {
        for (length, fits) in [(MAX_PAIR - 2, true), (MAX_PAIR - 1, false), (1 << 20, false)] {
            let password = "x".repeat(length);
            let new = BasicCredentials::new("a", &password);
            assert_eq!(new.is_ok(), fits, "{length}");
            assert!(fits || new.is_err_and(|error| error == CredentialsError::TooLarge));
            let encoded = STANDARD.encode(format!("a:{password}"));
            assert_eq!(BasicCredentials::decode(encoded.as_bytes()).is_ok(), fits, "{length}");
        }
    }

    #[test]
    fn non_canonical_base64_is_rejected() {
        // Missing, inner and excess padding, nonzero trailing bits, URL-safe alphabet, empty.
        for odd in
            ["Zm9vOmJhcg", "Zm9v=OmJhcg==", "Zm9vOmJhcg===", "Zm9vOmJhch==", "YjY0OmE_Yj5jfn5-", ""]
        {
            assert!(BasicCredentials::decode(odd.as_bytes()).is_err(), "{odd}");
        }
    }
}
