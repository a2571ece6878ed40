//! The pages as a whole: nothing is loaded, nothing of a result is markup, nothing breaks on what is missing.

#[path = "../examples/sample/run.rs"]
mod run;

use eagre_report::{Outcome, ReadError, RunResult, compare, page, summary};
use serde_json::{Value, json};

/// Changes every value inside, leaves first.
fn rewrite(value: &mut Value, with: &dyn Fn(&mut Value)) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| rewrite(item, with)),
        Value::Object(fields) => fields.values_mut().for_each(|field| rewrite(field, with)),
        _ => {}
    }
    with(value);
}

fn rewritten(result: &RunResult, with: &dyn Fn(&mut Value)) -> RunResult {
    let mut value = serde_json::to_value(result).expect("a result is JSON");
    rewrite(&mut value, with);
    value["format"] = json!(eagre_report::FORMAT);
    value["verdict"]["outcome"] = json!("incorrect");
    RunResult::read(&value.to_string()).expect("it has the shape of a result")
}

/// All that can be made of a run.
fn everything(result: &RunResult) -> [String; 3] {
    let other = ("other".to_owned(), run::passed());
    [page(result), compare(&[("<script>label()</script>".to_owned(), result.clone()), other]), summary(result)]
}

fn is_sound(text: &str) {
    for wrong in ["NaN", "inf\"", "-inf", "inf "] {
        assert!(!text.contains(wrong), "{wrong} in the output");
    }
}

fn fits_a_screen(summary: &str) {
    assert!(summary.lines().count() <= 24, "{summary}");
    assert!(summary.lines().all(|line| line.chars().count() <= 100), "{summary}");
    assert!(!summary.contains('\u{1b}'), "{summary}");
}

#[test]
fn a_page_loads_nothing() {
    let pages = [page(&run::passed()), page(&run::incorrect()), page(&run::partial()), compare(&run::several())];
    for html in pages {
        for loading in ["http://", "https://", "src=", "url(", "@import", "<link", "<iframe", "<use", "href="] {
            assert!(!html.contains(loading), "{loading}");
        }
        is_sound(&html);
    }
}

#[test]
fn no_text_of_a_result_is_markup() {
    let mut result = run::incorrect();
    result.client.limit = Some(String::new());
    let hostile = rewritten(&result, &|value| {
        if value.is_string() {
            *value = json!("\"'><script>alert(1)</script>&amp;\u{1b}[31m");
        }
    });
    let [page, compare, summary] = everything(&hostile);
    for html in [page, compare] {
        assert_eq!(html.matches("<script").count(), 1, "only ours");
        assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt;&amp;amp;"));
        assert!(!html.contains("\"'>") && !html.contains('\u{1b}'));
    }
    fits_a_screen(&summary);
}

#[test]
fn nothing_but_zeros_is_drawn() {
    let zeros = rewritten(&run::passed(), &|value| {
        if value.is_number() {
            *value = json!(0);
        }
    });
    let [page, compare, summary] = everything(&zeros);
    [&page, &compare, &summary].into_iter().for_each(|text| is_sound(text));
    fits_a_screen(&summary);
}

#[test]
fn nothing_at_all_is_drawn() {
    let empty = rewritten(&run::passed(), &|value| {
        if let Value::Array(items) = value {
            items.clear();
        }
    });
    let mut empty = empty;
    (empty.server, empty.cost, empty.machine.raw) = (None, None, None);
    empty.latency = Default::default();
    empty.totals = Default::default();
    let [page, compare, summary] = everything(&empty);
    [&page, &compare, &summary].into_iter().for_each(|text| is_sound(text));
    assert!(page.contains("not counted") && page.contains("could not be watched"), "absence is said");
    fits_a_screen(&summary);
    is_sound(&eagre_report::compare(&[]));
}

#[test]
fn one_point_without_anything_optional_is_drawn() {
    let mut result = run::passed();
    result.series.truncate(1);
    let point = &mut result.series[0];
    (point.end_to_end, point.server_cpu, point.put_s, point.lateness_p99_ms) = (None, None, None, None);
    let html = page(&result);
    is_sound(&html);
    assert!(html.contains("class=\"dot main\""));
}

#[test]
fn what_is_no_number_is_a_dash() {
    let mut result = run::passed();
    for point in &mut result.series {
        (point.at, point.offered_bytes_s, point.lag_records) = (f64::NAN, f64::INFINITY, f64::NAN);
        if let Some(ack) = &mut point.ack {
            ack.p99 = f64::NAN;
        }
    }
    if let Some(ack) = &mut result.latency.ack {
        (ack.p99, ack.cdf[3]) = (f64::NAN, (f64::NAN, f64::NAN));
    }
    (result.totals.seconds, result.scenario.seconds, result.scenario.warm_up_s) = (f64::NAN, f64::NAN, f64::INFINITY);
    if let Some(cost) = &mut result.cost {
        cost.per_gib_usd = f64::NAN;
    }
    let texts = everything(&result);
    texts.iter().for_each(|text| is_sound(text));
}

#[test]
fn a_partial_run_says_so_everywhere() {
    let html = page(&run::partial());
    assert!(html.contains("<title>Partial:"));
    assert!(html.contains("class=\"strip partial\"") && html.contains("interrupted after 41 s of 65 s"));
    assert!(html.contains(">not run<"), "the rest of the axis is named");
    assert!(summary(&run::partial()).starts_with("PARTIAL"));

    let mut both = run::partial();
    both.checks.findings[0].count = 3;
    let html = page(&both);
    assert!(html.contains("<title>Incorrect, partial run:") && html.contains("class=\"strip incorrect\""));
}

#[test]
fn a_verdict_is_never_better_than_what_is_below_it() {
    let mut result = run::passed();
    result.bounds[0].held = false;
    assert!(summary(&result).starts_with("BOUND BROKEN"));
    result.checks.findings[2].count = 1;
    assert!(summary(&result).starts_with("INCORRECT"));
    let html = page(&result);
    assert!(html.contains("verdict incorrect") && html.contains("found: 1 reordered."));
}

#[test]
fn a_summary_is_one_screen() {
    for result in [run::passed(), run::broken(), run::incorrect(), run::partial(), run::long()] {
        fits_a_screen(&summary(&result));
    }
    let text = summary(&run::passed());
    assert!(text.starts_with("PASSED"), "{text}");
    assert!(text.contains("refused 277, sent again 508") && text.contains("CPU-s/GiB"), "{text}");
}

#[test]
fn a_comparison_says_what_is_unfair_and_who_is_best() {
    let html = compare(&run::several());
    assert!(html.contains("This comparison is not fair"));
    assert!(html.contains("The scenario was changed: A has count = 2; B has count = 4."));
    assert!(html.contains("not equally fast, fdatasync, median: A 840 µs, B 840 µs, C 1.32 ms, D 840 µs."));
    assert!(html.contains("D is incorrect: it is shown but not ranked."));
    assert!(html.contains("no value is marked as the best") && !html.contains("class=\"best\""));

    // The same load on the same machine: what is lost fast is no merit, and hides the merit of nobody.
    let mut alike: Vec<_> = (0..3).map(|nth| (format!("run {nth}"), run::passed())).collect();
    alike[1].1.latency.ack.as_mut().unwrap().p50 *= 2.0;
    let lost = run::incorrect();
    (alike[2].1.verdict, alike[2].1.checks) = (lost.verdict, lost.checks);
    alike[2].1.latency.ack.as_mut().unwrap().p50 /= 2.0;
    let html = compare(&alike);
    assert!(html.contains("C is incorrect: it is shown but not ranked.") && !html.contains("marked as the best"));
    assert!(html.contains("<td data-name=\"A\" class=\"best\">8.70 ms <span class=\"tag\">best</span></td>"));
    assert!(!html.contains("<td data-name=\"C\" class=\"best\""), "records lost fast are no merit");

    let same = compare(&[("one".into(), run::passed()), ("two".into(), run::passed())]);
    assert!(!same.contains("not fair") && !same.contains("class=\"best\""));
}

#[test]
fn a_result_is_read_back_as_it_was_written() {
    let written = run::incorrect();
    let read = RunResult::read(&serde_json::to_string(&written).unwrap()).unwrap();
    assert_eq!(read.verdict.outcome, Outcome::Incorrect);
    assert_eq!((read.checks.findings, read.bounds), (written.checks.findings, written.bounds));
    assert_eq!((read.series.len(), read.events), (written.series.len(), written.events));
    // Numbers may differ in their last bit, which no page shows.
    assert_eq!(read.scenario.stages, written.scenario.stages);
}

#[test]
fn another_format_and_other_files_are_refused() {
    let error = RunResult::read("{\"format\": 9, \"of\": \"tomorrow\"}").unwrap_err();
    assert!(matches!(error, ReadError::Format { found: 9 }));
    assert!(
        error.to_string().starts_with("the result has format 9, and this version of eagre-loadtest reads format 1")
    );
    let text = serde_json::to_string(&run::passed()).unwrap();
    let error = RunResult::read(&text[..text.len() / 2]).unwrap_err();
    assert!(error.to_string().contains("cut off"), "{error}");
    let error = RunResult::read("{\"format\": 1}").unwrap_err();
    assert!(error.to_string().contains("missing field"), "{error}");
    assert!(RunResult::read("[]").is_err() && RunResult::read("").is_err());
}
