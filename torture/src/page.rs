//! One page that shows a run: what was done to the cluster, what it did, and the verdicts. It is
//! whole in itself: no other file, no script, nothing from anywhere.

mod drawing;

use crate::check::Verdict;
use crate::history::{Entry, Fact};
use std::collections::BTreeMap;
use std::fmt::Write as _;

const STYLE: &str = "
body{font:14px/1.45 system-ui,'DejaVu Sans',sans-serif;margin:24px auto;max-width:1500px;color:#1d2733;background:#fff;padding:0 16px}
h1{font-size:22px;margin:0}h2{font-size:16px;margin:28px 0 8px}p{margin:4px 0 14px;color:#51606f}
.bar{padding:10px 14px;border-radius:6px;color:#fff;font-weight:600;margin:14px 0}
.bar.ok{background:#1f7a4d}.bar.violated{background:#b3261e}
table{border-collapse:collapse;width:100%}th{text-align:left;color:#51606f;font-weight:600}
th,td{padding:5px 10px 5px 0;border-bottom:1px solid #e3e8ee;vertical-align:top}
td.n{white-space:nowrap;font-variant-numeric:tabular-nums}
.word{font-weight:600;padding:1px 8px;border-radius:9px;color:#fff;white-space:nowrap}
.word.ok{background:#1f7a4d}.word.violated{background:#b3261e}.word.not{background:#7b8794}
.seen{color:#51606f}ul{margin:4px 0;padding-left:18px;color:#b3261e}svg{width:100%;height:auto;display:block}
svg text{font:11px system-ui,'DejaVu Sans',sans-serif;fill:#1d2733}
.swatch{display:inline-block;width:12px;height:12px;border-radius:2px;margin:0 5px 0 14px;vertical-align:-1px}
";

/// A fault as it went.
#[derive(Clone, Debug)]
pub(crate) struct Story {
    pub(crate) id: u32,
    pub(crate) row: String,
    pub(crate) name: String,
    pub(crate) on: String,
    pub(crate) began: u64,
    pub(crate) healed: Option<u64>,
    pub(crate) whole: Option<u64>,
    /// The longest time without an offer to any framework while it lasted and until all was whole.
    pub(crate) gap: u64,
    /// How many times somebody began to lead meanwhile.
    pub(crate) elections: usize,
    pub(crate) failed: Vec<String>,
    /// What was seen of it besides.
    pub(crate) seen: Vec<String>,
}

/// The faults of a history.
pub(crate) fn stories(history: &[Entry]) -> Vec<Story> {
    let mut stories: BTreeMap<u32, Story> = BTreeMap::new();
    for entry in history {
        match &entry.fact {
            Fact::Fault { id, row, name, on } => {
                let story = Story {
                    id: *id,
                    row: row.clone(),
                    name: name.clone(),
                    on: on.clone(),
                    began: entry.at,
                    healed: None,
                    whole: None,
                    gap: 0,
                    elections: 0,
                    failed: Vec::new(),
                    seen: Vec::new(),
                };
                stories.insert(*id, story);
            }
            Fact::Healed { id } => change(&mut stories, *id, |story| story.healed = Some(entry.at)),
            Fact::Whole { id } => change(&mut stories, *id, |story| story.whole = Some(entry.at)),
            Fact::Expect { id, what, ok: false } => {
                change(&mut stories, *id, |story| story.failed.push(what.clone()));
            }
            Fact::Seen { id, what } => {
                change(&mut stories, *id, |story| story.seen.push(what.clone()));
            }
            _ => {}
        }
    }
    let end = history.last().map_or(0, |entry| entry.at);
    for story in stories.values_mut() {
        let to = story.whole.unwrap_or(end);
        story.gap = longest_gap(history, story.began, to);
        story.elections = elections(history, story.began, to);
    }
    stories.into_values().collect()
}

fn change(stories: &mut BTreeMap<u32, Story>, id: u32, how: impl FnOnce(&mut Story)) {
    if let Some(story) = stories.get_mut(&id) {
        how(story);
    }
}

fn longest_gap(history: &[Entry], from: u64, to: u64) -> u64 {
    let (mut last, mut longest) = (from, 0);
    let offers = history.iter().filter(|entry| matches!(entry.fact, Fact::Offered { .. }));
    for entry in offers.filter(|entry| (from..to).contains(&entry.at)) {
        longest = longest.max(entry.at - last);
        last = entry.at;
    }
    longest.max(to - last)
}

fn elections(history: &[Entry], from: u64, to: u64) -> usize {
    let leads =
        |entry: &&Entry| matches!(&entry.fact, Fact::Master { role, .. } if role == "leader");
    history.iter().filter(leads).filter(|entry| (from..to).contains(&entry.at)).count()
}

/// What the page says above all.
pub(crate) struct Head {
    pub(crate) seed: u64,
    pub(crate) program: String,
}

/// The whole page.
pub(crate) fn page(head: &Head, history: &[Entry], verdicts: &[Verdict]) -> String {
    let violated = verdicts.iter().filter(|verdict| verdict.word() == "violated").count();
    let stories = stories(history);
    let begin = history.first().map_or(0, |entry| entry.at);
    let length = history.last().map_or(0, |entry| entry.at) - begin;
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Tepui under torture</title>\
         <style>{STYLE}</style></head><body><h1>Tepui under torture</h1>\
         <p>seed {}, {}, {} faults in {}; 3 masters, 5 agents, 3 frameworks, each on a machine of \
         its own (network namespaces)</p>",
        head.seed,
        escape(&head.program),
        stories.len(),
        span(length)
    );
    let (class, text) = match violated {
        0 if verdicts.iter().all(|verdict| verdict.word() == "ok") => {
            ("ok", "All invariants held".to_owned())
        }
        0 => ("ok", "All invariants that were tested held".to_owned()),
        1 => ("violated", "1 invariant was violated".to_owned()),
        many => ("violated", format!("{many} invariants were violated")),
    };
    let _ = write!(page, "<div class=\"bar {class}\">{text}</div>");
    verdict_table(&mut page, verdicts);
    page.push_str("<h2>Timeline</h2>");
    drawing::legend(&mut page);
    drawing::timeline(&mut page, history, &stories);
    story_table(&mut page, &stories, begin);
    page.push_str("</body></html>\n");
    page
}

fn verdict_table(page: &mut String, verdicts: &[Verdict]) {
    page.push_str(
        "<h2>Verdicts</h2><table><tr><th></th><th>invariant</th><th></th><th>counted</th></tr>",
    );
    for verdict in verdicts {
        let word = verdict.word();
        let class = word.split(' ').next().unwrap_or(word);
        let _ = write!(
            page,
            "<tr><td class=\"n\">{}</td><td>{}</td><td><span class=\"word {class}\">{word}</span></td><td>{}",
            verdict.id,
            escape(verdict.claim),
            escape(&verdict.counted)
        );
        if !verdict.violations.is_empty() {
            page.push_str("<ul>");
            for violation in verdict.violations.iter().take(20) {
                let _ = write!(page, "<li>{}</li>", escape(violation));
            }
            if verdict.violations.len() > 20 {
                let _ = write!(page, "<li>and {} more</li>", verdict.violations.len() - 20);
            }
            page.push_str("</ul>");
        }
        page.push_str("</td></tr>");
    }
    page.push_str("</table>");
}

fn story_table(page: &mut String, stories: &[Story], begin: u64) {
    page.push_str(
        "<h2>Faults</h2><table><tr><th></th><th>row</th><th>fault</th><th>on</th><th>at</th>\
         <th>lasted</th><th>whole again after</th><th>longest time without offers</th>\
         <th>leaders</th></tr>",
    );
    for story in stories {
        let healed = story.healed.map(|healed| span(healed - story.began));
        let whole = story.healed.zip(story.whole).map(|(healed, whole)| span(whole - healed));
        let missing = || "<b style=\"color:#b3261e\">never</b>".to_owned();
        let _ = write!(
            page,
            "<tr><td class=\"n\">{}</td><td class=\"n\">{}</td><td>{}",
            story.id,
            escape(&story.row),
            escape(&story.name)
        );
        for seen in &story.seen {
            let _ = write!(page, "<div class=\"seen\">{}</div>", escape(seen));
        }
        for failed in &story.failed {
            let _ = write!(page, "<ul><li>{}: no</li></ul>", escape(failed));
        }
        let _ = write!(
            page,
            "</td><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>\
             <td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
            escape(&story.on),
            span(story.began - begin),
            healed.unwrap_or_else(missing),
            whole.unwrap_or_else(missing),
            span(story.gap),
            story.elections
        );
    }
    page.push_str("</table>");
}

/// "4.2 s", "5 min 03 s".
pub(crate) fn span(ns: u64) -> String {
    let seconds = ns / 1_000_000_000;
    if seconds < 100 {
        format!("{seconds}.{} s", ns / 100_000_000 % 10)
    } else {
        format!("{} min {:02} s", seconds / 60, seconds % 60)
    }
}

pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(at: u64, fact: Fact) -> Entry {
        Entry { at, fact }
    }

    fn offered(at: u64) -> Entry {
        let (framework, offer, agent) = ("alpha".into(), at.to_string(), "a".into());
        entry(at, Fact::Offered { framework, offer, agent, cpus: 1 })
    }

    #[test]
    fn a_story_has_its_gap_its_leaders_and_what_failed_and_the_page_shows_them() {
        const S: u64 = 1_000_000_000;
        let (row, name, on) = ("F1".into(), "a <b>".into(), "m1".into());
        let history = [
            offered(S),
            entry(2 * S, Fact::Fault { id: 1, row, name, on }),
            offered(3 * S),
            entry(4 * S, Fact::Master { master: 1, role: "leader".into(), term: 2 }),
            entry(5 * S, Fact::Expect { id: 1, what: "it ends".into(), ok: false }),
            entry(6 * S, Fact::Healed { id: 1 }),
            offered(8 * S),
            entry(9 * S, Fact::Whole { id: 1 }),
        ];
        let stories = stories(&history);
        assert_eq!((stories[0].gap, stories[0].elections), (5 * S, 1));
        let head = Head { seed: 7, program: "x".into() };
        let page = page(&head, &history, &crate::check::all(&history));
        for part in ["a &lt;b&gt;", "it ends: no", "seed 7", "5.0 s", "1 invariant was violated"] {
            assert!(page.contains(part), "{part}");
        }
        assert!(!page.contains("<script") && !page.contains("http"));
        assert_eq!(span(303 * S), "5 min 03 s");
    }
}
