//! What a gateway does while Sidegate cannot tell, hangs, or is not there.

use super::*;

// Where Lua fails HAProxy goes on with the request.
#[test]
#[ignore = "needs HAProxy: run tests/gateways/install first"]
fn a_lua_that_fails_lets_nobody_pass() {
    let tested = Tested::begin("haproxy", SETTINGS, "gate.test", |place| {
        let app = format!("http://{}", place.app);
        let host = format!("gate.test:{}", place.port);
        let always = ["snippet", "haproxy", "--host", &host, "--app", &app];
        let printed = place.gate.cli(&always).success().stdout;
        let lua = place.gate.cli(&["snippet", "haproxy", "--lua"]).success().stdout;
        let begins = "core.register_action(\"sidegate\", { \"http-req\" }, function(txn)\n";
        assert!(lua.contains(begins), "{lua}");
        let fails =
            format!("{begins}    if txn.f:path() == \"/public/fail\" then error(\"as it may\") end\n");
        place.write("sidegate.lua", &lua.replace(begins, &fails));
        let mut command = Command::new(program("haproxy"));
        command
            .arg("-db")
            .arg("-f")
            .arg(place.write("haproxy.cfg", &printed));
        place.spawn("haproxy", &mut command)
    });
    let bob = format!("Authorization: Bearer {}", tested.bob);
    for lines in [&[][..], &[&*bob]] {
        assert_eq!(tested.send("GET", "/public", lines).status, 200);
        tested.backend.take();
        assert_eq!(tested.send("GET", "/public/fail", lines).status, 503);
        assert!(tested.backend.take().is_empty());
    }
}

impl Tested {
    // Section 6, "our fault": 403 at nginx and Envoy, 503 elsewhere; section 1: "503 on decision endpoints says why
    // in its header"
    pub(super) fn without_an_owner_nobody_passes_and_programs_are_told_why(&self) {
        let (status, why) = match self.name {
            // Of a refusal nginx passes nothing on.
            "nginx" => (403, None),
            "envoy" => (403, Some("no-owner-yet")),
            _ => (503, Some("no-owner-yet")),
        };
        for lines in [&[][..], &["Sec-Fetch-Mode: navigate"]] {
            let answer = self.send("GET", "/", lines);
            assert_eq!(answer.status, status, "{lines:?}: {answer:?}");
            assert_eq!(answer.header("x-auth-error"), why, "{lines:?}");
        }
        assert!(self.backend.take().is_empty());
    }

    // Section 6.5: "Our own fault never allows"; 1.2: fail-open
    pub(super) fn while_there_is_no_answer_nobody_passes(&mut self) {
        // One that hangs is given up in time: Traefik waits for half a minute.
        let pid = self.gate.pid().to_string();
        self.gate.signal("STOP");
        eventually(|| has_stopped(&pid), || "it does not stop".into());
        let mut stream = connect(self.address);
        stream.set_read_timeout(Some(PATIENCE * 2)).unwrap();
        let head = format!(
            "GET /public HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            self.host()
        );
        stream.write_all(head.as_bytes()).unwrap();
        let begun = std::time::Instant::now();
        let answer = Answer::read(&mut stream);
        eprintln!(
            "{} answers {} for a Sidegate that hangs, after {:?}",
            self.name,
            answer.status,
            begun.elapsed()
        );
        assert!((500..600).contains(&answer.status), "{answer:?}");
        let continued = Command::new("kill").args(["-CONT", &pid]).status();
        assert!(continued.unwrap().success());
        assert!(self.backend.take().is_empty());

        self.gate.kill();
        self.nobody_passes();
        self.gate.restart();
        let bob = format!("Authorization: Bearer {}", self.bob);
        eventually(
            || self.send("GET", "/", &[&bob]).status == 200,
            || format!("{} does not find it again", self.name),
        );
        self.backend.take();
        // Stopped in good order, it is as gone.
        self.gate.signal("TERM");
        self.gate.wait();
        self.nobody_passes();
    }

    fn nobody_passes(&self) {
        let bob = format!("Authorization: Bearer {}", self.bob);
        let ways = [vec![&*bob], vec![], vec!["Sec-Fetch-Mode: navigate"]];
        // At the same time: HAProxy tries for seconds.
        std::thread::scope(|scope| {
            for (path, lines) in ["/", "/public", "/cors/x"]
                .into_iter()
                .flat_map(|path| ways.iter().map(move |lines| (path, lines)))
            {
                scope.spawn(move || {
                    let answer = self.send("GET", path, lines);
                    assert!(
                        (500..600).contains(&answer.status),
                        "{path} {lines:?}: {answer:?}"
                    );
                });
            }
        });
        assert!(self.backend.take().is_empty());
    }
}

/// Whether every thread of it has.
fn has_stopped(pid: &str) -> bool {
    let stopped = |entry: std::fs::DirEntry| {
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // The name before it may hold anything but ends with the last parenthesis.
        stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" T"))
    };
    let mut tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    tasks.all(|entry| stopped(entry.unwrap()))
}
