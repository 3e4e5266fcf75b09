//! The timeline as a picture: one lane a part, time from left to right, faults above everything and
//! through everything.

use super::{Story, escape, span};
use crate::history::{Entry, Fact, Outcome};
use std::fmt::Write as _;

const WIDTH: f64 = 1_460.0;
const LEFT: f64 = 92.0;
const LANE: f64 = 20.0;
const STEP: f64 = 27.0;
/// The height of a row of faults, and the width of a letter of their names.
const ROW: f64 = 17.0;
const LETTER: f64 = 5.8;
/// A time without offers that is worth to be seen.
const GAP: u64 = 1_500_000_000;
const SECOND: u64 = 1_000_000_000;

const LEADER: &str = "#0b5cad";
const FOLLOWER: &str = "#b9d4ef";
const CANDIDATE: &str = "#f0a83c";
const AWAY: &str = "#e9ecf0";
const WORKS: &str = "#8fc7a4";
const SILENT: &str = "#e05d55";
const WRITES: &str = "#5b6b7c";

/// Colours of faults, by what they strike.
fn colour(story: &Story) -> &'static str {
    match story.row.as_str() {
        "F1" | "F2" | "F14" | "I10" => "#c0392b",
        "F3" | "F4" | "F5" | "F6" => "#8e44ad",
        "F9" | "F10" | "F11" | "F13" => "#b9770e",
        "F36" => "#117a8b",
        _ => "#2c6e49",
    }
}

pub(super) fn legend(page: &mut String) {
    page.push_str("<p>");
    for (colour, text) in [
        (LEADER, "leads (with its term)"),
        (FOLLOWER, "follows"),
        (CANDIDATE, "candidate"),
        (AWAY, "does not answer"),
        (WORKS, "at work"),
        (SILENT, "no offers for more than 1.5 s"),
        (WRITES, "acknowledged writes a second"),
    ] {
        let _ = write!(page, "<span class=\"swatch\" style=\"background:{colour}\"></span>{text}");
    }
    page.push_str("</p>");
}

struct Canvas<'a> {
    out: &'a mut String,
    begin: u64,
    end: u64,
}

impl Canvas<'_> {
    #[allow(clippy::cast_precision_loss, reason = "a place on a page of 1,460 points")]
    fn x(&self, at: u64) -> f64 {
        let length = (self.end - self.begin).max(1) as f64;
        LEFT + (at.clamp(self.begin, self.end) - self.begin) as f64 / length * (WIDTH - LEFT - 8.0)
    }

    /// The row of each fault: the first one in which its bar and its name have room.
    fn rows(&self, stories: &[Story]) -> Vec<usize> {
        let mut taken: Vec<f64> = Vec::new();
        let mut rows = Vec::new();
        for story in stories {
            let (x, end) = (self.x(story.began), self.x(story.healed.unwrap_or(self.end)));
            let name = label(story).len() as f64 * LETTER;
            let is_late = is_late(end, &label(story));
            let (from, to) = if is_late { (x - name - 3.0, end) } else { (x, end + name + 3.0) };
            let free = taken.iter().position(|until| *until < from);
            let row = free.unwrap_or_else(|| {
                taken.push(0.0);
                taken.len() - 1
            });
            taken[row] = to + 4.0;
            rows.push(row);
        }
        rows
    }

    fn bar(&mut self, y: f64, from: u64, to: u64, colour: &str, title: &str) {
        let (x, end) = (self.x(from), self.x(to));
        let width = (end - x).max(1.0);
        let _ = write!(
            self.out,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{LANE}\" fill=\"{colour}\"><title>{}</title></rect>",
            escape(title)
        );
    }

    fn label(&mut self, y: f64, text: &str) {
        let _ = write!(self.out, "<text x=\"4\" y=\"{:.1}\">{}</text>", y + 14.0, escape(text));
    }

    /// What holds from each of these moments on, until the next.
    fn segments(&mut self, y: f64, changes: &[(u64, &'static str, String)]) {
        for (at, (from, colour, title)) in changes.iter().enumerate() {
            let to = changes.get(at + 1).map_or(self.end, |next| next.0);
            self.bar(y, *from, to, colour, title);
        }
    }
}

pub(super) fn timeline(page: &mut String, history: &[Entry], stories: &[Story]) {
    let (Some(first), Some(last)) = (history.first(), history.last()) else { return };
    let plan = Canvas { out: &mut String::new(), begin: first.at, end: last.at }.rows(stories);
    let rows = plan.iter().max().map_or(0, |last| last + 1);
    let top = 30.0 + ROW * rows as f64;
    let height = top + STEP * 12.0 + 34.0;
    let _ = write!(page, "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">");
    let mut canvas = Canvas { out: page, begin: first.at, end: last.at };
    for (story, row) in stories.iter().zip(plan) {
        fault(&mut canvas, story, row, height);
    }
    let mut y = top;
    for master in 0..3 {
        canvas.label(y, &format!("master {}", master + 1));
        masters(&mut canvas, y, history, master);
        y += STEP;
    }
    for agent in 0..5 {
        canvas.label(y, &format!("agent {}", agent + 1));
        canvas.segments(y, &agents(history, first.at, agent));
        y += STEP;
    }
    for name in crate::cluster::SCHEDULERS {
        canvas.label(y, name);
        canvas.segments(y, &connections(history, name));
        gaps(&mut canvas, y, history, name);
        y += STEP;
    }
    canvas.label(y, "jobs");
    jobs(&mut canvas, y, history);
    y += STEP;
    canvas.label(y, "writes a second");
    writes(&mut canvas, y, history);
    axis(&mut canvas, y + STEP + 6.0);
    page.push_str("</svg>");
}

fn fault(canvas: &mut Canvas<'_>, story: &Story, row: usize, height: f64) {
    let to = story.healed.unwrap_or(canvas.end);
    let (x, end) = (canvas.x(story.began), canvas.x(to));
    let (width, colour) = ((end - x).max(1.0), colour(story));
    let y = 4.0 + ROW * row as f64;
    let (text, anchor) =
        if is_late(end, &label(story)) { (x - 3.0, "end") } else { (end + 3.0, "start") };
    let _ = write!(
        canvas.out,
        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{:.1}\" fill=\"{colour}\" opacity=\"0.09\"/>\
         <rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"14\" fill=\"{colour}\"><title>{}</title></rect>\
         <text x=\"{text:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\" style=\"fill:{colour};font-size:10px\">{}</text>",
        height - y - 24.0,
        escape(&format!("{} {}: {}, {}", story.row, story.name, story.on, span(to - story.began))),
        y + 11.0,
        escape(&label(story))
    );
}

fn label(story: &Story) -> String {
    format!("{} {}", story.id, story.name)
}

/// Whether there is no room for it after the bar, so that it stands before it.
fn is_late(end: f64, label: &str) -> bool {
    end + label.len() as f64 * LETTER > WIDTH
}

fn masters(canvas: &mut Canvas<'_>, y: f64, history: &[Entry], wanted: usize) {
    let mut changes = Vec::new();
    for entry in history {
        if let Fact::Master { master, role, term } = &entry.fact
            && *master == wanted
        {
            let colour = match role.as_str() {
                "leader" => LEADER,
                "follower" => FOLLOWER,
                "candidate" => CANDIDATE,
                _ => AWAY,
            };
            changes.push((entry.at, colour, format!("{role}, term {term}"), *term));
        }
    }
    let plain: Vec<_> =
        changes.iter().map(|(at, colour, title, _)| (*at, *colour, title.clone())).collect();
    canvas.segments(y, &plain);
    for (at, change) in changes.iter().enumerate().filter(|(_, change)| change.1 == LEADER) {
        let to = changes.get(at + 1).map_or(canvas.end, |next| next.0);
        let (x, end) = (canvas.x(change.0), canvas.x(to));
        if end - x > 22.0 {
            let _ = write!(
                canvas.out,
                "<text x=\"{:.1}\" y=\"{:.1}\" style=\"fill:#fff\">{}</text>",
                x + 4.0,
                y + 14.0,
                change.3
            );
        }
    }
}

fn agents(history: &[Entry], begin: u64, wanted: usize) -> Vec<(u64, &'static str, String)> {
    let mut changes = vec![(begin, WORKS, "runs".to_owned())];
    for entry in history {
        if let Fact::Agent { agent, up } = entry.fact
            && agent == wanted
        {
            let (colour, title) = if up { (WORKS, "runs") } else { (AWAY, "killed") };
            changes.push((entry.at, colour, title.to_owned()));
        }
    }
    changes
}

fn connections(history: &[Entry], wanted: &str) -> Vec<(u64, &'static str, String)> {
    let mut changes = Vec::new();
    for entry in history {
        match &entry.fact {
            Fact::Subscribed { framework, .. } if framework == wanted => {
                changes.push((entry.at, WORKS, "subscribed".to_owned()));
            }
            Fact::Disconnected { framework } if framework == wanted => {
                changes.push((entry.at, AWAY, "not connected".to_owned()));
            }
            _ => {}
        }
    }
    changes
}

fn gaps(canvas: &mut Canvas<'_>, y: f64, history: &[Entry], wanted: &str) {
    let is_offer = |entry: &&Entry| matches!(&entry.fact, Fact::Offered { framework, .. } if framework == wanted);
    let offers: Vec<u64> = history.iter().filter(is_offer).map(|entry| entry.at).collect();
    for pair in offers.windows(2).filter(|pair| pair[1] - pair[0] > GAP) {
        let title = format!("no offers for {}", span(pair[1] - pair[0]));
        let (x, end) = (canvas.x(pair[0]), canvas.x(pair[1]));
        let _ = write!(
            canvas.out,
            "<rect x=\"{x:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"5\" fill=\"{SILENT}\"><title>{title}</title></rect>",
            y + LANE - 5.0,
            end - x
        );
    }
}

fn jobs(canvas: &mut Canvas<'_>, y: f64, history: &[Entry]) {
    let mut open = None;
    for entry in history {
        match &entry.fact {
            Fact::Submitted { job, units } => {
                open = Some((entry.at, format!("{job}: {units} units")));
            }
            Fact::Ended { .. } => {
                if let Some((from, title)) = open.take() {
                    // A little less, so that one job is told from the next.
                    canvas.bar(y, from, entry.at.saturating_sub(SECOND / 5), WORKS, &title);
                }
            }
            _ => {}
        }
    }
}

fn writes(canvas: &mut Canvas<'_>, y: f64, history: &[Entry]) {
    let buckets = usize::try_from((canvas.end - canvas.begin) / SECOND).unwrap_or(0) + 1;
    let mut counts = vec![0_u32; buckets];
    for entry in history {
        if let Fact::Wrote { outcome: Outcome::Done, .. } = entry.fact {
            let at = usize::try_from((entry.at - canvas.begin) / SECOND).unwrap_or(0);
            counts[at] += 1;
        }
    }
    let most = counts.iter().copied().max().unwrap_or(0).max(1);
    for (at, count) in counts.iter().enumerate() {
        let from = canvas.begin + at as u64 * SECOND;
        let (x, end) = (canvas.x(from), canvas.x(from + SECOND));
        let high = f64::from(*count) / f64::from(most) * LANE;
        let _ = write!(
            canvas.out,
            "<rect x=\"{x:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{high:.1}\" fill=\"{WRITES}\"><title>{count}</title></rect>",
            y + LANE - high,
            (end - x).max(0.5)
        );
    }
}

fn axis(canvas: &mut Canvas<'_>, y: f64) {
    let length = canvas.end - canvas.begin;
    let step = [5, 10, 30, 60, 300, 600, 1_800, 3_600]
        .into_iter()
        .map(|step| step * SECOND)
        .find(|step| length / step <= 20)
        .unwrap_or(14_400 * SECOND);
    let mut at = 0;
    while at <= length {
        let x = canvas.x(canvas.begin + at);
        let seconds = at / SECOND;
        let _ = write!(
            canvas.out,
            "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.1}\" y2=\"{y:.1}\" stroke=\"#9aa7b4\"/>\
             <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}:{:02}</text>",
            y - 6.0,
            y + 12.0,
            seconds / 60,
            seconds % 60
        );
        at += step;
    }
}
