use std::io::Write as _;

use bytes::Bytes;

use crate::store::key::{GroupKind, Groups, StoreKey};

/// A record, and when it expires.
///
/// It is a part of the nodes of a tree, so it is small. Counters need no other memory.
pub(super) struct Stored {
    /// In nanoseconds of the monotonic clock.
    pub(super) expires_at: u64,
    content: Content,
}

enum Content {
    Counter(i64),
    Record(Box<Record>),
}

struct Record {
    groups: RecordGroups,
    value: Value,
}

/// The groups of a record. Zero is none.
#[derive(Clone, Copy)]
struct RecordGroups {
    subject: u64,
    issuer: u64,
    instant: u64,
}

/// A sealed value of a revocation record fits into the variant without another allocation.
enum Value {
    Short { length: u8, bytes: [u8; Self::SHORT] },
    Long(Bytes),
}

impl Value {
    const SHORT: usize = 46;

    fn new(value: &[u8]) -> Self {
        let mut bytes = [0; Self::SHORT];
        match (bytes.get_mut(..value.len()), u8::try_from(value.len())) {
            (Some(start), Ok(length)) => {
                start.copy_from_slice(value);
                Self::Short { length, bytes }
            }
            // The value can be a part of a larger buffer, which it must not keep alive.
            _ => Self::Long(Bytes::copy_from_slice(value)),
        }
    }

    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Short { length, bytes } => bytes.get(..usize::from(*length)).unwrap_or_default(),
            Self::Long(bytes) => bytes,
        }
    }
}

/// A group of which all members are replaced by one record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Replaced {
    pub(super) kind: GroupKind,
    pub(super) group: u64,
    /// Tokens that were issued until then are rejected because of that one record.
    pub(super) instant: u64,
    /// The key of that one record.
    pub(super) by: [u8; 32],
}

impl Replaced {
    /// Returns the group that the record with this key replaces.
    pub(super) fn by(key: &StoreKey) -> Option<Self> {
        let groups = key.groups;
        let kind = groups.replaces?;
        let group = match kind {
            GroupKind::Subject => groups.subject?,
            GroupKind::Issuer => groups.issuer?,
        };
        Some(Self { kind, group, instant: groups.instant, by: *key.as_bytes() })
    }
}

/// Writes a counter as decimal digits, with one allocation.
fn to_digits(count: i64) -> Bytes {
    let mut digits = [0; 20];
    let mut rest = &mut digits[..];
    // The longest number has 20 characters.
    let _ = write!(rest, "{count}");
    let free = rest.len();
    Bytes::copy_from_slice(digits.get(..digits.len() - free).unwrap_or_default())
}

impl Stored {
    /// About what a counter takes: its share of a node that is half full.
    pub(super) const BYTES: usize = 112;
    /// About what a record takes in addition, with the overhead of the allocator.
    const RECORD_BYTES: usize = size_of::<Record>() + 16;

    /// Returns about how many bytes a record with this value takes.
    pub(super) fn bytes_of(value: &[u8]) -> usize {
        let long = if value.len() > Value::SHORT { value.len().saturating_add(32) } else { 0 };
        (Self::BYTES + Self::RECORD_BYTES).saturating_add(long)
    }

    pub(super) fn new(value: &[u8], groups: &Groups, expires_at: u64) -> Self {
        let groups = RecordGroups {
            subject: groups.subject.unwrap_or_default(),
            issuer: groups.issuer.unwrap_or_default(),
            instant: groups.instant,
        };
        let value = Value::new(value);
        Self { expires_at, content: Content::Record(Box::new(Record { groups, value })) }
    }

    pub(super) fn counter(count: i64, expires_at: u64) -> Self {
        Self { expires_at, content: Content::Counter(count) }
    }

    pub(super) fn is_live(&self, now: u64) -> bool {
        now < self.expires_at
    }

    /// Returns about how many bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        match &self.content {
            Content::Counter(_) => Self::BYTES,
            Content::Record(record) => Self::bytes_of(record.value.as_slice()),
        }
    }

    pub(super) fn to_bytes(&self) -> Bytes {
        match &self.content {
            Content::Counter(count) => to_digits(*count),
            Content::Record(record) => match &record.value {
                Value::Long(bytes) => bytes.clone(),
                short @ Value::Short { .. } => Bytes::copy_from_slice(short.as_slice()),
            },
        }
    }

    pub(super) fn has_value(&self, value: &[u8]) -> bool {
        match &self.content {
            Content::Counter(count) => count.to_string().as_bytes() == value,
            Content::Record(record) => record.value.as_slice() == value,
        }
    }

    /// Returns the count, if the value is a whole number.
    pub(super) fn count(&self) -> Option<i64> {
        match &self.content {
            Content::Counter(count) => Some(*count),
            Content::Record(record) => {
                let value = record.value.as_slice();
                let count: i64 = str::from_utf8(value).ok()?.parse().ok()?;
                // Not "+1" or "01", which would become another value.
                (count.to_string().as_bytes() == value).then_some(count)
            }
        }
    }

    pub(super) fn is_in_group(&self, kind: GroupKind, group: u64) -> bool {
        match &self.content {
            Content::Counter(_) => false,
            Content::Record(record) => match kind {
                GroupKind::Subject => record.groups.subject == group,
                GroupKind::Issuer => record.groups.issuer == group,
            },
        }
    }

    /// Returns whether the one record of this group rejects all that this one rejects.
    pub(super) fn is_replaced(&self, key: &[u8; 32], replaced: &Replaced) -> bool {
        self.is_in_group(replaced.kind, replaced.group)
            && self.instant() <= replaced.instant
            && *key != replaced.by
    }

    /// Returns the instant until which this record rejects tokens.
    pub(super) fn instant(&self) -> u64 {
        match &self.content {
            Content::Counter(_) => 0,
            Content::Record(record) => record.groups.instant,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Otherwise, a million records take more memory than documented.
    #[test]
    fn records_are_compact() {
        assert_eq!(size_of::<Stored>(), 24);
        assert_eq!(size_of::<Record>(), 72);
    }

    #[test]
    fn value_is_what_was_stored_at_any_length() {
        for length in 0..100 {
            let value: Vec<u8> = (0..length).collect();
            let stored = Stored::new(&value, &Groups::default(), 1);
            assert_eq!(stored.to_bytes(), value);
            assert!(stored.has_value(&value) && !stored.has_value(b"other"));
        }
    }
}
