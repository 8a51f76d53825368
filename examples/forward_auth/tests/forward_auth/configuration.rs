//! Invalid configurations. Each error is one line that names the TOML key.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::json;
use tower_auth_test_support::{program::Program, token::Signer};

use crate::{PROGRAM, readme};

/// The error of a configuration.
pub fn error_of(dir: &Path, config: &str) -> String {
    let path = dir.join("config.toml");
    fs::write(&path, config).unwrap();
    // Keys may be fetched before the fault is found.
    let log = [("RUST_LOG", "off")];
    let program = Program::start_with_env(PROGRAM, &[path.to_str().unwrap()], &log);
    let (errors, success) = program.wait();
    assert!(!success, "{config}");
    assert_eq!(errors.lines().count(), 1, "{errors}");
    let start = format!("forward_auth: {}: ", path.display());
    errors.strip_prefix(&start).unwrap_or_else(|| panic!("{errors}")).trim_end().to_owned()
}

/// Writes the files that the configurations of this module name.
pub fn write_files(dir: &Path) {
    let key = Signer::generate("ES256", "1").jwk();
    let secret = json!({ "kty": "oct", "alg": "HS256", "kid": "1", "k": "c2hvcnQtc2VjcmV0" });
    for (name, text) in [
        ("jwks.json", json!({ "keys": [key] }).to_string()),
        ("empty.json", json!({ "keys": [] }).to_string()),
        ("malformed.json", "[1]".into()),
        ("pem-map.json", json!({ "1": "-----BEGIN PUBLIC KEY-----" }).to_string()),
        ("short.json", json!({ "keys": [secret] }).to_string()),
        ("malformed", "a:$2y$05$x\n".into()),
        ("sha", "a:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n".into()),
        ("plain", "alice:hunter2\n".into()),
        ("twice", "a:$2y$05$x\na:$2y$05$x\n".into()),
        ("no-colon", "hunter2\n".into()),
        ("des", "a:rqXexS6ZhobKA\n".into()),
        ("unknown-kind", "a:$9$hunter2\n".into()),
    ] {
        fs::write(dir.join(name), text).unwrap();
    }
}

/// The configurations with one fault: the lines, the key that the error names, and what the error
/// contains.
const TOP_LEVEL: &[(&str, &str, &str)] = &[
    ("listen = 1", "listen", "expected socket address, but found integer (line 1)"),
    ("listen = \"localhost\"", "listen", "socket address"),
    ("listen = \"127.0.0.1:0\"\nprofile = 1", "profile", "unknown field `profile`"),
    ("listen = \"127.0.0.1:0\"", "line 1", "missing field `profiles`"),
    ("listen = ", "line 1", ""),
    ("profiles = []", "profiles", "expected a table, but found a list"),
    (
        "listen = \"127.0.0.1:0\"\n[profiles]\np = [\"realm\"]",
        "profiles.p",
        "expected a table, but found a list",
    ),
    ("listen = \"192.0.2.1:1\"\n[profiles]", "listen", "cannot listen on 192.0.2.1:1"),
    ("listen = \"127.0.0.1:0\"\nhealth = \"healthz\"\n[profiles]", "health", "/healthz"),
    ("listen = \"127.0.0.1:0\"\nhealth = \"/{a}\"\n[profiles]", "health", "/healthz"),
    ("listen = \"127.0.0.1:0\"\n[profiles.\"a b\"]", "profiles.\"a b\"", "letters"),
];

const PROFILE: &[(&str, &str, &str)] = &[
    ("", "basic", "`bearer`"),
    ("realm = \"r\"\nbasics = 1", "basics", "unknown field `basics`"),
    ("errors = \"html\"", "errors", "problem+json"),
    ("challenges = \"two\"", "challenges", "expected `one-line` or `lines`"),
    ("[profiles.p.basic]\nusers = []", "realm", "requires a realm"),
    ("realm = \"a\\u0007b\"\n[profiles.p.basic]\nusers = []", "realm", "control character"),
    ("realm = \"a\\u0007b\"\n[profiles.p.bearer]\n$BEARER", "realm", "control character"),
];

const BASIC: &[(&str, &str, &str)] = &[
    ("", "users", "`htpasswd`"),
    ("users = []\nhtpasswd = \"sha\"", "users", "`htpasswd`"),
    ("users = []\ninsecure_hashes = true", "users", "`insecure_hashes`"),
    ("users = []\nthrottle = []", "throttle", "expected a table, but found a list"),
    (
        "users = []\nthrottle = [1, 2, \"x-real-ip\", \"ignored\"]",
        "throttle",
        "expected a table, but found a list",
    ),
    ("users = [[\"a:b\", \"c\"]]", "users[0]", "colon"),
    ("users = [[\"a\", \"b\"], [\"a\", \"c\"]]", "users[1]", "new"),
    ("users = [[\"a\", \"b\\u0000\"]]", "users[0]", "control character"),
    ("users = [[\"a\", \"b\", \"admin\"]]", "users[0]", "a pair"),
    ("users = [[\"a\"]]", "users[0]", "a pair"),
    ("users = [\"a\", \"b\"]", "users[0]", "expected a list, but found string"),
    ("users = [[\"a\", 1]]", "users[0][1]", "expected a string, but found integer"),
    ("htpasswd = \"missing\"", "htpasswd", "missing"),
    ("htpasswd = \"malformed\"", "htpasswd", "line 1"),
    ("htpasswd = \"sha\"", "htpasswd", "set `insecure_hashes`"),
    ("htpasswd = \"des\"", "htpasswd", "set `insecure_hashes`"),
    ("htpasswd = \"plain\"", "htpasswd", "set `insecure_hashes`"),
    ("htpasswd = \"twice\"", "htpasswd", "line"),
    ("htpasswd = \"no-colon\"", "htpasswd", "line 1"),
    ("htpasswd = \"unknown-kind\"", "htpasswd", "line 1"),
    ("users = []\nthrottle = { failures = 0 }", "throttle", "at least 1"),
    ("users = []\nthrottle = { per_seconds = 0 }", "throttle", "at least 1"),
    ("users = []\nthrottle = { failures = -1 }", "throttle.failures", "not negative"),
    ("users = []\ntrusted_origins = \"https://a.example\"", "trusted_origins", "a list"),
    (
        "users = []\ntrusted_origins = [\"https://a.example\", \"https://a.example/\"]",
        "trusted_origins[1]",
        "\"https://admin.example:8443\"",
    ),
    ("users = []\nthrottle = { address_header = \"a b\" }", "throttle.address_header", "header"),
];

const BEARER: &[(&str, &str, &str)] = &[
    ("audience = \"a\"\njwks_file = \"jwks.json\"", "issuer", "`iss`"),
    ("issuer = \"i\"\njwks_file = \"jwks.json\"", "audience", "`aud`"),
    ("issuer = []\naudience = \"a\"\njwks_file = \"jwks.json\"", "issuer", "empty"),
    ("issuer = \"i\"\naudience = \"\"\njwks_file = \"jwks.json\"", "audience", "empty"),
    ("issuer = [\"i\", \"i\"]\naudience = \"a\"\njwks_file = \"jwks.json\"", "issuer", "once"),
    ("issuer = 1", "issuer", "expected a string or a list of strings, but found integer"),
    ("issuer = [\"a\", 1]", "issuer[1]", "expected a string, but found integer"),
    ("issuer = \"i\"\naudience = \"a\"", "jwks_file", "`discovery`"),
    ("issuer = \"i\"\naudience = \"a\"\njwks_file = \"none.json\"", "jwks_file", "none.json"),
    (
        "issuer = \"i\"\naudience = \"a\"\njwks_file = \"empty.json\"",
        "jwks_file",
        "no key can verify",
    ),
    (
        "issuer = \"i\"\naudience = \"a\"\njwks_file = \"malformed.json\"",
        "jwks_file",
        "not a JWK set",
    ),
    (
        "issuer = \"i\"\naudience = \"a\"\njwks_file = \"short.json\"",
        "jwks_file",
        "32 bytes for HS256",
    ),
    (
        "issuer = \"i\"\naudience = \"a\"\njwks_url = \"http://issuer.example/k\"",
        "jwks_url",
        "https",
    ),
    ("issuer = \"i\"\naudience = \"a\"\njwks_url = \"keys.json\"", "jwks_url", "https"),
    ("issuer = \"http://i.example\"\naudience = \"a\"\ndiscovery = true", "issuer", "https"),
    ("issuer = \"https://i.example?a\"\naudience = \"a\"\ndiscovery = true", "issuer", "query"),
    (
        "issuer = [\"https://a.example\", \"https://b.example\"]\naudience = \"a\"\ndiscovery = true",
        "discovery",
        "`issuers`",
    ),
    (
        "issuer = \"i\"\naudience = \"a\"\njwks_file = \"jwks.json\"\npem_map = true",
        "jwks_file",
        "as `pem_map` requires",
    ),
    (
        "issuer = \"i\"\naudience = \"a\"\njwks_file = \"pem-map.json\"",
        "jwks_file",
        "requires `pem_map`",
    ),
    (
        "issuer = \"i\"\naudience = \"a\"\njwks_file = \"pem-map.json\"\npem_map = true",
        "jwks_file",
        "no key can verify",
    ),
    (
        "issuer = \"i\"\naudience = \"a\"\ndiscovery_url = \"http://issuer.example/m\"",
        "discovery_url",
        "https URL",
    ),
    ("$BEARERdiscovery_url = \"https://issuer.example/m\"", "jwks_file", "`discovery_url`"),
    ("$BEARERjwks_url = \"https://issuer.example/k\"", "jwks_file", "`discovery`"),
    ("$BEARERdangerous_any_audience = true", "dangerous_any_audience", "`audience`"),
    (
        "issuer = \"i\"\ndangerous_any_audience = true\njwks_file = \"jwks.json\"\naudience_from = \"client_id\"",
        "audience_from",
        "`audience`",
    ),
    ("$BEARERaudience_from = \"iss\"", "audience_from", "audience"),
    ("$BEARERaudience_from = []", "audience_from", "empty"),
    ("$BEARERalgorithms = [\"RS257\"]", "algorithms[0]", "expected one of `HS256`"),
    ("$BEARERalgorithms = []", "algorithms", "at least one"),
    ("$BEARERalgorithms = [\"RS256\"]", "jwks_file", "no key can verify"),
    ("$BEARERleeway_seconds = 301", "leeway_seconds", "300 s"),
    ("$BEARERleeway_seconds = \"1\"", "leeway_seconds", "whole number"),
    ("$BEARERtyp = []", "typ", "empty"),
    ("$BEARERtyp = [\"JWT\", \"\"]", "typ", "empty"),
    ("$BEARERtyp = \"JWT\"\ntyp_if_present = \"JWT\"", "typ_if_present", "`typ`"),
    ("$BEARERmax_token_bytes = -1", "max_token_bytes", "not negative"),
    ("$BEARERmax_token_bytes = 65537", "max_token_bytes", "from 1 to 65536"),
    ("$BEARERsubject_from = \"aud\"", "subject_from", "`client_id`"),
    ("$BEARERsubject_from = \"\"", "subject_from", "empty"),
    ("$BEARERscopes_from = \"sub\"", "scopes_from", "registered"),
    ("$BEARERsubject_from = \"a\"\nscopes_from = \"a\"", "scopes_from", "subject"),
    ("$BEARERscopes_from_all = [\"a\", \"exp\"]", "scopes_from_all", "registered"),
    ("$BEARERscopes_from = \"a\"\nscopes_from_all = \"b\"", "scopes_from_all", "`scopes_from`"),
    ("$BEARERrequired_claims = []", "required_claims", "empty"),
    ("$BEARERrequired_values = { a = [] }", "required_values", "value"),
    ("$BEARERrequired_values = { \"\" = \"a\" }", "required_values", "claims"),
    ("$BEARERrequired_values = { a = 1 }", "required_values.a", "a string or a list of strings"),
    (
        "$BEARERdangerous_accept_numeric_subject = 1",
        "dangerous_accept_numeric_subject",
        "a boolean",
    ),
    ("$BEARERresource_metadata = \"/metadata\"", "resource_metadata", "https URL"),
    ("$BEARERresource_metadata = \"https://a.example/\\u0007\"", "resource_metadata", "https URL"),
    ("$BEARERcache = {}", "cache", "missing field `max_bytes`"),
    ("$BEARERjwks = { refresh_seconds = 1 }", "jwks", "`jwks_url`"),
    ("$LIVEjwks = { refresh_seconds = 0 }", "jwks.refresh_seconds", "from 1 to 86400"),
    ("$LIVEjwks = { cooldown_seconds = 86401 }", "jwks.cooldown_seconds", "from 1 to 86400"),
    ("$LIVEjwks = { timeout_seconds = 61 }", "jwks.timeout_seconds", "from 1 to 60"),
    ("$LIVEjwks = { max_stale_seconds = 604801 }", "jwks.max_stale_seconds", "to 604800"),
    ("audience = \"a\"\nissuers = [{ jwks_file = \"jwks.json\" }]", "issuers[0].issuer", "`iss`"),
    ("$BEARERissuers = [{}, {}]", "issuers[1].issuer", "same issuer"),
    ("$BEARERissuers = [{ issuers = [{}] }]", "issuers[0].issuers", "nested"),
    ("$BEARERissuers = [[\"i\"]]", "issuers[0]", "expected a table, but found a list"),
    ("$BEARERissuers = [{ issuer = 1 }]", "issuers[0].issuer", "a string or a list of strings"),
];

const REQUIRE: &[(&str, &str, &str)] = &[
    ("", "require", "is empty"),
    ("all_scopes = []", "require.all_scopes", "no scope"),
    ("any_scopes = [\"a b\"]", "require.any_scopes", "separate item"),
    ("roles = []", "require.roles", "at least one role"),
    ("roles = [\"\"]", "require.roles", "at least one role"),
    ("roles_claim = \"x\"", "require.roles_claim", "`roles`"),
    ("claim = { a = [] }", "require.claim.\"a\"", "empty"),
    ("claim = { a = { b = 1 } }", "require.claim.\"a\"", "a string, a number"),
    ("acr = \"a b\"", "require.acr", "separate item"),
    ("acr = []", "require.acr", "at least one"),
    ("max_age_seconds = -1", "require.max_age_seconds", "not negative"),
    ("max_age_seconds = 0", "require.max_age_seconds", "below 1 s"),
];

const HEADERS: &[(&str, &str, &str)] = &[
    ("[profiles.p.headers]\nsubject = \"a b\"", "headers.subject", "name of a header"),
    ("[profiles.p.headers]\nissuer = \"Content-Length\"", "headers.issuer", "does not define"),
    ("[profiles.p.headers]\nsubject = \"a\"\nscopes = \"A\"", "headers.scopes", "only once"),
    ("[profiles.p.headers]\nclaims = { a = \"\" }", "headers.claims.\"a\"", "name of a header"),
    ("[profiles.p.preflight]", "preflight", "missing field `method_header`"),
    ("[profiles.p.preflight]\nmethod_header = \":\"", "preflight.method_header", "header"),
];

const VALID_BEARER: &str = "issuer = \"i\"\naudience = \"a\"\njwks_file = \"jwks.json\"\n";
const VALID_LIVE: &str = "issuer = \"i\"\naudience = \"a\"\njwks_url = \"https://127.0.0.1:1/\"\n";

#[test]
fn invalid_configuration_exits_with_one_line_that_names_the_setting() {
    let dir = tempfile::tempdir().unwrap();
    write_files(dir.path());
    let profile = "listen = \"127.0.0.1:0\"\n[profiles.p]\n";
    let bearer = format!("{profile}[profiles.p.bearer]\n");
    let tables = [
        (String::new(), "", TOP_LEVEL),
        (profile.into(), "profiles.p.", PROFILE),
        (format!("{profile}realm = \"r\"\n[profiles.p.basic]\n"), "profiles.p.basic.", BASIC),
        (bearer.clone(), "profiles.p.bearer.", BEARER),
        (format!("{bearer}{VALID_BEARER}[profiles.p.require]\n"), "profiles.p.", REQUIRE),
        (format!("{bearer}{VALID_BEARER}"), "profiles.p.", HEADERS),
    ];
    let keys = known_keys();
    let mut failures = String::new();
    for (start, prefix, faults) in tables {
        for (lines, key, text) in faults {
            let lines = lines.replace("$BEARER", VALID_BEARER).replace("$LIVE", VALID_LIVE);
            let error = error_of(dir.path(), &format!("{start}{lines}"));
            if !error.starts_with(&format!("{prefix}{key}: ")) || !error.contains(text) {
                failures += &format!("{lines:?}\n  {prefix}{key}: {text}\n  {error}\n");
            }
            for word in error.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
                if word.contains('_') && !keys.contains(word) {
                    failures += &format!("{lines:?}: {word} is not a key\n  {error}\n");
                }
            }
            for rust in ["::", "()", "call ", "struct ", "enum", "Jwt", "u64", "OneOrMany"] {
                if error.contains(rust) {
                    failures += &format!("{lines:?}: {rust}\n  {error}\n");
                }
            }
        }
    }
    assert!(failures.is_empty(), "{failures}");
}

/// The words with `_` that README.md mentions, which are keys.
fn known_keys() -> BTreeSet<String> {
    let readme = readme::text();
    let words = readme.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.contains('_')).map(str::to_owned).collect()
}

#[test]
fn missing_file_exits_with_one_line_that_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing.toml");
    let (errors, success) = Program::start(PROGRAM, &[missing.to_str().unwrap()]).wait();
    assert!(!success && errors.contains("missing.toml"), "{errors}");
    assert_eq!(errors.lines().count(), 1, "{errors}");
}
