//! Public keys in PEM files.

use der::{
    Decode as _, Reader as _, SliceReader, Tagged as _,
    asn1::{AnyRef, BitStringRef, ObjectIdentifier, UintRef},
};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::{Map, Value};

use super::keys::{Key, Keys};
use crate::{config_error::ConfigError, json::without_byte_order_mark};

/// The key types of RFC 3279 §2.3.1, RFC 4055 §1.2, RFC 5480 §2.1.1 and RFC 8410 §3.
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const RSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// The curves of RFC 5480 §2.1.1.1.
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");

/// RFC 7518 §3.3.
const MIN_RSA_BITS: usize = 2048;

const DAMAGED: &str =
    "the key is truncated or damaged: copy the whole file, from BEGIN to END, or export it again";

impl Keys {
    /// Reads an RSA public key in PEM format.
    ///
    /// The text contains one block: `PUBLIC KEY` (RFC 7468 §13), `RSA PUBLIC KEY` (PKCS #1) or
    /// `CERTIFICATE`. The key verifies RS256. To use another RSA algorithm, list it with
    /// [`algorithms`](crate::jwt::JwtAuthBuilder::algorithms).
    ///
    /// ```
    /// use tower_auth::{ConfigError, JwtAuth, jwt::Keys};
    ///
    /// fn tokens(pem: &str) -> Result<JwtAuth, ConfigError> {
    ///     JwtAuth::builder(Keys::rsa_pem(pem)?)
    ///         .issuer("https://issuer.example")
    ///         .audience("orders")
    ///         .build()
    /// }
    /// ```
    ///
    /// Such a file is created from a private key with
    /// `openssl pkey -in private.pem -pubout -out public.pem`.
    ///
    /// # Errors
    ///
    /// Returns an error if the text is not PEM, has several blocks, contains a private key or a key
    /// of another type, or if the key is shorter than 2048 bits. The error says how to fix it.
    ///
    /// # Security
    ///
    /// A certificate is only a container of its public key. It is not verified: its signature,
    /// validity and purpose are not checked.
    pub fn rsa_pem(pem: impl AsRef<[u8]>) -> Result<Self, ConfigError> {
        match PublicKey::from_pem(pem.as_ref())? {
            PublicKey::Rsa(key) => Ok(key.into()),
            other => Err(other.wrong_constructor()),
        }
    }

    /// Reads an EC public key in PEM format. Its curve determines the algorithm: ES256 for P-256,
    /// ES384 for P-384.
    ///
    /// The text contains one block: `PUBLIC KEY` or `CERTIFICATE`.
    ///
    /// ```
    /// use tower_auth::jwt::Keys;
    ///
    /// let keys = Keys::ec_pem(
    ///     "-----BEGIN PUBLIC KEY-----
    /// MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEEVs/o5+uQbTjL3chynL4wXgUg2R9
    /// q9UU8I5mEovUf86QZ7kOBIjJwqnzD1omageEHWwHdBO6B+dFabmdT9POxg==
    /// -----END PUBLIC KEY-----",
    /// )?;
    /// # Ok::<(), tower_auth::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Like [`rsa_pem`](Self::rsa_pem). Also returns an error for a key on another curve.
    ///
    /// # Security
    ///
    /// A certificate is not verified, as described at [`rsa_pem`](Self::rsa_pem).
    pub fn ec_pem(pem: impl AsRef<[u8]>) -> Result<Self, ConfigError> {
        match PublicKey::from_pem(pem.as_ref())? {
            PublicKey::Ec(algorithm, key) => Ok(Self::new(algorithm, key)),
            other => Err(other.wrong_constructor()),
        }
    }

    /// Reads an Ed25519 public key in PEM format, for the algorithm EdDSA (RFC 8037).
    ///
    /// The text contains one block: `PUBLIC KEY` or `CERTIFICATE`.
    ///
    /// ```
    /// use tower_auth::jwt::Keys;
    ///
    /// let keys = Keys::ed_pem(
    ///     "-----BEGIN PUBLIC KEY-----
    /// MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=
    /// -----END PUBLIC KEY-----",
    /// )?;
    /// # Ok::<(), tower_auth::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Like [`rsa_pem`](Self::rsa_pem).
    ///
    /// # Security
    ///
    /// A certificate is not verified, as described at [`rsa_pem`](Self::rsa_pem).
    pub fn ed_pem(pem: impl AsRef<[u8]>) -> Result<Self, ConfigError> {
        match PublicKey::from_pem(pem.as_ref())? {
            PublicKey::Ed25519(key) => Ok(Self::new(Algorithm::EdDSA, key)),
            other => Err(other.wrong_constructor()),
        }
    }

    /// Parses a JSON object that maps each `kid` to a public key or a certificate in PEM format.
    ///
    /// Firebase and other issuers publish their keys in this form:
    ///
    /// ```
    /// use tower_auth::jwt::Keys;
    ///
    /// let keys = Keys::from_pem_map(
    ///     r#"{"2026-11": "-----BEGIN PUBLIC KEY-----
    /// MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=
    /// -----END PUBLIC KEY-----"}"#
    ///         .replace('\n', "\\n"),
    /// )?;
    /// # Ok::<(), tower_auth::ConfigError>(())
    /// ```
    ///
    /// Each text is read as by [`rsa_pem`](Self::rsa_pem), [`ec_pem`](Self::ec_pem) or
    /// [`ed_pem`](Self::ed_pem). A text that cannot be used is skipped and reported by
    /// [`JwtAuth::skipped_keys`](crate::JwtAuth::skipped_keys), like a member of a JWK set.
    ///
    /// # Errors
    ///
    /// Returns an error if the text is not a JSON object, or is a JWK set. It can start with a byte
    /// order mark.
    ///
    /// # Security
    ///
    /// A certificate is not verified, as described at [`rsa_pem`](Self::rsa_pem).
    pub fn from_pem_map(json: impl AsRef<[u8]>) -> Result<Self, ConfigError> {
        let json = without_byte_order_mark(json.as_ref());
        let map = serde_json::from_slice::<Map<String, Value>>(json).map_err(|_| {
            ConfigError::key("not a JSON object that maps each kid to a PEM text: check the source")
        })?;
        if map.get("keys").is_some_and(Value::is_array) {
            return Err(ConfigError::key(
                "a JWK set, and not a JSON object that maps each kid to a PEM text: call from_json",
            ));
        }
        let mut keys = Self::default();
        for (id, pem) in map {
            let id = id.into_boxed_str();
            match pem.as_str().map(|pem| PublicKey::from_pem(pem.as_bytes())) {
                Some(Ok(key)) => keys.keys.push(key.into_key(id)),
                Some(Err(error)) => keys.skip(Some(id), error.to_string()),
                None => keys.skip(Some(id), "it is not a PEM text"),
            }
        }
        Ok(keys)
    }
}

pub(crate) enum PublicKey {
    Rsa(DecodingKey),
    Ec(Algorithm, DecodingKey),
    Ed25519(DecodingKey),
}

/// A `SubjectPublicKeyInfo` (RFC 5280 §4.1).
struct KeyInfo<'a> {
    key_type: ObjectIdentifier,
    parameters: Option<AnyRef<'a>>,
    key: &'a [u8],
}

impl PublicKey {
    pub(crate) fn from_pem(pem: &[u8]) -> Result<Self, ConfigError> {
        let text = str::from_utf8(pem).map_err(|_| not_pem())?;
        let label = single_label(text)?;
        let block = pem::parse(text).map_err(|_| {
            invalid(if text.contains("\\n") {
                "its line breaks are the characters `\\n`: write line feeds instead"
            } else {
                DAMAGED
            })
        })?;
        let damaged = |_| invalid(DAMAGED);
        let mut reader = SliceReader::new(block.contents()).map_err(damaged)?;
        let key = match label {
            "RSA PUBLIC KEY" => return Self::rsa(block.contents()),
            "PUBLIC KEY" => KeyInfo::read(&mut reader),
            "CERTIFICATE" => KeyInfo::read_certificate(&mut reader),
            _ => {
                return Err(invalid(&format!(
                    "the block {label:?} is not supported: use a PUBLIC KEY, an RSA PUBLIC KEY or a \
                     CERTIFICATE"
                )));
            }
        };
        let key = key.and_then(|key| reader.finish().map(|()| key));
        Self::from_info(key.map_err(damaged)?)
    }

    fn from_info(info: KeyInfo<'_>) -> Result<Self, ConfigError> {
        match info.key_type {
            RSA => Self::rsa(info.key),
            EC => {
                let curve = info.parameters.map(AnyRef::decode_as::<ObjectIdentifier>);
                let (algorithm, length) = match curve {
                    Some(Ok(P256)) => (Algorithm::ES256, 65),
                    Some(Ok(P384)) => (Algorithm::ES384, 97),
                    _ => {
                        return Err(invalid(
                            "its curve is not P-256 or P-384: create another key, for example with \
                             `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256`",
                        ));
                    }
                };
                match info.key.first() {
                    Some(4) if info.key.len() == length => {
                        Ok(Self::Ec(algorithm, DecodingKey::from_ec_der(info.key)))
                    }
                    Some(2 | 3) => Err(invalid(
                        "the key is in compressed form: convert it with `openssl pkey -pubin -in \
                         public.pem -pubout -ec_conv_form uncompressed`",
                    )),
                    _ => Err(invalid(DAMAGED)),
                }
            }
            ED25519 if info.key.len() == 32 => {
                Ok(Self::Ed25519(DecodingKey::from_ed_der(info.key)))
            }
            ED25519 => Err(invalid(DAMAGED)),
            RSA_PSS => Err(invalid(
                "the key is restricted to RSA-PSS, which is not supported: create an unrestricted \
                 key with `openssl genpkey -algorithm RSA`",
            )),
            other => Err(invalid(&format!(
                "keys of the type {other} are not supported: use an RSA key, an EC key on P-256 or \
                 P-384, or an Ed25519 key"
            ))),
        }
    }

    fn rsa(der: &[u8]) -> Result<Self, ConfigError> {
        let (modulus, exponent) = read_rsa(der).map_err(|_| invalid(DAMAGED))?;
        let modulus = modulus.as_bytes();
        let leading_zeros = modulus.first().map_or(0, |byte| byte.leading_zeros() as usize);
        let bits = modulus.len() * 8 - leading_zeros;
        if bits < MIN_RSA_BITS {
            return Err(invalid(&format!(
                "the RSA key has {bits} bits, but at least {MIN_RSA_BITS} are required: create \
                 another key, for example with `openssl genpkey -algorithm RSA -pkeyopt \
                 rsa_keygen_bits:3072`"
            )));
        }
        Ok(Self::Rsa(DecodingKey::from_rsa_raw_components(modulus, exponent.as_bytes())))
    }

    /// Returns the key with its id in a set.
    fn into_key(self, id: Box<str>) -> Key {
        let (algorithm, key) = match self {
            Self::Rsa(key) => (None, key),
            Self::Ec(algorithm, key) => (Some(algorithm), key),
            Self::Ed25519(key) => (Some(Algorithm::EdDSA), key),
        };
        Key { id: Some(id), from_set: true, ..Key::new(algorithm, key) }
    }

    fn wrong_constructor(&self) -> ConfigError {
        invalid(match self {
            Self::Rsa(_) => "it is an RSA key: read it with Keys::rsa_pem",
            Self::Ec(..) => "it is an EC key: read it with Keys::ec_pem",
            Self::Ed25519(_) => "it is an Ed25519 key: read it with Keys::ed_pem",
        })
    }
}

impl<'a> KeyInfo<'a> {
    fn read(reader: &mut SliceReader<'a>) -> der::Result<Self> {
        reader.sequence(|info| {
            let (key_type, parameters) = info.sequence(|algorithm| {
                Ok::<_, der::Error>((
                    ObjectIdentifier::decode(algorithm)?,
                    Option::<AnyRef<'a>>::decode(algorithm)?,
                ))
            })?;
            let key = BitStringRef::decode(info)?.as_bytes();
            let key = key.ok_or_else(|| info.error(der::ErrorKind::Failed))?;
            Ok(Self { key_type, parameters, key })
        })
    }

    /// Reads the subject's key of a certificate (RFC 5280 §4.1).
    fn read_certificate(reader: &mut SliceReader<'a>) -> der::Result<Self> {
        reader.sequence(|certificate| {
            let info = certificate.sequence(|tbs| {
                // Before the key: the version, which is optional, and five other fields.
                let has_version = AnyRef::decode(tbs)?.tag().is_context_specific();
                for _ in 0..if has_version { 5 } else { 4 } {
                    AnyRef::decode(tbs)?;
                }
                let info = Self::read(tbs)?;
                skip_rest(tbs)?;
                Ok::<_, der::Error>(info)
            })?;
            skip_rest(certificate)?;
            Ok(info)
        })
    }
}

/// Reads the modulus and the exponent of an `RSAPublicKey` (RFC 8017 §A.1.1).
pub(crate) fn read_rsa(der: &[u8]) -> der::Result<(UintRef<'_>, UintRef<'_>)> {
    let mut reader = SliceReader::new(der)?;
    let parts = reader
        .sequence(|key| Ok::<_, der::Error>((UintRef::decode(key)?, UintRef::decode(key)?)))?;
    reader.finish()?;
    Ok(parts)
}

fn skip_rest(reader: &mut SliceReader<'_>) -> der::Result<()> {
    while !reader.is_finished() {
        AnyRef::decode(reader)?;
    }
    Ok(())
}

/// Returns the label of the only block of the text.
fn single_label(text: &str) -> Result<&str, ConfigError> {
    let blocks = text.split("-----BEGIN ").skip(1);
    let labels: Vec<&str> = blocks.filter_map(|block| Some(block.split_once("-----")?.0)).collect();
    // Look for private keys first: the file of an EC private key can have two blocks.
    if let Some(label) = labels.iter().find(|label| label.ends_with("PRIVATE KEY")) {
        return Err(invalid(match *label {
            "OPENSSH PRIVATE KEY" => {
                "it is a private key, and tokens are verified with public keys: use the output of \
                 `ssh-keygen -e -m PKCS8 -f FILE`"
            }
            "ENCRYPTED PRIVATE KEY" => {
                "it is an encrypted private key, and tokens are verified with public keys: use the \
                 output of `openssl pkey -in FILE -pubout`, which asks for the pass phrase"
            }
            _ => {
                "it is a private key, and tokens are verified with public keys: use the output of \
                 `openssl pkey -in FILE -pubout`"
            }
        }));
    }
    match *labels {
        [label] => Ok(label),
        [] => Err(not_pem()),
        _ => Err(invalid(&format!(
            "the text has {} blocks: read each key on its own and join them with Keys::and; of a \
             certificate chain, use only the first certificate",
            labels.len()
        ))),
    }
}

fn not_pem() -> ConfigError {
    invalid(
        "the text has no block that starts with a line such as `-----BEGIN PUBLIC KEY-----`: \
         convert a key in DER format with `openssl pkey -pubin -inform DER -in FILE -pubout`, or an \
         SSH key with `ssh-keygen -e -m PKCS8 -f FILE`",
    )
}

fn invalid(reason: &str) -> ConfigError {
    ConfigError::key(format!("cannot read the PEM public key: {reason}"))
}
