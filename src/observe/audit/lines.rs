use std::mem;

use super::{class::AuditClass, date::Day};

/// Buffers that became larger than this in a burst are freed.
const KEPT_BYTES: usize = 256 * 1_024;
const KEPT_LINES: usize = 4_096;

/// Lines, and what must be known of each of them.
#[derive(Default)]
pub(super) struct Lines {
    text: Vec<u8>,
    entries: Vec<Entry>,
}

#[derive(Clone, Copy)]
pub(super) struct Entry {
    /// `None` for a line of the log itself.
    pub(super) class: Option<AuditClass>,
    /// The length of the line.
    pub(super) bytes: usize,
    pub(super) day: Day,
}

impl Lines {
    pub(super) fn push(&mut self, line: &[u8], entry: Entry) {
        self.text.extend_from_slice(line);
        self.entries.push(entry);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Appends the lines to `other`, and leaves this empty.
    pub(super) fn move_to(&mut self, other: &mut Self) {
        if other.is_empty() {
            mem::swap(self, other);
        } else {
            other.text.extend_from_slice(&self.text);
            other.entries.extend_from_slice(&self.entries);
        }
        self.clear();
    }

    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.entries.clear();
        self.text.shrink_to(KEPT_BYTES);
        self.entries.shrink_to(KEPT_LINES);
    }

    /// Returns the first lines that `accepts` accepts, and their entries.
    pub(super) fn first(
        &self,
        mut accepts: impl FnMut(&Entry, usize) -> bool,
    ) -> (&[u8], &[Entry]) {
        let mut bytes = 0;
        let count = self.entries.iter().take_while(|entry| {
            let is_accepted = accepts(entry, bytes);
            bytes += if is_accepted { entry.bytes } else { 0 };
            is_accepted
        });
        let count = count.count();
        let text = self.text.get(..bytes).unwrap_or_default();
        (text, self.entries.get(..count).unwrap_or_default())
    }

    /// Removes the first lines.
    pub(super) fn remove_first(&mut self, count: usize) {
        let removed = self.entries.drain(..count.min(self.entries.len()));
        let bytes: usize = removed.map(|entry| entry.bytes).sum();
        self.text.drain(..bytes.min(self.text.len()));
        if self.is_empty() {
            self.clear();
        }
    }
}
