//! The client address, the scheme and the host of requests over real connections, behind nginx and
//! without it.

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    extract::Request,
    routing::{any, get},
};
use reqwest::{Client, ClientBuilder};
use tonic::{
    metadata::MetadataValue,
    transport::{Endpoint, Server, server::TcpIncoming},
};
use tonic_health::{
    pb::{HealthCheckRequest, health_client::HealthClient},
    server::health_reporter,
};
use tower_auth::{
    AuthenticateLayer, BasicAuth, Denial, Principal, RequireScopes,
    basic::Users,
    observe::{Event, Observe},
    throttle::Throttle,
    transport::{Forwarded, HttpsLayer},
};
use tower_auth_test_support::{
    ROOT,
    api::{Api, Issuer, Reply, greet},
    nginx::Nginx,
    openssl::OpenSsl,
    raw, skip,
};

const PASSWORD: &str = "correct horse battery staple";

/// Serves with axum's `ConnectInfo`, and returns the address.
async fn serve(app: Router) -> SocketAddr {
    Api::serve_with_addresses(app).await.address.parse().unwrap()
}

/// Responds with the client address, the scheme and the host.
fn echo(forwarded: Forwarded) -> Router {
    let handler = async move |request: Request| {
        let (head, _) = request.into_parts();
        let info = forwarded.info(&head);
        let address = info.client_address().map(|address| address.to_string());
        format!("{} {} {}", address.unwrap_or_default(), info.scheme(), info.host().unwrap_or("?"))
    };
    Router::new().fallback(any(handler))
}

fn client_from(address: [u8; 4]) -> ClientBuilder {
    Client::builder().no_proxy().local_address(Some(address.into()))
}

fn client() -> Client {
    client_from([127, 0, 0, 1]).build().unwrap()
}

fn from_localhost() -> Forwarded {
    Forwarded::from_proxies("127.0.0.1").unwrap()
}

fn staff() -> BasicAuth<Users> {
    BasicAuth::new("staff", Users::new([("alice", PASSWORD)]).unwrap()).unwrap()
}

#[tokio::test]
async fn headers_are_read_only_from_a_trusted_peer_of_axum() {
    let headers = [
        ("x-forwarded-for", "203.0.113.9, 192.0.2.1:80"),
        ("x-forwarded-proto", "https"),
        ("host", "app.example"),
    ];
    let get = async |client: &Client, address: SocketAddr| {
        let mut request = client.get(format!("http://{address}/"));
        for (name, value) in headers {
            request = request.header(name, value);
        }
        Reply::to(request).await.body
    };
    let (direct, proxied) =
        (serve(echo(Forwarded::direct())).await, serve(echo(from_localhost())).await);
    assert_eq!(get(&client(), direct).await, "127.0.0.1 http app.example");
    assert_eq!(get(&client(), proxied).await, "192.0.2.1 https app.example");
    if cfg!(target_os = "linux") {
        let other = client_from([127, 0, 0, 2]).build().unwrap();
        assert_eq!(get(&other, proxied).await, "127.0.0.2 http app.example");
    }
}

#[tokio::test]
async fn thousand_entries_and_non_ascii_bytes_of_a_client_are_skipped() {
    let address = serve(echo(from_localhost())).await;
    let forged = "203.0.113.9,".repeat(1_000) + "\u{e9}\u{1f512},,";
    let request = client().get(format!("http://{address}/")).header("host", "a");
    let request = request.header("x-forwarded-for", forged.as_bytes());
    let request = request.header("x-forwarded-for", "192.0.2.1");
    assert_eq!(Reply::to(request).await.body, "192.0.2.1 http a");
}

/// The layer rejects a request whose scheme is unknown.
#[tokio::test(flavor = "multi_thread")]
async fn entry_that_is_no_address_makes_the_client_and_the_scheme_unknown() {
    let app = echo(from_localhost()).layer(HttpsLayer::new(from_localhost()));
    let address = serve(app).await.to_string();
    let get = |entries: &str| {
        let lines = [("X-Forwarded-For", entries), ("X-Forwarded-Proto", "https")];
        raw::get(&address, "/", &lines)
    };
    let many = |entry: &str| format!("{entry},").repeat(1_000);
    for (entries, client) in [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1:4711", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]:4711", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("[fe80::1%25eth0]:4711", "fe80::1"),
        (&format!("{}192.0.2.1", many("203.0.113.9")), "192.0.2.1"),
        (&format!("{}192.0.2.1", many("")), "192.0.2.1"),
    ] {
        let response = get(entries);
        assert_eq!(response.body, format!("{client} https {address}"), "{entries}");
    }
    for entries in [
        "",
        ",",
        "192.0.2.1,",
        "unknown",
        "_hidden",
        "192.0.2",
        "192.0.2.256",
        "192.0.2.1:x",
        "192.0.2.1%eth0",
        "fe80::1%",
        "[::1",
        "[::1]4711",
        "\"192.0.2.1\"",
        "proxy.example",
        "<script>",
        "\u{e9}\u{ff}",
        &many(""),
        &many("x"),
        // Only trusted proxies: the search ends after 32.
        &many("127.0.0.1"),
        &format!("192.0.2.1,{}127.0.0.1", many("127.0.0.1")),
    ] {
        let response = get(entries);
        assert_eq!((response.status, response.body.as_str()), (403, ""), "{entries}");
    }
}

/// HTTP/2 without a `Host` header.
#[tokio::test]
async fn authority_of_http_2_is_the_host_and_the_origin() {
    let app = Router::new().route("/", any(greet)).layer(AuthenticateLayer::new(staff()));
    let echo = serve(echo(Forwarded::direct())).await;
    let staff = serve(app).await;
    let client = client_from([127, 0, 0, 1]).http2_prior_knowledge().build().unwrap();
    let body = Reply::to(client.get(format!("http://{echo}/"))).await.body;
    assert_eq!(body, format!("127.0.0.1 http {echo}"));
    for (origin, status) in [(format!("http://{staff}"), 200), (format!("https://{staff}"), 403)] {
        let request = client.post(format!("http://{staff}/")).header("origin", &origin);
        let reply = Reply::to(request.basic_auth("alice", Some(PASSWORD))).await;
        assert_eq!(reply.status, status, "{origin}");
    }
}

/// Records the client address of each event.
#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Vec<Option<IpAddr>>>>);

impl Recorder {
    fn take(&self) -> Vec<Option<IpAddr>> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl Observe for Recorder {
    fn observed(&self, event: &Event<'_>) {
        let request = match event {
            Event::Admitted { request, .. } => Some(*request),
            Event::Rejected { request, .. } | Event::Throttled { request, .. } => *request,
            other => panic!("{other:?}"),
        };
        self.0.lock().unwrap().push(request.and_then(|request| request.client_address()));
    }
}

#[tokio::test]
async fn peer_of_tonic_is_the_trusted_proxy() {
    let (issuer, recorder) = (Issuer::new(), Recorder::default());
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = incoming.local_addr().unwrap();
    let layer = AuthenticateLayer::new(issuer.auth()).observer(recorder.clone());
    let server = Server::builder()
        .layer(layer.forwarded(from_localhost().rfc7239()))
        .add_service(health_reporter().1);
    tokio::spawn(server.serve_with_incoming(incoming));
    let channel = Endpoint::new(format!("http://{address}")).unwrap().connect().await.unwrap();
    let check = async |forwarded: &str, token: &str| {
        let mut request = tonic::Request::new(HealthCheckRequest::default());
        let value = |text: &str| MetadataValue::try_from(text).unwrap();
        request.metadata_mut().insert("forwarded", value(forwarded));
        request.metadata_mut().insert("authorization", value(&format!("Bearer {token}")));
        HealthClient::new(channel.clone()).check(request).await.is_ok()
    };
    assert!(check("for=\"[2001:db8::1]:4711\"", &issuer.token()).await);
    assert!(!check("for=203.0.113.9, for=192.0.2.1", "invalid").await);
    assert!(!check("for=203.0.113.9, for=unknown", "invalid").await);
    let addresses = ["2001:db8::1", "192.0.2.1"].map(|address| address.parse().ok());
    assert_eq!(recorder.take(), [addresses[0], addresses[1], None]);
}

#[tokio::test]
async fn events_of_layers_policies_extractors_and_handlers_have_the_client_address() {
    let (issuer, recorder) = (Issuer::new(), Recorder::default());
    let app = Router::new()
        .route("/policy", get(async || "ok").layer(RequireScopes::all("admin")))
        .route("/extractor", get(async |_: Principal| "ok"))
        .route("/handler", get(async || Err::<(), _>(Denial::forbidden())));
    // The address is determined by the layer, or by another one around it.
    let own = app.clone().layer(
        AuthenticateLayer::optional(issuer.auth())
            .forwarded(from_localhost())
            .observer(recorder.clone()),
    );
    let outer = app
        .clone()
        .layer(AuthenticateLayer::optional(issuer.auth()).observer(recorder.clone()))
        .layer(AuthenticateLayer::optional(issuer.auth()).forwarded(from_localhost()));
    let without = app.layer(AuthenticateLayer::optional(issuer.auth()).observer(recorder.clone()));
    let client_address = Some("192.0.2.1".parse().unwrap());
    for (app, expected) in [(own, client_address), (outer, client_address), (without, None)] {
        let address = serve(app).await;
        for (path, token, events) in [
            ("/policy", Some(issuer.token()), 2),
            ("/extractor", None, 2),
            ("/handler", Some(issuer.token()), 2),
            ("/handler", None, 2),
            ("/policy", Some("invalid".into()), 1),
        ] {
            let request = client().get(format!("http://{address}{path}"));
            let request = request.header("x-forwarded-for", "203.0.113.9, 192.0.2.1");
            Reply::to(match &token {
                Some(token) => request.bearer_auth(token),
                None => request,
            })
            .await;
            let is_rejected_outside = token.as_deref() == Some("invalid");
            let found = recorder.take();
            assert!(found.len() == events || is_rejected_outside, "{path} {found:?}");
            assert!(found.iter().all(|address| *address == expected), "{path} {found:?}");
        }
    }
}

/// nginx with TLS if there is a certificate, in front of the server at this address. `/passed/`
/// keeps the host, `/named/` replaces it and reports it, and `/replaced/` only replaces it.
fn nginx(upstream: SocketAddr, tls: &str) -> Option<Nginx> {
    if !cfg!(target_os = "linux") {
        skip("other systems have one loopback address");
        return None;
    }
    let listen = if tls.is_empty() { "" } else { " ssl http2" };
    let common = format!(
        "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
         proxy_set_header X-Forwarded-Proto $scheme;
         proxy_pass http://{upstream}/;"
    );
    Nginx::start(&format!(
        "server {{
             listen ADDRESS{listen};
             {tls}
             location /passed/ {{ proxy_set_header Host $http_host; {common} }}
             location /named/ {{ proxy_set_header X-Forwarded-Host $http_host; {common} }}
             location /replaced/ {{ {common} }}
         }}"
    ))
}

#[tokio::test]
async fn nginx_reports_the_client_address_and_the_scheme() {
    let upstream = serve(echo(from_localhost())).await;
    let with_host = serve(echo(from_localhost().forwarded_host())).await;
    let (Some(nginx_1), Some(nginx_2)) = (nginx(upstream, ""), nginx(with_host, "")) else {
        return;
    };
    let get = async |nginx: &Nginx, path: &str| {
        let request = client_from([127, 0, 0, 2]).build().unwrap();
        let request = request.get(format!("http://{}{path}", nginx.address));
        let forged = [
            ("x-forwarded-for", "203.0.113.9"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "forged.example"),
            ("forwarded", "for=203.0.113.9;proto=https;host=forged.example"),
        ];
        let request =
            forged.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        Reply::to(request).await.body
    };
    let (address_1, address_2) = (&nginx_1.address, &nginx_2.address);
    assert_eq!(get(&nginx_1, "/passed/").await, format!("127.0.0.2 http {address_1}"));
    assert_eq!(get(&nginx_1, "/named/").await, format!("127.0.0.2 http {upstream}"));
    assert_eq!(get(&nginx_1, "/replaced/").await, format!("127.0.0.2 http {upstream}"));
    assert_eq!(get(&nginx_2, "/named/").await, format!("127.0.0.2 http {address_2}"));
    // This is why the header is not read by default: nginx passes on that of the client.
    assert_eq!(get(&nginx_2, "/replaced/").await, "127.0.0.2 http forged.example");
}

/// Returns the configurations of nginx in the guide.
fn nginx_of_the_guide(upstream: SocketAddr) -> String {
    let guide = fs::read_to_string(Path::new(ROOT).join("src/guide/proxies.md")).unwrap();
    let blocks = guide.split("```nginx\n").skip(1).map(|rest| rest.split_once("```").unwrap().0);
    let blocks: String = blocks.collect();
    assert!(blocks.contains("127.0.0.1:3000"), "{blocks}");
    blocks.replace("127.0.0.1:3000", &upstream.to_string())
}

#[tokio::test]
async fn client_cannot_choose_its_address_with_the_nginx_of_the_guide() {
    if !cfg!(target_os = "linux") {
        return skip("other systems have one loopback address");
    }
    let upstream = serve(echo(from_localhost())).await;
    let Some(nginx) = Nginx::start(&format!(
        "server {{
             listen ADDRESS;
             {}
             location / {{ proxy_pass http://{upstream}; }}
             location /incomplete {{
                 proxy_set_header Upgrade $http_upgrade;
                 proxy_pass http://{upstream};
             }}
         }}",
        nginx_of_the_guide(upstream)
    )) else {
        return;
    };
    let get = async |path: &str| {
        let client = client_from([127, 0, 0, 2]).build().unwrap();
        let request = client.get(format!("http://{}{path}", nginx.address));
        let request = request.header("x-forwarded-for", "203.0.113.9");
        Reply::to(request.header("x-forwarded-proto", "https")).await.body
    };
    for path in ["/", "/chat"] {
        assert_eq!(get(path).await, format!("127.0.0.2 http {}", nginx.address), "{path}");
    }
    // This is why the guide repeats the lines: this location does not inherit them.
    assert_eq!(get("/incomplete").await, format!("203.0.113.9 https {upstream}"));
}

#[tokio::test]
async fn throttle_counts_the_clients_of_nginx() {
    let staff = staff().throttle(Throttle::new(from_localhost())).unwrap();
    let app = Router::new().route("/", get(greet)).layer(AuthenticateLayer::new(staff));
    let Some(nginx) = nginx(serve(app).await, "") else { return };
    let log_in = async |from: [u8; 4], password: &str, forged: &str| {
        let client = client_from(from).build().unwrap();
        let request = client.get(format!("http://{}/replaced/", nginx.address));
        let request = request.header("x-forwarded-for", forged);
        Reply::to(request.basic_auth("alice", Some(password))).await.status.as_u16()
    };
    for number in 0..10 {
        let forged = format!("203.0.113.{number}");
        assert_eq!(log_in([127, 0, 0, 2], "guess", &forged).await, 401);
    }
    assert_eq!(log_in([127, 0, 0, 2], PASSWORD, "203.0.113.99").await, 429);
    assert_eq!(log_in([127, 0, 0, 3], PASSWORD, "127.0.0.2").await, 200);
}

/// Sends requests without `Sec-Fetch-Site`, so that `Origin` decides.
async fn post(client: &Client, url: &str, origin: &str, headers: &[(&str, &str)]) -> u16 {
    let mut request = client.post(url).header("origin", origin);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Reply::to(request.basic_auth("alice", Some(PASSWORD))).await.status.as_u16()
}

#[tokio::test]
async fn origin_is_compared_with_the_scheme_and_host_that_nginx_reports() {
    let app = |forwarded| {
        let layer = AuthenticateLayer::new(staff().forwarded(forwarded));
        Router::new().route("/", any(greet)).layer(layer)
    };
    let by_default = serve(app(from_localhost())).await;
    let with_host = serve(app(from_localhost().forwarded_host())).await;
    let Some(openssl) = OpenSsl::find() else { return };
    openssl.generate("key.pem", "EC -pkeyopt ec_paramgen_curve:P-256");
    std::fs::write(openssl.path("cert.pem"), openssl.certificate("key.pem")).unwrap();
    let [cert, key] = ["cert.pem", "key.pem"].map(|file| openssl.path(file).display().to_string());
    let tls = format!("ssl_certificate {cert}; ssl_certificate_key {key};");
    let client = client_from([127, 0, 0, 1]).danger_accept_invalid_certs(true).build().unwrap();

    for (scheme, other, tls) in [("http", "https", ""), ("https", "http", &tls)] {
        let (Some(by_default), Some(with_host)) = (nginx(by_default, tls), nginx(with_host, tls))
        else {
            return;
        };
        let url = |nginx: &Nginx, path: &str| format!("{scheme}://{}{path}", nginx.address);
        let forged: &[(&str, &str)] =
            &[("x-forwarded-proto", other), ("x-forwarded-host", "evil.example")];
        for (nginx, path, host, status) in [
            (&by_default, "/passed/", &*by_default.address, 200),
            (&by_default, "/passed/", "evil.example", 403),
            // The name of the service is not that of the page.
            (&by_default, "/replaced/", &*by_default.address, 403),
            (&by_default, "/replaced/", "evil.example", 403),
            (&with_host, "/named/", &*with_host.address, 200),
            (&with_host, "/named/", "evil.example", 403),
        ] {
            let url = url(nginx, path);
            for headers in [&[][..], forged] {
                let own = post(&client, &url, &format!("{scheme}://{host}"), headers).await;
                assert_eq!(own, status, "{url} {host}");
                let other = post(&client, &url, &format!("{other}://{host}"), headers).await;
                assert_eq!(other, 403, "{url} {host}");
            }
        }
    }
}
