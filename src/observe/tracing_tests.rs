use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex},
};

use tracing::{
    Metadata, Subscriber,
    field::{Field, Visit},
    span, subscriber,
};

use super::Tracing;
use crate::observe::{observe::Observe as _, observer::Observer, test_events::for_each_event};

/// An event: its fields, and its level as `level`.
type Line = BTreeMap<&'static str, String>;

/// Keeps the events.
#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Vec<Line>>>);

impl Subscriber for Recorder {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        assert_eq!(event.metadata().target(), "tower_auth");
        let level = event.metadata().level().as_str().to_ascii_lowercase();
        let mut fields = Fields([("level", level)].into());
        event.record(&mut fields);
        self.0.lock().unwrap().push(fields.0);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

struct Fields(Line);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        assert!(self.0.insert(field.name(), format!("{value:?}")).is_none(), "{field}");
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
}

/// Returns the rows of the first table in the documentation, as lists of cells.
fn documented(source: &'static str) -> Vec<Vec<&'static str>> {
    let lines = source.lines().map(|line| line.trim_start_matches("/// "));
    let table = lines.skip_while(|line| !line.starts_with("| --- "));
    let rows = table.skip(1).map_while(|line| line.strip_prefix("| "));
    rows.map(|row| row.trim_end_matches('|').split('|').map(str::trim).collect()).collect()
}

fn in_code(text: &str) -> BTreeSet<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// Each event is written as the table says, and each row of the table is about an event.
#[test]
fn events_are_written_as_documented() {
    let recorder = Recorder::default();
    let mut names = Vec::new();
    subscriber::with_default(recorder.clone(), || {
        for_each_event(|event| {
            names.push(event.name());
            Tracing::default().observed(event);
        });
    });
    let lines = recorder.0.lock().unwrap();
    let written: Vec<_> = lines.iter().map(|line| &*line["event"]).collect();
    assert_eq!(written, names);

    let shared: Vec<_> = documented(include_str!("tracing.rs"));
    let shared: BTreeSet<_> = shared.iter().flat_map(|row| in_code(row[0])).collect();
    assert_eq!(shared.len(), 12);
    let rows = documented(include_str!("tracing_events.md"));
    let mut unused: BTreeSet<_> = (0..rows.len()).collect();
    let mut seen = BTreeSet::new();
    for line in &*lines {
        let is_row_of_line = |row: &Vec<&str>| {
            in_code(row[0]).contains(&*line["event"])
                && row[1] == line["level"]
                && row[2] == line["message"]
        };
        let index = rows.iter().position(is_row_of_line);
        let index = index.unwrap_or_else(|| panic!("{line:?} is not in the table"));
        unused.remove(&index);
        let own = in_code(rows[index][3]);
        for (name, value) in line {
            let is_known = ["level", "message"].contains(name) || shared.contains(name);
            assert!(is_known || own.contains(name), "{name} of {line:?} is not in the table");
            assert!(!value.contains('\u{9b}'), "{name} of {line:?} is not escaped");
            seen.insert(*name);
        }
        // The id of a session is missing if all have ended.
        let missing = own.iter().find(|name| !line.contains_key(**name));
        assert!(missing.is_none() || line["event"] == "session_ended", "{missing:?} of {line:?}");
    }
    #[cfg(all(
        feature = "api-key",
        feature = "audit",
        feature = "introspection",
        feature = "oidc-login",
        feature = "password-hash",
        feature = "redis",
        feature = "webhook"
    ))]
    {
        let unused: Vec<_> = unused.iter().map(|index| rows[*index].join(" | ")).collect();
        assert!(unused.is_empty(), "no event for the rows {unused:#?}");
        // These need a router and a proxy: see the tests over sockets.
        let missing: Vec<_> = shared.iter().filter(|name| !seen.contains(**name)).collect();
        assert_eq!(missing, [&"client.address", &"http.route"]);
    }
}

#[test]
fn decision_is_written_with_all_its_fields() {
    let recorder = Recorder::default();
    subscriber::with_default(recorder.clone(), || {
        for_each_event(|event| Tracing::default().observed(event));
    });
    let lines = recorder.0.lock().unwrap();
    let rejected = lines.iter().find(|line| line["event"] == "rejected").unwrap();
    for (name, expected) in [
        ("level", "debug"),
        ("http.request.method", "GET"),
        ("url.path", r"/\u{9b}31mforged"),
        ("scheme", "Bearer"),
        ("subject", r"\u{9b}31mforged"),
        ("policy", r"\u{9b}31mforged"),
        ("waited_ms", "1500"),
        ("error.type", "forbidden"),
        ("error", r"\u{9b}31mforged"),
    ] {
        assert_eq!(rejected[name], expected, "{name}");
    }
}

/// A subscriber that panics for each event, also for the report of a panic.
struct Panicking;

impl Subscriber for Panicking {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, _: &tracing::Event<'_>) {
        panic!("a test of a subscriber that panics");
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

#[test]
fn panic_of_a_subscriber_does_not_leave_the_default_observer() {
    subscriber::with_default(Panicking, || {
        for_each_event(|event| Observer::default().observe(event));
    });
}
