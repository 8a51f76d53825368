//! The page about policies: its table of three-valued logic.

use http::{Request, request::Parts};
use tower_auth::{Denial, Policy, policy_fn, test_util::principal};

use super::page;

fn policy(value: &str) -> impl Policy + Clone {
    let result = match value {
        "allow" => Ok(()),
        "deny" => Err(Denial::forbidden()),
        "?" => Err(Denial::unavailable()),
        other => panic!("{other}"),
    };
    policy_fn(value.to_owned(), move |_, _| result.clone())
}

/// Returns the value of a policy: an indeterminate one is rejected, and so is its inverse.
async fn value(policy: impl Policy + Clone, head: &Parts) -> &'static str {
    let caller = principal("alice").build();
    let allowed = policy.evaluate(&caller, head).await.is_ok();
    match (allowed, policy.not().evaluate(&caller, head).await.is_ok()) {
        (true, false) => "allow",
        (false, true) => "deny",
        (false, false) => "?",
        (true, true) => panic!("a policy and its inverse allow the request"),
    }
}

#[tokio::test]
async fn guide_has_the_value_of_each_combination() {
    let page = page("policies");
    let rows = page.lines().skip_while(|line| !line.starts_with("| a | b |")).skip(2);
    let rows: Vec<Vec<_>> = rows
        .take_while(|line| line.starts_with('|'))
        .map(|row| row.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    assert_eq!(rows.len(), 6);
    let head = Request::new(()).into_parts().0;
    for row in rows {
        let [a, b, and, or] = row[..] else { panic!("{row:?}") };
        for (first, second) in [(a, b), (b, a)] {
            assert_eq!(value(policy(first).and(policy(second)), &head).await, and, "{row:?}");
            assert_eq!(value(policy(first).or(policy(second)), &head).await, or, "{row:?}");
        }
    }
}
