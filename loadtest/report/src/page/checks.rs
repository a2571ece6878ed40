//! Whether it was right: what was looked for, the bounds, and what each kind of consumer got.

use crate::{
    format::{bytes, count, counted, seconds},
    html::{escape, facts, paragraph, section, sentences},
    result::{ConsumerResult, Finding, RunResult},
    standing::{Standing, words_of},
};

/// Every kind that was looked for, found or not.
pub fn findings(result: &RunResult, standing: Standing) -> String {
    let checks = &result.checks;
    let mut found: Vec<&Finding> = checks.findings.iter().collect();
    found.sort_by_key(|finding| finding.count == 0);
    let rows: String = found.into_iter().map(finding_row).collect();
    let table = format!(
        "<table class=\"findings\">\n<thead><tr><th scope=\"col\">Looked for</th><th scope=\"col\">Found</th>\
         <th scope=\"col\">What it means</th></tr></thead>\n<tbody>\n{rows}</tbody>\n</table>\n"
    );
    let rows = [
        ("Acknowledged, warm-up included", Some(count(checks.acked))),
        ("Sightings by consumers", Some(count(checks.read))),
        ("Offsets compared", Some(count(checks.offsets_compared))),
        ("Definitely refused", Some(count(checks.failed))),
        ("Unknown outcome, in the log", Some(count(checks.unknown_visible))),
        ("Unknown outcome, not in the log", Some(count(checks.unknown_absent))),
    ];
    let unchecked = if checks.unchecked.is_empty() {
        String::new()
    } else {
        format!("<h3>What could not be checked</h3>\n{}", sentences("plain", &checks.unchecked))
    };
    let inner = format!(
        "{}<div class=\"beside\">\n<div>\n{table}</div>\n<aside>\n<h3>Records</h3>\n{}{unchecked}</aside>\n</div>\n",
        paragraph("lead", &standing.checked(result)),
        facts(&rows)
    );
    section("findings", "Checked", &inner)
}

fn finding_row(finding: &Finding) -> String {
    let (class, found) = if finding.count == 0 { ("none", "none".to_owned()) } else { ("found", count(finding.count)) };
    let row = format!(
        "<tr class=\"{class}\"><th scope=\"row\">{}</th><td>{found}</td><td>{}</td></tr>\n",
        escape(&words_of(&finding.kind)),
        escape(&finding.meaning)
    );
    if finding.examples.is_empty() {
        return row;
    }
    let beyond = finding.count.saturating_sub(finding.examples.len() as u64);
    let beyond = if beyond == 0 || finding.count == 0 {
        String::new()
    } else {
        paragraph("quiet", &format!("and {} more", count(beyond)))
    };
    format!(
        "{row}<tr class=\"examples\"><td colspan=\"3\">{}{beyond}</td></tr>\n",
        sentences("plain", &finding.examples)
    )
}

/// What the scenario asked for and what was seen.
pub fn bounds(result: &RunResult) -> String {
    if result.bounds.is_empty() {
        let sentence = "The scenario sets no bounds: only correctness was judged.";
        return section("bounds", "Bounds", &paragraph("quiet", sentence));
    }
    let rows: String = result
        .bounds
        .iter()
        .map(|bound| {
            let (class, word) = if bound.held { ("held", "held") } else { ("found", "broken") };
            format!(
                "<tr class=\"{class}\"><th scope=\"row\">{}</th><td data-name=\"asked\">{}</td><td data-name=\"seen\">{}</td>\
                 <td class=\"word\">{word}</td></tr>\n",
                escape(&bound.name),
                escape(&bound.asked),
                escape(&bound.seen)
            )
        })
        .collect();
    let table = format!(
        "<table class=\"stacked\">\n<thead><tr><th scope=\"col\">Bound</th><th scope=\"col\">Asked</th><th scope=\"col\">Seen</th>\
         <th scope=\"col\">Outcome</th></tr></thead>\n<tbody>\n{rows}</tbody>\n</table>\n"
    );
    section("bounds", "Bounds", &table)
}

/// A row for each kind of consumer.
pub fn consumers(result: &RunResult) -> String {
    if result.consumers.is_empty() {
        return section("consumers", "Consumers", &paragraph("quiet", "Nothing was read while the run went on."));
    }
    let rows: String = result.consumers.iter().map(consumer_row).collect();
    let table = format!(
        "<table class=\"stacked\">\n<thead><tr><th scope=\"col\">Consumers</th><th scope=\"col\">Records</th>\
         <th scope=\"col\">Values</th><th scope=\"col\">Highest lag</th><th scope=\"col\">Caught up after</th>\
         <th scope=\"col\">Restarts</th></tr></thead>\n<tbody>\n{rows}</tbody>\n</table>\n"
    );
    section("consumers", "Consumers", &table)
}

fn consumer_row(consumer: &ConsumerResult) -> String {
    format!(
        "<tr><th scope=\"row\">{}<small> {}</small></th><td data-name=\"records\">{}</td><td data-name=\"values\">{}</td>\
         <td data-name=\"highest lag\">{}</td><td data-name=\"caught up after\">{}</td><td data-name=\"restarts\">{}</td></tr>\n",
        escape(&consumer.name),
        escape(&counted(u64::from(consumer.count), "consumer", "consumers")),
        count(consumer.records),
        escape(&bytes(consumer.bytes as f64)),
        count(consumer.max_lag_records),
        escape(&consumer.caught_up_after_s.map_or_else(|| "–".to_owned(), seconds)),
        count(consumer.restarts),
    )
}
