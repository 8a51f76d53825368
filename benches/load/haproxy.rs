//! HAProxy, which verifies tokens with `jwt_verify` and returns a fixed response.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    process::Command,
    thread,
    time::Duration,
};

use aws_lc_rs::{
    encoding::{AsDer, PublicKeyX509Der},
    signature::RsaPublicKeyComponents,
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use tempfile::TempDir;
use tower_auth_test_support::{
    program::Program,
    token::{AUDIENCE, ISSUER, Signer},
};

use crate::{ROLE, SCOPES};

pub(crate) struct Haproxy {
    pub(crate) program: Program,
    /// The algorithm of the tokens, or `None` for a frontend without checks, and its address.
    pub(crate) addresses: Vec<(Option<&'static str>, String)>,
    /// HAProxy reads the key when it starts, and the folder is deleted at the end.
    _folder: TempDir,
}

/// Starts HAProxy. Returns `None` if it is not installed.
pub(crate) fn start(hmac: &Signer, rsa: &Signer) -> Option<Haproxy> {
    // Debian installs it into a folder that is in the `PATH` of root only.
    let is_installed = |path: &&str| Command::new(path).arg("-v").output().is_ok();
    let path = ["haproxy", "/usr/sbin/haproxy"].into_iter().find(is_installed)?;

    let folder = tempfile::tempdir().unwrap();
    let public_key = folder.path().join("rsa.pem");
    fs::write(&public_key, public_key_pem(rsa)).unwrap();
    let secret = URL_SAFE_NO_PAD.decode(hmac.jwk()["k"].as_str().unwrap()).unwrap();
    let secret = String::from_utf8(secret).unwrap();

    let mut config = "global\n    maxconn 1000\ndefaults\n    mode http\n    timeout client 60s\n\
                      \x20   timeout http-request 60s\n"
        .to_owned();
    let mut addresses = Vec::new();
    for (algorithm, key) in [
        (None, ""),
        (Some("HS256"), secret.as_str()),
        (Some("RS256"), public_key.to_str().unwrap()),
    ] {
        let address = free_address();
        let name = algorithm.unwrap_or("open");
        config += &format!("frontend {name}\n    bind {address}\n");
        if let Some(algorithm) = algorithm {
            config += &checks(algorithm, key);
        }
        config += "    http-request return status 200 content-type text/plain string ok\n";
        addresses.push((algorithm, address));
    }
    let config_file = folder.path().join("haproxy.cfg");
    fs::write(&config_file, config).unwrap();
    let program = Program::start(path, &["-db", "-f", config_file.to_str().unwrap()]);
    for (_, address) in &addresses {
        wait_for(address);
    }
    Some(Haproxy { program, addresses, _folder: folder })
}

/// The rules that the manual of HAProxy recommends for tokens.
///
/// The version of Debian cannot read a list of roles, only its first item.
fn checks(algorithm: &str, key: &str) -> String {
    let [read, write] = SCOPES;
    format!(
        r#"    http-request set-var(txn.token) http_auth_bearer
    http-request set-var(txn.alg) var(txn.token),jwt_header_query('$.alg')
    http-request deny deny_status 401 unless {{ var(txn.alg) -m str {algorithm} }}
    http-request deny deny_status 401 unless {{ var(txn.token),jwt_verify(txn.alg,"{key}") -m int 1 }}
    http-request deny deny_status 401 unless {{ var(txn.token),jwt_payload_query('$.iss') -m str {ISSUER} }}
    http-request deny deny_status 401 unless {{ var(txn.token),jwt_payload_query('$.aud') -m str {AUDIENCE} }}
    http-request set-var(txn.now) date()
    http-request set-var(txn.exp) var(txn.token),jwt_payload_query('$.exp','int')
    http-request deny deny_status 401 unless {{ var(txn.exp),sub(txn.now) -m int gt 0 }}
    http-request set-var(txn.nbf) var(txn.token),jwt_payload_query('$.nbf','int')
    http-request deny deny_status 401 unless {{ var(txn.nbf),sub(txn.now) -m int le 0 }}
    http-request set-var(txn.scope) var(txn.token),jwt_payload_query('$.scope')
    http-request deny deny_status 403 unless {{ var(txn.scope) -m sub {read} }} {{ var(txn.scope) -m sub {write} }}
    http-request deny deny_status 403 unless {{ var(txn.token),jwt_payload_query('$.roles[0]') -m str {ROLE} }}
"#
    )
}

fn public_key_pem(rsa: &Signer) -> String {
    let jwk = rsa.jwk();
    let part = |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap();
    let key = RsaPublicKeyComponents { n: part("n"), e: part("e") };
    let der: PublicKeyX509Der<'_> = key.as_der().unwrap();
    let text = STANDARD.encode(der.as_ref());
    let lines: Vec<_> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
}

fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

fn wait_for(address: &str) {
    for _ in 0..500 {
        if TcpStream::connect(address).is_ok() {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("HAProxy does not listen on {address}");
}
