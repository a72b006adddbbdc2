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

#[cfg(test)]
mod tests {
    use super::*;

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
