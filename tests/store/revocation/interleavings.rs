//! Every order of the steps of revocations and checks in the store.

use std::{cell::Cell, future::Future, pin::Pin, time::Duration};

use futures_util::FutureExt;
use tower_auth::{Principal, revocation::Revocations};

use super::{
    test_store::TestStore,
    tokens::{ISSUER, caller, claims, clock, is_revoked, with},
};

/// Whether a step ended a task, and its result.
pub type Task<'a> = Pin<Box<dyn Future<Output = bool> + 'a>>;

/// Runs the tasks in every order of their steps. `create` starts a run, and `finished` is called
/// with what it returned and the task that has ended. `can_start` delays the start of a task.
///
/// With two `steps` at once, a result arrives as soon as an operation is applied. If the tasks
/// share only the store, the other orders make no difference.
///
/// A run is repeated from the start for each order, so the tasks must be deterministic.
pub fn for_each_order<C>(
    steps: usize,
    create: impl Fn() -> (TestStore, C),
    tasks: impl for<'a> Fn(&'a C) -> Vec<Task<'a>>,
    can_start: impl Fn(&C, usize) -> bool,
    mut finished: impl FnMut(&TestStore, &C, usize, bool, &[usize]),
) -> usize {
    let mut choices: Vec<(usize, usize)> = Vec::new();
    let mut runs = 0;
    loop {
        let (store, context) = create();
        let mut running: Vec<Option<Task<'_>>> = tasks(&context).into_iter().map(Some).collect();
        let mut has_started = vec![false; running.len()];
        // Tasks that wait for another one.
        let mut is_blocked = vec![false; running.len()];
        let (mut depth, mut order) = (0, Vec::new());
        while running.iter().any(Option::is_some) {
            let can_run: Vec<usize> = (0..running.len())
                .filter(|index| running[*index].is_some() && !is_blocked[*index])
                .filter(|index| has_started[*index] || can_start(&context, *index))
                .collect();
            assert!(!can_run.is_empty(), "all tasks wait: {order:?}");
            if depth == choices.len() {
                choices.push((0, can_run.len()));
            }
            let index = can_run[choices[depth].0];
            depth += 1;
            order.push(index);
            assert!(depth < 100, "no progress: {order:?}");
            let is_first = !std::mem::replace(&mut has_started[index], true);
            let (result, has_moved) =
                store.step(running[index].as_mut().unwrap(), if is_first { 0 } else { steps });
            is_blocked[index] = !is_first && !has_moved;
            if has_moved || is_first {
                is_blocked.fill(false);
            }
            if let Some(result) = result {
                running[index] = None;
                store.set_stepped(false);
                finished(&store, &context, index, result, &order);
                store.set_stepped(true);
            }
        }
        runs += 1;
        // The next order: the last choice that has an alternative.
        while let Some((chosen, count)) = choices.pop() {
            if chosen + 1 < count {
                choices.push((chosen + 1, count));
                break;
            }
        }
        if choices.is_empty() {
            return runs;
        }
    }
}

struct Context {
    here: Revocations,
    other: Revocations,
    token: Principal,
    unaffected: Principal,
    has_returned: Cell<bool>,
}

#[derive(Clone, Copy, Debug)]
enum Target {
    Token,
    Session,
    Subject,
    Issuer,
}

/// What the process knows before the tasks start.
#[derive(Clone, Copy, Debug)]
enum Known {
    Nothing,
    Epoch,
    Answer,
}

impl Context {
    fn new(staleness: Duration, known: Known) -> (TestStore, Self) {
        let clock = clock();
        let store = TestStore::new(&clock);
        let process = || store.process().staleness(staleness).build().unwrap();
        let (here, other) = (process(), process());
        let token = claims(&clock, "1");
        let unaffected = with(with(claims(&clock, "2"), "sub", "carol"), "sid", "other");
        let unaffected = with(unaffected, "iss", "https://other.example");
        let (token, unaffected) = (caller(&token), caller(&unaffected));
        let first = match known {
            Known::Nothing => None,
            Known::Epoch => Some(&unaffected),
            Known::Answer => Some(&token),
        };
        if let Some(caller) = first {
            here.check(caller).now_or_never().unwrap().unwrap();
            other.check(&unaffected).now_or_never().unwrap().unwrap();
        }
        store.set_stepped(true);
        (store, Self { here, other, token, unaffected, has_returned: Cell::new(false) })
    }

    fn revoke<'a>(&'a self, by: &'a Revocations, target: Target) -> Task<'a> {
        Box::pin(async move {
            match target {
                Target::Token => by.token(&self.token).await,
                Target::Session => by.session(ISSUER, "s").await,
                Target::Subject => by.subject(ISSUER, "alice").await,
                Target::Issuer => by.issuer(ISSUER).await,
            }
            .unwrap();
            self.has_returned.set(true);
            true
        })
    }

    fn check<'a>(&'a self, by: &'a Revocations) -> Task<'a> {
        Box::pin(async move { is_revoked(&by.check(&self.token).await) })
    }

    /// Checks the token now, without steps.
    fn check_now(&self, by: &Revocations) -> bool {
        is_revoked(&by.check(&self.token).now_or_never().unwrap())
    }
}

const TARGETS: [Target; 4] = [Target::Token, Target::Session, Target::Subject, Target::Issuer];
const STALENESS: [Duration; 2] = [Duration::ZERO, Duration::from_secs(5)];

/// A check can be asked before the write, answered after it, and used after the call returned.
/// Equal tokens share one question.
#[test]
fn check_that_starts_after_a_revocation_returned_is_rejected_in_every_order() {
    let mut runs = 0;
    for (target, staleness) in TARGETS.into_iter().flat_map(|t| STALENESS.map(|s| (t, s))) {
        for known in [Known::Nothing, Known::Epoch, Known::Answer] {
            let is_typical = !staleness.is_zero() && matches!(known, Known::Epoch);
            if !is_typical && !matches!(target, Target::Token) {
                continue;
            }
            runs += for_each_order(
                1,
                || Context::new(staleness, known),
                |context| {
                    let revocation = context.revoke(&context.here, target);
                    vec![revocation, context.check(&context.here), context.check(&context.here)]
                },
                |context, index| index != 2 || context.has_returned.get(),
                |_, context, index, result, order| {
                    let case = format!("{target:?} {staleness:?} {known:?} {order:?}");
                    match index {
                        0 => {
                            assert!(context.check_now(&context.other), "{case}");
                            let unaffected = context.here.check(&context.unaffected);
                            assert!(unaffected.now_or_never().unwrap().is_ok(), "{case}");
                        }
                        1 => {}
                        _ => assert!(result, "{case}"),
                    }
                },
            );
        }
    }
    assert!(runs > 1_000, "{runs}");
}

#[test]
fn two_writers_of_an_instant_both_succeed_in_every_order() {
    let runs = for_each_order(
        2,
        || Context::new(Duration::ZERO, Known::Epoch),
        |context| {
            let revoke = |by| context.revoke(by, Target::Subject);
            vec![revoke(&context.here), revoke(&context.other)]
        },
        |_, _| true,
        |_, context, _, _, order| {
            assert!(context.check_now(&context.here), "{order:?}");
            assert!(context.check_now(&context.other), "{order:?}");
        },
    );
    assert!(runs > 100, "{runs}");
}

/// Two fresh processes create the epoch: the loser of the race reads that of the winner.
#[test]
fn two_fresh_processes_agree_on_the_epoch_in_every_order() {
    let runs = for_each_order(
        1,
        || Context::new(Duration::ZERO, Known::Nothing),
        |context| {
            let check = |by| -> Task<'_> {
                Box::pin(async move { Revocations::check(by, &context.token).await.is_ok() })
            };
            vec![check(&context.here), check(&context.other)]
        },
        |_, _| true,
        |_, context, _, result, order| {
            assert!(result, "{order:?}");
            for process in [&context.here, &context.other] {
                let result = process.check(&context.token).now_or_never().unwrap();
                assert!(result.is_ok(), "{order:?}");
            }
        },
    );
    assert!(runs > 20, "{runs}");
}
