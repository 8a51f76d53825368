use std::{
    io, mem,
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::{
    class::{AuditClass, PerClass},
    date::Day,
    drops::AuditDrops,
    identity::SubjectForms,
    lines::{Entry, Lines},
    reply::Sender,
};
use crate::clock::{Clock as _, SystemClock};

/// How long lines that are not urgent are collected, so that not each of them wakes the thread.
const GATHERING: Duration = Duration::from_millis(50);

/// The lines that wait to be written, in the order of the events.
///
/// There is one queue, and each class has its own limits in it. Lines count until they are written,
/// so the limits also bound what the writing thread holds.
pub(super) struct Queue {
    state: Mutex<State>,
    wake: Condvar,
    limits: Limits,
    is_nearly_full: AtomicBool,
}

/// The limits of each class.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) lines: usize,
    pub(super) bytes: usize,
}

#[derive(Default)]
struct State {
    lines: Lines,
    used: PerClass<Used>,
    has_urgent_line: bool,
    dropped: AuditDrops,
    /// The dropped events about which no line was written yet.
    unreported: AuditDrops,
    commands: Vec<Command>,
    sleep: Sleep,
    /// All handles were dropped.
    is_closed: bool,
    /// The thread has ended.
    has_ended: bool,
}

#[derive(Clone, Copy, Default)]
struct Used {
    lines: usize,
    bytes: usize,
}

/// What wakes the thread. Commands always do.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Sleep {
    #[default]
    Awake,
    UntilAnyLine,
    UntilUrgentLine,
    UntilCommand,
}

/// A call that waits for the thread.
pub(super) enum Command {
    Flush(Sender<io::Result<()>>),
    Forget(SubjectForms, Sender<io::Result<u64>>),
}

/// What the thread got from the queue.
#[derive(Default)]
pub(super) struct Taken {
    pub(super) commands: Vec<Command>,
    pub(super) drops: AuditDrops,
    pub(super) is_closed: bool,
}

impl Queue {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            state: Mutex::default(),
            wake: Condvar::new(),
            limits,
            is_nearly_full: AtomicBool::new(false),
        }
    }

    /// Adds a line. Returns `false` if it was dropped.
    pub(super) fn push(&self, line: &[u8], class: AuditClass, day: Day) -> bool {
        let mut guard = self.lock();
        let state = &mut *guard;
        let (used, limits) = (state.used.get_mut(class), self.limits);
        let bytes = used.bytes.saturating_add(line.len());
        if used.lines >= limits.lines || bytes > limits.bytes || state.has_ended {
            state.dropped.add(class);
            state.unreported.add(class);
            return false;
        }
        *used = Used { lines: used.lines + 1, bytes };
        let is_half_full = used.lines > limits.lines / 2 || bytes > limits.bytes / 2;
        state.lines.push(line, Entry { class: Some(class), bytes: line.len(), day });
        state.has_urgent_line |= is_half_full || class == AuditClass::Security;
        let must_wake = match state.sleep {
            Sleep::UntilAnyLine => true,
            Sleep::UntilUrgentLine => state.has_urgent_line,
            Sleep::Awake | Sleep::UntilCommand => false,
        };
        if must_wake {
            state.sleep = Sleep::Awake;
        }
        if class == AuditClass::Security {
            self.update_nearly_full(state);
        }
        drop(guard);
        if must_wake {
            self.wake.notify_one();
        }
        true
    }

    /// Gives the thread a command.
    pub(super) fn command(&self, command: Command) {
        let mut state = self.lock();
        // If the thread has ended, the call is answered when the command is dropped.
        if !state.has_ended {
            state.commands.push(command);
        }
        self.wake(state);
    }

    /// Makes the thread write what is in the queue, and end.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.is_closed = true;
        self.wake(state);
    }

    fn wake(&self, mut state: MutexGuard<'_, State>) {
        state.sleep = Sleep::Awake;
        drop(state);
        self.wake.notify_one();
    }

    /// Waits for lines or a command, but not longer than `idle`. Moves the lines to `lines`.
    pub(super) fn take(&self, lines: &mut Lines, idle: Duration) -> Taken {
        let mut state = self.lock();
        if !state.has_work() {
            state = self.sleep(state, Sleep::UntilAnyLine, idle);
        }
        if state.has_work() && !state.is_urgent() {
            state = self.sleep(state, Sleep::UntilUrgentLine, GATHERING);
        }
        let drops = mem::take(&mut state.unreported);
        Taken { drops, ..state.take(lines) }
    }

    /// Waits before the next attempt to write, or until there is a command.
    ///
    /// Drops are not taken: a line about them needs space, too.
    pub(super) fn back_off(&self, lines: &mut Lines, wait: Duration) -> Taken {
        let mut state = self.lock();
        if state.commands.is_empty() {
            state = self.sleep(state, Sleep::UntilCommand, wait);
        }
        state.take(lines)
    }

    fn sleep<'a>(
        &self,
        mut state: MutexGuard<'a, State>,
        sleep: Sleep,
        limit: Duration,
    ) -> MutexGuard<'a, State> {
        let start = SystemClock.elapsed();
        state.sleep = sleep;
        while state.sleep != Sleep::Awake {
            let left = limit.saturating_sub(SystemClock.elapsed().saturating_sub(start));
            if left.is_zero() {
                state.sleep = Sleep::Awake;
            } else {
                let woken = self.wake.wait_timeout(state, left);
                state = woken.unwrap_or_else(PoisonError::into_inner).0;
            }
        }
        state
    }

    /// Makes space for lines that were written.
    pub(super) fn release(&self, entries: &[Entry]) {
        let mut state = self.lock();
        state.release(entries);
        self.update_nearly_full(&state);
    }

    /// Drops all lines, and those that the thread has not written. Later ones are dropped, too.
    pub(super) fn end(&self, lines: &mut Lines) {
        let mut guard = self.lock();
        let state = &mut *guard;
        state.has_ended = true;
        state.lines.move_to(lines);
        for class in lines.entries().iter().filter_map(|entry| entry.class) {
            state.dropped.add(class);
        }
        state.release(lines.entries());
        self.update_nearly_full(state);
        let commands = mem::take(&mut state.commands);
        drop(guard);
        lines.clear();
        // This wakes the calls that wait for them.
        drop(commands);
    }

    pub(super) fn dropped(&self) -> AuditDrops {
        self.lock().dropped
    }

    /// Returns whether less than an eighth of the space for security events is free.
    #[inline]
    pub(super) fn is_nearly_full(&self) -> bool {
        self.is_nearly_full.load(Ordering::Relaxed)
    }

    fn update_nearly_full(&self, state: &State) {
        let (used, limits) = (state.used.security, self.limits);
        let is_nearly_full = state.has_ended
            || limits.lines.saturating_sub(used.lines) < limits.lines.div_ceil(8)
            || limits.bytes.saturating_sub(used.bytes) < limits.bytes.div_ceil(8);
        self.is_nearly_full.store(is_nearly_full, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn has_work(&self) -> bool {
        !self.lines.is_empty() || self.unreported != AuditDrops::default() || self.is_urgent()
    }

    fn is_urgent(&self) -> bool {
        self.has_urgent_line || !self.commands.is_empty() || self.is_closed
    }

    fn take(&mut self, lines: &mut Lines) -> Taken {
        self.lines.move_to(lines);
        self.has_urgent_line = false;
        Taken {
            commands: mem::take(&mut self.commands),
            drops: AuditDrops::default(),
            is_closed: self.is_closed,
        }
    }

    fn release(&mut self, entries: &[Entry]) {
        for entry in entries {
            let Some(class) = entry.class else { continue };
            let used = self.used.get_mut(class);
            used.lines = used.lines.saturating_sub(1);
            used.bytes = used.bytes.saturating_sub(entry.bytes);
        }
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
