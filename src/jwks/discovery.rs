/// Returns the URLs where the metadata of an issuer may be, the most likely one first.
///
/// OpenID Connect Discovery 1.0 §4 appends the well-known part to the issuer. RFC 8414 §3 inserts
/// it between host and path, and §5 allows either name there.
pub(crate) fn metadata_urls(issuer: &str) -> Vec<String> {
    const OPENID: &str = "/.well-known/openid-configuration";
    const OAUTH: &str = "/.well-known/oauth-authorization-server";

    let issuer = issuer.strip_suffix('/').unwrap_or(issuer);
    let authority = issuer.find("://").map_or(0, |at| at + 3);
    let path = issuer.get(authority..).and_then(|rest| rest.find('/')).map(|at| authority + at);
    let (origin, path) = issuer.split_at(path.unwrap_or(issuer.len()));
    let mut urls = vec![format!("{issuer}{OPENID}"), format!("{origin}{OAUTH}{path}")];
    if !path.is_empty() {
        urls.push(format!("{origin}{OPENID}{path}"));
    }
    urls
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_urls_follow_openid_discovery_and_rfc_8414() {
        assert_eq!(
            metadata_urls("https://a.example/"),
            [
                "https://a.example/.well-known/openid-configuration",
                "https://a.example/.well-known/oauth-authorization-server",
            ]
        );
        assert_eq!(
            metadata_urls("https://a.example:8/t/1"),
            [
                "https://a.example:8/t/1/.well-known/openid-configuration",
                "https://a.example:8/.well-known/oauth-authorization-server/t/1",
                "https://a.example:8/.well-known/openid-configuration/t/1",
            ]
        );
    }
}
