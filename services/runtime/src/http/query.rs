//! What stands behind the question mark. Values are names and numbers: nothing in them is ever escaped.

use std::{collections::BTreeMap, fmt::Display, ops::RangeInclusive, str::FromStr};

use axum::extract::Request;

use super::error::ApiError;

/// The parameters of a request, each known and given once.
#[derive(Debug)]
pub(super) struct Query(BTreeMap<String, String>);

impl Query {
    pub fn of(request: &Request, known: &[&str]) -> Result<Self, ApiError> {
        Self::parse(request.uri().query().unwrap_or_default(), known)
    }

    fn parse(query: &str, known: &[&str]) -> Result<Self, ApiError> {
        let mut parameters = BTreeMap::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if !known.contains(&name) {
                let known = known.join(", ");
                return Err(ApiError::invalid(name, format!("there is no parameter {name:?} here, only: {known}")));
            }
            if parameters.insert(name.to_owned(), value.to_owned()).is_some() {
                return Err(ApiError::invalid(name, format!("the parameter {name:?} is given twice; leave one out")));
            }
        }
        Ok(Self(parameters))
    }

    pub fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    /// A number within a range.
    pub fn number<T>(&mut self, name: &str, range: RangeInclusive<T>) -> Result<Option<T>, ApiError>
    where
        T: FromStr + PartialOrd + Display,
    {
        let Some(text) = self.take(name) else { return Ok(None) };
        match text.parse::<T>().ok().filter(|number| range.contains(number)) {
            Some(number) => Ok(Some(number)),
            None => {
                let (low, high) = (range.start(), range.end());
                Err(ApiError::invalid(name, format!("{name} is {text:?}; it is a number from {low} to {high}")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_known_once_and_in_range() {
        let known = ["from", "max"];
        let mut query = Query::parse("from=earliest&max=7", &known).unwrap();
        assert_eq!((query.take("from").as_deref(), query.number("max", 1..=10).unwrap()), (Some("earliest"), Some(7)));
        assert_eq!(query.number("max", 1..=10).unwrap(), None);
        for wrong in ["to=1", "from=1&from=2", "from"] {
            let error = Query::parse(wrong, &["max"]).unwrap_err();
            assert!(format!("{error:?}").contains("only: max"), "{error:?}");
        }
        assert!(Query::parse("max=1&max=2", &known).is_err());
        for wrong in ["max=0", "max=11", "max=", "max=-1", "max=99999999999999999999", "max=1e1"] {
            assert!(Query::parse(wrong, &known).unwrap().number("max", 1..=10_u32).is_err(), "{wrong}");
        }
    }
}
