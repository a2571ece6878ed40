//! What the server used, what the load test itself used, and what the requests cost.

use crate::{
    chart::{Chart, Line, Look, Room},
    format::{Quantity, bytes, count, counted, dollars, milliseconds, number},
    html::{facts, paragraph, section},
    page::{
        load::nothing,
        timeline::{Timeline, any, line},
    },
    result::{Point, RunResult, Server},
};

/// The server's processor, memory and requests.
pub fn server(result: &RunResult, timeline: &Timeline) -> String {
    let Some(server) = &result.server else {
        let sentence = "The server could not be watched: it was not started here and shows no metrics.";
        return section("server", "The server", &paragraph("quiet", sentence));
    };
    let requests = vec![
        line(result, "list", Look::Third, |point| point.list_s),
        line(result, "get", Look::Second, |point| point.get_s),
        line(result, "put", Look::Main, |point| point.put_s),
    ];
    let charts = [
        half("Processor", "cores in use", Quantity::Cores, vec![figure(result, |point| point.server_cpu)], timeline),
        half("Memory", "resident", Quantity::Bytes, vec![figure(result, |point| point.server_rss_bytes)], timeline),
        half("Requests to the bucket", "a second", Quantity::PerSecond, requests, timeline),
    ];
    let inner = format!("<div class=\"pair\">\n{}{}</div>\n", charts.concat(), server_facts(server));
    section("server", "The server", &inner)
}

fn server_facts(server: &Server) -> String {
    let memory = |value: Option<u64>| value.map(|value| bytes(value as f64));
    let rows = [
        ("CPU time", server.cpu_s.map(|value| format!("{} s", number(value)))),
        ("CPU time per GiB", server.cpu_s_per_gib.map(|value| format!("{} s", number(value)))),
        ("Memory, highest", memory(server.rss_max_bytes)),
        ("Memory, at the end", memory(server.rss_end_bytes)),
        ("Disk, at the end", memory(server.disk_bytes)),
        ("Started again", Some(counted(server.restarts, "time", "times"))),
        ("Requests per GiB", server.requests_per_gib.map(number)),
    ];
    let operations: Vec<(&str, Option<String>)> =
        server.requests.iter().map(|(operation, times)| (operation.as_str(), Some(count(*times)))).collect();
    let requests = if operations.is_empty() {
        paragraph("quiet", "Requests to a bucket were not counted.")
    } else {
        format!("<h3>Requests by operation</h3>\n{}", facts(&operations))
    };
    format!("<div class=\"sums\">\n<h3>In the measured time</h3>\n{}{requests}</div>\n", facts(&rows))
}

/// The load test's own processor, memory and lateness.
pub fn client(result: &RunResult, timeline: &Timeline) -> String {
    let client = &result.client;
    let limit = match (&client.limit, client.limited_seconds) {
        (Some(limit), _) => paragraph("warning", limit),
        (None, 0) => paragraph("lead", "The load test was never the limit: it kept to its schedule all the time."),
        (None, late) => paragraph(
            "warning",
            &format!("In {} the load test was late and not the service.", counted(late, "second", "seconds")),
        ),
    };
    let lateness = line(result, "99 %", Look::Main, |point| point.lateness_p99_ms);
    let late = Chart::over_time("Lateness", "of the schedule's clock", timeline.end, Quantity::Milliseconds);
    let late = if any(result, |point| point.lateness_p99_ms.unwrap_or(0.0)) {
        timeline.dress(late.with_spread(vec![lateness]).with_hover(), false).figure(Room::Half)
    } else {
        nothing("Lateness", "Nothing was taken up later than the schedule wanted.")
    };
    let cpu = figure(result, |point| Some(point.client_cpu));
    let rows = [
        ("CPU time", Some(format!("{} s", number(client.cpu_s)))),
        ("CPU time per GiB", Some(format!("{} s", number(client.cpu_s_per_gib)))),
        ("Memory, highest", Some(bytes(client.rss_max_bytes as f64))),
        ("Lateness, 99 %", result.latency.lateness.as_ref().map(|late| milliseconds(late.p99))),
        ("Seconds in which it was late", Some(count(client.limited_seconds))),
    ];
    let memory = figure(result, |point| Some(point.client_rss_bytes));
    let inner = format!(
        "{limit}<div class=\"pair\">\n{late}{}{}<div class=\"sums\">\n<h3>In the measured time</h3>\n{}</div>\n</div>\n",
        half("Processor", "cores in use", Quantity::Cores, vec![cpu], timeline),
        half("Memory", "resident", Quantity::Bytes, vec![memory], timeline),
        facts(&rows)
    );
    section("client", "The load test itself", &inner)
}

/// What the requests would be charged.
pub fn cost(result: &RunResult) -> String {
    let Some(cost) = &result.cost else {
        let sentence = "Requests to a bucket were not counted, so there is nothing to charge.";
        return section("cost", "Cost", &paragraph("quiet", sentence));
    };
    let rows = [
        ("Requests of a GiB acknowledged", Some(dollars(cost.per_gib_usd))),
        ("Requests of a month at this rate", Some(dollars(cost.month_usd))),
        ("Requests per GiB", result.server.as_ref().and_then(|server| server.requests_per_gib).map(number)),
        ("Price sheet", Some(cost.sheet.clone()).filter(|sheet| !sheet.is_empty())),
    ];
    let note = if cost.note.is_empty() { String::new() } else { paragraph("lead", &cost.note) };
    let left_out = "Requests only: storage, traffic and machines are not in it.";
    section(
        "cost",
        "Cost",
        &format!("{note}<div class=\"narrow-facts\">{}</div>\n{}", facts(&rows), paragraph("quiet", left_out)),
    )
}

fn figure(result: &RunResult, of: impl Fn(&Point) -> Option<f64>) -> Line {
    let mut line = line(result, "", Look::Main, of);
    line.filled = true;
    line
}

fn half(title: &str, about: &str, quantity: Quantity, lines: Vec<Line>, timeline: &Timeline) -> String {
    let chart = Chart::over_time(title, about, timeline.end, quantity).with_lines(lines);
    if chart.lines.is_empty() {
        return nothing(title, "Not watched.");
    }
    timeline.dress(chart.with_hover(), false).figure(Room::Half)
}
