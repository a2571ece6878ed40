//! What was probably meant.

/// The name that is fewest changes away, if they are few for its length.
pub fn nearest<'a>(typed: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |name: &str| name.to_lowercase().replace('-', "_");
    let typed = plain(typed);
    let distances = names.into_iter().map(|name| (strsim::damerau_levenshtein(&typed, &plain(name)), name));
    let (distance, name) = distances.min()?;
    (distance <= 1 + name.len() / 4).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_found_and_a_stranger_is_not() {
        let names = ["bucket", "grpc", "http", "max_put_per_second"];
        for (typed, expected) in [
            ("grcp", Some("grpc")),
            ("gprc", Some("grpc")),
            ("buckets", Some("bucket")),
            ("HTTP", Some("http")),
            ("max-puts-per-second", Some("max_put_per_second")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(typed, names), expected, "{typed}");
        }
        assert_eq!(nearest("grpc", []), None);
    }
}
