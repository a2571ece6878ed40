//! What the service uses: CPU time and memory of its process, requests to its bucket. A process that came in the place of another
//! begins to count anew, and what the one before it used is kept.

use std::{
    collections::BTreeMap,
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
};

use anyhow::{Context, Result, ensure};

use crate::system::{process::usage, scrape};

/// See the module. Without a process and without metrics it sees nothing.
#[derive(Debug, Default)]
pub struct Watched {
    /// `host:port` where the service shows metrics.
    metrics: Option<String>,
    meter: Mutex<Meter>,
}

/// What was used between two looks.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Used {
    /// Of all threads of the process.
    pub cpu_s: Option<f64>,
    /// Resident at the last look.
    pub rss_bytes: Option<u64>,
    /// To the bucket, by operation.
    pub requests: Option<BTreeMap<String, f64>>,
}

#[derive(Debug, Default)]
struct Meter {
    pid: Option<u32>,
    /// Of the process, and its counters, at the last look.
    cpu_s: Option<f64>,
    requests: Option<BTreeMap<String, f64>>,
    /// Since it was taken.
    used: Used,
    /// Requests to the bucket go over a network, to somebody who charges for them.
    is_remote: Option<bool>,
    /// It has no process at the moment, or one that is just starting.
    is_away: bool,
}

impl Watched {
    /// Of a process on this machine, and of an address that shows metrics; either may be missing.
    pub fn new(pid: Option<u32>, metrics: Option<String>) -> Self {
        Self { metrics, meter: Mutex::new(Meter { pid, ..Meter::default() }) }
    }

    /// Fails when there is nothing to be seen where somebody said that there is.
    pub fn check(&self) -> Result<()> {
        if let Some(pid) = self.lock().pid {
            usage(&pid.to_string())
                .ok()
                .with_context(|| format!("--server-pid {pid}: there is no such process here"))?;
        }
        let Some(address) = &self.metrics else { return Ok(()) };
        let (status, page) = scrape::get(address, "/metrics")
            .with_context(|| format!("--metrics {address}: nobody shows metrics there, at http://{address}/metrics"))?;
        ensure!(status == 200, "--metrics {address}: http://{address}/metrics is answered with status {status}");
        ensure!(
            !scrape::bucket_requests(&page).is_empty(),
            "--metrics {address}: the page there has no eagre_bucket_requests_total, so it is not the HTTP port of an Eagre"
        );
        Ok(())
    }

    /// The process is about to end: what it has used until now counts, and nothing is looked at until another one came. Waits for
    /// the page of metrics.
    pub fn goes(&self) {
        let mut meter = self.lock();
        self.look(&mut meter);
        meter.is_away = true;
    }

    /// Another process serves now, which counts from nothing.
    pub fn came(&self, pid: Option<u32>) {
        let mut meter = self.lock();
        (meter.pid, meter.cpu_s, meter.is_away) = (pid, Some(0.0), false);
        meter.requests = meter.requests.take().map(|_| BTreeMap::new());
    }

    /// What was used since the last time; the first look is where counting begins. Waits for the page of metrics.
    pub fn take(&self) -> Used {
        let mut meter = self.lock();
        self.look(&mut meter);
        mem::take(&mut meter.used)
    }

    /// Whether somebody charges for requests to the bucket, where it is known: nobody does for a folder or memory.
    pub fn is_charged(&self) -> Option<bool> {
        self.lock().is_remote
    }

    /// Under the lock from the asking on: pages are applied in the order in which they were made.
    fn look(&self, meter: &mut Meter) {
        meter.used.rss_bytes = None;
        if meter.is_away {
            return;
        }
        let page = self.metrics.as_ref().and_then(|address| scrape::get(address, "/metrics").ok());
        meter.look(page.filter(|(status, _)| *status == 200).as_ref().map(|(_, page)| page.as_str()));
    }

    fn lock(&self) -> MutexGuard<'_, Meter> {
        self.meter.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Meter {
    fn look(&mut self, page: Option<&str>) {
        if let Some(now) = self.pid.and_then(|pid| usage(&pid.to_string()).ok()) {
            self.used.rss_bytes = Some(now.rss_bytes);
            if let Some(before) = self.cpu_s.replace(now.cpu_s) {
                *self.used.cpu_s.get_or_insert_default() += (now.cpu_s - before).max(0.0);
            }
        }
        let now = page.map(scrape::bucket_requests).filter(|requests| !requests.is_empty());
        let (Some(page), Some(now)) = (page, now) else { return };
        // A process says so only when it has asked for something.
        self.is_remote = Some(self.is_remote == Some(true) || scrape::is_behind_network(page));
        let Some(before) = self.requests.replace(now.clone()) else { return };
        let used = self.used.requests.get_or_insert_default();
        for (op, count) in now {
            // A counter that went back began anew with its process.
            let before = before.get(&op).copied().filter(|before| *before <= count).unwrap_or(0.0);
            *used.entry(op).or_default() += count - before;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(puts: u32) -> String {
        format!("eagre_bucket_requests_total{{op=\"put\",result=\"ok\"}} {puts}\n")
    }

    fn puts(used: &Used) -> Option<f64> {
        used.requests.as_ref().map(|requests| requests.get("put").copied().unwrap_or(0.0))
    }

    #[test]
    fn what_a_process_used_before_its_end_is_kept() {
        let watched = Watched::new(Some(std::process::id()), None);
        let look = |puts| watched.lock().look(Some(&page(puts)));
        let take = || mem::take(&mut watched.lock().used);
        look(10);
        assert_eq!(puts(&take()), None, "counting begins here");
        look(15);
        look(17);
        watched.came(Some(std::process::id()));
        look(4);
        let used = take();
        assert_eq!(puts(&used), Some(11.0));
        assert!(used.cpu_s.is_some() && used.rss_bytes.unwrap() > 1 << 20, "{used:?}");
        look(1);
        assert_eq!(puts(&take()), Some(1.0), "another one came without a word");
    }

    #[test]
    fn nothing_is_seen_of_a_service_that_is_away() {
        let watched = Watched::new(Some(std::process::id()), None);
        watched.lock().look(Some(&page(10)));
        watched.lock().look(Some(&page(12)));
        watched.goes();
        let used = watched.take();
        assert_eq!((puts(&used), used.rss_bytes), (Some(2.0), None));
        assert_eq!(watched.take(), Used::default());
        watched.came(Some(std::process::id()));
        watched.lock().look(Some(&page(3)));
        assert_eq!(puts(&watched.take()), Some(3.0), "what it has asked for since it began");
    }

    #[test]
    fn who_is_not_there_is_told() {
        let told = |pid, metrics| Watched::new(pid, metrics).check().unwrap_err().to_string();
        assert_eq!(told(Some(u32::MAX / 2), None), "--server-pid 2147483647: there is no such process here");
        assert!(told(None, Some("127.0.0.1:1".into())).starts_with("--metrics 127.0.0.1:1: nobody shows metrics"));
        assert!(Watched::new(None, None).check().is_ok());
    }

    #[test]
    fn nobody_charges_for_a_folder() {
        let watched = Watched::default();
        assert_eq!(watched.is_charged(), None);
        watched.lock().look(Some(&page(1)));
        assert_eq!(watched.is_charged(), Some(false));
        watched.lock().look(Some("no page of an Eagre\n"));
        watched.lock().look(Some(&(page(2) + "eagre_bucket_in_flight_limit 64\n")));
        watched.lock().look(Some(&page(3)));
        assert_eq!(watched.is_charged(), Some(true));
    }
}
