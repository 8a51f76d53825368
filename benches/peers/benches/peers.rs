//! Measures the time of each row. The docs of the library describe the rows.
//!
//! Every round measures every row once. Rows are compared by the median, over all rounds, of the
//! ratio within a round. Targets are printed, and nothing fails if one is missed.
//!
//! The times of requests include the inner service, `bare`, which is the same for all crates. Only
//! the ratios to the signature verification are computed without it.
//!
//! `cargo bench --manifest-path benches/peers/Cargo.toml --bench peers -- whole layer` measures
//! only these groups, and the baseline.

use std::{collections::BTreeMap, fs};

use tower_auth_peers::{ALGORITHMS, RowName};
use tower_auth_test_support::rounds::{Measurement, measure, median};

const REFERENCE: &str = "tower-http + jsonwebtoken";

fn main() {
    let groups: Vec<_> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let is_measured = |group: &str| groups.is_empty() || groups.iter().any(|name| name == group);
    let rows = tower_auth_peers::all();
    let rows =
        rows.into_iter().filter(|row| row.name.group == "baseline" || is_measured(row.name.group));
    let results = Results::new(measure(rows));
    for group in ["baseline", "whole", "layer", "decode"] {
        results.print_algorithms(group);
    }
    results.print_ratios_to_floor();
    results.print_cases("rejected");
    results.print_cases("basic");
    results.print_targets();
}

struct Results {
    rows: Vec<Measurement<RowName>>,
    allocations: BTreeMap<String, u64>,
}

impl Results {
    fn new(rows: Vec<Measurement<RowName>>) -> Self {
        let allocations = fs::read(concat!(env!("CARGO_TARGET_TMPDIR"), "/allocations.json"))
            .map(|json| serde_json::from_slice(&json).unwrap())
            .unwrap_or_default();
        Self { rows, allocations }
    }

    fn rounds(&self, name: RowName) -> Option<&[f64]> {
        self.rows.iter().find(|row| row.name == name).map(|row| &*row.rounds)
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
        for row in self.rows.iter().filter(|row| row.name.group == group) {
            if !items.contains(&row.name.item) {
                items.push(row.name.item);
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
            self.rows.iter().map(|row| row.name).filter(|name| name.group == group).collect();
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

    /// Prints the targets, and whether they are met.
    fn print_targets(&self) {
        let whole = |case, item| RowName::new("whole", case, item);
        let to_reference = |case, item| self.ratio(whole(case, item), whole(case, REFERENCE));
        let to_floor = |case| self.ratio_to_floor(RowName::new("layer", case, "tower-auth"));
        println!("\n| target | limit | measured | |");
        println!("| --- | ---: | ---: | --- |");
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
            let result = if measured <= limit { "met" } else { "missed" };
            println!("| {target} | {limit:.2} | {measured:.3} | {result} |");
        }
    }
}
