//! What of an address may be shown.

/// Stands in a text for each character of a secret, so that what stands behind it keeps its column.
const MASK: char = '*';

/// A text without the secrets of the URLs in it: of `scheme://user:password@host` the password, of `scheme://token@host` the
/// token. What an address is too broken to tell apart, as a password with a slash, goes as well. For errors and logs.
pub fn redacted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + "://".len());
        out.push_str(before);
        let end = after.find(char::is_whitespace).unwrap_or(after.len());
        let (address, behind) = after.split_at(end);
        push_address(&mut out, address);
        rest = behind;
    }
    out + rest
}

/// A text that is to be one address, and may be no URL at all: whatever stands between its first colon, behind the scheme, and its
/// last `@`.
pub fn redacted_address(text: &str) -> String {
    let begin = text.find("://").map_or(0, |at| at + "://".len());
    let mut out = text[..begin].to_owned();
    push_address(&mut out, &text[begin..]);
    out
}

/// An address up to the next blank. Where it begins with a slash it has no authority: a folder may have any name.
fn push_address(out: &mut String, address: &str) {
    let Some((user, host)) = address.rsplit_once('@').filter(|_| !address.starts_with('/')) else {
        out.push_str(address);
        return;
    };
    let (shown, secret) = user.split_at(user.find(':').map_or(0, |colon| colon + 1));
    out.push_str(shown);
    out.extend(secret.chars().map(|_| MASK));
    out.push('@');
    out.push_str(host);
}

#[cfg(test)]
mod tests {
    use super::{redacted, redacted_address};

    #[test]
    fn secrets_of_urls_are_masked_wherever_they_stand() {
        for (text, shown) in [
            ("http://me:hush@there:1/a", "http://me:****@there:1/a"),
            ("'s3://me:hu/sh@bucket' is no bucket", "'s3://me:*****@bucket' is no bucket"),
            ("http://me:p@ss@there", "http://me:****@there"),
            ("https://token@there", "https://*****@there"),
            ("http://:hush@there and http://a:b@c", "http://:****@there and http://a:*@c"),
            ("http://me:h\u{fc}sh@there", "http://me:****@there"),
        ] {
            assert_eq!(redacted(text), shown);
        }
    }

    #[test]
    fn secrets_of_broken_addresses_are_masked() {
        for (text, shown) in [
            ("http://u:geh eim@h", "http://u:*******@h"),
            ("u:hush@127.0.0.1:1", "u:****@127.0.0.1:1"),
            ("http//u:hush@h", "http//u:****@h"),
            ("s3:/u:hush@h/b", "s3:*******@h/b"),
            ("127.0.0.1:8070", "127.0.0.1:8070"),
        ] {
            assert_eq!(redacted_address(text), shown);
        }
    }

    #[test]
    fn everything_else_stays() {
        for text in ["", "127.0.0.1:8070", "http://there/a", "./a:b@c", "file:///a:b@c", "a://b c@d", "://", "me@there"]
        {
            assert_eq!(redacted(text), text);
        }
    }
}
