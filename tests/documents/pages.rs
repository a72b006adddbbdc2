//! The pages, and what is in them.

use std::fs;
use std::path::{Path, PathBuf};

/// One Markdown file.
#[derive(Debug)]
pub(crate) struct Page {
    /// Relative to the project.
    pub(crate) name: String,
    pub(crate) text: String,
}

/// A fenced block.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    /// `page:line` of its first line.
    pub(crate) place: String,
    /// The first word after the fence.
    pub(crate) language: String,
    /// The other words.
    pub(crate) marks: Vec<String>,
    pub(crate) text: String,
}

/// The project.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every page: beside `Cargo.toml`, in `docs` and below `examples`.
pub(crate) fn all() -> Vec<Page> {
    let mut files = markdown(&root());
    files.extend(markdown(&root().join("docs")));
    for entry in fs::read_dir(root().join("examples")).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(markdown(&path));
        }
    }
    let mut pages: Vec<Page> = files
        .into_iter()
        .map(|file| Page {
            name: file
                .strip_prefix(root())
                .expect("of the project")
                .to_string_lossy()
                .into_owned(),
            text: fs::read_to_string(&file).expect("text"),
        })
        .collect();
    pages.sort_by(|one, other| one.name.cmp(&other.name));
    assert!(pages.len() > 10, "only {} pages were found", pages.len());
    pages
}

/// One of them.
pub(crate) fn page(name: &str) -> Page {
    let found = all().into_iter().find(|page| page.name == name);
    found.unwrap_or_else(|| panic!("there is no {name}"))
}

fn markdown(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder");
    entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "md"))
        .collect()
}

impl Page {
    /// Its fenced blocks; those in lists lose the indentation of their fence.
    pub(crate) fn blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut open: Option<(Block, usize)> = None;
        for (index, line) in self.text.lines().enumerate() {
            let indent = line.len() - line.trim_start().len();
            let fence = line.trim_start().strip_prefix("```");
            match (&mut open, fence) {
                (None, Some(info)) => {
                    let mut words = info.split_whitespace().map(str::to_owned);
                    let block = Block {
                        place: format!("{}:{}", self.name, index + 2),
                        language: words.next().unwrap_or_default(),
                        marks: words.collect(),
                        text: String::new(),
                    };
                    open = Some((block, indent));
                }
                (Some(_), Some(_)) => blocks.extend(open.take().map(|(block, _)| block)),
                (Some((block, indent)), None) => {
                    block.text.push_str(line.get(*indent..).unwrap_or(""));
                    block.text.push('\n');
                }
                (None, None) => {}
            }
        }
        assert!(open.is_none(), "{}: a block is not closed", self.name);
        blocks
    }

    /// Its lines outside of blocks, with their numbers.
    pub(crate) fn prose(&self) -> Vec<(usize, &str)> {
        let mut inside = false;
        let mut lines = Vec::new();
        for (index, line) in self.text.lines().enumerate() {
            if line.trim_start().starts_with("```") {
                inside = !inside;
            } else if !inside {
                lines.push((index + 1, line));
            }
        }
        lines
    }

    /// What stands between backticks in its prose, with the numbers of the lines.
    pub(crate) fn code(&self) -> Vec<(usize, String)> {
        let mut found = Vec::new();
        for (number, line) in self.prose() {
            let pieces: Vec<&str> = line.split('`').collect();
            // A line may end inside a span that goes on in the next; then its last piece is no whole one.
            for piece in pieces.iter().skip(1).step_by(2) {
                found.push((number, (*piece).to_owned()));
            }
        }
        found
    }
}

impl Block {
    pub(crate) fn has(&self, mark: &str) -> bool {
        self.marks.iter().any(|known| known == mark)
    }

    /// The value of `needs=VALUE`.
    pub(crate) fn needs(&self) -> Option<&str> {
        self.marks.iter().find_map(|mark| mark.strip_prefix("needs="))
    }
}
