//! What an audit log contains of requests over real sockets.

mod flows;
mod guard;
mod hostile;

use std::{
    fs,
    io::{self, Write},
    path::Path,
    sync::{Arc, Condvar, Mutex},
};

use serde_json::Value;
use tower_auth::observe::AuditLog;

/// Returns the lines of all files of a log, in the order of the file names.
async fn lines(audit: &AuditLog, folder: &Path) -> Vec<Value> {
    audit.flush().await.unwrap();
    let text = text(folder);
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn text(folder: &Path) -> String {
    let mut files: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| fs::read_to_string(file).unwrap()).collect()
}

/// A writer that waits while it is closed, like a pipe that is not read.
#[derive(Clone, Default)]
struct Pipe(Arc<(Mutex<PipeState>, Condvar)>);

#[derive(Default)]
struct PipeState {
    is_closed: bool,
    bytes: usize,
}

impl Pipe {
    fn set_closed(&self, is_closed: bool) {
        self.0.0.lock().unwrap().is_closed = is_closed;
        self.0.1.notify_all();
    }

    fn bytes(&self) -> usize {
        self.0.0.lock().unwrap().bytes
    }
}

impl Write for Pipe {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let state = self.0.0.lock().unwrap();
        let mut state = self.0.1.wait_while(state, |state| state.is_closed).unwrap();
        state.bytes += text.len();
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
