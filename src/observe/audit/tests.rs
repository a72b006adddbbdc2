use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use super::*;
use crate::observe::Outcome;
use crate::request::Client;
use crate::time::Timestamp;

const NOON: Timestamp = Timestamp::from_millis(1_767_268_800_000);

struct Place {
    directory: tempfile::TempDir,
    clock: Clock,
}

impl Place {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().expect("a directory"),
            clock: Clock::manual(NOON),
        }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("audit.jsonl")
    }

    fn open(&self) -> Audit {
        Audit::open(&self.path(), "oh", self.clock.clone()).expect("the audit opens")
    }

    /// A writer that writes when the test says so.
    fn still(&self, capacity: usize) -> Writer {
        Audit::prepare(&self.path(), "oh", self.clock.clone(), capacity)
            .expect("the audit opens")
            .0
    }

    fn lines(&self) -> Vec<serde_json::Value> {
        fs::read_to_string(self.path())
            .expect("the file")
            .lines()
            .map(|line| serde_json::from_str(line).expect("every line is JSON"))
            .collect()
    }

    /// Three changes in a closed file, after the line that begins the chain.
    fn with_three_lines() -> Self {
        let place = Self::new();
        let audit = place.open();
        for user in ["anna", "bert", "carl"] {
            assert!(audit.record_change(&added(user)).wait().is_ok());
        }
        place
    }

    fn rewrite(&self, change: impl FnOnce(&mut Vec<String>)) {
        let text = fs::read_to_string(self.path()).expect("the file");
        let mut lines = text.lines().map(str::to_owned).collect();
        change(&mut lines);
        fs::write(self.path(), lines.join("\n") + "\n").expect("written");
    }

    fn damage(&self) -> AuditDamage {
        verify(&[self.path()]).expect_err("the chain is broken")
    }

    fn beside(&self, kind: &str) -> PathBuf {
        self.directory
            .path()
            .join(format!("audit.jsonl.{kind}-2026-01-01T12-00-00.000Z"))
    }
}

fn added(user: &str) -> Line<'_> {
    Line {
        user,
        actor: "cli",
        ..Line::new(NOON, Event::UserAdd)
    }
}

fn refusal(time: Timestamp) -> Line<'static> {
    Line {
        decision: Some(Outcome::Challenge),
        client: Some(Client::Unix),
        ..Line::new(time, Event::Request)
    }
}

fn allowed() -> Line<'static> {
    Line {
        decision: Some(Outcome::Allow),
        ..Line::new(NOON, Event::Request)
    }
}

fn drain(writer: &mut Writer) {
    let mut taken = Vec::new();
    writer.shared.queue.take(&mut taken, Some(Duration::ZERO));
    writer.accept(&mut taken);
    writer.settle(false);
    writer.flush();
}

#[test]
fn a_new_file_is_private_and_says_that_a_chain_begins() {
    let place = Place::new();
    let audit = place.open();
    assert_eq!(audit.opening(), &Opening::Begun);
    let mode = fs::metadata(place.path()).expect("the file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let first = &place.lines()[0];
    assert_eq!(first["event"], "audit.begin");
    assert_eq!(first["seq"], 1);
    assert_eq!(first["time"], "2026-01-01T12:00:00.000Z");
}

// "acknowledged after fsync for administrative changes"
#[test]
fn an_acknowledged_change_is_in_the_file_under_the_number_it_was_given() {
    let place = Place::new();
    let audit = place.open();
    assert_eq!(audit.record_change(&added("anna")).wait(), Ok(2));
    let line = &place.lines()[1];
    assert_eq!(
        (&line["user"], &line["actor"], &line["seq"]),
        (&"anna".into(), &"cli".into(), &2.into())
    );
}

#[tokio::test]
async fn a_change_can_be_awaited() {
    let place = Place::new();
    let audit = place.open();
    assert_eq!(audit.record_change(&added("anna")).written().await, Ok(2));
}

#[test]
fn the_chain_goes_on_over_a_restart() {
    let place = Place::with_three_lines();
    let audit = place.open();
    assert_eq!(audit.opening(), &Opening::Continued { seq: 4 });
    assert_eq!(audit.record_change(&added("dora")).wait(), Ok(5));
    let verified = verify(&[place.path()]).expect("whole");
    assert_eq!(
        (verified.lines, verified.first, verified.last, verified.torn),
        (5, 1, 5, 0)
    );
}

#[test]
fn the_chain_goes_on_over_rotated_files_without_a_signal_and_over_a_restart() {
    let place = Place::with_three_lines();
    let rotated_to = |number| place.directory.path().join(format!("audit.jsonl.{number}"));
    let audit = place.open();
    fs::rename(place.path(), rotated_to(2)).expect("rotated");
    assert_eq!(audit.record_change(&added("dora")).wait(), Ok(5));
    fs::rename(place.path(), rotated_to(1)).expect("rotated");
    drop(audit);
    let audit = place.open();
    assert_eq!(audit.opening(), &Opening::Continued { seq: 5 });
    assert_eq!(audit.record_change(&added("emil")).wait(), Ok(6));

    let mut files = rotated(&place.path()).expect("the directory");
    assert_eq!(files, [rotated_to(2), rotated_to(1)]);
    files.push(place.path());
    assert_eq!(verify(&files).map(|verified| verified.last), Ok(6));
    assert_eq!(
        verify(&files[1..]).map(|verified| (verified.first, verified.last)),
        Ok((5, 6))
    );
    let gap = verify(&[&files[0], &files[2]]).expect_err("a file is missing");
    assert_eq!((gap.file, gap.line), (place.path(), 1));
}

#[test]
fn an_edited_line_is_found() {
    let place = Place::with_three_lines();
    place.rewrite(|lines| lines[1] = lines[1].replace("anna", "anne"));
    let damage = place.damage();
    assert_eq!(damage.line, 3);
    assert!(damage.why.starts_with("line 2 before it was changed"), "{damage}");
}

#[test]
fn a_removed_line_is_found() {
    let place = Place::with_three_lines();
    place.rewrite(|lines| drop(lines.remove(1)));
    let damage = place.damage();
    assert_eq!(
        (damage.line, damage.why.as_str()),
        (2, "this is line 3; line 2 was expected")
    );
}

#[test]
fn an_added_line_is_found() {
    let place = Place::with_three_lines();
    place.rewrite(|lines| lines.insert(2, lines[1].clone()));
    assert_eq!(place.damage().line, 3);
    place.rewrite(|lines| lines[2] = "{}".to_owned());
    assert_eq!(place.damage().why, "not an audit line");
}

#[test]
fn two_lines_that_changed_places_are_found() {
    let place = Place::with_three_lines();
    place.rewrite(|lines| lines.swap(1, 2));
    assert_eq!(place.damage().line, 2);
}

#[test]
fn a_removed_and_renumbered_line_is_found() {
    let place = Place::with_three_lines();
    place.rewrite(|lines| {
        lines.remove(1);
        lines[1] = lines[1].replace("\"seq\":3", "\"seq\":2");
    });
    assert_eq!(place.damage().line, 2);
}

// "removed in front shows as `first`", "lines cut off behind leave no trace in the file itself"
#[test]
fn what_was_cut_off_shows_in_first_and_head() {
    let place = Place::with_three_lines();
    let whole = verify(&[place.path()]).expect("whole");
    place.rewrite(|lines| {
        lines.remove(0);
        lines.pop();
    });
    let cut = verify(&[place.path()]).expect("no gap");
    assert_eq!((cut.first, cut.last, cut.lines), (2, 3, 2));
    assert_ne!(cut.head, whole.head);
}

// "a torn last line is reported and healed at the next start by a `recovered` line, the torn
// bytes kept in a side file"
#[test]
fn a_torn_last_line_is_a_warning_and_heals_at_the_next_start() {
    let place = Place::with_three_lines();
    let text = fs::read_to_string(place.path()).expect("the file");
    let kept = text[..text.len() - 7].rfind('\n').expect("a line") + 1;
    fs::write(place.path(), &text[..text.len() - 7]).expect("written");
    let torn = text.len() - 7 - kept;
    assert_eq!(
        verify(&[place.path()]).map(|verified| (verified.last, verified.torn)),
        Ok((3, torn))
    );

    let audit = place.open();
    let side = place.beside("torn");
    assert_eq!(
        audit.opening(),
        &Opening::Recovered {
            bytes: torn,
            side: side.clone()
        }
    );
    assert_eq!(
        fs::read_to_string(side).expect("the side file"),
        text[kept..text.len() - 7]
    );
    assert_eq!(place.lines()[3]["event"], "audit.recovered");
    assert_eq!(verify(&[place.path()]).map(|verified| verified.last), Ok(4));
}

#[test]
fn every_place_where_a_crash_can_cut_heals() {
    let whole = fs::read(Place::with_three_lines().path()).expect("the file");
    let feeds_before = |length: usize| whole[..length].iter().filter(|&&byte| byte == b'\n').count();
    // Around every line end, and here and there between: each start costs several syncs.
    let is_tried = |&length: &usize| {
        let near = length.saturating_sub(2)..(length + 2).min(whole.len());
        length % 61 == 0 || whole[near].contains(&b'\n')
    };
    for length in (0..whole.len()).filter(is_tried) {
        let place = Place::new();
        fs::write(place.path(), &whole[..length]).expect("written");
        drop(place.open());
        let verified = verify(&[place.path()]).expect("whole after the start");
        assert_eq!(verified.torn, 0, "cut at {length}");
        let feeds = feeds_before(length) as u64;
        let is_clean = length > 0 && whole[length - 1] == b'\n';
        assert_eq!(
            verified.last,
            feeds + u64::from(!is_clean),
            "cut at {length}: nothing whole is lost"
        );
    }
}

#[test]
fn a_damaged_file_is_put_aside_and_a_new_chain_says_so() {
    let place = Place::new();
    fs::write(place.path(), "\0\0\0\0\nnot ours\n").expect("written");
    let audit = place.open();
    let Opening::SetAside { side, .. } = audit.opening() else {
        panic!("{:?}", audit.opening());
    };
    assert_eq!(side, &place.beside("damaged"));
    assert_eq!(fs::read(side).expect("kept"), b"\0\0\0\0\nnot ours\n");
    let first = &place.lines()[0];
    assert_eq!(
        (&first["event"], &first["seq"]),
        (&"audit.damaged".into(), &1.into())
    );
}

#[test]
fn what_is_no_file_or_not_ours_is_refused() {
    let clock = Clock::manual(NOON);
    assert_eq!(
        Audit::open(Path::new("/dev/full"), "oh", clock.clone()).map(drop),
        Err(AuditError::NotAFile("/dev/full".into()))
    );
    let place = Place::new();
    let _first = place.open();
    assert_eq!(
        Audit::open(&place.path(), "oh", clock).map(drop),
        Err(AuditError::InUse(place.path()))
    );
}

// D-10: "sampled after N/s per event; counters exact"
#[test]
fn written_and_left_out_lines_add_up_to_what_happened() {
    let place = Place::new();
    let audit = place.open();
    let mut happened = 0;
    for second in 0..20 {
        let time = NOON.plus(Duration::from_secs(second));
        for _ in 0..second * 7 % 40 {
            audit.record(&refusal(time));
            happened += 1;
        }
    }
    audit.close();
    let (mut written, mut left_out) = (0, 0);
    for line in place.lines() {
        written += u64::from(line["event"] == "request");
        left_out += line["sampled"].as_u64().unwrap_or(0);
    }
    assert!(written < happened, "the test samples nothing");
    assert_eq!(written + left_out, happened);
    assert_eq!(audit.dropped(), 0);
}

#[test]
fn a_count_without_a_later_line_becomes_a_line_of_its_own_when_the_second_is_over() {
    let place = Place::new();
    let mut writer = place.still(100);
    for _ in 0..13 {
        writer.shared.record(&refusal(NOON));
    }
    drain(&mut writer);
    assert_eq!(place.lines().len(), 1 + 10);
    place.clock.advance(Duration::from_secs(1));
    drain(&mut writer);
    let lines = place.lines();
    assert_eq!(lines.len(), 1 + 10 + 1);
    let last = &lines[11];
    assert_eq!(
        (&last["event"], &last["reason"], &last["decision"]),
        (&"audit.sampled".into(), &"request".into(), &"challenge".into())
    );
    assert_eq!((&last["sampled"], &last["client"]), (&3.into(), &"unix".into()));
}

// "if the queue is full: count in a metric, never block the data plane, and say so in the next line"
#[test]
fn a_full_queue_drops_counts_and_says_so_in_the_next_line() {
    let place = Place::new();
    let mut writer = place.still(4);
    for _ in 0..10 {
        writer.shared.record(&allowed());
    }
    assert_eq!(writer.shared.dropped.load(Ordering::Relaxed), 6);
    let change = writer.shared.record_change(&added("anna"));
    drain(&mut writer);
    assert_eq!(change.wait(), Ok(6));
    let lines = place.lines();
    assert_eq!(lines.len(), 1 + 4 + 1);
    assert_eq!(lines[1]["dropped"], 6);
    assert!(lines[2..].iter().all(|line| line.get("dropped").is_none()));
}

#[test]
fn a_count_whose_line_was_dropped_is_told_later() {
    let place = Place::new();
    let mut writer = place.still(10);
    for _ in 0..15 {
        writer.shared.record(&refusal(NOON));
    }
    // The queue is full; this line would have told of the five.
    let later = NOON.plus(Duration::from_secs(1));
    writer.shared.record(&refusal(later));
    drain(&mut writer);
    writer.shared.record(&refusal(later));
    drain(&mut writer);
    let lines = place.lines();
    assert_eq!(lines[1]["dropped"], 1);
    assert_eq!(lines[11]["sampled"], 5);
    assert_eq!(lines.len(), 1 + 10 + 1);
}

#[test]
fn a_drop_that_no_line_told_of_is_told_at_the_end() {
    let place = Place::new();
    let writer = place.still(4);
    writer.shared.lost(3);
    writer.shared.queue.close();
    writer.run();
    let last = place.lines().pop().expect("a line");
    assert_eq!(
        (&last["event"], &last["dropped"]),
        (&"audit.dropped".into(), &3.into())
    );
}

// S-09: "audit log cannot be written: admin changes refused"
#[test]
fn while_the_file_cannot_be_written_changes_are_refused_and_decisions_are_kept() {
    let place = Place::new();
    let directory = place.directory.path().join("inner");
    let aside = place.directory.path().join("aside");
    fs::create_dir(&directory).expect("a directory");
    let path = directory.join("audit.jsonl");
    let (mut writer, _) = Audit::prepare(&path, "oh", place.clock.clone(), 100).expect("opens");

    fs::rename(&directory, &aside).expect("away");
    writer.shared.record(&allowed());
    let refused = writer.shared.record_change(&added("anna"));
    drain(&mut writer);
    assert!(matches!(refused.wait(), Err(AuditError::Unwritable { .. })));
    assert!(writer.shared.failing.load(Ordering::Relaxed));

    fs::rename(&aside, &directory).expect("back");
    let accepted = writer.shared.record_change(&added("bert"));
    drain(&mut writer);
    assert_eq!(accepted.wait(), Ok(3));
    assert!(!writer.shared.failing.load(Ordering::Relaxed));
    assert_eq!(verify(&[&path]).map(|verified| verified.last), Ok(3));
    let text = fs::read_to_string(&path).expect("the file");
    assert!(!text.contains("anna"), "a refused change must not be on record");
    assert_eq!(writer.shared.dropped.load(Ordering::Relaxed), 0);
}

#[test]
fn nobody_waits_for_a_writer_that_is_gone() {
    let place = Place::new();
    let writer = place.still(4);
    let shared = writer.shared.clone();
    let waiting = shared.record_change(&added("anna"));
    drop(writer);
    assert_eq!(waiting.wait(), Err(AuditError::Closed));
    assert_eq!(
        shared.record_change(&added("bert")).wait(),
        Err(AuditError::Closed)
    );
    shared.record(&allowed());
    assert_eq!(shared.dropped.load(Ordering::Relaxed), 2);
}

#[test]
fn tail_gives_the_last_whole_lines_and_where_to_go_on() {
    let place = Place::with_three_lines();
    let text = fs::read_to_string(place.path()).expect("the file");
    let all: Vec<&str> = text.lines().collect();
    let end = text.len() as u64;
    fs::write(place.path(), text.clone() + "{\"torn").expect("written");
    for count in 0..6 {
        let tail = tail(&place.path(), count).expect("the file");
        assert_eq!(tail.lines, all[all.len().saturating_sub(count)..]);
        assert_eq!(tail.end, end);
    }
}

#[test]
fn tail_reads_across_blocks() {
    let place = Place::new();
    let lines: Vec<String> = (0..5_000).map(|number| format!("{number:>60}")).collect();
    fs::write(place.path(), lines.join("\n") + "\n").expect("written");
    assert_eq!(
        tail(&place.path(), 3_000).expect("the file").lines,
        lines[2_000..]
    );
}

/// Prints what a line costs its caller: `cargo test --release --lib cost_of_a_line -- --ignored --nocapture`.
#[test]
#[ignore = "measures, proves nothing"]
fn cost_of_a_line() {
    let place = Place::new();
    let writer = place.still(usize::MAX);
    let line = Line {
        rule: "home.example/",
        reason: "scope",
        client: Some(Client::Address([192, 0, 2, 17].into())),
        host: "home.example",
        method: "GET",
        path: "/rest/items/LivingRoom_Light",
        agent: "openHAB/3.1 Android",
        user: "anna",
        auth: "api-token",
        credential: "abcdefabcdef",
        credential_name: "phone",
        carrier: "bearer",
        road: "proxy",
        status: Some(200),
        request_id: Some(crate::request::RequestId::next()),
        ..allowed()
    };
    let refused = Line {
        decision: Some(Outcome::Deny),
        ..line
    };
    for (what, line) in [("allowed", line), ("refused, sampled", refused)] {
        const COUNT: u32 = 400_000;
        let mut took = Duration::ZERO;
        let mut taken = Vec::new();
        for _ in 0..COUNT / 1_000 {
            let start = std::time::Instant::now();
            for _ in 0..1_000 {
                writer.shared.record(std::hint::black_box(&line));
            }
            took += start.elapsed();
            writer.shared.queue.take(&mut taken, Some(Duration::ZERO));
            taken.clear();
        }
        println!("{what}: {} ns a line", took.as_nanos() / u128::from(COUNT));
    }
}

// "Exit codes are sysexits: … 73 cannot create, 74 I/O, 77 no permission"
#[test]
fn a_file_that_may_not_be_written_is_told_from_one_that_cannot() {
    let error = |kind: io::ErrorKind| AuditError::unwritable(Path::new("/data/audit.jsonl"), &kind.into());
    let refused = error(io::ErrorKind::PermissionDenied);
    assert_eq!(refused.exit_code(), 77);
    assert!(refused.to_string().contains("chown"), "{refused}");
    assert_eq!(error(io::ErrorKind::StorageFull).exit_code(), 74);
    assert_eq!(error(io::ErrorKind::NotFound).exit_code(), 73);
}
