//! The configuration of README.md with one misspelt key.

use std::ops::Range;

use crate::{configuration::error_of, readme};

/// Keys that the user chooses: names of claims.
const CHOSEN: [&str; 2] = ["tenant", "token_use"];

#[test]
fn misspelt_setting_is_rejected_and_named() {
    let (dir, config) = (tempfile::tempdir().unwrap(), readme::block("toml"));
    let mut count = 0;
    for at in keys(&config) {
        let key = &config[at.clone()];
        let (start, end) = key.split_at(key.len() / 2);
        for misspelt in [
            format!("{key}x"),
            key[1..].to_owned(),
            format!("{start}_{end}"),
            key.to_ascii_uppercase(),
        ] {
            let mut changed = config.clone();
            changed.replace_range(at.clone(), &misspelt);
            let error = error_of(dir.path(), &changed);
            assert!(error.contains(&format!("unknown field `{misspelt}`")), "{misspelt}: {error}");
            count += 1;
        }
    }
    assert!(count >= 160, "{count}");
}

/// Returns where the keys are: before `=`, and in the headers of tables, without the names of
/// profiles.
fn keys(config: &str) -> Vec<Range<usize>> {
    let mut keys = Vec::new();
    let mut offset = 0;
    for line in config.split_inclusive('\n') {
        let code = line.split_once('#').map_or(line, |(code, _)| code);
        let name_end = |rest: &str| {
            rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len())
        };
        let mut segment = 0;
        let mut in_string = false;
        let mut position = 0;
        while position < code.len() {
            let rest = &code[position..];
            let length = if in_string { 0 } else { name_end(rest) };
            let name = &rest[..length];
            let is_segment = code.starts_with('[') && segment != 1;
            let is_before_value = rest[length..].trim_start().starts_with('=');
            if length > 0 && (is_segment || is_before_value) && !CHOSEN.contains(&name) {
                keys.push(offset + position..offset + position + length);
            }
            segment += usize::from(length > 0);
            in_string ^= rest.starts_with('"');
            position += length.max(1);
        }
        offset += line.len();
    }
    keys
}
