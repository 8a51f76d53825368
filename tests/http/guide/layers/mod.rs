//! The page about layers: the stacks that it shows, and what it says about the other orders.

mod grpc;
mod orders;
mod stacks;
mod tonic;

use std::{fs, path::Path, sync::Arc, time::Duration};

use axum::{
    BoxError, Router,
    error_handling::HandleErrorLayer,
    http::{Method, StatusCode, header::AUTHORIZATION},
    routing::get,
};
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use tokio::sync::{Semaphore, mpsc};
use tower::{ServiceBuilder, limit::GlobalConcurrencyLimitLayer, load_shed::LoadShedLayer};
use tower_auth::{
    AuthenticateLayer, BasicAuth, RequireScopes, any_of,
    basic::{BasicCredentials, PasswordVerifier, Verdict},
    transport::Forwarded,
};
use tower_auth_test_support::ROOT;
use tower_http::cors::CorsLayer;

use self::stacks::{Settings, builder_stack, router_stack};
use super::{Api, Issuer, Reply, code_blocks, greet, staff};

const PAGE: &str = "https://page.example";

#[test]
fn guide_shows_the_tested_stacks() {
    let read = |file: &str| {
        fs::read_to_string(Path::new(ROOT).join("tests/http/guide/layers").join(file)).unwrap()
    };
    let tested = [read("stacks.rs"), read("grpc.rs")];
    let blocks = code_blocks("layers");
    assert_eq!(blocks.len(), 3);
    for block in blocks {
        assert!(tested.iter().any(|file| file.contains(&block)), "not a tested stack:\n{block}");
    }
}

fn cors() -> CorsLayer {
    CorsLayer::new()
        .allow_origin([PAGE.parse().unwrap()])
        .allow_methods([Method::GET, Method::PUT])
        .allow_headers([AUTHORIZATION])
}

/// The settings for a proxy on this machine.
fn settings<A>(callers: A) -> Settings<A> {
    Settings {
        callers,
        forwarded: Forwarded::from_proxies("127.0.0.1").unwrap(),
        cors: cors(),
        max_requests: 2,
        max_time: Duration::from_secs(60),
    }
}

/// A verifier that reports when it starts, and then waits until the test adds a permit.
fn slow() -> (BasicAuth<impl PasswordVerifier>, mpsc::UnboundedReceiver<()>, Arc<Semaphore>) {
    let (started, starts) = mpsc::unbounded_channel();
    let go = Arc::new(Semaphore::new(0));
    let permits = Arc::clone(&go);
    let verifier = move |sent: BasicCredentials| {
        let (started, permits) = (started.clone(), Arc::clone(&permits));
        async move {
            started.send(()).unwrap();
            permits.acquire().await.unwrap().forget();
            Verdict::Verified(sent.to_principal().build())
        }
    };
    (BasicAuth::new("staff", verifier).unwrap(), starts, go)
}

fn preflight(api: &Api) -> reqwest::RequestBuilder {
    let request = api.request(Method::OPTIONS, "/").header("origin", PAGE);
    request.header("access-control-request-method", "PUT").header("x-forwarded-proto", "https")
}

fn allows_origin(reply: &Reply) -> bool {
    reply.headers.get("access-control-allow-origin").is_some_and(|origin| origin == PAGE)
}

/// Both stacks treat all requests alike.
#[tokio::test]
async fn recommended_stacks_serve_and_reject() {
    let issuer = Issuer::new();
    let routes = || {
        let admin = RequireScopes::all(["admin"]);
        Router::new().route("/", get(greet)).route("/admin", get(greet).layer(admin))
    };
    let callers = || settings(any_of((issuer.auth(), staff())));
    for app in [router_stack(routes(), callers()), builder_stack(routes(), callers())] {
        let api = Api::serve_with_addresses(app).await;
        let get = |path| api.get(path).header("x-forwarded-proto", "https").header("origin", PAGE);
        let token = issuer.token();

        let admitted = Reply::to(get("/").bearer_auth(&token)).await;
        assert_eq!((admitted.status.as_u16(), &*admitted.body), (200, "hello user-1"));
        let preflight = Reply::to(preflight(&api)).await;
        assert!(preflight.status == 200 && allows_origin(&preflight), "{preflight:?}");

        let missing = Reply::to(get("/")).await;
        let scope = Reply::to(get("/admin").bearer_auth(&token)).await;
        for (reply, status) in [(&missing, 401), (&scope, 403)] {
            assert_eq!(reply.status, status);
            assert!(allows_origin(reply) && !reply.challenges().is_empty());
            assert_eq!(reply.headers["content-type"], "application/problem+json");
        }
        let compressed = get("/").header("accept-encoding", "gzip").send().await.unwrap();
        assert_eq!(compressed.headers()["content-encoding"], "gzip");
        let plain = Reply::to(api.get("/").bearer_auth(&token)).await;
        assert_eq!((plain.status.as_u16(), plain.challenges()), (403, vec![]));
        assert_eq!(plain.headers["content-type"], "application/problem+json");
        let large = api.request(Method::PUT, "/").header("x-forwarded-proto", "https");
        let large = Reply::to(large.body(vec![0; 2 * 1024 * 1024])).await;
        assert_eq!(large.status, 413);
    }
}

#[tokio::test]
async fn recommended_stacks_limit_pending_verifications() {
    let routes = || Router::new().route("/", get(greet));
    let (first, second) = (slow(), slow());
    for (app, (mut starts, go)) in [
        (router_stack(routes(), settings(first.0)), (first.1, first.2)),
        (builder_stack(routes(), settings(second.0)), (second.1, second.2)),
    ] {
        let api = Api::serve_with_addresses(app).await;
        let statuses = send_five(&api, 3, || go.add_permits(2)).await;
        assert_eq!(statuses, [503, 503, 503, 200, 200]);
        assert_eq!(count(&mut starts), 2);
    }
}

#[tokio::test]
async fn recommended_stacks_limit_the_time_of_a_verification() {
    for stack in [router_stack, builder_stack] {
        let (callers, _starts, _go) = slow();
        let settings = Settings { max_time: Duration::ZERO, ..settings(callers) };
        let app = stack(Router::new().route("/", get(greet)), settings);
        let api = Api::serve_with_addresses(app).await;
        let request = api.get("/").basic_auth("alice", Some("secret"));
        assert_eq!(Reply::to(request.header("x-forwarded-proto", "https")).await.status, 504);
    }
}

/// Sends five requests with a password. Calls `then` after this number of responses.
async fn send_five(api: &Api, responses: usize, then: impl FnOnce()) -> Vec<u16> {
    let send = |_| {
        let request = api.get("/").basic_auth("alice", Some("secret"));
        Reply::to(request.header("x-forwarded-proto", "https"))
    };
    let mut replies: FuturesUnordered<_> = (0..5).map(send).collect();
    let mut statuses = Vec::new();
    while statuses.len() < responses {
        statuses.push(replies.next().await.unwrap().status.as_u16());
    }
    then();
    while let Some(reply) = replies.next().await {
        statuses.push(reply.status.as_u16());
    }
    statuses
}

fn count(starts: &mut mpsc::UnboundedReceiver<()>) -> usize {
    std::iter::from_fn(|| starts.try_recv().ok()).count()
}

#[tokio::test]
async fn load_shedding_inside_does_not_limit_verifications() {
    let (callers, mut starts, go) = slow();
    let stack = ServiceBuilder::new()
        .layer(AuthenticateLayer::new(callers))
        .layer(HandleErrorLayer::new(async |_: BoxError| StatusCode::SERVICE_UNAVAILABLE))
        .layer(LoadShedLayer::new())
        .layer(GlobalConcurrencyLimitLayer::new(2));
    let api = Api::serve(Router::new().route("/", get(greet)).layer(stack)).await;
    let all_start = async {
        for _ in 0..5 {
            starts.recv().await.unwrap();
        }
        go.add_permits(5);
    };
    let (statuses, ()) = tokio::join!(send_five(&api, 0, || ()), all_start);
    assert_eq!(statuses.len(), 5);
}
