//! Real gateways: nginx, Traefik, Caddy, Envoy and HAProxy, as `tests/gateways/install` puts them there.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

/// A running gateway.
pub struct Gateway {
    name: &'static str,
    child: Child,
    folder: tempfile::TempDir,
}

impl Gateway {
    /// Starts the program with this configuration, which listens on that port.
    pub fn start(name: &'static str, port: u16, configuration: &str, lua: Option<&str>) -> Self {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let mut command = command(name, port, configuration, lua, folder.path());
        let child = spawn(name, &mut command, folder.path());
        Self { name, child, folder }
    }

    /// What it wrote.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- log of {} ---\n{}", self.name, self.log());
        }
    }
}

/// Below those that the system gives to clients: gateways listen on every address, and any
/// connection of this machine could have taken such a port.
pub fn port_of_every_address() -> u16 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let start = u64::from(std::process::id()) * 16;
    loop {
        let next = 20_000 + (start + NEXT.fetch_add(1, Ordering::SeqCst)) % 10_000;
        let port = u16::try_from(next).expect("below 30000");
        if TcpListener::bind(("0.0.0.0", port)).is_ok() {
            return port;
        }
    }
}

/// Writes the configuration there; how to start the program with it.
pub fn command(name: &str, port: u16, configuration: &str, lua: Option<&str>, folder: &Path) -> Command {
    let write = |file: &str, text: &str| {
        let path = folder.join(file);
        std::fs::write(&path, text).expect("a file can be written");
        path
    };
    match name {
        "nginx" => {
            write("home.conf", configuration);
            let paths: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
                .iter()
                .map(|kind| format!("{kind}_temp_path {}/{kind};\n", folder.display()))
                .collect();
            let whole = format!(
                "daemon off;\nmaster_process off;\npid {0}/pid;\nerror_log stderr;\nevents {{}}\nhttp {{\naccess_log \
                 off;\n{paths}include {0}/home.conf;\n}}\n",
                folder.display()
            );
            let mut command = Command::new(program("nginx"));
            command
                .arg("-c")
                .arg(write("nginx.conf", &whole))
                .arg("-p")
                .arg(folder);
            command
        }
        "traefik" => {
            // What belongs to the static configuration stands behind "#!".
            let flags = configuration.lines().filter_map(|line| line.strip_prefix("#! "));
            let mut command = Command::new(program("traefik"));
            command
                .args(flags)
                .arg(format!("--entrypoints.web.address=127.0.0.1:{port}"))
                .arg(format!(
                    "--providers.file.filename={}",
                    write("sidegate.yml", configuration).display()
                ));
            command
        }
        "caddy" => {
            write("home.Caddyfile", configuration);
            let whole = write("Caddyfile", "{\n\tadmin off\n}\nimport home.Caddyfile\n");
            let mut command = Command::new(program("caddy"));
            command
                .args(["run", "--adapter", "caddyfile", "--config"])
                .arg(whole);
            command
        }
        "envoy" => {
            let mut command = Command::new(program("envoy"));
            command
                .args([
                    "--use-dynamic-base-id",
                    "--concurrency",
                    "1",
                    "--log-level",
                    "warn",
                    "--config-path",
                ])
                .arg(write("sidegate.yaml", configuration));
            command
        }
        "haproxy" => {
            write("sidegate.lua", lua.expect("HAProxy asks from Lua"));
            let mut command = Command::new(program("haproxy"));
            command
                .arg("-db")
                .arg("-f")
                .arg(write("haproxy.cfg", configuration));
            command
        }
        other => panic!("no gateway is called {other}"),
    }
}

/// Starts it there; what it says goes to the file `log`.
pub fn spawn(name: &str, command: &mut Command, folder: &Path) -> Child {
    let log = std::fs::File::create(folder.join("log")).expect("a file can be written");
    command
        .current_dir(folder)
        .env("HOME", folder)
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a file can be shared"))
        .stderr(log)
        .spawn()
        .unwrap_or_else(|error| panic!("{name}: {error}; run tests/gateways/install"))
}

/// Where `tests/gateways/install` put it, or the system.
pub fn program(name: &str) -> PathBuf {
    let installed = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("target/gateways/bin")
        .join(name);
    let system = Path::new("/usr/sbin").join(name);
    [installed, system]
        .into_iter()
        .find(|path| path.exists())
        .unwrap_or_else(|| name.into())
}
