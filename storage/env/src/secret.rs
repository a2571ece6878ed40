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
    use super::redacted;

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
    fn everything_else_stays() {
        for text in ["", "127.0.0.1:8070", "http://there/a", "./a:b@c", "file:///a:b@c", "a://b c@d", "://", "me@there"]
        {
            assert_eq!(redacted(text), text);
        }
    }
}
