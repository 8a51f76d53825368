//! Compares the scope policies with set operations on whole words.
#![no_main]

use std::collections::HashSet;

use http::Request;
use libfuzzer_sys::fuzz_target;
use tower_auth::{Policy as _, Principal, RequireScopes, Scheme, Scopes};

fuzz_target!(|text: &str| {
    let (granted, required) = text.split_once('\n').unwrap_or((text, ""));
    let scopes = Scopes::from_delimited(granted);
    let words: HashSet<&str> = granted.split(' ').filter(|word| !word.is_empty()).collect();
    assert_eq!(scopes.iter().collect::<HashSet<_>>(), words);

    let caller = Principal::builder("a", Scheme::BEARER).scopes(scopes.iter()).build();
    let head = Request::new(()).into_parts().0;
    let required: Vec<&str> = required.split(' ').collect();
    if let Ok(policy) = RequireScopes::try_all(required.iter().copied()) {
        let is_sufficient = required.iter().all(|scope| words.contains(scope));
        assert_eq!(policy.evaluate(&caller, &head).into_ready().unwrap().is_ok(), is_sufficient);
    }
    if let Ok(policy) = RequireScopes::try_any(required.iter().copied()) {
        let is_sufficient = required.iter().any(|scope| words.contains(scope));
        assert_eq!(policy.evaluate(&caller, &head).into_ready().unwrap().is_ok(), is_sufficient);
    }
});
