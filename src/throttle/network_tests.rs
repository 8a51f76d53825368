//! Limits for the networks of a client.

use std::{ops::Range, time::Duration};

use super::throttle_tests::Fixture;

/// Returns an address in the subnet (/64) of this number in the /48 of `2001:db8:1`.
fn in_subnet(subnet: u32) -> String {
    format!("2001:db8:1:{:x}::1", subnet % 65_536)
}

#[test]
fn guesses_from_rotating_subnets_of_a_48_are_throttled() {
    let fixture = Fixture::with_limit(10, Duration::from_secs(300));
    let admitted = |subnets: &dyn Fn(u32) -> u32, user: &str| {
        let guess = |at: &u32| fixture.guess(&in_subnet(subnets(*at)), user).is_ok();
        (0..120_000).filter(guess).count()
    };
    // A /56 has 256 subnets, and 4 times the limit of an address. The /48 has 16 times.
    assert_eq!(admitted(&|at| at % 256, "alice"), 40);
    assert_eq!(admitted(&|at| at, "bob"), 120);
    assert!(fixture.log_in("2001:db8:2::1", "alice").is_ok());
    assert!(fixture.log_in("192.0.2.1", "bob").is_ok());
    // All attempts of a network are available again in the same time.
    fixture.advance(300);
    assert_eq!(admitted(&|at| at * 7, "alice"), 160);
}

#[test]
fn failing_neighbor_locks_out_no_other_subnet() {
    let fixture = Fixture::with_limit(10, Duration::from_secs(300));
    for minute in 0..1_000 {
        // Subnet 1 guesses all the time, and so does each subnet from 256 to 511.
        for guess in 0..20 {
            let user = format!("user {guess}");
            let _ = fixture.guess(&in_subnet(1), &user);
            let _ = fixture.guess(&in_subnet(256 + guess * 7), &user);
        }
        assert!(fixture.log_in(&in_subnet(1), "bob").is_err());
        assert!(minute < 10 || fixture.log_in(&in_subnet(300), "bob").is_err());
        for neighbor in [2, 255, 512, 65_535] {
            assert!(fixture.log_in(&in_subnet(neighbor), "user 1").is_ok(), "{minute}");
            assert!(fixture.log_in(&in_subnet(neighbor), "bob").is_ok(), "{minute}");
        }
        fixture.advance(60);
    }
}

#[test]
fn concurrent_attempts_are_limited_for_each_network() {
    let fixture = Fixture::new();
    let begin_all = |guesses: Range<u32>, subnets: &dyn Fn(u32) -> u32| -> Vec<_> {
        let begin = |at: u32| fixture.begin(&in_subnet(subnets(at)), "alice", &at.to_string());
        guesses.filter_map(|at| begin(at).ok()).collect()
    };
    let mut attempts = begin_all(0..1_000, &|_| 1);
    assert_eq!(attempts.len(), 35);
    attempts.extend(begin_all(1_000..2_000, &|at| at % 256));
    assert_eq!(attempts.len(), 4 * 35);
    attempts.extend(begin_all(2_000..4_000, &|at| at * 9));
    assert_eq!(attempts.len(), 16 * 35);
    assert!(fixture.begin("2001:db8:2::1", "alice", "x").is_ok());
    attempts.into_iter().for_each(|attempt| attempt.finish(false));
    assert_eq!(begin_all(0..1_000, &|_| 1).len(), 35, "all were released");
}

#[test]
fn concurrent_failures_of_one_subnet_block_its_56_for_at_most_90_seconds() {
    let fixture = Fixture::with_limit(10, Duration::from_secs(300));
    let begin = |user: u32| fixture.begin(&in_subnet(1), &user.to_string(), "x").ok();
    let mut attempts: Vec<_> = (0..100).filter_map(begin).collect();
    // More can begin until the limit of the address is used up.
    attempts.drain(..9).for_each(|attempt| attempt.finish(true));
    attempts.extend((100..200).filter_map(begin));
    attempts.into_iter().for_each(|attempt| attempt.finish(true));
    assert_eq!(fixture.begin(&in_subnet(2), "bob", "x").err(), Some(Some(90)));
}
