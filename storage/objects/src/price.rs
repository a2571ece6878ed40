//! What a request would cost on S3 Standard: an estimate from list prices, whatever store there is.
//!
//! From <https://aws.amazon.com/s3/pricing>, us-east-1: $5 for a million PUT, COPY, POST or LIST requests, $0.40 for a million
//! GET and all others, DELETE for nothing. Storage and traffic are not in it. A folder costs nothing: there the figure is what
//! the same requests would cost on S3.

const NANODOLLARS_PER_WRITE: u64 = 5_000;
const NANODOLLARS_PER_READ: u64 = 400;

/// Billionths of a dollar for one request. What fails on the store's side is not billed; a refused condition and a missing key
/// are.
pub(crate) fn nanodollars(op: &str, result: &str) -> u64 {
    match (op, result) {
        (_, "error") | ("delete", _) => 0,
        ("get" | "head", _) => NANODOLLARS_PER_READ,
        // A multipart upload is billed by the request: its start, each part, its end. A rename is a copy and a DELETE.
        (_, _) => NANODOLLARS_PER_WRITE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_cost_what_the_price_list_says() {
        let million = |op, result| nanodollars(op, result) * 1_000_000 / 1_000_000_000;
        assert_eq!((million("put", "ok"), million("create", "exists"), million("list", "ok")), (5, 5, 5));
        assert_eq!((nanodollars("get", "missing"), nanodollars("head", "ok")), (400, 400));
        assert_eq!((nanodollars("put", "error"), nanodollars("delete", "ok")), (0, 0));
    }
}
