use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, PoisonError, RwLock},
};

use metrics::{Counter, Label};

use super::names::OTHER;

/// Counters with a label whose values are not known in advance. At most `max` values get a series
/// of their own. `K` is the position of the other labels, which are closed sets.
pub(super) struct BoundedCounters<K> {
    label: &'static str,
    max: usize,
    state: RwLock<State<K>>,
}

struct State<K> {
    values: HashMap<Arc<str>, Value>,
    counters: HashMap<(Value, K), Counter>,
}

/// A value of the label.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Value {
    Absent,
    Known(usize),
    Other,
}

impl<K: Copy + Eq + Hash> BoundedCounters<K> {
    pub(super) fn new(label: &'static str, max: usize) -> Self {
        let state = State { values: HashMap::new(), counters: HashMap::new() };
        Self { label, max, state: RwLock::new(state) }
    }

    /// Increments the counter for a value and for the other labels. `register` creates it, with
    /// the label for the value, unless there is no recorder yet.
    pub(super) fn increment(
        &self,
        value: Option<&str>,
        others: K,
        register: impl FnOnce(Option<Label>) -> Option<Counter>,
    ) {
        if !self.increment_known(value, others) {
            self.add(value, others, register);
        }
    }

    fn increment_known(&self, value: Option<&str>, others: K) -> bool {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let counter = self
            .position(&state, value)
            .and_then(|position| state.counters.get(&(position, others)));
        if let Some(counter) = counter {
            counter.increment(1);
        }
        counter.is_some()
    }

    #[cold]
    fn add(
        &self,
        value: Option<&str>,
        others: K,
        register: impl FnOnce(Option<Label>) -> Option<Counter>,
    ) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let position = match (self.position(&state, value), value) {
            (None, Some(value)) => {
                let position = Value::Known(state.values.len());
                state.values.insert(value.into(), position);
                position
            }
            (position, _) => position.unwrap_or(Value::Absent),
        };
        // Another thread may have created it. A recorder then returns the same counter.
        let label = match position {
            Value::Absent => None,
            Value::Known(_) => value.map(|value| Label::new(self.label, value.to_owned())),
            Value::Other => Some(Label::from_static_parts(self.label, OTHER)),
        };
        if let Some(counter) = register(label) {
            counter.increment(1);
            state.counters.insert((position, others), counter);
        }
    }

    /// Returns the position of a value, or `None` if it is new and can be added.
    fn position(&self, state: &State<K>, value: Option<&str>) -> Option<Value> {
        let Some(value) = value else { return Some(Value::Absent) };
        let is_full = state.values.len() >= self.max;
        state.values.get(value).copied().or(is_full.then_some(Value::Other))
    }
}
