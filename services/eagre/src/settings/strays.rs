//! Variables that look like settings and are none.

use super::nearest::nearest;
use crate::failure::Failure;

const PREFIX: &str = "EAGRE_";

/// A warning for each variable with our prefix that no command reads. They are not refused: other programs may share the
/// prefix, as scripts that start this one do.
pub fn strays(known: &[String], variables: impl Iterator<Item = String>) -> Vec<Failure> {
    let mut strays: Vec<_> = variables.filter(|name| name.starts_with(PREFIX) && !known.contains(name)).collect();
    strays.sort();
    let warning = |name: String| {
        let warning = Failure::new(format!("the variable {name} is no setting, and has no effect"));
        match nearest(&name[PREFIX.len()..], known.iter().filter_map(|known| known.strip_prefix(PREFIX))) {
            Some(nearest) => warning.help(format!("the nearest one is {PREFIX}{nearest}")),
            None => {
                warning.help("`eagre config check` prints the settings that hold, and docs/settings.md all there are")
            }
        }
    };
    strays.into_iter().map(warning).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_that_nothing_reads_is_told_with_the_nearest_one() {
        let known = ["EAGRE_BUCKET", "EAGRE_GRPC"].map(str::to_owned);
        let set = ["PATH", "EAGRE_GRPC", "EAGRE_GRCP", "EAGRE_TEST_ROUNDS"].map(str::to_owned);
        let warnings = strays(&known, set.into_iter());
        let told: Vec<_> = warnings.iter().map(|warning| (warning.what.as_str(), warning.help[0].as_str())).collect();
        assert_eq!(told.len(), 2, "{told:?}");
        assert_eq!(
            told[0],
            ("the variable EAGRE_GRCP is no setting, and has no effect", "the nearest one is EAGRE_GRPC")
        );
        assert!(told[1].0.contains("EAGRE_TEST_ROUNDS") && told[1].1.contains("docs/settings.md"), "{told:?}");
    }
}
