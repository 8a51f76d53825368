//! Which tokens are exchanged, and for which.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tower_auth::{
    Principal, Scheme,
    bearer::TokenVerifier as _,
    binding::Cnf,
    issue::{AccessClaims, ClaimsRequest, ExchangeError, TokenIssuer},
    observe::Event,
    test_util::principal,
};

use super::{
    Fixture, ISSUER, OTHER, START, alice, claims_of, client, exchange, exchange_for, fixture,
    foreign, issuer, log_in_as, outcome, ready, user_of, verified, with,
};

#[test]
fn exchanged_token_has_the_subject_the_login_and_the_actor() {
    let fixture = Fixture::new();
    let issuer = issuer(&fixture);
    let tokens = log_in_as(&issuer, "alice");
    let original = fixture::claims(&tokens);
    fixture.advance(60);
    let token = exchange(&issuer, &user_of(&tokens)).unwrap();
    let mut claims = claims_of(&token);
    assert_ne!(claims["jti"], original["jti"]);
    claims.as_object_mut().unwrap().remove("jti");
    let expected = json!({
        "iss": ISSUER, "sub": "alice", "aud": "invoices", "client_id": "orders",
        "scope": "read", "act": { "sub": "orders" },
        "iat": START + 60, "exp": original["exp"],
        "sid": original["sid"], "fst": original["fst"], "auth_time": START,
        "acr": "1", "amr": ["pwd"],
    });
    assert_eq!(claims, expected);
    assert_eq!((token.scope(), token.expires_in().as_secs()), ("read", 540));
    assert!(!format!("{token:?}").contains(token.access_token()));
}

#[test]
fn each_service_of_a_chain_is_an_actor() {
    let fixture = Fixture::new();
    let issuer = issuer(&fixture);
    let first = exchange(&issuer, &alice(&issuer)).unwrap();
    let second = issuer.exchange(&verified(&claims_of(&first)), "payments", "read");
    let second = ready(second.actor(&client("invoices")).into_future()).unwrap();
    let claims = claims_of(&second);
    assert_eq!(claims["act"], json!({ "sub": "invoices", "act": { "sub": "orders" } }));
    assert_eq!((&claims["client_id"], &claims["aud"]), (&json!("invoices"), &json!("payments")));
    let original = claims_of(&first);
    for name in ["sub", "sid", "fst", "auth_time", "acr", "amr", "exp"] {
        assert_eq!(claims[name], original[name], "{name}");
    }
}

#[test]
fn actors_of_another_issuer_are_named_with_it() {
    let fixture = Fixture::new();
    let issuer = issuer(&fixture);
    let third = "https://third.example";
    let before = json!({ "sub": "payments", "act": { "sub": "x", "iss": third, "act": {} } });
    let token = exchange(&issuer, &verified(&with(foreign(), "act", before))).unwrap();
    let last = json!({ "iss": OTHER });
    let expected = json!({
        "sub": "orders",
        "act": {
            "sub": "payments",
            "iss": OTHER,
            "act": { "sub": "x", "iss": third, "act": last },
        },
    });
    assert_eq!(claims_of(&token)["act"], expected);
    // Those of this issuer are not.
    let again = exchange(&issuer, &verified(&claims_of(&token))).unwrap();
    assert_eq!(claims_of(&again)["act"], json!({ "sub": "orders", "act": expected }));
}

#[test]
fn principal_without_a_token_is_rejected() {
    let fixture = Fixture::new();
    let issuer = issuer(&fixture);
    let complete = foreign();
    let without = |name: &str| {
        let mut claims = complete.clone();
        claims.as_object_mut().unwrap().remove(name);
        verified(&claims)
    };
    for caller in [
        principal("alice").scopes("read").build(),
        Principal::builder("alice", Scheme::BEARER).issuer(ISSUER).scopes("read").build(),
        without("iss"),
        without("sub"),
        without("exp"),
        without("iat"),
        verified(&with(complete.clone(), "sub", "")),
        verified(&with(complete.clone(), "exp", "soon")),
    ] {
        assert_eq!(outcome(&exchange(&issuer, &caller)), "NotAToken", "{caller:?}");
    }
}

#[test]
fn token_of_another_issuer_is_rejected_unless_it_is_named() {
    let fixture = Fixture::new();
    let named = issuer(&fixture);
    let unnamed = fixture.builder().service_audiences("invoices").build().unwrap();
    let token = verified(&foreign());
    assert_eq!(outcome(&exchange(&unnamed, &token)), "UntrustedIssuer");
    assert_eq!(outcome(&exchange(&named, &token)), "ok");
    for other in ["https://other.example/", "https://OTHER.example", ISSUER.trim_end_matches('e')] {
        let token = verified(&with(foreign(), "iss", other));
        assert_eq!(outcome(&exchange(&named, &token)), "UntrustedIssuer", "{other}");
    }
    // The claim counts, and not what a closure says.
    let renamed = token.to_builder().issuer(ISSUER).build();
    assert_eq!(outcome(&exchange(&unnamed, &renamed)), "UntrustedIssuer");
}

#[test]
fn foreign_token_starts_with_the_exchange_and_has_no_login() {
    let fixture = Fixture::new();
    let issuer = issuer(&fixture);
    let claims = claims_of(&exchange(&issuer, &verified(&foreign())).unwrap());
    let start = claims["fst"].as_f64().unwrap();
    assert!((start - f64::from(1_700_000_000)).abs() < 0.1, "{start}");
    assert_eq!((&claims["iss"], &claims["exp"]), (&json!(ISSUER), &json!(START + 300)));
    assert_eq!(claims["act"], json!({ "sub": "orders" }));
    for name in ["sid", "auth_time", "acr", "amr"] {
        assert_eq!(claims[name], Value::Null, "{name}");
    }
}

#[test]
fn bound_token_is_rejected() {
    let fixture = Fixture::new();
    let issuer = issuer(&fixture);
    for cnf in [json!({ "jkt": "x" }), json!({}), json!(null)] {
        let token = verified(&with(foreign(), "cnf", cnf.clone()));
        assert_eq!(outcome(&exchange(&issuer, &token)), "Bound", "{cnf}");
    }
    let cnf = Cnf::new(&json!({ "jkt": "x" })).unwrap();
    let token = verified(&foreign()).to_builder().confirmation(cnf.clone()).build();
    assert_eq!(outcome(&exchange(&issuer, &token)), "Bound");
    // Also if a closure has bound the principal, and has changed its claims.
    let token = verified(&foreign()).to_builder().claims(&json!({})).unwrap();
    let token = token.confirmation(cnf).build();
    assert_eq!(outcome(&exchange(&issuer, &token)), "Bound");
}

#[tokio::test]
async fn token_that_a_closure_has_bound_to_a_key_is_rejected() {
    let fixture = Fixture::new();
    let issuer = issuer(&fixture);
    let tokens = issuer.issue(fixture::grant("alice")).await.unwrap();
    let verifier = issuer.verifier_builder().map_principal(|caller: Principal| {
        let cnf = Cnf::new(&json!({ "jkt": "x" })).unwrap();
        let claims = json!({ "sub": caller.subject(), "plan": "pro" });
        caller.to_builder().claims(&claims).unwrap().confirmation(cnf).build()
    });
    let verifier = verifier.build().unwrap();
    let user = verifier.verify_unconfirmed(tokens.access_token()).await.unwrap();
    assert!(user.confirmation().is_some());
    assert_eq!(outcome(&issuer.exchange(&user, "invoices", "read").await), "Bound");
}

#[test]
fn audience_that_is_not_configured_is_an_invalid_target() {
    let fixture = Fixture::new();
    let issuer = issuer(&fixture);
    let user = alice(&issuer);
    for (audience, expected) in [
        ("orders", "ok"),
        ("invoices", "ok"),
        ("payments", "ok"),
        ("Invoices", "InvalidTarget"),
        ("invoices payments", "InvalidTarget"),
        ("", "InvalidTarget"),
        ("stock", "InvalidTarget"),
    ] {
        let result = exchange_for(&issuer, &user, audience, &["read"]);
        assert_eq!(outcome(&result), expected, "{audience}");
        let token = ready(issuer.issue_to_client(&client("job")).audience(audience).into_future());
        assert_eq!(token.is_ok(), expected == "ok", "{audience}");
    }
}

#[test]
fn scopes_are_those_that_are_requested_and_that_the_caller_has() {
    let fixture = Fixture::new();
    let issuer = issuer(&fixture);
    let user = alice(&issuer);
    for (scopes, expected) in [
        (&["read"][..], Some("read")),
        (&["write", "read"], Some("write read")),
        (&["read", "read"], Some("read")),
        (&[], Some("")),
        (&["admin"], None),
        (&["read", "admin"], None),
        (&["read write"], None),
        (&[""], None),
        (&["READ"], None),
    ] {
        let result = exchange_for(&issuer, &user, "invoices", scopes);
        assert_eq!(result.as_ref().ok().map(|token| token.scope()), expected, "{scopes:?}");
        assert!(matches!(result, Ok(_) | Err(ExchangeError::InvalidScope)), "{scopes:?}");
    }
    let scp = json!({ "scp": ["read", "site admin"], "scope": null });
    let mut claims = foreign();
    claims.as_object_mut().unwrap().remove("scope");
    claims["scp"] = scp["scp"].clone();
    let caller = verified(&claims).to_builder().scopes(["read", "site admin"]).build();
    assert_eq!(outcome(&exchange_for(&issuer, &caller, "invoices", &["read"])), "ok");
    let spaced = exchange_for(&issuer, &caller, "invoices", &["site admin"]);
    assert_eq!(outcome(&spaced), "InvalidScope");
}

#[test]
fn scope_that_a_closure_added_or_removed_is_not_granted() {
    let fixture = Fixture::new();
    let issuer = issuer(&fixture);
    let user = alice(&issuer);
    let added = user.to_builder().scopes(["read", "write", "admin"]).build();
    let result = exchange_for(&issuer, &added, "invoices", &["admin"]);
    assert_eq!(outcome(&result), "InvalidScope");
    let removed = user.to_builder().scopes(["read"]).build();
    let result = exchange_for(&issuer, &removed, "invoices", &["write"]);
    assert_eq!(outcome(&result), "InvalidScope");
    assert_eq!(outcome(&exchange(&issuer, &removed)), "ok");
}

#[tokio::test]
async fn claims_that_a_closure_changed_do_not_count() {
    let fixture = Fixture::new();
    let issuer = issuer(&fixture);
    let tokens = issuer.issue(fixture::grant("alice")).await.unwrap();
    let later = json!({
        "iss": ISSUER, "sub": "admin", "iat": START, "fst": START + 1, "exp": START + 10_000_000,
        "scope": "read admin", "act": { "sub": "hidden" },
    });
    let verifier = issuer.verifier_builder().map_principal(move |caller: Principal| {
        let scopes = ["read", "admin"];
        caller.to_builder().claims(&later).unwrap().scopes(scopes).build()
    });
    let user = verifier.build().unwrap().verify(tokens.access_token()).await.unwrap();
    assert_eq!(user.claim::<String>("sub").unwrap(), "admin");
    let admin = issuer.exchange(&user, "invoices", "admin").await;
    assert_eq!(outcome(&admin), "InvalidScope");
    let claims = claims_of(&issuer.exchange(&user, "invoices", "read").await.unwrap());
    let original = fixture::claims(&tokens);
    for name in ["sub", "exp", "fst", "sid", "auth_time"] {
        assert_eq!(claims[name], original[name], "{name}");
    }
    assert_eq!(claims["act"], json!({ "sub": "orders" }));
}

#[test]
fn actor_must_be_the_one_that_may_act() {
    let fixture = Fixture::new();
    let issuer = issuer(&fixture);
    for (may_act, expected) in [
        (json!({ "sub": "orders" }), "ok"),
        (json!({ "sub": "orders", "iss": ISSUER }), "ok"),
        (json!({ "sub": "invoices" }), "OtherActor"),
        (json!({ "sub": "orders", "iss": OTHER }), "OtherActor"),
        (json!({ "sub": "orders", "email": "orders@example.com" }), "OtherActor"),
        (json!({ "sub": ["orders"] }), "OtherActor"),
        (json!({}), "OtherActor"),
        (json!("orders"), "Malformed"),
        (json!(null), "Malformed"),
    ] {
        for claims in [foreign(), with(foreign(), "iss", ISSUER)] {
            let token = verified(&with(claims, "may_act", may_act.clone()));
            let result = exchange(&issuer, &token);
            assert_eq!(outcome(&result), expected, "{may_act}");
            // The limit remains.
            if let Ok(token) = result {
                assert_eq!(claims_of(&token)["may_act"], may_act);
            }
        }
    }
}

#[test]
fn closure_can_set_may_act_but_not_act() {
    let fixture = Fixture::new();
    let with_claim = |name: &'static str| {
        let closure = move |_: ClaimsRequest| async move {
            Ok::<_, std::io::Error>(Some(AccessClaims::new(&json!({ name: { "sub": "orders" } }))))
        };
        let builder = fixture.builder().service_audiences(["invoices", "payments"]);
        builder.claims(closure).build().unwrap()
    };
    let issuer = with_claim("may_act");
    let token = exchange(&issuer, &alice(&issuer)).unwrap();
    let again = issuer.exchange(&verified(&claims_of(&token)), "payments", "read");
    let again = ready(again.actor(&client("invoices")).into_future());
    assert_eq!(outcome(&again), "OtherActor");
    let user = verified(&with(foreign(), "iss", ISSUER));
    assert_eq!(outcome(&exchange(&with_claim("act"), &user)), "Invalid");
}

#[test]
fn ninth_actor_is_rejected() {
    let fixture = Fixture::new();
    let issuer = issuer(&fixture);
    let mut user = alice(&issuer);
    for number in 1..=8 {
        let token = exchange(&issuer, &user).unwrap();
        let claims = claims_of(&token);
        assert!(claims.pointer(&"/act".repeat(number)).is_some(), "{claims}");
        user = verified(&claims);
    }
    assert_eq!(outcome(&exchange(&issuer, &user)), "TooManyActors");
    for malformed in [json!("orders"), json!(null), json!([]), json!({ "sub": "a", "act": 1 })] {
        let token = verified(&with(foreign(), "act", malformed.clone()));
        assert_eq!(outcome(&exchange(&issuer, &token)), "Malformed", "{malformed}");
    }
}

#[test]
fn claims_closure_is_called_with_the_exchange_and_limits_it() {
    let fixture = Fixture::new();
    let requests = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&requests);
    let closure = move |request: ClaimsRequest| {
        seen.lock().unwrap().push(request.clone());
        async move {
            let claims = AccessClaims::new(&json!({ "plan": "pro" })).scopes(["read", "admin"]);
            match &*request.subject {
                "gone" => Ok(None),
                "outage" => Err("the database does not answer"),
                _ => Ok(Some(claims)),
            }
        }
    };
    let builder = fixture.builder().service_audiences("invoices").exchange_tokens_of(OTHER);
    let issuer = builder.claims(closure).build().unwrap();
    let user = |subject: &str| verified(&with(foreign(), "sub", subject));
    let token = exchange_for(&issuer, &user("bob"), "invoices", &["write", "read"]).unwrap();
    assert_eq!((token.scope(), &claims_of(&token)["plan"]), ("read", &json!("pro")));
    let request = requests.lock().unwrap().pop().unwrap();
    assert_eq!((&*request.subject, &*request.issuer), ("bob", OTHER));
    assert_eq!((&*request.client_id, &*request.audience), ("orders", &["invoices".to_owned()][..]));
    assert_eq!(request.scopes, ["write", "read"]);
    assert!(request.is_exchange && !request.is_refresh && !request.is_client);
    assert_eq!(outcome(&exchange(&issuer, &user("gone"))), "NotAllowed");
    assert_eq!(outcome(&exchange(&issuer, &user("outage"))), "Unavailable");
}

#[test]
fn token_that_is_too_long_is_an_error_of_the_program() {
    let fixture = Fixture::new();
    let closure = async |_: ClaimsRequest| {
        let claims = AccessClaims::new(&json!({ "text": "x".repeat(16 * 1024) }));
        Ok::<_, std::io::Error>(Some(claims))
    };
    let builder = fixture.builder().claims(closure).exchange_tokens_of(OTHER);
    let issuer = builder.build().unwrap();
    let result = exchange_for(&issuer, &verified(&foreign()), "orders", &["read"]);
    assert_eq!(outcome(&result), "Invalid");
    assert!(ready(issuer.issue_to_client(&client("job")).into_future()).is_err());
}

#[test]
fn empty_and_contradictory_names_are_configuration_errors() {
    let fixture = Fixture::new();
    assert!(fixture.builder().service_audiences("").build().is_err());
    let both = fixture.builder().service_audiences(["invoices", "orders"]).build();
    assert!(both.unwrap_err().to_string().contains("\"orders\" is in audience and in"));
    assert!(fixture.builder().exchange_tokens_of("").build().is_err());
    let issuer = issuer(&fixture);
    let nameless = issuer.exchange(&alice(&issuer), "invoices", "read").actor(&client(""));
    assert_eq!(outcome(&ready(nameless.into_future())), "Invalid");
}

#[test]
fn exchange_is_an_event_and_a_rejected_one_is_not() {
    let fixture = Fixture::new();
    let events = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&events);
    let observer = move |event: &Event<'_>| {
        let text = match event {
            Event::TokenExchanged { subject, actor, audience, .. } => {
                format!("{actor} got a token of {subject} for {audience}")
            }
            Event::ClientTokenIssued { client_id, .. } => format!("{client_id} got a token"),
            _ => return,
        };
        seen.lock().unwrap().push(text);
    };
    let builder = fixture.builder().service_audiences("invoices").observer(observer);
    let issuer = builder.build().unwrap();
    let user = alice(&issuer);
    exchange(&issuer, &user).unwrap();
    exchange_for(&issuer, &user, "invoices", &["admin"]).unwrap_err();
    ready(issuer.issue_to_client(&client("job")).into_future()).unwrap();
    assert_eq!(
        *events.lock().unwrap(),
        ["orders got a token of alice for invoices", "job got a token"]
    );
}

/// Checks that tokens of [`TokenIssuer::exchange`] conform to the profile that verifiers demand.
#[tokio::test]
async fn exchanged_token_is_accepted_for_its_audience_only() {
    let fixture = Fixture::new();
    let issuer = issuer(&fixture);
    let tokens = issuer.issue(fixture::grant("alice")).await.unwrap();
    let user = issuer.verifier().verify(tokens.access_token()).await.unwrap();
    let token = issuer.exchange(&user, "invoices", ["read"]).await.unwrap();
    assert!(issuer.verifier().verify(token.access_token()).await.is_err());
    let invoices = TokenIssuer::verifier_builder(&issuer).audience("invoices").build().unwrap();
    let caller = invoices.verify(token.access_token()).await.unwrap();
    assert_eq!((caller.subject(), caller.scopes().to_string()), ("alice", "read".to_owned()));
}
