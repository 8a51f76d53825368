//! Keys and certificates that the program `openssl` creates.

use std::{path::PathBuf, process::Command};

use tempfile::TempDir;

use crate::{skip, token::Signer};

/// The program `openssl`, which runs in a temporary folder.
pub struct OpenSsl(TempDir);

impl OpenSsl {
    /// Returns `None` and reports that the test is skipped if the program is not installed.
    pub fn find() -> Option<Self> {
        if Command::new("openssl").arg("version").output().is_err() {
            skip("openssl is not installed");
            return None;
        }
        Some(Self(tempfile::tempdir().unwrap()))
    }

    /// Returns the path of a file in the temporary folder.
    pub fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    /// Runs a command and returns its output.
    ///
    /// # Panics
    ///
    /// If the command fails.
    pub fn run(&self, arguments: &str) -> Vec<u8> {
        let mut command = Command::new("openssl");
        let command = command.args(arguments.split_whitespace()).current_dir(self.0.path());
        let output = command.output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openssl {arguments}: {errors}");
        output.stdout
    }

    /// Like [`run`](Self::run), for a command whose output is text, such as PEM.
    pub fn text(&self, arguments: &str) -> String {
        String::from_utf8(self.run(arguments)).unwrap()
    }

    /// Generates a private key in this file. `kind` is the value of `-algorithm`, with options.
    pub fn generate(&self, file: &str, kind: &str) {
        self.run(&format!("genpkey -out {file} -algorithm {kind}"));
    }

    /// Returns a self-signed certificate of the private key in this file.
    pub fn certificate(&self, file: &str) -> String {
        self.text(&format!("req -x509 -new -key {file} -subj /CN=issuer.example -days 2"))
    }

    /// Returns a signer with the private key in this file.
    pub fn signer(&self, algorithm: &'static str, file: &str) -> Signer {
        let der = self.run(&format!("pkcs8 -topk8 -nocrypt -in {file} -outform DER"));
        Signer::from_pkcs8(algorithm, &der)
    }
}
