use std::{
    io::{self, ErrorKind, Write},
    sync::{Arc, Condvar, Mutex},
};

use serde_json::Value;

/// A writer that a test controls.
#[derive(Clone, Default)]
pub(super) struct Gate(Arc<(Mutex<GateState>, Condvar)>);

#[derive(Default)]
struct GateState {
    output: Vec<u8>,
    is_closed: bool,
    is_waiting: bool,
    /// The next writes: at most so many bytes, then an error.
    failures: Vec<(usize, Failure)>,
    flushes: usize,
    writes: usize,
}

#[derive(Clone, Copy)]
pub(super) enum Failure {
    Error(ErrorKind),
    Panic,
}

impl Gate {
    fn set(&self, set: impl FnOnce(&mut GateState)) {
        set(&mut self.0.0.lock().unwrap());
        self.0.1.notify_all();
    }

    /// Blocks the thread of the log in its next write.
    pub(super) fn close(&self) {
        self.set(|state| state.is_closed = true);
    }

    pub(super) fn open(&self) {
        self.set(|state| state.is_closed = false);
    }

    pub(super) fn wait_until_blocked(&self) {
        let state = self.0.0.lock().unwrap();
        drop(self.0.1.wait_while(state, |state| !state.is_waiting).unwrap());
    }

    pub(super) fn fail(&self, failures: &[(usize, Failure)]) {
        self.set(|state| state.failures = failures.iter().rev().copied().collect());
    }

    pub(super) fn flushes(&self) -> usize {
        self.0.0.lock().unwrap().flushes
    }

    pub(super) fn writes(&self) -> usize {
        self.0.0.lock().unwrap().writes
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8(self.0.0.lock().unwrap().output.clone()).unwrap()
    }

    pub(super) fn lines(&self) -> Vec<Value> {
        let text = self.text();
        assert!(text.is_empty() || text.ends_with('\n'), "{text}");
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Write for Gate {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let mut state = self.0.0.lock().unwrap();
        state.is_waiting = true;
        state.writes += 1;
        self.0.1.notify_all();
        state = self.0.1.wait_while(state, |state| state.is_closed).unwrap();
        state.is_waiting = false;
        if let Some((bytes, failure)) = state.failures.pop() {
            if bytes > 0 {
                state.failures.push((0, failure));
                let bytes = bytes.min(text.len());
                state.output.extend_from_slice(&text[..bytes]);
                return Ok(bytes);
            }
            drop(state);
            match failure {
                Failure::Error(kind) => return Err(kind.into()),
                Failure::Panic => panic!("a test of a writer that panics"),
            }
        }
        state.output.extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.set(|state| state.flushes += 1);
        Ok(())
    }
}
