use std::sync::Arc;

use x509_cert::der::{self, Class, Decode, Reader, SliceReader, asn1::AnyRef};

use super::certificate_fault::CertificateFault;

/// The most entries of a certificate that are read.
const MAX_NAMES: usize = 64;

/// The names in the subject alternative name extension of a certificate (RFC 5280 §4.2.1.6), by
/// type.
///
/// They are as the certificate has them, not checked.
#[derive(Debug, Default)]
pub(crate) struct SubjectNames {
    pub(crate) emails: Entries,
    pub(crate) dns_names: Entries,
    pub(crate) uris: Entries,
}

/// The entries of one type.
#[derive(Debug, Default)]
pub(crate) enum Entries {
    #[default]
    None,
    One(Arc<str>),
    /// There is one, which is not ASCII.
    Invalid,
    Several,
}

impl SubjectNames {
    /// Reads the value of the extension. Entries of other types are ignored.
    ///
    /// The entries are read one after the other, without a list: a certificate can have thousands.
    pub(crate) fn parse(extension: &[u8]) -> Result<Self, CertificateFault> {
        let malformed = |_: der::Error| CertificateFault::Malformed;
        let list = AnyRef::from_der(extension).map_err(malformed)?;
        if list.header().tag() != der::Tag::Sequence {
            return Err(CertificateFault::Malformed);
        }
        let mut reader = SliceReader::new(list.value()).map_err(malformed)?;
        let mut names = Self::default();
        let mut count = 0;
        while !reader.is_finished() {
            count += 1;
            if count > MAX_NAMES {
                return Err(CertificateFault::TooManyNames);
            }
            names.add(AnyRef::decode(&mut reader).map_err(malformed)?)?;
        }
        Ok(names)
    }

    fn add(&mut self, entry: AnyRef<'_>) -> Result<(), CertificateFault> {
        let tag = entry.header().tag();
        if tag.class() != Class::ContextSpecific {
            return Err(CertificateFault::Malformed);
        }
        let entries = match tag.number().value() {
            1 => &mut self.emails,
            2 => &mut self.dns_names,
            6 => &mut self.uris,
            0 | 3..=5 | 7 | 8 => return Ok(()),
            _ => return Err(CertificateFault::Malformed),
        };
        // An IA5String has no parts.
        if tag.is_constructed() {
            return Err(CertificateFault::Malformed);
        }
        entries.add(entry.value());
        Ok(())
    }
}

impl Entries {
    fn add(&mut self, value: &[u8]) {
        *self = match (&self, std::str::from_utf8(value)) {
            (Self::None, Ok(text)) if text.is_ascii() => Self::One(text.into()),
            (Self::None, _) => Self::Invalid,
            _ => Self::Several,
        };
    }

    /// Returns the only entry.
    pub(crate) fn only(&self) -> Result<&Arc<str>, CertificateFault> {
        match self {
            Self::One(text) => Ok(text),
            Self::None => Err(CertificateFault::NoName),
            Self::Invalid => Err(CertificateFault::InvalidName),
            Self::Several => Err(CertificateFault::SeveralNames),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mtls::test_certificate::tlv;

    /// A list of entries: the number of the type and the value.
    fn list(entries: &[(u8, &[u8])]) -> Vec<u8> {
        let entries: Vec<_> =
            entries.iter().flat_map(|(number, value)| tlv(0x80 | number, value)).collect();
        tlv(0x30, &entries)
    }

    fn parse(entries: &[(u8, &[u8])]) -> Result<SubjectNames, CertificateFault> {
        SubjectNames::parse(&list(entries))
    }

    #[test]
    fn entries_are_sorted_by_type_and_other_types_are_ignored() {
        let names = parse(&[
            (1, b"a@example.com"),
            (2, b"a.example"),
            (7, &[127, 0, 0, 1]),
            (6, b"spiffe://example.org/a"),
            (8, &[0x2a]),
            (3, b"x"),
        ])
        .unwrap();
        assert_eq!(&**names.emails.only().unwrap(), "a@example.com");
        assert_eq!(&**names.dns_names.only().unwrap(), "a.example");
        assert_eq!(&**names.uris.only().unwrap(), "spiffe://example.org/a");
    }

    #[test]
    fn several_missing_and_non_ascii_entries_are_not_the_only_entry() {
        let names = parse(&[(2, b"a"), (2, b"b"), (6, "ü".as_bytes()), (6, b"x:y")]).unwrap();
        assert_eq!(names.dns_names.only(), Err(CertificateFault::SeveralNames));
        assert_eq!(names.uris.only(), Err(CertificateFault::SeveralNames));
        assert_eq!(names.emails.only(), Err(CertificateFault::NoName));
        // Equal entries as well.
        let names = parse(&[(2, b"a"), (2, b"a"), (2, b"a"), (6, b"\xff"), (1, "ü".as_bytes())]);
        let names = names.unwrap();
        assert_eq!(names.dns_names.only(), Err(CertificateFault::SeveralNames));
        assert_eq!(names.uris.only(), Err(CertificateFault::InvalidName));
        assert_eq!(names.emails.only(), Err(CertificateFault::InvalidName));
    }

    #[test]
    fn more_than_64_entries_are_rejected() {
        let entry: (u8, &[u8]) = (7, &[127, 0, 0, 1]);
        assert!(parse(&vec![entry; MAX_NAMES]).is_ok());
        let fault = parse(&vec![entry; MAX_NAMES + 1]).unwrap_err();
        assert_eq!(fault, CertificateFault::TooManyNames);
    }

    #[test]
    fn malformed_lists_are_rejected() {
        let valid = list(&[(2, b"a.example")]);
        assert!(SubjectNames::parse(&valid).is_ok());
        let with = |index: usize, byte: u8| {
            let mut der = valid.clone();
            der[index] = byte;
            der
        };
        for (der, what) in [
            (Vec::new(), "empty"),
            ([&valid[..], &[0]].concat(), "trailing byte"),
            (valid[..valid.len() - 1].to_vec(), "truncated"),
            (with(0, 0x31), "a set"),
            (with(2, 0xa2), "constructed"),
            (with(2, 0x89), "unknown type"),
            (with(2, 0x16), "universal tag"),
            (with(2, 0x42), "application tag"),
            (with(3, 10), "entry beyond the end"),
        ] {
            let fault = SubjectNames::parse(&der).unwrap_err();
            assert_eq!(fault, CertificateFault::Malformed, "{what}");
        }
    }
}
