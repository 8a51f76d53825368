//! HTTP Basic with the clients that people use: curl, two libraries of Python, and a browser. The names and passwords are
//! such as need an encoding, which is UTF-8, as the challenge says.

use std::{process::Stdio, time::Duration};

use axum::{Router, response::Html, routing::get};
use tokio::{process::Command, time::timeout};
use tower_auth::{
    AuthenticateLayer, BasicAuth, Principal,
    password::{HashVerifier, HashedUsers, PasswordHash},
};
use tower_auth_test_support::{
    api::Api,
    provider::{has_python, python},
    skip,
};

const JUERGEN: &str = "jürgen ☃";
const PASSWORDS: [(&str, &str); 4] = [
    ("alice", "open sesame"),
    (JUERGEN, "pässwörd ☃ 密码"),
    ("colons", "a:b::c:"),
    ("signs", r#"%41+ "'\&?#/@<>"#),
];

/// Greets, and has a page that asks for the greeting by a script.
async fn serve() -> Api {
    let users = PASSWORDS.map(|(user_id, password)| {
        (user_id, PasswordHash::new(password).unwrap().as_str().to_owned())
    });
    let staff = HashVerifier::new(HashedUsers::new(users).unwrap());
    let page =
        "<script>fetch(location.origin).then(r => r.text()).then(t => document.title = t)</script>";
    let app = Router::new()
        .route("/", get(async |caller: Principal| format!("hello {}", caller.subject())))
        .route("/page", get(async move || Html(page)))
        .layer(AuthenticateLayer::new(BasicAuth::new("staff", staff).unwrap()));
    Api::serve(app).await
}

/// What a program writes, or that it is not there.
async fn run(program: &str, args: &[&str]) -> Option<String> {
    let mut command = Command::new(if program == "python" { python() } else { program.into() });
    command.args(args).stdin(Stdio::null()).kill_on_drop(true);
    match timeout(Duration::from_secs(60), command.output()).await.expect("it hangs") {
        Ok(output) => {
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{program}: {errors}");
            Some(String::from_utf8(output.stdout).unwrap())
        }
        Err(_) => {
            skip(&format!("there is no {program} on this machine"));
            None
        }
    }
}

/// Curl's words for its answer: the body, and the status.
async fn curl(args: &[&str]) -> Option<String> {
    let usual = ["--silent", "--noproxy", "*", "--max-time", "20", "--write-out", " %{http_code}"];
    run("curl", &[&usual, args].concat()).await
}

fn percent(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_logs_in() {
    let api = serve().await;
    let url = format!("http://{}/", api.address);
    for (user_id, password) in PASSWORDS {
        let expected = format!("hello {user_id} 200");
        let pair = format!("{user_id}:{password}");
        let Some(said) = curl(&["--user", &pair, &url]).await else { return };
        assert_eq!(said, expected);
        // It asks first, and reads the challenge.
        assert_eq!(curl(&["--anyauth", "--user", &pair, &url]).await.unwrap(), expected);
        let pair = format!("{}:{}", percent(user_id), percent(password));
        let url = format!("http://{pair}@{}/", api.address);
        assert_eq!(curl(&[&url]).await.unwrap(), expected);
    }
    for pair in ["alice:", "alice:open sesame ", "Alice:open sesame", ":", "jurgen:x"] {
        let said = curl(&["--anyauth", "--user", pair, &url]).await.unwrap();
        assert!(said.ends_with(" 401"), "{pair}: {said}");
    }
    assert!(curl(&[&url]).await.unwrap().ends_with(" 401"));
}

#[tokio::test(flavor = "multi_thread")]
async fn python_logs_in() {
    if !has_python() {
        return;
    }
    let imports = Command::new(python()).args(["-c", "import requests, httpx2"]).output();
    if !imports.await.unwrap().status.success() {
        skip("tests/e2e/requirements.txt is newer than target/python");
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
# It writes text as Latin-1, where that goes.
try:
    print(session.get(url, auth=(user, 'open sesame'), timeout=20).status_code)
except UnicodeEncodeError:
    print('not sent')
";
    for (user_id, password) in PASSWORDS {
        let said = run("python", &["-c", program, &url, user_id, password]).await.unwrap();
        let last = match user_id {
            "alice" => "200",
            JUERGEN => "not sent",
            _ => "401",
        };
        assert_eq!(said, format!("200 hello {user_id}\n200 hello {user_id}\n{last}\n"));
    }
    let said = run("python", &["-c", program, &url, "jürgen", "x"]).await.unwrap();
    let statuses: Vec<_> =
        said.split_whitespace().filter(|word| word.parse::<u16>().is_ok()).collect();
    assert_eq!(statuses, ["401"; 3], "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_logs_in_and_stays_so() {
    let api = serve().await;
    let profile = tempfile::tempdir().unwrap();
    let profile = format!("--user-data-dir={}", profile.path().display());
    let browse = async |user_id: &str, password: &str, path: &str| {
        let pair = format!("{}:{}", percent(user_id), percent(password));
        let url = format!("http://{pair}@{}{path}", api.address);
        let args = [
            "--headless",
            "--no-sandbox", // CI runs as root, where there is none
            "--disable-gpu",
            "--disable-background-networking",
            "--disable-component-update",
            "--no-first-run",
            "--no-proxy-server",
            "--virtual-time-budget=10000",
            &profile,
            "--dump-dom",
            &url,
        ];
        run("chromium", &args).await
    };
    for (user_id, password) in PASSWORDS {
        let Some(shown) = browse(user_id, password, "/").await else { return };
        assert!(shown.contains(&format!("hello {user_id}")), "{shown}");
        // It sends them with what the page's script asks for.
        let shown = browse(user_id, password, "/page").await.unwrap();
        assert!(shown.contains(&format!("<title>hello {user_id}</title>")), "{shown}");
        let shown = browse(user_id, "wrong", "/").await.unwrap();
        assert!(!shown.contains("hello"), "{shown}");
    }
}
