//! Text from strangers, made safe to stand between quotes or tags.

/// Appends `text` as the inside of a JSON string.
///
/// Besides what RFC 8259 section 7 asks for, everything that a terminal or an editor would obey
/// rather than show is escaped: DEL and the C1 controls (8-bit escape sequences), U+2028 and
/// U+2029 (a line end to JavaScript), zero-width and bidirectional marks (CVE-2021-42574). The
/// result is always one line of printable text.
pub fn json(text: &str, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    let mut written = 0;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        if (0x20..0x7f).contains(&byte) && byte != b'"' && byte != b'\\' {
            at += 1;
            continue;
        }
        let Some(character) = text.get(at..).and_then(|rest| rest.chars().next()) else {
            break;
        };
        if character.is_ascii() || is_obeyed_rather_than_shown(character) {
            out.extend_from_slice(&bytes[written..at]);
            json_character(character, out);
            written = at + character.len_utf8();
        }
        at += character.len_utf8();
    }
    out.extend_from_slice(&bytes[written..]);
}

/// Like [`json`], of the first `limit` bytes; an ellipsis says that something was cut off.
pub fn json_cut(text: &str, limit: usize, out: &mut Vec<u8>) {
    let kept = cut(text, limit);
    json(kept, out);
    if kept.len() < text.len() {
        out.extend_from_slice("…".as_bytes());
    }
}

/// Appends `text` for HTML, between tags or between double quotes.
pub fn html(text: &str, out: &mut String) {
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            hidden if hidden.is_control() || is_obeyed_rather_than_shown(hidden) => out.push('\u{fffd}'),
            shown => out.push(shown),
        }
    }
}

/// The longest beginning of at most `limit` bytes that ends between two characters.
pub fn cut(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}

fn json_character(character: char, out: &mut Vec<u8>) {
    match character {
        '"' => out.extend_from_slice(b"\\\""),
        '\\' => out.extend_from_slice(b"\\\\"),
        '\n' => out.extend_from_slice(b"\\n"),
        '\r' => out.extend_from_slice(b"\\r"),
        '\t' => out.extend_from_slice(b"\\t"),
        other => {
            let mut units = [0; 2];
            for unit in other.encode_utf16(&mut units) {
                out.extend_from_slice(b"\\u");
                out.extend_from_slice(super::hex::encode(&unit.to_be_bytes()).as_bytes());
            }
        }
    }
}

/// Whether a terminal, an editor or a reader's eye is steered by it.
fn is_obeyed_rather_than_shown(character: char) -> bool {
    matches!(character,
        '\u{80}'..='\u{9f}' | '\u{ad}' | '\u{61c}' | '\u{180e}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn escaped(text: &str) -> String {
        let mut out = Vec::new();
        json(text, &mut out);
        String::from_utf8(out).expect("UTF-8 in, UTF-8 out")
    }

    // R-077: "\n, \r, ESC, U+2028, quotes ... -> one valid JSON line, escaped"
    #[test]
    fn line_ends_and_escape_sequences_become_text() {
        assert_eq!(
            escaped("a\r\n\u{1b}[31m\u{2028}\"\\\u{7f}\u{9b}\u{202e}\u{e0041}é"),
            "a\\r\\n\\u001b[31m\\u2028\\\"\\\\\\u007f\\u009b\\u202e\\udb40\\udc41é"
        );
    }

    #[test]
    fn a_cut_never_splits_a_character_and_is_visible() {
        let mut out = Vec::new();
        json_cut("aé", 2, &mut out);
        assert_eq!(out, "a…".as_bytes());
        out.clear();
        json_cut("aé", 3, &mut out);
        assert_eq!(out, "aé".as_bytes());
    }

    #[test]
    fn html_has_neither_tags_nor_quotes_left() {
        let mut out = String::new();
        html("<b a='\"'>&\u{0}", &mut out);
        assert_eq!(out, "&lt;b a=&#39;&quot;&#39;&gt;&amp;\u{fffd}");
    }

    proptest! {
        #[test]
        fn what_is_escaped_reads_back_the_same(text in "\\PC*|[\\x00-\\xff\u{2028}\u{202e}\"\\\\]*") {
            let quoted = format!("\"{}\"", escaped(&text));
            prop_assert!(!quoted.chars().any(|c| c.is_control() || is_obeyed_rather_than_shown(c)));
            prop_assert_eq!(serde_json::from_str::<String>(&quoted).ok(), Some(text));
        }
    }
}
