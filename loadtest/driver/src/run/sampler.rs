//! Looks once a second, from a thread of its own: at the processes, the bucket's requests, the lag of consumers; turns seconds
//! that are over into points, and shows how it goes.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, Result};

use super::{
    live::Live,
    series::{Sample, Series, Whole},
    shared::Shared,
    watched::Watched,
};
use crate::{
    consume::stats::ConsumerStats,
    system::process::{Usage, usage},
};

/// A running sampler.
pub struct Sampler {
    over: Arc<AtomicBool>,
    thread: JoinHandle<Result<Whole>>,
}

impl Sampler {
    /// Starts it.
    pub fn start(
        shared: Arc<Shared>,
        watched: Arc<Watched>,
        consumers: Vec<Arc<ConsumerStats>>,
        series: Series,
        live: Live,
    ) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let mut looking = Looking {
            shared,
            watched,
            consumers,
            series,
            live,
            samples: BTreeMap::new(),
            client: usage("self").unwrap_or_default(),
        };
        let thread = thread::spawn({
            let over = over.clone();
            move || {
                let looked = looking.run(&over);
                if looked.is_err() {
                    // Nothing can be written down any more: the run is not gone on with.
                    let shared = looking.shared.clone();
                    shared.event("interrupt", "the result cannot be written");
                    shared.phase.send_modify(|phase| phase.hurry(shared.now_ns()));
                }
                looked.and_then(|()| looking.finish())
            }
        });
        Self { over, thread }
    }

    /// The run is over: everything that is left becomes points.
    pub fn finish(self) -> Result<Whole> {
        self.over.store(true, Ordering::Release);
        self.thread.thread().unpark();
        self.thread.join().ok().context("the sampler died")?
    }
}

struct Looking {
    shared: Arc<Shared>,
    watched: Arc<Watched>,
    consumers: Vec<Arc<ConsumerStats>>,
    series: Series,
    live: Live,
    samples: BTreeMap<u32, Sample>,
    client: Usage,
}

impl Looking {
    fn run(&mut self, over: &AtomicBool) -> Result<()> {
        // Nothing that was used before the first second counts to it.
        let mut second = None;
        loop {
            let next_ns = self.shared.start_ns + second.map_or(0, |second| u64::from(second) + 1) * 1_000_000_000;
            while self.shared.now_ns() < next_ns {
                if over.load(Ordering::Acquire) {
                    return Ok(());
                }
                thread::park_timeout(Duration::from_nanos(next_ns.saturating_sub(self.shared.now_ns())));
            }
            let sample = self.look();
            if let Some(second) = second {
                self.samples.insert(second, sample);
                self.live.show(&self.shared, second);
            }
            second = Some(second.map_or(0, |second| second + 1));
            for (number, taken) in self.shared.recorder.take(Some(self.shared.now_ns())) {
                self.series.add(number, taken, &mut self.samples)?;
            }
        }
    }

    fn look(&mut self) -> Sample {
        let client = usage("self").unwrap_or(self.client);
        let client_cpu = client.cpu_s - self.client.cpu_s;
        self.client = client;
        let used = self.watched.take();
        Sample {
            client_cpu,
            client_rss_bytes: client.rss_bytes,
            server_cpu: used.cpu_s,
            server_rss_bytes: used.rss_bytes,
            requests: used.requests,
            lag_records: self.lag(),
        }
    }

    fn lag(&self) -> u64 {
        let judges = &self.shared.judges;
        let ends: Vec<i64> = judges.logs().map(|log| judges.of(log).end().unwrap_or(0)).collect();
        self.consumers.iter().filter_map(|consumer| consumer.lag(&ends)).max().unwrap_or(0)
    }

    fn finish(mut self) -> Result<Whole> {
        self.live.end();
        for (number, taken) in self.shared.recorder.take(None) {
            self.series.add(number, taken, &mut self.samples)?;
        }
        let last = self.samples.keys().next_back().copied();
        if let Some(last) = last.filter(|last| *last >= self.series.next()) {
            self.series.add(last, Default::default(), &mut self.samples)?;
        }
        let late = self.shared.recorder.take_late();
        self.series.finish(late)
    }
}
