//! Measures rows in interleaved rounds: every round measures every row once.
//!
//! Compare rows by the median, over all rounds, of the ratio within a round. A machine whose speed
//! changes during the run cannot put such rows in the wrong order.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

const ROUNDS: usize = 300;
/// How long a row is measured in one round.
const SLICE: Duration = Duration::from_millis(1);
/// Small batches stay in the processor caches, like requests that were just read from a socket.
const BATCH: usize = 64;

/// A function to measure.
pub struct Row<N> {
    pub name: N,
    work: Box<dyn Work>,
}

/// The nanoseconds of one call, for each round.
pub struct Measurement<N> {
    pub name: N,
    pub rounds: Vec<f64>,
}

impl<N> Row<N> {
    /// Creates a row. The time includes `call` and the drop of its result, but not `prepare`.
    pub fn new<I: 'static, O>(
        name: N,
        prepare: impl FnMut() -> I + 'static,
        call: impl FnMut(I) -> O + 'static,
    ) -> Self {
        Self { name, work: Box::new(Function { prepare, call, prepared: Vec::new() }) }
    }

    /// Prepares the next calls.
    pub fn prepare(&mut self, count: usize) {
        self.work.prepare(count);
    }

    /// Makes the calls that were prepared.
    pub fn run(&mut self) {
        self.work.run();
    }

    /// Returns the time of some batches of calls.
    fn time(&mut self, batches: usize, batch: usize) -> Duration {
        // The first batch brings code and data into the processor caches.
        self.prepare(batch);
        self.run();
        let mut total = Duration::ZERO;
        for _ in 0..batches {
            self.prepare(batch);
            let start = Instant::now();
            self.run();
            total += start.elapsed();
        }
        total
    }
}

/// Measures all rows.
pub fn measure<N>(rows: impl IntoIterator<Item = Row<N>>) -> Vec<Measurement<N>> {
    let mut rows: Vec<_> = rows.into_iter().map(TimedRow::new).collect();
    for round in 0..ROUNDS {
        // Every second round runs backwards, so that no row always follows the same row.
        if round % 2 == 0 {
            rows.iter_mut().for_each(TimedRow::measure);
        } else {
            rows.iter_mut().rev().for_each(TimedRow::measure);
        }
    }
    let measurement = |row: TimedRow<N>| Measurement { name: row.row.name, rounds: row.rounds };
    rows.into_iter().map(measurement).collect()
}

/// Returns the median. There must be at least one value.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

struct TimedRow<N> {
    row: Row<N>,
    batches: usize,
    batch: usize,
    rounds: Vec<f64>,
}

impl<N> TimedRow<N> {
    /// Determines how many calls fit into a slice.
    fn new(mut row: Row<N>) -> Self {
        let nanos = row.time(1, BATCH).as_nanos().max(1);
        let calls = (SLICE.as_nanos() * BATCH as u128 / nanos).max(1);
        let calls = usize::try_from(calls).unwrap();
        let batch = calls.min(BATCH);
        Self { row, batches: calls / batch, batch, rounds: Vec::with_capacity(ROUNDS) }
    }

    fn measure(&mut self) {
        let nanos = self.row.time(self.batches, self.batch).as_nanos() as f64;
        self.rounds.push(nanos / (self.batches * self.batch) as f64);
    }
}

trait Work {
    fn prepare(&mut self, count: usize);
    fn run(&mut self);
}

struct Function<P, C, I> {
    prepare: P,
    call: C,
    prepared: Vec<I>,
}

impl<I, O, P: FnMut() -> I, C: FnMut(I) -> O> Work for Function<P, C, I> {
    fn prepare(&mut self, count: usize) {
        self.prepared.extend((0..count).map(|_| (self.prepare)()));
    }

    fn run(&mut self) {
        for input in self.prepared.drain(..) {
            drop(black_box((self.call)(input)));
        }
    }
}
