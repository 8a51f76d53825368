//! nginx in front of a server.

use std::{
    fs,
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{program::free_port, skip};

/// A running nginx. Dropping it ends the process.
pub struct Nginx {
    pub address: String,
    child: Child,
    _dir: TempDir,
}

impl Nginx {
    /// Starts nginx with this `server` block, in which `ADDRESS` stands for the address of
    /// [`address`](Self::address). Returns `None` and reports that the test is skipped if nginx is
    /// not installed.
    pub fn start(server: &str) -> Option<Self> {
        let version = Command::new("nginx").arg("-v").output();
        if !version.is_ok_and(|output| output.status.success()) {
            skip("nginx is not installed: ci/setup installs it");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let address = format!("127.0.0.1:{}", free_port());
        let file = dir.path().join("nginx.conf");
        fs::write(&file, config(dir.path(), &server.replace("ADDRESS", &address))).unwrap();
        let mut command = Command::new("nginx");
        command.args(["-e", "stderr", "-c"]).arg(file);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(&address).is_err() {
            assert!(Instant::now() < deadline, "nginx did not start");
            thread::yield_now();
        }
        Some(Self { address, child, _dir: dir })
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns a configuration with these blocks, for one process that writes only in this folder.
pub fn config(dir: &Path, blocks: &str) -> String {
    let prefix = dir.display();
    format!(
        "daemon off; master_process off; pid {prefix}/pid; error_log stderr;
         events {{}}
         http {{
             access_log off;
             client_body_temp_path {prefix}/1; proxy_temp_path {prefix}/2;
             fastcgi_temp_path {prefix}/3; uwsgi_temp_path {prefix}/4;
             scgi_temp_path {prefix}/5;
             {blocks}
         }}"
    )
}
