//! Names that users give.

/// The longest topic name, as in Kafka.
pub const TOPIC_NAME_MAX_BYTES: usize = 249;

/// Why a name is refused; the text says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// No name at all.
    #[error("the topic name is empty: give it 1 to {TOPIC_NAME_MAX_BYTES} of the characters a-z A-Z 0-9 . _ -")]
    Empty,
    /// Over 249.
    #[error("the topic name has {length_bytes} bytes: shorten it to at most {TOPIC_NAME_MAX_BYTES}")]
    TooLong {
        /// Its length.
        length_bytes: usize,
    },
    /// `.` or `..`.
    #[error("the topic name {0:?} has a meaning in paths: choose another one")]
    Dots(String),
    /// Something outside the alphabet.
    #[error("the topic name has {character:?} at place {place}: use only a-z A-Z 0-9 . _ -")]
    Character {
        /// The first one that is not allowed.
        character: char,
        /// Counted in characters, from 1.
        place: usize,
    },
}

/// Checks a topic's name by Kafka's rules (`org.apache.kafka.common.internals.Topic`).
///
/// # Errors
/// The first rule that it breaks.
pub fn validate_topic_name(name: &str) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if name.len() > TOPIC_NAME_MAX_BYTES {
        return Err(NameError::TooLong { length_bytes: name.len() });
    }
    if name == "." || name == ".." {
        return Err(NameError::Dots(name.to_owned()));
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    match name.chars().enumerate().find(|&(_, c)| !allowed(c)) {
        Some((i, character)) => Err(NameError::Character { character, place: i + 1 }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_kafka_takes() {
        for name in ["a", "flights", "A.b_c-9", "...", ".a", "-", "_", &"x".repeat(249)] {
            assert_eq!(validate_topic_name(name), Ok(()), "{name}");
        }
    }

    #[test]
    fn says_what_is_wrong() {
        let cases: &[(&str, &str)] = &[
            ("", "the topic name is empty: give it 1 to 249 of the characters a-z A-Z 0-9 . _ -"),
            (".", "the topic name \".\" has a meaning in paths: choose another one"),
            ("..", "the topic name \"..\" has a meaning in paths: choose another one"),
            ("a b", "the topic name has ' ' at place 2: use only a-z A-Z 0-9 . _ -"),
            ("grüße", "the topic name has 'ü' at place 3: use only a-z A-Z 0-9 . _ -"),
            ("a/b", "the topic name has '/' at place 2: use only a-z A-Z 0-9 . _ -"),
            ("a\n", "the topic name has '\\n' at place 2: use only a-z A-Z 0-9 . _ -"),
        ];
        for (name, message) in cases {
            assert_eq!(validate_topic_name(name).unwrap_err().to_string(), *message, "{name:?}");
        }
        let long = "x".repeat(250);
        let message = "the topic name has 250 bytes: shorten it to at most 249";
        assert_eq!(validate_topic_name(&long).unwrap_err().to_string(), message);
    }
}
