//! When each key is created, becomes active and is dropped.
//!
//! A list has the keys that are retained, the active one, and its successor, which is already
//! published. So the active key can be replaced at any time. Which key is active follows from the
//! time alone, without a write.

use std::time::Duration;

use jsonwebtoken::Algorithm;

use super::{
    document::{MAX_INSTANT, MAX_KEYS, StoredKey},
    keys_error::KeysError,
};

/// How far the clocks of two instances may differ, with a reserve.
pub(super) const CLOCK_DIFFERENCE: u64 = 60;
/// How long a key is retained after its last token has expired. After a rotation by hand, an
/// instance signs with the previous key for up to a minute, and four clocks are involved: those of
/// the instances that rotate, sign and drop, and that of the service that verifies.
pub(super) const RETAIN_MARGIN: u64 = 180;

/// The rules for one list of keys. All times are in seconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeySchedule {
    pub(super) algorithm: Algorithm,
    /// How long a key is active.
    pub(super) rotate_after: u64,
    /// The shortest time from the creation of a key to its use.
    pub(super) publish_ahead: u64,
    /// How long a key is retained after its successor has become active.
    pub(super) retain: u64,
}

/// Returns the index of the active key: the last one whose time has come. There is always one,
/// because the clock of the instance that created the first key can be ahead.
pub(super) fn active_index(starts: impl Iterator<Item = u64>, now: u64) -> usize {
    starts.take_while(|active_from| *active_from <= now).count().saturating_sub(1)
}

impl KeySchedule {
    /// Creates the rules of keys that are retained for this long. At most eight are.
    pub(super) fn new(
        algorithm: Algorithm,
        rotate_after: Duration,
        publish_ahead: Duration,
        retain: u64,
    ) -> Self {
        let rotate_after = rotate_after.as_secs().max(retain / 8);
        Self { algorithm, rotate_after, publish_ahead: publish_ahead.as_secs(), retain }
    }

    /// Drops and creates the keys whose time has come. Returns whether there were any.
    pub(super) fn advance(&self, keys: &mut Vec<StoredKey>, now: u64) -> Result<bool, KeysError> {
        let mut is_changed = keys.is_empty();
        if is_changed {
            keys.push(self.generate(now, now)?);
        }
        let active = active(keys, now);
        let next = keys.iter().skip(1).take(active);
        let dropped = next.take_while(|next| next.active_from + self.retain <= now).count();
        keys.drain(..dropped);
        is_changed |= dropped > 0;
        let has_successor = active - dropped + 1 < keys.len();
        if let Some(last) = keys.last().filter(|_| !has_successor && keys.len() < MAX_KEYS) {
            let from = (last.active_from + self.rotate_after).max(now + self.publish_ahead);
            keys.push(self.generate(now, from)?);
            is_changed = true;
        }
        Ok(is_changed)
    }

    /// Replaces a successor that has another algorithm. Returns whether there was one.
    pub(super) fn change_algorithm(
        &self,
        keys: &mut Vec<StoredKey>,
        now: u64,
    ) -> Result<bool, KeysError> {
        let Some(last) = keys.last().filter(|last| last.algorithm != self.algorithm) else {
            return Ok(false);
        };
        // Otherwise, an instance whose clock is ahead can have signed with it.
        if last.active_from > now + CLOCK_DIFFERENCE && keys.len() > 1 {
            keys.pop();
        } else if keys.len() == MAX_KEYS {
            return Ok(false);
        }
        // The only key can be one whose time has not come.
        let earliest = keys.last().map_or(now, |last| last.active_from);
        keys.push(self.generate(now, earliest.max(now + self.publish_ahead))?);
        Ok(true)
    }

    /// Makes the successor the active key now.
    pub(super) fn rotate(&self, keys: &mut Vec<StoredKey>, now: u64) -> Result<(), KeysError> {
        self.advance(keys, now)?;
        if keys.len() == MAX_KEYS {
            return Err(KeysError::new(
                "there are too many keys: wait until the tokens of older keys have expired",
            ));
        }
        let successor = active(keys, now) + 1;
        activate(keys, successor, now);
        self.advance(keys, now)?;
        Ok(())
    }

    /// Drops a key. If it is active, its successor becomes active. Returns whether there was one.
    pub(super) fn remove(
        &self,
        keys: &mut Vec<StoredKey>,
        id: &str,
        now: u64,
    ) -> Result<bool, KeysError> {
        let Some(index) = keys.iter().position(|key| *key.id == *id) else { return Ok(false) };
        let was_active = index == active(keys, now);
        keys.remove(index);
        if was_active {
            activate(keys, index, now);
            if index == keys.len() {
                keys.push(self.generate(now, now)?);
            }
        }
        self.advance(keys, now)?;
        Ok(true)
    }

    /// Returns when the list changes next.
    pub(super) fn next_change(&self, keys: &[StoredKey], now: u64) -> u64 {
        let active = active(keys, now);
        let dropped = keys.iter().skip(1).take(active).map(|next| next.active_from + self.retain);
        let started = keys.iter().skip(active + 1).map(|successor| successor.active_from);
        dropped.chain(started).min().unwrap_or(u64::MAX)
    }

    fn generate(&self, now: u64, active_from: u64) -> Result<StoredKey, KeysError> {
        StoredKey::generate(self.algorithm, now, active_from.min(MAX_INSTANT))
    }
}

fn active(keys: &[StoredKey], now: u64) -> usize {
    active_index(keys.iter().map(|key| key.active_from), now)
}

/// Makes a key active now, but not before the key in front of it.
fn activate(keys: &mut [StoredKey], index: usize, now: u64) {
    let previous = index.checked_sub(1).and_then(|previous| keys.get(previous));
    let earliest = previous.map_or(now, |previous| previous.active_from.max(now));
    if let Some(key) = keys.get_mut(index) {
        key.active_from = key.active_from.min(earliest);
    }
}
