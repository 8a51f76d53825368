//! Logs in with the official MCP client, the Python SDK. The issuer is `mcp_provider.mjs`.

use std::{path::Path, process::Stdio, time::Duration};

use axum::http::header::{ACCEPT, CONTENT_TYPE, HOST, ORIGIN, WWW_AUTHENTICATE};
use reqwest::RequestBuilder;
use serde_json::{Value, json as value};
use tokio::{process::Command, time::timeout};
use tower_auth_test_support::{
    ROOT,
    program::{Program, run_curl_lines},
    provider::{Provider, client, has_python, json, python, token_part},
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_mcp_server");
const READ: &str = "notes:read";
const WRITE: &str = "notes:read notes:write";

/// The issuer is unreachable: the server does not contact it before a request has a token.
#[test]
fn mcp_server_curl_lines_return_the_printed_status() {
    run_curl_lines(Program::start(PROGRAM, &["http://127.0.0.1:9", "127.0.0.1:0"]), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn official_client_obtains_a_token_and_then_more_scopes() {
    // `auto` uses `server/discover` (2026-07-28), `legacy` uses `initialize` (2025-11-25).
    for mode in ["auto", "legacy"] {
        let Some(mcp) = Mcp::start() else { return };
        let events = Events::of_client(&mcp, mode).await;
        let (url, issuer) = (&*mcp.url, &*mcp.provider.issuer);
        let metadata = url.replace("/mcp", "/.well-known/oauth-protected-resource/mcp");
        let challenge = |error: &str, scope: &str| {
            format!(r#"Bearer resource_metadata="{metadata}",{error} scope="{scope}""#)
        };

        // The client follows the challenge to the metadata, and the metadata to the issuer.
        let urls = events.all("response", "url");
        assert_eq!(urls[0], url);
        assert_eq!(urls[1], metadata);
        assert!(urls[2].starts_with(issuer), "{}", urls[2]);
        let has_challenge = |event: &&Value| event["challenge"].is_string();
        let rejected: Vec<_> = events.0.iter().filter(has_challenge).collect();
        let [first, second] = *rejected else { panic!("{rejected:?}") };
        assert_eq!((&first["url"], &first["status"]), (&value!(url), &value!(401)));
        assert_eq!(first["challenge"], challenge("", READ));
        assert_eq!((&second["url"], &second["status"]), (&value!(url), &value!(403)));
        assert_eq!(second["challenge"], challenge(r#" error="insufficient_scope","#, WRITE));

        // It registers once and logs in twice, the second time with more scopes.
        let logins = events.all("login", "scope");
        assert_eq!(logins, ["notes:read offline_access", "notes:read offline_access notes:write"]);
        assert_eq!(events.all("token", "scope"), [READ, WRITE]);
        let registered = events.all("registered", "id");
        assert_eq!(registered.len(), 1);

        // The tools get the caller from both tokens.
        assert_eq!(
            events.all("result", "text"),
            ["notes of alice: ", "added for alice: milk", "notes of alice: milk"]
        );

        // The logs of the issuer and the server agree.
        let issuer_log = mcp.provider.get_control("log").await;
        assert_eq!(issuer_log["registered"], value!(registered));
        let client = registered[0];
        let issued = [READ, WRITE].map(
            |scope| value!({ "accountId": "alice", "aud": url, "scope": scope, "clientId": client }),
        );
        assert_eq!(issuer_log["issued"], value!(issued));
        for token in events.all("token", "token") {
            assert_eq!(token_part(token, 1)["aud"], url);
        }
        let log = mcp.server.kill();
        assert_eq!(log.matches(r#"error.type="missing_credentials""#).count(), 1, "{log}");
        assert_eq!(log.matches(r#"error.type="insufficient_scope""#).count(), 1, "{log}");
        assert_eq!(log.matches("request rejected").count(), 2, "{log}");
    }
}

/// The policy and rmcp must read the same tool name from a request, however it is written.
#[tokio::test(flavor = "multi_thread")]
async fn read_token_cannot_call_a_write_tool() {
    let Some(mcp) = Mcp::start() else { return };
    let events = Events::of_client(&mcp, "auto").await;
    let tokens = events.all("token", "token");
    let [reader, writer] = *tokens else { panic!("{tokens:?}") };

    let plain = call(r#""add_note""#);
    let rejected = mcp.post(reader, &plain).send().await.unwrap();
    assert_eq!(rejected.status(), 403);
    let challenge = rejected.headers()[WWW_AUTHENTICATE].to_str().unwrap();
    assert!(challenge.ends_with(&format!(r#"scope="{WRITE}""#)), "{challenge}");
    // Equivalent JSON, and headers that contradict the body.
    for request in [
        mcp.post(reader, &plain).header("mcp-method", "tools/list"),
        mcp.post(reader, &plain).header("mcp-name", "list_notes"),
        mcp.post(reader, &call(r#""\u0061dd_note""#)),
        mcp.post(reader, &call(r#""list_notes","name":"add_note""#)),
        mcp.post(reader, &call(r#""add_note","name":"list_notes""#)),
        mcp.post(reader, &format!("[{plain}]")),
        mcp.post(reader, &call(r#""no_such_tool""#)),
    ] {
        let response = request.send().await.unwrap();
        let (status, body) = (response.status(), response.text().await.unwrap());
        // rmcp returns 200 with "method not found" if it does not read the request as a tool call.
        assert!(status != 200 || body.contains("-32601"), "{status}: {body}");
    }

    // Requests for another host or from a web page are rejected, even with a valid token.
    for (name, value) in [(HOST, "evil.example"), (ORIGIN, "https://evil.example")] {
        let response = mcp.post(writer, &plain).header(name, value).send().await.unwrap();
        assert_eq!(response.status(), 403);
        assert_eq!(response.headers().get(WWW_AUTHENTICATE), None);
    }

    let notes = async || {
        let listed = json(mcp.post(reader, &call(r#""list_notes""#))).await;
        listed["result"]["content"][0]["text"].as_str().unwrap().to_owned()
    };
    assert_eq!(notes().await, "notes of alice: milk");
    assert_eq!(mcp.post(writer, &plain).send().await.unwrap().status(), 200);
    assert_eq!(notes().await, "notes of alice: milk, eggs");
}

/// Returns a call as JSON text. The name is JSON text, too, so that tests control its encoding.
fn call(name: &str) -> String {
    let params = format!(r#"{{"name":{name},"arguments":{{"text":"eggs"}}}}"#);
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#)
}

/// The example and the issuer that it trusts.
struct Mcp {
    provider: Provider,
    server: Program,
    url: String,
}

impl Mcp {
    fn start() -> Option<Self> {
        if !has_python() {
            return None;
        }
        let provider = Provider::start_script("mcp_provider.mjs")?;
        let mut server = Program::start(PROGRAM, &[&provider.issuer, "127.0.0.1:0"]);
        let url = format!("http://{}/mcp", server.address());
        Some(Self { provider, server, url })
    }

    fn post(&self, token: &str, body: &str) -> RequestBuilder {
        client()
            .post(&self.url)
            .bearer_auth(token)
            .header(ACCEPT, "application/json, text/event-stream")
            .header(CONTENT_TYPE, "application/json")
            .body(body.to_owned())
    }
}

/// The events that `mcp_client.py` prints.
struct Events(Vec<Value>);

impl Events {
    async fn of_client(mcp: &Mcp, mode: &str) -> Self {
        let script = Path::new(ROOT).join("tests/e2e/mcp_client.py");
        let run = Command::new(python())
            .arg(script)
            .args([&mcp.url, mode])
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = timeout(Duration::from_secs(90), run)
            .await
            .expect("the client finishes within 90 s")
            .unwrap();
        let stdout = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{stdout}\n{errors}");
        Self(stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
    }

    fn all(&self, event: &str, member: &str) -> Vec<&str> {
        self.0.iter().filter(|e| e["event"] == event).map(|e| e[member].as_str().unwrap()).collect()
    }
}
