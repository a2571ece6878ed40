//! Seconds that are over become points, sums and distributions.

use std::collections::BTreeMap;

use anyhow::Result;
use eagre_report::{Distribution, Point, Quantiles, Totals};

use super::{
    files::{Folder, HistogramLog, SeriesFile},
    recorder::{Counts, Late, Second, Times, add},
};

/// So many points are kept for the report; beyond that two become one. The CSV file has all.
const POINTS_MAX: usize = 960;

/// What was seen of processes at the end of a second.
#[derive(Debug, Clone, Default)]
pub struct Sample {
    /// Used in the second, of a core.
    pub client_cpu: f64,
    /// Resident.
    pub client_rss_bytes: u64,
    /// Used since the last look, of a core.
    pub server_cpu: Option<f64>,
    /// Resident.
    pub server_rss_bytes: Option<u64>,
    /// Requests to the bucket in the second, by operation.
    pub requests: Option<BTreeMap<String, f64>>,
    /// Of the slowest consumer that follows.
    pub lag_records: u64,
}

/// Records and bytes that the schedule wanted in a second of which the counts are these.
type Offered = dyn FnMut(u32, &Counts) -> (f64, f64) + Send;

/// See the module.
pub struct Series {
    /// First second that is measured, and the first that is not any more.
    measured: (u32, u32),
    offered: Box<Offered>,
    next: u32,
    points: Vec<Point>,
    seconds_each: f64,
    csv: SeriesFile,
    ack_log: HistogramLog,
    end_to_end_log: HistogramLog,
    sums: Sums,
}

/// Of the measured time.
#[derive(Default)]
pub struct Sums {
    /// Sums.
    pub totals: Totals,
    /// Records that were due and were taken up, and their values.
    pub taken: (u64, u64),
    /// From the intended time to the acknowledgement.
    pub ack: Option<Times>,
    /// From the intended time to the arrival.
    pub end_to_end: Option<Times>,
    /// How late batches were taken up.
    pub lateness: Option<Times>,
    /// Used.
    pub client_cpu_s: f64,
    /// Used, where it was seen.
    pub server_cpu_s: Option<f64>,
    /// To the bucket, by operation, where they were counted.
    pub requests: Option<BTreeMap<String, f64>>,
    /// Seconds in which the client was late.
    pub limited_seconds: u64,
    /// The highest, warm-up included.
    pub client_rss_max_bytes: u64,
    /// The highest, warm-up included.
    pub server_rss_max_bytes: Option<u64>,
    /// The last.
    pub server_rss_end_bytes: Option<u64>,
    /// Records acknowledged in each second of the measured time: the lowest and the highest.
    pub acked_a_second: Option<(u64, u64)>,
}

/// What comes of a series.
pub struct Whole {
    /// For the report.
    pub points: Vec<Point>,
    /// Of the measured time.
    pub sums: Sums,
}

/// A client that takes a batch up so late in one of a hundred cases was the limit in that second.
pub const LIMITED_MS: f64 = 50.0;

impl Series {
    /// Of a run whose seconds from `measured.0` to before `measured.1` are measured.
    pub fn begin(
        folder: &Folder,
        start_unix_ms: u64,
        measured: (u32, u32),
        offered: impl FnMut(u32, &Counts) -> (f64, f64) + Send + 'static,
    ) -> Result<Self> {
        Ok(Self {
            measured,
            offered: Box::new(offered),
            next: 0,
            points: Vec::new(),
            seconds_each: 1.0,
            csv: SeriesFile::begin(folder)?,
            ack_log: HistogramLog::begin(folder, "ack", start_unix_ms)?,
            end_to_end_log: HistogramLog::begin(folder, "end-to-end", start_unix_ms)?,
            sums: Sums::default(),
        })
    }

    /// A second is over; those before it in which nothing happened are filled in. In order.
    pub fn add(&mut self, number: u32, second: Second, samples: &mut BTreeMap<u32, Sample>) -> Result<()> {
        while self.next < number {
            let sample = samples.remove(&self.next).unwrap_or_default();
            self.one(Second::default(), sample)?;
        }
        let sample = samples.remove(&number).unwrap_or_default();
        self.one(second, sample)
    }

    /// The next second to add.
    pub fn next(&self) -> u32 {
        self.next
    }

    fn one(&mut self, second: Second, sample: Sample) -> Result<()> {
        let number = self.next;
        self.next += 1;
        let (offered_records_s, offered_bytes_s) = (self.offered)(number, &second.counts);
        let point = self.point(number, &second, &sample, offered_records_s, offered_bytes_s);
        self.csv.add(&point)?;
        if let Some(ack) = &second.ack {
            self.ack_log.add(f64::from(number), ack)?;
        }
        if let Some(end_to_end) = &second.end_to_end {
            self.end_to_end_log.add(f64::from(number), end_to_end)?;
        }
        if number.is_multiple_of(10) {
            self.csv.flush()?;
        }
        self.sum(number, second, &sample, &point);
        self.keep(point);
        Ok(())
    }

    fn point(&self, number: u32, second: &Second, sample: &Sample, records_s: f64, bytes_s: f64) -> Point {
        let counts = &second.counts;
        let requests = |ops: &[&str]| {
            let requests = sample.requests.as_ref()?;
            Some(ops.iter().filter_map(|op| requests.get(*op)).sum())
        };
        Point {
            at: f64::from(number),
            seconds: 1.0,
            offered_records_s: records_s,
            offered_bytes_s: bytes_s,
            acked_records_s: counts.acked_records as f64,
            acked_bytes_s: counts.acked_bytes as f64,
            read_bytes_s: counts.read_bytes as f64,
            refused_s: counts.refused as f64,
            retried_s: counts.retried as f64,
            throttled_s: counts.throttled as f64,
            ack: second.ack.as_ref().map(quantiles),
            end_to_end: second.end_to_end.as_ref().map(quantiles),
            lateness_p99_ms: second.lateness.as_ref().map(|times| ms(times.value_at_quantile(0.99))),
            lag_records: sample.lag_records as f64,
            server_cpu: sample.server_cpu,
            server_rss_bytes: sample.server_rss_bytes.map(|bytes| bytes as f64),
            client_cpu: sample.client_cpu,
            client_rss_bytes: sample.client_rss_bytes as f64,
            put_s: requests(&["put", "create", "copy", "multipart_start", "multipart_part", "multipart_end"]),
            get_s: requests(&["get", "head"]),
            list_s: requests(&["list"]),
        }
    }

    fn sum(&mut self, number: u32, second: Second, sample: &Sample, point: &Point) {
        let sums = &mut self.sums;
        sums.client_rss_max_bytes = sums.client_rss_max_bytes.max(sample.client_rss_bytes);
        if let Some(rss_bytes) = sample.server_rss_bytes {
            sums.server_rss_max_bytes = sums.server_rss_max_bytes.max(Some(rss_bytes));
            sums.server_rss_end_bytes = Some(rss_bytes);
        }
        // Whole logs are judged; what was given up or is unknown is so whenever it was intended.
        sums.totals.failed_records += second.counts.failed_records;
        sums.totals.unknown_records += second.counts.unknown_records;
        sums.totals.reconnects += second.counts.reconnects;
        if !(self.measured.0..self.measured.1).contains(&number) {
            return;
        }
        let (counts, totals) = (&second.counts, &mut sums.totals);
        totals.seconds += 1.0;
        sums.taken.0 += counts.taken_records;
        sums.taken.1 += counts.taken_bytes;
        totals.offered_records += point.offered_records_s.round() as u64;
        totals.offered_bytes += point.offered_bytes_s.round() as u64;
        totals.acked_records += second.ack.as_ref().map_or(0, |times| times.len());
        totals.acked_bytes += counts.acked_bytes;
        totals.refused += counts.refused;
        totals.retried += counts.retried;
        totals.throttled += counts.throttled;
        totals.read_records += counts.read_records;
        totals.read_bytes += counts.read_bytes;
        let acked = counts.acked_records;
        let (low, high) = sums.acked_a_second.unwrap_or((acked, acked));
        sums.acked_a_second = Some((low.min(acked), high.max(acked)));
        sums.limited_seconds += u64::from(point.lateness_p99_ms.is_some_and(|late_ms| late_ms > LIMITED_MS));
        sums.client_cpu_s += sample.client_cpu;
        if let Some(cpu) = sample.server_cpu {
            *sums.server_cpu_s.get_or_insert(0.0) += cpu;
        }
        if let Some(requests) = &sample.requests {
            let all = sums.requests.get_or_insert_default();
            for (op, count) in requests {
                *all.entry(op.clone()).or_default() += count;
            }
        }
        add(&mut sums.ack, second.ack);
        add(&mut sums.end_to_end, second.end_to_end);
        add(&mut sums.lateness, second.lateness);
    }

    fn keep(&mut self, point: Point) {
        match self.points.last_mut() {
            Some(last) if last.seconds < self.seconds_each => merge(last, &point),
            _ => self.points.push(point),
        }
        if self.points.len() >= POINTS_MAX {
            self.seconds_each *= 2.0;
            let pairs = std::mem::take(&mut self.points);
            self.points = pairs
                .chunks(2)
                .map(|pair| {
                    let mut first = pair[0].clone();
                    pair[1..].iter().for_each(|second| merge(&mut first, second));
                    first
                })
                .collect();
        }
    }

    /// All seconds were added. What came late for its second counts to the sums.
    pub fn finish(mut self, late: Late) -> Result<Whole> {
        self.sums.totals.acked_records += late.ack.as_ref().map_or(0, |times| times.len());
        self.sums.taken.0 += late.taken.0;
        self.sums.taken.1 += late.taken.1;
        add(&mut self.sums.ack, late.ack);
        add(&mut self.sums.end_to_end, late.end_to_end);
        self.csv.finish()?;
        self.ack_log.finish()?;
        self.end_to_end_log.finish()?;
        Ok(Whole { points: self.points, sums: self.sums })
    }
}

/// Rates are averaged, and of quantiles and levels the largest is kept: a spike stays a spike.
fn merge(into: &mut Point, more: &Point) {
    let (before, after) = (into.seconds, more.seconds);
    let seconds = before + after;
    let mean = |a: f64, b: f64| (a * before + b * after) / seconds;
    let most = |a: Option<f64>, b: Option<f64>| match (a, b) {
        (Some(a), Some(b)) => Some(a.max(b)),
        (a, b) => a.or(b),
    };
    let mean_of = |a: Option<f64>, b: Option<f64>| match (a, b) {
        (Some(a), Some(b)) => Some(mean(a, b)),
        (a, b) => a.or(b),
    };
    let quantiles = |a: Option<Quantiles>, b: Option<Quantiles>| match (a, b) {
        (Some(a), Some(b)) => Some(Quantiles {
            count: a.count + b.count,
            p50: a.p50.max(b.p50),
            p99: a.p99.max(b.p99),
            p999: a.p999.max(b.p999),
            max: a.max.max(b.max),
        }),
        (a, b) => a.or(b),
    };
    *into = Point {
        at: into.at,
        seconds,
        offered_records_s: mean(into.offered_records_s, more.offered_records_s),
        offered_bytes_s: mean(into.offered_bytes_s, more.offered_bytes_s),
        acked_records_s: mean(into.acked_records_s, more.acked_records_s),
        acked_bytes_s: mean(into.acked_bytes_s, more.acked_bytes_s),
        read_bytes_s: mean(into.read_bytes_s, more.read_bytes_s),
        refused_s: mean(into.refused_s, more.refused_s),
        retried_s: mean(into.retried_s, more.retried_s),
        throttled_s: mean(into.throttled_s, more.throttled_s),
        ack: quantiles(into.ack, more.ack),
        end_to_end: quantiles(into.end_to_end, more.end_to_end),
        lateness_p99_ms: most(into.lateness_p99_ms, more.lateness_p99_ms),
        lag_records: into.lag_records.max(more.lag_records),
        server_cpu: mean_of(into.server_cpu, more.server_cpu),
        server_rss_bytes: most(into.server_rss_bytes, more.server_rss_bytes),
        client_cpu: mean(into.client_cpu, more.client_cpu),
        client_rss_bytes: into.client_rss_bytes.max(more.client_rss_bytes),
        put_s: mean_of(into.put_s, more.put_s),
        get_s: mean_of(into.get_s, more.get_s),
        list_s: mean_of(into.list_s, more.list_s),
    };
}

fn ms(us: u64) -> f64 {
    us as f64 / 1e3
}

fn quantiles(times: &Times) -> Quantiles {
    Quantiles {
        count: times.len(),
        p50: ms(times.value_at_quantile(0.5)),
        p99: ms(times.value_at_quantile(0.99)),
        p999: ms(times.value_at_quantile(0.999)),
        max: ms(times.max()),
    }
}

/// For the report; `None` when nothing was measured.
pub fn distribution(times: Option<&Times>) -> Option<Distribution> {
    let times = times.filter(|times| !times.is_empty())?;
    let at = |quantile| ms(times.value_at_quantile(quantile));
    // Denser towards the end, where the interesting values are.
    let fractions = (0..200).map(|step| 1.0 - 10f64.powf(-f64::from(step) / 40.0));
    let mut cdf: Vec<(f64, f64)> = Vec::new();
    for fraction in fractions.chain([1.0]) {
        let point = (at(fraction), fraction);
        match cdf.last_mut() {
            Some(last) if last.0 == point.0 => last.1 = fraction,
            _ => cdf.push(point),
        }
    }
    Some(Distribution {
        count: times.len(),
        min: ms(times.min()),
        mean: times.mean() / 1e3,
        p50: at(0.5),
        p90: at(0.9),
        p95: at(0.95),
        p99: at(0.99),
        p999: at(0.999),
        p9999: at(0.9999),
        max: ms(times.max()),
        cdf,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::recorder::times;

    fn series(folder: &Folder, measured: (u32, u32)) -> Series {
        Series::begin(folder, 0, measured, |_, _| (10.0, 1_000.0)).unwrap()
    }

    fn second(acked: u64) -> Second {
        let mut ack = times();
        ack.record_n(2_000, u32::try_from(acked).unwrap()).unwrap();
        let counts = Counts { acked_records: acked, acked_bytes: acked * 100, ..Counts::default() };
        Second { ack: Some(ack), counts, ..Second::default() }
    }

    #[test]
    fn seconds_in_which_nothing_happened_are_there_and_the_warm_up_is_left_out() {
        let temporary = tempfile::tempdir().unwrap();
        let mut series = series(&Folder::create(temporary.path()).unwrap(), (1, 5));
        let mut samples = BTreeMap::from([(4, Sample { client_cpu: 0.5, ..Sample::default() })]);
        series.add(0, second(5), &mut samples).unwrap();
        series.add(4, second(7), &mut samples).unwrap();
        series.add(5, second(9), &mut samples).unwrap();
        let Whole { points, sums } = series.finish(Late::default()).unwrap();
        assert_eq!(points.len(), 6);
        let totals = &sums.totals;
        assert_eq!((totals.seconds, totals.offered_records, totals.acked_records), (4.0, 40, 7));
        assert_eq!((sums.client_cpu_s, sums.acked_a_second), (0.5, Some((0, 7))));
    }

    #[test]
    fn a_long_run_has_fewer_points_and_keeps_its_spikes() {
        let temporary = tempfile::tempdir().unwrap();
        let mut series = series(&Folder::create(temporary.path()).unwrap(), (0, u32::MAX));
        let mut samples = BTreeMap::new();
        for number in 0..5_000 {
            let mut this = second(1);
            if number == 3_333 {
                this.ack.as_mut().unwrap().record(9_000_000).unwrap();
            }
            series.add(number, this, &mut samples).unwrap();
        }
        let Whole { points, .. } = series.finish(Late::default()).unwrap();
        assert!(points.len() < POINTS_MAX, "{}", points.len());
        assert_eq!(points.iter().map(|point| point.seconds).sum::<f64>(), 5_000.0);
        assert!(points.iter().any(|point| point.ack.unwrap().max > 8_900.0));
        assert!(points.iter().all(|point| (point.acked_records_s - 1.0).abs() < 1e-9));
    }

    #[test]
    fn late_times_count_to_the_sums() {
        let temporary = tempfile::tempdir().unwrap();
        let series = series(&Folder::create(temporary.path()).unwrap(), (0, 10));
        let mut late = times();
        late.record(1).unwrap();
        let late = Late { ack: Some(late), ..Late::default() };
        assert_eq!(series.finish(late).unwrap().sums.totals.acked_records, 1);
    }

    #[test]
    fn a_distribution_ends_at_its_largest_value() {
        let mut seen = times();
        (1..=1_000u64).for_each(|us| seen.record(us).unwrap());
        let found = distribution(Some(&seen)).unwrap();
        assert_eq!((found.count, found.max, found.cdf.last().unwrap().1), (1_000, 1.0, 1.0));
        assert!(found.cdf.is_sorted_by(|a, b| a.0 < b.0 && a.1 < b.1), "{:?}", found.cdf);
        assert!(distribution(Some(&times())).is_none());
    }
}
