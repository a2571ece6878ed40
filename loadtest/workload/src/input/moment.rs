//! Times of a trace.

/// Below this a number is seconds since the Unix epoch (until the year 5138), from it on milliseconds (since 1973).
const SECONDS_BELOW: f64 = 1e11;
/// The same for milliseconds.
const MILLISECONDS_BELOW: f64 = 1e14;

/// Nanoseconds since the Unix epoch. RFC 3339 with an offset, `YYYY-MM-DD HH:MM[:SS]` without one (then it is UTC), or a
/// number: seconds, or milliseconds from 10^11 on.
pub(super) fn of_text(text: &str) -> Result<i128, String> {
    let text = text.trim();
    let how = "RFC 3339, YYYY-MM-DD HH:MM:SS, or seconds or milliseconds since 1970";
    if let Ok(number) = text.parse::<f64>() {
        return match number {
            number if !(0.0..MILLISECONDS_BELOW).contains(&number) => {
                Err(format!("`{text}` is neither seconds nor milliseconds since 1970"))
            }
            number if number < SECONDS_BELOW => Ok(scaled(number, text, 9)),
            number => Ok(scaled(number, text, 6)),
        };
    }
    if let Ok(moment) = text.parse::<jiff::Timestamp>() {
        return Ok(moment.as_nanosecond());
    }
    let civil = text.parse::<jiff::civil::DateTime>().ok().filter(|_| text.len() > "YYYY-MM-DD".len());
    let moment = civil.and_then(|civil| jiff::tz::Offset::UTC.to_timestamp(civil).ok());
    moment.map(|moment| moment.as_nanosecond()).ok_or_else(|| format!("`{text}` is not a time: {how}"))
}

/// The number times ten to the `places`, digit by digit: a float of today's seconds is off by 200 ns.
fn scaled(number: f64, text: &str, places: usize) -> i128 {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits: String = fraction.chars().chain(std::iter::repeat('0')).take(places).collect();
    // Written with an exponent it is not made of digits, and rounded anyway.
    format!("{whole}{digits}").parse().unwrap_or_else(|_| (number * 10f64.powi(places as i32)).round() as i128)
}
