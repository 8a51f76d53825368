//! A process that has installed its own provider of rustls.

mod tls;

use rustls::crypto::{CryptoProvider, ring};

#[tokio::test]
async fn installed_provider_is_used() {
    let suite = ring::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256;
    let provider = CryptoProvider { cipher_suites: vec![suite], ..ring::default_provider() };
    provider.install_default().unwrap();
    // With one that only marks the absence of renegotiation.
    let offered = tls::offered_cipher_suites().await;
    assert!(offered == [0x13, 0x03] || offered == [0x13, 0x03, 0x00, 0xff], "{offered:x?}");
    assert_eq!(CryptoProvider::get_default().unwrap().cipher_suites, [suite]);
}
