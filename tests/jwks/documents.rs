//! The forms in which issuers publish keys and metadata.

use axum::{
    Router,
    http::{HeaderValue, Request, header},
    routing::get,
};
use bytes::Bytes;
use http::Response;
use serde_json::{Value, json};
use tower::ServiceExt as _;
use tower_auth::{
    JwtAuth,
    jwks::FetchError,
    jwt::{Issuers, Jwks, JwtAuthBuilder, KeySource, Keys},
    metadata::ResourceMetadata,
};
use tower_auth_test_support::{
    openssl::OpenSsl,
    stub::{StubResponse, StubServer, wait_until},
    token::{AUDIENCE, ISSUER, Signer, claims, encode},
};
use tower_http::compression::CompressionLayer;

use crate::{Service, signers};

/// Starts a server that compresses the key set, unless it is asked not to (RFC 9110 §12.5.3).
async fn start_compressing_server(set: String, honours_identity: bool) -> String {
    let keys = async move || set.clone();
    let app = Router::new().route("/jwks", get(keys)).layer(CompressionLayer::new());
    let app = app.map_request(move |mut request: Request<_>| {
        let accepted = request.headers().get(header::ACCEPT_ENCODING);
        if !honours_identity || accepted != Some(&HeaderValue::from_static("identity")) {
            let gzip = HeaderValue::from_static("gzip");
            request.headers_mut().insert(header::ACCEPT_ENCODING, gzip);
        }
        request
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/jwks", listener.local_addr().unwrap());
    let app = axum::ServiceExt::<Request<axum::body::Body>>::into_make_service(app);
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    url
}

/// A key set that is long enough to be compressed.
fn long_set(signer: &Signer) -> String {
    let unknown = (0..100).map(|at| json!({ "kty": "LWE", "kid": at.to_string() }));
    json!({ "keys": unknown.chain([signer.jwk()]).collect::<Vec<_>>() }).to_string()
}

#[tokio::test]
async fn uncompressed_key_set_is_requested() {
    let [key] = signers(["1"]);
    let url = start_compressing_server(long_set(&key), true).await;
    let service = Service::with(Jwks::url(url)).await;
    assert_eq!(service.status(&key.token(&claims())).await, 200);
}

#[tokio::test]
async fn compressed_key_set_is_reported_and_returns_503() {
    let [key] = signers(["1"]);
    let url = start_compressing_server(long_set(&key), false).await;
    let service = Service::with(Jwks::url(url)).await;
    assert_eq!(service.status(&key.token(&claims())).await, 503);
    let error = service.health().last_error().unwrap().to_string();
    assert!(error.contains("content coding \"gzip\"") && error.contains("uncompressed"), "{error}");
}

#[tokio::test]
async fn every_request_accepts_only_identity() {
    let [key] = signers(["1"]);
    let keys = json!({ "keys": [key.jwk()] }).to_string();
    let fetch = move |request: Request<()>| {
        assert_eq!(request.headers()[header::ACCEPT_ENCODING], "identity");
        let metadata = json!({ "issuer": ISSUER, "jwks_uri": format!("{ISSUER}/jwks") });
        let is_keys = request.uri().path() == "/jwks";
        let body = if is_keys { keys.clone() } else { metadata.to_string() };
        let mut response = Response::new(Bytes::from(body));
        response.headers_mut().insert(header::CONTENT_ENCODING, "Identity".parse().unwrap());
        std::future::ready(Ok::<_, FetchError>(response))
    };
    let service = Service::with(Jwks::discover(ISSUER).client(fetch)).await;
    assert_eq!(service.status(&key.token(&claims())).await, 200);
}

#[tokio::test]
async fn byte_order_mark_before_metadata_and_keys_is_ignored() {
    let (stub, [key]) = (StubServer::start(), signers(["1"]));
    let issuer = stub.url("");
    let document = |json: Value| StubResponse::Document(format!("\u{feff}{json}"));
    let metadata = json!({ "issuer": issuer, "jwks_uri": stub.url("/jwks") });
    stub.set_response("/.well-known/openid-configuration", document(metadata));
    stub.set_response("/jwks", document(json!({ "keys": [key.jwk()] })));
    let service = Service::discovering(&issuer).await;
    assert_eq!(service.status(&key.token(&with_issuer(&issuer))).await, 200);

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("jwks.json");
    std::fs::write(&path, format!("\u{feff}{}", json!({ "keys": [key.jwk()] }))).unwrap();
    let service = Service::with(Jwks::file(path)).await;
    assert_eq!(service.status(&key.token(&claims())).await, 200);
}

fn with_issuer(issuer: &str) -> Value {
    let mut claims = claims();
    claims["iss"] = issuer.into();
    claims
}

/// The metadata of Azure AD B2C and AD FS, whose URL does not follow from the issuer.
#[tokio::test]
async fn metadata_at_another_url_is_used_if_it_names_the_issuer() {
    let b2c = "https://tenant.b2clogin.example/7d1c2a38-0f6b-4c1b-9f3e-1b2c3d4e5f60/v2.0/";
    let (adfs, adfs_tokens) =
        ("https://adfs.example/adfs", "http://adfs.example/adfs/services/trust");
    let (stub, [key]) = (StubServer::start(), signers(["1"]));
    stub.publish_keys([key.jwk()]);
    let b2c_path = "/tenant.example/B2C_1_signin/v2.0/.well-known/openid-configuration";
    let jwks_uri = stub.url("/jwks");
    let metadata = json!({ "issuer": b2c, "jwks_uri": jwks_uri });
    stub.set_response(b2c_path, StubResponse::Document(metadata.to_string()));
    let adfs_path = "/adfs/.well-known/openid-configuration";
    let metadata = json!({
        "issuer": adfs, "access_token_issuer": adfs_tokens, "jwks_uri": jwks_uri,
    });
    stub.set_response(adfs_path, StubResponse::Document(metadata.to_string()));

    for (issuer, path, is_accepted) in [
        (b2c, b2c_path, true),
        (adfs_tokens, adfs_path, true),
        (adfs, adfs_path, true),
        (b2c.trim_end_matches('/'), b2c_path, false),
        ("https://tenant.b2clogin.example/another/v2.0/", b2c_path, false),
        (b2c, adfs_path, false),
        (adfs_tokens, b2c_path, false),
        ("HTTP://adfs.example/adfs/services/trust", adfs_path, false),
        (b2c, "/missing", false),
    ] {
        let jwks = Jwks::discover(issuer).discovery_url(stub.url(path));
        let tokens = JwtAuth::builder(jwks).audience(AUDIENCE).build().unwrap();
        let address = crate::serve(tokens.clone()).await;
        let expected = if is_accepted { 200 } else { 503 };
        let response = crate::send(&address, &key.token(&with_issuer(issuer))).await;
        assert_eq!(response.status, expected, "{issuer} at {path}");
        if is_accepted {
            let other = key.token(&with_issuer(&format!("{issuer}x")));
            assert_eq!(crate::send(&address, &other).await.status, 401, "{issuer}");
        }
    }
    let requested = stub.requested_paths();
    assert!(requested.iter().all(|path| !path.starts_with("/.well-known")), "{requested:?}");
}

#[tokio::test]
async fn access_token_issuer_is_not_trusted_in_ordinary_discovery() {
    let (stub, [key]) = (StubServer::start(), signers(["1"]));
    stub.publish_keys([key.jwk()]);
    let issuer = stub.url("");
    let metadata = json!({
        "issuer": "https://other.example",
        "access_token_issuer": issuer,
        "jwks_uri": stub.url("/jwks"),
    });
    stub.set_response(
        "/.well-known/openid-configuration",
        StubResponse::Document(metadata.to_string()),
    );
    let service = Service::discovering(&issuer).await;
    assert_eq!(service.status(&key.token(&with_issuer(&issuer))).await, 503);
}

#[tokio::test]
async fn access_token_issuer_of_the_wrong_type_is_ignored() {
    let (stub, [key]) = (StubServer::start(), signers(["1"]));
    stub.publish_keys([key.jwk()]);
    let (path, issuer) = ("/.well-known/openid-configuration", stub.url(""));
    for odd in [json!(null), json!(7), json!([&issuer]), json!({})] {
        let metadata = json!({
            "issuer": issuer, "access_token_issuer": odd, "jwks_uri": stub.url("/jwks"),
        });
        stub.set_response(path, StubResponse::Document(metadata.to_string()));
        let service = Service::discovering(&issuer).await;
        assert_eq!(service.status(&key.token(&with_issuer(&issuer))).await, 200, "{odd}");
    }
}

#[tokio::test]
async fn metadata_at_another_url_must_not_lead_from_https_to_http() {
    for (jwks_uri, is_allowed) in
        [("http://127.0.0.1:1/jwks", false), ("https://keys.example/jwks", true)]
    {
        let fetch = move |request: Request<()>| {
            let metadata = json!({ "issuer": "urn:issuer", "jwks_uri": jwks_uri }).to_string();
            let is_keys = request.uri().path() == "/jwks";
            let body = if is_keys { "{\"keys\": []}".to_owned() } else { metadata };
            std::future::ready(Ok::<_, FetchError>(Response::new(Bytes::from(body))))
        };
        let jwks = Jwks::discover("urn:issuer").discovery_url("https://metadata.example/x");
        let tokens = JwtAuth::builder(jwks.client(fetch)).audience(AUDIENCE).build().unwrap();
        let health = || tokens.health().unwrap();
        wait_until("a fetch", async || {
            health().last_success().is_some() || health().failures() > 0
        })
        .await;
        assert_eq!(health().last_success().is_some(), is_allowed, "{jwks_uri}");
    }
}

#[test]
fn discovery_url_that_cannot_be_used_is_a_config_error() {
    let error = |jwks: Jwks| {
        let tokens = JwtAuth::builder(jwks).issuer(ISSUER).audience(AUDIENCE).build();
        tokens.unwrap_err().to_string()
    };
    let discovered = || Jwks::discover(ISSUER);
    assert!(error(discovered().discovery_url("http://a.example/x")).contains("dangerous_allow"));
    assert!(error(discovered().discovery_url("x")).contains("absolute https URL"));
    let url = "https://a.example/x";
    assert!(error(Jwks::url(url).discovery_url(url)).contains("use Jwks::discover"));
    assert!(error(Jwks::file("x").discovery_url(url)).contains("use Jwks::discover"));
    let empty = JwtAuth::builder(Jwks::discover("").discovery_url(url)).audience(AUDIENCE);
    assert!(empty.build().unwrap_err().to_string().contains("empty string"));
}

/// Certificates as Firebase publishes them, public keys, and texts that must be skipped.
#[tokio::test]
async fn pem_texts_by_kid_are_used_as_keys() {
    let Some(openssl) = OpenSsl::find() else { return };
    let mut map = json!({ "number": 7, "text": "secret", "list": [] });
    let mut signers = Vec::new();
    for (id, algorithm, kind) in [
        ("firebase", "RS256", "RSA -pkeyopt rsa_keygen_bits:2048"),
        ("curve", "ES256", "EC -pkeyopt ec_paramgen_curve:P-256"),
        ("edwards", "EdDSA", "ED25519"),
    ] {
        openssl.generate("key.pem", kind);
        map[id] = match id {
            "firebase" => openssl.certificate("key.pem"),
            _ => openssl.text("pkey -in key.pem -pubout"),
        }
        .into();
        let mut signer = openssl.signer(algorithm, "key.pem");
        signer.id = Some(id.into());
        signers.push(signer);
    }
    map["private"] = openssl.text("pkey -in key.pem").into();
    openssl.generate("key.pem", "RSA -pkeyopt rsa_keygen_bits:1024");
    map["small"] = openssl.text("pkey -in key.pem -pubout").into();

    let stub = StubServer::start();
    stub.set_response("/jwks", StubResponse::Document(format!("\u{feff}{map}")));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys.json");
    std::fs::write(&path, map.to_string()).unwrap();
    let issuer = stub.publish_metadata("");
    for keys in [
        KeySource::from(Jwks::url(stub.url("/jwks")).pem_map()),
        Jwks::file(path).pem_map().into(),
        Keys::from_pem_map(map.to_string()).unwrap().into(),
        Jwks::discover(&*issuer).pem_map().into(),
    ] {
        let claims =
            if format!("{keys:?}").contains(&issuer) { with_issuer(&issuer) } else { claims() };
        let builder = JwtAuth::builder(keys).audience(AUDIENCE);
        let tokens = builder.issuer(claims["iss"].as_str().unwrap()).build().unwrap();
        let address = crate::serve(tokens.clone()).await;
        for signer in &signers {
            let response = crate::send(&address, &signer.token(&claims)).await;
            assert_eq!(response.status, 200, "{:?}", signer.id);
            // The key is selected by its `kid`.
            let renamed =
                signer.token_with(&json!({ "alg": signer.algorithm, "kid": "x" }), &claims);
            assert_eq!(crate::send(&address, &renamed).await.status, 401, "{:?}", signer.id);
        }
        let skipped = tokens.skipped_keys();
        let mut skipped: Vec<_> = skipped.iter().map(|key| key.id().unwrap()).collect();
        skipped.sort_unstable();
        assert_eq!(skipped, ["list", "number", "private", "small", "text"]);
    }
}

#[tokio::test]
async fn wrong_form_of_the_document_is_named() {
    let (stub, [key]) = (StubServer::start(), signers(["1"]));
    let error = async |keys: Jwks| {
        let service = Service::with(keys).await;
        assert_eq!(service.status(&key.token(&claims())).await, 503);
        service.health().last_error().unwrap().to_string()
    };
    stub.publish_keys([key.jwk()]);
    let error_of_set = error(Jwks::url(stub.url("/jwks")).pem_map()).await;
    assert!(error_of_set.contains("a JWK set") && error_of_set.contains("remove pem_map"));
    stub.set_response("/jwks", StubResponse::Document(json!({ "1": "PEM" }).to_string()));
    let error_of_map = error(Jwks::url(stub.url("/jwks"))).await;
    assert!(error_of_map.contains("not a JWK set") && error_of_map.contains("set pem_map"));
    assert!(!error_of_set.contains("from_json") && !error_of_map.contains("from_pem_map"));
    for json in ["[]", "", "7", "{"] {
        let error = Keys::from_pem_map(json).unwrap_err().to_string();
        assert!(error.contains("maps each kid to a PEM text"), "{json}: {error}");
    }
}

#[tokio::test]
async fn key_with_an_allowed_use_is_accepted() {
    let (stub, [key]) = (StubServer::start(), signers(["1"]));
    let mut jwk = key.jwk();
    jwk["use"] = "jwt-svid".into();
    stub.publish_keys([jwk]);
    let url = || Jwks::url(stub.url("/jwks"));
    let service = Service::with(url().allow_use("jwt-svid")).await;
    assert_eq!(service.status(&key.token(&claims())).await, 200);
    let service = Service::with(url()).await;
    assert_eq!(service.status(&key.token(&claims())).await, 401);
    assert_eq!(service.tokens.skipped_keys()[0].reason(), "its use is not sig");
}

#[tokio::test]
async fn secret_with_an_allowed_use_is_skipped_in_a_published_set() {
    let stub = StubServer::start();
    let secret = Signer::generate("HS256", "1");
    let mut jwk = secret.jwk();
    jwk["use"] = "jwt-svid".into();
    stub.publish_keys([jwk]);
    let service = Service::with(Jwks::url(stub.url("/jwks")).allow_use("jwt-svid")).await;
    assert_eq!(service.status(&secret.token(&claims())).await, 401);
}

#[tokio::test]
async fn published_private_key_is_skipped() {
    let (rsa, [private, public]) = (Signer::generate("RS256", "3"), signers(["1", "2"]));
    for (private, member) in [(&private, "d"), (&rsa, "d"), (&rsa, "p"), (&rsa, "qi")] {
        let stub = StubServer::start();
        let mut jwk = private.jwk();
        jwk[member] = encode([7; 32]).into();
        stub.publish_keys([jwk, public.jwk()]);
        let service = Service::start(&stub).await;
        assert_eq!(service.status(&private.token(&claims())).await, 401, "{member}");
        assert_eq!(service.status(&public.token(&claims())).await, 200);
        let skipped = service.tokens.skipped_keys();
        assert!(skipped[0].reason().contains("private part is published"), "{skipped:?}");
    }
}

#[test]
fn user_information_and_query_of_urls_are_not_printed() {
    let build = |builder: JwtAuthBuilder| builder.audience(AUDIENCE).build();
    let error = |keys: Jwks| build(JwtAuth::builder(keys)).unwrap_err().to_string();
    let with_issuer = |keys: Jwks| JwtAuth::builder(keys).issuer(ISSUER);
    let of_issuer = |issuer: &str| {
        let keys = Keys::hs256(&[7; 32]);
        build(JwtAuth::builder(keys).issuer(issuer)).unwrap()
    };
    let (in_user_info, in_query) =
        ("https://user:hunter2@a.example/x", "https://a.example/x?key=hunter2");
    let plaintext = "http://a.example/x?key=hunter2";
    let printed = [
        format!("{:?}", Jwks::url(in_user_info)),
        format!("{:?}", Jwks::url(in_query)),
        format!("{:?}", Jwks::discover(in_user_info).discovery_url(in_query)),
        format!("{:?}", JwtAuth::builder(Jwks::url(in_query)).issuer(in_user_info)),
        format!("{:?}", of_issuer(in_user_info)),
        format!("{:?}", Issuers::new([of_issuer(in_user_info)]).unwrap()),
        format!("{:?}", ResourceMetadata::builder(in_user_info, [in_query])),
        build(with_issuer(Jwks::url(in_user_info))).unwrap_err().to_string(),
        build(with_issuer(Jwks::url(plaintext))).unwrap_err().to_string(),
        error(Jwks::discover(in_user_info)),
        error(Jwks::discover(in_query)),
        error(Jwks::discover(ISSUER).discovery_url(in_user_info)),
        error(Jwks::discover(ISSUER).discovery_url(plaintext)),
        build(with_issuer(Jwks::discover(in_query))).unwrap_err().to_string(),
        Issuers::new([of_issuer(in_query), of_issuer(in_query)]).unwrap_err().to_string(),
        ResourceMetadata::builder(in_user_info, [ISSUER]).build().unwrap_err().to_string(),
        ResourceMetadata::builder(ISSUER, [in_query]).build().unwrap_err().to_string(),
        build(with_issuer(Jwks::url(ISSUER)).resource_metadata("ftp://a.example/?key=hunter2"))
            .unwrap_err()
            .to_string(),
    ];
    for text in printed {
        assert!(text.contains("a.example") && !text.contains("hunter2"), "{text}");
    }
}
