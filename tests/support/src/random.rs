//! Random numbers that are the same in each run.

/// A generator of random numbers (SplitMix64).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns a number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % u64::try_from(end).unwrap()).unwrap()
    }

    /// Returns whether something with this chance happens.
    pub fn has(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// Returns one of the items.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }

    /// Changes some bytes: replaces, removes, inserts, swaps or repeats them.
    pub fn mutate(&mut self, bytes: &mut Vec<u8>, replacements: &[u8]) {
        for _ in 0..=self.below(3) {
            if bytes.is_empty() {
                bytes.push(*self.pick(replacements));
            }
            let (at, other) = (self.below(bytes.len()), self.below(bytes.len()));
            match self.below(8) {
                0 => bytes[at] ^= 1 << self.below(8),
                1 => bytes[at] = *self.pick(replacements),
                2 => drop(bytes.remove(at)),
                3 => bytes.insert(at, *self.pick(replacements)),
                4 => bytes.swap(at, other),
                5 => bytes.truncate(at),
                6 => bytes.extend_from_within(at..),
                _ => drop(bytes.drain(at.min(other)..at.max(other))),
            }
        }
    }
}
