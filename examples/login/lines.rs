//! The `curl` commands, and the status that each returns.

/// Returns commands for one shell. Those for logins work in any order, because those that need a
/// token log in first. They are followed by the life of an API key.
pub fn lines(url: &str) -> Vec<String> {
    [login_lines(url).to_vec(), key_lines(url).to_vec()].concat()
}

fn login_lines(url: &str) -> [String; 9] {
    let with_refresh_token = |path: &str, status: u16| {
        let token = token(url, "refresh_token");
        format!(r#"curl -i --json "{{\"refresh_token\":\"{token}\"}}" {url}{path} # {status}"#)
    };
    let with_access_token = |options: &str, status: u16| {
        let token = token(url, "access_token");
        format!(r#"curl -i -H "Authorization: Bearer {token}" {options} # {status}"#)
    };
    [
        format!("curl -i {} # 200", login(url, "correct horse")),
        format!("curl -i {} # 401", login(url, "guess")),
        with_access_token(&format!("{url}/me"), 200),
        format!("curl -i {url}/me # 401"),
        with_refresh_token("/token/refresh", 200),
        format!(r#"curl -i --json '{{"refresh_token":"guess"}}' {url}/token/refresh # 400"#),
        with_refresh_token("/logout", 204),
        with_access_token(&format!("-X POST {url}/logout/all"), 200),
        format!("curl -i {url}/.well-known/jwks.json # 200"),
    ]
}

fn key_lines(url: &str) -> [String; 12] {
    const TOKEN: &str = r#"-H "Authorization: Bearer $token""#;
    const KEY: &str = r#"-H "X-API-Key: $key""#;
    const EXCHANGE: &str = "-d subject_token=$token \
        -d subject_token_type=urn:ietf:params:oauth:token-type:access_token -d audience=stock";
    let create = format!(r#"{TOKEN} --json '{{"name":"curl"}}' {url}/api-keys"#);
    [
        format!("token={}", token(url, "access_token")),
        format!("curl -i {create} # 201"),
        format!("key=$(curl -s {create} | {})", member("key")),
        format!("curl -i {KEY} {url}/me # 200"),
        format!("curl -i {TOKEN} {url}/api-keys # 200"),
        format!(r#"curl -i -H "X-API-Key: $key"x {url}/me # 401"#),
        format!("curl -i {KEY} -X POST {url}/api-keys # 401"),
        format!("curl -i {KEY} {EXCHANGE} {url}/token/exchange # 200"),
        format!(
            "curl -i {KEY} -d grant_type=client_credentials -d audience=stock {url}/token # 200"
        ),
        // The key consists of the name of the service, its id and the secret.
        format!(r#"curl -i {TOKEN} -X DELETE {url}/api-keys/$(echo "$key" | cut -d_ -f2) # 204"#),
        format!("curl -i {KEY} {url}/me # 401"),
        format!("curl -i {TOKEN} -X DELETE {url}/api-keys/guess # 404"),
    ]
}

/// Returns the options of `curl` for a login.
fn login(url: &str, password: &str) -> String {
    format!(r#"--json '{{"username":"alice","password":"{password}"}}' {url}/login"#)
}

/// Returns a command that logs in and prints one of the tokens.
fn token(url: &str, name: &str) -> String {
    format!("$(curl -s {} | {})", login(url, "correct horse"), member(name))
}

/// Returns a filter that prints one member of an object in JSON.
fn member(name: &str) -> String {
    format!(r#"sed 's/.*"{name}":"\([^"]*\).*/\1/'"#)
}
