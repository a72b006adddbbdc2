//! What our pages say, in each language: files in the syntax of Project Fluent, read once.

use std::sync::LazyLock;

use fluent_bundle::{FluentArgs, FluentBundle, FluentResource};
use http::header::ACCEPT_LANGUAGE;

pub(super) use super::words::Words;
use crate::wire::Fields;
use crate::wire::headers::list_items;

/// A language that the pages speak.
pub(super) struct Language {
    /// As in `Accept-Language`, without a region.
    pub(super) code: &'static str,
    /// What its speakers call it.
    pub(super) name: &'static str,
    source: &'static str,
}

/// All of them; the first is spoken where none is asked for.
pub(super) static LANGUAGES: [Language; 5] = [
    Language {
        code: "en",
        name: "English",
        source: include_str!("../../languages/en.ftl"),
    },
    Language {
        code: "de",
        name: "Deutsch",
        source: include_str!("../../languages/de.ftl"),
    },
    Language {
        code: "fr",
        name: "Français",
        source: include_str!("../../languages/fr.ftl"),
    },
    Language {
        code: "es",
        name: "Español",
        source: include_str!("../../languages/es.ftl"),
    },
    Language {
        code: "nl",
        name: "Nederlands",
        source: include_str!("../../languages/nl.ftl"),
    },
];

/// In the order of [`LANGUAGES`].
static WORDS: LazyLock<[Words; LANGUAGES.len()]> =
    LazyLock::new(|| std::array::from_fn(|index| LANGUAGES[index].words()));

impl Language {
    /// Its sentences; one that it lacks is left in English.
    fn words(&self) -> Words {
        let (own, english) = (bundle(self.source), bundle(LANGUAGES[0].source));
        Words::all(|name| {
            let sentence = sentence(&own, name).or_else(|| sentence(&english, name));
            // Once in the life of the process: what the templates hold is as good as part of the program.
            Box::leak(sentence.unwrap_or_default().into_boxed_str())
        })
    }
}

fn bundle(source: &str) -> FluentBundle<FluentResource> {
    // What a file has that is no message was said by the tests; the rest of it counts.
    let resource = FluentResource::try_new(source.to_owned()).unwrap_or_else(|(resource, _)| resource);
    let mut bundle = FluentBundle::new(Vec::new());
    // Marks of direction around values would be part of names that people copy.
    bundle.set_use_isolating(false);
    bundle.add_resource_overriding(resource);
    bundle
}

/// The message of that name, with `{}` in the place of its value.
fn sentence(bundle: &FluentBundle<FluentResource>, name: &str) -> Option<String> {
    let pattern = bundle.get_message(name)?.value()?;
    let mut values = FluentArgs::new();
    values.set("value", "{}");
    let mut errors = Vec::new();
    let text = bundle.format_pattern(pattern, Some(&values), &mut errors);
    errors.is_empty().then(|| text.into_owned())
}

/// The value in its place in the sentence.
pub(super) fn fill(sentence: &str, value: &str) -> String {
    sentence.replacen("{}", value, 1)
}

/// The language that somebody chose, else the one that the browser likes best of those we have;
/// English if it says nothing.
pub(super) fn of(headers: &Fields<'_>, chosen: &str) -> &'static Words {
    let index = by_code(chosen).or_else(|| preferred(headers)).unwrap_or(0);
    &WORDS[index]
}

fn by_code(code: &str) -> Option<usize> {
    LANGUAGES
        .iter()
        .position(|language| language.code.eq_ignore_ascii_case(code))
}

fn preferred(headers: &Fields<'_>) -> Option<usize> {
    let mut best: Option<(f32, usize)> = None;
    let lines = headers
        .get_all(&ACCEPT_LANGUAGE)
        .filter_map(|value| value.to_str().ok());
    for item in lines.flat_map(list_items) {
        let (range, weight) = item.split_once(';').unwrap_or((item, "q=1"));
        let weight = weight
            .trim()
            .strip_prefix("q=")
            .and_then(|weight| weight.parse().ok());
        let weight: f32 = weight.unwrap_or(0.0);
        // RFC 4647, section 3.4: `de-AT` is served by `de`.
        let primary = range.trim().split('-').next().unwrap_or_default();
        let known = if primary == "*" { Some(0) } else { by_code(primary) };
        if let Some(index) = known
            && weight > best.map_or(0.0, |(best, _)| best)
        {
            best = Some((weight, index));
        }
    }
    best.map(|(_, index)| index)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_browser_s_favourite_is_spoken() {
        for (accept, lang) in [
            ("de", "de"),
            ("de-AT,de;q=0.9,en;q=0.8", "de"),
            ("en-GB,en;q=0.9,de;q=0.8", "en"),
            ("fr, DE;q=0.5", "fr"),
            ("nl-BE;q=0.4, es-MX;q=0.6", "es"),
            ("pl, nl;q=0.2", "nl"),
            ("pl", "en"),
            ("*", "en"),
            ("de;q=0", "en"),
            ("de;q=x", "en"),
            ("", "en"),
        ] {
            let headers = [("accept-language", accept)];
            assert_eq!(of(&headers.into_iter().collect(), "").lang, lang, "{accept}");
        }
        assert_eq!(of(&Fields::new(), "").lang, "en");
    }

    #[test]
    fn what_somebody_chose_comes_before_it() {
        let headers = Fields::from_iter([("accept-language", "de")]);
        assert_eq!(of(&headers, "nl").lang, "nl");
        assert_eq!(of(&headers, "xx").lang, "de");
    }

    // "every language has every message"
    #[test]
    fn every_language_says_everything_and_nothing_else() {
        let names: BTreeSet<&str> = Words::NAMES.iter().copied().collect();
        let places = |text: &str| text.matches("{}").count();
        let english = bundle(LANGUAGES[0].source);
        for language in &LANGUAGES {
            let resource = FluentResource::try_new(language.source.to_owned());
            let resource = resource.unwrap_or_else(|(_, errors)| panic!("{}: {errors:?}", language.code));
            assert_eq!(resource.entries().count(), names.len(), "{}", language.code);
            let own = bundle(language.source);
            for name in &names {
                let said = sentence(&own, name).unwrap_or_default();
                assert!(!said.is_empty(), "{} has no {name}", language.code);
                assert!(!said.contains(*name) || !name.contains('_'), "{said}");
                let expected = sentence(&english, name).expect("English has every message");
                assert_eq!(places(&said), places(&expected), "{}: {name}", language.code);
                assert!(places(&said) <= 1, "{name}");
            }
            assert_eq!(language.words().lang, language.code);
        }
    }

    // A sentence that nobody says is one that nobody keeps right.
    #[test]
    fn every_sentence_is_said_somewhere() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut said = String::new();
        for folder in ["templates", "src/pages", "src/pages/admin", "src/pages/oauth"] {
            for entry in std::fs::read_dir(root.join(folder)).expect("a folder") {
                let path = entry.expect("an entry").path();
                if path.file_name().is_some_and(|name| name != "words.rs") && path.is_file() {
                    said.push_str(&std::fs::read_to_string(path).expect("text"));
                }
            }
        }
        let unsaid: Vec<&&str> = Words::NAMES
            .iter()
            .filter(|name| {
                let uses = [format!("words.{name}"), format!("w.{name}")];
                !uses.iter().any(|used| {
                    said.match_indices(used.as_str()).any(|(at, _)| {
                        !said[at + used.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '_')
                    })
                })
            })
            .collect();
        assert!(unsaid.is_empty(), "{unsaid:?}");
    }
}
