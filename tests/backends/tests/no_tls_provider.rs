//! A process with two providers of rustls, of which none is the default. `ClientConfig::builder`
//! panics in it.

mod tls;

use rustls::crypto::CryptoProvider;

#[tokio::test]
async fn provider_is_installed_if_there_is_none() {
    assert!(CryptoProvider::get_default().is_none());
    assert!(!tls::offered_cipher_suites().await.is_empty());
    assert!(CryptoProvider::get_default().is_some());
}
