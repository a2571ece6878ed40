//! What a store said, fit to be passed on: its words reach clients and logs, and the body of a refusal may hold keys, tokens
//! and whole pages of a proxy.

use eagre_env::redacted;
use object_store::Error;

/// More is of no use to anybody.
const CHARACTERS_MAX: usize = 300;

/// The words before a body in XML or HTML, and the code that stands in it.
pub(crate) fn brief(error: &Error) -> String {
    redacted(&shortened(&error.to_string()))
}

fn shortened(text: &str) -> String {
    let Some((words, body)) = text.split_once('<') else { return clipped(text) };
    let words = words.trim_end_matches(|character: char| character.is_whitespace() || ":\"".contains(character));
    let code = body.split_once("Code>").and_then(|(_, rest)| rest.split_once('<')).map(|(code, _)| code);
    match code.filter(|code| !code.is_empty() && code.bytes().all(|byte| byte.is_ascii_alphanumeric())) {
        Some(code) => clipped(&format!("{words}: {code}")),
        None => clipped(words),
    }
}

fn clipped(text: &str) -> String {
    match text.char_indices().nth(CHARACTERS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_left_out_but_for_its_code() {
        let text = r#"Error performing PUT http://127.0.0.1:9000/b/k in 2ms - Server returned non-2xx status code: 403 Forbidden: <?xml version="1.0"?><Error><Code>ExpiredToken</Code><Token-0>c2VjcmV0</Token-0></Error>"#;
        let said = shortened(text);
        assert!(said.ends_with("403 Forbidden: ExpiredToken"), "{said}");
        assert!(!said.contains("c2VjcmV0"), "{said}");
        let page = format!("502 Bad Gateway: <html><body>{}</body></html>", "x".repeat(100_000));
        assert_eq!(shortened(&page), "502 Bad Gateway");
        assert_eq!(shortened("<Code><script>"), "");
    }

    #[test]
    fn words_are_kept_and_bounded() {
        assert_eq!(shortened("connection refused"), "connection refused");
        let long = "é".repeat(1_000);
        assert_eq!(shortened(&long).chars().count(), CHARACTERS_MAX + 1);
    }
}
