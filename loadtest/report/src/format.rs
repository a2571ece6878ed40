//! Numbers as people read them: three significant digits, a unit that fits, thousands apart. What is not a finite number
//! is a dash.

/// Stands for a value that is not there.
pub const NONE: &str = "–";

const BINARY: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/// What a number is of, and so how it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantity {
    /// Of time, in milliseconds.
    Milliseconds,
    /// Of memory.
    Bytes,
    /// Of data a second.
    BytesPerSecond,
    /// Of whole things.
    Count,
    /// Of things a second.
    PerSecond,
    /// Of processor cores.
    Cores,
}

impl Quantity {
    /// With its unit.
    pub fn show(self, value: f64) -> String {
        match self {
            Self::Milliseconds => milliseconds(value),
            Self::Bytes => bytes(value),
            Self::BytesPerSecond => bytes_per_second(value),
            Self::Count => number(value),
            Self::PerSecond => with_unit(value, "/s"),
            Self::Cores => with_unit(value, if value == 1.0 { " core" } else { " cores" }),
        }
    }

    /// With its unit, and without digits that say nothing.
    pub fn tick(self, value: f64) -> String {
        if value == 0.0 {
            return "0".to_owned();
        }
        let text = self.show(value);
        let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == ',' || c == '-')).unwrap_or(text.len());
        let (digits, unit) = text.split_at(end);
        let digits = if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits };
        format!("{digits}{unit}")
    }

    /// What a round tick is a multiple of, when the largest value is `largest`.
    pub fn unit(self, largest: f64) -> f64 {
        match self {
            Self::Bytes | Self::BytesPerSecond => 1024_f64.powi(binary_power(largest)),
            Self::Milliseconds | Self::Count | Self::PerSecond | Self::Cores => 1.0,
        }
    }
}

/// Three significant digits; whole from 100 on, with thousands apart.
pub fn number(value: f64) -> String {
    if !value.is_finite() {
        return NONE.to_owned();
    }
    let size = value.abs();
    if size == 0.0 {
        "0".to_owned()
    } else if size >= 99.95 {
        grouped(&format!("{value:.0}"))
    } else if size >= 9.995 {
        format!("{value:.1}")
    } else if size >= 0.0995 {
        format!("{value:.2}")
    } else if size >= 0.00995 {
        format!("{value:.3}")
    } else if size >= 0.0005 {
        format!("{value:.4}")
    } else {
        format!("{value:.1e}")
    }
}

/// A whole number with thousands apart.
pub fn count(value: u64) -> String {
    grouped(&value.to_string())
}

/// `1 record`, `2 records`.
pub fn counted(value: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(value), if value == 1 { one } else { many })
}

/// Milliseconds in the unit that fits, from microseconds to hours.
pub fn milliseconds(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() {
        NONE.to_owned()
    } else if size == 0.0 {
        "0 ms".to_owned()
    } else if size < 0.9995 {
        format!("{} µs", number(value * 1000.0))
    } else if size < 999.5 {
        format!("{} ms", number(value))
    } else {
        seconds(value / 1000.0)
    }
}

/// A span of seconds: `2.40 s`, `60 s`, `10 min`, `1 h 5 min`.
pub fn seconds(value: f64) -> String {
    if !value.is_finite() {
        return NONE.to_owned();
    }
    if value.abs() < 119.5 {
        let text = if value.fract() == 0.0 { format!("{value:.0}") } else { number(value) };
        return format!("{text} s");
    }
    let whole = value.round() as i64;
    let (days, hours, minutes, rest) = (whole / 86_400, whole / 3600 % 24, whole / 60 % 60, whole % 60);
    let parts = [(days, "d"), (hours, "h"), (minutes, "min"), (rest, "s")];
    let first = parts.iter().position(|(amount, _)| *amount != 0).unwrap_or(3);
    let shown = parts.iter().skip(first).take(2).filter(|(amount, _)| *amount != 0);
    shown.map(|(amount, unit)| format!("{amount} {unit}")).collect::<Vec<_>>().join(" ")
}

/// A moment on the time axis, to a tenth of a second.
pub fn moment(value: f64) -> String {
    if value.is_finite() && value.abs() < 119.95 {
        let text = format!("{value:.1}");
        return format!("{} s", text.strip_suffix(".0").unwrap_or(&text));
    }
    seconds(value)
}

/// Bytes in binary units.
pub fn bytes(value: f64) -> String {
    bytes_as(value, value)
}

/// Bytes in the unit that fits another value.
fn bytes_as(value: f64, like: f64) -> String {
    if !value.is_finite() {
        return NONE.to_owned();
    }
    let power = binary_power(like);
    let unit = usize::try_from(power).ok().and_then(|power| BINARY.get(power)).unwrap_or(&"B");
    let scaled = value / 1024_f64.powi(power);
    if power == 0 { format!("{scaled:.0} B") } else { format!("{} {unit}", number(scaled)) }
}

/// Bytes a second in binary units.
pub fn bytes_per_second(value: f64) -> String {
    bytes_per_second_as(value, value)
}

/// Bytes a second in the unit that fits another rate, unless that is far from it.
pub fn bytes_per_second_as(value: f64, like: f64) -> String {
    let text = bytes_as(value, if like > value * 100.0 { value } else { like });
    if text == NONE { text } else { format!("{text}/s") }
}

/// A share in percent. All of it, and only all of it, is 100 %.
pub fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return NONE.to_owned();
    }
    if part == whole {
        return "100 %".to_owned();
    }
    let share = part as f64 / whole as f64 * 100.0;
    let text = if part < whole { (share * 100.0).floor() / 100.0 } else { share };
    format!("{text:.2} %")
}

/// US dollars, cents only where they say something.
pub fn dollars(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() {
        NONE.to_owned()
    } else if size == 0.0 {
        "$0".to_owned()
    } else if size >= 99.995 {
        format!("${}", grouped(&format!("{value:.0}")))
    } else if size >= 0.9995 {
        format!("${value:.2}")
    } else if size >= 0.000_001 {
        // Two significant digits, however far behind the point.
        let places = (1.0 - size.log10().floor()).clamp(2.0, 8.0) as usize;
        format!("${value:.places$}")
    } else {
        "under $0.000001".to_owned()
    }
}

/// A moment of the calendar, in UTC: `2026-03-01 14:05 UTC`.
pub fn calendar(unix_ms: u64) -> String {
    let minutes = unix_ms / 60_000;
    let (days, minute_of_day) = (minutes / 1440, minutes % 1440);
    // From days since 1970 to year, month and day, with years that begin in March so that the leap day is the last one.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02} UTC", minute_of_day / 60, minute_of_day % 60)
}

fn with_unit(value: f64, unit: &str) -> String {
    let text = number(value);
    if text == NONE { text } else { format!("{text}{unit}") }
}

fn binary_power(value: f64) -> i32 {
    let mut power = 0;
    let mut rest = value.abs();
    // 1023.6 is already written as the next unit's 1.00.
    while rest.is_finite() && rest >= 1023.5 && power < 5 {
        rest /= 1024.0;
        power += 1;
    }
    power
}

fn grouped(digits: &str) -> String {
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |rest| ("-", rest));
    let mut out = String::with_capacity(digits.len() + digits.len() / 3 + 1);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    format!("{sign}{out}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_say_enough() {
        let of = |values: &[f64]| values.iter().map(|value| number(*value)).collect::<Vec<_>>().join(" ");
        assert_eq!(
            of(&[0.0, 0.012, 0.5, 1.0, 9.999, 12.34, 99.96, 1234567.0]),
            "0 0.012 0.50 1.00 10.0 12.3 100 1,234,567"
        );
        assert_eq!(of(&[-1234.0, f64::NAN, f64::INFINITY, 0.00001]), "-1,234 – – 1.0e-5");
    }

    #[test]
    fn times_take_the_unit_that_fits() {
        let of = |values: &[f64]| values.iter().map(|value| milliseconds(*value)).collect::<Vec<_>>().join(", ");
        assert_eq!(of(&[0.0, 0.0421, 0.9996, 3.456, 38.14, 999.7]), "0 ms, 42.1 µs, 1.00 ms, 3.46 ms, 38.1 ms, 1.00 s");
        assert_eq!(of(&[2310.0, 150_000.0, 3_900_000.0, f64::NAN]), "2.31 s, 2 min 30 s, 1 h 5 min, –");
        assert_eq!([seconds(60.0), seconds(600.0), seconds(86_400.0)].join(", "), "60 s, 10 min, 1 d");
        assert_eq!([moment(30.04), moment(7.25), moment(3600.0)].join(", "), "30 s, 7.2 s, 1 h");
    }

    #[test]
    fn bytes_are_binary_and_change_unit_before_four_digits() {
        let of = |values: &[f64]| values.iter().map(|value| bytes(*value)).collect::<Vec<_>>().join(", ");
        assert_eq!(of(&[0.0, 100.0, 1023.9, 1536.0, 52_428_800.0]), "0 B, 100 B, 1.00 KiB, 1.50 KiB, 50.0 MiB");
        assert_eq!(bytes_per_second(f64::NAN), "–");
        assert_eq!(Quantity::BytesPerSecond.tick(52_428_800.0), "50 MiB/s");
        assert_eq!(Quantity::Cores.tick(0.5), "0.5 cores");
        assert_eq!(Quantity::PerSecond.tick(20_000.0), "20,000/s");
        assert_eq!(Quantity::Milliseconds.tick(0.0), "0");
    }

    #[test]
    fn only_everything_is_a_hundred_percent() {
        let shares = [percent(5, 5), percent(999_999, 1_000_000), percent(0, 3), percent(1, 0)];
        assert_eq!(shares.join(", "), "100 %, 99.99 %, 0.00 %, –");
    }

    #[test]
    fn money_keeps_two_digits_that_count() {
        let of = |values: &[f64]| values.iter().map(|value| dollars(*value)).collect::<Vec<_>>().join(", ");
        assert_eq!(of(&[0.0, 1234.4, 12.345, 0.0234, 0.000_56]), "$0, $1,234, $12.35, $0.023, $0.00056");
        assert_eq!(of(&[0.000_000_1, f64::NAN]), "under $0.000001, –");
    }

    #[test]
    fn the_calendar_knows_leap_days() {
        assert_eq!(calendar(0), "1970-01-01 00:00 UTC");
        assert_eq!(calendar(1_709_210_096_000), "2024-02-29 12:34 UTC");
        assert_eq!(calendar(1_767_225_599_000), "2025-12-31 23:59 UTC");
    }
}
