//! The owner's link as a picture for a phone.

use crate::wire::qr;

/// The link as a QR code for a terminal; none where no phone could reach the address.
pub(super) fn picture(link: &str, color: bool) -> Option<String> {
    if is_of_this_machine(link) {
        return None;
    }
    // Without colours, drawn in that of text, which most terminals have brighter than their ground.
    let picture = qr::terminal(link, color)?;
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
            assert_eq!(picture(own, false), None, "{own}");
        }
        let link = "http://192.0.2.7:8480/_sidegate/setup?code=x";
        let picture = picture(link, false).expect("a short text");
        assert!(picture.lines().count() > 10, "{picture}");
    }
}
