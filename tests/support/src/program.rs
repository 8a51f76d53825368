//! Runs a program as a child process and kills it when the test ends.

use std::{
    ffi::OsStr,
    io::{BufRead, BufReader},
    net::TcpListener,
    path::PathBuf,
    process::{Child, ChildStderr, ChildStdout, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::skip;

/// The options with which Chromium prints a page after its scripts have run.
pub const CHROMIUM_OPTIONS: [&str; 9] = [
    "--headless",
    "--no-sandbox", // needed in CI, which runs as root
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--no-proxy-server",
    "--virtual-time-budget=10000",
    "--dump-dom",
];

/// A running program. Dropping it kills the process.
pub struct Program {
    child: Child,
    out: BufReader<ChildStdout>,
    errors: Arc<Mutex<String>>,
    /// Reads standard error, so that a program that logs much is not blocked.
    reader: Option<JoinHandle<()>>,
}

impl Program {
    /// Starts the program at this path.
    pub fn start(path: impl AsRef<OsStr>, args: &[&str]) -> Self {
        Self::start_with_env(path, args, &[])
    }

    /// Starts the program with these environment variables in addition to those of the test.
    pub fn start_with_env(path: impl AsRef<OsStr>, args: &[&str], env: &[(&str, &str)]) -> Self {
        let mut child = Command::new(path)
            .args(args)
            .envs(env.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let errors = Arc::default();
        let reader = read_errors(child.stderr.take().unwrap(), Arc::clone(&errors));
        Self { child, out, errors, reader: Some(reader) }
    }

    /// Starts an example of the package under test. `cargo test` builds the examples before it runs
    /// the tests.
    pub fn start_example(name: &str, args: &[&str]) -> Self {
        Self::start(example_path(name), args)
    }

    /// Returns the id of the process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Reads the next line of standard output. Returns `None` at its end.
    pub fn read_line(&mut self) -> Option<String> {
        let mut line = String::new();
        match self.out.read_line(&mut line).unwrap() {
            0 => None,
            _ => Some(line.trim_end().to_owned()),
        }
    }

    /// Reads the line `listening on http://ADDRESS`, or with `https`, and returns the address.
    pub fn address(&mut self) -> String {
        let line = self.read_line().unwrap_or_else(|| panic!("no address: {}", self.errors()));
        let url = line.strip_prefix("listening on ").unwrap_or_else(|| panic!("{line}"));
        let address = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
        address.unwrap_or_else(|| panic!("{line}")).to_owned()
    }

    /// Waits for the process to exit. Returns its standard error and whether it succeeded.
    pub fn wait(mut self) -> (String, bool) {
        let success = self.child.wait().unwrap().success();
        (self.errors(), success)
    }

    /// Kills the process and returns its standard error.
    pub fn kill(mut self) -> String {
        let _ = self.child.kill();
        self.errors()
    }

    /// Waits until standard error contains this text, and returns what was written until then.
    ///
    /// # Panics
    ///
    /// If the text does not appear within 20 seconds.
    pub fn wait_for_error(&self, text: &str) -> String {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let errors = self.errors.lock().unwrap().clone();
            if errors.contains(text) {
                return errors;
            }
            assert!(Instant::now() < deadline, "{text:?} is not in {errors}");
            thread::yield_now();
        }
    }

    /// Returns standard error of a program that has ended.
    fn errors(&mut self) -> String {
        let _ = self.child.wait();
        self.reader.take().unwrap().join().unwrap();
        self.errors.lock().unwrap().clone()
    }
}

fn read_errors(errors: ChildStderr, to: Arc<Mutex<String>>) -> JoinHandle<()> {
    thread::spawn(move || {
        let mut errors = BufReader::new(errors);
        let mut line = Vec::new();
        while errors.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
            to.lock().unwrap().push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    })
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns a port for a program that cannot choose a free one itself.
///
/// The ports are below those that the system assigns, so that no connection of another test takes
/// one before the program listens on it.
pub fn free_port() -> u16 {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    loop {
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let count = std::process::id().wrapping_mul(50).wrapping_add(count);
        let port = u16::try_from(20_000 + count % 10_000).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Runs the lines that a program prints after its address in one shell, and compares the status of
/// each `curl` with the one at the end of its line. The other lines set variables. Needs `sh` and
/// `curl`.
pub fn run_curl_lines(mut program: Program, lines: usize) {
    const END: &str = "end of the response";
    if Command::new("curl").arg("--version").output().is_err() {
        skip("curl is not installed");
        return;
    }
    program.address();
    let lines: Vec<_> = (0..lines).map(|_| program.read_line().unwrap()).collect();
    let mut expected = Vec::new();
    let mut script = String::new();
    for line in &lines {
        script.push_str(line);
        if let Some((command, status)) = line.rsplit_once(" # ") {
            assert!(command.starts_with("curl "), "{line}");
            expected.push((line, status));
            script.push_str(&format!("\necho '{END}'"));
        }
        script.push('\n');
    }
    assert!(!expected.is_empty());
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    let output = String::from_utf8(output.stdout).unwrap();
    let responses: Vec<_> = output.split_terminator(&format!("{END}\n")).collect();
    assert_eq!(responses.len(), expected.len(), "{output}");
    for (response, (line, status)) in responses.iter().zip(expected) {
        assert_eq!(response.split(' ').nth(1), Some(status), "{line}\n{response}");
    }
}

/// Returns the path of a built example: tests are in `target/PROFILE/deps`, examples in
/// `target/PROFILE/examples`.
fn example_path(name: &str) -> PathBuf {
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    path.pop();
    path.push("examples");
    path.push(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    assert!(path.exists(), "{} is not built: run `cargo build --examples` first", path.display());
    path
}
