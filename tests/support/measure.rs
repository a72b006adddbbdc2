//! What is seen of a running server from outside.

use super::{Sidegate, ask};

impl Sidegate {
    /// An answer of the operations listener, with its head.
    pub fn operations_page(&self, path: &str) -> String {
        let request = format!("GET {path} HTTP/1.1\r\nHost: o\r\nConnection: close\r\n\r\n");
        ask(self.operations, request.as_bytes()).expect("the operations listener answers")
    }

    /// The value of one metric, named with its labels as it stands in the page.
    pub fn metric(&self, name: &str) -> f64 {
        let page = self.operations_page("/metrics");
        let mut values = page
            .lines()
            .filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let value = values.next().unwrap_or_else(|| panic!("no {name} in:\n{page}"));
        assert_eq!(values.next(), None, "{name} is there more than once");
        value.parse().expect("a number")
    }

    /// Memory of the process that is in RAM, in KiB.
    pub fn resident(&self) -> u64 {
        self.status("VmRSS:")
    }

    /// The most memory of the process that ever was in RAM, in KiB.
    pub fn peak(&self) -> u64 {
        self.status("VmHWM:")
    }

    /// File descriptors of the process.
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid()))
            .expect("it runs")
            .count()
    }

    fn status(&self, key: &str) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("it runs");
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(key))
            .expect("the line is there");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    /// The audit lines so far that hold all these texts.
    pub fn audit_lines(&self, texts: &[&str]) -> Vec<String> {
        let text = std::fs::read_to_string(self.state().join("audit.jsonl")).unwrap_or_default();
        let holds = |line: &&str| texts.iter().all(|text| line.contains(text));
        text.lines().filter(holds).map(str::to_owned).collect()
    }
}
