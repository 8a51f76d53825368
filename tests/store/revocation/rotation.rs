//! Records under the names of two secrets, during a rotation.

use std::time::Duration;

use futures_util::FutureExt;
use tower_auth::{Principal, revocation::Revocations, store::StoreSecret, test_util::TestClock};

use super::{
    test_store::{TestStore, key},
    tokens::{ISSUER, caller, claims, clock, is_revoked, with},
};

struct Fixture {
    clock: TestClock,
    store: TestStore,
}

/// The secrets of a process: the current one, and the other one that it knows.
#[derive(Clone, Copy, Debug)]
enum Secrets {
    Old,
    OldAndNew,
    NewAndOld,
    New,
}

fn fixture() -> Fixture {
    let clock = clock();
    Fixture { store: TestStore::new(&clock), clock }
}

impl Fixture {
    fn process(&self, secrets: Secrets) -> Revocations {
        let secret = |number| StoreSecret::new(key(number)).unwrap();
        let secret = match secrets {
            Secrets::Old => secret(1),
            Secrets::OldAndNew => secret(1).previous(key(2)).unwrap(),
            Secrets::NewAndOld => secret(2).previous(key(1)).unwrap(),
            Secrets::New => secret(2),
        };
        self.store.process_with(secret).staleness(Duration::ZERO).build().unwrap()
    }

    fn token(&self, jti: &str) -> Principal {
        caller(&claims(&self.clock, jti))
    }
}

fn accepts(process: &Revocations, token: &Principal) -> bool {
    let result = process.check(token).now_or_never().unwrap();
    assert!(result.is_ok() || is_revoked(&result), "{result:?}");
    result.is_ok()
}

/// Each process that finds a loss raises the floor of all records of the epoch that it knows.
#[test]
fn tokens_below_a_floor_that_was_raised_during_a_rotation_are_rejected_with_either_secret() {
    use Secrets::{New, NewAndOld, Old, OldAndNew};
    for (raiser, readers) in [
        (Old, &[Old, OldAndNew, NewAndOld][..]),
        (OldAndNew, &[Old, OldAndNew, NewAndOld, New]),
        (NewAndOld, &[Old, OldAndNew, NewAndOld, New]),
        (New, &[OldAndNew, NewAndOld, New]),
    ] {
        let fixture = fixture();
        let innocent = fixture.token("1");
        // The epoch is created, and copied to its other name.
        for secrets in [Old, NewAndOld] {
            assert!(accepts(&fixture.process(secrets), &innocent));
        }
        let process = fixture.process(raiser);
        let revoked = fixture.token("2");
        process.token(&revoked).now_or_never().unwrap().unwrap();
        // The counter and the record of the token are lost, and the epoch is not.
        assert_eq!(fixture.store.remove(|value| value.len() <= 32), 2);
        assert!(!accepts(&process, &innocent), "{raiser:?}");
        fixture.clock.advance(Duration::from_secs(1));
        let later = fixture.token("3");
        assert!(accepts(&process, &later), "{raiser:?}");
        for reader in readers {
            let process = fixture.process(*reader);
            for token in [&revoked, &innocent] {
                // It may not be able to read the floor. Then it accepts nothing.
                let result = process.check(token).now_or_never().unwrap();
                assert!(result.is_err(), "{raiser:?} {reader:?}");
            }
        }
    }
}

/// The names of some records are in the other order.
#[test]
fn subjects_that_were_revoked_before_the_rotation_can_be_revoked_again_and_stay_so_after_it() {
    let fixture = fixture();
    let names: Vec<String> = (0..16).map(|number| format!("user {number}")).collect();
    let revoke_all = |process: &Revocations| {
        for name in &names {
            process.subject(ISSUER, name).now_or_never().unwrap().unwrap();
        }
    };
    revoke_all(&fixture.process(Secrets::Old));
    fixture.clock.advance(Duration::from_secs(10));
    let tokens =
        names.iter().map(|name| caller(&with(claims(&fixture.clock, name), "sub", name.as_str())));
    let tokens: Vec<Principal> = tokens.collect();
    revoke_all(&fixture.process(Secrets::NewAndOld));
    let last = fixture.process(Secrets::New);
    assert!(tokens.iter().all(|token| !accepts(&last, token)));
}

/// Also if the epoch is created in the middle of the rotation, or its floor is raised there.
#[test]
fn each_process_of_a_rotation_reads_what_the_others_have_written() {
    use Secrets::{New, NewAndOld, Old, OldAndNew};
    for (writer, readers) in [
        (Old, &[Old, OldAndNew, NewAndOld][..]),
        (OldAndNew, &[Old, OldAndNew, NewAndOld, New]),
        (NewAndOld, &[Old, OldAndNew, NewAndOld, New]),
        (New, &[OldAndNew, NewAndOld, New]),
    ] {
        let fixture = fixture();
        let process = fixture.process(writer);
        assert!(accepts(&process, &fixture.token("1")), "{writer:?}");
        for reader in readers {
            assert!(
                accepts(&fixture.process(*reader), &fixture.token("2")),
                "{writer:?} {reader:?}"
            );
        }
        fixture.store.clear();
        assert!(!accepts(&process, &fixture.token("1")), "{writer:?}");
        fixture.clock.advance(Duration::from_secs(1));
        for reader in readers {
            assert!(
                accepts(&fixture.process(*reader), &fixture.token("3")),
                "{writer:?} {reader:?}"
            );
        }
    }
}
