//! One run as one page. A section a file; each takes the result and gives HTML.

mod checks;
mod facts;
mod latency;
mod load;
mod masthead;
mod resources;
mod timeline;

use crate::{
    html::document,
    page::timeline::Timeline,
    result::{Outcome, RunResult},
    standing::Standing,
};

pub use facts::{machine_name, mib_s, target_name};
pub use latency::percentile_chart;

/// One self-contained HTML file that loads nothing, for light, dark and print.
///
/// The verdict is never shown better than the findings and bounds beside it, and a run that was interrupted says so
/// wherever the page is scrolled to.
pub fn page(result: &RunResult) -> String {
    let standing = Standing::of(result);
    let timeline = Timeline::of(result);
    let title = format!("{}: {} – {} load test", standing.words(), result.scenario.name, result.target.kind);
    let body = [
        masthead::strip(result, standing),
        "<div class=\"sheet\">\n".to_owned(),
        masthead::masthead(result, standing),
        "<main>\n".to_owned(),
        if standing.outcome == Outcome::Incorrect { checks::findings(result, standing) } else { String::new() },
        latency::over_time(result, &timeline),
        load::offered_and_served(result, &timeline),
        load::reading_and_refusals(result, &timeline),
        latency::distribution(result),
        resources::server(result, &timeline),
        resources::client(result, &timeline),
        resources::cost(result),
        if standing.outcome == Outcome::Incorrect { String::new() } else { checks::findings(result, standing) },
        checks::bounds(result),
        checks::consumers(result),
        facts::scenario(result),
        facts::machine(result),
        facts::not_shown(result),
        "</main>\n".to_owned(),
        facts::footer(result),
        "</div>\n".to_owned(),
    ];
    // The class also chooses what the margin of every printed sheet says.
    let mood = if standing.partial && standing.outcome != Outcome::Incorrect { "partial" } else { standing.class() };
    document(&title, mood, &body.concat())
}
