//! Asks a server's HTTP port, and reads Prometheus' text format.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::{TcpStream, ToSocketAddrs as _},
    time::Duration,
};

use anyhow::{Context, Result};

/// How long an answer may take.
const ANSWER: Duration = Duration::from_millis(900);

/// `GET path` of `host:port`; returns status and body.
pub fn get(address: &str, path: &str) -> Result<(u16, String)> {
    let address = address.to_socket_addrs()?.next().with_context(|| format!("no address: {address}"))?;
    let mut stream = TcpStream::connect_timeout(&address, ANSWER)?;
    stream.set_read_timeout(Some(ANSWER))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: eagre\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP answer")?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).context("no HTTP status")?;
    Ok((status, body.to_owned()))
}

/// Requests to the bucket so far, by `op`, of a page of `/metrics`.
pub fn bucket_requests(page: &str) -> BTreeMap<String, f64> {
    let mut requests = BTreeMap::new();
    let lines = page.lines().filter_map(|line| line.strip_prefix("eagre_bucket_requests_total{"));
    for (labels, value) in lines.filter_map(|line| line.rsplit_once("} ")) {
        let op = labels.split(',').find_map(|label| label.strip_prefix("op=\"")?.strip_suffix('"'));
        if let (Some(op), Ok(value)) = (op, value.parse::<f64>()) {
            *requests.entry(op.to_owned()).or_default() += value;
        }
    }
    requests
}

/// Whether the bucket of a page of `/metrics` is behind a network: only then are the requests under way limited.
pub fn is_behind_network(page: &str) -> bool {
    page.lines().any(|line| line.starts_with("eagre_bucket_in_flight_limit "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_summed_over_results() {
        let page = "# TYPE eagre_bucket_requests_total counter\n\
            eagre_bucket_requests_total{op=\"put\",result=\"ok\"} 3\n\
            eagre_bucket_requests_total{result=\"error\",op=\"put\"} 1\n\
            eagre_bucket_requests_total{op=\"get\",result=\"ok\"} 5\n\
            eagre_bucket_requests_totally{op=\"get\"} 9\n";
        assert_eq!(bucket_requests(page), BTreeMap::from([("get".into(), 5.0), ("put".into(), 4.0)]));
    }
}
