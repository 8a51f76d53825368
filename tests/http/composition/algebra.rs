//! Property tests: combined policies follow boolean logic, and the scopes they name are sufficient.

use http::{Request, request::Parts};
use proptest::prelude::*;
use serde_json::json;
use tower_auth::{
    Denial, Policy, Principal, RequireRoles, RequireScopes, policy_fn, test_util::principal,
};

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

type BoxPolicy = Box<dyn Policy>;

impl Tree {
    fn policy(&self) -> BoxPolicy {
        match self {
            Self::Scope(index) => Box::new(RequireScopes::all([NAMES[*index]])),
            Self::Role(index) => Box::new(RequireRoles::any([NAMES[*index]])),
            Self::Closure(allows) => {
                let allows = *allows;
                Box::new(policy_fn("closure", move |_, _| {
                    if allows { Ok(()) } else { Err(Denial::forbidden()) }
                }))
            }
            Self::Unknown => Box::new(policy_fn("unavailable", |_, _| Err(Denial::unavailable()))),
            Self::Not(inner) => Box::new(inner.policy().not()),
            Self::And(left, right) => Box::new(left.policy().and(right.policy())),
            Self::Or(left, right) => Box::new(left.policy().or(right.policy())),
        }
    }

    /// Evaluates the tree in three-valued logic: `None` if the result is unknown.
    fn allows(&self, scopes: &[bool; 4], roles: &[bool; 4]) -> Option<bool> {
        let evaluate = |tree: &Self| tree.allows(scopes, roles);
        match self {
            Self::Scope(index) => Some(scopes[*index]),
            Self::Role(index) => Some(roles[*index]),
            Self::Closure(allows) => Some(*allows),
            Self::Unknown => None,
            Self::Not(inner) => evaluate(inner).map(|allows| !allows),
            Self::And(left, right) => match (evaluate(left), evaluate(right)) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            },
            Self::Or(left, right) => match (evaluate(left), evaluate(right)) {
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
            inner.prop_map(move |tree| if with_not { Tree::Not(Box::new(tree)) } else { tree }),
            pair.clone().prop_map(|(left, right)| Tree::And(Box::new(left), Box::new(right))),
            pair.prop_map(|(left, right)| Tree::Or(Box::new(left), Box::new(right))),
        ]
    })
}

fn selected(flags: &[bool; 4]) -> Vec<&'static str> {
    NAMES.into_iter().zip(flags).filter(|(_, flag)| **flag).map(|(name, _)| name).collect()
}

fn head() -> Parts {
    Request::new(()).into_parts().0
}

fn evaluate(policy: &BoxPolicy, caller: &Principal) -> Result<(), Denial> {
    policy.evaluate(caller, &head()).into_ready().unwrap()
}

proptest! {
    #[test]
    fn combined_policies_follow_boolean_logic(
        tree in trees(true, false), scopes: [bool; 4], roles: [bool; 4],
    ) {
        let caller = principal("x").claims(&json!({ "roles": selected(&roles) })).unwrap();
        let caller = caller.scopes(selected(&scopes)).build();
        let policy = tree.policy();
        let allowed = evaluate(&policy, &caller).is_ok();
        prop_assert_eq!(Some(allowed), tree.allows(&scopes, &roles));
        // No combination of these policies is public.
        prop_assert!(!policy.is_public(&head()));
    }

    #[test]
    fn unknown_result_never_admits_the_caller(
        tree in trees(true, true), scopes: [bool; 4], roles: [bool; 4],
    ) {
        let caller = principal("x").claims(&json!({ "roles": selected(&roles) })).unwrap();
        let caller = caller.scopes(selected(&scopes)).build();
        if evaluate(&tree.policy(), &caller).is_ok() {
            prop_assert_eq!(tree.allows(&scopes, &roles), Some(true));
        }
    }

    #[test]
    fn granting_the_named_scopes_admits_the_caller(
        tree in trees(false, false), scopes: [bool; 4], roles: [bool; 4],
    ) {
        let caller = principal("x").claims(&json!({ "roles": selected(&roles) })).unwrap();
        let policy = tree.policy();
        let before = caller.clone().scopes(selected(&scopes)).build();
        if let Err(denial) = evaluate(&policy, &before) {
            let named: Vec<_> = denial.scopes().map(str::to_owned).collect();
            if !named.is_empty() {
                let after = caller.scopes(&named).build();
                prop_assert!(evaluate(&policy, &after).is_ok(), "{policy:?} {named:?}",
                    policy = tree);
            }
        }
    }
}
