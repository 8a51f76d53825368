//! Runs an example program, and stops it at the end.

use std::{
    ffi::OsStr,
    io::{BufRead, BufReader, Read},
    path::PathBuf,
    process::{Child, ChildStdout, Command, Stdio},
};

use crate::skip;

pub struct Program {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Program {
    /// Starts the program at this path.
    pub fn start(path: impl AsRef<OsStr>, args: &[&str]) -> Self {
        let mut child = Command::new(path)
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Self { child, out }
    }

    /// Starts an example of the package whose test calls this. `cargo test` builds the examples before it runs tests.
    pub fn start_example(name: &str, args: &[&str]) -> Self {
        Self::start(example(name), args)
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

/// Runs the `curl` lines that a program prints after its address, with a shell and the real curl, and compares each
/// status with the one that the line ends with.
pub fn run_curl_lines(mut program: Program, lines: usize) {
    if Command::new("curl").arg("--version").output().is_err() {
        skip("there is no curl on this machine");
        return;
    }
    program.address();
    for _ in 0..lines {
        let line = program.line().unwrap();
        let (command, status) = line.rsplit_once(" # ").unwrap();
        assert!(command.starts_with("curl "), "{line}");
        let output = Command::new("sh").args(["-c", &line]).output().unwrap();
        let answer = String::from_utf8(output.stdout).unwrap();
        assert_eq!(answer.split(' ').nth(1), Some(status), "{line}\n{answer}");
    }
}

/// Tests are in `target/PROFILE/deps`, examples in `target/PROFILE/examples`.
fn example(name: &str) -> PathBuf {
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    path.pop();
    path.push("examples");
    path.push(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    assert!(path.exists(), "{} is not built: run `cargo build --examples` first", path.display());
    path
}
