//! What requests cost. The list prices are those of S3 Standard, whatever store there is: an estimate.
//!
//! From <https://aws.amazon.com/s3/pricing>, us-east-1, the first price of each table: PUT, COPY, POST and LIST at $5 a million, GET
//! and all others at $0.40, DELETE for nothing. Traffic out of the region is not in it. A folder costs nothing: there the figure
//! is what the same requests would cost on S3.

/// What a provider bills.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PriceSheet {
    /// Whose prices.
    pub name: &'static str,
    /// Billionths of a dollar for a PUT, a COPY, a POST or a LIST.
    pub nanodollars_per_put: u32,
    /// Billionths of a dollar for a GET.
    pub nanodollars_per_get: u32,
    /// Dollars for a GiB kept for a month, which providers spell GB.
    pub dollars_per_gib_month: f64,
}

impl PriceSheet {
    /// Dollars for a million PUT or LIST requests.
    pub fn dollars_per_million_puts(&self) -> f64 {
        f64::from(self.nanodollars_per_put) / 1_000.0
    }

    /// Dollars for a million GET requests.
    pub fn dollars_per_million_gets(&self) -> f64 {
        f64::from(self.nanodollars_per_get) / 1_000.0
    }
}

/// Amazon S3 Standard in us-east-1.
pub const S3_STANDARD: PriceSheet = PriceSheet {
    name: "Amazon S3 Standard",
    nanodollars_per_put: 5_000,
    nanodollars_per_get: 400,
    dollars_per_gib_month: 0.023,
};

/// Billionths of a dollar for one request. What fails on the store's side is not billed; a refused condition and a missing key
/// are.
pub(crate) fn nanodollars(op: &str, result: &str) -> u64 {
    match (op, result) {
        (_, "error") | ("delete", _) => 0,
        ("get" | "head", _) => S3_STANDARD.nanodollars_per_get.into(),
        // A multipart upload is billed by the request: its start, each part, its end. A rename is a copy and a DELETE.
        (_, _) => S3_STANDARD.nanodollars_per_put.into(),
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
