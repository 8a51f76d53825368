//! Certificates with any content, for tests. The signature is not valid.

use std::time::SystemTime;

use x509_cert::der::{
    Encode,
    asn1::{GeneralizedTime, ObjectIdentifier},
};

/// The first second in which the certificates are valid, and the first in which they are not.
pub(super) const NOT_BEFORE: u64 = 1_800_000_000;
pub(super) const NOT_AFTER: u64 = 1_800_003_600;

pub(super) const SUBJECT_ALT_NAME: &str = "2.5.29.17";
pub(super) const KEY_USAGE: &str = "2.5.29.15";
pub(super) const BASIC_CONSTRAINTS: &str = "2.5.29.19";
pub(super) const EXTENDED_KEY_USAGE: &str = "2.5.29.37";

pub(super) fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds)
}

/// A certificate with a common name and the subject alternative names that are added.
#[derive(Clone)]
pub(super) struct TestCertificate {
    names: Vec<u8>,
    extensions: Vec<u8>,
}

impl TestCertificate {
    pub(super) fn new() -> Self {
        Self { names: Vec::new(), extensions: Vec::new() }
    }

    /// Adds a name, with the number of its type.
    pub(super) fn name(mut self, number: u8, value: impl AsRef<[u8]>) -> Self {
        self.names.extend(tlv(0x80 | number, value.as_ref()));
        self
    }

    pub(super) fn email(self, address: &str) -> Self {
        self.name(1, address)
    }

    pub(super) fn dns(self, name: &str) -> Self {
        self.name(2, name)
    }

    pub(super) fn uri(self, uri: &str) -> Self {
        self.name(6, uri)
    }

    /// Adds an extension.
    pub(super) fn extension(mut self, id: &str, value: &[u8]) -> Self {
        let id = ObjectIdentifier::new_unwrap(id).to_der().unwrap();
        let extension = [id, tlv(4, value)].concat();
        self.extensions.extend(tlv(0x30, &extension));
        self
    }

    pub(super) fn ca(self, is_ca: bool) -> Self {
        let value: &[u8] = if is_ca { &[0x30, 3, 1, 1, 0xff] } else { &[0x30, 0] };
        self.extension(BASIC_CONSTRAINTS, value)
    }

    /// Adds the key usage, with the bits of the first byte, from the left.
    pub(super) fn key_usage(self, bits: u8) -> Self {
        let unused = u8::try_from(bits.trailing_zeros()).unwrap();
        self.extension(KEY_USAGE, &[3, 2, unused, bits])
    }

    pub(super) fn extended_key_usage(self, ids: &[&str]) -> Self {
        let ids: Vec<_> =
            ids.iter().flat_map(|id| ObjectIdentifier::new_unwrap(id).to_der().unwrap()).collect();
        self.extension(EXTENDED_KEY_USAGE, &tlv(0x30, &ids))
    }

    pub(super) fn der(&self) -> Vec<u8> {
        let this = match self.names.is_empty() {
            true => self.clone(),
            false => self.clone().extension(SUBJECT_ALT_NAME, &tlv(0x30, &self.names)),
        };
        let time = |seconds| {
            let time = at(seconds).duration_since(SystemTime::UNIX_EPOCH).unwrap();
            GeneralizedTime::from_unix_duration(time).unwrap().to_der().unwrap()
        };
        let oid = |id| ObjectIdentifier::new_unwrap(id).to_der().unwrap();
        let algorithm = tlv(0x30, &oid("1.2.840.10045.4.3.2"));
        let common_name = [oid("2.5.4.3"), tlv(0x0c, b"common.example")].concat();
        let name = tlv(0x30, &tlv(0x31, &tlv(0x30, &common_name)));
        let key = tlv(0x30, &[algorithm.clone(), tlv(3, &[0, 1])].concat());
        let mut parts = vec![
            tlv(0xa0, &[2, 1, 2]),
            vec![2, 1, 1],
            algorithm.clone(),
            name.clone(),
            tlv(0x30, &[time(NOT_BEFORE), time(NOT_AFTER)].concat()),
            name,
            key,
        ];
        if !this.extensions.is_empty() {
            parts.push(tlv(0xa3, &tlv(0x30, &this.extensions)));
        }
        let to_be_signed = tlv(0x30, &parts.concat());
        tlv(0x30, &[to_be_signed, algorithm, tlv(3, &[0, 1])].concat())
    }
}

/// Encodes a value with its tag and length.
pub(super) fn tlv(tag: u8, value: &[u8]) -> Vec<u8> {
    let length = u32::try_from(value.len()).unwrap().to_be_bytes();
    let length = match value.len() {
        0..=0x7f => vec![length[3]],
        0x80..=0xff => vec![0x81, length[3]],
        0x100..=0xffff => vec![0x82, length[2], length[3]],
        _ => vec![0x83, length[1], length[2], length[3]],
    };
    [vec![tag], length, value.to_vec()].concat()
}
