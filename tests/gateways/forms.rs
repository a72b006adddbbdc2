//! The other forms of a snippet, and the examples: each by the real program.

use super::*;

#[test]
#[ignore = "needs nginx: run tests/gateways/install first"]
fn nginx_proxy_manager_asks_before_every_request() {
    Tested::begin("nginx", SETTINGS, "gate.test", |place| {
        let app = format!("http://{}", place.app);
        let printed = place.gate.cli(&[
            "snippet",
            "nginx",
            "--form",
            "npm",
            "--host",
            "gate.test",
            "--app",
            &app,
        ]);
        run(
            "nginx",
            place,
            &server_block(place, "gate.test", &printed.success().stdout),
        )
    })
    .all();
    let unix = introduced("nginx-npm", "unix");
    Tested::begin("nginx", &unix, "gate.test", |place| {
        let printed = place
            .gate
            .cli(&["snippet", "nginx", "--form", "npm", "--host", "gate.test"]);
        run(
            "nginx",
            place,
            &server_block(place, "gate.test", &printed.success().stdout),
        )
    })
    .introduces_itself();
}

/// As Nginx Proxy Manager writes one around the field "Advanced": the application is in variables, and where the
/// text has a `location /` there is no other.
pub(super) fn server_block(place: &Place<'_>, host: &str, advanced: &str) -> String {
    format!(
        "server {{\nset $forward_scheme http;\nset $server \"{}\";\nset $port {};\nlisten {};\nserver_name {host};\n{advanced}\n\
         location ^~ /.well-known/acme-challenge/ {{\nauth_request off;\nreturn 404;\n}}\n# Another location than those of the \
         text.\nlocation /assets/ {{\nproxy_pass $forward_scheme://$server:$port;\n}}\n}}\n",
        place.app.ip(),
        place.app.port(),
        place.port
    )
}

#[test]
#[ignore = "needs nginx: run tests/gateways/install first"]
fn nginx_proxy_manager_asks_for_locations_that_the_text_does_not_have() {
    let tested = Tested::begin("nginx", SETTINGS, "gate.test", |place| {
        let printed = place
            .gate
            .cli(&["snippet", "nginx", "--form", "npm", "--host", "gate.test"]);
        run(
            "nginx",
            place,
            &server_block(place, "gate.test", &printed.success().stdout),
        )
    });
    assert_eq!(tested.send("GET", "/assets/a.css", &[]).status, 401);
    assert!(tested.backend.take().is_empty());
    let bob = format!("Authorization: Bearer {}", tested.bob);
    assert_eq!(tested.send("GET", "/assets/a.css", &[&bob]).status, 200);
}

#[test]
#[ignore = "needs nginx: run tests/gateways/install first"]
fn the_examples_of_nginx_work() {
    as_in("nginx", "nginx/forward-auth", |place, read| {
        let text = read("home.conf").replace("listen 80;", &format!("listen {};", place.port));
        run("nginx", place, &text)
    });
    as_in("nginx", "nginx/proxy-manager", |place, read| {
        run(
            "nginx",
            place,
            &server_block(place, "home.example", &read("advanced.conf")),
        )
    });
}

#[test]
#[ignore = "needs Traefik: run tests/gateways/install first"]
fn the_example_of_traefik_works() {
    as_in("traefik", "traefik/forward-auth", |place, read| {
        let dynamic = place.write("sidegate.yml", &read("sidegate.yml"));
        let fixed = read("traefik.yml")
            .replace("\":80\"", &format!("\":{}\"", place.port))
            .replace("/etc/traefik/sidegate.yml", dynamic.to_str().unwrap());
        let mut command = Command::new(program("traefik"));
        command
            .arg("--configFile")
            .arg(place.write("traefik.yml", &fixed));
        place.spawn("traefik", &mut command)
    });
}

#[test]
#[ignore = "needs Caddy: run tests/gateways/install first"]
fn the_example_of_caddy_works() {
    as_in("caddy", "caddy", |place, read| {
        let site = format!("http://home.example:{} {{", place.port);
        run(
            "caddy",
            place,
            &read("Caddyfile").replace("home.example {", &site),
        )
    });
}

#[test]
#[ignore = "needs Envoy: run tests/gateways/install first"]
fn the_example_of_envoy_works() {
    as_in("envoy", "envoy", |place, read| {
        let address = |name: &str, port: u16| format!("address: \"{name}\", port_value: {port} }}");
        let text = read("envoy.yaml")
            .replace("port_value: 80 }", &format!("port_value: {} }}", place.port))
            .replace(
                &address("sidegate", 8480),
                &address("127.0.0.1", place.gate.address.port()),
            )
            .replace(&address("app", 8000), &address("127.0.0.1", place.app.port()));
        run("envoy", place, &text)
    });
}

#[test]
#[ignore = "needs HAProxy: run tests/gateways/install first"]
fn the_example_of_haproxy_works() {
    as_in("haproxy", "haproxy", |place, read| {
        let text = read("haproxy.cfg").replace("bind :80\n", &format!("bind :{}\n", place.port));
        place.write("sidegate.lua", &read("sidegate.lua"));
        let mut command = Command::new(program("haproxy"));
        command
            .arg("-db")
            .arg("-f")
            .arg(place.write("haproxy.cfg", &text));
        place.spawn("haproxy", &mut command)
    });
}

/// Runs the files of an example as they are, but for addresses and ports.
fn as_in(
    name: &'static str,
    folder: &'static str,
    gateway: impl FnOnce(&Place<'_>, &dyn Fn(&str) -> String) -> Child,
) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("examples")
        .join(folder);
    let settings = std::fs::read_to_string(folder.join("sidegate.toml")).unwrap();
    let trusted = settings
        .lines()
        .find(|line| line.starts_with("trusted_proxies = [\"172.30."));
    let trusted = trusted.unwrap();
    let routes = &settings[settings.find("[[route]]").unwrap()..];
    let settings = format!("server: trusted_proxies = [\"127.0.0.1/32\"]\n{routes}");
    assert!(trusted.ends_with(".2/32\"]"));
    Tested::begin(name, &settings, "home.example", |place| {
        let read = |file: &str| {
            std::fs::read_to_string(folder.join(file))
                .unwrap()
                .replace("sidegate:8480", &place.gate.address.to_string())
                .replace("app:8000", &place.app.to_string())
        };
        gateway(place, &read)
    })
    .answers_as_in_the_example();
}

#[test]
#[ignore = "needs Traefik: run tests/gateways/install first"]
fn traefik_reads_the_same_from_labels() {
    as_in("traefik", "traefik/labels", |place, read| {
        let compose = read("docker-compose.yml");
        let docker = docker(place, &compose);
        let mut command = Command::new(program("traefik"));
        for line in compose
            .lines()
            .filter_map(|line| line.trim().strip_prefix("- --"))
        {
            command.arg(format!(
                "--{}",
                line.replace("address=:80", &format!("address=:{}", place.port))
            ));
        }
        command.arg(format!("--providers.docker.endpoint=tcp://{}", docker.address));
        place.spawn("traefik", &mut command)
    });
}

/// What Traefik asks Docker: who runs, and with which labels.
fn docker(place: &Place<'_>, compose: &str) -> Backend {
    let container = |name: &str, port: u16| {
        let (_, service) = compose.split_once(&format!("\n  {name}:\n")).unwrap();
        let labels: serde_json::Map<String, serde_json::Value> = service
            .lines()
            .take_while(|line| line.is_empty() || line.starts_with("    "))
            .filter_map(|line| line.trim().strip_prefix("- traefik."))
            .map(|label| {
                // Compose would take $ for the beginning of a variable.
                assert!(!label.contains('$'), "{label}");
                let (key, value) = label.split_once('=').unwrap();
                let value = if key.ends_with("loadBalancer.server.port") {
                    port.to_string()
                } else {
                    value.to_owned()
                };
                (format!("traefik.{key}"), value.into())
            })
            .collect();
        assert!(labels.len() > 5, "{name}: {labels:?}");
        serde_json::json!({
            "Id": name, "Name": format!("/{name}"), "Names": [format!("/{name}")],
            "State": { "Running": true, "Status": "running" }, "Config": { "Labels": labels }, "Labels": labels,
            "HostConfig": { "NetworkMode": "gate" },
            "NetworkSettings": { "Ports": {}, "Networks": { "gate": { "IPAddress": "127.0.0.1" } } },
        })
    };
    let containers = [
        container("app", place.app.port()),
        container("sidegate", place.gate.address.port()),
    ];
    Backend::replying(move |received| {
        let path = received.line.split(' ').nth(1).unwrap_or_default();
        let json = |value: serde_json::Value| {
            let text = value.to_string();
            format!(
                "HTTP/1.1 200 OK\r\nApi-Version: 1.44\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{}",
                text.len(),
                if received.line.starts_with("HEAD ") {
                    ""
                } else {
                    &text
                }
            )
        };
        let answer = if path.contains("/events") {
            // Nothing ever happens.
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n".into()
        } else if path.contains("/containers/json") {
            let mut list = containers.to_vec();
            for container in &mut list {
                container["State"] = "running".into();
            }
            json(list.into())
        } else if path.contains("/containers/") {
            let found = containers.iter().find(|container| {
                path.contains(&format!("/containers/{}/", container["Id"].as_str().unwrap()))
            });
            json(found.unwrap().clone())
        } else {
            json(
                serde_json::json!({ "Version": "26.0.0", "ApiVersion": "1.44", "MinAPIVersion": "1.24", "Os": "linux" }),
            )
        };
        answer.into_bytes()
    })
}

impl Tested {
    fn answers_as_in_the_example(self) {
        self.a_right_token_passes_by_every_road();
        self.nobody_else_says_who_is_there();
        self.a_program_without_a_credential_gets_401();
        self.a_browser_is_sent_to_log_in();
        self.the_decision_endpoint_is_not_to_be_had_through_the_gateway();
        self.our_pages_are();
        self.cookies_arrive_whole();
        self.a_websocket_opens_for_who_may_write();
    }
}
