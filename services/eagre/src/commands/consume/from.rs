//! `--from`: where reading begins.

use std::{str::FromStr, time::Duration};

use eagre_client::Position;
use eagre_env::Clock;

/// As the command line says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// `beginning`
    Beginning,
    /// `end`
    End,
    /// `OFFSET`
    Offset(i64),
    /// `-N`
    Last(u64),
    /// `@2026-11-23T10:00:00Z` or `@1795428000000`
    Time(i64),
    /// `@-1h`
    Ago(Duration),
}

impl From {
    /// As the client wants it.
    pub fn position(self, clock: &dyn Clock) -> Position {
        match self {
            Self::Beginning => Position::Beginning,
            Self::End => Position::End,
            Self::Offset(offset) => Position::Offset(offset),
            Self::Last(records) => Position::Last(records),
            Self::Time(unix_ms) => Position::Timestamp(unix_ms),
            Self::Ago(duration) => {
                let ms = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
                Position::Timestamp(clock.unix_ms().saturating_sub(ms).max(0))
            }
        }
    }
}

impl FromStr for From {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let help = || "write beginning, end, an offset, -N, @2026-11-23T10:00:00Z, @1795428000000 or @-1h".to_owned();
        let no_time = |time: &str| format!("{time:?} is no time; {}", help());
        match text {
            "beginning" => return Ok(Self::Beginning),
            "end" => return Ok(Self::End),
            _ => {}
        }
        if let Some(ago) = text.strip_prefix("@-") {
            return humantime::parse_duration(ago).map(Self::Ago).map_err(|error| format!("{error}; {}", help()));
        }
        if let Some(time) = text.strip_prefix('@') {
            if !time.is_empty() && time.bytes().all(|byte| byte.is_ascii_digit()) {
                return of_epoch(time.parse().map_err(|_| no_time(time))?).map(Self::Time);
            }
            let parsed: Result<jiff::Timestamp, _> = time.parse();
            return parsed.map(|time| Self::Time(time.as_millisecond())).map_err(|_| no_time(time));
        }
        let is_digits = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        match text.strip_prefix('-') {
            Some(last) if is_digits(last) => last.parse().map(Self::Last).map_err(|_| help()),
            None if is_digits(text) => {
                text.parse().map(Self::Offset).map_err(|_| format!("it is larger than any offset; {}", help()))
            }
            _ => Err(help()),
        }
    }
}

/// The first millisecond of 1971.
const YEAR_1971_MS: i64 = 365 * 24 * 3_600 * 1_000;

/// Milliseconds since the epoch. What lies in 1970 is a number of seconds: read as milliseconds, it would begin at the first
/// record, which nobody meant. The epoch itself stays what it is.
fn of_epoch(unix_ms: i64) -> Result<i64, String> {
    if !(1..YEAR_1971_MS).contains(&unix_ms) {
        return Ok(unix_ms);
    }
    let seconds = jiff::Timestamp::from_second(unix_ms);
    let meant = seconds.map(|time| format!(" as seconds it is {time}, so write @{unix_ms}000 or @{time}"));
    Err(format!(
        "numbers behind @ are milliseconds since the epoch, and {unix_ms} lies in 1970;{}",
        meant.unwrap_or_else(|_| " write a time as @2026-11-23T10:00:00Z".to_owned())
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct At(i64);

    impl Clock for At {
        fn unix_ms(&self) -> i64 {
            self.0
        }

        fn monotonic(&self) -> Duration {
            Duration::ZERO
        }
    }

    #[test]
    fn every_form_is_understood() {
        for (text, expected) in [
            ("beginning", From::Beginning),
            ("end", From::End),
            ("0", From::Offset(0)),
            ("9223372036854775807", From::Offset(i64::MAX)),
            ("-10", From::Last(10)),
            ("-0", From::Last(0)),
            ("@0", From::Time(0)),
            ("@1795428000000", From::Time(1_795_428_000_000)),
            ("@2026-11-23T10:00:00Z", From::Time(1_795_428_000_000)),
            ("@2026-11-23T11:00:00.5+01:00", From::Time(1_795_428_000_500)),
            ("@-1h", From::Ago(Duration::from_secs(3_600))),
            ("@-1h30m", From::Ago(Duration::from_secs(5_400))),
            ("@-250ms", From::Ago(Duration::from_millis(250))),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn seconds_are_told_from_milliseconds() {
        let error = "@1795428000".parse::<From>().unwrap_err();
        for said in ["milliseconds", "lies in 1970", "write @1795428000000 or @2026-11-23T10:00:00Z"] {
            assert!(error.contains(said), "{said}: {error}");
        }
        for text in ["@1", "@31535999999"] {
            assert!(text.parse::<From>().is_err(), "{text}");
        }
        assert_eq!("@31536000000".parse(), Ok(From::Time(31_536_000_000)));
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "",
            "-",
            "--1",
            "+1",
            "1.5",
            "1k",
            "Beginning",
            "latest",
            "@",
            "@-",
            "@yesterday",
            "@-1",
            "@2026-11-23",
            "@2026-11-23T10:00:00",
            "9223372036854775808",
            "@9223372036854775808",
            " 1",
        ] {
            assert!(text.parse::<From>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_age_counts_from_now() {
        let position = From::Ago(Duration::from_secs(60)).position(&At(100_000));
        assert_eq!(position, Position::Timestamp(40_000));
        assert_eq!(From::Ago(Duration::from_secs(999)).position(&At(5)), Position::Timestamp(0));
    }
}
