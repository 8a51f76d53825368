//! Checks that `src/guide/providers.md` shows the configurations that the tests use.

use std::{fs, path::Path};

use tower_auth_test_support::ROOT;

/// The beginnings of the items of `alb.rs` that the guide shows.
const SHOWN: [&str; 6] =
    ["struct ", "#[derive(", "impl ", "async fn verify(", "fn decode<", "fn alb("];

/// Returns the items of a source file that the guide must show.
fn shown_items(source: &str, is_alb: bool) -> Vec<&str> {
    let is_shown = |item: &&str| {
        let first = item.lines().next().unwrap_or_default();
        let is_configuration = first.starts_with("fn ") && first.contains("-> Result<");
        let is_verifier = SHOWN.iter().any(|start| item.starts_with(start));
        is_configuration && first.ends_with("ConfigError> {") || is_alb && is_verifier
    };
    source.split("\n\n").map(str::trim_end).filter(is_shown).collect()
}

#[test]
fn guide_shows_the_tested_configurations() {
    let guide = fs::read_to_string(Path::new(ROOT).join("src/guide/providers.md")).unwrap();
    let mut names = Vec::new();
    for file in fs::read_dir(Path::new(ROOT).join("tests/providers")).unwrap() {
        let path = file.unwrap().path();
        let source = fs::read_to_string(&path).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        if ["guide.rs", "sample.rs", "published.rs"].contains(&name) || !name.ends_with(".rs") {
            continue;
        }
        for item in shown_items(&source, name == "alb.rs") {
            assert!(
                guide.contains(item),
                "src/guide/providers.md does not have this item:\n{item}"
            );
            names.extend(
                item.lines().next().filter(|line| line.starts_with("fn ")).map(str::to_owned),
            );
        }
    }
    assert!(names.len() >= 24, "{names:?}");
    let is_tested = |line: &str| names.iter().any(|name| name == line);
    let untested = guide.lines().find(|line| line.ends_with("ConfigError> {") && !is_tested(line));
    assert_eq!(untested, None);
}

#[test]
fn each_section_of_a_provider_names_its_source() {
    let guide = fs::read_to_string(Path::new(ROOT).join("src/guide/providers.md")).unwrap();
    let sections: Vec<_> = guide.split("\n## ").skip(1).collect();
    assert!(sections.len() >= 21, "{}", sections.len());
    for section in sections {
        let title = section.lines().next().unwrap();
        let is_provider = section.contains("ConfigError> {");
        assert!(
            !is_provider || section.contains("Source: [") || section.contains("Sources: ["),
            "{title}"
        );
        assert!(!is_provider || guide.contains(&format!("| [{title}](#")), "no row for {title}");
    }
}
