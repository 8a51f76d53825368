//! `RefreshGrant` with an issuer on loopback that rotates refresh tokens.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::{BoxFuture, join_all};
use http::{Request, Response};
use serde_json::{Value, json};
use tokio::{runtime, sync::watch};
use tower_auth::{
    client::{
        AttachError, AttachErrorKind, RefreshGrant, RefreshingToken, TokenEndpoint,
        TokenSource as _,
    },
    observe::Event,
};
use tower_auth_test_support::stub::wait_until;

use crate::{
    Api, Issuer, IssuerMode, client, error_kind, ok, send_get,
    token_server::{Reply, TokenServer},
};

struct Fixture {
    issuer: Issuer,
    server: TokenServer,
    api: Api,
    grant: RefreshGrant,
    /// The refresh tokens that the hook has saved.
    saved: Arc<Mutex<Vec<String>>>,
    events: Arc<Mutex<Vec<String>>>,
}

impl Fixture {
    async fn with(reply: Reply) -> Self {
        let issuer = Issuer::new(IssuerMode::Issue);
        let server = TokenServer::start(&issuer, reply).await;
        let api = Api::start(&issuer).await;
        let (saved, events) = (Arc::default(), Arc::new(Mutex::new(Vec::new())));
        let (grant, hook, list) = (server.grant(), Arc::clone(&saved), Arc::clone(&events));
        let grant = grant
            .on_rotated(move |token| save(&hook, token))
            .observer(move |event: &Event<'_>| list.lock().unwrap().push(format!("{event:?}")));
        Self { issuer, server, api, grant, saved, events }
    }

    fn token(&self) -> RefreshingToken {
        RefreshingToken::new(self.grant.clone()).clock(self.issuer.clock.clock())
    }

    fn saved(&self) -> Vec<String> {
        self.saved.lock().unwrap().clone()
    }

    fn events(&self) -> Vec<String> {
        self.events.lock().unwrap().clone()
    }

    /// Gets an access token without a `RefreshingToken`.
    async fn exchange(&self) -> Result<(), AttachErrorKind> {
        exchange(&self.grant).await.map_err(|error| error.kind())
    }
}

fn save(saved: &Mutex<Vec<String>>, token: String) -> std::future::Ready<Result<(), io::Error>> {
    saved.lock().unwrap().push(token);
    std::future::ready(Ok(()))
}

async fn exchange(grant: &RefreshGrant) -> Result<(), AttachError> {
    let result = grant.token().await;
    result.map(drop).map_err(|error| *error.downcast::<AttachError>().unwrap())
}

#[tokio::test]
async fn concurrent_requests_through_clones_cause_one_exchange() {
    let fixture = Fixture::with(Reply::Hang).await;
    let clients: Vec<_> = (0..4).map(|_| client(fixture.token())).collect();
    let requests = clients.iter().cycle().take(64).map(|client| {
        let (client, url) = (client.clone(), fixture.api.url());
        tokio::spawn(async move { send_get(&client, &url).await })
    });
    let requests: Vec<_> = requests.collect();
    wait_until("an exchange", async || fixture.server.hits() > 0).await;
    fixture.server.set_reply(Reply::Rotate);
    for response in join_all(requests).await {
        assert_eq!(response.unwrap().unwrap(), ok("token-1"));
    }
    assert_eq!(fixture.server.refresh_tokens(), ["r1"]);
    assert_eq!(fixture.saved(), ["r2"]);
}

#[tokio::test]
async fn each_exchange_uses_the_newest_refresh_token() {
    let fixture = Fixture::with(Reply::Rotate).await;
    let client = client(fixture.token());
    for number in 1..=5 {
        let response = send_get(&client, &fixture.api.url()).await.unwrap();
        assert_eq!(response, ok(&format!("token-{number}")));
        fixture.issuer.clock.advance(600);
    }
    assert_eq!(fixture.server.refresh_tokens(), ["r1", "r2", "r3", "r4", "r5"]);
    assert_eq!(fixture.saved(), ["r2", "r3", "r4", "r5", "r6"]);
    let request = fixture.server.last_request();
    assert_eq!((request.value("client_id"), request.authorization.as_deref()), ("app", None));
}

#[tokio::test]
async fn refresh_token_is_kept_if_the_issuer_sends_no_other() {
    let fixture = Fixture::with(Reply::Keep).await;
    for _ in 0..3 {
        fixture.exchange().await.unwrap();
    }
    assert_eq!(fixture.server.refresh_tokens(), ["r1", "r1", "r1"]);
    assert!(fixture.saved().is_empty());
}

#[tokio::test]
async fn lost_response_is_requested_again_at_once() {
    let fixture = Fixture::with(Reply::Lose { grace: true }).await;
    fixture.exchange().await.unwrap();
    fixture.exchange().await.unwrap();
    assert_eq!(fixture.server.refresh_tokens(), ["r1", "r1", "r2"]);
    assert_eq!(fixture.saved(), ["r2", "r3"]);
}

#[tokio::test]
async fn lost_response_of_an_issuer_without_grace_period_ends_the_login() {
    let fixture = Fixture::with(Reply::Lose { grace: false }).await;
    assert_eq!(fixture.exchange().await, Err(AttachErrorKind::LoggedOut));
    assert_eq!(fixture.server.refresh_tokens(), ["r1", "r1"]);
}

#[tokio::test]
async fn dropped_caller_loses_neither_token() {
    let fixture = Fixture::with(Reply::Hang).await;
    let grant = fixture.grant.clone();
    let caller = tokio::spawn(async move { exchange(&grant).await });
    wait_until("an exchange", async || fixture.server.hits() > 0).await;
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    fixture.server.set_reply(Reply::Rotate);
    wait_until("the new refresh token", async || fixture.saved() == ["r2"]).await;
    fixture.exchange().await.unwrap();
    assert_eq!(fixture.server.hits(), 1, "the next caller gets the access token");
    fixture.exchange().await.unwrap();
    assert_eq!(fixture.server.refresh_tokens(), ["r1", "r2"]);
}

#[tokio::test]
async fn token_that_has_expired_while_no_caller_waited_is_not_used() {
    let fixture = Fixture::with(Reply::Hang).await;
    let grant = fixture.grant.clone();
    let caller = tokio::spawn(async move { exchange(&grant).await });
    wait_until("an exchange", async || fixture.server.hits() > 0).await;
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    let expired = json!({
        "access_token": "a", "token_type": "Bearer", "expires_in": 0, "refresh_token": "r2",
    });
    fixture.server.set_reply(Reply::Status(200, expired));
    wait_until("the new refresh token", async || fixture.saved() == ["r2"]).await;
    for _ in 0..1000 {
        tokio::task::yield_now().await; // until the exchange has its result
    }
    fixture.exchange().await.unwrap();
    assert_eq!(fixture.server.refresh_tokens(), ["r1", "r2"]);
}

#[tokio::test]
async fn timeout_of_the_caller_does_not_end_the_exchange() {
    let fixture = Fixture::with(Reply::Hang).await;
    let token = fixture.token().timeout(Duration::from_millis(20));
    assert_eq!(token.header_value().await.unwrap_err().kind(), AttachErrorKind::Timeout);
    fixture.server.set_reply(Reply::Rotate);
    fixture.issuer.clock.advance(5);
    wait_until("the new refresh token", async || fixture.saved() == ["r2"]).await;
    token.header_value().await.unwrap();
    assert_eq!(fixture.server.refresh_tokens(), ["r1"]);
}

#[tokio::test]
async fn exchange_of_a_runtime_that_shut_down_is_started_again() {
    let fixture = Fixture::with(Reply::Hang).await;
    let grant = fixture.grant.clone();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let thread = std::thread::spawn(move || {
        let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
        drop(runtime.spawn(async move { exchange(&grant).await }));
        runtime.block_on(stopped).unwrap();
    });
    wait_until("an exchange", async || fixture.server.hits() > 0).await;
    stop.send(()).unwrap();
    thread.join().unwrap();
    fixture.server.set_reply(Reply::RotateWithGrace);
    fixture.exchange().await.unwrap();
    assert_eq!(fixture.server.refresh_tokens(), ["r1", "r1"]);
    assert_eq!(fixture.saved(), ["r2"]);
}

#[tokio::test]
async fn request_waits_until_the_hook_has_saved_the_refresh_token() {
    let fixture = Fixture::with(Reply::Rotate).await;
    let (release, released) = watch::channel(false);
    let grant = fixture.server.grant().on_rotated(move |_| {
        let mut released = released.clone();
        async move { released.wait_for(|released| *released).await.map(drop) }
    });
    let waiting = tokio::spawn(async move { exchange(&grant).await });
    wait_until("an exchange", async || fixture.server.hits() > 0).await;
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    assert!(!waiting.is_finished());
    release.send_replace(true);
    waiting.await.unwrap().unwrap();
}

#[tokio::test]
async fn failed_or_panicking_hook_is_reported_and_called_again_with_the_newest_token() {
    for (panics, reason) in [(false, "the disk is full"), (true, "the hook panicked")] {
        let fixture = Fixture::with(Reply::Rotate).await;
        let works = Arc::new(Mutex::new(false));
        let (saved, switch) = (Arc::clone(&fixture.saved), Arc::clone(&works));
        let _ = fixture.grant.clone().on_rotated(move |token| {
            if *switch.lock().unwrap() {
                return save(&saved, token);
            }
            assert!(!panics, "a bug");
            std::future::ready(Err(io::Error::other("the disk is full")))
        });
        fixture.exchange().await.unwrap();
        fixture.exchange().await.unwrap();
        assert!(fixture.saved().is_empty());
        let events = fixture.events();
        assert_eq!(events.len(), 2, "{events:?}");
        for event in events {
            assert!(event.contains("RefreshTokenNotSaved") && event.contains(reason), "{event}");
            assert!(!event.contains("\"r2\"") && !event.contains("\"r3\""));
        }
        // Also if the issuer sends no other refresh token, or no token at all.
        *works.lock().unwrap() = true;
        fixture.server.set_reply(Reply::Status(503, Value::Null));
        assert_eq!(fixture.exchange().await, Err(AttachErrorKind::Source));
        fixture.server.set_reply(Reply::Keep);
        fixture.exchange().await.unwrap();
        assert_eq!(fixture.saved(), ["r3"], "once, because the hook has accepted it");
        assert_eq!(fixture.events().len(), 2);
    }
}

/// Returns a client that answers in this process, so that the time can be paused.
fn in_process(
    tokens: Arc<Mutex<u32>>,
) -> impl Fn(Request<Bytes>) -> std::future::Ready<Result<Response<Bytes>, io::Error>> {
    move |_| {
        let mut number = tokens.lock().unwrap();
        *number += 1;
        let refresh_token = format!("r{}", *number + 1);
        let body = json!({
            "access_token": format!("a{number}"),
            "token_type": "Bearer",
            "expires_in": 600,
            "refresh_token": refresh_token,
        });
        std::future::ready(Ok(Response::new(Bytes::from(body.to_string()))))
    }
}

#[tokio::test(start_paused = true)]
async fn hanging_hook_is_given_up_after_5_s() {
    let endpoint =
        TokenEndpoint::url("https://issuer.example/token").client(in_process(Arc::default()));
    let (events, calls) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
    let (list, called) = (Arc::clone(&events), Arc::clone(&calls));
    let grant = RefreshGrant::new(endpoint.build().unwrap(), "r1")
        .on_rotated(move |token| {
            called.lock().unwrap().push(token);
            std::future::pending::<Result<(), io::Error>>()
        })
        .observer(move |event: &Event<'_>| list.lock().unwrap().push(format!("{event:?}")));
    let start = tokio::time::Instant::now();
    exchange(&grant).await.unwrap();
    assert_eq!(start.elapsed().as_secs(), 5);
    exchange(&grant).await.unwrap();
    assert_eq!(*calls.lock().unwrap(), ["r2", "r3"]);
    let events = events.lock().unwrap();
    assert!(events.len() == 2 && events[0].contains("within 5 s"), "{events:?}");
}

#[tokio::test]
async fn refresh_token_of_a_login_that_has_ended_is_not_saved() {
    let fixture = Fixture::with(Reply::Rotate).await;
    let calls = Arc::new(Mutex::new(Vec::new()));
    let list = Arc::clone(&calls);
    let _ = fixture.grant.clone().on_rotated(move |token| {
        list.lock().unwrap().push(token);
        std::future::ready(Err(io::Error::other("the disk is full")))
    });
    fixture.exchange().await.unwrap();
    fixture.server.set_reply(Reply::Status(400, json!({ "error": "invalid_grant" })));
    assert_eq!(fixture.exchange().await, Err(AttachErrorKind::LoggedOut));
    assert_eq!(*calls.lock().unwrap(), ["r2"]);
}

#[tokio::test]
async fn new_login_is_saved_after_the_hook_has_finished_for_the_earlier_one() {
    let (release, released) = watch::channel(false);
    let (calls, client) = (Arc::new(Mutex::new(Vec::new())), in_process(Arc::default()));
    let list = Arc::clone(&calls);
    let endpoint = TokenEndpoint::url("https://issuer.example/token").client(client);
    let hook = move |token: String| {
        list.lock().unwrap().push(token);
        let mut released = released.clone();
        async move { released.wait_for(|released| *released).await.map(drop) }
    };
    let grant = RefreshGrant::new(endpoint.build().unwrap(), "old").on_rotated(hook);
    let start = || {
        tokio::spawn({
            let grant = grant.clone();
            async move { exchange(&grant).await }
        })
    };
    let early = start();
    wait_until("the hook", async || calls.lock().unwrap().len() == 1).await;
    grant.set_refresh_token("new");
    let late = start();
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(*calls.lock().unwrap(), ["r2"], "the hook is called for one token at a time");
    release.send_replace(true);
    late.await.unwrap().unwrap();
    assert_eq!(calls.lock().unwrap()[..2], ["r2", "r3"]);
    early.await.unwrap().unwrap();
}

#[tokio::test]
async fn rejected_refresh_token_is_not_sent_again_until_the_next_login() {
    let fixture = Fixture::with(Reply::Rotate).await;
    let (token, url) = (fixture.token(), fixture.api.url());
    let client = client(token.clone());
    fixture.grant.set_refresh_token("stolen");
    for _ in 0..3 {
        let error = send_get(&client, &url).await.unwrap_err();
        let text = format!("{error:#} {error:?}");
        assert!(text.contains("log in again") && text.contains("invalid_grant"), "{text}");
        assert!(!text.contains("stolen"), "{text}");
        assert_eq!(error_kind::<()>(Err(error)), AttachErrorKind::LoggedOut);
        fixture.issuer.clock.advance(5);
    }
    assert_eq!(fixture.server.hits(), 1);

    fixture.grant.set_refresh_token("r1");
    assert_eq!(send_get(&client, &url).await.unwrap(), ok("token-2"));
    assert_eq!(fixture.saved(), ["r2"]);
}

#[tokio::test]
async fn other_failures_keep_the_refresh_token() {
    let fixture = Fixture::with(Reply::Rotate).await;
    let error = |error: &str| json!({ "error": error });
    for (status, body, requests) in [
        (500, Value::Null, 1),
        (503, error("temporarily_unavailable"), 1),
        (502, Value::Null, 2),
        (504, Value::Null, 2),
        (429, error("too_many_requests"), 1),
        (401, error("invalid_client"), 1),
        (400, error("invalid_request"), 1),
        (403, error("invalid_grant"), 1),
        (404, Value::Null, 1),
        (302, Value::Null, 1),
    ] {
        let hits = fixture.server.hits();
        fixture.server.set_reply(Reply::Status(status, body));
        assert_eq!(fixture.exchange().await, Err(AttachErrorKind::Source), "{status}");
        assert_eq!(fixture.server.hits() - hits, requests, "{status}");
    }
    fixture.server.set_reply(Reply::Rotate);
    fixture.exchange().await.unwrap();
    assert!(fixture.server.refresh_tokens().iter().all(|token| token == "r1"));
}

#[tokio::test]
async fn unreachable_issuer_keeps_the_refresh_token() {
    let (requests, works) = (Arc::new(Mutex::new(0)), Arc::new(Mutex::new(false)));
    let (count, switch, answer) =
        (Arc::clone(&requests), Arc::clone(&works), in_process(Arc::default()));
    let send = move |request: Request<Bytes>| {
        *count.lock().unwrap() += 1;
        assert!(request.body().ends_with(b"&refresh_token=r1"));
        let works = *switch.lock().unwrap();
        if works { answer(request) } else { std::future::ready(Err(io::Error::other("refused"))) }
    };
    let endpoint = TokenEndpoint::url("https://issuer.example/token").client(send);
    let grant = RefreshGrant::new(endpoint.build().unwrap(), "r1");
    let error = exchange(&grant).await.unwrap_err();
    assert_eq!(error.kind(), AttachErrorKind::Source);
    assert!(format!("{error:#}").contains("refused"));
    assert_eq!(*requests.lock().unwrap(), 2, "one request, and one at once");
    *works.lock().unwrap() = true;
    exchange(&grant).await.unwrap();
}

/// Answers in this process. The exchange of the refresh token `old` waits until it is released.
fn with_slow_old_login(
    released: watch::Receiver<bool>,
    sent: Arc<Mutex<Vec<String>>>,
    rejects_old: bool,
) -> impl Fn(Request<Bytes>) -> BoxFuture<'static, Result<Response<Bytes>, io::Error>> {
    move |request| {
        let (mut released, sent) = (released.clone(), Arc::clone(&sent));
        Box::pin(async move {
            let body = String::from_utf8(request.into_body().to_vec()).unwrap();
            let token = body.rsplit_once('=').unwrap().1.to_owned();
            sent.lock().unwrap().push(token.clone());
            if token == "old" {
                released.wait_for(|released| *released).await.unwrap();
                if rejects_old {
                    let body = Bytes::from_static(b"{\"error\":\"invalid_grant\"}");
                    return Ok(Response::builder().status(400).body(body).unwrap());
                }
            }
            let body = json!({
                "access_token": "a",
                "token_type": "Bearer",
                "refresh_token": format!("{token}-next"),
            });
            Ok(Response::new(Bytes::from(body.to_string())))
        })
    }
}

#[tokio::test]
async fn exchange_of_an_earlier_login_does_not_change_the_new_login() {
    for rejects_old in [false, true] {
        let (release, released) = watch::channel(false);
        let (sent, saved) = (Arc::default(), Arc::new(Mutex::new(Vec::new())));
        let send = with_slow_old_login(released, Arc::clone(&sent), rejects_old);
        let endpoint = TokenEndpoint::url("https://issuer.example/token").client(send);
        let list = Arc::clone(&saved);
        let grant = RefreshGrant::new(endpoint.build().unwrap(), "old")
            .on_rotated(move |token| save(&list, token));
        let early = grant.clone();
        let early = tokio::spawn(async move { exchange(&early).await });
        wait_until("an exchange", async || sent.lock().unwrap().len() == 1).await;
        grant.set_refresh_token("new");
        exchange(&grant).await.unwrap();
        release.send_replace(true);
        // This caller gets a token of the new login, too.
        early.await.unwrap().unwrap();
        assert_eq!(*sent.lock().unwrap(), ["old", "new", "new-next"]);
        assert_eq!(*saved.lock().unwrap(), ["new-next", "new-next-next"]);
    }
}

#[tokio::test]
async fn unusable_access_token_does_not_lose_the_refresh_token() {
    let body = json!({ "token_type": "DPoP", "access_token": "a", "refresh_token": "r2" });
    let fixture = Fixture::with(Reply::Status(200, body)).await;
    assert_eq!(fixture.exchange().await, Err(AttachErrorKind::Source));
    assert_eq!(fixture.saved(), ["r2"]);
    fixture.server.set_reply(Reply::Keep);
    let _ = fixture.exchange().await;
    assert_eq!(fixture.server.refresh_tokens(), ["r1", "r2"]);
}

#[tokio::test]
async fn refresh_token_is_not_in_debug_output() {
    let fixture = Fixture::with(Reply::Rotate).await;
    fixture.grant.set_refresh_token("s3cret");
    let debug = format!("{:?} {:?}", fixture.grant, fixture.token());
    assert!(!debug.contains("s3cret"), "{debug}");
}

#[test]
fn exchange_outside_of_a_runtime_is_an_error() {
    let endpoint = TokenEndpoint::url("https://issuer.example/token").build().unwrap();
    let grant = RefreshGrant::new(endpoint, "r1");
    let error = futures_util::FutureExt::now_or_never(exchange(&grant)).unwrap().unwrap_err();
    assert_eq!(error.kind(), AttachErrorKind::Runtime);
}

#[tokio::test]
async fn refresh_token_that_the_issuer_sends_again_is_not_saved_again() {
    let body = json!({ "access_token": "a", "token_type": "Bearer", "refresh_token": "r1" });
    let fixture = Fixture::with(Reply::Status(200, body)).await;
    fixture.exchange().await.unwrap();
    assert!(fixture.saved().is_empty());
    assert_eq!(fixture.server.refresh_tokens(), ["r1"]);
}
