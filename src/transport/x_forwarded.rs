//! The headers `X-Forwarded-For`, `X-Forwarded-Proto` and `X-Forwarded-Host`.

use http::{HeaderMap, HeaderName};

use super::{
    connection_info::{ConnectionInfo, is_tls_scheme},
    host::parse_host,
    networks::{MAX_PROXIES, Networks},
    node::address_of_entry,
};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Returns what the trusted proxies report. The last one has sent the request.
pub(crate) fn reported<'h>(headers: &'h HeaderMap, proxies: &Networks) -> ConnectionInfo<'h> {
    let mut client_address = None;
    let mut passed = 0;
    for entry in entries_from_the_right(headers, &X_FORWARDED_FOR) {
        let Some(address) = address_of_entry(entry) else { return ConnectionInfo::UNKNOWN };
        client_address = Some(address);
        passed += 1;
        if !proxies.contains(address) {
            break;
        }
        if passed == MAX_PROXIES {
            return ConnectionInfo::UNKNOWN;
        }
    }
    let passed = passed.max(1);
    let scheme = entry_of_first_proxy(headers, &X_FORWARDED_PROTO, passed);
    let host = entry_of_first_proxy(headers, &X_FORWARDED_HOST, passed);
    ConnectionInfo {
        client_address,
        is_https: scheme.is_some_and(is_tls_scheme),
        host: host.and_then(parse_host),
    }
}

/// Returns the entry of the trusted proxy that is nearest to the client, if the request passed
/// through this number of proxies.
///
/// Either each proxy has appended an entry, or there is one entry, which a proxy has set and the
/// others have passed on. In any other list, the proxies have done both, so it is not known whose
/// entry is whose.
fn entry_of_first_proxy<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
    passed: usize,
) -> Option<&'h [u8]> {
    let entries = entries_from_the_right(headers, name).take(passed);
    let (count, entry) = entries.fold((0, None), |(count, _), entry| (count + 1, Some(entry)));
    entry.filter(|_| count == 1 || count == passed)
}

/// Returns the entries of a list header, the last one first.
///
/// An empty entry counts, although RFC 9110 §5.6.1 ignores it in a list: otherwise, the entry of
/// the client would take the place of an empty one of a proxy.
fn entries_from_the_right<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = &'h [u8]> {
    let lines = headers.get_all(name).iter().rev();
    // As bytes, so that a client cannot make the entry of a proxy in the same line unreadable.
    lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b',').map(<[u8]>::trim_ascii))
}
