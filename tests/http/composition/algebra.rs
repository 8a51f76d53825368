//! Whatever policies are put together of: they decide as logic does, and name what would do.

use http::{Request, request::Parts};
use proptest::prelude::*;
use serde_json::json;
use tower_auth::{Denial, Policy, RequireRoles, RequireScopes, policy_fn, test_util::principal};

#[derive(Clone, Debug)]
enum Tree {
    Scope(usize),
    Role(usize),
    Closure(bool),
    Unknown,
    Not(Box<Self>),
    And(Box<Self>, Box<Self>),
    Or(Box<Self>, Box<Self>),
}

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

type BoxPolicy = Box<dyn Policy + Send + Sync>;

impl Tree {
    fn policy(&self) -> BoxPolicy {
        match self {
            Self::Scope(at) => Box::new(RequireScopes::all([NAMES[*at]])),
            Self::Role(at) => Box::new(RequireRoles::any([NAMES[*at]])),
            Self::Closure(allows) => {
                let allows = *allows;
                Box::new(policy_fn("closure", move |_, _| {
                    if allows { Ok(()) } else { Err(Denial::forbidden()) }
                }))
            }
            Self::Unknown => Box::new(policy_fn("away", |_, _| Err(Denial::unavailable()))),
            Self::Not(inner) => Box::new(inner.policy().not()),
            Self::And(one, other) => Box::new(one.policy().and(other.policy())),
            Self::Or(one, other) => Box::new(one.policy().or(other.policy())),
        }
    }

    /// As a logic of three values has it: `None` where nobody can tell.
    fn allows(&self, scopes: &[bool; 4], roles: &[bool; 4]) -> Option<bool> {
        let of = |tree: &Self| tree.allows(scopes, roles);
        match self {
            Self::Scope(at) => Some(scopes[*at]),
            Self::Role(at) => Some(roles[*at]),
            Self::Closure(allows) => Some(*allows),
            Self::Unknown => None,
            Self::Not(inner) => of(inner).map(|allows| !allows),
            Self::And(one, other) => match (of(one), of(other)) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            },
            Self::Or(one, other) => match (of(one), of(other)) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            },
        }
    }
}

fn trees(with_not: bool, with_unknown: bool) -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        3 => (0..4_usize).prop_map(Tree::Scope),
        2 => (0..4_usize).prop_map(Tree::Role),
        1 => any::<bool>().prop_map(Tree::Closure),
        u32::from(with_unknown) => Just(Tree::Unknown),
    ];
    leaf.prop_recursive(5, 32, 2, move |inner| {
        let pair = (inner.clone(), inner.clone());
        prop_oneof![
            inner.prop_map(move |one| if with_not { Tree::Not(Box::new(one)) } else { one }),
            pair.clone().prop_map(|(one, other)| Tree::And(Box::new(one), Box::new(other))),
            pair.prop_map(|(one, other)| Tree::Or(Box::new(one), Box::new(other))),
        ]
    })
}

fn held(which: &[bool; 4]) -> Vec<&'static str> {
    NAMES.into_iter().zip(which).filter(|(_, held)| **held).map(|(name, _)| name).collect()
}

fn head() -> Parts {
    Request::new(()).into_parts().0
}

proptest! {
    #[test]
    fn combinations_decide_as_logic_does(
        tree in trees(true, false), scopes: [bool; 4], roles: [bool; 4],
    ) {
        let caller = principal("x").claims(&json!({ "roles": held(&roles) })).unwrap();
        let caller = caller.scopes(held(&scopes)).build();
        let policy = tree.policy();
        let allowed = policy.evaluate(&caller, &head()).is_ok();
        prop_assert_eq!(Some(allowed), tree.allows(&scopes, &roles));
        // None of these is open to strangers, however it is turned around.
        prop_assert!(!policy.is_public(&head()));
    }

    #[test]
    fn what_cannot_be_decided_lets_nobody_in(
        tree in trees(true, true), scopes: [bool; 4], roles: [bool; 4],
    ) {
        let caller = principal("x").claims(&json!({ "roles": held(&roles) })).unwrap();
        let caller = caller.scopes(held(&scopes)).build();
        if tree.policy().evaluate(&caller, &head()).is_ok() {
            prop_assert_eq!(tree.allows(&scopes, &roles), Some(true));
        }
    }

    #[test]
    fn whoever_gets_the_scopes_that_a_refusal_names_gets_in(
        tree in trees(false, false), scopes: [bool; 4], roles: [bool; 4],
    ) {
        let caller = principal("x").claims(&json!({ "roles": held(&roles) })).unwrap();
        let policy = tree.policy();
        let before = caller.clone().scopes(held(&scopes)).build();
        if let Err(denial) = policy.evaluate(&before, &head()) {
            let named: Vec<_> = denial.scopes().map(str::to_owned).collect();
            if !named.is_empty() {
                let after = caller.scopes(&named).build();
                prop_assert!(policy.evaluate(&after, &head()).is_ok(), "{policy:?} {named:?}",
                    policy = tree);
            }
        }
    }
}
