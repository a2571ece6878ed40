//! One host's way to the bucket.

use std::{fmt, ops::Range, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use eagre_env::Randomness;
use eagre_objects::SlowDown;
use futures::{StreamExt, stream, stream::BoxStream};
use object_store::{
    CopyMode, CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart, path::Path,
};

use super::{
    BucketKind, Shared,
    contents::{Applied, Change, Condition, Durability, Entry, Refusal, quoted},
    is_record_data,
};
use crate::time::EPOCH_MS;

/// A caller waits so long for an answer that does not come.
const TIMEOUT: Duration = Duration::from_millis(400);
/// How often a request that hangs looks whether the bucket is back.
const HANG_CHECK: Duration = Duration::from_millis(20);

pub(super) struct HostBucket {
    shared: Arc<Shared>,
    host: Arc<str>,
}

/// What chance has in store for a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Answered,
    Refused,
    Hard,
    Failed { applied: bool },
    AnswerLost,
    Late,
    OwnConflict,
}

/// A change whose caller went away is lost on the way or arrives all the same.
struct Waiting {
    shared: Arc<Shared>,
    ticket: u64,
    arrives_without_caller: bool,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.shared.contents().abandon(self.ticket, self.arrives_without_caller);
    }
}

impl HostBucket {
    pub(super) fn new(shared: Arc<Shared>, host: &str) -> Self {
        Self { shared, host: host.into() }
    }

    fn note(&self, what: fmt::Arguments<'_>) {
        self.shared.trace.note(&self.host, what);
    }

    /// Fails or waits while the bucket is taken away from this host.
    async fn reach(&self) -> Result<()> {
        loop {
            let (gone, hanging) = {
                let weather = self.shared.weather();
                (weather.gone_for.contains(&*self.host), weather.hanging)
            };
            match (gone, hanging) {
                (false, _) => return Ok(()),
                (true, true) => tokio::time::sleep(HANG_CHECK).await,
                (true, false) => {
                    tokio::time::sleep(HANG_CHECK).await;
                    return Err(transient("the bucket is gone"));
                }
            }
        }
    }

    fn draw_fate(&self, change: &Change) -> Fate {
        let faults = self.shared.weather().faults;
        let conditional = match change {
            Change::Put { condition, .. } => !matches!(condition, Condition::Always),
            Change::Delete { .. } | Change::Copy { .. } => false,
        };
        let is_put = matches!(change, Change::Put { .. });
        let metadata = !is_record_data(change.key()) && change.key().parts().any(|part| part.as_ref() == "wal");
        if self.shared.chance(faults.refused) {
            Fate::Refused
        } else if is_put && metadata && self.shared.chance(faults.hard) {
            Fate::Hard
        } else if self.shared.chance(faults.failed) {
            Fate::Failed { applied: is_put && self.shared.random.below(2) == 0 }
        } else if is_put && self.shared.chance(faults.answer_lost) {
            Fate::AnswerLost
        } else if is_put && self.shared.chance(faults.late) {
            Fate::Late
        } else if conditional && self.shared.kind == BucketKind::Remote && self.shared.chance(faults.own_conflict) {
            Fate::OwnConflict
        } else {
            Fate::Answered
        }
    }

    async fn change(&self, change: Change) -> Result<PutResult> {
        self.reach().await?;
        let key = change.key().clone();
        let fate = self.draw_fate(&change);
        let slow = self.shared.weather().faults.slow;
        let trip = self.shared.latency.draw(&self.shared.random, slow);
        let arrives_without_caller = self.shared.random.below(2) == 0;
        let crc = match &change {
            Change::Put { bytes, .. } => fingerprint(bytes),
            Change::Delete { .. } | Change::Copy { .. } => 0,
        };
        self.note(format_args!("{} {crc:08x} -> {fate:?}", Described(&change)));
        while is_record_data(&key) && self.shared.weather().data_writes_held {
            tokio::time::sleep(HANG_CHECK).await;
        }
        match fate {
            Fate::Refused => {
                tokio::time::sleep(trip).await;
                return Err(slow_down());
            }
            Fate::Failed { applied: false } => {
                tokio::time::sleep(trip).await;
                return Err(transient("500 internal error"));
            }
            Fate::Hard => {
                tokio::time::sleep(trip).await;
                return Err(Error::NotFound { path: key.to_string(), source: "404 no such bucket".into() });
            }
            Fate::Answered | Fate::Failed { applied: true } | Fate::AnswerLost | Fate::Late | Fate::OwnConflict => {}
        }
        let now = self.shared.time.now();
        let lateness =
            if fate == Fate::Late { TIMEOUT + self.shared.latency.draw_lateness(&self.shared.random) } else { trip };
        let durability = self.shared.draw_durability();
        let ticket = self.shared.contents().submit(now + lateness, change, durability);
        let arrives_without_caller = arrives_without_caller || fate == Fate::Late;
        let waiting = Waiting { shared: Arc::clone(&self.shared), ticket, arrives_without_caller };
        if matches!(fate, Fate::AnswerLost | Fate::Late) {
            tokio::time::sleep(trip.max(TIMEOUT)).await;
            drop(waiting);
            return Err(timed_out());
        }
        tokio::time::sleep(trip).await;
        self.shared.advance(now + trip);
        let applied = self.shared.contents().take_result(ticket);
        if let Durability::Synced { after } = durability {
            tokio::time::sleep(after).await;
            self.shared.advance(now + trip + after);
        }
        drop(waiting);
        self.note(format_args!("answer {key}: {applied:?}"));
        self.answer(&key, fate, applied)
    }

    fn answer(&self, key: &Path, fate: Fate, applied: Option<Applied>) -> Result<PutResult> {
        let tag = match applied {
            Some(Ok(tag)) => tag,
            Some(Err(Refusal::Exists)) => return Err(exists(key)),
            Some(Err(Refusal::Precondition)) => return Err(precondition(key)),
            Some(Err(Refusal::Missing)) => return Err(missing(key)),
            None => return Err(transient("the change was not applied in time")),
        };
        match fate {
            Fate::OwnConflict => return Err(exists(key)),
            Fate::Failed { .. } => return Err(transient("500 internal error")),
            Fate::Answered | Fate::Refused | Fate::Hard | Fate::AnswerLost | Fate::Late => {}
        }
        Ok(PutResult { e_tag: Some(quoted(tag)), version: None, extensions: object_store::Extensions::default() })
    }

    async fn read(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.reach().await?;
        let faults = self.shared.weather().faults;
        let refused = self.shared.chance(faults.refused);
        let trip = self.shared.latency.draw(&self.shared.random, faults.slow);
        tokio::time::sleep(trip).await;
        if refused {
            self.note(format_args!("get {location} -> 503"));
            return Err(slow_down());
        }
        self.shared.advance(self.shared.time.now());
        if self.shared.chance(faults.failed) {
            self.note(format_args!("get {location} -> 500"));
            return Err(transient("500 internal error"));
        }
        let entry = self.shared.contents().objects.get(location).cloned();
        let Some(entry) = entry else {
            self.note(format_args!("get {location} -> 404"));
            return Err(missing(location));
        };
        let meta = describe(location, &entry);
        options.check_preconditions(&meta)?;
        let range = match &options.range {
            Some(range) => range.as_range(meta.size).map_err(|error| transient(&error.to_string()))?,
            None => 0..meta.size,
        };
        let body = if options.head { Bytes::new() } else { slice(&entry.bytes, &range) };
        let broken = !options.head && self.shared.chance(faults.broken_read);
        let short = !options.head && is_record_data(location) && self.shared.chance(faults.short_read);
        let verb = if options.head { "head" } else { "get" };
        self.note(format_args!("{verb} {location} {range:?} -> {}", read_fate(broken, short)));
        let payload = GetResultPayload::Stream(self.body(body, broken, short));
        let attributes = entry.attributes;
        Ok(GetResult { payload, meta, range, attributes, extensions: object_store::Extensions::default() })
    }

    /// The body as it comes over the wire: whole, breaking off, or ending early.
    fn body(&self, body: Bytes, broken: bool, short: bool) -> BoxStream<'static, Result<Bytes>> {
        if !broken && !short {
            return stream::once(async move { Ok(body) }).boxed();
        }
        let length = u64::try_from(body.len()).unwrap_or(0);
        let part = body.slice(..usize::try_from(self.shared.random.below(length.max(1))).unwrap_or(0));
        let mut chunks = vec![Ok(part)];
        if broken {
            chunks.push(Err(transient("connection reset while reading the body")));
        }
        stream::iter(chunks).boxed()
    }
}

#[async_trait]
impl ObjectStore for HostBucket {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        if matches!(self.shared.kind, BucketKind::Folder { .. }) {
            if matches!(options.mode, PutMode::Update(_)) {
                return Err(not_implemented("conditional update"));
            }
            if !options.attributes.is_empty() {
                return Err(not_implemented("attributes"));
            }
        }
        let condition = match options.mode {
            PutMode::Overwrite => Condition::Always,
            PutMode::Create => Condition::Absent,
            PutMode::Update(version) => Condition::Tagged(version.e_tag),
        };
        let (key, bytes) = (location.clone(), Bytes::from(payload));
        self.change(Change::Put { key, bytes, attributes: options.attributes, condition }).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let target = HostBucket { shared: Arc::clone(&self.shared), host: Arc::clone(&self.host) };
        Ok(Box::new(Parts { target, location: location.clone(), options, parts: Vec::new() }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.read(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let mut parts = Vec::with_capacity(ranges.len());
        for range in ranges {
            let options = GetOptions { range: Some(range.clone().into()), ..GetOptions::default() };
            parts.push(self.read(location, options).await?.bytes().await?);
        }
        Ok(parts)
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let this = Arc::new(HostBucket { shared: Arc::clone(&self.shared), host: Arc::clone(&self.host) });
        let delete = move |location: Result<Path>| {
            let this = Arc::clone(&this);
            async move {
                let key = location?;
                this.change(Change::Delete { key: key.clone() }).await.map(|_| key)
            }
        };
        locations.then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let this = HostBucket { shared: Arc::clone(&self.shared), host: Arc::clone(&self.host) };
        let prefix = prefix.cloned().unwrap_or_default();
        let listing = async move {
            match this.listed(&prefix).await {
                Ok(found) => stream::iter(found.into_iter().map(Ok).collect::<Vec<_>>()),
                Err(error) => stream::iter(vec![Err(error)]),
            }
        };
        stream::once(listing).flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let prefix = prefix.cloned().unwrap_or_default();
        let mut objects = Vec::new();
        let mut common_prefixes = std::collections::BTreeSet::new();
        for meta in self.listed(&prefix).await? {
            let parts: Vec<_> = meta.location.prefix_match(&prefix).into_iter().flatten().collect();
            match parts.as_slice() {
                [_] => objects.push(meta),
                [first, ..] => {
                    common_prefixes.insert(prefix.clone().join(first.clone()));
                }
                [] => {}
            }
        }
        let common_prefixes = common_prefixes.into_iter().collect();
        Ok(ListResult { common_prefixes, objects, extensions: object_store::Extensions::default() })
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let create = options.mode == CopyMode::Create;
        self.change(Change::Copy { from: from.clone(), to: to.clone(), create }).await.map(|_| ())
    }
}

impl HostBucket {
    async fn listed(&self, prefix: &Path) -> Result<Vec<ObjectMeta>> {
        self.reach().await?;
        let faults = self.shared.weather().faults;
        let refused = self.shared.chance(faults.refused);
        let trip = self.shared.latency.draw(&self.shared.random, faults.slow);
        tokio::time::sleep(trip).await;
        self.note(format_args!("list {prefix} -> {}", if refused { "503" } else { "ok" }));
        if refused {
            return Err(slow_down());
        }
        self.shared.advance(self.shared.time.now());
        let contents = self.shared.contents();
        let below = |key: &Path| key.prefix_match(prefix).is_some_and(|mut rest| rest.next().is_some());
        let found = contents.objects.iter().filter(|(key, _)| below(key));
        Ok(found.map(|(key, entry)| describe(key, entry)).collect())
    }
}

/// An upload in parts: nothing is visible before it is complete.
struct Parts {
    target: HostBucket,
    location: Path,
    options: PutMultipartOptions,
    parts: Vec<PutPayload>,
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Parts({}, {})", self.location, self.parts.len())
    }
}

#[async_trait]
impl MultipartUpload for Parts {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.parts.push(data);
        let trip = self.target.shared.latency.draw(&self.target.shared.random, 0);
        Box::pin(async move {
            tokio::time::sleep(trip).await;
            Ok(())
        })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let payload = self.parts.iter().flat_map(|part| part.iter().cloned()).collect::<PutPayload>();
        let options = PutOptions { attributes: self.options.attributes.clone(), ..PutOptions::default() };
        self.target.put_opts(&self.location, payload, options).await
    }

    async fn abort(&mut self) -> Result<()> {
        self.parts.clear();
        Ok(())
    }
}

struct Described<'a>(&'a Change);

impl fmt::Display for Described<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Change::Put { key, bytes, condition: Condition::Always, .. } => write!(f, "put {key} {}", bytes.len()),
            Change::Put { key, bytes, condition: Condition::Absent, .. } => write!(f, "create {key} {}", bytes.len()),
            Change::Put { key, bytes, .. } => write!(f, "update {key} {}", bytes.len()),
            Change::Delete { key } => write!(f, "delete {key}"),
            Change::Copy { from, to, .. } => write!(f, "copy {from} to {to}"),
        }
    }
}

fn read_fate(broken: bool, short: bool) -> &'static str {
    match (broken, short) {
        (true, _) => "broken",
        (false, true) => "short",
        (false, false) => "ok",
    }
}

fn describe(location: &Path, entry: &Entry) -> ObjectMeta {
    let since_start = i64::try_from(entry.modified.as_millis()).unwrap_or(0);
    ObjectMeta {
        location: location.clone(),
        last_modified: DateTime::<Utc>::from_timestamp_millis(EPOCH_MS + since_start).unwrap_or_default(),
        size: u64::try_from(entry.bytes.len()).unwrap_or(0),
        e_tag: Some(quoted(entry.tag)),
        version: None,
    }
}

fn slice(bytes: &Bytes, range: &Range<u64>) -> Bytes {
    let index = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
    bytes.slice(index(range.start)..index(range.end))
}

/// A short hash of the content, so that two traces agree only when the bytes do.
fn fingerprint(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

fn transient(what: &str) -> Error {
    Error::Generic { store: "SimBucket", source: what.to_owned().into() }
}

fn slow_down() -> Error {
    Error::Generic { store: "SimBucket", source: Box::new(SlowDown) }
}

fn timed_out() -> Error {
    Error::Generic { store: "SimBucket", source: Box::new(std::io::Error::from(std::io::ErrorKind::TimedOut)) }
}

fn exists(key: &Path) -> Error {
    Error::AlreadyExists { path: key.to_string(), source: "409".into() }
}

fn precondition(key: &Path) -> Error {
    Error::Precondition { path: key.to_string(), source: "412".into() }
}

fn missing(key: &Path) -> Error {
    Error::NotFound { path: key.to_string(), source: "404".into() }
}

fn not_implemented(operation: &str) -> Error {
    Error::NotImplemented { operation: operation.to_owned(), implementer: "SimBucket".to_owned() }
}

impl fmt::Display for HostBucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimBucket on {}", self.host)
    }
}

impl fmt::Debug for HostBucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HostBucket({})", self.host)
    }
}
