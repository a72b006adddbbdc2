//! `[pages]`: a house's own title, logo, colors and contact, through the real program; and the way from where
//! somebody is refused to the pages that are theirs.

mod support;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sidegate::crypto::mac;
use support::house::{add, house, logged_in};
use support::{Answer, Backend, Browser, Sidegate, eventually};

const LOGO: &str =
    "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 1 1\"><script>alert(1)</script></svg>";

/// A file beside the configuration.
fn put(gate: &Sidegate, name: &str, content: &[u8]) {
    std::fs::write(gate.data.path().join(name), content).expect("a file can be written");
}

fn policy(answer: &Answer) -> &str {
    answer.header("content-security-policy").expect("a policy")
}

/// What the page asks the browser to fetch: the logo, twice.
fn address_of_logo(page: &Answer) -> String {
    let text = page.text();
    let (_, rest) = text.split_once("<img src=\"").expect("a logo");
    let address = rest.split('"').next().expect("a first piece").to_owned();
    assert!(text.contains(&format!("<link rel=\"icon\" href=\"{address}\">")));
    address
}

// "Custom logo, title and CSS variables by configuration"
#[test]
fn a_house_has_its_own_title_logo_and_colors() {
    let backend = Backend::start();
    let mut gate = house(&backend, "");
    let route = format!(
        "[[route]]\npath = \"/\"\nupstream = \"http://{}\"\n",
        backend.address
    );
    let plain = Browser::new(gate.address).get("/_sidegate/login");
    assert!(plain.text().contains("<title>Log in – Sidegate</title>"));
    assert!(!plain.text().contains("<img") && !policy(&plain).contains("img-src"));
    assert_eq!(Browser::new(gate.address).get("/_sidegate/logo").status, 404);

    put(&gate, "logo.svg", LOGO.as_bytes());
    let own = |title: &str| {
        format!(
            "{route}[pages]\ntitle = \"{title}\"\nlogo = \"logo.svg\"\nlight = {{ accent = \"#8a3ffc\" }}\n[pages.dark]\naccent = \
             \"#be95ff\"\nsurface = \"#222\"\n"
        )
    };
    gate.write_config(&own("Anna’s <house>"));
    gate.signal("HUP");
    let login = || Browser::new(gate.address).get("/_sidegate/login");
    eventually(|| login().text().contains("Anna’s"), || gate.log());
    let page = login();
    let text = page.text();
    assert!(
        text.contains("<title>Log in – Anna’s &#60;house&#62;</title>"),
        "{text}"
    );
    assert!(!text.contains("Sidegate"), "{text}");
    for rule in [
        "[data-theme=light]{--accent:#8a3ffc;--on-accent:#ffffff}",
        "@media(prefers-color-scheme:dark){[data-theme=system]{--accent:#be95ff;--surface:#222222;--on-accent:#000000}}",
    ] {
        assert!(text.contains(rule), "{text}");
    }
    // No style but those two, by their hashes; no script.
    let styles: Vec<&str> = text
        .split("<style>")
        .skip(1)
        .map(|rest| rest.split("</style>").next().expect("a first piece"))
        .collect();
    assert_eq!(styles.len(), 2);
    for style in styles {
        let hash = STANDARD.encode(mac::sha256(style.as_bytes()));
        assert!(policy(&page).contains(&format!("'sha256-{hash}'")));
    }
    assert!(policy(&page).starts_with("default-src 'none'; ") && policy(&page).contains("img-src 'self'; "));
    assert!(!policy(&page).contains("unsafe") && !policy(&page).contains("script-src"));

    // "svg logos cannot run scripts", not even where one is opened by itself
    let address = address_of_logo(&page);
    let logo = Browser::new(gate.address).get(&address);
    assert_eq!((logo.status, logo.text()), (200, LOGO.to_owned()));
    assert_eq!(logo.header("content-type"), Some("image/svg+xml"));
    assert_eq!(logo.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(
        policy(&logo),
        "default-src 'none'; style-src 'unsafe-inline'; sandbox"
    );

    // Another picture has another address, so that no browser shows the old one.
    put(&gate, "logo.svg", b"\x89PNG\r\n\x1a\nnot much of one");
    gate.write_config(&own("Other"));
    gate.signal("HUP");
    let login = || Browser::new(gate.address).get("/_sidegate/login");
    eventually(|| login().text().contains("Other"), || gate.log());
    let other = address_of_logo(&login());
    assert_ne!(other, address);
    let logo = Browser::new(gate.address).get(&other);
    assert_eq!(logo.header("content-type"), Some("image/png"));
}

// "validated at load with errors that say file, key, value and what to write"
#[test]
fn what_cannot_be_shown_is_refused_with_what_to_write() {
    let mut gate = Sidegate::prepare("");
    put(&gate, "page.html", b"<html><svg>");
    put(&gate, "large.png", &[0; 65 << 10]);
    for (text, sentence) in [
        (
            "title = \" \"",
            "pages.title = \" \" has nothing to see in it; write some words, or leave it out",
        ),
        (
            "title = \"a\\nb\"",
            "has characters that nobody can see; write it on one line",
        ),
        ("logo = \"none.svg\"", "none.svg\" cannot be read: "),
        (
            "logo = \"page.html\"",
            "page.html\" is neither SVG nor PNG, JPEG or WebP; write the path of such a picture",
        ),
        ("logo = \"large.png\"", "large.png\" is larger than 64KiB; "),
        ("logo = \".\"", "is not a regular file"),
        (
            "contact = \"https://home.example/\\\"x\"",
            "is not an address that a browser can open; write for example",
        ),
        (
            "light = { accent = \"red\" }",
            "pages.light.accent = \"red\" is not a color; write for example \"#2352cc\"",
        ),
        (
            "dark = { accent = \"#12345}*{x\" }",
            "pages.dark.accent = \"#12345}*{x\" is not a color",
        ),
        ("light = { acent = \"#123\" }", "pages.light.acent"),
    ] {
        gate.write_config(&format!("[pages]\n{text}\n"));
        let ran = gate.cli(&["check"]);
        assert_eq!(ran.code, 78, "{text}: {}", ran.stderr);
        assert!(ran.stderr.contains(sentence), "{text}: {}", ran.stderr);
        assert!(ran.stderr.contains("sidegate.toml:"), "{text}: {}", ran.stderr);
    }
    gate.write_config("[pages]\nlight = { accent = \"#ffd000\" }\n");
    let ran = gate.cli(&["check"]);
    assert!(
        ran.stderr
            .contains("pages.light.accent = \"#ffd000\" makes accent on surface hard to read"),
        "{}",
        ran.stderr
    );
}

// "Denied pages say who you are and whom to ask"; "a small link or menu from the protected application's error, login
// and denied pages to the profile"
#[test]
fn whoever_is_refused_reads_whom_to_ask_and_finds_the_way_back() {
    let backend = Backend::start();
    let settings = format!(
        "[[route]]\npath = \"/admin\"\nupstream = \"http://{}\"\naccess = \"admin\"\n[[route]]\npath = \"/gone\"\naccess = \"admin\"\nupstream = \
         \"http://127.0.0.1:{}\"\n[pages]\ncontact = \"anna@home.example\"\n",
        backend.address,
        support::free_port()
    );
    let gate = Sidegate::start(&settings);
    add(&gate, "anna");
    add(&gate, "ben");
    let contact = "<a href=\"mailto:anna@home.example\">anna@home.example</a>";
    let login = Browser::new(gate.address).get("/_sidegate/login");
    assert!(login.text().contains(contact), "{}", login.text());
    let mut ben = logged_in(&gate, "ben");
    let denied = ben.open("/admin");
    assert_eq!(denied.status, 403);
    for text in [
        "You are ben, who may not open this.",
        contact,
        "<a href=\"/_sidegate/\">Start page</a>",
        "<a href=\"/_sidegate/profile\">Your profile</a>",
    ] {
        assert!(denied.text().contains(text), "{text}: {}", denied.text());
    }
    assert!(ben.get("/_sidegate/").text().contains(contact));
    let mut anna = logged_in(&gate, "anna");
    for (path, status) in [("/nowhere", 404), ("/gone", 502), ("/_sidegate/nothing", 404)] {
        let page = anna.open(path);
        assert_eq!(page.status, status, "{path}: {page:?}");
        assert!(
            page.text().contains("<a href=\"/_sidegate/\">Start page</a>"),
            "{}",
            page.text()
        );
    }
    // Programs read what they always did.
    assert!(!gate.get("/nowhere", &[]).text().contains("Start page"));
}

// "log out everywhere"
#[test]
fn one_logs_out_everywhere_at_once() {
    let backend = Backend::start();
    let gate = house(&backend, "");
    add(&gate, "ben");
    let (mut here, mut there) = (logged_in(&gate, "anna"), logged_in(&gate, "anna"));
    let mut ben = logged_in(&gate, "ben");
    let token = gate.token("anna", "phone");
    let page = here.get("/_sidegate/logout");
    assert!(page.text().contains("Log out everywhere"), "{}", page.text());
    let out = here.submit(&page, "/_sidegate/logout", &[("everywhere", "1")]);
    assert_eq!(
        (out.status, out.header("location")),
        (303, Some("/_sidegate/login?why=out"))
    );
    for browser in [&mut here, &mut there] {
        assert_eq!(browser.get("/").status, 303);
    }
    assert_eq!(ben.get("/").status, 200);
    assert_eq!(
        gate.get("/", &[&format!("Authorization: Bearer {token}")]).status,
        200
    );
    let written = || support::house::audit(&gate).contains("\"reason\":\"everywhere\"");
    eventually(written, || support::house::audit(&gate));
}
