//! Runs an example program, and stops it at the end.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::PathBuf,
    process::{Child, ChildStdout, Command, Stdio},
};

use super::token::Signer;

pub struct Program {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Program {
    /// Starts `cargo run --example NAME -- ARGS`, which `cargo test` has built.
    pub fn start(name: &str, args: &[&str]) -> Self {
        let mut child = Command::new(path(name))
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Self { child, out }
    }

    /// Starts `forward_auth` with this configuration, beside a `jwks.json` that holds the signer's key, and
    /// gives the address at which it listens.
    pub fn forward_auth(config: &str, signer: &Signer) -> (Self, String) {
        let dir = tempfile::tempdir().unwrap();
        let jwks = serde_json::json!({ "keys": [signer.jwk()] });
        fs::write(dir.path().join("jwks.json"), jwks.to_string()).unwrap();
        let path = dir.path().join("config.toml");
        fs::write(&path, config).unwrap();
        let mut program = Self::start("forward_auth", &[path.to_str().unwrap()]);
        let address = program.address();
        (program, address)
    }

    /// The next line that it prints.
    pub fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        match self.out.read_line(&mut line).unwrap() {
            0 => None,
            _ => Some(line.trim_end().to_owned()),
        }
    }

    /// The address in its line `listening on http://ADDRESS`.
    pub fn address(&mut self) -> String {
        let line = self.line().unwrap_or_else(|| panic!("it did not listen: {}", self.errors()));
        line.strip_prefix("listening on http://").unwrap_or_else(|| panic!("{line}")).to_owned()
    }

    /// Waits for its end, and gives what it said on standard error, and whether it succeeded.
    pub fn end(mut self) -> (String, bool) {
        let success = self.child.wait().unwrap().success();
        (self.errors(), success)
    }

    /// Ends it, and gives what it said on standard error.
    pub fn stop(mut self) -> String {
        let _ = self.child.kill();
        self.errors()
    }

    fn errors(&mut self) -> String {
        let mut text = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
        text
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Tests are in `target/PROFILE/deps`, examples in `target/PROFILE/examples`.
fn path(name: &str) -> PathBuf {
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    path.pop();
    path.push("examples");
    path.push(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    assert!(path.exists(), "{} is not built: run `cargo build --examples` first", path.display());
    path
}
