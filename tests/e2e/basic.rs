//! HTTP Basic with common clients: curl, two Python libraries and a browser. Some user ids and
//! passwords are not ASCII: the clients send them in UTF-8, as the challenge requests.

use std::{process::Stdio, time::Duration};

use axum::{Router, response::Html, routing::get};
use tokio::{process::Command, time::timeout};
use tower_auth::{
    AuthenticateLayer, BasicAuth, Principal,
    password::{HashVerifier, HashedUsers, PasswordHash},
};
use tower_auth_test_support::{
    api::Api,
    program::CHROMIUM_OPTIONS,
    provider::{has_python, python},
    skip,
};

const NON_ASCII_USER: &str = "jürgen ☃";
const PASSWORDS: [(&str, &str); 4] = [
    ("alice", "open sesame"),
    (NON_ASCII_USER, "pässwörd ☃ 密码"),
    ("colons", "a:b::c:"),
    ("signs", r#"%41+ "'\&?#/@<>"#),
];

/// Serves a greeting at `/`, and a page at `/page` whose script fetches the greeting.
async fn serve() -> Api {
    let users = PASSWORDS.map(|(user_id, password)| {
        (user_id, PasswordHash::new(password).unwrap().as_str().to_owned())
    });
    let staff = HashVerifier::new(HashedUsers::new(users).unwrap());
    let html =
        "<script>fetch(location.origin).then(r => r.text()).then(t => document.title = t)</script>";
    let app = Router::new()
        .route("/", get(async |caller: Principal| format!("hello {}", caller.subject())))
        .route("/page", get(async move || Html(html)))
        .layer(AuthenticateLayer::new(BasicAuth::new("staff", staff).unwrap()));
    Api::serve(app).await
}

/// Runs a program and returns its output. Returns `None` if the program is not installed.
async fn run(program: &str, args: &[&str]) -> Option<String> {
    let mut command = Command::new(if program == "python" { python() } else { program.into() });
    command.args(args).stdin(Stdio::null()).kill_on_drop(true);
    match timeout(Duration::from_secs(60), command.output()).await.expect("the program hangs") {
        Ok(output) => {
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{program}: {errors}");
            Some(String::from_utf8(output.stdout).unwrap())
        }
        Err(_) => {
            skip(&format!("{program} is not installed"));
            None
        }
    }
}

/// Runs curl and returns the response body and the status.
async fn curl(args: &[&str]) -> Option<String> {
    let options =
        ["--silent", "--noproxy", "*", "--max-time", "20", "--write-out", " %{http_code}"];
    run("curl", &[&options, args].concat()).await
}

fn percent_encode(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_authenticates_with_utf8_credentials() {
    let api = serve().await;
    let url = format!("http://{}/", api.address);
    for (user_id, password) in PASSWORDS {
        let expected = format!("hello {user_id} 200");
        let pair = format!("{user_id}:{password}");
        let Some(output) = curl(&["--user", &pair, &url]).await else { return };
        assert_eq!(output, expected);
        // With `--anyauth`, curl first sends a request without credentials and reads the challenge.
        assert_eq!(curl(&["--anyauth", "--user", &pair, &url]).await.unwrap(), expected);
        let pair = format!("{}:{}", percent_encode(user_id), percent_encode(password));
        let url = format!("http://{pair}@{}/", api.address);
        assert_eq!(curl(&[&url]).await.unwrap(), expected);
    }
    for pair in ["alice:", "alice:open sesame ", "Alice:open sesame", ":", "jurgen:x"] {
        let output = curl(&["--anyauth", "--user", pair, &url]).await.unwrap();
        assert!(output.ends_with(" 401"), "{pair}: {output}");
    }
    assert!(curl(&[&url]).await.unwrap().ends_with(" 401"));
}

#[tokio::test(flavor = "multi_thread")]
async fn python_clients_authenticate_with_utf8_credentials() {
    if !has_python() {
        return;
    }
    let imports = Command::new(python()).args(["-c", "import requests, httpx2"]).output();
    if !imports.await.unwrap().status.success() {
        skip("install tests/e2e/requirements.txt into target/python");
        return;
    }
    let api = serve().await;
    let url = format!("http://{}/", api.address);
    let program = "
import sys, requests, httpx2
sys.stdout.reconfigure(encoding='utf-8')
url, user, password = sys.argv[1:]
session = requests.Session()
session.trust_env = False
answer = session.get(url, auth=(user.encode(), password.encode()), timeout=20)
print(answer.status_code, answer.content.decode())
with httpx2.Client(trust_env=False, timeout=20) as client:
    answer = client.get(url, auth=(user, password))
    print(answer.status_code, answer.content.decode())
# requests encodes `str` as Latin-1, or fails.
try:
    print(session.get(url, auth=(user, 'open sesame'), timeout=20).status_code)
except UnicodeEncodeError:
    print('not sent')
";
    for (user_id, password) in PASSWORDS {
        let output = run("python", &["-c", program, &url, user_id, password]).await.unwrap();
        let latin1_result = match user_id {
            "alice" => "200",
            NON_ASCII_USER => "not sent",
            _ => "401",
        };
        assert_eq!(output, format!("200 hello {user_id}\n200 hello {user_id}\n{latin1_result}\n"));
    }
    let output = run("python", &["-c", program, &url, "jürgen", "x"]).await.unwrap();
    let statuses: Vec<_> =
        output.split_whitespace().filter(|word| word.parse::<u16>().is_ok()).collect();
    assert_eq!(statuses, ["401"; 3], "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn browser_authenticates_and_reuses_the_credentials() {
    let api = serve().await;
    let profile = tempfile::tempdir().unwrap();
    let profile = format!("--user-data-dir={}", profile.path().display());
    let browse = async |user_id: &str, password: &str, path: &str| {
        let pair = format!("{}:{}", percent_encode(user_id), percent_encode(password));
        let url = format!("http://{pair}@{}{path}", api.address);
        run("chromium", &[&CHROMIUM_OPTIONS[..], &[&profile, &url]].concat()).await
    };
    for (user_id, password) in PASSWORDS {
        let Some(page) = browse(user_id, password, "/").await else { return };
        assert!(page.contains(&format!("hello {user_id}")), "{page}");
        // The browser also sends the credentials with the request of the script.
        let page = browse(user_id, password, "/page").await.unwrap();
        assert!(page.contains(&format!("<title>hello {user_id}</title>")), "{page}");
        let page = browse(user_id, "wrong", "/").await.unwrap();
        assert!(!page.contains("hello"), "{page}");
    }
}
