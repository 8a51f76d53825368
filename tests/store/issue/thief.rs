//! What a stolen refresh token is worth.
//!
//! The victim refreshes every 8 min. A thief copies the token once, and then refreshes by a
//! strategy.

use std::time::Duration;

use tower_auth::{clock::Clock, issue::RefreshError};
use tower_auth_test_support::random::Random;

use super::fixture::{Fixture, is_admitted, log_in, outcome, refresh};

#[derive(Clone, Copy, Debug)]
enum Strategy {
    /// Refreshes on its own, like another client.
    OwnPeriod,
    /// Refreshes the stolen token within the grace period of each refresh of the victim.
    OldTokenAfterVictim,
    /// Refreshes its newest token within the grace period of each refresh of the victim.
    NewTokenAfterVictim,
}

/// Simulates 24 h. Returns how long the thief had access, or `None` if it was not detected.
fn simulate(strategy: Strategy, seed: u64) -> Option<Duration> {
    let fixture = Fixture::new();
    let issuer = fixture.issuer();
    let mut random = Random::new(seed);
    let start = fixture.clock.now();
    let first = log_in(&issuer);
    let mut victim = first.clone();
    let mut victim_at = start + Duration::from_secs(480);
    let stolen_at = start + Duration::from_secs(1_000 + random.below(480) as u64);
    let mut thief: Option<(String, _)> = None;
    let end = start + Duration::from_secs(86_400);
    loop {
        let thief_at = thief.as_ref().map_or(stolen_at, |(_, at)| *at);
        let is_thief = thief_at < victim_at;
        let now = thief_at.min(victim_at);
        if now > end {
            return None;
        }
        fixture.clock.set(now);
        let period = Duration::from_secs(475 + random.below(11) as u64);
        let after_victim = Duration::from_secs(1 + random.below(15) as u64);
        let result = if is_thief {
            let Some((token, _)) = &mut thief else {
                let at = match strategy {
                    Strategy::OwnPeriod => now,
                    _ => victim_at + after_victim,
                };
                thief = Some((victim.refresh_token().to_owned(), at));
                continue;
            };
            let result = refresh(&issuer, token);
            if let (Ok(pair), false) = (&result, matches!(strategy, Strategy::OldTokenAfterVictim))
            {
                *token = pair.refresh_token().to_owned();
            }
            let next = match strategy {
                Strategy::OwnPeriod => now + period,
                _ => victim_at + after_victim,
            };
            thief = thief.map(|(token, _)| (token, next));
            result
        } else {
            victim_at = now + period;
            let result = refresh(&issuer, victim.refresh_token());
            if let (Some((_, at)), false) = (&mut thief, matches!(strategy, Strategy::OwnPeriod)) {
                *at = now + after_victim;
            }
            if let Ok(pair) = &result {
                victim = pair.clone();
            }
            result
        };
        if let Err(error) = result {
            assert!(matches!(error, RefreshError::Reused), "{error:?}");
            assert_eq!(fixture.events.count("reused"), 1);
            assert!(!is_admitted(&issuer, &victim));
            assert_eq!(outcome(&refresh(&issuer, victim.refresh_token())), "revoked");
            let (token, _) = thief.unwrap();
            assert_eq!(outcome(&refresh(&issuer, &token)), "revoked");
            return Some(now.duration_since(stolen_at).unwrap());
        }
    }
}

/// If it happens to refresh at the same time as the victim, it takes longer.
#[test]
fn thief_who_refreshes_on_its_own_is_detected() {
    let times: Vec<_> = (0..100).map(|seed| simulate(Strategy::OwnPeriod, seed)).collect();
    let is_quick =
        |time: &&Option<Duration>| time.is_some_and(|time| time.as_secs() < 2 * 485 + 41);
    assert!(times.iter().filter(is_quick).count() >= 85, "{times:?}");
    assert!(times.iter().flatten().count() >= 98, "{times:?}");
}

/// With a grace period for any older token, the thief would never be detected.
#[test]
fn thief_who_repeats_the_stolen_token_after_each_refresh_of_the_victim_is_detected() {
    for seed in 0..100 {
        let time = simulate(Strategy::OldTokenAfterVictim, seed);
        assert!(time.is_some_and(|time| time < Duration::from_secs(3 * 485 + 41)), "{time:?}");
    }
}

/// The documented limit: the thief behaves like another tab. Only tokens that are bound to a key of
/// the client prevent this.
#[test]
fn thief_who_refreshes_within_the_grace_period_of_each_refresh_is_not_detected() {
    assert!((0..5).any(|seed| simulate(Strategy::NewTokenAfterVictim, seed).is_none()));
}
