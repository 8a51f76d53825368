use proptest::prelude::*;

use super::*;

/// What a proxy has seen: an address, whether the connection used TLS, and an entry that it wrote.
#[derive(Clone, Debug)]
struct Hop {
    address: IpAddr,
    is_https: bool,
    in_new_line: bool,
    style: u8,
}

fn hop() -> impl Strategy<Value = Hop> {
    let octets = prop_oneof![Just([10, 0, 0]), Just([192, 0, 2])];
    let parts = (octets, 1..=3_u8, any::<(bool, bool, bool, u8)>());
    parts.prop_map(|([a, b, c], d, (is_v6, is_https, in_new_line, style))| {
        let network = if a == 10 { 0xfd00 } else { 0x2001 };
        let v6 = IpAddr::from([network, 0, 0, 0, 0, 0, 0, u16::from(d)]);
        let address = if is_v6 { v6 } else { IpAddr::from([a, b, c, d]) };
        Hop { address, is_https, in_new_line, style }
    })
}

impl Hop {
    fn is_proxy(&self) -> bool {
        self.address.to_string().starts_with("10.") || self.address.to_string().starts_with("fd00:")
    }

    fn scheme(&self) -> &'static str {
        match (self.is_https, self.style & 1) {
            (true, 0) => "https",
            (true, _) => "WSS",
            (false, 0) => "http",
            (false, _) => "ws",
        }
    }

    /// Writes the address as an entry of `X-Forwarded-For`.
    fn entry(&self) -> String {
        match (self.address, self.style % 3) {
            (address, 0) => address.to_string(),
            (IpAddr::V4(address), 1) => format!("{address}:80"),
            (IpAddr::V4(address), _) => format!("::ffff:{address}"),
            (IpAddr::V6(address), 1) => format!("[{address}]:80"),
            (IpAddr::V6(address), _) => format!("{address}%eth0"),
        }
    }

    /// Writes an element of `Forwarded`.
    fn element(&self) -> String {
        let node = match (self.address, self.style % 3) {
            (IpAddr::V4(address), 0) => address.to_string(),
            (IpAddr::V4(address), 1) => format!("\"{address}:_p\""),
            (IpAddr::V4(address), _) => format!("\"[::ffff:{address}]\""),
            (IpAddr::V6(address), 0) => format!("\"[{address}]\""),
            (IpAddr::V6(address), _) => format!("\"\\[{address}]:80\""),
        };
        let scheme = self.scheme();
        match self.style % 5 {
            0 => format!("for={node};proto={scheme}"),
            1 => format!("Proto=\"{scheme}\";For={node}"),
            2 => format!("host=\"a,for=\\\"9.9.9.9\\\"\";proto={scheme};for={node}"),
            3 => format!("by=_x;for={node};proto=\"\\{scheme}\";ext=\"\\\\\""),
            _ => format!("for={node} ; proto={scheme};"),
        }
    }
}

/// Appends entries to the lines that a client has sent, as proxies do.
fn lines(sent: &[Vec<u8>], hops: &[Hop], entry: impl Fn(&Hop) -> String) -> Vec<Vec<u8>> {
    let mut lines = sent.to_vec();
    for hop in hops {
        match lines.last_mut() {
            Some(line) if !hop.in_new_line => line.extend(format!(", {}", entry(hop)).bytes()),
            _ => lines.push(entry(hop).into_bytes()),
        }
    }
    lines
}

/// The model: the rightmost hop that is not a proxy, or else the leftmost one.
fn expected(hops: &[Hop]) -> (Option<IpAddr>, bool) {
    let client = hops.iter().rev().find(|hop| !hop.is_proxy()).or(hops.first());
    client.map_or((None, false), |hop| (Some(hop.address), hop.is_https))
}

/// Lines that a client may send.
fn sent() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let piece = prop_oneof![
        Just("for=9.9.9.9;proto=https".to_owned()),
        Just("9.9.9.9".to_owned()),
        Just("10.0.0.3".to_owned()),
        Just("for=10.0.0.3".to_owned()),
        Just("https".to_owned()),
        Just(";host=\"".to_owned()),
        "[\"\\\\,;= \u{e9}x]{0,3}",
    ];
    let line = prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat().into_bytes());
    prop::collection::vec(line, 0..3)
}

fn headers(name: &'static str, lines: &[Vec<u8>]) -> Vec<(&'static str, Vec<u8>)> {
    lines.iter().map(|line| (name, line.clone())).collect()
}

fn info(forwarded: &Forwarded, owned: &[(&'static str, Vec<u8>)]) -> (Option<IpAddr>, bool) {
    let borrowed: Vec<_> = owned.iter().map(|(name, value)| (*name, value.as_slice())).collect();
    info_of(forwarded, &borrowed)
}

proptest! {
    /// The first hop is not a proxy, so that nothing to its left counts.
    #[test]
    fn entries_of_a_client_never_change_the_result(
        sent_addresses in sent(),
        sent_schemes in sent(),
        mut hops in prop::collection::vec(hop(), 1..6),
    ) {
        hops[0].address = if hops[0].style & 1 == 0 { [192, 0, 2, 9].into() } else { "::9".parse().unwrap() };
        let addresses = lines(&sent_addresses, &hops, Hop::entry);
        let schemes = lines(&sent_schemes, &hops, |hop| hop.scheme().to_owned());
        let mut both = headers("x-forwarded-for", &addresses);
        both.extend(headers("x-forwarded-proto", &schemes));
        prop_assert_eq!(info(&proxied(), &both), expected(&hops));

        let elements = headers("forwarded", &lines(&sent_addresses, &hops, Hop::element));
        prop_assert_eq!(info(&proxied().rfc7239(), &elements), expected(&hops));
    }

    #[test]
    fn both_families_agree_with_the_model(hops in prop::collection::vec(hop(), 0..6)) {
        let addresses = headers("x-forwarded-for", &lines(&[], &hops, Hop::entry));
        let schemes = lines(&[], &hops, |hop| hop.scheme().to_owned());
        let both = [addresses, headers("x-forwarded-proto", &schemes)].concat();
        prop_assert_eq!(info(&proxied(), &both), expected(&hops));
        let elements = headers("forwarded", &lines(&[], &hops, Hop::element));
        prop_assert_eq!(info(&proxied().rfc7239(), &elements), expected(&hops));
    }

    #[test]
    fn peer_that_is_no_proxy_cannot_influence_anything(
        values in prop::collection::vec(sent(), 4),
        peer in prop_oneof![Just(None), Just(address("192.0.2.7")), Just(address("::a00:1"))],
    ) {
        let names = ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "forwarded"];
        let mut all = vec![("host", b"app.example".to_vec())];
        for (name, lines) in names.into_iter().zip(&values) {
            all.extend(headers(name, lines));
        }
        let all: Vec<_> = all.iter().map(|(name, value)| (*name, value.as_slice())).collect();
        let head = head(&all);
        for forwarded in [Forwarded::direct(), proxied(), proxied().rfc7239()] {
            let info = forwarded.forwarded_host().peer(move |_| peer).info(&head);
            prop_assert_eq!(info.client_address(), peer);
            prop_assert!(!info.is_https());
            prop_assert_eq!(info.host(), Some("app.example"));
        }
    }
}
