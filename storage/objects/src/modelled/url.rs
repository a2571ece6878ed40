//! How a modelled store is named.

use std::fmt;

/// `model+memory://`, with `?` and any of these, joined by `&`: `seed=N` (1), `put-per-second=N` (no ceiling), `hedges=off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelUrl {
    /// Latencies follow from it.
    pub seed: u64,
    /// Above so many PUTs a second the store answers 503.
    pub puts_per_second: Option<u32>,
    /// Slow requests are sent a second time, as on every bucket behind a network.
    pub has_hedges: bool,
}

/// What is wrong with the name of a modelled store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is not a setting of model+memory://; it takes seed=N, put-per-second=N and hedges=off, joined by '&', after a '?'"
)]
pub struct ModelUrlError(String);

impl ModelUrl {
    /// The scheme.
    pub const SCHEME: &str = "model+memory";

    /// Reads what stands behind `model+memory://`.
    ///
    /// # Errors
    /// The first setting that is not one.
    pub fn parse(rest: &str) -> Result<Self, ModelUrlError> {
        let mut url = Self { seed: 1, puts_per_second: None, has_hedges: true };
        if rest.is_empty() {
            return Ok(url);
        }
        let settings = rest.strip_prefix('?').ok_or_else(|| ModelUrlError(rest.into()))?;
        for setting in settings.split('&') {
            let wrong = || ModelUrlError(setting.into());
            match setting.split_once('=').ok_or_else(wrong)? {
                ("seed", seed) => url.seed = seed.parse().map_err(|_| wrong())?,
                ("put-per-second", puts) => {
                    url.puts_per_second = Some(puts.parse().ok().filter(|puts| *puts > 0).ok_or_else(wrong)?);
                }
                ("hedges", "off") => url.has_hedges = false,
                ("hedges", "on") => url.has_hedges = true,
                _ => return Err(wrong()),
            }
        }
        Ok(url)
    }
}

impl fmt::Display for ModelUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://?seed={}", Self::SCHEME, self.seed)?;
        if let Some(puts) = self.puts_per_second {
            write!(f, "&put-per-second={puts}")?;
        }
        if !self.has_hedges {
            f.write_str("&hedges=off")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_both_ways() {
        let usual = ModelUrl { seed: 1, puts_per_second: None, has_hedges: true };
        let parsed = |text: &str| ModelUrl::parse(text.strip_prefix("model+memory://").unwrap());
        assert_eq!(parsed("model+memory://"), Ok(usual));
        let all = "model+memory://?seed=7&put-per-second=100&hedges=off";
        let expected = ModelUrl { seed: 7, puts_per_second: Some(100), has_hedges: false };
        assert_eq!(parsed(all), Ok(expected));
        assert_eq!(expected.to_string(), all);
        assert_eq!(parsed(&usual.to_string()), Ok(usual));
    }

    #[test]
    fn others_are_refused_by_name() {
        for (rest, named) in [
            ("x", "'x'"),
            ("?", "''"),
            ("?seed=", "'seed='"),
            ("?seed=-1", "'seed=-1'"),
            ("?put-per-second=0", "'put-per-second=0'"),
            ("?seed=1&hedge=off", "'hedge=off'"),
        ] {
            let error = ModelUrl::parse(rest).unwrap_err().to_string();
            assert!(error.starts_with(named) && error.contains("put-per-second=N"), "{rest}: {error}");
        }
    }
}
