//! Counts the allocations of each row.
//!
//! `cargo bench` runs this before `peers`, whose tables show the counts. It is a separate program,
//! because an allocator that counts would slow down the timed code. Allocations of aws-lc and ring
//! in C are not counted.

use std::collections::BTreeMap;

use allocation_counter::measure;

fn main() {
    let mut counts = BTreeMap::new();
    for mut row in tower_auth_peers::all() {
        // The first call may initialize values that later calls reuse.
        row.prepare(1);
        row.run();
        row.prepare(1);
        let counted = measure(|| row.run());
        println!(
            "{:<64} {:>4} allocations {:>6} bytes",
            row.name.to_string(),
            counted.count_total,
            counted.bytes_total
        );
        counts.insert(row.name.to_string(), counted.count_total);
    }
    let json = serde_json::to_vec(&counts).unwrap();
    std::fs::write(concat!(env!("CARGO_TARGET_TMPDIR"), "/allocations.json"), json).unwrap();
}
