//! Runs the `curl` lines that the example prints, and checks its metrics and alerts with promtool.

use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use tower_auth_test_support::{program::Program, skip};

const LINES: usize = 8;

fn is_installed(program: &str) -> bool {
    let installed = Command::new(program).arg("--version").output().is_ok();
    if !installed {
        skip(&format!("{program} is not installed"));
    }
    installed
}

/// Runs promtool, which must succeed and print nothing that contains `error` or `warning`.
fn promtool(arguments: &[&str], input: &str) {
    let mut promtool = Command::new("promtool")
        .args(arguments)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    promtool.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.success(), "{text}\n{input}");
    // `check metrics` prints only what it criticizes.
    assert!(arguments != ["check", "metrics"] || text.is_empty(), "{text}");
}

#[test]
fn promtool_accepts_the_metrics_of_the_printed_requests() {
    if !is_installed("curl") {
        return;
    }
    let mut program =
        Program::start(env!("CARGO_BIN_EXE_metrics_server"), &["127.0.0.1:0", "127.0.0.1:0"]);
    program.address();
    let mut last = String::new();
    for _ in 0..LINES {
        let line = program.read_line().unwrap();
        let (command, status) = line.rsplit_once(" # ").unwrap();
        let output = Command::new("sh").args(["-c", command]).output().unwrap();
        last = String::from_utf8(output.stdout).unwrap();
        assert_eq!(last.split(' ').nth(1), Some(status), "{line}\n{last}");
    }
    let (head, metrics) = last.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");

    let bearer = "auth_scheme=\"Bearer\"";
    for series in [
        format!("tower_auth_admissions_total{{{bearer},auth_issuer=\"https://issuer.example\"}} 3"),
        "tower_auth_admissions_total{auth_scheme=\"Basic\"} 1".into(),
        "tower_auth_rejections_total{error_type=\"missing_credentials\",http_route=\"/orders\"} 1".into(),
        format!("tower_auth_rejections_total{{{bearer},error_type=\"invalid_credentials\",http_route=\"/orders/{{id}}\"}} 1"),
        format!("tower_auth_rejections_total{{{bearer},error_type=\"insufficient_scope\",http_route=\"/reports\"}} 1"),
        "tower_auth_wait_duration_seconds_count{auth_step=\"authentication\",auth_scheme=\"Basic\"} 2".into(),
        "tower_auth_events_total{auth_event=\"password_file_failed\"} 0".into(),
        "# TYPE tower_auth_admissions_total counter".into(),
        "# TYPE tower_auth_wait_duration_seconds histogram".into(),
        "# HELP tower_auth_wait_duration_seconds How long".into(),
    ] {
        assert!(metrics.lines().any(|line| line.starts_with(&series)), "{series}\n{metrics}");
    }
    if is_installed("promtool") {
        promtool(&["check", "metrics"], metrics);
    }
}

#[test]
fn promtool_accepts_the_alerts_and_their_tests() {
    if is_installed("promtool") {
        promtool(&["check", "rules", "alerts.yml"], "");
        promtool(&["test", "rules", "alerts_test.yml"], "");
    }
}

/// Without this, an alert on a series that does not exist would never fire.
#[test]
fn alerts_and_queries_use_documented_series_and_values() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap();
    let documented = read("src/observe/metrics/series.md");
    let documented: Vec<_> = documented.split('`').skip(1).step_by(2).collect();
    let is_documented = |name: &str| documented.iter().any(|known| known.replace('.', "_") == name);
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut labels = 0;
    for path in ["examples/metrics_server/alerts.yml", "src/guide/observability.md"] {
        let text = read(path);
        let words = text.split(|c| !is_word(c));
        for word in words.filter(|word| word.starts_with("tower_auth_")) {
            let name = word.trim_end_matches("_bucket").trim_end_matches("_seconds");
            let name = name.trim_end_matches("_total");
            assert!(is_documented(name), "{path}: {word}");
        }
        for (start, _) in text.match_indices("=\"").chain(text.match_indices("=~\"")) {
            let label = text[..start].trim_end_matches('!').rsplit(|c| !is_word(c)).next().unwrap();
            if !is_documented(label) {
                continue;
            }
            let values = text[start..].split('"').nth(1).unwrap();
            for value in values.split('|') {
                assert!(documented.contains(&value), "{path}: {label} {value}");
            }
            labels += 1;
        }
    }
    assert!(labels > 10, "{labels}");
}
