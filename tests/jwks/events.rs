//! What operators see of a live issuer, in their log.

use std::{
    io::Write,
    sync::{Arc, Mutex},
};

use tracing_subscriber::fmt::MakeWriter;

use crate::{
    Service,
    common::{
        stub::{Answer, Stub},
        token::{Signer, claims},
    },
    keys, until,
};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn has(&self, words: &[&str]) -> bool {
        let bytes = self.0.lock().unwrap();
        let text = String::from_utf8_lossy(&bytes);
        text.lines().any(|line| words.iter().all(|word| line.contains(word)))
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// The runtime is of one thread, so that the subscriber of this thread sees the task, too.
#[tokio::test]
async fn rotation_refusal_outage_and_recovery_are_told() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_writer(log.clone()).with_ansi(false).finish();
    let _guard = tracing::subscriber::set_default(subscriber);

    let (stub, [old, new]) = (Stub::start(), keys(["old", "new"]));
    stub.publish([old.jwk(), Signer::generate("HS256", "secret").jwk()]);
    let service = Service::start(&stub).await;
    let mut claims = claims();
    claims["exp"] = 4_102_444_800_u64.into();
    assert_eq!(service.status(&old.token(&claims)).await, 200);
    assert!(log.has(&["INFO", "new keys", "added=[\"old\"]"]));
    assert!(log.has(&["WARN", "a key is not used", "secret", "oct"]));

    stub.publish([new.jwk()]);
    assert_eq!(service.status(&new.token(&claims)).await, 200);
    assert!(log.has(&["new keys", "added=[\"new\"]", "removed=[\"old\"]"]));

    stub.set("/jwks", Answer::Status(500));
    service.clock.by(601);
    assert_eq!(service.status(&new.token(&claims)).await, 200);
    until("a warning", async || log.has(&["WARN", "the last ones serve on", "500"])).await;
    service.clock.by(5000);
    assert_eq!(service.status(&new.token(&claims)).await, 503);
    assert!(log.has(&["ERROR", "none may serve"]));

    stub.publish([new.jwk()]);
    service.clock.by(31);
    assert_eq!(service.status(&new.token(&claims)).await, 200);
    assert!(log.has(&["INFO", "keys can be fetched again"]));
    assert!(!log.has(&["eyJ"]), "no token is in the log");
}
