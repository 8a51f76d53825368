//! Compares the instruction counts of the benchmarks in rows/ with the baseline in baseline.txt.
//!
//! - `cargo run -p tower-auth-instructions -- check` exits with 1 if a count differs by more than
//!   3 % from the baseline, or if a row exists only on one side. A lower count fails as well:
//!   without a new baseline, a later regression by the same amount would go unnoticed.
//! - `cargo run -p tower-auth-instructions -- update` writes the current counts to the baseline.
//!   Commit the file together with the change that causes the difference, and explain it in the
//!   commit message.
//!
//! The limits of gungraun are not used. They either compare with files of an earlier run, which
//! contain local paths, or are numbers in the code, which no command can update.
//!
//! The counts depend on the compiler, the C library and the kind of CPU. valgrind emulates a CPU
//! with those features of the real CPU that it supports (AVX2 if available, but no SHA extensions),
//! and aws-lc selects its code accordingly. A hash therefore takes many more instructions than
//! outside of valgrind. If the compiler differs from that of the baseline, `check` prints a note
//! and still compares.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    process::{Command, ExitCode, Stdio},
};

use serde_json::Value;

type Counts = BTreeMap<String, u64>;
type Failure = Box<dyn std::error::Error>;

const BASELINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/baseline.txt");
const UPDATE: &str = "cargo run -p tower-auth-instructions -- update";
const REQUIREMENTS: &str =
    "install valgrind, and run `cargo install --locked gungraun-runner --version 0.20.0`";
/// The accepted difference in per cent.
const TOLERANCE: f64 = 3.0;

fn main() -> Result<ExitCode, Failure> {
    match std::env::args().nth(1).as_deref() {
        Some("check") => check(),
        Some("update") => update(),
        _ => Err("usage: tower-auth-instructions check|update".into()),
    }
}

fn update() -> Result<ExitCode, Failure> {
    let mut text = format!("# Instructions a row; written by `{UPDATE}`\n# {}\n", compiler()?);
    for (row, count) in measure()? {
        writeln!(text, "{row:<40} {count:>10}")?;
    }
    std::fs::write(BASELINE, &text)?;
    print!("{text}");
    Ok(ExitCode::SUCCESS)
}

fn check() -> Result<ExitCode, Failure> {
    let text = std::fs::read_to_string(BASELINE)?;
    let compiler = compiler()?;
    if !text.lines().any(|line| line.strip_prefix("# ") == Some(&compiler)) {
        println!("note: the compiler is {compiler}, but the baseline is from another compiler");
    }
    let (before, mut now) = (parse_baseline(&text)?, measure()?);
    if compare(&before, &now).1 > 0 {
        // Positions in hash tables are random. In a few processes, a lookup meets a colliding key,
        // so measure again and use the count that is closer to the baseline.
        for (row, second) in measure()? {
            let baseline = before.get(&row).copied().unwrap_or(second);
            let count = now.entry(row).or_insert(second);
            if second.abs_diff(baseline) < count.abs_diff(baseline) {
                *count = second;
            }
        }
    }
    let (report, failures) = compare(&before, &now);
    print!("{report}");
    if failures == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    println!(
        "{failures} rows differ from the baseline: if this is intended, run {UPDATE} and commit \
         the file"
    );
    Ok(ExitCode::FAILURE)
}

/// Returns a table of all rows, and the number of rows that fail.
fn compare(before: &Counts, now: &Counts) -> (String, usize) {
    let mut report = format!("{:<40} {:>10} {:>10} {:>8}\n", "row", "baseline", "now", "");
    let mut failures = 0;
    let rows: BTreeSet<_> = before.keys().chain(now.keys()).collect();
    for row in rows {
        let (change, remark, fails) = match (before.get(row), now.get(row)) {
            (Some(&old), Some(&new)) => {
                let percent = (new as f64 / old as f64 - 1.0) * 100.0;
                let remark = match percent {
                    increase if increase > TOLERANCE => " MORE",
                    decrease if decrease < -TOLERANCE => " LESS",
                    _ => "",
                };
                (format!("{percent:+.2} %"), remark, percent.abs() > TOLERANCE)
            }
            (None, _) => (String::new(), " NOT IN THE BASELINE", true),
            (_, None) => (String::new(), " NOT MEASURED", true),
        };
        let count = |counts: &Counts| counts.get(row).map_or("-".to_owned(), u64::to_string);
        report +=
            &format!("{row:<40} {:>10} {:>10} {change:>8}{remark}\n", count(before), count(now));
        failures += usize::from(fails);
    }
    (report, failures)
}

/// Parses the rows of a baseline.
fn parse_baseline(text: &str) -> Result<Counts, Failure> {
    let rows = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    rows.map(|line| {
        let (row, count) = line
            .split_once(' ')
            .ok_or_else(|| format!("malformed line in the baseline: {line:?}"))?;
        Ok((row.to_owned(), count.trim().parse()?))
    })
    .collect()
}

/// Runs the benchmark, which prints a line of JSON for each row.
fn measure() -> Result<Counts, Failure> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let bench = Command::new(cargo)
        .args(["bench", "--quiet", "--package", env!("CARGO_PKG_NAME"), "--bench", "rows", "--"])
        .args(["--output-format=json", "--parallel=auto"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stderr(Stdio::inherit())
        .output()?;
    if !bench.status.success() {
        return Err(format!("the benchmark failed with {}: {REQUIREMENTS}", bench.status).into());
    }
    String::from_utf8(bench.stdout)?.lines().map(parse_summary).collect()
}

fn parse_summary(line: &str) -> Result<(String, u64), Failure> {
    let summary: Value = serde_json::from_str(line)?;
    let row = (summary["function_name"].as_str(), summary["id"].as_str());
    let metrics = &summary["profiles"][0]["data"]["total"]["metrics"];
    let count = metrics["Ir"]["values"]["new"].as_u64();
    match (row, count) {
        ((Some(function), Some(id)), Some(count)) => Ok((format!("{function}/{id}"), count)),
        _ => Err(format!("unexpected summary of gungraun: {line}").into()),
    }
}

/// Returns the compiler, for example `rustc 1.90.0 x86_64-unknown-linux-gnu`.
fn compiler() -> Result<String, Failure> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("-vV").output()?;
    let text = String::from_utf8(output.stdout)?;
    let line = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("?");
    Ok(format!("rustc {} {}", line("release: "), line("host: ")))
}
