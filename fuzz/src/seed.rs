//! Writes the seed corpus of each target into `fuzz/corpus`. Most seeds come from `tests/cases`.

use std::{error::Error, fs, path::Path};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::Value;
use tower_auth::{
    issue::{SigningKeys, TokenIssuer},
    store::SealedStore,
};

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let corpus = root.join("corpus");
    let write = |target: &str, name: &str, seed: &[u8]| -> Result<(), Box<dyn Error>> {
        fs::create_dir_all(corpus.join(target))?;
        Ok(fs::write(corpus.join(target).join(name), seed)?)
    };
    for file in fs::read_dir(root.join("../tests/cases"))? {
        let path = file?.path();
        if path.extension().is_none_or(|extension| extension != "jsonl") {
            continue;
        }
        for line in fs::read_to_string(path)?.lines() {
            let case: Value = serde_json::from_str(line)?;
            let name = case["name"].as_str().ok_or("case without a name")?;
            for header in case["request"]["headers"].as_array().into_iter().flatten() {
                let value = header[1].as_str().unwrap_or_default();
                let bytes: Vec<u8> =
                    value.chars().filter_map(|c| u8::try_from(u32::from(c)).ok()).collect();
                write("authorization", name, &bytes)?;
                let (scheme, rest) = value.split_once(' ').unwrap_or_default();
                if scheme.eq_ignore_ascii_case("basic") {
                    write("basic", name, rest.as_bytes())?;
                }
                write("location", name, &[b"0", bytes.as_slice()].concat())?;
                if scheme.eq_ignore_ascii_case("bearer") {
                    write("jws", name, rest.as_bytes())?;
                    write("issuers", name, rest.as_bytes())?;
                    let payload = rest.split('.').nth(1).unwrap_or_default();
                    if let Ok(claims) = URL_SAFE_NO_PAD.decode(payload) {
                        write("claims", name, &claims)?;
                        if let Ok(Value::Object(claims)) = serde_json::from_slice(&claims) {
                            let scope = claims.get("scope").and_then(Value::as_str).unwrap_or("");
                            write("scopes", name, format!("{scope}\nread write").as_bytes())?;
                        }
                    }
                }
            }
        }
    }
    // A text, an unchanged key, and a key with two changes, without and with a new checksum.
    for (name, seed) in [("text", &b"0acme_"[..]), ("key", b"1"), ("changed", b"1\x00A\x20B")] {
        write("api_key", name, seed)?;
    }
    write("api_key", "checksum", b"5\x20B")?;
    write("jwk_set", "cases", &fs::read(root.join("../tests/cases/jwks.json"))?)?;
    let set = fs::read_to_string(root.join("../tests/cases/jwks.json"))?;
    let metadata = r#"{"issuer": "https://i.example", "jwks_uri": "https://i.example/jwks"}"#;
    write("fetched", "set", format!("{metadata}\n\nmax-age=60\n\n{set}").as_bytes())?;
    let token =
        r#"{"access_token":"a","token_type":"Bearer","expires_in":60,"refresh_token":"r2"}"#;
    let members = r#""sub":"alice","aud":["orders"],"scope":"a b","iss":"https://i.example","exp":1800000060"#;
    for (name, head, body) in [
        ("active", "200\napplication/json", format!(r#"{{"active":true,{members}}}"#)),
        (
            "bound",
            "200\napplication/json",
            format!(r#"{{"active":true,"cnf":{{"jkt":"k"}},{members}}}"#),
        ),
        (
            "refresh",
            "200\napplication/json",
            format!(r#"{{"active":true,"typ":"Refresh",{members}}}"#),
        ),
        (
            "twice",
            "200\napplication/json",
            format!(r#"{{"active":false,"active":true,{members}}}"#),
        ),
        ("inactive", "200\napplication/json; charset=utf-8", r#"{"active":false}"#.to_owned()),
        ("html", "200\ntext/html", "<html>".to_owned()),
        ("error", "401\napplication/json", r#"{"error":"invalid_client"}"#.to_owned()),
    ] {
        write("introspection_response", name, format!("{head}\n{body}").as_bytes())?;
    }
    write("token_response", "tokens", format!("200\n\n{token}").as_bytes())?;
    let metadata = r#"{"issuer":"https://i.example","token_endpoint":"https://i.example/t"}"#;
    write("token_response", "discovered", format!("200\n{metadata}\n{token}").as_bytes())?;
    let error = r#"{"error":"invalid_grant","error_description":"expired"}"#;
    write("token_response", "error", format!("400\n\n{error}").as_bytes())?;
    for (name, hash) in [
        (
            "argon2",
            "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$aVuKSRHQOhi9hHyHxOvNJXxqcN3J4dTVnKNxGLN6GEw",
        ),
        ("bcrypt", "$2y$05$bvIG6Nmid91Mu9RcmmWZfO5HJIMCT8riNW0hEp8f6/FuA2/mHZFpe"),
        (
            "bcrypt_sha256",
            "$bcrypt-sha256$v=2,t=2b,r=5$5Hg1DKFqPE8C2aflZ5vVoe$wOK1VFFtS8IGTrGa7.h5fs0u84qyPbS",
        ),
        ("scrypt", "$7$CU..../....abcdefgh$0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"),
        (
            "pbkdf2",
            "$pbkdf2-sha256$29000$N2YMIWQsBWBMae09x1jrPQ$1t8iyB2A.WF/Z5JZv.lfCIhXXN33N23OSgQYThBYRfk",
        ),
        ("sha_crypt", "$5$rounds=1000$salt$0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"),
        ("apr1", "$apr1$lZL6V/ci$eIMz/iKDkbtys/uU7LEK00"),
        ("sha1", "{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g="),
    ] {
        write("password_hash", name, hash.as_bytes())?;
    }
    let entry =
        format!("base64url.bearer.authorization.k8s.io.{}", URL_SAFE_NO_PAD.encode("a.b.c"));
    for (name, lines) in [
        ("websocket", format!("1chat, {entry}\n1bearer.a.b.c,x")),
        ("headers", "2a.b.c\n3Token a.b.c\n0Bearer a.b.c".to_owned()),
        ("prefix_alone", format!("3Token\n1{}", entry.trim_end_matches("YS5iLmM"))),
    ] {
        write("location", name, lines.as_bytes())?;
    }
    for (name, lines) in [
        ("own", "8POST\n1https://app.test\n3app.test:443"),
        ("trusted", "8PUT\n1https://admin.test\n2cross-site\n9https://app.test/"),
        ("websocket", "8GET\n4h2c, websocket\n1http://[::1]:8080\n3[::1]:8080"),
        ("override", "8GET\n5DELETE\n2same-origin\n3app.test"),
    ] {
        write("origin", name, lines.as_bytes())?;
    }
    for (name, lines) in [
        ("addresses", "0garbage, 192.0.2.1:80, 10.0.0.2\n0[::ffff:10.0.0.3]:80\n1http, https"),
        ("unreadable", "0192.0.2.1, , fe80::1%eth0\n1https\n2app.example:8443, a b"),
        ("elements", "3for=\"[2001:db8::1]:4711\";proto=https;host=\"a\\\"b\", For=10.0.0.2;by=_x"),
        ("quotes", "3for=192.0.2.1;x=\"\n3for=unknown;proto=\"\\wss\" ; ,for=\"_a:_b\""),
    ] {
        write("forwarded", name, lines.as_bytes())?;
    }
    for (name, lines) in [
        ("among_others", "a=1; __Host-token=t; b=2\n__host-token=x;c"),
        ("twice", "__Host-token=t\n__Host-token=u"),
        ("nameless", "=__Host-token=t;__Host-token;=; ;"),
        ("sandwich", "$Version=1; a=\"x; __Host-token=t; b=\"; $Path=/"),
        ("spaces", "\u{2000}__Host-token=t; \t__Host-token\t= t \t"),
    ] {
        write("cookies", name, lines.as_bytes())?;
    }
    for (name, lines) in [
        ("valid", "a=b; __Host-session=$; c=d"),
        ("twice", "__Host-session=$\n__Host-session=$"),
        ("changed", "__Host-session=$A; __host-session=$"),
        ("unknown", "__Host-session=AAAAAAAAAAAAAAAAAAAAAA"),
        ("quoted", "__Host-session=\"$\""),
    ] {
        write("session_cookie", name, lines.as_bytes())?;
    }
    let id_token = r#"1{"iss":"https://issuer.example","aud":["client"],"sub":"u","iat":1800000000,
        "exp":1800000060,"nonce":"$N","azp":"client","acr":"1","amr":["pwd"],"auth_time":1800000000}"#;
    for (name, seed) in [
        ("valid", "0state=$S&code=c\n$C"),
        ("issuer", "0code=c&state=$S&iss=https://issuer.example\na=b; $C; c=d"),
        ("denied", "0state=$S&error=access_denied&error_description=no%0d%0a\n$C"),
        ("twice", "0state=$S&code=c&state=$S\n$C; $C"),
        ("id_token", id_token),
        (
            "response",
            r#"2{"access_token":"a","token_type":"bearer","expires_in":60,"id_token":"$I"}"#,
        ),
        ("error", r#"2{"error":"invalid_grant","error_description":"x"}"#),
    ] {
        write("login_callback", name, seed.as_bytes())?;
    }
    let claims = r#""iss":"https://issuer.example","aud":"client","jti":"j","iat":1800000000,"exp":1800000060,
        "events":{"http://schemas.openid.net/event/backchannel-logout":{}}"#;
    for (name, seed) in [
        ("subject", format!(r#"1{{"sub":"u",{claims}}}"#)),
        ("session", format!(r#"2{{"sid":"s",{claims}}}"#)),
        ("both", format!(r#"0{{"sub":"u","sid":"s","scope":"",{claims}}}"#)),
        ("nonce", format!(r#"1{{"sub":"u","nonce":"n",{claims}}}"#)),
        ("form", "4a=%zz&logout%5ftoken=$&b".to_owned()),
        ("twice", "4logout_token=$&logout_token=".to_owned()),
        ("query", "5state=x&logout_token\nlogout_token=$".to_owned()),
    ] {
        write("logout", name, seed.as_bytes())?;
    }
    for (name, seed) in [
        ("login", "00username=u&password=p&scope=r+w&otp=1"),
        ("login_json", r#"01{"username":"u","p\u0061ssword":"p","scope":null,"x":[1]}"#),
        ("refresh", "10grant_type=refresh_token&refresh_token=$R&client_id=a&scope=w"),
        ("refresh_cookie", "63a=b; __Host-refresh=$R\n"),
        ("both", "61__Host-refresh=$R\n{\"refresh_token\":\"$R\"}"),
        ("logout", "20refresh_token=$R"),
        ("logout_cookies", "73__Host-refresh=$R; __Host-refresh=\n"),
        ("everywhere", "31{\"access_token\":\"$A\"}"),
        ("revoke", "40token=$A&token_type_hint=access_token"),
        ("revoke_refresh", "41{\"token\":\"$R\"}"),
        ("introspect", "e0client_id=a&client_secret=s&token=$A"),
        ("introspect_opaque", "f1\n{\"client_id\":\"a\",\"client_secret\":\"s\",\"token\":\"$O\"}"),
        ("introspect_refresh", "e0client_id=a&client_secret=s&token=$R"),
        ("revoke_opaque", "40token=$O"),
        ("everywhere_opaque", "30token=$O"),
        (
            "token_refresh",
            "a0grant_type=refresh_token&refresh_token=$R&client_id=a&client_secret=s",
        ),
        ("token_client", "a0grant_type=client_credentials&client_id=a&client_secret=s&scope=r"),
        (
            "exchange",
            "b0client_id=a&client_secret=s&subject_token=$A&audience=a&scope=r+w&\
             subject_token_type=urn:ietf:params:oauth:token-type:access_token&\
             requested_token_type=urn:ietf:params:oauth:token-type:jwt",
        ),
        (
            "exchange_json",
            "c1__Host-refresh=$R\n{\"grant_type\":\
             \"urn:ietf:params:oauth:grant-type:token-exchange\",\"client_id\":\"a\",\
             \"client_secret\":\"s\",\"subject_token\":\"$A\",\"audience\":\"a\",\
             \"subject_token_type\":\"urn:ietf:params:oauth:token-type:jwt\"}",
        ),
    ] {
        write("token_endpoints", name, seed.as_bytes())?;
    }
    let pem = "-----BEGIN%20CERTIFICATE-----%0AMAA%3D%0A-----END%20CERTIFICATE-----%0A";
    for (name, seed) in [
        ("byte_sequence", "0:MAA=:".to_owned()),
        ("empty", "0::".to_owned()),
        ("xfcc", format!("1By=spiffe://a/b;Hash=0;Cert=\"{pem}\";Subject=\"O=\\\"a\\\"\";URI=")),
        ("appended", format!("1Hash=0;Cert={pem} , cert=\"{pem}\"")),
        ("escaped_pem", format!("2{pem}")),
        ("twice", format!("2{pem}{pem}\n{pem}")),
    ] {
        write("client_certificate", name, seed.as_bytes())?;
    }
    let key = "MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1ub3BxcnN0dXY=";
    for (name, text) in [
        ("one", format!("{key}\n")),
        ("two", format!("{key}\r\n-_v7-_v7AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBk\n")),
        ("twice", format!("{key}\n{key}")),
        ("weak", "A".repeat(43)),
    ] {
        write("secret", name, text.as_bytes())?;
    }
    for (name, values) in [
        ("missing", "\n\n\n\n"),
        ("token", "\0\u{1}\u{2}\u{3}0123456789abcdef"),
        ("counter", "\n\n\n\n-7"),
    ] {
        write("sealed", name, values.as_bytes())?;
    }
    for (name, keys) in [
        ("eddsa", SigningKeys::eddsa()),
        ("es256", SigningKeys::es256()),
        ("rs256", SigningKeys::rs256()),
        ("hs256", SigningKeys::hs256()),
    ] {
        write("key_ring", name, &key_document(keys)?)?;
    }
    for (name, path) in [("plain", "/open/a/b%20c?x"), ("encoded", "/users/%2e%2E//a%2fb;c")] {
        write("paths", name, path.as_bytes())?;
    }
    for (name, page) in [
        ("plain", "/orders/7?tab=a%26b"),
        ("other_host", "//evil.example/a"),
        ("encoded", "/%2f%5C/%2e/..;a"),
        ("stripped", "/\t/evil.example"),
    ] {
        write("return_to", name, page.as_bytes())?;
    }
    for (name, seed) in [
        ("standard", "0msg_1\n1800000000\nv2,x v1,$ v1a,AAAA\n{\"type\":\"paid\"}"),
        ("dot", "0msg.1\n1800000000\nv1,$\n{}"),
        ("github", "1\n\nsha256=$\nHello, World!"),
        (
            "stripe",
            "2\n1799999700\nt=1799999700,v1=00,v0=$,v1=$\n{\"id\":\"evt_1\",\"x\":[{\"id\":1}]}",
        ),
        ("old", "3\n1799999699\nv0=$\ntoken=a"),
        ("custom", "3\n1800000300\nv0=$\ntoken=a"),
    ] {
        write("webhook", name, seed.as_bytes())?;
    }
    // A client with one name of each type.
    let certificate = fs::read_to_string(root.join("../tests/fixtures/certificate.txt"))?;
    write("certificate", "client", &STANDARD.decode(certificate.replace('\n', ""))?)?;
    let header = r#"{"typ":"dpop+jwt","alg":"EdDSA","jwk":$jwk}"#;
    for (name, request, htu) in [
        ("plain", "GET\n/a/b\na.example", "https://a.example/a/b"),
        ("query", "POST\n/a?b\na.example:443", "HTTPS://A.example/./%61#c"),
        ("single", "GET\n/a\nlocalhost", "https://localhost/a"),
        ("ipv6", "GET\n/\n[::1]:8443", "https://[0::1]:8443"),
        ("other", "GET\n/a/../%zz\na", "https://a/%zz"),
    ] {
        let claims = format!(
            r#"{{"jti":"1","htm":"{}","htu":"{htu}","iat":$now,"ath":"$ath"}}"#,
            request.split('\n').next().unwrap_or_default()
        );
        write("dpop_proof", name, format!("{request}\n{header}\n{claims}").as_bytes())?;
    }
    for (name, realm) in [("plain", "closed site\nread write"), ("quoted", "My \"Realm\" \\ x\na")]
    {
        write("challenge", name, realm.as_bytes())?;
    }
    Ok(())
}

/// Returns the file that an issuer writes.
fn key_document(keys: SigningKeys) -> Result<Vec<u8>, Box<dyn Error>> {
    let path = std::env::temp_dir().join(format!("tower-auth-seed-{}", std::process::id()));
    let issuer = TokenIssuer::builder()
        .issuer("https://issuer.example")
        .audience("orders")
        .store(SealedStore::memory())
        .keys(keys.in_file(&path))
        .build()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    runtime.block_on(issuer.keys())?;
    let document = fs::read(&path)?;
    fs::remove_file(path)?;
    Ok(document)
}
