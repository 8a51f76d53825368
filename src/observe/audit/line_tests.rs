use std::time::UNIX_EPOCH;

use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn written(write: impl FnOnce(&mut Line<'_>)) -> String {
    let mut out = Vec::new();
    let mut line = Line::start(&mut out, Timestamp::of(UNIX_EPOCH), "test");
    write(&mut line);
    line.end();
    String::from_utf8(out).unwrap()
}

/// Fails or panics after its text, like a `Display` that is wrong.
struct Failing {
    panics: bool,
}

impl fmt::Display for Failing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("half")?;
        assert!(!self.panics, "a test of a text that panics");
        Err(fmt::Error)
    }
}

#[test]
fn members_have_the_json_form_of_their_type() {
    let line = written(|line| {
        line.text("a", "x\"y\\z'\n");
        line.plain("b", 7_u32);
        line.plain("c", std::time::Duration::from_micros(1_234_567));
        line.plain("d", true);
        line.list("e", &["p".into(), "q\"".into()]);
        line.list("f", &[]);
        line.text("g", Failing { panics: false });
        line.text("h", Failing { panics: true });
    });
    assert_eq!(
        line,
        "{\"time\":\"1970-01-01T00:00:00.000Z\",\"event\":\"test\",\"a\":\"x\\\"y\\\\z'\\u000a\",\
         \"b\":7,\"c\":1234.567,\"d\":true,\"e\":[\"p\",\"q\\\"\"],\"g\":\"half…\",\
         \"h\":\"half…\"}\n"
    );
}

#[test]
fn unprintable_characters_are_escaped() {
    let text = "\0\u{7f}\u{85}\u{9b}\u{2028}\u{2029}\u{202e}\u{2066}\u{feff}\u{e0001}\u{ad}é漢😀";
    let line = written(|line| line.text("a", text));
    let expected = "\\u0000\\u007f\\u0085\\u009b\\u2028\\u2029\\u202e\\u2066\\ufeff\\udb40\\udc01\
                    \\u00adé漢😀";
    assert!(line.contains(&format!("\"a\":\"{expected}\"")), "{line}");
}

#[test]
fn long_text_is_cut_and_marked() {
    for (text, kept) in [
        ("a".repeat(MAX_TEXT - 3), MAX_TEXT - 3),
        ("a".repeat(MAX_TEXT - 2), MAX_TEXT - 3),
        ("\u{1b}".repeat(1_000_000), (MAX_TEXT - 3) / 6),
        ("😀".repeat(1_000_000), (MAX_TEXT - 3) / 4),
        ("\u{e0001}".repeat(1_000), (MAX_TEXT - 3) / 12),
    ] {
        let line = written(|line| line.text("a", &text));
        let value: Value = serde_json::from_str(&line).unwrap();
        let mut expected: String = text.chars().take(kept).collect();
        if kept < text.chars().count() {
            expected.push('…');
        }
        assert_eq!(value["a"], expected);
        assert!(line.len() < MAX_TEXT + 100);
    }
    let line = written(|line| line.list("a", &vec!["b".repeat(300); 20]));
    let value: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(value["a"].as_array().unwrap().len(), MAX_LIST);
    assert_eq!(value["a"][15], format!("{}…", "b".repeat(MAX_ELEMENT - 3)));
}

proptest! {
    #[test]
    fn each_text_is_one_line_of_json_that_contains_it(
        text in prop::collection::vec(any::<char>(), 0..200).prop_map(String::from_iter),
        latin in "[\\x00-\\xff]{0,200}",
    ) {
        let line = written(|line| {
            line.bounded_text("a", &text);
            line.text("b", &latin);
            line.list("c", std::slice::from_ref(&latin));
        });
        let value: Value = serde_json::from_str(&line).unwrap();
        prop_assert_eq!(&value["a"], &text);
        let b = value["b"].as_str().unwrap();
        prop_assert!(latin.starts_with(b.trim_end_matches('…')));
        let body = line.strip_suffix('\n').unwrap();
        let is_hidden = |character: char| {
            character.is_control() || (character.is_whitespace() && character != ' ')
        };
        prop_assert!(!body.chars().any(is_hidden));
        // The form that `forget` looks for.
        let mut escaped = b"\"".to_vec();
        escape_into(&mut escaped, &text);
        escaped.push(b'"');
        prop_assert!(line.contains(std::str::from_utf8(&escaped).unwrap()));
    }
}
