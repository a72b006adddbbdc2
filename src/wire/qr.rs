//! Texts as QR codes, for phones.

use qrcode::QrCode;
use qrcode::render::svg;
use qrcode::render::unicode::Dense1x2;

/// For a page: an SVG element that needs no other request, no style and no script. None for a text
/// that is too long.
pub fn svg(text: &str) -> Option<String> {
    let code = QrCode::new(text).ok()?;
    // Dark on light whatever the page looks like: not every camera reads the other way round.
    let image = code
        .render::<svg::Color<'_>>()
        .min_dimensions(240, 240)
        .dark_color(svg::Color("#000"))
        .light_color(svg::Color("#fff"))
        .build();
    image.find("<svg").map(|start| image[start..].to_owned())
}

/// For a terminal whose text is brighter than its ground, or, `inverted`, for one where the caller sets
/// dark on light.
pub fn terminal(text: &str, inverted: bool) -> Option<String> {
    let code = QrCode::new(text).ok()?;
    let mut renderer = code.render::<Dense1x2>();
    if !inverted {
        renderer.dark_color(Dense1x2::Light).light_color(Dense1x2::Dark);
    }
    Some(renderer.build())
}

/// The link as a QR code for a terminal; none where no phone could reach the address.
pub fn link(link: &str, color: bool) -> Option<String> {
    if is_of_this_machine(link) {
        return None;
    }
    // Without colours, drawn in that of text, which most terminals have brighter than their ground.
    let picture = terminal(link, color)?;
    let (dark_on_light, plain) = match color {
        true => ("\x1b[38;5;16;48;5;231m", "\x1b[0m"),
        false => ("", ""),
    };
    let lines = picture.lines();
    Some(
        lines
            .map(|line| format!("      {dark_on_light}{line}{plain}\n"))
            .collect(),
    )
}

fn is_of_this_machine(link: &str) -> bool {
    let host = link.split_once("://").map_or("", |(_, rest)| rest);
    link.starts_with('/')
        || ["127.", "localhost", "[::1]"]
            .iter()
            .any(|local| host.starts_with(local))
}

#[cfg(test)]
mod tests {
    use super::*;

    // "with a QR code when stderr is a terminal and the address is not loopback"
    #[test]
    fn a_phone_gets_a_picture_of_what_it_can_reach() {
        for own in [
            "http://127.0.0.1:8480/_sidegate/setup?code=x",
            "http://localhost/_sidegate/setup?code=x",
            "https://[::1]:8443/_sidegate/setup?code=x",
            "/_sidegate/setup?code=x",
        ] {
            assert_eq!(link(own, false), None, "{own}");
        }
        let picture = link("http://192.0.2.7:8480/_sidegate/setup?code=x", false).expect("a short text");
        assert!(picture.lines().count() > 10, "{picture}");
    }

    #[test]
    fn a_page_gets_a_bare_element() {
        let image = svg("otpauth://totp/h:anna?secret=GEZDGNBV&issuer=h").unwrap();
        assert!(
            image.starts_with("<svg ") && image.trim_end().ends_with("</svg>"),
            "{image}"
        );
        assert!(!image.contains("style=") && !image.contains("script") && !image.contains("href"));
        assert_eq!(svg(&"x".repeat(10_000)), None);
    }
}
