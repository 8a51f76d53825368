//! The proxies of README.md, each with its block of that page in front of the program.

use std::{
    fs,
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::json;
use tempfile::TempDir;
use tower_auth_test_support::{
    ROOT, nginx,
    program::{Program, free_port},
    raw::{self, RawResponse},
    skip,
    token::Signer,
};

use crate::{PROGRAM, readme, service};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proxy {
    Nginx,
    Traefik,
    Caddy,
}

/// The program with the configuration of README.md, a proxy in front of it, and the service behind
/// the proxy, which responds with the request that it gets.
pub struct Site {
    pub signer: Signer,
    pub program: Program,
    pub proxy: Proxy,
    /// The address of the proxy.
    pub address: String,
    _dir: TempDir,
    child: Child,
}

impl Site {
    /// Starts all three. Returns `None` if the proxy is not installed.
    pub fn start(proxy: Proxy) -> Option<Self> {
        Self::start_with(proxy, readme::block("toml"), readme::block(proxy.language()))
    }

    /// Like [`start`](Self::start), with changed blocks.
    pub fn start_with(proxy: Proxy, config: String, block: String) -> Option<Self> {
        let path = proxy.find()?;
        let dir = tempfile::tempdir().unwrap();
        let signer = Signer::generate("ES256", "1");
        let (program, forward_auth) = start_program(dir.path(), &config, &signer);
        let address = format!("127.0.0.1:{}", free_port());
        let block = block
            .replace("127.0.0.1:4180", &forward_auth)
            .replace("127.0.0.1:8000", &address)
            .replace("127.0.0.1:8080", &service::start());
        let child = proxy.start(&path, dir.path(), &address, &block);
        wait_for(&address);
        Some(Self { signer, program, proxy, address, _dir: dir, child })
    }

    pub fn get(&self, headers: &[(&str, &str)]) -> RawResponse {
        raw::get(&self.address, "/page", headers)
    }

    pub fn send(&self, method: &str, headers: &[(&str, &str)]) -> RawResponse {
        raw::send(&self.address, method, "/page", headers, "")
    }

    /// Sends a GET request from another loopback address.
    pub fn get_from(&self, client: &str, headers: &[(&str, &str)]) -> RawResponse {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let stream = runtime.block_on(async {
            let socket = tokio::net::TcpSocket::new_v4().unwrap();
            socket.bind(format!("{client}:0").parse().unwrap()).unwrap();
            socket.connect(self.address.parse().unwrap()).await.unwrap().into_std().unwrap()
        });
        stream.set_nonblocking(false).unwrap();
        raw::send_on(stream, "GET", "/page", headers, "")
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Proxy {
    pub const ALL: [Self; 3] = [Self::Nginx, Self::Traefik, Self::Caddy];

    /// Returns the language of the block in README.md.
    pub fn language(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Traefik => "yaml",
            Self::Caddy => "caddy",
        }
    }

    fn find(self) -> Option<PathBuf> {
        let (name, argument) = match self {
            Self::Nginx => ("nginx", "-v"),
            Self::Traefik => ("traefik", "version"),
            Self::Caddy => ("caddy", "version"),
        };
        // `ci/setup` installs Traefik with pip.
        let candidates =
            [PathBuf::from(name), Path::new(ROOT).join("target/python/bin").join(name)];
        let found = candidates.into_iter().find(|path| {
            let output = Command::new(path).arg(argument).output();
            output.is_ok_and(|output| output.status.success())
        });
        if found.is_none() {
            skip(&format!("{name} is not installed: ci/setup installs it"));
        }
        found
    }

    /// Starts the proxy with the block of README.md and what a test needs around it.
    fn start(self, path: &Path, dir: &Path, address: &str, block: &str) -> Child {
        let mut command = Command::new(path);
        match self {
            Self::Nginx => {
                let file = write(dir, "nginx.conf", &nginx::config(dir, block));
                command.args(["-e", "stderr", "-c", &file]);
            }
            Self::Traefik => {
                let file = write(dir, "traefik.yml", block);
                command.arg(format!("--entryPoints.web.address={address}"));
                command.arg(format!("--providers.file.filename={file}"));
                command
                    .args(["--global.checkNewVersion=false", "--global.sendAnonymousUsage=false"]);
            }
            Self::Caddy => {
                let config = format!("{{\n\tadmin off\n}}\n{block}");
                let file = write(dir, "Caddyfile", &config);
                command.args(["run", "--adapter", "caddyfile", "--config", &file]);
                command.env("HOME", dir).env("XDG_DATA_HOME", dir).env("XDG_CONFIG_HOME", dir);
            }
        }
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }
}

/// Starts the program with the files that the configuration of README.md names.
pub fn start_program(dir: &Path, config: &str, signer: &Signer) -> (Program, String) {
    write(dir, "jwks.json", &json!({ "keys": [signer.jwk()] }).to_string());
    // The hash of "secret", written by `htpasswd -B -C 4`.
    write(
        dir,
        "staff.htpasswd",
        "bob:$2y$04$HGPh6RsKaj7ZyTY2TiWdFOQIPUpqstDdIKTkRv9dJrJSVF31Bji6e\n",
    );
    let config = config.replace("127.0.0.1:4180", "127.0.0.1:0");
    let config = write(dir, "config.toml", &config);
    let mut program = Program::start(PROGRAM, &[&config]);
    let address = program.address();
    (program, address)
}

fn write(dir: &Path, name: &str, text: &str) -> String {
    let path = dir.join(name);
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Waits until the proxy listens and routes requests.
fn wait_for(address: &str) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect(address).is_err() || raw::get(address, "/page", &[]).status == 404 {
        assert!(Instant::now() < deadline, "the proxy did not start");
        thread::yield_now();
    }
}
