//! Requests that are large or odd, and nothing but right.

use super::*;

impl Tested {
    // Section 8: "matched with unreserved characters decoded, and forwarded as received"; "`%23`, `%3F` and a lone
    // `%25` are opaque (openHAB's own pages send them)"
    pub(super) fn a_path_arrives_as_it_was_sent(&self) {
        let bob = format!("Authorization: Bearer {}", self.bob);
        for target in [
            "/",
            "/?",
            "/a?b=c&d",
            "/a%20b",
            "/a+b",
            "/a%2Bb",
            "/a.b/..c/d../.e",
            "/~user/",
            "/a:b@c",
            "/a!b$c&d'e(f)g*h,i=j",
            "/%E2%82%AC",
            "/a%23b",
            "/a%3Fb",
            "/a%25",
            "/a%7Eb%41",
            "/a?b=%2F%00%2e%2e//;c",
            "/a?b=../../c",
            "/a?http://elsewhere.test/",
        ] {
            let answer = self.send("GET", target, &[&bob]);
            assert_eq!(answer.status, 200, "{target}: {answer:?}");
            // Traefik judges and forwards another spelling of the same path, and takes `;` for `&` as Go does.
            let expected = match (self.name, target) {
                ("traefik", "/a%7Eb%41") => "/a~bA",
                ("traefik", "/a?b=%2F%00%2e%2e//;c") => "/a?b=%2F%00%2e%2e//&c",
                _ => target,
            };
            assert_eq!(
                self.backend.take_one().line,
                format!("GET {expected} HTTP/1.1"),
                "{target}"
            );
        }
    }

    // An answer repeats the cookies, and no gateway may have less room for it than for the request.
    pub(super) fn a_long_head_arrives_whole_or_not_at_all(&self) {
        let bob = format!("Authorization: Bearer {}", self.bob);
        for count in [10, 60, 150, 400, 1500] {
            let pairs: Vec<String> = (0..count)
                .map(|number| format!("cookie-{number}={}", "v".repeat(30)))
                .collect();
            let pairs = pairs.join("; ");
            let line = format!("Cookie: {pairs}; sidegate=x");
            let answer = self.send("GET", "/", &[&bob, &line]);
            let arrived = self.backend.take();
            self.whole_or_refused(&line, &answer, &arrived, |received| {
                received.all("cookie").join("; ") == pairs
            });
        }
        for size in [1000, 7000, 12_000, 30_000, 60_000, 200_000] {
            let value = "v".repeat(size);
            let line = format!("X-Long: {value}");
            let answer = self.send("GET", "/", &[&bob, &line]);
            let arrived = self.backend.take();
            self.whole_or_refused(&line, &answer, &arrived, |received| {
                received.all("x-long") == [&value]
            });
        }
        // Many that are short.
        let lines: Vec<String> = (0..500).map(|number| format!("X-Short-{number}: v")).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).chain([&*bob]).collect();
        let answer = self.send("GET", "/", &lines);
        let arrived = self.backend.take();
        self.whole_or_refused(&"v".repeat(8000), &answer, &arrived, |received| {
            received
                .headers
                .iter()
                .filter(|(name, _)| name.to_ascii_lowercase().starts_with("x-short-"))
                .count()
                == 500
        });
    }

    fn whole_or_refused(
        &self,
        line: &str,
        answer: &Answer,
        arrived: &[Received],
        whole: impl Fn(&Received) -> bool,
    ) {
        let context = format!("{} bytes: {} {:?}", line.len(), answer.status, answer.headers);
        if answer.status == 200 {
            assert!(
                matches!(arrived, [received] if whole(received)),
                "{context}: {arrived:?}"
            );
        } else {
            // What every gateway takes by default, it takes here too. 0: it closed while we still sent.
            assert!(line.len() > 7500, "{context}");
            // nginx makes 500 of every answer to its question but three, also of one to a head of too many lines.
            let fault = if self.name == "nginx" { 500 } else { 503 };
            assert!(
                [0, 400, 403, 413, 431, fault].contains(&answer.status),
                "{context}"
            );
            assert!(arrived.is_empty(), "{context}");
        }
    }
}
