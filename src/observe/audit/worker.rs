use std::{
    io, mem,
    panic::{self, AssertUnwindSafe},
    path::PathBuf,
    sync::{Arc, atomic::Ordering, mpsc},
    thread,
    time::Duration,
};

use super::{
    class::AuditClass,
    date::{Day, Timestamp},
    drops::AuditDrops,
    forget::forget,
    identity::SubjectForms,
    line::Line,
    lines::{Entry, Lines},
    queue::{Command, Taken},
    reply::Sender,
    shared::Shared,
    sink::Sink,
};

/// The thread is woken after this time even if there are no events, to remove old files.
const IDLE: Duration = Duration::from_secs(60);
const MIN_BACKOFF: Duration = Duration::from_millis(50);
const MAX_BACKOFF: Duration = Duration::from_secs(5);
/// How often the thread tries to write the rest when the log was closed.
const LAST_ATTEMPTS: u32 = 5;
/// How much is written at once, so that its space is free again soon.
const MAX_CHUNK: usize = 512 * 1_024;

/// The thread that writes the lines.
pub(super) struct Worker {
    shared: Arc<Shared>,
    sink: Sink,
    /// The lines that were taken from the queue and are not written yet.
    lines: Lines,
    /// Whether the sink ends with a part of a line.
    has_partial_line: bool,
    /// Whether security events were written, but not synced.
    must_sync: bool,
    commands: Vec<Command>,
    forget_jobs: Option<mpsc::Sender<ForgetJob>>,
}

struct ForgetJob {
    directory: PathBuf,
    forms: SubjectForms,
    reply: Sender<io::Result<u64>>,
}

impl Worker {
    /// Starts the thread.
    pub(super) fn spawn(shared: Arc<Shared>, sink: Sink) -> io::Result<()> {
        let mut worker = Self {
            shared,
            sink,
            lines: Lines::default(),
            has_partial_line: false,
            must_sync: false,
            commands: Vec::new(),
            forget_jobs: None,
        };
        thread::Builder::new().name("tower-auth-audit".into()).spawn(move || worker.run())?;
        Ok(())
    }

    fn run(&mut self) {
        let mut failures = 0;
        self.clean();
        loop {
            let taken = match failures {
                0 => self.shared.queue.take(&mut self.lines, IDLE),
                _ => self.shared.queue.back_off(&mut self.lines, backoff(failures)),
            };
            let Taken { commands, drops, is_closed } = taken;
            self.commands.extend(commands);
            self.add_drops(drops);
            // The writer is code of the user.
            let result = panic::catch_unwind(AssertUnwindSafe(|| self.write()));
            let result = result.unwrap_or_else(|_| Err(io::Error::other("the writer panicked")));
            self.shared.is_failing.store(result.is_err(), Ordering::Relaxed);
            failures = match &result {
                Ok(()) => 0,
                Err(error) => {
                    self.shared.report(error);
                    failures.saturating_add(1)
                }
            };
            self.answer(&result);
            self.clean();
            if is_closed && (result.is_ok() || failures >= LAST_ATTEMPTS) {
                return;
            }
        }
    }

    /// Adds a line about dropped events.
    fn add_drops(&mut self, drops: AuditDrops) {
        if drops == AuditDrops::default() {
            return;
        }
        let (mut text, time) = (Vec::new(), Timestamp::of(self.shared.clock.now()));
        let mut line = Line::start(&mut text, time, "dropped");
        line.plain("admissions", drops.admissions());
        line.plain("rejections", drops.rejections());
        line.plain("denials", drops.denials());
        line.plain("security", drops.security());
        line.plain("operations", drops.operations());
        line.end();
        self.lines.push(&text, Entry { class: None, bytes: text.len(), day: time.day });
    }

    /// Writes all lines. After an error, those that are left are written by the next call.
    fn write(&mut self) -> io::Result<()> {
        while let Some(first) = self.lines.entries().first() {
            let day = first.day;
            if self.sink.select(day)? {
                self.has_partial_line = false;
            }
            if self.has_partial_line {
                self.sink.write(b"\n").1?;
                self.has_partial_line = false;
            }
            self.write_chunk(day)?;
        }
        let must_flush = !self.commands.is_empty() || matches!(self.sink, Sink::Writer(_));
        if self.must_sync || must_flush {
            self.sink.sync()?;
            self.must_sync = false;
        }
        Ok(())
    }

    /// Writes the first lines, which go to the selected file.
    fn write_chunk(&mut self, day: Day) -> io::Result<()> {
        let sink = &mut self.sink;
        let (text, entries) = self.lines.first(|entry, before| {
            sink.is_same_file(day, entry.day) && (before == 0 || before + entry.bytes <= MAX_CHUNK)
        });
        // If the writer panics, it is not known how much it has written.
        self.has_partial_line = true;
        let (written, result) = sink.write(text);
        let (mut complete, mut bytes) = (0, 0);
        for entry in entries {
            if bytes + entry.bytes > written {
                break;
            }
            bytes += entry.bytes;
            complete += 1;
        }
        self.has_partial_line = bytes < written;
        let complete = entries.get(..complete).unwrap_or_default();
        self.must_sync |= complete.iter().any(|entry| entry.class == Some(AuditClass::Security));
        self.shared.queue.release(complete);
        let complete = complete.len();
        self.lines.remove_first(complete);
        result
    }

    /// Answers the calls that wait for the result.
    fn answer(&mut self, result: &io::Result<()>) {
        for command in mem::take(&mut self.commands) {
            let failed = result.as_ref().err();
            let failed = failed.map(|error| io::Error::new(error.kind(), error.to_string()));
            match command {
                Command::Flush(reply) => reply.send(failed.map_or(Ok(()), Err)),
                Command::Forget(forms, reply) => match (failed, &self.sink) {
                    (Some(error), _) => reply.send(Err(error)),
                    (None, Sink::Writer(_)) => reply.send(Err(io::ErrorKind::Unsupported.into())),
                    (None, Sink::Directory(directory)) => {
                        let directory = directory.path().to_owned();
                        self.forget(ForgetJob { directory, forms, reply });
                    }
                },
            }
        }
    }

    /// Passes the job to another thread, because it can take long.
    fn forget(&mut self, job: ForgetJob) {
        let jobs = match &self.forget_jobs {
            Some(jobs) => jobs.clone(),
            None => {
                let (sender, jobs) = mpsc::channel::<ForgetJob>();
                let work = move || {
                    for ForgetJob { directory, forms, reply } in jobs {
                        reply.send(forget(&directory, &forms));
                    }
                };
                let thread = thread::Builder::new().name("tower-auth-forget".into()).spawn(work);
                if let Err(error) = thread {
                    return job.reply.send(Err(error));
                }
                self.forget_jobs.insert(sender).clone()
            }
        };
        if let Err(mpsc::SendError(job)) = jobs.send(job) {
            self.forget_jobs = None;
            job.reply.send(Err(io::Error::other("the thread has ended: try again")));
        }
    }

    /// Removes old files.
    fn clean(&mut self) {
        if let Sink::Directory(directory) = &mut self.sink
            && let Err(error) = directory.clean(Timestamp::of(self.shared.clock.now()).day)
        {
            self.shared.report(&error);
        }
    }
}

impl Drop for Worker {
    /// Runs when the thread ends, also by a panic.
    fn drop(&mut self) {
        self.shared.queue.end(&mut self.lines);
    }
}

fn backoff(failures: u32) -> Duration {
    MIN_BACKOFF.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1))).min(MAX_BACKOFF)
}
