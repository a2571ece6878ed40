//! The few pieces of HTML that every section uses. Whatever comes from a result passes through [`escape`].

/// Text as it may stand between tags and in a quoted attribute.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // Control characters are not allowed in HTML, and invisible at best.
            c if c.is_control() && c != '\n' && c != '\t' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// Terms and values, both as plain text; rows without a value are left out.
pub fn facts(rows: &[(&str, Option<String>)]) -> String {
    let rows: String = rows
        .iter()
        .filter_map(|(term, value)| value.as_ref().map(|value| (term, value)))
        .map(|(term, value)| format!("<div><dt>{}</dt><dd>{}</dd></div>", escape(term), escape(value)))
        .collect();
    format!("<dl class=\"facts\">{rows}</dl>\n")
}

/// A part of the page: a heading, and what stands under it as HTML.
pub fn section(id: &str, heading: &str, inner: &str) -> String {
    format!("<section id=\"{id}\" class=\"part\">\n<h2>{}</h2>\n{inner}</section>\n", escape(heading))
}

/// A paragraph of plain text.
pub fn paragraph(class: &str, text: &str) -> String {
    format!("<p class=\"{class}\">{}</p>\n", escape(text))
}

/// Sentences as a list.
pub fn sentences(class: &str, items: &[String]) -> String {
    let items: String = items.iter().map(|item| format!("<li>{}</li>", escape(item))).collect();
    format!("<ul class=\"{class}\">{items}</ul>\n")
}

/// The whole document around a body. `mood` becomes the body's class.
pub fn document(title: &str, mood: &str, body: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{}</title>\n<style>\n{}</style>\n</head>\n\
         <body class=\"{mood}\">\n{body}<script>\n{}</script>\n</body>\n</html>\n",
        escape(title),
        include_str!("style.css"),
        include_str!("hover.js"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_markup_remains() {
        assert_eq!(
            escape("<a href='x' b=\"y\">&\u{1b}[31m"),
            "&lt;a href=&#39;x&#39; b=&quot;y&quot;&gt;&amp;\u{fffd}[31m"
        );
        assert_eq!(escape("1.5 µs\n\tok"), "1.5 µs\n\tok");
    }

    #[test]
    fn rows_without_a_value_are_left_out() {
        let html = facts(&[("Disk", None), ("<b>", Some("1 & 2".into()))]);
        assert!(html.contains("<dt>&lt;b&gt;</dt><dd>1 &amp; 2</dd>") && !html.contains("Disk"), "{html}");
    }
}
