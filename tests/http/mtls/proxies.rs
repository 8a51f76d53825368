//! nginx and Caddy in front of the service, with certificates that openssl creates.

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use reqwest::{Client, Identity};
use tower_auth::mtls::ClientCertificate;
use tower_auth_test_support::{
    api::{Api, Issuer, Reply},
    nginx::Nginx,
    openssl::OpenSsl,
    program::{Program, free_port},
    skip,
};

use super::{INVALID_TOKEN, app, bound_token, builder, client_cert, escaped_pem};

/// A CA, the server certificate of a proxy, and client certificates.
struct Certificates(OpenSsl);

impl Certificates {
    fn create() -> Option<Self> {
        let openssl = OpenSsl::find()?;
        for name in ["ca", "server", "self_signed"] {
            openssl.generate(&format!("{name}.pem"), "EC -pkeyopt ec_paramgen_curve:P-256");
            fs::write(
                openssl.path(&format!("{name}.crt")),
                openssl.certificate(&format!("{name}.pem")),
            )
            .unwrap();
        }
        // rustls rejects certificates of X.509 version 1, which have no extensions.
        fs::write(openssl.path("extensions"), "subjectAltName = DNS:orders.example\n").unwrap();
        // The PEM of a large key has all characters that are encoded.
        for (name, kind) in [
            ("orders", "EC -pkeyopt ec_paramgen_curve:P-256"),
            ("billing", "RSA -pkeyopt rsa_keygen_bits:4096"),
        ] {
            openssl.generate(&format!("{name}.pem"), kind);
            openssl.run(&format!("req -new -key {name}.pem -subj /CN={name} -out {name}.csr"));
            openssl.run(&format!(
                "x509 -req -in {name}.csr -CA ca.crt -CAkey ca.pem -CAcreateserial -days 2 \
                 -extfile extensions -out {name}.crt"
            ));
        }
        Some(Self(openssl))
    }

    fn path(&self, file: &str) -> String {
        self.0.path(file).display().to_string()
    }

    fn der(&self, name: &str) -> Vec<u8> {
        self.0.run(&format!("x509 -in {name}.crt -outform DER"))
    }

    /// Returns a client with the certificate of this name, if there is one.
    fn client(&self, name: Option<&str>, proxy: &str) -> Client {
        let address: SocketAddr = proxy.parse().unwrap();
        let mut client = Client::builder()
            .no_proxy()
            .danger_accept_invalid_certs(true)
            .resolve("proxy.example", address);
        if let Some(name) = name {
            let files = [format!("{name}.pem"), format!("{name}.crt")];
            let pem = files.map(|file| fs::read(self.0.path(&file)).unwrap()).concat();
            client = client.identity(Identity::from_pem(&pem).unwrap());
        }
        client.build().unwrap()
    }
}

/// Waits until the proxy listens.
fn wait_for(address: &str) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect(address).is_err() {
        assert!(Instant::now() < deadline, "the proxy did not start");
        thread::yield_now();
    }
}

/// Sends requests with the certificate of the token, another one and none, each with and without a
/// forged header. `without` is the status if the client has no certificate.
async fn assert_bound_token_needs_its_certificate(
    certificates: &Certificates,
    issuer: &Issuer,
    proxy: &str,
    (header, encode): (&str, fn(&[u8]) -> String),
    without: u16,
) {
    let (_, port) = proxy.rsplit_once(':').unwrap();
    for name in ["orders", "billing"] {
        let token = bound_token(issuer, &certificates.der(name));
        let forged = encode(&certificates.der(name));
        for caller in [Some("orders"), Some("billing"), None] {
            let client = certificates.client(caller, proxy);
            for forged in [None, Some(&*forged)] {
                let mut request = client.get(format!("https://proxy.example:{port}/"));
                if let Some(forged) = forged {
                    request = request.header(header, forged).header(header, forged);
                }
                let reply = Reply::to(request.bearer_auth(&token)).await;
                let expected = match caller {
                    Some(caller) if caller == name => 200,
                    Some(_) => 401,
                    None => without,
                };
                assert_eq!(reply.status, expected, "{name} {caller:?}");
                match expected {
                    200 => assert_eq!(reply.body, "user-1 []"),
                    401 => assert_eq!(reply.challenges(), [INVALID_TOKEN]),
                    _ => {}
                }
            }
        }
    }
}

#[tokio::test]
async fn certificate_of_the_client_of_nginx_is_that_of_the_token() {
    let Some(certificates) = Certificates::create() else { return };
    let (issuer, header) = (Issuer::new(), "x-client-cert");
    let source = ClientCertificate::escaped_pem_header(header, "127.0.0.1").unwrap();
    let api = Api::serve_with_addresses(app(builder(&issuer, source).build().unwrap())).await;
    let Some(nginx) = Nginx::start(&format!(
        "server {{
             listen ADDRESS ssl;
             ssl_certificate {}; ssl_certificate_key {};
             ssl_client_certificate {}; ssl_verify_client optional;
             location / {{
                 proxy_set_header X-Client-Cert $ssl_client_escaped_cert;
                 proxy_pass http://{upstream};
             }}
             location /incomplete {{ proxy_pass http://{upstream}; }}
         }}",
        certificates.path("server.crt"),
        certificates.path("server.pem"),
        certificates.path("ca.crt"),
        upstream = api.address,
    )) else {
        return;
    };
    let format = (header, escaped_pem as fn(&[u8]) -> String);
    assert_bound_token_needs_its_certificate(&certificates, &issuer, &nginx.address, format, 401)
        .await;

    // nginx rejects a certificate of another CA.
    let token = bound_token(&issuer, &certificates.der("self_signed"));
    let url = format!("https://{}/", nginx.address);
    let client = certificates.client(Some("self_signed"), &nginx.address);
    assert_eq!(Reply::to(client.get(&url).bearer_auth(&token)).await.status, 400);

    // This is why the docs say that the proxy must replace the header.
    let forged = escaped_pem(&certificates.der("self_signed"));
    let request = certificates.client(None, &nginx.address).get(format!("{url}incomplete"));
    let reply = Reply::to(request.bearer_auth(&token).header(header, forged)).await;
    assert_eq!(reply.status, 200);
}

#[tokio::test]
async fn certificate_of_the_client_of_caddy_is_that_of_the_token() {
    if Command::new("caddy").arg("version").output().is_err() {
        return skip("caddy is not installed: ci/setup installs it");
    }
    let Some(certificates) = Certificates::create() else { return };
    let issuer = Issuer::new();
    let source = ClientCertificate::client_cert_header("127.0.0.1").unwrap();
    let api = Api::serve_with_addresses(app(builder(&issuer, source).build().unwrap())).await;
    let port = free_port();
    let config = format!(
        "{{
             admin off
             auto_https off
         }}
         https://proxy.example:{port} {{
             bind 127.0.0.1
             tls {} {} {{
                 client_auth {{
                     mode verify_if_given
                     trusted_ca_cert_file {}
                 }}
             }}
             reverse_proxy {} {{
                 header_up Client-Cert \":{{http.request.tls.client.certificate_der_base64}}:\"
             }}
         }}",
        certificates.path("server.crt"),
        certificates.path("server.pem"),
        certificates.path("ca.crt"),
        api.address,
    );
    fs::write(certificates.0.path("Caddyfile"), config).unwrap();
    let (file, home) = (certificates.path("Caddyfile"), certificates.path(""));
    let arguments = ["run", "--adapter", "caddyfile", "--config", &*file];
    let folders = [("HOME", &*home), ("XDG_DATA_HOME", &*home), ("XDG_CONFIG_HOME", &*home)];
    let _caddy = Program::start_with_env("caddy", &arguments, &folders);
    let address = format!("127.0.0.1:{port}");
    wait_for(&address);
    let format = ("client-cert", client_cert as fn(&[u8]) -> String);
    // Without a certificate, Caddy does not replace the placeholder: the value is malformed.
    assert_bound_token_needs_its_certificate(&certificates, &issuer, &address, format, 400).await;
}
