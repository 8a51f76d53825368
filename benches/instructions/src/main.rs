//! Compares the instruction counts of the benchmarks in rows/ with the baseline in baseline.txt.
//!
//! - `cargo run -p tower-auth-instructions -- check` exits with 1 if the count of a row differs by
//!   more than 3 % from the baseline, in either direction: without a new baseline, an improvement
//!   could be lost again unnoticed. It also fails if a row is missing on either side. It also fails
//!   if a token in a cookie costs more than [`COOKIE_LIMITS`] allows, compared with the same token
//!   in `Authorization`. It also fails if metrics cost more than [`METRICS_LIMIT_PERCENT`].
//! - `cargo run -p tower-auth-instructions -- update` writes the current counts to the baseline.
//!   Commit it with the change that caused it, and explain why.
//!
//! This is a separate program because the limits of gungraun do not fit. They compare with files of
//! an earlier run, which contain the paths of the machine, or with numbers in the code of each row,
//! which no program can update.
//!
//! The counts are valid for one toolchain, one C library and one kind of CPU. Valgrind emulates
//! only some features of the real CPU: AVX2 if the CPU has it, but no SHA extensions. aws-lc
//! chooses its code by these features, so a hash takes many more instructions than outside of
//! valgrind. If the compiler differs from that of the baseline, the check prints a note and
//! compares anyway.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    process::{Command, ExitCode, Stdio},
};

use serde_json::Value;

type Counts = BTreeMap<String, u64>;
type BoxError = Box<dyn std::error::Error>;

const BASELINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/baseline.txt");
const UPDATE: &str = "cargo run -p tower-auth-instructions -- update";
const REQUIREMENTS: &str =
    "it needs valgrind, and `cargo install --locked gungraun-runner --version 0.20.0`";
const TOLERANCE_PERCENT: f64 = 3.0;

/// How many instructions the row `browser/NAME_cookie` may have more than `browser/NAME_header`:
/// for finding the cookie, checking for cross-site requests, and removing the cookie.
const COOKIE_LIMITS: [(&str, u64); 4] = [
    // The check itself is about 140 for a GET and 290 for a POST.
    ("get", 1_000),
    ("post", 1_200),
    // The three other cookies are copied.
    ("get_among_three", 2_600),
    ("post_among_three", 2_800),
];

/// How much more instructions `whole_request/hs256_cached_metrics` may have than
/// `whole_request/hs256_cached`.
const METRICS_LIMIT_PERCENT: f64 = 5.0;

fn main() -> Result<ExitCode, BoxError> {
    match std::env::args().nth(1).as_deref() {
        Some("check") => check(),
        Some("update") => update(),
        _ => Err("the argument must be `check` or `update`".into()),
    }
}

fn update() -> Result<ExitCode, BoxError> {
    let mut text = format!("# Instructions per row, written by `{UPDATE}`\n# {}\n", compiler()?);
    for (row, count) in count_instructions()? {
        writeln!(text, "{row:<40} {count:>10}")?;
    }
    std::fs::write(BASELINE, &text)?;
    print!("{text}");
    Ok(ExitCode::SUCCESS)
}

fn check() -> Result<ExitCode, BoxError> {
    let text = std::fs::read_to_string(BASELINE)?;
    let compiler = compiler()?;
    if !text.lines().any(|line| line.strip_prefix("# ") == Some(&compiler)) {
        println!("note: this is {compiler}, but the baseline is from another compiler");
    }
    let (baseline, mut current) = (parse_baseline(&text)?, count_instructions()?);
    if compare(&baseline, &current).1 > 0 {
        // Positions in hash tables are random, so some runs count more instructions. Count
        // again, and keep the count that is closer to the baseline.
        for (row, again) in count_instructions()? {
            let expected = baseline.get(&row).copied().unwrap_or(again);
            let count = current.entry(row).or_insert(again);
            if again.abs_diff(expected) < count.abs_diff(expected) {
                *count = again;
            }
        }
    }
    let (report, failures) = compare(&baseline, &current);
    print!("{report}");
    let is_within_limits = check_cookies(&current)? & check_metrics(&current)?;
    if failures == 0 {
        return Ok(if is_within_limits { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    println!(
        "{failures} rows differ from the baseline. If this is intended, run `{UPDATE}`, \
         and commit the file"
    );
    Ok(ExitCode::FAILURE)
}

/// Prints what a token in a cookie costs, and returns whether it is within the limits.
fn check_cookies(counts: &Counts) -> Result<bool, BoxError> {
    let mut is_within = true;
    for (name, limit) in COOKIE_LIMITS {
        let count = |suffix| {
            let row = format!("browser/{name}_{suffix}");
            counts.get(&row).copied().ok_or(format!("there is no row {row}"))
        };
        let cost = count("cookie")?.saturating_sub(count("header")?);
        let remark = if cost > limit { " TOO MUCH" } else { "" };
        println!("a cookie instead of a header ({name}): {cost} more, at most {limit}{remark}");
        is_within &= cost <= limit;
    }
    Ok(is_within)
}

/// Prints what metrics cost, and returns whether it is within the limit.
fn check_metrics(counts: &Counts) -> Result<bool, BoxError> {
    let count = |row: &str| counts.get(row).copied().ok_or(format!("there is no row {row}"));
    let without = count("whole_request/hs256_cached")?;
    let with = count("whole_request/hs256_cached_metrics")?;
    let percent = (with as f64 / without as f64 - 1.0) * 100.0;
    let is_within = percent <= METRICS_LIMIT_PERCENT;
    let remark = if is_within { "" } else { " TOO MUCH" };
    println!("metrics: {percent:.1} % more, at most {METRICS_LIMIT_PERCENT} %{remark}");
    Ok(is_within)
}

/// Returns a table of all rows, and the number of rows that fail.
fn compare(baseline: &Counts, current: &Counts) -> (String, usize) {
    let mut report = format!("{:<40} {:>10} {:>10} {:>8}\n", "row", "baseline", "current", "");
    let mut failures = 0;
    let rows: BTreeSet<_> = baseline.keys().chain(current.keys()).collect();
    for row in rows {
        let (change, remark, fails) = match (baseline.get(row), current.get(row)) {
            (Some(&old), Some(&new)) => {
                let percent = (new as f64 / old as f64 - 1.0) * 100.0;
                let remark = match percent {
                    percent if percent > TOLERANCE_PERCENT => " MORE",
                    percent if percent < -TOLERANCE_PERCENT => " LESS",
                    _ => "",
                };
                (format!("{percent:+.2} %"), remark, percent.abs() > TOLERANCE_PERCENT)
            }
            (None, _) => (String::new(), " NOT IN THE BASELINE", true),
            (_, None) => (String::new(), " NOT MEASURED", true),
        };
        let count = |counts: &Counts| counts.get(row).map_or("-".to_owned(), u64::to_string);
        report += &format!(
            "{row:<40} {:>10} {:>10} {change:>8}{remark}\n",
            count(baseline),
            count(current)
        );
        failures += usize::from(fails);
    }
    (report, failures)
}

/// Parses the lines of baseline.txt.
fn parse_baseline(text: &str) -> Result<Counts, BoxError> {
    let rows = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    rows.map(|line| {
        let (row, count) = line
            .split_once(' ')
            .ok_or_else(|| format!("malformed line in the baseline: {line:?}"))?;
        Ok((row.to_owned(), count.trim().parse()?))
    })
    .collect()
}

/// Runs the bench, which prints a line of JSON for each row.
fn count_instructions() -> Result<Counts, BoxError> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let bench = Command::new(cargo)
        .args(["bench", "--quiet", "--package", env!("CARGO_PKG_NAME"), "--bench", "rows", "--"])
        .args(["--output-format=json", "--parallel=auto"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stderr(Stdio::inherit())
        .output()?;
    if !bench.status.success() {
        return Err(format!("the bench failed ({}); {REQUIREMENTS}", bench.status).into());
    }
    String::from_utf8(bench.stdout)?.lines().map(parse_summary).collect()
}

fn parse_summary(line: &str) -> Result<(String, u64), BoxError> {
    let summary: Value = serde_json::from_str(line)?;
    let row = (summary["function_name"].as_str(), summary["id"].as_str());
    let metrics = &summary["profiles"][0]["data"]["total"]["metrics"];
    let count = metrics["Ir"]["values"]["new"].as_u64();
    match (row, count) {
        ((Some(function), Some(id)), Some(count)) => Ok((format!("{function}/{id}"), count)),
        _ => Err(format!("unknown format of a gungraun summary: {line}").into()),
    }
}

/// Returns the compiler and its host, as in `rustc 1.90.0 x86_64-unknown-linux-gnu`.
fn compiler() -> Result<String, BoxError> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("-vV").output()?;
    let text = String::from_utf8(output.stdout)?;
    let line = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("?");
    Ok(format!("rustc {} {}", line("release: "), line("host: ")))
}
