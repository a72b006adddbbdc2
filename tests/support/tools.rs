//! Other people's programs that tests run: nginx, Node.js, systemd's tools.

use std::process::{Command, Stdio};

/// Whether the tool is there. On CI it must be; elsewhere its test says what to install, and ends.
pub fn is_there(what: &str, package: &str, probe: &mut Command) -> bool {
    let found = probe
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !found {
        let advice = format!("{what} is not here; install it: apt-get install {package}");
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{advice}");
        eprintln!("NOT TESTED: {advice}");
    }
    found
}
