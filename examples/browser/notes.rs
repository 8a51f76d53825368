//! What a caller can read and change.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{extract::State, http::StatusCode};
use tower_auth::Principal;

/// The latest notes of all callers.
#[derive(Clone, Default)]
pub struct Notes(Arc<Mutex<VecDeque<String>>>);

impl Notes {
    pub const MAX_NOTE_BYTES: usize = 4096;
    const MAX_NOTES: usize = 100;

    pub fn add(&self, caller: &Principal, text: &str) -> String {
        let note = format!("{}: {}", caller.subject(), text.trim_end());
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if notes.len() == Self::MAX_NOTES {
            notes.pop_front();
        }
        notes.push_back(note.clone());
        note
    }

    fn list(&self) -> String {
        let notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        notes.iter().map(|note| format!("{note}\n")).collect()
    }
}

pub async fn list(State(notes): State<Notes>) -> String {
    notes.list()
}

/// Adds the body as a note. Any content type is accepted, as many services do, so only the
/// cross-site check protects this route.
pub async fn add(
    caller: Principal,
    State(notes): State<Notes>,
    body: String,
) -> (StatusCode, String) {
    (StatusCode::CREATED, notes.add(&caller, &body))
}
