//! Measures the time of each row. The docs of the library describe the rows.
//!
//! Every round measures every row once, for about a millisecond. Rows are compared by the median
//! over all rounds of the ratio within a round, so a machine whose speed changes during the run
//! cannot put them in the wrong order. The program exits with 1 if a target is missed.
//!
//! `cargo bench --manifest-path benches/peers/Cargo.toml --bench peers -- whole layer` measures
//! only these groups, and the baseline.

use std::{
    collections::BTreeMap,
    fs,
    process::ExitCode,
    time::{Duration, Instant},
};

use tower_auth_peers::{ALGORITHMS, Row, RowName};

const ROUNDS: usize = 300;
/// How long one row is measured in a round.
const SLICE: Duration = Duration::from_millis(1);
/// Small batches stay in the processor caches, like requests that were just read from a socket.
const BATCH: usize = 64;
const REFERENCE: &str = "tower-http + jsonwebtoken";

fn main() -> ExitCode {
    let groups: Vec<_> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let is_measured = |group: &str| groups.is_empty() || groups.iter().any(|name| name == group);
    let mut rows: Vec<_> = tower_auth_peers::all()
        .into_iter()
        .filter(|row| row.name.group == "baseline" || is_measured(row.name.group))
        .map(MeasuredRow::new)
        .collect();
    for round in 0..ROUNDS {
        // Every second round runs backwards, so that no row always follows the same row.
        let length = rows.len();
        for index in 0..length {
            let index = if round % 2 == 0 { index } else { length - 1 - index };
            rows[index].measure();
        }
    }
    let results = Results::new(rows);
    for group in ["baseline", "whole", "layer", "decode"] {
        results.print_algorithms(group);
    }
    results.print_ratios_to_floor();
    results.print_cases("rejected");
    results.print_cases("basic");
    if results.print_targets() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

struct MeasuredRow {
    row: Row,
    batches: usize,
    batch: usize,
    /// The nanoseconds of one call, for each round.
    rounds: Vec<f64>,
}

impl MeasuredRow {
    /// Determines how many calls fit into a slice.
    fn new(row: Row) -> Self {
        let mut row = Self { row, batches: 1, batch: BATCH, rounds: Vec::new() };
        let calls = (SLICE.as_nanos() as f64 / row.time()).max(1.0);
        row.batch = BATCH.min(calls as usize);
        row.batches = calls as usize / row.batch;
        row
    }

    fn measure(&mut self) {
        let time = self.time();
        self.rounds.push(time);
    }

    /// Returns the nanoseconds of one call.
    fn time(&mut self) -> f64 {
        // The first batch brings code and data into the processor caches.
        self.row.prepare(self.batch);
        self.row.run();
        let mut total = Duration::ZERO;
        for _ in 0..self.batches {
            self.row.prepare(self.batch);
            let start = Instant::now();
            self.row.run();
            total += start.elapsed();
        }
        total.as_nanos() as f64 / (self.batches * self.batch) as f64
    }
}

struct Results {
    rows: Vec<MeasuredRow>,
    allocations: BTreeMap<String, u64>,
}

impl Results {
    fn new(rows: Vec<MeasuredRow>) -> Self {
        let allocations = fs::read(concat!(env!("CARGO_TARGET_TMPDIR"), "/allocations.json"))
            .map(|json| serde_json::from_slice(&json).unwrap())
            .unwrap_or_default();
        Self { rows, allocations }
    }

    fn rounds(&self, name: RowName) -> Option<&[f64]> {
        self.rows.iter().find(|row| row.row.name == name).map(|row| &*row.rounds)
    }

    fn micros(&self, name: RowName) -> Option<f64> {
        Some(median(self.rounds(name)?.iter().map(|ns| ns / 1000.0)))
    }

    fn ratio(&self, name: RowName, reference: RowName) -> Option<f64> {
        let (rounds, reference) = (self.rounds(name)?, self.rounds(reference)?);
        Some(median(rounds.iter().zip(reference).map(|(ns, reference)| ns / reference)))
    }

    /// Returns the ratio to the signature verification, without the time of the inner service.
    fn ratio_to_floor(&self, name: RowName) -> Option<f64> {
        let rounds = self.rounds(name)?;
        let bare = self.rounds(RowName::new("baseline", name.case, "bare"))?;
        let floor = self.rounds(RowName::new("baseline", name.case, "floor"))?;
        let ratios = rounds.iter().zip(bare).zip(floor);
        Some(median(ratios.map(|((ns, bare), floor)| (ns - bare) / floor)))
    }

    /// Returns the items in a group, in the order of the rows.
    fn items(&self, group: &str) -> Vec<&'static str> {
        let mut items = Vec::new();
        for row in self.rows.iter().filter(|row| row.row.name.group == group) {
            if !items.contains(&row.row.name.item) {
                items.push(row.row.name.item);
            }
        }
        items
    }

    /// Prints a group whose cases are the algorithms.
    fn print_algorithms(&self, group: &'static str) {
        let items = self.items(group);
        if items.is_empty() {
            return;
        }
        // The group `decode` has no row for tower-http.
        let reference = if group == "decode" { "jsonwebtoken" } else { REFERENCE };
        println!(
            "\n| {group}: µs (relative to {reference}) | {} | allocations |",
            ALGORITHMS.join(" | ")
        );
        println!("| --- {}|", "| ---: ".repeat(ALGORITHMS.len() + 1));
        for item in items {
            let row = |case| RowName::new(group, case, item);
            let cells = ALGORITHMS.map(|case| {
                let Some(micros) = self.micros(row(case)) else { return String::new() };
                match self.ratio(row(case), RowName::new(group, case, reference)) {
                    Some(ratio) => format!("{micros:.2} ({ratio:.2})"),
                    None => format!("{micros:.2}"),
                }
            });
            let counts = ALGORITHMS.iter().filter_map(|case| self.allocations(row(case)));
            let (least, most) = (counts.clone().min(), counts.max());
            let allocations = match (least, most) {
                (Some(least), Some(most)) if least == most => least.to_string(),
                (Some(least), Some(most)) => format!("{least} to {most}"),
                _ => String::new(),
            };
            println!("| {item} | {} | {allocations} |", cells.join(" | "));
        }
    }

    fn allocations(&self, name: RowName) -> Option<u64> {
        self.allocations.get(&name.to_string()).copied()
    }

    fn print_ratios_to_floor(&self) {
        println!("\n| above bare, relative to floor | {} |", ALGORITHMS.join(" | "));
        println!("| --- {}|", "| ---: ".repeat(ALGORITHMS.len()));
        for group in ["whole", "layer"] {
            for item in self.items(group) {
                let cells = ALGORITHMS.map(|case| {
                    let ratio = self.ratio_to_floor(RowName::new(group, case, item));
                    ratio.map_or(String::new(), |ratio| format!("{ratio:.3}"))
                });
                println!("| {group}, {item} | {} |", cells.join(" | "));
            }
        }
    }

    /// Prints a group whose cases are kinds of credentials.
    fn print_cases(&self, group: &'static str) {
        let rows: Vec<_> =
            self.rows.iter().map(|row| row.row.name).filter(|name| name.group == group).collect();
        if rows.is_empty() {
            return;
        }
        println!("\n| {group} | | µs | relative to tower-auth | allocations |");
        println!("| --- | --- | ---: | ---: | ---: |");
        for name in rows {
            let micros = self.micros(name).unwrap_or_default();
            let ratio = self.ratio(name, RowName { item: "tower-auth", ..name });
            println!(
                "| {} | {} | {micros:.3} | {:.2} | {} |",
                name.case,
                name.item,
                ratio.unwrap_or_default(),
                self.allocations(name).map_or(String::new(), |count| count.to_string()),
            );
        }
    }

    /// Prints the targets. Returns whether all that were measured are met.
    fn print_targets(&self) -> bool {
        let whole = |case, item| RowName::new("whole", case, item);
        let to_reference = |case, item| self.ratio(whole(case, item), whole(case, REFERENCE));
        let to_floor = |case| self.ratio_to_floor(RowName::new("layer", case, "tower-auth"));
        println!("\n| target | limit | measured | |");
        println!("| --- | ---: | ---: | --- |");
        let mut all_met = true;
        for (target, limit, measured) in [
            ("whole HS256, relative to the reference", 0.60, to_reference("HS256", "tower-auth")),
            ("whole RS256, relative to the reference", 0.78, to_reference("RS256", "tower-auth")),
            (
                "whole HS256, cached, relative to the reference",
                0.13,
                to_reference("HS256", "tower-auth, cached"),
            ),
            ("layer RS256 above bare, relative to floor", 1.06, to_floor("RS256")),
            ("layer ES256 above bare, relative to floor", 1.06, to_floor("ES256")),
            ("layer EdDSA above bare, relative to floor", 1.06, to_floor("EdDSA")),
        ] {
            let Some(measured) = measured else { continue };
            let is_met = measured <= limit;
            all_met &= is_met;
            let result = if is_met { "met" } else { "MISSED" };
            println!("| {target} | {limit:.2} | {measured:.3} | {result} |");
        }
        all_met
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
