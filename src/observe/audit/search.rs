//! Reading the audit file from its end.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::ControlFlow;
use std::path::Path;

const BLOCK: u64 = 64 * 1024;

/// Shows whole lines, the newest first, of this file and then of the rotated ones, until `look` has
/// seen enough or so many bytes were read.
///
/// # Errors
/// A file cannot be read.
pub fn backwards(
    path: &Path,
    most_bytes: u64,
    mut look: impl FnMut(&str) -> ControlFlow<()>,
) -> io::Result<()> {
    let mut files = super::rotated(path)?;
    files.push(path.to_owned());
    let mut left = most_bytes;
    for file in files.iter().rev() {
        if through(File::open(file)?, &mut left, &mut look)?.is_break() {
            break;
        }
    }
    Ok(())
}

fn through(
    mut file: File,
    left: &mut u64,
    look: &mut impl FnMut(&str) -> ControlFlow<()>,
) -> io::Result<ControlFlow<()>> {
    let mut start = file.seek(SeekFrom::End(0))?;
    // The rest of a line that begins in the block before. What is behind the last line feed is no
    // whole line, and is never shown.
    let (mut rest, mut whole) = (Vec::new(), false);
    while start > 0 {
        let from = start.saturating_sub(BLOCK);
        let Some(budget) = left.checked_sub(start - from) else {
            return Ok(ControlFlow::Break(()));
        };
        *left = budget;
        file.seek(SeekFrom::Start(from))?;
        let mut block = Vec::new();
        (&mut file).take(start - from).read_to_end(&mut block)?;
        start = from;
        block.append(&mut rest);
        if !whole {
            let Some(end) = block.iter().rposition(|byte| *byte == b'\n') else {
                continue;
            };
            block.truncate(end);
            whole = true;
        }
        let mut lines: Vec<&[u8]> = block.rsplit(|byte| *byte == b'\n').collect();
        if start > 0 {
            rest = lines.pop().unwrap_or_default().to_vec();
        }
        for line in lines {
            if look(&String::from_utf8_lossy(line)).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
    }
    Ok(ControlFlow::Continue(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(bytes: &[u8], most: u64) -> Vec<String> {
        let folder = tempfile::tempdir().expect("a directory");
        let file = folder.path().join("audit.jsonl");
        std::fs::write(&file, bytes).expect("written");
        let mut lines = Vec::new();
        backwards(&file, most, |line| {
            lines.push(line.to_owned());
            ControlFlow::Continue(())
        })
        .expect("readable");
        lines
    }

    #[test]
    fn whole_lines_come_newest_first() {
        assert_eq!(seen(b"one\ntwo\nthree\nhal", 1 << 20), ["three", "two", "one"]);
        assert_eq!(seen(b"hal", 1 << 20), [""; 0]);
        assert_eq!(seen(b"", 1 << 20), [""; 0]);
    }

    #[test]
    fn lines_over_the_edges_of_blocks_stay_whole() {
        let lines: Vec<String> = (0..5000)
            .map(|number| format!("{number} {}", "x".repeat(number % 97)))
            .collect();
        let text = format!("{}\n{}", lines.join("\n"), "unfinished ".repeat(10_000));
        let mut seen = seen(text.as_bytes(), 1 << 30);
        seen.reverse();
        assert_eq!(seen, lines);
    }

    #[test]
    fn no_more_is_read_than_was_allowed() {
        let text = "a line\n".repeat(100_000);
        let lines = seen(text.as_bytes(), 2 * BLOCK).len();
        assert!((1000..20_000).contains(&lines), "{lines}");
    }
}
