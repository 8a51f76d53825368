//! Random chains of exchanges, compared with a simple model of what a token may do.

use std::collections::BTreeSet;

use proptest::{prelude::*, sample::subsequence};
use tower_auth::{Principal, issue::TokenIssuer};

use super::{Fixture, claims_of, client, exchange_for, issuer, outcome, ready, verified, with};
use crate::issue::fixture::{claims, log_in_as, log_out};

const SCOPES: [&str; 4] = ["read", "write", "admin", "read write"];
const AUDIENCES: [&str; 5] = ["orders", "invoices", "payments", "stock", ""];
const ACTORS: [&str; 3] = ["orders", "invoices", "payments"];

#[derive(Clone, Debug)]
enum Step {
    Exchange {
        token: usize,
        audience: &'static str,
        scopes: Vec<&'static str>,
        actor: &'static str,
        /// A closure that changes the scopes of the caller.
        mapped: Option<Vec<&'static str>>,
    },
    Advance(u64),
    LogOut,
}

fn step() -> impl Strategy<Value = Step> {
    let scopes = || subsequence(&SCOPES[..], 0..=SCOPES.len());
    let exchange = (
        any::<prop::sample::Index>(),
        prop::sample::select(&AUDIENCES[..]),
        scopes(),
        prop::sample::select(&ACTORS[..]),
        prop::option::weighted(0.2, scopes()),
    );
    prop_oneof![
        20 => exchange.prop_map(|(token, audience, scopes, actor, mapped)| {
            Step::Exchange { token: token.index(1 << 16), audience, scopes, actor, mapped }
        }),
        4 => (0u64..200).prop_map(Step::Advance),
        1 => Just(Step::LogOut),
    ]
}

/// What a token may do.
#[derive(Clone)]
struct Model {
    scopes: BTreeSet<String>,
    ends_at: u64,
    actors: Vec<String>,
    caller: Principal,
}

struct Run {
    fixture: Fixture,
    issuer: TokenIssuer,
    now: u64,
    is_logged_out: bool,
    tokens: Vec<Model>,
}

impl Run {
    fn exchange(&mut self, step: &Step) {
        let Step::Exchange { token, audience, scopes, actor, mapped } = step else { return };
        let original = self.tokens[token % self.tokens.len()].clone();
        let caller = match mapped {
            Some(scopes) => original.caller.to_builder().scopes(scopes).build(),
            None => original.caller.clone(),
        };
        let allowed = |scope: &&str| {
            original.scopes.contains(*scope)
                && mapped.as_ref().is_none_or(|mapped| mapped.contains(scope))
        };
        let expected = if original.ends_at <= self.now {
            "Expired"
        } else if original.actors.len() == 8 {
            "TooManyActors"
        } else if !["orders", "invoices", "payments"].contains(audience) {
            "InvalidTarget"
        } else if !scopes.iter().all(allowed) {
            "InvalidScope"
        } else if self.is_logged_out {
            "Revoked"
        } else {
            "ok"
        };
        let exchange = self.issuer.exchange(&caller, *audience, scopes);
        let result = ready(exchange.actor(&client(actor)).into_future());
        assert_eq!(outcome(&result), expected, "{step:?}");
        let Ok(issued) = result else { return };

        let claims = claims_of(&issued);
        assert_eq!((&claims["sub"], &claims["aud"]), (&"alice".into(), &(*audience).into()));
        let ends_at = claims["exp"].as_u64().unwrap();
        assert!(ends_at <= original.ends_at && ends_at <= self.now + 600 && ends_at > self.now);
        let granted: BTreeSet<String> =
            issued.scope().split(' ').filter(|s| !s.is_empty()).map(ToOwned::to_owned).collect();
        let requested: BTreeSet<String> = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        assert_eq!(granted, requested);
        assert!(granted.is_subset(&original.scopes));
        let mut actors = vec![(*actor).to_owned()];
        actors.extend(original.actors.clone());
        let mut act = &claims["act"];
        for actor in &actors {
            assert_eq!(act["sub"], **actor);
            act = &act["act"];
        }
        assert!(act.is_null());
        self.tokens.push(Model { scopes: granted, ends_at, actors, caller: verified(&claims) });
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_chain_gains_scopes_lifetime_or_audiences(steps in prop::collection::vec(step(), 1..60)) {
        let fixture = Fixture::new();
        let issuer = issuer(&fixture);
        let pair = log_in_as(&issuer, "alice");
        let first = claims(&pair);
        let model = Model {
            scopes: ["read", "write"].map(ToOwned::to_owned).into(),
            ends_at: first["exp"].as_u64().unwrap(),
            actors: Vec::new(),
            caller: verified(&first),
        };
        let now = first["iat"].as_u64().unwrap();
        let mut run = Run { fixture, issuer, now, is_logged_out: false, tokens: vec![model] };
        for step in &steps {
            match step {
                Step::Exchange { .. } => run.exchange(step),
                Step::Advance(seconds) => {
                    run.fixture.advance(*seconds);
                    run.now += seconds;
                }
                Step::LogOut => {
                    log_out(&run.issuer, &pair);
                    run.is_logged_out = true;
                }
            }
        }
    }

    #[test]
    fn claims_of_any_form_are_exchanged_or_rejected_without_a_fault(
        name in prop::sample::select(
            &["iss", "sub", "exp", "iat", "fst", "scope", "scp", "act", "may_act", "cnf", "sid"][..],
        ),
        value in prop_oneof![
            Just(serde_json::json!(null)),
            any::<i64>().prop_map(Into::into),
            any::<f64>().prop_map(Into::into),
            any::<String>().prop_map(Into::into),
            any::<Vec<String>>().prop_map(Into::into),
            Just(serde_json::json!({ "sub": "orders", "act": { "act": {} } })),
        ],
    ) {
        let fixture = Fixture::new();
        let issuer = issuer(&fixture);
        let token = with(super::foreign(), name, value);
        if let Ok(caller) = Principal::builder("alice", tower_auth::Scheme::BEARER).claims(&token) {
            let result = exchange_for(&issuer, &caller.scopes(["read"]).build(), "invoices", &[]);
            prop_assert!(!matches!(&*outcome(&result), "Unavailable" | "Invalid"), "{:?}", result);
        }
    }
}
