//! A renewed certificate is served, told and measured without a restart.

mod support;

use std::fs;
use std::path::Path;

use support::{Backend, Sidegate, ask, eventually};

/// A self-signed certificate for `home.example` that ends in that year.
fn write_pair(folder: &Path, year: i32) {
    use std::os::unix::fs::PermissionsExt;
    let mut params = rcgen::CertificateParams::new(vec!["home.example".into()]).expect("a DNS name");
    params.not_after = rcgen::date_time_ymd(year, 1, 1);
    let key = rcgen::KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("is signed");
    // Key first: between the two writes the pair does not fit, which must change nothing.
    for (name, text) in [("home.key", key.serialize_pem()), ("home.pem", certificate.pem())] {
        let fresh = folder.join("fresh");
        fs::write(&fresh, text).expect("is written");
        fs::set_permissions(&fresh, fs::Permissions::from_mode(0o600)).expect("is private");
        fs::rename(&fresh, folder.join(name)).expect("is renamed");
    }
}

/// A server with the pair of that folder.
fn serve(backend: &Backend, folder: &Path) -> Sidegate {
    let port = support::free_port();
    let pair = format!(
        "{{ cert = \"{0}/home.pem\", key = \"{0}/home.key\" }}",
        folder.display()
    );
    Sidegate::in_front_of(
        backend,
        &format!("[tls]\nlisten = [\"127.0.0.1:{port}\"]\ncertificates = [{pair}]\n"),
    )
}

// "certificates reload when their files change"
#[test]
fn a_renewed_certificate_is_told_in_the_log_and_in_the_metrics() {
    let backend = Backend::start();
    let folder = tempfile::tempdir().expect("a folder");
    write_pair(folder.path(), 2090);
    let gate = serve(&backend, folder.path());
    let expiry = || {
        let page = ask(gate.operations, b"GET /metrics HTTP/1.1\r\nHost: o\r\n\r\n").expect("is answered");
        let line = page
            .lines()
            .find(|line| line.starts_with("sidegate_certificate_expiry_timestamp_seconds{"));
        line.and_then(|line| line.rsplit_once(' '))
            .and_then(|(_, value)| value.parse::<f64>().ok())
    };
    assert_eq!(expiry(), Some(3_786_912_000.0), "2090-01-01");
    gate.await_log("valid until 2090-01-01");

    write_pair(folder.path(), 2091);
    gate.await_log("valid until 2091-01-01");
    eventually(|| expiry() == Some(3_818_448_000.0), || format!("{:?}", expiry()));
}

// A warning about what browsers refuse belongs where the operator looks first.
#[test]
fn an_expired_certificate_is_served_and_told() {
    let backend = Backend::start();
    let folder = tempfile::tempdir().expect("a folder");
    write_pair(folder.path(), 2001);
    let gate = serve(&backend, folder.path());
    gate.await_log("the certificate expired at 2001-01-01");
}
