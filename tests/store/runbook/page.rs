//! Checks that the page and the tests of this folder name each other.

use std::{collections::BTreeSet, fs, path::Path};

use tower_auth_test_support::ROOT;

/// Returns the names of the tests in the files of this folder, such as `keys::name_of_test`.
fn tests() -> BTreeSet<String> {
    let folder = Path::new(ROOT).join("tests/store/runbook");
    let mut names = BTreeSet::new();
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let module = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let source = fs::read_to_string(&path).unwrap();
        let mut is_test = false;
        for line in source.lines() {
            if let Some(rest) = line.strip_prefix("async fn ").filter(|_| is_test) {
                names.insert(format!("{module}::{}", rest.split('(').next().unwrap()));
            }
            is_test = line.starts_with("#[tokio::test");
        }
    }
    names
}

/// Returns the sections of the page whose title starts with a number.
fn scenarios(page: &str) -> Vec<&str> {
    let sections = page.split("\n## ").skip(1);
    sections.filter(|section| section.starts_with(|first: char| first.is_ascii_digit())).collect()
}

fn page() -> String {
    fs::read_to_string(Path::new(ROOT).join("src/guide/runbook.md")).unwrap()
}

#[test]
fn each_test_is_named_by_a_scenario_of_the_page_and_exists() {
    let page = page();
    let mut named = BTreeSet::new();
    for section in scenarios(&page) {
        let (title, last) =
            (section.lines().next().unwrap(), section.trim_end().split("\n\n").last());
        let tests = last.and_then(|text| text.strip_prefix("Tests: ")).unwrap_or_default();
        let before = named.len();
        named.extend(tests.split('`').skip(1).step_by(2).map(str::to_owned));
        assert!(named.len() > before, "{title}: its last paragraph names no test");
    }
    assert_eq!(named, tests());
}

/// Each scenario answers the same questions, and has a row in the table.
#[test]
fn each_scenario_says_how_to_notice_it_what_to_do_and_how_to_check_it() {
    let page = page();
    let scenarios = scenarios(&page);
    assert_eq!(scenarios.len(), 12);
    let rows = page.lines().filter(|line| line.starts_with("| [")).collect::<Vec<_>>();
    assert_eq!(rows.len(), scenarios.len());
    for (section, row) in scenarios.iter().zip(rows) {
        let title = section.lines().next().unwrap();
        for part in ["**Notice**", "**Do**", "**Logged out**", "**Time**", "**Check**"] {
            assert!(section.contains(part), "{title}: {part} is missing");
        }
        let number = title.split('.').next().unwrap();
        assert!(row.starts_with(&format!("| [{number}. ")), "{row}");
    }
}
