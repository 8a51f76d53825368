use std::{sync::Arc, thread};

use futures_util::FutureExt as _;

use super::*;
use crate::observe::audit::reply::reply;

const CLASSES: [AuditClass; 5] = [
    AuditClass::Admission,
    AuditClass::Rejection,
    AuditClass::Denial,
    AuditClass::Security,
    AuditClass::Operation,
];

fn queue(lines: usize, bytes: usize) -> Queue {
    Queue::new(Limits { lines, bytes })
}

/// A command makes `take` return at once.
fn take_now(queue: &Queue, lines: &mut Lines) -> Taken {
    queue.command(Command::Flush(reply().0));
    queue.take(lines, Duration::MAX)
}

fn count(drops: AuditDrops, class: AuditClass) -> u64 {
    match class {
        AuditClass::Admission => drops.admissions(),
        AuditClass::Rejection => drops.rejections(),
        AuditClass::Denial => drops.denials(),
        AuditClass::Security => drops.security(),
        AuditClass::Operation => drops.operations(),
    }
}

#[test]
fn full_class_drops_its_lines_and_no_others() {
    for full in CLASSES {
        let queue = queue(16, 1_000);
        for index in 0..20 {
            assert_eq!(queue.push(b"x\n", full, Day(0)), index < 16);
        }
        for other in CLASSES {
            assert_eq!(queue.push(b"y\n", other, Day(0)), other != full, "{full:?} {other:?}");
            assert_eq!(count(queue.dropped(), other), if other == full { 5 } else { 0 });
        }
        assert_eq!(queue.dropped().total(), 5);
    }
}

#[test]
fn lines_are_bounded_by_bytes() {
    let queue = queue(1_000, 100);
    assert!(queue.push(&[b'x'; 60], AuditClass::Denial, Day(0)));
    assert!(!queue.push(&[b'x'; 41], AuditClass::Denial, Day(0)));
    assert!(queue.push(&[b'x'; 40], AuditClass::Denial, Day(0)));
    assert!(!queue.push(b"x", AuditClass::Denial, Day(0)));
}

#[test]
fn space_is_free_when_lines_are_written_and_not_when_they_are_taken() {
    let queue = queue(2, 1_000);
    let mut lines = Lines::default();
    assert!(queue.push(b"a\n", AuditClass::Security, Day(0)));
    assert!(queue.push(b"b\n", AuditClass::Security, Day(0)));
    take_now(&queue, &mut lines);
    assert_eq!(lines.first(|_, _| true).0, b"a\nb\n");
    assert!(!queue.push(b"c\n", AuditClass::Security, Day(0)));
    queue.release(&lines.entries()[..1]);
    assert!(queue.push(b"d\n", AuditClass::Security, Day(0)));
    assert!(!queue.push(b"e\n", AuditClass::Security, Day(0)));
}

#[test]
fn taken_lines_follow_those_that_are_left() {
    let queue = queue(10, 1_000);
    let mut lines = Lines::default();
    for text in [b"a\n", b"b\n", b"c\n"] {
        queue.push(text, AuditClass::Admission, Day(0));
        queue.push(text, AuditClass::Denial, Day(0));
        take_now(&queue, &mut lines);
    }
    assert_eq!(lines.first(|_, _| true).0, b"a\na\nb\nb\nc\nc\n");
    assert_eq!(lines.first(|_, before| before < 4).0, b"a\na\n");
    lines.remove_first(3);
    assert_eq!(lines.first(|_, _| true).0, b"b\nc\nc\n");
    lines.remove_first(9);
    assert!(lines.is_empty() && lines.first(|_, _| true).0.is_empty());
}

#[test]
fn queue_is_nearly_full_while_less_than_an_eighth_is_free() {
    // By lines, and by bytes.
    for queue in [queue(80, 100_000), queue(1_000, 160)] {
        for index in 0..71 {
            assert!(!queue.is_nearly_full(), "{index}");
            assert!(queue.push(b"x\n", AuditClass::Security, Day(0)));
        }
        assert!(queue.is_nearly_full());
        let mut lines = Lines::default();
        take_now(&queue, &mut lines);
        assert!(queue.is_nearly_full());
        queue.release(&lines.entries()[..1]);
        assert!(!queue.is_nearly_full());
    }
}

#[test]
fn other_classes_do_not_make_the_queue_nearly_full() {
    let queue = queue(10, 1_000);
    for class in CLASSES.into_iter().filter(|class| *class != AuditClass::Security) {
        for _ in 0..100 {
            queue.push(b"x\n", class, Day(0));
        }
    }
    queue.release(&[]);
    assert!(!queue.is_nearly_full());
}

#[test]
fn drops_are_taken_once_and_not_during_a_back_off() {
    let queue = queue(1, 1_000);
    let mut lines = Lines::default();
    queue.push(b"a\n", AuditClass::Denial, Day(0));
    queue.push(b"b\n", AuditClass::Denial, Day(0));
    let taken = queue.back_off(&mut lines, Duration::ZERO);
    assert_eq!(taken.drops, AuditDrops::default());
    assert_eq!(take_now(&queue, &mut lines).drops.denials(), 1);
    assert_eq!(take_now(&queue, &mut lines).drops.denials(), 0);
    assert_eq!(queue.dropped().denials(), 1);
}

#[test]
fn drops_alone_wake_the_thread() {
    let queue = queue(1, 1_000);
    let mut lines = Lines::default();
    queue.push(b"a\n", AuditClass::Security, Day(0));
    queue.take(&mut lines, Duration::MAX);
    queue.push(b"b\n", AuditClass::Security, Day(0));
    assert_eq!(queue.take(&mut lines, Duration::MAX).drops.security(), 1);
}

#[test]
fn ended_queue_drops_its_lines_and_later_ones() {
    let queue = queue(100, 1_000);
    let (mut lines, mut entry) = (Lines::default(), None);
    for index in 0..3 {
        queue.push(b"x\n", AuditClass::Security, Day(0));
        if index == 0 {
            take_now(&queue, &mut lines);
            entry = lines.entries().first().copied();
        }
    }
    lines.push(b"own\n", Entry { class: None, ..entry.unwrap() });
    queue.end(&mut lines);
    assert!(lines.is_empty());
    assert_eq!(queue.dropped().security(), 3);
    assert!(!queue.push(b"x\n", AuditClass::Admission, Day(0)));
    assert!(queue.is_nearly_full());
}

#[test]
fn sleeping_thread_is_woken_by_a_line_a_command_and_the_end() {
    let queue = Arc::new(queue(10, 1_000));
    let sleeper = Arc::clone(&queue);
    let (sender, taken) = std::sync::mpsc::channel();
    let thread = thread::spawn(move || {
        loop {
            let mut lines = Lines::default();
            let got = sleeper.take(&mut lines, Duration::MAX);
            sender.send((lines.entries().len(), got.commands.len())).unwrap();
            if got.is_closed {
                return;
            }
        }
    });
    for class in CLASSES {
        queue.push(b"x\n", class, Day(0));
        assert_eq!(taken.recv(), Ok((1, 0)));
    }
    queue.command(Command::Flush(reply().0));
    assert_eq!(taken.recv(), Ok((0, 1)));
    queue.close();
    assert_eq!(taken.recv(), Ok((0, 0)));
    thread.join().unwrap();
}

/// A security event is written at once, and others before their space is used up.
#[test]
fn security_line_and_half_full_class_are_urgent() {
    // By lines, and by bytes.
    for queue in [queue(8, 1_000), queue(1_000, 16)] {
        for _ in 0..4 {
            queue.push(b"x\n", AuditClass::Denial, Day(0));
            queue.push(b"x\n", AuditClass::Admission, Day(0));
            assert!(queue.lock().has_work() && !queue.lock().is_urgent());
        }
        queue.push(b"x\n", AuditClass::Denial, Day(0));
        assert!(queue.lock().is_urgent());
    }
    let queue = queue(1_000, 1_000);
    queue.push(b"x\n", AuditClass::Security, Day(0));
    assert!(queue.lock().is_urgent());
}

#[test]
fn command_after_the_end_is_answered() {
    let queue = queue(10, 1_000);
    let (before, after) = (reply(), reply());
    queue.command(Command::Flush(before.0));
    queue.end(&mut Lines::default());
    queue.command(Command::Flush(after.0));
    for receiver in [before.1, after.1] {
        // `None` would be a call that waits forever.
        assert!(receiver.now_or_never().is_some_and(|answer| answer.is_none()));
    }
}
