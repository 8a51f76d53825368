//! Members of a JWK set (RFC 7517 §4, RFC 7518 §6).

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

/// base64url. RFC 7515 §2 forbids padding, but some producers write it.
const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A key that a member of a JWK set describes.
pub(super) struct ParsedJwk {
    /// The only algorithm of the key, if the member or its curve names one.
    pub(super) algorithm: Option<Algorithm>,
    pub(super) key: DecodingKey,
    /// The `use`, if it is neither `sig` nor absent.
    pub(super) other_use: Option<Box<str>>,
    /// Whether the member also contains the private key.
    pub(super) has_private_part: bool,
}

/// Returns the `kid` of a member of a JWK set.
pub(super) fn key_id(member: &Value) -> Option<Box<str>> {
    member.get("kid")?.as_str().map(Box::from)
}

/// Parses a member of a JWK set. The error is the reason why it cannot be used.
///
/// An optional member of the wrong type or without content counts as absent.
pub(super) fn parse(member: &Value) -> Result<ParsedJwk, &'static str> {
    let jwk = member.as_object().ok_or("it is not a JWK: it is not a JSON object")?;
    let other_use = match text(jwk, "use") {
        None | Some("sig") => None,
        Some("enc") => return Err("its use is not sig"),
        Some(other) => Some(other.into()),
    };
    let operations = jwk.get("key_ops").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let operations: Vec<_> = operations.iter().filter_map(Value::as_str).collect();
    if !operations.is_empty() && !operations.contains(&"verify") {
        return Err("its key_ops do not include verify");
    }
    let (key, curve_algorithm) = parse_key(jwk)?;
    let declared = match text(jwk, "alg") {
        None => None,
        // jsonwebtoken does not support the name of RFC 9864.
        Some("Ed25519") => Some(Algorithm::EdDSA),
        Some(name) => Some(name.parse().map_err(|_| "its alg is not a signature algorithm")?),
    };
    match (curve_algorithm, declared) {
        (Some(expected), Some(declared)) if expected != declared => {
            return Err("its alg does not match its curve");
        }
        (_, Some(declared)) if declared.family() != key.family() => {
            return Err("its alg does not match its kty");
        }
        _ => {}
    }
    let private_members: &[_] = match key.family() {
        // Anyone can compute `d` from these (RFC 7518 §6.3.2).
        AlgorithmFamily::Rsa => &["d", "p", "q", "dp", "dq", "qi"],
        _ => &["d"],
    };
    let has_private_part = private_members.iter().any(|name| text(jwk, name).is_some());
    Ok(ParsedJwk { algorithm: declared.or(curve_algorithm), key, other_use, has_private_part })
}

/// Returns the key, and its algorithm if its curve determines it.
fn parse_key(jwk: &Map<String, Value>) -> Result<(DecodingKey, Option<Algorithm>), &'static str> {
    let curve = text(jwk, "crv");
    match required(jwk, "kty")? {
        "RSA" => {
            let (modulus, exponent) = (octets(jwk, "n")?, octets(jwk, "e")?);
            let [modulus, exponent] = [&modulus, &exponent].map(|n| without_leading_zeros(n));
            Ok((DecodingKey::from_rsa_raw_components(modulus, exponent), None))
        }
        "EC" => {
            let (algorithm, length) = match curve {
                Some("P-256") => (Algorithm::ES256, 32_usize),
                Some("P-384") => (Algorithm::ES384, 48),
                _ => return Err("its curve is not P-256 or P-384"),
            };
            // The uncompressed form of SEC 1 §2.3.3.
            let mut point = vec![4];
            for name in ["x", "y"] {
                let coordinate = octets(jwk, name)?;
                let coordinate = without_leading_zeros(&coordinate);
                let padding = length.checked_sub(coordinate.len());
                let padding = padding.ok_or("its coordinates are too long for its curve")?;
                point.resize(point.len() + padding, 0);
                point.extend_from_slice(coordinate);
            }
            Ok((DecodingKey::from_ec_der(&point), Some(algorithm)))
        }
        "OKP" if curve == Some("Ed25519") => {
            Ok((DecodingKey::from_ed_der(&octets(jwk, "x")?), Some(Algorithm::EdDSA)))
        }
        "OKP" => Err("its curve is not Ed25519"),
        "oct" => Ok((DecodingKey::from_secret(&Zeroizing::new(octets(jwk, "k")?)), None)),
        _ => Err("its kty is not supported"),
    }
}

/// Returns the number without its leading zero octets.
///
/// A `Base64urlUInt` has none, but producers have written them (RFC 7518 §2, §6.3.1.1).
pub(crate) fn without_leading_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

fn text<'a>(jwk: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    jwk.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
}

fn required<'a>(jwk: &'a Map<String, Value>, name: &str) -> Result<&'a str, &'static str> {
    text(jwk, name).ok_or("it is not a JWK: a required member is missing or not a string")
}

fn octets(jwk: &Map<String, Value>, name: &str) -> Result<Vec<u8>, &'static str> {
    let decoded = BASE64URL.decode(required(jwk, name)?);
    decoded.map_err(|_| "its parameters cannot be decoded")
}
