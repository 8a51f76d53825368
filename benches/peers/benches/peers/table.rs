use std::{collections::BTreeMap, fs, path::Path};

use tower_auth_peers::Row;

/// Prints the times, ratios and allocations of the measured rows.
pub(crate) fn print(folder: &Path, rows: &[Row]) {
    let counts: BTreeMap<String, u64> = fs::read(folder.join("allocations.json"))
        .map(|json| serde_json::from_slice(&json).unwrap())
        .unwrap_or_default();
    let time = |row: Row| median(&folder.join("criterion"), row);
    let ratio = |ns: f64, row: Row| time(row).map(|other| format!("{:.2}", ns / other));
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());

    for group in ["decode", "layer", "rejected", "basic"] {
        println!("\n| {group} | µs | above bare | to floor | to tower-auth | allocations |");
        println!("| --- | ---: | ---: | ---: | ---: | ---: |");
        for &row in rows.iter().filter(|row| row.group == group) {
            let Some(ns) = time(row) else { continue };
            let bare = time(Row { name: "bare", ..row }).filter(|_| group == "layer");
            let above = bare.map(|bare| micros(ns - bare));
            let to_floor = ratio(ns, Row::new("decode", row.case, "floor"));
            let to_tower_auth = ratio(ns, Row { name: "tower-auth", ..row });
            let count = counts.get(&row.to_string()).map(u64::to_string);
            println!(
                "| {} | {} | {} | {} | {} | {} |",
                row.to_string().trim_start_matches(group).trim_start_matches('/'),
                micros(ns),
                or_none(above),
                or_none(to_floor),
                or_none(to_tower_auth),
                or_none(count),
            );
        }
    }
}

fn micros(ns: f64) -> String {
    format!("{:.3}", ns / 1000.0)
}

/// Returns the median that criterion wrote, in nanoseconds.
fn median(criterion: &Path, row: Row) -> Option<f64> {
    let folder = criterion.join(row.to_string().replace('/', "_"));
    let estimates = fs::read(folder.join("new/estimates.json")).ok()?;
    let estimates: serde_json::Value = serde_json::from_slice(&estimates).unwrap();
    estimates["median"]["point_estimate"].as_f64()
}
