//! Compares the instruction counts of rows/ with those that are committed, in baseline.txt.
//!
//! - `cargo run -p tower-auth-instructions -- check` exits with 1 where a row takes more than 3 % more than it did, or
//!   3 % less, as what was won could be lost again unseen, or where a row is on one side alone.
//! - `cargo run -p tower-auth-instructions -- update` writes down what is counted now. Commit it with the change that it
//!   comes from, and say there why.
//!
//! A plain program beside the bench, and not gungraun's own limits: those compare with files of an earlier run, which hold
//! the paths of the machine, or are a number at each row in the code, which nothing could update.
//!
//! The counts are those of one toolchain, one C library and one kind of CPU: valgrind shows a program a CPU that has what
//! it can emulate of the real one's (AVX2, where that has it, and no SHA extensions), and aws-lc chooses its code by that,
//! so that a hash takes many more than it does outside. Where the compiler is another than that of the baseline, the check
//! says so, and compares all the same.

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
const NEEDS: &str =
    "It needs valgrind, and `cargo install --locked gungraun-runner --version 0.20.0`";
/// In per cent.
const TOLERANCE: f64 = 3.0;

fn main() -> Result<ExitCode, Failure> {
    match std::env::args().nth(1).as_deref() {
        Some("check") => check(),
        Some("update") => update(),
        _ => Err("say `check` or `update`".into()),
    }
}

fn update() -> Result<ExitCode, Failure> {
    let mut text = format!("# Instructions a row; written by `{UPDATE}`\n# {}\n", compiler()?);
    for (row, count) in measured()? {
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
        println!("note: this is {compiler}, and the baseline is another compiler's");
    }
    let (before, mut now) = (committed(&text)?, measured()?);
    if compare(&before, &now).1 > 0 {
        // Where something lies in a hash table is chance, and one process in many meets another key on the way to it.
        for (row, again) in measured()? {
            let committed = before.get(&row).copied().unwrap_or(again);
            let count = now.entry(row).or_insert(again);
            if again.abs_diff(committed) < count.abs_diff(committed) {
                *count = again;
            }
        }
    }
    let (report, wrong) = compare(&before, &now);
    print!("{report}");
    if wrong == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    println!(
        "{wrong} rows are not as in the baseline. Where that is meant: {UPDATE}, and commit the file"
    );
    Ok(ExitCode::FAILURE)
}

/// A table of all rows, and how many of them are a reason to fail.
fn compare(before: &Counts, now: &Counts) -> (String, usize) {
    let mut report = format!("{:<40} {:>10} {:>10} {:>8}\n", "row", "baseline", "now", "");
    let mut wrong = 0;
    let rows: BTreeSet<_> = before.keys().chain(now.keys()).collect();
    for row in rows {
        let (change, remark, fails) = match (before.get(row), now.get(row)) {
            (Some(&old), Some(&new)) => {
                let percent = (new as f64 / old as f64 - 1.0) * 100.0;
                let remark = match percent {
                    grown if grown > TOLERANCE => " MORE",
                    shrunk if shrunk < -TOLERANCE => " LESS",
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
        wrong += usize::from(fails);
    }
    (report, wrong)
}

/// The rows of a baseline's text.
fn committed(text: &str) -> Result<Counts, Failure> {
    let rows = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    rows.map(|line| {
        let (row, count) = line.split_once(' ').ok_or_else(|| format!("what is {line:?}?"))?;
        Ok((row.to_owned(), count.trim().parse()?))
    })
    .collect()
}

/// Runs the bench, which says a line of JSON for each row.
fn measured() -> Result<Counts, Failure> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let bench = Command::new(cargo)
        .args(["bench", "--quiet", "--package", env!("CARGO_PKG_NAME"), "--bench", "rows", "--"])
        .args(["--output-format=json", "--parallel=auto"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stderr(Stdio::inherit())
        .output()?;
    if !bench.status.success() {
        return Err(format!("the bench: {}. {NEEDS}", bench.status).into());
    }
    String::from_utf8(bench.stdout)?.lines().map(counted).collect()
}

fn counted(line: &str) -> Result<(String, u64), Failure> {
    let summary: Value = serde_json::from_str(line)?;
    let row = (summary["function_name"].as_str(), summary["id"].as_str());
    let metrics = &summary["profiles"][0]["data"]["total"]["metrics"];
    let count = metrics["Ir"]["values"]["new"].as_u64();
    match (row, count) {
        ((Some(function), Some(id)), Some(count)) => Ok((format!("{function}/{id}"), count)),
        _ => Err(format!("gungraun's summary has another form: {line}").into()),
    }
}

/// What compiled the rows, as in `rustc 1.90.0 x86_64-unknown-linux-gnu`.
fn compiler() -> Result<String, Failure> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("-vV").output()?;
    let text = String::from_utf8(output.stdout)?;
    let line = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("?");
    Ok(format!("rustc {} {}", line("release: "), line("host: ")))
}
