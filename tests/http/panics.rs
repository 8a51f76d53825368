//! Constructors that panic name the line of the caller, not a line of the crate.

use std::{
    cell::RefCell,
    panic::{self, AssertUnwindSafe},
    sync::Once,
    time::Duration,
};

use axum::routing::get;
use http::Method;
use tower_auth::{
    AuthenticateLayer, GuardedRouter, RequireAuthentication, RequireRoles, RequireScopes, Scheme,
    authorize::{Methods, RequireIssuer, RequireSubject, Routes, public},
    credentials::TokenLocation,
    test_util::{TestClock, TokenMint},
};
use tower_auth_test_support::api::staff;

thread_local! {
    /// Where this thread panicked, while [`panic_location`] runs.
    static LOCATION: RefCell<Option<Vec<(String, u32)>>> = const { RefCell::new(None) };
}

/// Returns the file and the line that the panic of a closure names.
fn panic_location(panics: impl FnOnce()) -> (String, u32) {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let default = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let location = info.location().unwrap();
            let is_expected = LOCATION.with_borrow_mut(|found| {
                let found = found.as_mut()?;
                found.push((location.file().to_owned(), location.line()));
                Some(())
            });
            if is_expected.is_none() {
                default(info);
            }
        }));
    });
    LOCATION.set(Some(Vec::new()));
    let result = panic::catch_unwind(AssertUnwindSafe(panics));
    let found = LOCATION.take().unwrap();
    assert!(result.is_err(), "no panic");
    found.into_iter().next().unwrap()
}

/// Asserts that the expression panics, and that the panic names the line of the expression.
macro_rules! assert_panics_here {
    ($constructor:expr) => {
        let found = panic_location(|| {
            let _ = $constructor;
        });
        assert_eq!(found, (file!().to_owned(), line!()), "{}", stringify!($constructor));
    };
}

/// The value of a claim that JSON cannot express.
fn not_json() -> std::collections::BTreeMap<[u8; 2], u8> {
    [([1, 2], 3)].into()
}

#[test]
fn policy_constructor_panics_at_the_caller() {
    assert_panics_here!(RequireScopes::all([""; 0]));
    assert_panics_here!(RequireScopes::any("two words"));
    assert_panics_here!(RequireRoles::all([""; 0]));
    assert_panics_here!(RequireRoles::any(""));
    assert_panics_here!(RequireAuthentication::acr("a b"));
    assert_panics_here!(RequireIssuer::any([""; 0]));
    assert_panics_here!(RequireIssuer::any(["https://issuer.example", ""]));
    assert_panics_here!(RequireSubject::any([""; 0]));
    assert_panics_here!(RequireSubject::any(["alice", ""]));
}

#[test]
fn table_panics_at_the_caller() {
    let methods = Methods::new().on(Method::GET, public());
    assert_panics_here!(methods.clone().on(Method::GET, public()));
    assert_panics_here!(methods.on([Method::GET; 0], public()));
    let routes = Routes::new().route("/a", public());
    assert_panics_here!(routes.clone().route("a", public()));
    assert_panics_here!(routes.clone().route("/a", public()));
    assert_panics_here!(routes.route("/{", public()));
}

#[test]
fn guarded_router_panics_at_the_caller() {
    let router = || GuardedRouter::<()>::new();
    let with_fallback = || router().fallback(get(async || ""), public());
    let one = |path| router().route(path, get(async || ""), public());
    let layer = || AuthenticateLayer::new(staff());
    assert_panics_here!(router().route("a", get(async || ""), public()));
    assert_panics_here!(with_fallback().merge(with_fallback()));
    assert_panics_here!(router().nest("/", one("/a")));
    assert_panics_here!(router().nest("/{*rest}", one("/a")));
    assert_panics_here!(router().nest("/a", with_fallback()));
    assert_panics_here!(router().nest("/{id}", one("/{id}")));
    assert_panics_here!(one("/{").into_router(layer()));
    assert_panics_here!(one("/a").merge(one("/a")).into_router(layer()));
}

#[test]
fn name_of_a_header_or_scheme_panics_at_the_caller() {
    assert_panics_here!(TokenLocation::header("two words"));
    assert_panics_here!(TokenLocation::header_with_prefix("", "Token "));
    assert_panics_here!(Scheme::new("two words"));
}

#[test]
fn test_double_panics_at_the_caller() {
    let mint = TokenMint::new("https://issuer.example");
    assert_panics_here!(mint.token("alice").claim("a", not_json()));
    assert_panics_here!(mint.token("alice").header("a", not_json()));
    let clock = TestClock::new();
    assert_panics_here!(clock.advance(Duration::MAX));
}
