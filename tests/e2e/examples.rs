//! Runs the examples of the root package. The other examples are tested in their own packages.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{Request, StatusCode, Version, header::AUTHORIZATION};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tower_auth_test_support::program::{Program, run_curl_lines};

#[test]
fn protected_api_curl_lines_return_the_printed_status() {
    run_curl_lines(Program::start_example("protected_api", &["127.0.0.1:0"]), 9);
}

#[tokio::test]
async fn hyper_server_accepts_its_user_over_http_1_and_http_2() {
    let mut program = Program::start_example("hyper_server", &["127.0.0.1:0"]);
    let url = format!("http://{}/", program.address());
    let line = program.read_line().unwrap();
    let (user_pass, curl_url) =
        line.strip_prefix("curl -i -u ").and_then(|rest| rest.split_once(' ')).unwrap();
    assert_eq!(curl_url, url);

    for version in [Version::HTTP_11, Version::HTTP_2] {
        let client = Client::builder(TokioExecutor::new())
            .http2_only(version == Version::HTTP_2)
            .build_http();
        let send = async |user_pass: &str| {
            let request = Request::get(&url)
                .header(AUTHORIZATION, format!("Basic {}", STANDARD.encode(user_pass)))
                .body(Empty::<Bytes>::new());
            client.request(request.unwrap()).await.unwrap()
        };
        assert_eq!(send(&format!("{user_pass}x")).await.status(), StatusCode::UNAUTHORIZED);
        let response = send(user_pass).await;
        assert_eq!((response.status(), response.version()), (StatusCode::OK, version));
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "hello alice\n");
    }
}
