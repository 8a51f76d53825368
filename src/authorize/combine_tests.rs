//! All small trees of `and`, `or` and `not`, compared with every substitution of allow or deny for
//! what is indeterminate.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
};

use http::{Request, request::Parts};

use super::{
    decision::Decision,
    denial::Denial,
    policies::{policy_fn::policy_fn, public::public, scopes::RequireScopes},
    policy::Policy,
    requirements::Requirements,
    tables::methods::Methods,
};
use crate::{
    header::Scheme,
    principal::Principal,
    rejection::RejectionKind::{self, Forbidden, InsufficientScope, Misconfigured, Unavailable},
};

type SharedPolicy = Arc<dyn Policy>;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Truth {
    Allow,
    Deny,
    Indeterminate,
}
use Truth::{Allow, Deny, Indeterminate};

/// A policy, and what is expected of it.
#[derive(Clone)]
struct Tree {
    policy: SharedPolicy,
    /// Whether some substitution of its indeterminate leaves allows the request.
    may_allow: bool,
    /// Whether some substitution denies it.
    may_deny: bool,
    /// The kinds of the leaves and inversions that can be the cause of a rejection.
    kinds: Vec<RejectionKind>,
}

impl Tree {
    fn leaf(policy: impl Policy + 'static, truth: Truth, kind: Option<RejectionKind>) -> Self {
        Self {
            policy: Arc::new(policy),
            may_allow: truth != Deny,
            may_deny: truth != Allow,
            kinds: kind.into_iter().collect(),
        }
    }

    fn expected(&self) -> Truth {
        match (self.may_allow, self.may_deny) {
            (true, false) => Allow,
            (false, true) => Deny,
            _ => Indeterminate,
        }
    }

    fn not(&self) -> Self {
        let kinds = match self.expected() {
            Allow => vec![Forbidden],
            Deny => Vec::new(),
            Indeterminate => self.kinds.clone(),
        };
        Self {
            policy: Arc::new(Arc::clone(&self.policy).not()),
            may_allow: self.may_deny,
            may_deny: self.may_allow,
            kinds,
        }
    }

    fn and(&self, other: &Self) -> Self {
        Self {
            policy: Arc::new(Arc::clone(&self.policy).and(Arc::clone(&other.policy))),
            may_allow: self.may_allow && other.may_allow,
            may_deny: self.may_deny || other.may_deny,
            kinds: [&*self.kinds, &other.kinds].concat(),
        }
    }

    fn or(&self, other: &Self) -> Self {
        let may_deny = self.may_deny && other.may_deny;
        let kinds = if may_deny { [&*self.kinds, &other.kinds].concat() } else { Vec::new() };
        Self {
            policy: Arc::new(Arc::clone(&self.policy).or(Arc::clone(&other.policy))),
            may_allow: self.may_allow || other.may_allow,
            may_deny,
            kinds,
        }
    }

    fn assert_decides_as_expected(&self, caller: &Principal, head: &Parts) {
        let result = now(self.policy.evaluate(caller, head));
        assert_eq!(truth(&result), self.expected(), "{}", self.policy);
        if let Err(denial) = result {
            let kind = denial.kind();
            assert!(self.kinds.contains(&kind), "{kind:?} is not the kind of: {}", self.policy);
        }
    }
}

fn truth(result: &Result<(), Denial>) -> Truth {
    match result {
        Ok(()) => Allow,
        Err(denial) if denial.is_indeterminate() => Indeterminate,
        Err(_) => Deny,
    }
}

/// Polls a decision until it is ready.
fn now(decision: Decision) -> Result<(), Denial> {
    let mut decision = pin!(decision);
    loop {
        let poll = decision.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        if let Poll::Ready(result) = poll {
            return result;
        }
    }
}

/// A decision that is pending when it is polled first.
fn later(result: Result<(), Denial>) -> Decision {
    let mut polled = false;
    Decision::pending(async move {
        std::future::poll_fn(|_| {
            if std::mem::replace(&mut polled, true) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        result
    })
}

fn caller() -> Principal {
    Principal::builder("alice", Scheme::BEARER).build()
}

fn head() -> Parts {
    Request::new(()).into_parts().0
}

#[test]
fn all_small_trees_agree_with_every_substitution() {
    let leaves = vec![
        Tree::leaf(public(), Allow, None),
        Tree::leaf(RequireScopes::all(["a"]), Deny, Some(InsufficientScope)),
        Tree::leaf(policy_fn("deny", |_, _| Err(Denial::forbidden())), Deny, Some(Forbidden)),
        Tree::leaf(Methods::new(), Indeterminate, Some(Forbidden)),
        Tree::leaf(
            policy_fn("outage", |_, _| Err(Denial::unavailable())),
            Indeterminate,
            Some(Unavailable),
        ),
        Tree::leaf(
            policy_fn("misconfigured", |_, _| Err(Denial::misconfigured())),
            Indeterminate,
            Some(Misconfigured),
        ),
        Tree::leaf(policy_fn("later allow", |_, _| later(Ok(()))), Allow, None),
        Tree::leaf(
            policy_fn("later deny", |_, _| later(Err(Denial::forbidden()))),
            Deny,
            Some(Forbidden),
        ),
    ];
    let (caller, head) = (caller(), head());
    let mut count = leaves.len();
    leaves.iter().for_each(|tree| tree.assert_decides_as_expected(&caller, &head));
    // The trees by the number of their nodes. Subtrees are shared.
    let mut trees = vec![Vec::new(), leaves];
    for size in 2..=7 {
        let mut found = Vec::new();
        let mut check = |tree: Tree| {
            tree.assert_decides_as_expected(&caller, &head);
            count += 1;
            if size < 7 {
                found.push(tree);
            }
        };
        trees[size - 1].iter().for_each(|tree| check(tree.not()));
        for left in 1..size - 1 {
            for first in &trees[left] {
                for second in &trees[size - 1 - left] {
                    check(first.and(second));
                    check(first.or(second));
                }
            }
        }
        trees.push(found);
    }
    assert_eq!(count, 254_392);
}

/// A policy that decides later, requires the scope `db`, and counts how often it is polled.
struct Lookup {
    polls: Arc<AtomicUsize>,
    allows: bool,
}

impl Policy for Lookup {
    fn evaluate(&self, _: &Principal, _: &Parts) -> Decision {
        let (polls, allows) = (Arc::clone(&self.polls), self.allows);
        Decision::pending(async move {
            polls.fetch_add(1, Ordering::Relaxed);
            Denial::forbidden_unless(allows)
        })
    }

    fn requirements(&self, _: &Parts) -> Requirements {
        Requirements::scopes(["db"])
    }
}

/// Evaluates the policies that the closure combines. Returns the result and the number of polls of
/// each lookup.
fn evaluate<P: Policy>(
    combine: impl Fn(Lookup, Lookup) -> P,
    allows: [bool; 2],
) -> (Result<(), Denial>, [usize; 2]) {
    let lookup = |allows| Lookup { polls: Arc::default(), allows };
    let (first, second) = (lookup(allows[0]), lookup(allows[1]));
    let polls = [Arc::clone(&first.polls), Arc::clone(&second.polls)];
    let result = now(combine(first, second).evaluate(&caller(), &head()));
    (result, polls.map(|polls| polls.load(Ordering::Relaxed)))
}

#[test]
fn ready_decision_drops_the_pending_one_unpolled() {
    let scope = || RequireScopes::all(["a"]);
    for (result, polls) in [
        evaluate(|db, _| scope().and(db), [true; 2]),
        evaluate(|db, _| db.and(scope()), [true; 2]),
        evaluate(|db, other| db.and(other.and(scope())), [true; 2]),
    ] {
        let denial = result.unwrap_err();
        assert_eq!((denial.kind(), polls), (InsufficientScope, [0, 0]));
        // The denial names the requirements of the lookup, which was not polled.
        assert!(denial.scopes().any(|scope| scope == "db"), "{denial}");
        assert!(denial.scopes().any(|scope| scope == "a"), "{denial}");
    }
    for (result, polls) in [
        evaluate(|db, _| public().or(db), [false; 2]),
        evaluate(|db, _| db.or(public()), [false; 2]),
        evaluate(|db, other| db.or(other.or(public())), [false; 2]),
    ] {
        assert_eq!((truth(&result), polls), (Allow, [0, 0]));
    }
}

#[test]
fn second_pending_decision_is_polled_only_if_needed() {
    for (first, and_polls, or_polls) in [(true, [1, 1], [1, 0]), (false, [1, 0], [1, 1])] {
        for second in [true, false] {
            let (result, polls) = evaluate(|a, b| a.and(b), [first, second]);
            assert_eq!((result.is_ok(), polls), (first && second, and_polls));
            let (result, polls) = evaluate(|a, b| a.or(b), [first, second]);
            assert_eq!((result.is_ok(), polls), (first || second, or_polls));
        }
    }
}

#[test]
fn indeterminate_decision_waits_for_the_pending_one() {
    let outage = || policy_fn("outage", |_, _| Err(Denial::unavailable()));
    for (allows, and, or) in [(true, Indeterminate, Allow), (false, Deny, Indeterminate)] {
        for (result, polls) in [
            evaluate(|db, _| outage().and(db), [allows; 2]),
            evaluate(|db, _| db.and(outage()), [allows; 2]),
        ] {
            assert_eq!((truth(&result), polls), (and, [1, 0]));
        }
        for (result, polls) in [
            evaluate(|db, _| outage().or(db), [allows; 2]),
            evaluate(|db, _| db.or(outage()), [allows; 2]),
        ] {
            assert_eq!((truth(&result), polls), (or, [1, 0]));
        }
    }
}

#[test]
fn outage_of_a_denied_branch_does_not_invert_the_decision() {
    let no_route = Methods::new();
    let denied =
        RequireScopes::all(["a"]).and(policy_fn("outage", |_, _| Err(Denial::unavailable())));
    let denial = now(denied.evaluate(&caller(), &head())).unwrap_err();
    // The outage is rendered, but the decision is a denial.
    assert_eq!((denial.kind(), denial.is_indeterminate()), (Unavailable, false));
    assert!(now(denied.clone().not().evaluate(&caller(), &head())).is_ok());
    let policy = no_route.and(denied.not()).not();
    let denial = now(policy.evaluate(&caller(), &head())).unwrap_err();
    assert_eq!((denial.kind(), denial.is_indeterminate()), (Forbidden, true));
}
