//! The syntax of SPIFFE IDs (the SPIFFE standard "SPIFFE-ID", section 2).

/// The longest SPIFFE ID.
const MAX_BYTES: usize = 2048;
/// The longest trust domain.
const MAX_DOMAIN_BYTES: usize = 255;

/// Returns the trust domain of the SPIFFE ID of a workload, or `None` if this is not one.
///
/// A workload has a path. Nothing is normalized: two different texts are different IDs.
pub(crate) fn trust_domain(id: &str) -> Option<&str> {
    if id.len() > MAX_BYTES {
        return None;
    }
    let (domain, path) = id.strip_prefix("spiffe://")?.split_once('/')?;
    let is_valid = is_trust_domain(domain) && path.split('/').all(is_segment);
    is_valid.then_some(domain)
}

pub(crate) fn is_trust_domain(domain: &str) -> bool {
    let is_allowed = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_');
    !domain.is_empty() && domain.len() <= MAX_DOMAIN_BYTES && domain.bytes().all(is_allowed)
}

fn is_segment(segment: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    !matches!(segment, "" | "." | "..") && segment.bytes().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_workloads_have_a_trust_domain_and_a_path() {
        for (id, domain) in [
            ("spiffe://example.org/orders", "example.org"),
            ("spiffe://example.org/ns/prod/sa/Orders_1.x-y", "example.org"),
            ("spiffe://a_b-c.1/...", "a_b-c.1"),
            ("spiffe://a/.x", "a"),
        ] {
            assert_eq!(trust_domain(id), Some(domain), "{id}");
        }
        let path = "a".repeat(MAX_BYTES - "spiffe://a/".len());
        assert_eq!(trust_domain(&format!("spiffe://a/{path}")), Some("a"));
        assert_eq!(trust_domain(&format!("spiffe://a/{path}a")), None);
        let domain = "a".repeat(MAX_DOMAIN_BYTES);
        assert_eq!(trust_domain(&format!("spiffe://{domain}/x")), Some(&*domain));
        assert_eq!(trust_domain(&format!("spiffe://{domain}a/x")), None);
    }

    #[test]
    fn other_texts_are_not_ids_of_workloads() {
        for text in [
            "",
            "spiffe://",
            "spiffe:///orders",
            "spiffe://example.org",
            "spiffe://example.org/",
            "spiffe://example.org/a/",
            "spiffe://example.org//a",
            "spiffe://example.org/a//b",
            "spiffe://example.org/.",
            "spiffe://example.org/a/..",
            "spiffe://example.org/./a",
            "spiffe://example.org/../a",
            "spiffe://example.org/a?b",
            "spiffe://example.org/a#b",
            "spiffe://example.org/a%2e",
            "spiffe://example.org/a b",
            "spiffe://example.org/a\0",
            "spiffe://example.org/ü",
            "spiffe://example.org/a:b",
            "spiffe://example.org/a@b",
            "spiffe://example.org/a~b",
            "spiffe://example.org\\a/b",
            "spiffe://example.org:443/a",
            "spiffe://user@example.org/a",
            "spiffe://Example.org/a",
            "spiffe://example.org?/a",
            "spiffe://%65xample.org/a",
            "spiffe://[::1]/a",
            "SPIFFE://example.org/a",
            "Spiffe://example.org/a",
            "spiffe:/example.org/a",
            "spiffe:example.org/a",
            "https://example.org/a",
            " spiffe://example.org/a",
            "spiffe://example.org/a\n",
        ] {
            assert_eq!(trust_domain(text), None, "{text:?}");
        }
    }
}
