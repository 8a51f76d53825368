//! A TLS client that uses the default provider of rustls.

use std::time::Duration;

use tokio::{io::AsyncReadExt as _, net::TcpListener, time::timeout};
use tower_auth::store::{Purpose, Redis, Store, StoreKey};

/// Lets the store connect, and returns the cipher suites that it offers.
pub async fn offered_cipher_suites() -> Vec<u8> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut hello = vec![0; 4_096];
        let length = client.read(&mut hello).await.unwrap();
        hello.truncate(length);
        hello
    });
    let store = Redis::builder(format!("rediss://{address}")).unwrap().build().unwrap();
    let key = StoreKey::new(Purpose::Revocation, [0; 32]);
    store.get(&[key]).await.unwrap_err();
    let hello = timeout(Duration::from_secs(10), server).await.expect("the store did not connect");
    cipher_suites(&hello.unwrap()).to_vec()
}

/// Returns the cipher suites in a record with a ClientHello: RFC 8446, sections 4.1.2 and 5.1.
fn cipher_suites(record: &[u8]) -> &[u8] {
    // The headers of the record and the message, the version and the random bytes.
    let session_id = &record[5 + 4 + 2 + 32..];
    let suites = &session_id[1 + usize::from(session_id[0])..];
    let length = usize::from(u16::from_be_bytes([suites[0], suites[1]]));
    &suites[2..2 + length]
}
