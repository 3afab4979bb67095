//! The comparison as a table, as JSON, and as a picture.

use super::incident::One;
use super::{Figures, Row};
use anyhow::{Context, Result, anyhow};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::fmt::Write;
use std::path::Path;

/// Writes `peers.md`, `peers.json` and `peers.svg` into a folder, which is made when it is not there.
///
/// # Errors
/// When a file cannot be written; those before it are then there.
pub(crate) fn write(figures: &Figures, folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let put = |name: &str, text: String| {
        let file = folder.join(name);
        std::fs::write(&file, text).with_context(|| file.display().to_string())
    };
    put("peers.md", markdown(figures)?)?;
    put("peers.json", serde_json::to_string_pretty(figures)? + "\n")?;
    put("peers.svg", picture(figures)?)
}

impl Row {
    fn values(&self, take: impl Fn(&One) -> Option<u64>) -> Vec<u64> {
        let mut values: Vec<_> = self.incidents.iter().filter_map(take).collect();
        values.sort_unstable();
        values
    }

    fn sum(&self, take: impl Fn(&One) -> u64) -> u64 {
        self.incidents.iter().map(take).sum()
    }
}

/// Median and largest of sorted values.
fn middle(values: &[u64]) -> Option<(u64, u64)> {
    Some((*values.get(values.len().checked_sub(1)? / 2)?, *values.last()?))
}

/// A time for people, from microseconds.
fn time(usec: u64) -> String {
    match usec {
        0..10_000 => format!("{:.1} ms", usec as f64 / 1e3),
        10_000..1_000_000 => format!("{} ms", usec / 1_000),
        _ => format!("{:.1} s", usec as f64 / 1e6),
    }
}

/// Median and largest time, and how often there was none.
fn times(row: &Row, take: impl Fn(&One) -> Option<u64>, none: &str) -> String {
    let values = row.values(take);
    let missing = row.incidents.len() - values.len();
    match middle(&values) {
        None => none.to_owned(),
        Some((half, most)) if missing == 0 => format!("{}, {}", time(half), time(most)),
        Some((half, most)) => format!("{}, {} ({none} {missing} times)", time(half), time(most)),
    }
}

fn rates(figures: &Figures) -> Vec<u32> {
    let mut rates: Vec<_> = figures.rows.iter().map(|row| row.rate).collect();
    rates.sort_unstable_by(|one, other| other.cmp(one));
    rates.dedup();
    rates
}

pub(super) fn markdown(figures: &Figures) -> Result<String> {
    let mut text = String::from("# The same fault, side by side\n\n");
    let of = |name: &str| figures.machine.get(name).map_or("?", String::as_str);
    writeln!(
        text,
        "Taken on {} by `make bench` on one computer ({}, {} cores, kernel {}): Debian {}, HAProxy {}, systemd {}, monit {}, {}.\n",
        figures.taken,
        of("processor"),
        of("cores"),
        of("kernel"),
        of("debian"),
        of("haproxy"),
        of("systemd"),
        of("monit"),
        of("warden"),
    )?;
    writeln!(
        text,
        "{} nodes; one turns sick: it answers 500 to everything, at once. Clients send GETs, most on connections of their own, and repeat nothing. HAProxy repeats \
         nothing either, but in the last row. The service starts in about a second. Times begin with the service's own stamp of its fatal line. \
         Two figures are the median and the largest. \"Nobody\": HAProxy restarts nothing, the measurement did it once the server was out.\n",
        figures.nodes
    )?;
    writeln!(text, "![Failed requests and time to out of rotation, by peer](peers.svg)")?;
    for rate in rates(figures) {
        writeln!(text, "\n## {rate} requests a second\n")?;
        writeln!(
            text,
            "| | incidents | failed requests | fault → out of rotation | fault → restart begun | fault → back at full weight | needless restarts | answered 429 |"
        )?;
        writeln!(text, "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")?;
        for row in figures.rows.iter().filter(|row| row.rate == rate) {
            let (half, most) = middle(&row.values(|one| Some(one.failed as u64))).unwrap_or_default();
            writeln!(
                text,
                "| {} | {} | {half}, {most} | {} | {} | {} | {} | {} |",
                row.name,
                row.incidents.len(),
                times(row, |one| one.out_usec, "never"),
                times(row, |one| one.restart_usec, "nobody"),
                times(row, |one| Some(one.back_usec), "never"),
                row.sum(|one| one.needless),
                row.sum(|one| one.busy as u64),
            )?;
        }
    }
    Ok(text)
}

/// What the picture shows of a row: failed requests, and milliseconds until out of rotation (none: never).
fn bars(row: &Row) -> [Option<f64>; 2] {
    let failed = middle(&row.values(|one| Some(one.failed as u64))).map(|(half, _)| half as f64);
    // Never out is as long as the incident was.
    let out = middle(&row.values(|one| one.out_usec)).map(|(half, _)| half as f64 / 1e3);
    [failed, out]
}

const WIDTH: u32 = 1000;
const LINE: u32 = 26;
const NAMES: i32 = 330;
const OURS: RGBColor = RGBColor(26, 107, 69);
const THEIRS: RGBColor = RGBColor(120, 120, 112);
/// Readable on a light page and on a dark one.
const INK: RGBColor = RGBColor(110, 110, 105);

/// A column of bars for each of the two figures, a block of rows for each rate; both scales are logarithmic.
fn picture(figures: &Figures) -> Result<String> {
    let rates = rates(figures);
    let lines = |rate: u32| figures.rows.iter().filter(move |row| row.rate == rate);
    let blocks = u32::try_from(rates.len())?;
    let height = u32::try_from(figures.rows.len())? * LINE + blocks * 3 * LINE;
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        let say = |text: &str, at: (i32, i32), size: i32, h: HPos| {
            let style = ("sans-serif", size).into_font().color(&INK).pos(Pos::new(h, VPos::Center));
            root.draw(&Text::new(text.to_owned(), at, style)).map_err(|error| anyhow!("the picture: {error}"))
        };
        let line = i32::try_from(LINE)?;
        let mut top = 0;
        for rate in rates {
            say(&format!("{rate} requests a second"), (10, top + line), 16, HPos::Left)?;
            let columns = [("failed requests per incident", 0.5, 2_000.0), ("ms until out of rotation", 0.5, 60_000.0)];
            let room = (i32::try_from(WIDTH)? - NAMES) / 2;
            for (column, (title, low, high)) in (0..).zip(columns) {
                let left = NAMES + column * room;
                say(title, (left, top + line), 14, HPos::Left)?;
                for (number, row) in (0..).zip(lines(rate)) {
                    let middle = top + line * 2 + number * line;
                    if column == 0 {
                        say(row.name, (NAMES - 10, middle), 13, HPos::Right)?;
                    }
                    let color = if row.name.starts_with("Warden") { OURS } else { THEIRS };
                    let (share, label) = match bars(row)[usize::try_from(column)?] {
                        None => (1.0, "never".to_owned()),
                        Some(value) => ((value.max(low) / low).ln() / (high / low).ln(), short(value)),
                    };
                    let long = (share.min(1.0) * f64::from(room - 60)) as i32 + 2;
                    let bar = Rectangle::new([(left, middle - line / 3), (left + long, middle + line / 3)], color.filled());
                    root.draw(&bar).map_err(|error| anyhow!("the picture: {error}"))?;
                    say(&label, (left + long + 6, middle), 13, HPos::Left)?;
                }
            }
            top += line * (3 + i32::try_from(lines(rate).count())?);
        }
        root.present().map_err(|error| anyhow!("the picture: {error}"))?;
    }
    Ok(svg)
}

/// Whole from ten on, and where it is.
fn short(value: f64) -> String {
    if value.fract() == 0.0 || value >= 10.0 { format!("{value:.0}") } else { format!("{value:.1}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn figures() -> Figures {
        let one =
            |out_usec, failed| One { out_usec, restart_usec: None, back_usec: 7_000_000, requests: 900, failed, busy: 3, needless: 0 };
        let row = |key, name, rate, incidents| Row { key, name, rate, incidents };
        Figures {
            taken: "2026-01-01".into(),
            machine: BTreeMap::from([("haproxy", "3.0.11".to_owned())]),
            nodes: 3,
            rows: vec![
                row("defaults", "HAProxy's defaults", 200, vec![one(Some(5_000_000), 320), one(Some(6_000_000), 400), one(None, 500)]),
                row("log", "Warden, log pattern", 200, vec![one(Some(4_200), 1)]),
                row("shell", "a shell", 5, vec![one(None, 9)]),
            ],
        }
    }

    #[test]
    fn the_table_has_median_and_largest_and_says_what_never_came() {
        let text = markdown(&figures()).unwrap();
        let line = |name: &str| text.lines().find(|line| line.starts_with(&format!("| {name}"))).unwrap().to_owned();
        assert_eq!(line("HAProxy"), "| HAProxy's defaults | 3 | 400, 500 | 5.0 s, 6.0 s (never 1 times) | nobody | 7.0 s, 7.0 s | 0 | 9 |");
        assert_eq!(line("Warden"), "| Warden, log pattern | 1 | 1, 1 | 4.2 ms, 4.2 ms | nobody | 7.0 s, 7.0 s | 0 | 3 |");
        assert_eq!(line("a shell"), "| a shell | 1 | 9, 9 | never | nobody | 7.0 s, 7.0 s | 0 | 3 |");
        assert!(text.find("## 200 requests").unwrap() < text.find("## 5 requests").unwrap());
    }

    #[test]
    fn the_picture_has_a_bar_for_each_figure() {
        let svg = picture(&figures()).unwrap();
        assert_eq!(svg.matches("<rect").count(), 6, "{svg}");
        assert!(svg.contains("never") && svg.contains("Warden, log pattern"), "{svg}");
    }
}
