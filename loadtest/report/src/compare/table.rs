//! The figures of all runs, the best of each row marked.

use crate::{
    compare::{fair::conditions, letter},
    format::{NONE, bytes, bytes_per_second, dollars, milliseconds, number, percent},
    html::{escape, paragraph, section},
    page::mib_s,
    result::{Distribution, Raw, RunResult, Server},
    standing::Standing,
};

/// Which value of a row is the best.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Best {
    Lowest,
    Highest,
    /// The row describes the run and is no merit.
    None,
}

struct Row {
    name: &'static str,
    best: Best,
    values: Vec<Option<f64>>,
    show: fn(f64) -> String,
}

/// All rows, in groups.
pub fn table(results: &[(String, RunResult)]) -> String {
    // Where more differs than the service, nothing is called the best.
    let is_fair = conditions(results).is_empty();
    let ranked: Vec<bool> = results.iter().map(|(_, result)| is_fair && Standing::of(result).can_be_ranked()).collect();
    let heads: String = results
        .iter()
        .enumerate()
        .map(|(nth, (label, _))| format!("<th scope=\"col\">{}<small> {}</small></th>", letter(nth), escape(label)))
        .collect();
    let verdicts: String = results
        .iter()
        .enumerate()
        .map(|(nth, (_, result))| {
            let standing = Standing::of(result);
            let (class, words) = (standing.class(), escape(&standing.words()));
            format!("<td data-name=\"{}\"><span class=\"word {class}\">{words}</span></td>", letter(nth))
        })
        .collect();
    let shares: String = results
        .iter()
        .enumerate()
        .map(|(nth, (_, result))| {
            let share = percent(result.totals.acked_records, result.totals.offered_records);
            format!("<td data-name=\"{}\">{}</td>", letter(nth), escape(&share))
        })
        .collect();
    let groups =
        [("Rate", rates(results)), ("Latency", latencies(results)), ("Work", work(results)), ("Machine", raw(results))];
    let groups: String = groups
        .iter()
        .map(|(name, rows)| {
            let rows: String = rows.iter().map(|row| row_html(row, &ranked)).collect();
            let span = results.len() + 1;
            let share = if *name == "Rate" {
                format!("<tr><th scope=\"row\">Acknowledged of asked</th>{shares}</tr>\n")
            } else {
                String::new()
            };
            format!("<tbody>\n<tr class=\"group\"><th colspan=\"{span}\" scope=\"rowgroup\">{name}</th></tr>\n{rows}{share}</tbody>\n")
        })
        .collect();
    let inner = format!(
        "<table class=\"stacked figures\">\n<thead><tr><th scope=\"col\">Of the measured time</th>{heads}</tr></thead>\n\
         <tbody>\n<tr><th scope=\"row\">Verdict</th>{verdicts}</tr>\n</tbody>\n{groups}</table>\n{}",
        paragraph(
            "quiet",
            "Best is the best as written, among runs that were correct and ran to their end. A dash: not measured."
        )
    );
    section("figures", "Figures", &inner)
}

fn column(results: &[(String, RunResult)], of: impl Fn(&RunResult) -> Option<f64>) -> Vec<Option<f64>> {
    results.iter().map(|(_, result)| of(result).filter(|value| value.is_finite())).collect()
}

fn rates(results: &[(String, RunResult)]) -> Vec<Row> {
    let rate = |of: fn(&RunResult) -> u64| column(results, |result| Some(of(result) as f64 / result.totals.seconds));
    vec![
        Row {
            name: "Asked",
            best: Best::None,
            values: rate(|result| result.totals.offered_bytes),
            show: bytes_per_second,
        },
        Row {
            name: "Acknowledged",
            best: Best::Highest,
            values: rate(|result| result.totals.acked_bytes),
            show: bytes_per_second,
        },
        Row {
            name: "Records a second",
            best: Best::Highest,
            values: rate(|result| result.totals.acked_records),
            show: number,
        },
        Row { name: "Read", best: Best::None, values: rate(|result| result.totals.read_bytes), show: bytes_per_second },
    ]
}

fn latencies(results: &[(String, RunResult)]) -> Vec<Row> {
    let low = |name, values| Row { name, best: Best::Lowest, values, show: milliseconds };
    let ack = |of: fn(&Distribution) -> f64| column(results, |result| filled(&result.latency.ack).map(of));
    let read = |of: fn(&Distribution) -> f64| column(results, |result| filled(&result.latency.end_to_end).map(of));
    vec![
        low("Ack, median", ack(|some| some.p50)),
        low("Ack, 99 %", ack(|some| some.p99)),
        low("Ack, 99.9 %", ack(|some| some.p999)),
        low("Ack, longest", ack(|some| some.max)),
        low("End to end, median", read(|some| some.p50)),
        low("End to end, 99 %", read(|some| some.p99)),
        low(
            "First record, median",
            column(results, |result| filled(&result.latency.first_record).map(|some| some.p50)),
        ),
    ]
}

fn filled(some: &Option<Distribution>) -> Option<&Distribution> {
    some.as_ref().filter(|some| some.count > 0)
}

fn work(results: &[(String, RunResult)]) -> Vec<Row> {
    let low = |name, show, values| Row { name, best: Best::Lowest, values, show };
    let server = |of: fn(&Server) -> Option<f64>| column(results, |result| of(result.server.as_ref()?));
    let whole = |value: Option<u64>| value.map(|value| value as f64);
    vec![
        low("Server CPU per GiB", cpu_seconds, server(|server| server.cpu_s_per_gib)),
        low("Requests per GiB", number, server(|server| server.requests_per_gib)),
        low("Server memory, highest", bytes, column(results, |result| whole(result.server.as_ref()?.rss_max_bytes))),
        low("Disk, at the end", bytes, column(results, |result| whole(result.server.as_ref()?.disk_bytes))),
        low("Requests of a GiB cost", dollars, column(results, |result| Some(result.cost.as_ref()?.per_gib_usd))),
        low("Requests of a month cost", dollars, column(results, |result| Some(result.cost.as_ref()?.month_usd))),
        Row {
            name: "Load test's CPU per GiB",
            best: Best::None,
            values: column(results, |result| Some(result.client.cpu_s_per_gib)),
            show: cpu_seconds,
        },
    ]
}

fn raw(results: &[(String, RunResult)]) -> Vec<Row> {
    let rate = |name, show, of: fn(&Raw) -> f64| Row {
        name,
        best: Best::None,
        values: column(results, |result| result.machine.raw.as_ref().map(of)),
        show,
    };
    vec![
        rate("fdatasync of 4 KiB, median", milliseconds, |raw| raw.fdatasync_p50_ms),
        rate("fdatasync of 4 KiB, 99 %", milliseconds, |raw| raw.fdatasync_p99_ms),
        rate("Synced writes of 8 MiB", mib_s, |raw| raw.synced_write_mib_s),
        rate("Loopback", mib_s, |raw| raw.loopback_mib_s),
    ]
}

fn cpu_seconds(value: f64) -> String {
    format!("{} s", number(value))
}

fn row_html(row: &Row, ranked: &[bool]) -> String {
    let best = best_of(row, ranked);
    let cells: String = row
        .values
        .iter()
        .enumerate()
        .map(|(nth, value)| {
            let text = value.map_or_else(|| NONE.to_owned(), row.show);
            let mark = best.as_ref() == Some(&text) && ranked.get(nth) == Some(&true);
            let (class, mark) = if mark { (" class=\"best\"", " <span class=\"tag\">best</span>") } else { ("", "") };
            format!("<td data-name=\"{}\"{class}>{}{mark}</td>", letter(nth), escape(&text))
        })
        .collect();
    format!("<tr><th scope=\"row\">{}</th>{cells}</tr>\n", escape(row.name))
}

/// The best value as it is written; none when nobody is better than another.
fn best_of(row: &Row, ranked: &[bool]) -> Option<String> {
    let values: Vec<f64> =
        row.values.iter().zip(ranked).filter(|(_, ranked)| **ranked).filter_map(|(value, _)| *value).collect();
    let best = match row.best {
        Best::None => return None,
        Best::Lowest => values.iter().copied().min_by(f64::total_cmp),
        Best::Highest => values.iter().copied().max_by(f64::total_cmp),
    };
    let best = (row.show)(best?);
    values.iter().any(|value| (row.show)(*value) != best).then_some(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn best(best: Best, values: &[Option<f64>], ranked: &[bool]) -> Option<String> {
        best_of(&Row { name: "", best, values: values.to_vec(), show: number }, ranked)
    }

    #[test]
    fn the_best_is_among_those_that_may_win() {
        let values = [Some(3.0), Some(2.0), None, Some(1.0)];
        assert_eq!(best(Best::Lowest, &values, &[true, true, true, false]).as_deref(), Some("2.00"));
        assert_eq!(best(Best::Highest, &values, &[true; 4]).as_deref(), Some("3.00"));
        assert_eq!(best(Best::None, &values, &[true; 4]), None);
    }

    #[test]
    fn equals_and_lonely_ones_win_nothing() {
        assert_eq!(best(Best::Lowest, &[Some(2.0), Some(2.0001)], &[true; 2]), None);
        assert_eq!(best(Best::Lowest, &[Some(2.0), None], &[true; 2]), None);
        assert_eq!(best(Best::Lowest, &[Some(2.0), Some(3.0)], &[true, false]), None);
    }
}
