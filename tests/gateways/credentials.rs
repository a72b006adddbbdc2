//! What was for Sidegate stays there, and what was for the application arrives.

use super::*;

impl Tested {
    // Section 5: "Credentials of ours are removed before the backend unless the route says `pass_credentials =
    // true`"; section 6.1: "Any other `Authorization` is the backend's"
    pub(super) fn credentials_of_ours_stay_here_and_all_others_arrive(&self) {
        let bearer = format!("Authorization: Bearer {}", self.bob);
        let basic = format!("Authorization: Basic {}", base64(&format!("{}:", self.bob)));
        let header = format!("X-OPENHAB-TOKEN: {}", self.bob);
        let theirs = format!("Authorization: Basic {}", base64("theirs:secret"));
        let (none, their_value): (Vec<&str>, _) = (vec![], &theirs["Authorization: ".len()..]);
        // Envoy joins several lines of cookies with a comma, as HTTP/1.1 has it for other headers. Browsers
        // send one.
        let several = if self.name == "envoy" {
            vec![&*bearer, "Cookie: a=1; sidegate=x; b=2; __Host-sidegate=y; c=3"]
        } else {
            vec![
                &*bearer,
                "Cookie: a=1; sidegate=x; b=2",
                "Cookie: __Host-sidegate=y; c=3",
            ]
        };
        for (path, lines, authorization, cookies) in [
            ("/", vec![&*bearer], none.clone(), ""),
            ("/", vec![&*basic], none.clone(), ""),
            ("/", vec![&*header, &*theirs], vec![their_value], ""),
            ("/public", vec![&*theirs], vec![their_value], ""),
            (
                "/public",
                vec!["Authorization: Bearer theirs"],
                vec!["Bearer theirs"],
                "",
            ),
            ("/", several, none.clone(), "a=1; b=2; c=3"),
            ("/", vec![&*bearer, "Cookie: sidegate=x"], none.clone(), ""),
            (
                "/",
                vec![&*bearer, "Cookie: a=\"x y\"; b=%3D=; c"],
                none.clone(),
                "a=\"x y\"; b=%3D=; c",
            ),
            (
                "/pass",
                vec![&*bearer, "Cookie: sidegate=x; a=1"],
                vec![&bearer["Authorization: ".len()..]],
                "sidegate=x; a=1",
            ),
        ] {
            let context = format!("{path} {lines:?}");
            let answer = self.send("GET", path, &lines);
            assert_eq!(answer.status, 200, "{context}: {answer:?}");
            let received = self.backend.take_one();
            let filled = |name: &str| -> Vec<&str> {
                let all = received.all(name).into_iter();
                all.filter(|value| !value.is_empty()).collect()
            };
            assert_eq!(filled("authorization"), authorization, "{context}: {received:?}");
            assert_eq!(filled("cookie").join("; "), cookies, "{context}: {received:?}");
            assert!(
                path == "/pass" || !received.head().contains(&self.bob),
                "{context}: {received:?}"
            );
        }
        assert_eq!(self.send("GET", "/pass", &[&header]).status, 200);
        assert_eq!(self.backend.take_one().all("x-openhab-token"), [&self.bob]);
    }

    // Section 8: "pass: OPTIONS with `Origin` and `Access-Control-Request-Method` goes on without cookies,
    // credentials or identity"
    pub(super) fn a_preflight_passes_without_anything_that_tells_who_asks(&self) {
        let lines = [
            "Origin: https://a.example",
            "Access-Control-Request-Method: PUT",
            "Access-Control-Request-Headers: x-openhab-token",
            "Cookie: a=1; sidegate=x",
            "Authorization: Bearer theirs",
            &format!("X-OPENHAB-TOKEN: {}", self.bob),
            &format!("{}: mallory", in_capitals(self.identity[0])),
        ];
        let answer = self.send("OPTIONS", "/cors/x?y", &lines);
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
        let received = self.backend.take_one();
        assert_eq!(received.line, "OPTIONS /cors/x?y HTTP/1.1");
        assert_eq!(received.only("origin"), Some("https://a.example"));
        assert_eq!(received.only("access-control-request-method"), Some("PUT"));
        for name in ["cookie", "authorization", "x-openhab-token", self.identity[0]] {
            assert!(
                received.all(name).iter().all(|value| value.is_empty()),
                "{name}: {received:?}"
            );
        }
        for (path, lines) in [("/", &lines[..]), ("/cors/x", &lines[..1]), ("/cors/x", &[])] {
            let lines: Vec<&str> = lines
                .iter()
                .copied()
                .filter(|line| !line.starts_with("X-OPENHAB"))
                .collect();
            assert_eq!(self.send("OPTIONS", path, &lines).status, 401, "{path} {lines:?}");
        }
        assert!(self.backend.take().is_empty());
    }
}
