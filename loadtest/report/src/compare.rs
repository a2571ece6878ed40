//! Several runs side by side on one page.

mod curves;
mod fair;
mod table;

use crate::{
    format::{calendar, seconds},
    html::{document, escape, paragraph, section, sentences},
    page::{machine_name, target_name},
    result::RunResult,
    standing::Standing,
};

/// One page for two to eight runs and what the reader calls them: a table with the best of each row, the latency curves over
/// each other, and rates over time. It says first whether the runs may be compared at all.
pub fn compare(results: &[(String, RunResult)]) -> String {
    let title = format!("{} runs compared – load test", results.len());
    let body = [
        "<div class=\"sheet compare\">\n".to_owned(),
        head(results),
        "<main>\n".to_owned(),
        table::table(results),
        curves::curves(results),
        details(results),
        "</main>\n<footer><p class=\"quiet\">This file loads nothing; all of its figures are in the result.json of each \
         run.</p></footer>\n</div>\n"
            .to_owned(),
    ];
    document(&title, "comparison", &body.concat())
}

/// The letter by which a run is called in tables and charts.
fn letter(nth: usize) -> String {
    u8::try_from(nth)
        .ok()
        .filter(|nth| *nth < 26)
        .map_or_else(|| (nth + 1).to_string(), |nth| char::from(b'A' + nth).to_string())
}

fn head(results: &[(String, RunResult)]) -> String {
    let runs: String = results.iter().enumerate().map(|(nth, (label, result))| run(nth, label, result)).collect();
    let unfair = fair::differences(results);
    let fairness = if unfair.is_empty() {
        paragraph(
            "fair",
            "The runs had the same scenario, seed and load test, on machines that say the same of themselves.",
        )
    } else {
        format!(
            "<div class=\"unfair\">\n<h2>This comparison is not fair{}</h2>\n{}</div>\n",
            if fair::conditions(results).is_empty() { "" } else { ": no value is marked as the best" },
            sentences("plain wide", &unfair)
        )
    };
    let first = results.first().map_or("", |(_, result)| result.scenario.name.as_str());
    let same = results.iter().all(|(_, result)| result.scenario.name == first);
    let heading = if same && !results.is_empty() {
        format!("{} runs of {first}, side by side", results.len())
    } else {
        format!("{} runs, side by side", results.len())
    };
    format!(
        "<header>\n<div class=\"kicker\"><p><b>Load test</b> comparison</p></div>\n<h1 class=\"plain-heading\">{}</h1>\n{fairness}\
         <ol class=\"runs\">\n{runs}</ol>\n</header>\n",
        escape(&heading)
    )
}

fn run(nth: usize, label: &str, result: &RunResult) -> String {
    let standing = Standing::of(result);
    format!(
        "<li class=\"{}\"><span class=\"letter run{}\">{}</span><div><b>{}</b><br><span class=\"word {}\">{}</span> {}<br>\
         <span class=\"quiet\">{}</span></div></li>\n",
        standing.class(),
        nth % 8,
        letter(nth),
        escape(label),
        standing.class(),
        escape(&standing.words()),
        escape(&result.verdict.sentence),
        escape(&format!("{}, {}", target_name(result), calendar(result.started_at_unix_ms)))
    )
}

fn details(results: &[(String, RunResult)]) -> String {
    let items: Vec<String> = results
        .iter()
        .enumerate()
        .map(|(nth, (label, result))| {
            let scenario = &result.scenario;
            format!(
                "{} ({label}): {}, seed {}, {} of which {} warm-up; {}; load test {}",
                letter(nth),
                scenario.name,
                scenario.seed,
                seconds(scenario.seconds),
                seconds(scenario.warm_up_s),
                machine_name(&result.machine),
                result.version
            )
        })
        .collect();
    section("runs", "The runs", &sentences("plain wide", &items))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_go_on_as_numbers() {
        assert_eq!([letter(0), letter(7), letter(25), letter(26)].join(" "), "A H Z 27");
    }
}
