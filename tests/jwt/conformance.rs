//! Checks that the tests named in `docs/conformance.md` exist.

use std::{collections::HashSet, fs, path::Path};

use tower_auth_test_support::ROOT;

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(path)).unwrap_or_else(|_| panic!("cannot read {path}"))
}

/// Returns the names of tests and cases in backticks.
fn test_names(line: &str) -> impl Iterator<Item = &str> {
    let quoted = line.split('`').skip(1).step_by(2);
    quoted.filter(|text| text.starts_with("case:") || text.contains(".rs::"))
}

#[test]
fn each_named_test_and_case_exists() {
    let page = read("docs/conformance.md");
    let mut cases = HashSet::new();
    for theme in
        ["basic_header", "bearer_header", "error_responses", "jwt_claims", "jwt_signature", "scope"]
    {
        for line in read(&format!("tests/cases/{theme}.jsonl")).lines() {
            let case: serde_json::Value = serde_json::from_str(line).unwrap();
            cases.insert(case["name"].as_str().unwrap().to_owned());
        }
    }
    let mut count = 0;
    for name in page.lines().filter(|line| line.starts_with('|')).flat_map(test_names) {
        count += 1;
        if let Some(case) = name.strip_prefix("case:") {
            assert!(cases.contains(case), "no case {case}");
            continue;
        }
        let (file, test) = name.split_once("::").unwrap();
        let source = read(file);
        let start = source.find(&format!("fn {test}(")).unwrap_or_else(|| panic!("no test {name}"));
        let before = source[..start].trim_end().trim_end_matches("async").trim_end();
        let attribute = before.lines().last().unwrap().trim();
        let is_test = attribute == "#[test]" || attribute.starts_with("#[tokio::test");
        assert!(is_test, "{name} is not a test");
    }
    assert!(count > 80, "{count}");
}

#[test]
fn each_table_row_names_a_test_or_case() {
    for line in read("docs/conformance.md").lines().take_while(|line| *line != "## Vectors") {
        let is_row = line.starts_with("| ") && !line.starts_with("| ---");
        if is_row && !line.ends_with("| proven by |") {
            assert!(test_names(line).next().is_some(), "{line}");
        }
    }
}

/// The scenarios in `tests/cases/jwks_scenarios.jsonl` are prose. Their tests are found by name.
#[test]
fn each_key_source_scenario_has_a_test() {
    let tests = read("tests/jwks/scenarios.rs") + &read("tests/e2e/main.rs");
    let scenarios = read("tests/cases/jwks_scenarios.jsonl");
    assert_eq!(scenarios.lines().count(), 12);
    for line in scenarios.lines() {
        let scenario: serde_json::Value = serde_json::from_str(line).unwrap();
        let name = scenario["name"].as_str().unwrap().replace('-', "_");
        let test = |line: &str| line.starts_with("async fn ") && line.contains(&name);
        assert!(tests.lines().any(test), "no test for {name}");
    }
}
