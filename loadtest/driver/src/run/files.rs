//! The folder of a run. Every file is written under another name and gets its own when it is whole, `result.json` last: whoever
//! finds that finds everything.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use eagre_report::{Point, Quantiles};
use hdrhistogram::serialization::{Serializer as _, V2DeflateSerializer};

use super::recorder::Times;

const PART: &str = "part";

/// See the module.
#[derive(Debug, Clone)]
pub struct Folder {
    path: PathBuf,
    /// It was made here.
    is_new: bool,
}

impl Folder {
    /// Fails for one that holds a run.
    pub fn check(path: &Path) -> Result<()> {
        if path.join("result.json").exists() {
            bail!("{} holds a run already: give another --out", path.display());
        }
        Ok(())
    }

    /// Makes it. One that holds a run is refused.
    pub fn create(path: &Path) -> Result<Self> {
        Self::check(path)?;
        let is_new = !path.exists();
        fs::create_dir_all(path).with_context(|| format!("cannot make the folder {}", path.display()))?;
        Ok(Self { path: path.to_owned(), is_new })
    }

    /// Removes it if it was made here and nothing was put into it.
    pub fn remove_if_empty(&self) {
        if self.is_new {
            // It is no harm when it stays.
            fs::remove_dir(&self.path).ok();
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Begins a file.
    pub fn begin(&self, name: &str) -> Result<Growing> {
        let part = self.path.join(format!("{name}.{PART}"));
        let file = File::create(&part).with_context(|| format!("cannot write {}", part.display()))?;
        Ok(Growing { part, whole: self.path.join(name), file: BufWriter::new(file) })
    }

    /// Writes a whole file.
    pub fn write(&self, name: &str, content: &str) -> Result<()> {
        let mut file = self.begin(name)?;
        file.write(content.as_bytes())?;
        file.finish()
    }
}

/// Writes a file that is whole or not there.
pub fn write_whole(path: &Path, content: &str) -> Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().with_context(|| format!("{} names no file", path.display()))?;
    Folder { path: parent.to_owned(), is_new: false }.write(&name.to_string_lossy(), content)
}

/// A file that is not whole yet.
pub struct Growing {
    part: PathBuf,
    whole: PathBuf,
    file: BufWriter<File>,
}

impl Growing {
    /// Appends.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let written = self.file.write_all(bytes);
        written.with_context(|| format!("cannot write {}", self.part.display()))
    }

    /// What was appended can be read by others.
    pub fn flush(&mut self) -> Result<()> {
        let flushed = self.file.flush();
        flushed.with_context(|| format!("cannot write {}", self.part.display()))
    }

    /// Syncs it and gives it its name.
    pub fn finish(mut self) -> Result<()> {
        self.flush()?;
        let synced = self.file.get_ref().sync_all();
        let renamed = synced.and_then(|()| fs::rename(&self.part, &self.whole));
        renamed.with_context(|| format!("cannot write {}", self.whole.display()))
    }
}

/// A point a second, for spreadsheets.
pub struct SeriesFile(Growing);

impl SeriesFile {
    /// Begins `series.csv`.
    pub fn begin(folder: &Folder) -> Result<Self> {
        let mut file = folder.begin("series.csv")?;
        let distributions = ["ack", "end_to_end"];
        let quantiles =
            distributions.map(|of| ["count", "p50", "p99", "p999", "max"].map(|q| format!("{of}_{q}")).join(","));
        writeln!(
            file.file,
            "at_s,seconds,offered_records_s,offered_bytes_s,acked_records_s,acked_bytes_s,read_bytes_s,refused_s,retried_s,\
             throttled_s,{},lateness_p99_ms,lag_records,server_cpu,server_rss_bytes,client_cpu,client_rss_bytes,put_s,get_s,list_s",
            quantiles.join(",")
        )?;
        Ok(Self(file))
    }

    /// One more second. What is not known is empty.
    pub fn add(&mut self, point: &Point) -> Result<()> {
        let numbers = [
            point.at,
            point.seconds,
            point.offered_records_s,
            point.offered_bytes_s,
            point.acked_records_s,
            point.acked_bytes_s,
            point.read_bytes_s,
            point.refused_s,
            point.retried_s,
            point.throttled_s,
        ];
        let distributions = [point.ack, point.end_to_end].into_iter().flat_map(|quantiles| {
            let of = |value: fn(&Quantiles) -> f64| quantiles.as_ref().map(value);
            [of(|q| q.count as f64), of(|q| q.p50), of(|q| q.p99), of(|q| q.p999), of(|q| q.max)]
        });
        let rest = [
            point.lateness_p99_ms,
            Some(point.lag_records),
            point.server_cpu,
            point.server_rss_bytes,
            Some(point.client_cpu),
            Some(point.client_rss_bytes),
            point.put_s,
            point.get_s,
            point.list_s,
        ];
        let all = numbers.into_iter().map(Some).chain(distributions).chain(rest);
        let cells: Vec<String> = all.map(|number| number.map_or(String::new(), |number| number.to_string())).collect();
        self.0.write(format!("{}\n", cells.join(",")).as_bytes())
    }

    /// Lets others read what is there.
    pub fn flush(&mut self) -> Result<()> {
        self.0.flush()
    }

    /// It is whole.
    pub fn finish(self) -> Result<()> {
        self.0.finish()
    }
}

/// A histogram a second in the HdrHistogram interval log format, version 1.3, values in microseconds.
pub struct HistogramLog {
    file: Growing,
    serializer: V2DeflateSerializer,
}

impl HistogramLog {
    /// Begins `<name>.hlog`.
    pub fn begin(folder: &Folder, name: &str, start_unix_ms: u64) -> Result<Self> {
        let mut file = folder.begin(&format!("{name}.hlog"))?;
        let start_s = start_unix_ms as f64 / 1e3;
        let header = format!(
            "#[Values are microseconds]\n#[Histogram log format version 1.3]\n#[StartTime: {start_s:.3} (seconds since epoch)]\n\
             \"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"\n"
        );
        file.write(header.as_bytes())?;
        Ok(Self { file, serializer: V2DeflateSerializer::new() })
    }

    /// One more second, of records intended in it.
    pub fn add(&mut self, at_s: f64, times: &Times) -> Result<()> {
        let mut bytes = Vec::new();
        self.serializer.serialize(times, &mut bytes).map_err(io::Error::other)?;
        // The format wants the maximum in milliseconds whatever the unit of the values.
        let line = format!("{at_s:.3},1.000,{:.3},{}\n", times.max() as f64 / 1e3, STANDARD.encode(&bytes));
        self.file.write(line.as_bytes())
    }

    /// It is whole.
    pub fn finish(self) -> Result<()> {
        self.file.finish()
    }
}

#[cfg(test)]
mod tests {
    use hdrhistogram::serialization::{
        Deserializer,
        interval_log::{IntervalLogIterator, LogEntry},
    };

    use super::*;
    use crate::run::recorder::times;

    #[test]
    fn a_file_has_its_name_when_it_is_whole() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Folder::create(&temporary.path().join("a/b")).unwrap();
        let mut file = folder.begin("x.csv").unwrap();
        file.write(b"1").unwrap();
        assert!(!folder.path().join("x.csv").exists());
        file.finish().unwrap();
        assert_eq!(fs::read_to_string(folder.path().join("x.csv")).unwrap(), "1");
        folder.write("result.json", "{}").unwrap();
        folder.remove_if_empty();
        let again = Folder::create(folder.path()).err().unwrap().to_string();
        assert!(again.contains("holds a run already"), "{again}");
    }

    #[test]
    fn a_folder_of_ours_that_stayed_empty_goes_and_no_other() {
        let temporary = tempfile::tempdir().unwrap();
        let (ours, theirs) = (temporary.path().join("ours"), temporary.path().join("theirs"));
        fs::create_dir(&theirs).unwrap();
        for path in [&ours, &theirs] {
            Folder::create(path).unwrap().remove_if_empty();
        }
        assert_eq!((ours.exists(), theirs.exists()), (false, true));
    }

    #[test]
    fn histograms_can_be_read_by_others() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Folder::create(temporary.path()).unwrap();
        let mut log = HistogramLog::begin(&folder, "ack", 1_700_000_000_000).unwrap();
        let mut seen = times();
        seen.record_n(1_500, 10).unwrap();
        log.add(3.0, &seen).unwrap();
        log.finish().unwrap();
        let text = fs::read(folder.path().join("ack.hlog")).unwrap();
        let entries: Vec<_> = IntervalLogIterator::new(&text).map(Result::unwrap).collect();
        let interval = entries.iter().find_map(|entry| match entry {
            LogEntry::Interval(interval) => Some(interval),
            _ => None,
        });
        let bytes = STANDARD.decode(interval.unwrap().encoded_histogram()).unwrap();
        let read: Times = Deserializer::new().deserialize(&mut &bytes[..]).unwrap();
        assert_eq!((read.len(), read.max() / 10), (10, 150));
    }

    #[test]
    fn every_row_has_as_many_cells_as_the_header() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Folder::create(temporary.path()).unwrap();
        let mut file = SeriesFile::begin(&folder).unwrap();
        file.add(&Point::default()).unwrap();
        file.add(&Point { ack: Some(Quantiles::default()), put_s: Some(1.5), ..Point::default() }).unwrap();
        file.finish().unwrap();
        let text = fs::read_to_string(folder.path().join("series.csv")).unwrap();
        let cells: Vec<_> = text.lines().map(|line| line.split(',').count()).collect();
        assert_eq!(cells, [29, 29, 29]);
    }
}
