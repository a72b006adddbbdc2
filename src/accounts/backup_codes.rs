//! Codes on paper, for whoever lost the other factor: ten, each works once.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::crypto::{Secret, mac, random};
use crate::wire::hex;

/// How many there are.
const COUNT: usize = 10;
/// Characters of one: sixty bits.
const LENGTH: usize = 12;
/// Digits and letters that nobody takes for each other (those of Crockford's base 32).
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// What is kept of one, inside a seal.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BackupCode {
    salt: String,
    hash: String,
}

impl BackupCode {
    fn new(code: &str) -> Self {
        let salt = hex::encode(&random::bytes::<16>());
        Self {
            hash: hash(&salt, code),
            salt,
        }
    }
}

/// New ones in the place of those before, as they are shown once: `abcd-efgh-jkmn`.
pub(super) fn renew(codes: &mut Vec<BackupCode>) -> Vec<Secret> {
    codes.clear();
    (0..COUNT)
        .map(|_| {
            // 256 is a multiple of 32, so every character is as likely.
            let code: Zeroizing<String> = Zeroizing::new(
                random::bytes::<LENGTH>()
                    .iter()
                    .map(|byte| char::from(ALPHABET[usize::from(byte % 32)]))
                    .collect(),
            );
            codes.push(BackupCode::new(&code));
            Secret::new(format!("{}-{}-{}", &code[..4], &code[4..8], &code[8..]))
        })
        .collect()
}

/// Whether it is one of them, which then is one no more.
pub(super) fn take(codes: &mut Vec<BackupCode>, typed: &str) -> bool {
    let Some(typed) = plain(typed) else { return false };
    let mut found = None;
    for (at, code) in codes.iter().enumerate() {
        if mac::equal(code.hash.as_bytes(), hash(&code.salt, &typed).as_bytes()) {
            found = Some(at);
        }
    }
    found.map(|at| codes.remove(at)).is_some()
}

/// As it was made, whatever case it was typed in; letters that the alphabet lacks stand for the digits
/// that they look like.
fn plain(typed: &str) -> Option<Zeroizing<String>> {
    let code: Zeroizing<String> = Zeroizing::new(
        typed
            .chars()
            .filter(|character| *character != '-')
            .map(|character| match character.to_ascii_lowercase() {
                'o' => '0',
                'i' | 'l' => '1',
                other => other,
            })
            .take(LENGTH + 1)
            .collect(),
    );
    let sound = code.len() == LENGTH && code.bytes().all(|byte| ALPHABET.contains(&byte));
    sound.then_some(code)
}

fn hash(salt: &str, code: &str) -> String {
    let text = Zeroizing::new(format!("sidegate backup code 1 {salt} {code}"));
    hex::encode(&mac::sha256(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_of_ten_codes_works_once() {
        let mut codes = Vec::new();
        let shown = renew(&mut codes);
        assert_eq!(shown.len(), 10);
        let text = |at: usize| shown[at].expose_str().unwrap().to_owned();
        assert_eq!(text(0).len(), 14);
        assert!(take(&mut codes, &text(3)));
        assert!(!take(&mut codes, &text(3)));
        assert!(take(&mut codes, &text(4).to_uppercase().replace('-', "")));
        assert!(take(&mut codes, &text(5).replace('0', "O").replace('1', "l")));
        assert_eq!(codes.len(), 7);
        let old = text(0);
        renew(&mut codes);
        assert!(!take(&mut codes, &old), "those before are gone");
        for wrong in [
            "",
            "-",
            "123456",
            "0000-0000-0000",
            &"0".repeat(1000),
            "\u{fc}bcd-efgh-jkmn",
        ] {
            assert!(!take(&mut codes, wrong), "{wrong}");
        }
        assert_eq!(codes.len(), 10);
    }

    #[test]
    fn a_code_is_kept_as_a_hash() {
        let mut codes = Vec::new();
        let shown = renew(&mut codes);
        let kept = serde_json::to_string(&codes).unwrap();
        for code in shown {
            let code = code.expose_str().unwrap().to_owned();
            assert!(!kept.contains(&code) && !kept.contains(&code.replace('-', "")));
        }
    }
}
