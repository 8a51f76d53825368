//! Tokens in entries of `Sec-WebSocket-Protocol` (RFC 6455 §11.3.4).

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderValue, header::SEC_WEBSOCKET_PROTOCOL};

use super::error::CredentialsError;

/// Returns the rest of the entry that starts with a prefix, or `None` if there is no such entry.
pub(crate) fn find_token<'h>(
    headers: &'h HeaderMap,
    prefix: &str,
) -> Option<Result<&'h [u8], CredentialsError>> {
    let lines = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
    let mut tokens = lines
        .flat_map(|line| list_entries(line.as_bytes()))
        .filter_map(|entry| entry.strip_prefix(prefix.as_bytes()));
    let token = tokens.next()?;
    Some(if tokens.next().is_some() { Err(CredentialsError::SeveralTokens) } else { Ok(token) })
}

/// Removes the entries that start with a prefix, and the header if no entry remains.
pub(crate) fn remove_tokens(headers: &mut HeaderMap, prefix: &str) {
    let lines = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
    let (tokens, others): (Vec<_>, Vec<_>) = lines
        .flat_map(|line| list_entries(line.as_bytes()))
        .partition(|entry| entry.starts_with(prefix.as_bytes()));
    if tokens.is_empty() {
        return;
    }
    let others = HeaderValue::from_bytes(&others.join(&b", "[..]));
    match others.ok().filter(|others| !others.is_empty()) {
        Some(others) => _ = headers.insert(SEC_WEBSOCKET_PROTOCOL, others),
        None => _ = headers.remove(SEC_WEBSOCKET_PROTOCOL),
    }
}

/// Returns the entries of a list, without those that are empty (RFC 9110 §5.6.1).
fn list_entries(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let entries = line.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    entries.filter(|entry| !entry.is_empty())
}

/// Decodes the token of an entry in the form of Kubernetes.
pub(crate) fn decode(text: &[u8]) -> Result<Vec<u8>, CredentialsError> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| CredentialsError::Undecodable)
}

#[cfg(test)]
mod tests {
    use super::*;

    const K8S: &str = "base64url.bearer.authorization.k8s.io.";

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        lines.iter().for_each(|(name, value)| _ = headers.append(*name, value.parse().unwrap()));
        headers
    }

    #[test]
    fn websocket_entry_is_found_in_any_list() {
        let name = "sec-websocket-protocol";
        let find = |prefix: &str, lines: &[(&'static str, &str)]| {
            let found = find_token(&headers(lines), prefix)?.map(<[u8]>::to_vec);
            Some(found.map(|token| String::from_utf8(token).unwrap()))
        };
        let found = |token: &str| Some(Ok(token.to_owned()));
        let entry = format!("{K8S}YS5iLmM");
        for lines in [
            vec![entry.clone()],
            vec![format!("chat, {entry}")],
            vec![format!("{entry},chat")],
            vec![format!(" , {entry} ,, chat")],
            vec!["chat".to_owned(), entry.clone()],
            vec![format!("chat, {entry}"), "x, y".to_owned()],
        ] {
            let lines: Vec<_> = lines.iter().map(|line| (name, line.as_str())).collect();
            assert_eq!(find(K8S, &lines), found("YS5iLmM"), "{lines:?}");
        }
        assert_eq!(find(K8S, &[(name, "chat")]), None);
        assert_eq!(find(K8S, &[(name, "BASE64URL.bearer.authorization.k8s.io.YQ")]), None);
        assert_eq!(find(K8S, &[(name, K8S)]), found(""));
        let several = Some(Err(CredentialsError::SeveralTokens));
        assert_eq!(find(K8S, &[(name, &format!("{entry}, {entry}"))]), several);
        assert_eq!(find(K8S, &[(name, &entry), (name, &format!("{K8S}!"))]), several);

        assert_eq!(find("bearer.", &[(name, "chat, bearer.a.b.c")]), found("a.b.c"));
        assert_eq!(find("bearer.", &[(name, &entry)]), None);
    }

    #[test]
    fn concealed_websocket_entries_are_removed() {
        let name = "sec-websocket-protocol";
        for (lines, remaining) in [
            (vec![format!("{K8S}YQ")], None),
            (vec![format!("{K8S}YQ, {K8S}"), format!("{K8S}!")], None),
            (vec![format!("chat.v1,{K8S}YQ ,chat.v2")], Some("chat.v1, chat.v2")),
            (vec!["a".to_owned(), format!("{K8S}YQ"), "b, c".to_owned()], Some("a, b, c")),
        ] {
            let lines: Vec<_> = lines.iter().map(|line| (name, line.as_str())).collect();
            let mut headers = headers(&lines);
            remove_tokens(&mut headers, K8S);
            let left: Vec<_> = headers.get_all(name).iter().collect();
            assert_eq!(left, Vec::from_iter(remaining), "{lines:?}");
        }
        let mut untouched = headers(&[(name, "a,b"), (name, "c")]);
        remove_tokens(&mut untouched, K8S);
        assert_eq!(Vec::from_iter(untouched.get_all(name)), ["a,b", "c"]);
    }

    #[test]
    fn only_canonical_base64url_is_decoded() {
        assert_eq!(decode(b"YS5iLmM"), Ok(b"a.b.c".to_vec()));
        for invalid in ["YQ==", "a", "Y Q", "+w", "YR", "!"] {
            assert_eq!(decode(invalid.as_bytes()), Err(CredentialsError::Undecodable), "{invalid}");
        }
    }
}
