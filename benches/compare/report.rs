//! What was seen, as a table on the terminal, a page, and a plot.

use std::fmt::Write as _;
use std::time::Duration;

use crate::ask::Sample;
use crate::few::Few;
use crate::idle::Weight;
use crate::paced::Paced;

/// One case, measured in several rounds.
pub(crate) struct Row {
    pub(crate) section: &'static str,
    pub(crate) name: String,
    pub(crate) ours: bool,
    pub(crate) rounds: Vec<Sample>,
    /// Why there is no figure.
    pub(crate) invalid: Option<String>,
}

/// Everything.
#[derive(Default)]
pub(crate) struct Report {
    /// Date, machine, programs: one a line.
    pub(crate) conditions: Vec<String>,
    pub(crate) rows: Vec<Row>,
    pub(crate) weights: Vec<Weight>,
    pub(crate) few: Vec<Few>,
    pub(crate) paced: Vec<(String, Paced)>,
    /// What could not be measured, and why.
    pub(crate) left_out: Vec<String>,
}

/// `(what, ours, theirs, must, stretch)`: rows by section and name, goals as ratios of processor time.
type Goal = (
    &'static str,
    (&'static str, &'static str),
    (&'static str, &'static str),
    f64,
    f64,
);

const FULL: &str = "Sidegate: 100,000 tokens, bans, rate limit, 5 headers";
const GOALS: [Goal; 14] = [
    (
        "decision / nginx `return 200`",
        ("decision", "Sidegate: 1 token"),
        ("decision", "nginx: return 200, no check"),
        1.0,
        0.85,
    ),
    (
        "decision / nginx map, geo, limit_req",
        ("decision", FULL),
        ("decision", "nginx: map, geo, limit_req, 5 headers"),
        0.9,
        0.75,
    ),
    (
        "decision / HAProxy map, bans, stick table",
        ("decision", FULL),
        ("decision", "HAProxy: map, bans, stick table, 5 headers"),
        0.75,
        0.6,
    ),
    (
        "decision / nginx auth_basic {SHA}, 1 user",
        ("decision", "Sidegate: 1 token"),
        ("decision", "nginx: auth_basic {SHA}, 1 user"),
        0.75,
        0.55,
    ),
    (
        "decision / nginx auth_basic {SHA}, last of 1,000",
        ("decision", "Sidegate: 1 token"),
        ("decision", "nginx: auth_basic {SHA}, last of 1,000"),
        0.2,
        0.12,
    ),
    (
        "decision / nginx bcrypt cost 5",
        ("decision", "Sidegate: 1 token"),
        ("decision", "nginx: auth_basic bcrypt cost 5"),
        0.01,
        0.005,
    ),
    (
        "1,000,000 tokens / 1 token",
        ("decision", "Sidegate: 1,000,000 tokens"),
        ("decision", "Sidegate: 1 token"),
        1.15,
        1.05,
    ),
    (
        "proxy 100 B / nginx without a check",
        ("proxy, 100 B", "Sidegate: token"),
        ("proxy, 100 B", "nginx: no check"),
        0.8,
        0.65,
    ),
    (
        "proxy 100 B / HAProxy with a check",
        ("proxy, 100 B", "Sidegate: token"),
        ("proxy, 100 B", "HAProxy: map, bans, stick table"),
        0.85,
        0.6,
    ),
    (
        "proxy 100 B / nginx auth_request",
        ("proxy, 100 B", "Sidegate: token"),
        ("proxy, 100 B", "nginx: auth_request, asked server not counted"),
        0.5,
        0.35,
    ),
    (
        "proxy 10 kB / nginx without a check",
        ("proxy, 10 kB", "Sidegate: token"),
        ("proxy, 10 kB", "nginx: no check"),
        0.8,
        0.65,
    ),
    (
        "proxy 1 MB / nginx without a check",
        ("proxy, 1 MB", "Sidegate: token"),
        ("proxy, 1 MB", "nginx: no check"),
        0.4,
        0.25,
    ),
    (
        "TLS 1.3 handshake / nginx",
        (HANDSHAKES, "Sidegate: TLS 1.3, full"),
        (HANDSHAKES, "nginx: TLS 1.3, full"),
        0.6,
        0.45,
    ),
    (
        "TLS 1.2 handshake / nginx",
        (HANDSHAKES, "Sidegate: TLS 1.2, full"),
        (HANDSHAKES, "nginx: TLS 1.2, full"),
        0.6,
        0.45,
    ),
];

/// The section of those.
pub(crate) const HANDSHAKES: &str = "TLS handshakes";

/// Bytes that an idle connection and an idle tunnel may cost: must, stretch.
const KEPT: (u64, u64) = (2500, 1144);
const TUNNEL: (u64, u64) = (3600, 2400);
/// User-space instructions: the name in `benches/instructions.txt`, what it is, must, stretch.
const INSTRUCTIONS: [(&str, &str, u64, u64); 2] = [
    ("decided", "instructions of a decision", 4000, 2500),
    ("proxied", "instructions of a proxied request", 9000, 6000),
];

impl Row {
    fn cpu_each(&self) -> Vec<f64> {
        let each = |sample: &Sample| micros(sample.cpu) / sample.requests.max(1) as f64;
        self.rounds.iter().map(each).collect()
    }

    fn cpu(&self) -> f64 {
        median(self.cpu_each())
    }

    /// The rounds' ratios: what the machine did beside it hit both alike.
    fn ratios(&self, base: &Row) -> Option<Vec<f64>> {
        if self.invalid.is_some() || base.invalid.is_some() || self.rounds.len() != base.rounds.len() {
            return None;
        }
        let pairs = self.cpu_each().into_iter().zip(base.cpu_each());
        Some(pairs.map(|(own, base)| own / base).collect())
    }

    /// Their median.
    fn ratio(&self, base: &Row) -> Option<f64> {
        self.ratios(base).map(median)
    }

    fn of(&self, value: impl Fn(&Sample) -> f64) -> f64 {
        median(self.rounds.iter().map(value).collect())
    }
}

impl Report {
    fn find(&self, (section, name): (&str, &str)) -> Option<&Row> {
        self.rows
            .iter()
            .find(|row| row.section == section && row.name == name)
    }

    fn sections(&self) -> Vec<Vec<&Row>> {
        let mut sections: Vec<Vec<&Row>> = Vec::new();
        for row in &self.rows {
            match sections.last_mut() {
                Some(last) if last[0].section == row.section => last.push(row),
                _ => sections.push(vec![row]),
            }
        }
        sections
    }

    /// Markdown, which reads as text too.
    pub(crate) fn page(&self) -> String {
        let mut page = String::new();
        for line in &self.conditions {
            let _ = writeln!(page, "- {line}");
        }
        for rows in self.sections() {
            let _ = writeln!(
                page,
                "\n### {}\n\n| {:<54} | CPU/request | min to max | ratio | min to max | per second | p50 | p99 | busy |\n|{}|--:|--:|--:|--:|--:|--:|--:|--:|",
                capital(rows[0].section),
                "",
                "-".repeat(56)
            );
            for row in &rows {
                self.line(&mut page, row, rows[0]);
            }
        }
        self.memory(&mut page);
        self.evenness(&mut page);
        self.latency(&mut page);
        self.goals(&mut page);
        if !self.left_out.is_empty() {
            page.push_str("\n### Not measured\n\n");
            for line in &self.left_out {
                let _ = writeln!(page, "- {line}");
            }
        }
        page
    }

    fn line(&self, page: &mut String, row: &Row, base: &Row) {
        let name = if row.ours {
            format!("**{}**", row.name)
        } else {
            row.name.clone()
        };
        if let Some(why) = &row.invalid {
            let _ = writeln!(
                page,
                "| {name:<54} | no figure: {} | | | | | | | |",
                why.replace(['\n', '|'], " ").trim()
            );
            return;
        }
        let mut each = row.cpu_each();
        each.sort_by(f64::total_cmp);
        let mut ratios = row.ratios(base).unwrap_or_default();
        ratios.sort_by(f64::total_cmp);
        let ratio = match ratios.as_slice() {
            [] => " | ".to_owned(),
            [least, .., most] => format!("{:.3} | {least:.2} to {most:.2}", median(ratios.clone())),
            [only] => format!("{only:.3} | "),
        };
        let _ = writeln!(
            page,
            "| {name:<54} | {} | {} to {} | {ratio} | {} | {} | {} | {:.2} |",
            span(row.cpu()),
            span(each[0]),
            span(each[each.len() - 1]),
            thousands(row.of(|sample| sample.requests as f64 / sample.span.as_secs_f64())),
            span(row.of(|sample| micros(sample.p50))),
            span(row.of(|sample| micros(sample.p99))),
            row.of(|sample| sample.cpu.as_secs_f64() / sample.span.as_secs_f64()),
        );
    }

    fn memory(&self, page: &mut String) {
        if self.weights.is_empty() {
            return;
        }
        page.push_str("\n### Memory of what waits, resident bytes each\n\n| | kept connection | WebSocket tunnel |\n|---|--:|--:|\n");
        for weight in &self.weights {
            let (kept, tunnel) = (thousands(weight.kept as f64), thousands(weight.tunnel as f64));
            let _ = writeln!(page, "| {} | {kept} | {tunnel} |", weight.name);
        }
    }

    fn evenness(&self, page: &mut String) {
        if self.few.is_empty() {
            return;
        }
        page.push_str(
            "\n### Few connections on two workers\n\nWorkers and load share the processors. Share: of the workers' \
             time, what the busier one took.\n\n\
             | connections | share | highest of the rounds | CPU/request | per second | p99 |\n|--:|--:|--:|--:|--:|--:|\n",
        );
        for few in &self.few {
            let of = |value: &dyn Fn(&Sample) -> f64| median(few.rounds.iter().map(value).collect());
            let _ = writeln!(
                page,
                "| {} | {:.0} % | {:.0} % | {} | {} | {} |",
                few.connections,
                median(few.shares.clone()) * 100.0,
                few.shares.iter().copied().fold(0.0, f64::max) * 100.0,
                span(of(&|sample| micros(sample.cpu) / sample.requests as f64)),
                thousands(of(&|sample| sample.requests as f64 / sample.span.as_secs_f64())),
                span(of(&|sample| micros(sample.p99))),
            );
        }
    }

    fn latency(&self, page: &mut String) {
        if self.paced.is_empty() {
            return;
        }
        page.push_str(
            "\n### Latency of checks at 2,000 a second, while something else goes on\n\n\
             | | p50 | p99 | longest | answered a second | refused | closed |\n|---|--:|--:|--:|--:|--:|--:|\n",
        );
        for (name, paced) in &self.paced {
            let spans = [paced.p50, paced.p99, paced.most].map(|value| span(micros(value)));
            let _ = writeln!(
                page,
                "| {name} | {} | {} | {} | {} |",
                spans.join(" | "),
                thousands(paced.rate),
                paced.refused,
                paced.closed
            );
        }
    }

    fn goals(&self, page: &mut String) {
        page.push_str("\n### Goals\n\nRatios of processor time for a request, with the rounds' lowest and highest; bytes for memory; instructions in \
             user space, as `benches/instructions` counts them.\n\n| | must | stretch | seen | |\n|---|--:|--:|--:|---|\n");
        let verdict = |met: bool, more: bool| match (met, more) {
            (_, true) => "stretch",
            (true, _) => "met",
            (false, _) => "**missed**",
        };
        for (what, ours, theirs, must, stretch) in GOALS {
            let pair = self.find(ours).zip(self.find(theirs));
            let Some(mut ratios) = pair
                .and_then(|(ours, theirs)| ours.ratios(theirs))
                .filter(|ratios| !ratios.is_empty())
            else {
                continue;
            };
            ratios.sort_by(f64::total_cmp);
            let seen = median(ratios.clone());
            let said = verdict(seen <= must, seen <= stretch);
            let (least, most) = (ratios[0], ratios[ratios.len() - 1]);
            let _ = writeln!(
                page,
                "| {what} | {must} | {stretch} | {seen:.3} ({least:.2} to {most:.2}) | {said} |"
            );
        }
        for (name, what, must, stretch) in INSTRUCTIONS {
            let Some(seen) = instructions(name) else { continue };
            let said = verdict(seen <= must, seen <= stretch);
            let _ = writeln!(page, "| {what} | {must} | {stretch} | {seen} | {said} |");
        }
        if let Some(ours) = self
            .weights
            .iter()
            .find(|weight| weight.name.starts_with("Sidegate"))
        {
            for (what, seen, (must, stretch)) in [
                ("idle kept connection", ours.kept, KEPT),
                ("idle WebSocket tunnel", ours.tunnel, TUNNEL),
            ] {
                let said = verdict(seen <= must, seen <= stretch);
                let _ = writeln!(page, "| {what} | {must} B | {stretch} B | {seen} B | {said} |");
            }
        }
    }

    /// One bar a row: processor time beside the first of its section, and what was seen.
    pub(crate) fn plot(&self) -> String {
        const LEFT: f64 = 390.0;
        const LONGEST: f64 = 320.0;
        /// Ratios above are cut off.
        const MOST: f64 = 2.5;
        const COLUMNS: [(&str, f64); 5] = [
            ("ratio", 770.0),
            ("CPU/request", 850.0),
            ("per second", 930.0),
            ("p50", 1005.0),
            ("p99", 1080.0),
        ];
        let mut body = String::new();
        let mut y = 20.0;
        let title = "Processor time for a request, beside the first of each section (red line), with the rounds' lowest and highest; less is better";
        let mut text = |y: f64, class: &str, text: &str| {
            let _ = writeln!(
                body,
                "<text x=\"12\" y=\"{y}\" class=\"{class}\">{}</text>",
                escape(text)
            );
        };
        text(y, "section", title);
        for line in &self.conditions {
            y += 15.0;
            text(y, "", &line.replace("**", ""));
        }
        y += 28.0;
        for rows in self.sections() {
            let section = escape(&capital(rows[0].section));
            let _ = writeln!(
                body,
                "<text x=\"12\" y=\"{y}\" class=\"section\">{section}</text>"
            );
            for (heading, x) in COLUMNS {
                let _ = writeln!(
                    body,
                    "<text x=\"{x}\" y=\"{y}\" class=\"heading\">{heading}</text>"
                );
            }
            y += 8.0;
            let top = y;
            for row in &rows {
                let Some(ratio) = row.ratio(rows[0]) else { continue };
                let length = ratio.min(MOST) / MOST * LONGEST;
                let class = if row.ours { "ours" } else { "peer" };
                let cut = if ratio > MOST { "…" } else { "" };
                let _ = writeln!(
                    body,
                    "<text x=\"{}\" y=\"{}\" class=\"right\">{}</text>\
                     <rect x=\"{LEFT}\" y=\"{y}\" width=\"{length:.1}\" height=\"13\" class=\"{class}\"/>\
                     <text x=\"{:.1}\" y=\"{}\">{cut}</text>",
                    LEFT - 8.0,
                    y + 11.0,
                    escape(&row.name),
                    LEFT + length + 3.0,
                    y + 11.0,
                );
                let at = |ratio: f64| LEFT + ratio.min(MOST) / MOST * LONGEST;
                let ratios = row.ratios(rows[0]).unwrap_or_default();
                let least = ratios.iter().copied().fold(ratio, f64::min);
                let most = ratios.iter().copied().fold(ratio, f64::max);
                let _ = writeln!(
                    body,
                    "<path d=\"M{:.1} {y_mid}H{:.1}\"/>",
                    at(least),
                    at(most),
                    y_mid = y + 6.5
                );
                let figures = [
                    format!("{ratio:.2}"),
                    span(row.cpu()),
                    thousands(row.of(|sample| sample.requests as f64 / sample.span.as_secs_f64())),
                    span(row.of(|sample| micros(sample.p50))),
                    span(row.of(|sample| micros(sample.p99))),
                ];
                for (figure, (_, x)) in figures.iter().zip(COLUMNS) {
                    let _ = writeln!(
                        body,
                        "<text x=\"{x}\" y=\"{}\" class=\"right\">{figure}</text>",
                        y + 11.0
                    );
                }
                y += 17.0;
            }
            let one = LEFT + LONGEST / MOST;
            let _ = writeln!(
                body,
                "<line x1=\"{one}\" y1=\"{top}\" x2=\"{one}\" y2=\"{}\"/>",
                y - 3.0
            );
            y += 26.0;
        }
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 1092 {y:.0}\" font-family=\"sans-serif\" font-size=\"11\">\n\
             <style>rect.ours{{fill:#2a7f62}}rect.peer{{fill:#b8b8b8}}line{{stroke:#c0392b;stroke-dasharray:2 2}}path{{stroke:#222}}\
             text{{fill:#222}}.right{{text-anchor:end}}.heading{{text-anchor:end;fill:#777}}\
             .section{{font-weight:bold;font-size:13px}}</style>\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n{body}</svg>\n"
        )
    }
}

/// The committed figure.
fn instructions(name: &str) -> Option<u64> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions.txt");
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => values[middle],
        _ => (values[middle - 1] + values[middle]) / 2.0,
    }
}

fn micros(span: Duration) -> f64 {
    span.as_secs_f64() * 1e6
}

/// Three digits are all that can be told.
fn span(micros: f64) -> String {
    let (value, unit) = if micros < 1e3 {
        (micros, "µs")
    } else {
        (micros / 1e3, "ms")
    };
    match value {
        value if value < 10.0 => format!("{value:.2} {unit}"),
        value if value < 100.0 => format!("{value:.1} {unit}"),
        value => format!("{value:.0} {unit}"),
    }
}

fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string());
    first.unwrap_or_default() + letters.as_str()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
