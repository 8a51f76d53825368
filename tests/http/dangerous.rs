//! The security checklist names each method that weakens a check.

use std::{collections::BTreeSet, fs, path::Path};

use tower_auth_test_support::ROOT;

/// Adds the names of the methods in this folder that start with `dangerous_`.
fn collect(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, names);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            names.extend(text.split("fn dangerous_").skip(1).map(|rest| {
                let end = rest.find(|char: char| !char.is_alphanumeric() && char != '_').unwrap();
                format!("dangerous_{}", &rest[..end])
            }));
        }
    }
}

#[test]
fn security_checklist_names_each_dangerous_method() {
    let root = Path::new(ROOT);
    let mut names = BTreeSet::new();
    collect(&root.join("src"), &mut names);
    assert!(names.len() > 10, "{names:?}");
    let page = fs::read_to_string(root.join("src/guide/security_checklist.md")).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `dangerous_"));
    let listed: BTreeSet<_> =
        rows.map(|row| format!("dangerous_{}", row.split('`').next().unwrap())).collect();
    assert_eq!(listed, names);
}
