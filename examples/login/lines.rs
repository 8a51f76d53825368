//! The `curl` commands, and the status that each returns.

/// Returns commands that work in any order. Those that need a token log in first.
pub fn lines(url: &str) -> [String; 9] {
    let json = |password: &str| {
        format!(r#"--json '{{"username":"alice","password":"{password}"}}' {url}/login"#)
    };
    let token = |name: &str| {
        let login = json("correct horse");
        format!(r#"$(curl -s {login} | sed 's/.*"{name}":"\([^"]*\).*/\1/')"#)
    };
    let with_refresh_token = |path: &str, status: u16| {
        let token = token("refresh_token");
        format!(r#"curl -i --json "{{\"refresh_token\":\"{token}\"}}" {url}{path} # {status}"#)
    };
    let with_access_token = |options: &str, status: u16| {
        let token = token("access_token");
        format!(r#"curl -i -H "Authorization: Bearer {token}" {options} # {status}"#)
    };
    [
        format!("curl -i {} # 200", json("correct horse")),
        format!("curl -i {} # 401", json("guess")),
        with_access_token(&format!("{url}/me"), 200),
        format!("curl -i {url}/me # 401"),
        with_refresh_token("/token/refresh", 200),
        format!(r#"curl -i --json '{{"refresh_token":"guess"}}' {url}/token/refresh # 400"#),
        with_refresh_token("/logout", 204),
        with_access_token(&format!("-X POST {url}/logout/all"), 204),
        format!("curl -i {url}/.well-known/jwks.json # 200"),
    ]
}
