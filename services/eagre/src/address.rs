//! Which addresses may be listened on. Nothing is encrypted and nobody is asked who they are yet, so only this machine is
//! let in unless it is said that others may come.

use std::net::SocketAddr;

use tokio::net::lookup_host;

use crate::failure::Failure;

/// Checks `HOST:PORT` of a flag. A name counts as all that it stands for. Returns whether other machines reach it.
///
/// # Errors
/// It is not of that form, the name is not known, or other machines reach it and nobody said `--insecure`.
pub async fn check(flag: &str, address: &str, is_insecure: bool) -> Result<bool, Failure> {
    let port = address.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
    let Some(Ok(_)) = port else {
        let what = format!("{flag} {address:?} is no address");
        return Err(Failure::usage(what).help(format!("{flag} takes HOST:PORT, as 127.0.0.1:8070 or [::1]:8070")));
    };
    let resolved = lookup_host(address).await.map_err(|error| {
        let what = format!("{flag} {address}: the host cannot be found: {error}");
        Failure::new(what).help("name this machine, by an address or by a name that it knows")
    })?;
    match resolved.map(|address| address.ip().to_canonical()).find(|ip| !ip.is_loopback()) {
        Some(ip) if !is_insecure => Err(refused(flag, address, ip)),
        found => Ok(found.is_some()),
    }
}

fn refused(flag: &str, address: &str, ip: std::net::IpAddr) -> Failure {
    let is_literal = address.parse::<SocketAddr>().is_ok();
    let stands_for = if is_literal { String::new() } else { format!(" stands for {ip}, which") };
    let what = format!(
        "{flag} {address}{stands_for} is reachable from other machines, and there is no encryption and no login yet"
    );
    Failure::usage(what)
        .help("listen on 127.0.0.1")
        .help("or add --insecure, if everyone who reaches it may read and write everything")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Level, rendered};

    #[tokio::test]
    async fn this_machine_alone_is_let_in() {
        for address in ["127.0.0.1:8070", "127.9.8.7:0", "[::1]:8070", "[::ffff:127.0.0.1]:1", "localhost:8070"] {
            assert_eq!(check("--grpc", address, false).await, Ok(false), "{address}");
        }
    }

    #[tokio::test]
    async fn others_come_in_only_when_that_is_said() {
        for address in ["0.0.0.0:8070", "[::]:8070", "192.0.2.1:8070", "[2001:db8::1]:80", "[::ffff:192.0.2.1]:1"] {
            let refused = check("--grpc", address, false).await.unwrap_err();
            assert_eq!(refused.status, 2);
            assert_eq!(check("--grpc", address, true).await, Ok(true), "{address}");
        }
        let expected = "\
error: --http 0.0.0.0:80 is reachable from other machines, and there is no encryption and no login yet
  = help: listen on 127.0.0.1
  = help: or add --insecure, if everyone who reaches it may read and write everything";
        let refused = check("--http", "0.0.0.0:80", false).await.unwrap_err();
        assert_eq!(rendered(Level::Error, &refused, false), expected);
    }

    #[tokio::test]
    async fn what_is_no_address_is_told_so() {
        for address in ["", "nonsense", "127.0.0.1", "127.0.0.1:", "127.0.0.1:99999", "[::1]"] {
            let refused = check("--grpc", address, true).await.unwrap_err();
            assert_eq!(refused.status, 2, "{address}");
            assert!(refused.what.contains("is no address"), "{}", refused.what);
        }
        let unknown = check("--grpc", "no-such-host.invalid:1", false).await.unwrap_err();
        assert!(unknown.what.contains("cannot be found"), "{}", unknown.what);
    }
}
