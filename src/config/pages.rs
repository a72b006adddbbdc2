//! `[pages]`: how our pages look and whom they name, as written and as used.

use std::fmt::Write;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::Wrong;
use super::resolve::Resolver;
use super::settings;
use super::source::reason;
use crate::crypto::mac;

/// `[pages]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Pages {
    /// What stands at the top of every page and in the browser's tab.
    pub(super) title: String,
    /// A file with the picture that stands before the title: SVG, PNG, JPEG or WebP, at most 64KiB. `""`: a small gate. It is read when the settings are.
    #[schemars(extend("x-kind" = "path"))]
    pub(super) logo: String,
    /// Whom people can ask: an e-mail address, an `https://` address or some words. It stands where somebody is refused, and below the login. `""`: nobody is named.
    pub(super) contact: String,
    /// CSS variables of the light look.
    #[schemars(extend("examples" = [{"accent": "#8a3ffc"}]))]
    pub(super) light: Option<Colors>,
    /// CSS variables of the dark look.
    #[schemars(extend("examples" = [{"accent": "#be95ff"}]))]
    pub(super) dark: Option<Colors>,
}

impl Default for Pages {
    fn default() -> Self {
        Self {
            title: "Sidegate".into(),
            logo: String::new(),
            contact: String::new(),
            light: None,
            dark: None,
        }
    }
}

/// `pages.light` and `pages.dark`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Colors {
    /// Links, buttons and marks. The text on buttons is white or black, whichever can be read.
    #[schemars(extend("x-kind" = "color", "examples" = ["#8a3ffc"]))]
    pub(super) accent: Option<String>,
    /// The ground of the page.
    #[schemars(extend("x-kind" = "color", "examples" = ["#f5f6f8"]))]
    pub(super) background: Option<String>,
    /// The ground of what lies on the page, and of fields.
    #[schemars(extend("x-kind" = "color", "examples" = ["#ffffff"]))]
    pub(super) surface: Option<String>,
    /// Text.
    #[schemars(extend("x-kind" = "color", "examples" = ["#171a21"]))]
    pub(super) text: Option<String>,
    /// Text that matters less.
    #[schemars(extend("x-kind" = "color", "examples" = ["#596070"]))]
    pub(super) muted: Option<String>,
    /// Lines between things.
    #[schemars(extend("x-kind" = "color", "examples" = ["#e1e4ea"]))]
    pub(super) line: Option<String>,
    /// The edge of fields.
    #[schemars(extend("x-kind" = "color", "examples" = ["#868d9b"]))]
    pub(super) border: Option<String>,
    /// What went well.
    #[schemars(extend("x-kind" = "color", "examples" = ["#12663c"]))]
    pub(super) good: Option<String>,
    /// What went wrong, and buttons that cannot be undone.
    #[schemars(extend("x-kind" = "color", "examples" = ["#b3261e"]))]
    pub(super) bad: Option<String>,
}

impl Colors {
    fn named(&self) -> [(&'static str, &Option<String>); 9] {
        [
            ("accent", &self.accent),
            ("background", &self.background),
            ("surface", &self.surface),
            ("text", &self.text),
            ("muted", &self.muted),
            ("line", &self.line),
            ("border", &self.border),
            ("good", &self.good),
            ("bad", &self.bad),
        ]
    }
}

/// One of the two looks: its key, and what `templates/style.css` says of it.
struct Look {
    key: &'static str,
    usual: [(&'static str, Color); 9],
}

const LIGHT: Look = Look {
    key: "light",
    usual: [
        ("accent", Color(0x23, 0x52, 0xcc)),
        ("background", Color(0xf5, 0xf6, 0xf8)),
        ("surface", Color(0xff, 0xff, 0xff)),
        ("text", Color(0x17, 0x1a, 0x21)),
        ("muted", Color(0x59, 0x60, 0x70)),
        ("line", Color(0xe1, 0xe4, 0xea)),
        ("border", Color(0x86, 0x8d, 0x9b)),
        ("good", Color(0x12, 0x66, 0x3c)),
        ("bad", Color(0xb3, 0x26, 0x1e)),
    ],
};

const DARK: Look = Look {
    key: "dark",
    usual: [
        ("accent", Color(0x8f, 0xb4, 0xff)),
        ("background", Color(0x0f, 0x11, 0x16)),
        ("surface", Color(0x18, 0x1b, 0x22)),
        ("text", Color(0xe9, 0xeb, 0xf1)),
        ("muted", Color(0xa2, 0xa9, 0xb8)),
        ("line", Color(0x2b, 0x2f, 0x3a)),
        ("border", Color(0x73, 0x7b, 0x8b)),
        ("good", Color(0x82, 0xd9, 0xa5)),
        ("bad", Color(0xff, 0xa1, 0x9a)),
    ],
};

/// What text is written in, and on what.
const INKS: [&str; 5] = ["text", "muted", "accent", "good", "bad"];
const GROUNDS: [&str; 2] = ["background", "surface"];

/// Red, green and blue of sRGB.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Color(u8, u8, u8);

impl Color {
    /// `#2352cc`, or `#25c` for `#2255cc`.
    fn read(text: &str) -> Result<Self, Wrong> {
        let digits = text.strip_prefix('#').unwrap_or_default();
        let digits: Option<Vec<u8>> = digits
            .chars()
            .map(|digit| digit.to_digit(16).and_then(|value| u8::try_from(value).ok()))
            .collect();
        match digits.as_deref() {
            Some(&[r, g, b]) => Ok(Self(r * 17, g * 17, b * 17)),
            Some(&[r, rr, g, gg, b, bb]) => Ok(Self(r * 16 + rr, g * 16 + gg, b * 16 + bb)),
            _ => Err(Wrong::new("is not a color").hint("write for example \"#2352cc\"")),
        }
    }

    /// WCAG 2.2, "relative luminance"
    fn luminance(self) -> f64 {
        let linear = |channel: u8| match f64::from(channel) / 255.0 {
            dark if dark <= 0.04045 => dark / 12.92,
            bright => ((bright + 0.055) / 1.055).powf(2.4),
        };
        0.2126 * linear(self.0) + 0.7152 * linear(self.1) + 0.0722 * linear(self.2)
    }

    /// WCAG 2.2, "contrast ratio": from 1 to 21.
    fn contrast(self, other: Self) -> f64 {
        let (one, other) = (self.luminance(), other.luminance());
        (one.max(other) + 0.05) / (one.min(other) + 0.05)
    }

    /// White or black, whichever can be read on it.
    fn ink(self) -> Self {
        let (white, black) = (Self(255, 255, 255), Self(0, 0, 0));
        match self.contrast(white) >= self.contrast(black) {
            true => white,
            false => black,
        }
    }
}

impl std::fmt::Display for Color {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "#{:02x}{:02x}{:02x}", self.0, self.1, self.2)
    }
}

/// How the pages look and whom they name.
pub(super) fn resolve(resolver: &mut Resolver<'_>, pages: &Pages) -> settings::Pages {
    let light = variables(resolver, &LIGHT, pages.light.as_ref());
    let dark = variables(resolver, &DARK, pages.dark.as_ref());
    settings::Pages {
        title: resolver
            .read("pages.title", &pages.title, |text| words(text, 64))
            .unwrap_or_default(),
        logo: match pages.logo.as_str() {
            "" => None,
            text => logo(resolver, text),
        },
        contact: match pages.contact.as_str() {
            "" => None,
            text => resolver.read("pages.contact", text, contact),
        },
        style: style(&light, &dark),
    }
}

/// Some words that people can see.
fn words(text: &str, most: usize) -> Result<String, Wrong> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Wrong::new("has nothing to see in it").hint("write some words, or leave it out"));
    }
    if text.chars().any(char::is_control) {
        return Err(Wrong::new("has characters that nobody can see").hint("write it on one line"));
    }
    match text.chars().count() {
        count if count > most => {
            Err(Wrong::new(format!("has {count} characters")).hint(format!("write at most {most}")))
        }
        _ => Ok(text.to_owned()),
    }
}

fn contact(text: &str) -> Result<settings::Contact, Wrong> {
    let text = words(text, 200)?;
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"\"'<>`\\".contains(&byte);
    let is_word = text.bytes().all(plain);
    let link = match text.split_once('@') {
        _ if text.starts_with("https://") || text.starts_with("http://") => {
            if !is_word {
                return Err(Wrong::new("is not an address that a browser can open")
                    .hint("write for example \"https://home.example/help\""));
            }
            text.clone()
        }
        Some((name, host)) if is_word && !name.is_empty() && !host.is_empty() && !host.contains('@') => {
            // "?" would begin the fields of a message (RFC 6068).
            format!("mailto:{}", text.replace('%', "%25").replace('?', "%3F"))
        }
        _ => String::new(),
    };
    Ok(settings::Contact { text, link })
}

fn logo(resolver: &mut Resolver<'_>, text: &str) -> Option<settings::Logo> {
    let file = resolver.given_file("pages.logo", text);
    match picture(&file) {
        Ok((media_type, bytes)) => {
            let mut version = String::new();
            for byte in &mac::sha256(&bytes)[..6] {
                // Writing to a String cannot fail.
                let _ = write!(version, "{byte:02x}");
            }
            Some(settings::Logo {
                file,
                media_type,
                bytes: bytes.into(),
                version,
            })
        }
        Err(wrong) => {
            resolver.wrong("pages.logo", Some(&file.display().to_string()), wrong);
            None
        }
    }
}

/// What it is by its content, and the content.
fn picture(file: &Path) -> Result<(&'static str, Vec<u8>), Wrong> {
    const MOST: u64 = 64 << 10;
    let unreadable = |problem: std::io::Error| Wrong::new(format!("cannot be read: {}", reason(&problem)));
    // Asked before opening: opening a FIFO waits for its writer.
    let kind = std::fs::metadata(file).map_err(unreadable)?;
    if !kind.is_file() {
        return Err(Wrong::new("is not a regular file"));
    }
    if kind.len() > MOST {
        return Err(
            Wrong::new("is larger than 64KiB").hint("a logo is shown 28 pixels high: make it smaller")
        );
    }
    let bytes = std::fs::read(file).map_err(unreadable)?;
    let media_type = match bytes.as_slice() {
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => "image/png",
        [0xff, 0xd8, 0xff, ..] => "image/jpeg",
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => "image/webp",
        other if is_svg(other) => "image/svg+xml",
        _ => {
            let wrong = Wrong::new("is neither SVG nor PNG, JPEG or WebP");
            return Err(wrong.hint("write the path of such a picture"));
        }
    };
    Ok((media_type, bytes))
}

/// Whether the first element is `svg`.
fn is_svg(bytes: &[u8]) -> bool {
    let Ok(mut text) = std::str::from_utf8(bytes) else {
        return false;
    };
    text = text.trim_start_matches('\u{feff}').trim_start();
    for (start, end) in [
        ("<?xml", "?>"),
        ("<!--", "-->"),
        ("<!DOCTYPE", ">"),
        ("<!--", "-->"),
    ] {
        while let Some((_, rest)) = text.strip_prefix(start).and_then(|rest| rest.split_once(end)) {
            text = rest.trim_start();
        }
    }
    text.starts_with("<svg")
}

/// What differs from the style sheet, with a warning for each pair that cannot be read.
fn variables(
    resolver: &mut Resolver<'_>,
    look: &Look,
    colors: Option<&Colors>,
) -> Vec<(&'static str, Color)> {
    let mut all = look.usual;
    for (name, text) in colors.into_iter().flat_map(Colors::named) {
        if let Some(text) = text {
            let key = format!("pages.{}.{name}", look.key);
            let read = resolver.read(&key, text, Color::read);
            let place = all.iter_mut().find(|(known, _)| *known == name);
            if let (Some(color), Some((_, place))) = (read, place) {
                *place = color;
            }
        }
    }
    let mut differing: Vec<(&str, Color)> = all.into_iter().filter(|one| !look.usual.contains(one)).collect();
    let of = |list: &[&str]| {
        all.into_iter()
            .filter(|(name, _)| list.contains(name))
            .collect::<Vec<_>>()
    };
    for front in of(&INKS) {
        for back in of(&GROUNDS) {
            let contrast = front.1.contrast(back.1);
            let written = [front, back].into_iter().find(|one| differing.contains(one));
            // WCAG 2.2, criterion 1.4.3
            if contrast < 4.5
                && let Some((name, color)) = written
            {
                let message = format!(
                    "= \"{color}\" makes {} on {} hard to read: their contrast is {contrast:.1}, and 4.5 is the least \
                     that WCAG asks for",
                    front.0, back.0
                );
                resolver.warn(&format!("pages.{}.{name}", look.key), message);
            }
        }
    }
    if let Some((_, accent)) = differing.iter().find(|(name, _)| *name == "accent") {
        differing.push(("on-accent", accent.ink()));
    }
    differing
}

/// After the style of all pages: the person's choice first, then the device's.
fn style(light: &[(&str, Color)], dark: &[(&str, Color)]) -> String {
    let mut text = String::new();
    for (look, variables) in [("light", light), ("dark", dark)] {
        if variables.is_empty() {
            continue;
        }
        let list: Vec<String> = variables
            .iter()
            .map(|(name, color)| format!("--{name}:{color}"))
            .collect();
        let list = list.join(";");
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "[data-theme={look}]{{{list}}}@media(prefers-color-scheme:{look}){{[data-theme=system]{{{list}}}}}"
        );
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_colors_are_those_of_the_style_sheet() {
        let sheet = include_str!("../../templates/style.css");
        let (light, rest) = sheet.split_once("[data-theme=light]").unwrap();
        let (_, dark) = rest.split_once("[data-theme=dark]").unwrap();
        for (look, part) in [(LIGHT, light), (DARK, dark)] {
            let (part, _) = part.split_once('}').unwrap();
            for (name, color) in look.usual {
                let (_, value) = part.split_once(&format!("--{name}:")).unwrap();
                let value = value.split([';', '}']).next().unwrap();
                assert_eq!(Color::read(value).unwrap(), color, "{} {name}", look.key);
            }
        }
    }

    // WCAG 2.2: black on white is 21, and #767676 the lightest grey that has 4.5 on white
    #[test]
    fn contrast_is_that_of_wcag() {
        let white = Color::read("#fff").unwrap();
        assert_eq!(white.contrast(Color(0, 0, 0)), 21.0);
        assert!(white.contrast(Color::read("#767676").unwrap()) >= 4.5);
        assert!(white.contrast(Color::read("#777777").unwrap()) < 4.5);
        assert_eq!(Color::read("#2352cc").unwrap().ink(), white);
        assert_eq!(Color::read("#8fb4ff").unwrap().ink(), Color(0, 0, 0));
    }

    #[test]
    fn a_color_has_three_or_six_digits() {
        assert_eq!(Color::read("#25C").unwrap().to_string(), "#2255cc");
        for text in [
            "",
            "#",
            "2352cc",
            "#2352c",
            "#2352ccff",
            "red",
            "#ggg",
            "#1}a",
            "##fff",
            "#é00",
        ] {
            assert!(Color::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn svg_is_known_by_its_first_element() {
        for text in [
            "<svg>",
            "\u{feff}<?xml version=\"1.0\"?>\n<!-- a --><!DOCTYPE svg>\n<!-- b -->\n<svg/>",
        ] {
            assert!(is_svg(text.as_bytes()), "{text}");
        }
        for text in ["", "<html><svg>", "<?xml?>", "<!-- <svg> -->", "svg"] {
            assert!(!is_svg(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn a_contact_is_a_link_where_it_can_be_one() {
        let link = |text| contact(text).unwrap().link;
        assert_eq!(link("anna@home.example"), "mailto:anna@home.example");
        assert_eq!(link("a?cc=b@home.example"), "mailto:a%3Fcc=b@home.example");
        assert_eq!(
            link("https://home.example/help?a=b"),
            "https://home.example/help?a=b"
        );
        for text in [
            "Anna, room 4",
            "@anna",
            "write to anna@home.example",
            "javascript:alert(1)",
            "data:,x",
        ] {
            assert_eq!(link(text), "", "{text}");
        }
        assert!(contact("https://home.example/a b").is_err());
        assert!(contact("https://home.example/\"x").is_err());
    }
}
