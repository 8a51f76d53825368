//! Errors of configurations that contain a secret in the wrong place.

use crate::configuration::{error_of, write_files};

#[test]
fn secrets_are_in_no_error() {
    const SECRET: &str = "hunter2-hunter2";
    let dir = tempfile::tempdir().unwrap();
    write_files(dir.path());
    // A secret of the wrong type, in the wrong place, or in a file.
    let values = [
        "\"S\"",
        "[\"S\"]",
        "[[\"S\"]]",
        "[\"alice\", \"S\"]",
        "[[\"alice\", \"S\", 1]]",
        "[[[\"alice\", \"S\"]]]",
        "{ alice = \"S\" }",
        "[{ name = \"alice\", password = \"S\" }]",
        "[[\"alice\", { password = \"S\" }]]",
        "[[\"S:\", \"alice\"]]",
        "[[\"a\", \"S\\u0000\"]]",
        "[[\"S\", \"a\"], [\"S\", \"b\"]]",
        "[[\"alice\", \"S]]",
        "[[\"alice\", S]]",
        "[[\"alice\", \"S\"]",
        "[[\"alice\" \"S\"]]",
        "[[alice, \"S\"]]",
        "\"\"\"S",
        "'S",
        "S",
        "[[\"alice\", \"S, expected a list\"], 1]",
        "[\"`S`, expected x\"]",
        "\"a, expected `S`, expected x\"",
        "\"a\\nb S\"",
        "[[\"alice\", \"\\x S\"]]",
        "[[\"alice\", \"S\\uD800\"]]",
    ];
    let keys = [
        ("profiles.p.basic", "users"),
        ("profiles.p.basic", "htpasswd"),
        ("profiles.p.basic", "insecure_hashes"),
        ("profiles.p.basic", "throttle"),
        ("profiles.p", "basic"),
        ("profiles.p", "errors"),
        ("profiles.p", "challenges"),
        ("profiles.p.bearer", "algorithms"),
        ("profiles.p.bearer", "issuers"),
        ("profiles.p.bearer", "resource_metadata"),
        ("profiles.p.bearer", "jwks"),
    ];
    for (table, key) in keys {
        for value in values {
            let config = format!(
                "listen = \"127.0.0.1:0\"\n[{table}]\n{key} = {}\n",
                value.replace('S', SECRET)
            );
            let error = error_of(dir.path(), &config);
            // A path is not a secret.
            let is_path = key == "htpasswd" && value == "\"S\"";
            assert!(!error.contains("hunter2") || is_path, "{config}\n{error}");
        }
    }
    // URLs with a password or a key.
    let base = "listen = \"127.0.0.1:0\"\n[profiles.p.bearer]\naudience = \"a\"\n";
    for lines in [
        "issuer = \"https://u:hunter2@issuer.example\"\ndiscovery = true",
        "issuer = \"https://issuer.example?key=hunter2\"\ndiscovery = true",
        "issuer = \"i\"\njwks_url = \"https://u:hunter2@issuer.example\"",
        "issuer = \"i\"\njwks_url = \"http://issuer.example?key=hunter2\"",
        "issuer = \"i\"\njwks_file = \"jwks.json\"\nresource_metadata = \"u:hunter2@issuer.example\"",
    ] {
        let error = error_of(dir.path(), &format!("{base}{lines}"));
        assert!(!error.contains("hunter2"), "{error}");
    }
    for file in ["plain", "no-colon", "unknown-kind"] {
        let config = format!(
            "listen = \"127.0.0.1:0\"\n[profiles.p]\nrealm = \"r\"\n[profiles.p.basic]\nhtpasswd = \"{file}\"\n"
        );
        let error = error_of(dir.path(), &config);
        assert!(!error.contains("hunter2"), "{error}");
    }
}
