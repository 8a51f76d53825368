//! The URLs of an issuer's metadata.

/// The URLs of an issuer's metadata, the likelier first: of OpenID Connect Discovery 1.0 §4, which appends
/// the well-known part to the issuer, and of RFC 8414 §3, which puts it between host and path, with either
/// name (§5).
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
    fn metadata_is_at_the_well_known_places() {
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
