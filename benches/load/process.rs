//! Processor time and memory of a process, as the kernel counts them.

use std::fs;
use std::process::Command;
use std::time::Duration;

/// A running process.
#[derive(Clone, Copy)]
pub(crate) struct Process(pub(crate) u32);

impl Process {
    /// This one.
    pub(crate) fn own() -> Self {
        Self(std::process::id())
    }

    /// This one and every one below it, such as the workers of nginx.
    pub(crate) fn family(self) -> Vec<Self> {
        let mut family = vec![self];
        let parents: Vec<(u32, u32)> = fs::read_dir("/proc")
            .expect("Linux")
            .filter_map(|entry| {
                let pid = entry.ok()?.file_name().to_str()?.parse().ok()?;
                let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
                // proc(5): the name is in brackets and may hold anything; state and parent follow.
                let after = stat.rsplit_once(") ")?.1;
                Some((pid, after.split(' ').nth(1)?.parse().ok()?))
            })
            .collect();
        let mut at = 0;
        while let Some(parent) = family.get(at).map(|process| process.0) {
            let children = parents.iter().filter(|(_, of)| *of == parent);
            family.extend(children.map(|(pid, _)| Self(*pid)));
            at += 1;
        }
        family
    }

    /// Time on a processor, of all threads that are still there. In nanoseconds, where `stat` counts
    /// hundredths of a second.
    pub(crate) fn cpu(self) -> Duration {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.0)).expect("the process runs");
        let nanos = tasks.filter_map(|task| {
            let text = fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
            text.split_ascii_whitespace().next()?.parse::<u64>().ok()
        });
        Duration::from_nanos(nanos.sum())
    }

    /// Name and time on a processor of every thread, in the order of their numbers.
    pub(crate) fn threads(self) -> Vec<(String, Duration)> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.0)).expect("the process runs");
        let mut threads: Vec<(u32, String, Duration)> = tasks
            .filter_map(|task| {
                let task = task.ok()?;
                let number = task.file_name().to_str()?.parse().ok()?;
                let name = fs::read_to_string(task.path().join("comm")).ok()?;
                let used = fs::read_to_string(task.path().join("schedstat")).ok()?;
                let nanos = used.split_ascii_whitespace().next()?.parse().ok()?;
                Some((number, name.trim().to_owned(), Duration::from_nanos(nanos)))
            })
            .collect();
        threads.sort_unstable();
        threads.into_iter().map(|(_, name, used)| (name, used)).collect()
    }

    /// Resident bytes now.
    pub(crate) fn resident(self) -> u64 {
        self.status("VmRSS")
    }

    /// Resident bytes that are no file's: what it allocated.
    pub(crate) fn allocated(self) -> u64 {
        self.status("RssAnon")
    }

    /// The most resident bytes since [`Process::forget_peak`].
    pub(crate) fn peak(self) -> u64 {
        self.status("VmHWM")
    }

    /// Starts the peak anew, at what is resident now.
    pub(crate) fn forget_peak(self) {
        // proc(5): "5" resets the peak resident set size.
        fs::write(format!("/proc/{}/clear_refs", self.0), "5").expect("the process is ours");
    }

    /// Puts every thread on these processors, where `taskset` is installed.
    pub(crate) fn pin(self, processors: &str) {
        let _ = Command::new("taskset")
            .args(["-a", "-c", "-p", processors, &self.0.to_string()])
            .output();
    }

    /// Sends it that signal.
    pub(crate) fn signal(self, name: &str) {
        let _ = Command::new("kill")
            .args(["-s", name, &self.0.to_string()])
            .status();
    }

    fn status(self, key: &str) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/status", self.0)).expect("the process runs");
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        kilobytes.expect("Linux says so") * 1024
    }
}
