//! Pages from the cache or the bucket; readers who miss the same page wait for one GET.

use std::{
    collections::BTreeMap,
    fmt,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use eagre_cache::{PageCache, PageKey};
use eagre_model::ObjectId;
use eagre_objects::{Bucket, GetError};
use futures::{
    FutureExt,
    future::{BoxFuture, Shared, WeakShared, join_all},
};
use tokio::sync::Semaphore;

use super::{PAGE_BYTES, PAGES_TOTAL, Planted, ReaderSettings};

/// Bytes of an object from a position on.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) start: u64,
    pub(super) bytes: Bytes,
}

/// Adjacent pages as one GET brought them.
#[derive(Debug, Clone)]
pub(super) struct Extent {
    first_page: u32,
    bytes: Bytes,
}

#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum FetchError {
    #[error("the object is missing")]
    Missing,
    #[error(transparent)]
    Failed(Arc<GetError>),
}

type Fetched = Result<Extent, FetchError>;

/// One GET that several readers may wait for. It goes on as long as one of them does.
type Flight = BoxFuture<'static, Fetched>;

pub(super) struct Fetcher {
    bucket: Bucket,
    pages: Arc<dyn PageCache>,
    /// In pages.
    budget: Semaphore,
    budget_pages: u32,
    flights: Mutex<Flights>,
    planted: Planted,
}

#[derive(Default)]
struct Flights {
    /// Bounded by the pages that readers wait for.
    by_page: BTreeMap<PageKey, (u64, WeakShared<Flight>)>,
    begun: u64,
}

impl Found {
    /// Where the part of `range` that is here lies in `bytes`.
    pub(super) fn within(&self, range: Range<u64>) -> Range<usize> {
        let at = |position: u64| {
            let offset = usize::try_from(position.saturating_sub(self.start)).unwrap_or(usize::MAX);
            offset.min(self.bytes.len())
        };
        if range.start < self.start { 0..0 } else { at(range.start)..at(range.end).max(at(range.start)) }
    }

    /// The part of `range` that is here. Copied when it would keep a buffer of more than twice its length alive.
    pub(super) fn part(&self, range: Range<u64>) -> Bytes {
        let within = self.within(range);
        if within.len() * 2 < self.bytes.len() {
            Bytes::copy_from_slice(&self.bytes[within])
        } else {
            self.bytes.slice(within)
        }
    }
}

impl Extent {
    pub(super) fn found(&self) -> Found {
        Found { start: u64::from(self.first_page) * PAGE_BYTES, bytes: self.bytes.clone() }
    }
}

/// Takes a flight off the list when it has landed, or when nobody waits for it any more.
struct Listed {
    fetcher: Arc<Fetcher>,
    keys: Vec<PageKey>,
    number: u64,
}

impl Drop for Listed {
    fn drop(&mut self) {
        let mut flights = self.fetcher.flights();
        for key in &self.keys {
            if flights.by_page.get(key).is_some_and(|(number, _)| *number == self.number) {
                flights.by_page.remove(key);
            }
        }
    }
}

impl Fetcher {
    pub(super) fn new(bucket: Bucket, pages: Arc<dyn PageCache>, settings: &ReaderSettings, planted: Planted) -> Self {
        let budget_pages = settings.fetching_bytes_max as u64 / PAGE_BYTES;
        let budget_pages = u32::try_from(budget_pages).unwrap_or(u32::MAX).max(1);
        let budget = Semaphore::new(budget_pages as usize);
        Self { bucket, pages, budget, budget_pages, flights: Mutex::default(), planted }
    }

    fn flights(&self) -> MutexGuard<'_, Flights> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The given pages in order. Those in memory at once; every stretch of missing ones that nobody fetches yet by one GET.
    pub(super) async fn pages(
        self: &Arc<Self>,
        cached_as: ObjectId,
        object: ObjectId,
        wanted: Range<u32>,
    ) -> Result<Vec<Found>, FetchError> {
        let (mut found, waits) = self.look_up(cached_as, object, wanted);
        for fetched in join_all(waits).await {
            found.push(fetched?.found());
        }
        found.sort_by_key(|found| found.start);
        Ok(found)
    }

    /// What is in memory, and what is to be waited for. Under one lock with the list of flights, so that no page is missed
    /// that lands meanwhile: it is in the cache before its flight is off the list.
    fn look_up(
        self: &Arc<Self>,
        cached_as: ObjectId,
        object: ObjectId,
        wanted: Range<u32>,
    ) -> (Vec<Found>, Vec<Shared<Flight>>) {
        let (mut found, mut waits) = (vec![], vec![]);
        let mut missing: Vec<Range<u32>> = vec![];
        let (mut joined, mut last) = (0, None);
        let mut flights = self.flights();
        for page in wanted {
            let key = PageKey { object: cached_as, page: Some(page) };
            let under_way = flights.by_page.get(&key).and_then(|(number, flight)| Some((*number, flight.upgrade()?)));
            if let Some((number, flight)) = under_way {
                joined += 1;
                if last != Some(number) {
                    waits.push(flight);
                    last = Some(number);
                }
            } else if let Some(bytes) = self.pages.get(&key) {
                found.push(Found { start: u64::from(page) * PAGE_BYTES, bytes });
            } else {
                match missing.last_mut() {
                    Some(stretch) if stretch.end == page => stretch.end += 1,
                    _ => missing.push(page..page + 1),
                }
            }
        }
        for stretch in missing {
            waits.push(self.begin(&mut flights, cached_as, object, stretch));
        }
        drop(flights);
        metrics::counter!(PAGES_TOTAL, "source" => "memory").increment(found.len() as u64);
        metrics::counter!(PAGES_TOTAL, "source" => "joined").increment(joined);
        (found, waits)
    }

    fn begin(
        self: &Arc<Self>,
        flights: &mut Flights,
        cached_as: ObjectId,
        object: ObjectId,
        stretch: Range<u32>,
    ) -> Shared<Flight> {
        flights.begun += 1;
        let number = flights.begun;
        let keys: Vec<_> = stretch.clone().map(|page| PageKey { object: cached_as, page: Some(page) }).collect();
        let listed = Listed { fetcher: Arc::clone(self), keys: keys.clone(), number };
        let flight = async move {
            let fetcher = &listed.fetcher;
            if let Some(extent) = fetcher.load(cached_as, &stretch).await {
                return Ok(extent);
            }
            let extent = fetcher.fetch(object, stretch).await?;
            fetcher.keep(cached_as, &extent);
            Ok(extent)
        };
        let flight: Shared<Flight> = flight.boxed().shared();
        if let Some(weak) = flight.downgrade() {
            flights.by_page.extend(keys.into_iter().map(|key| (key, (number, weak.clone()))));
        }
        flight
    }

    /// All of these pages from the slower tiers of the cache, or none.
    async fn load(&self, cached_as: ObjectId, stretch: &Range<u32>) -> Option<Extent> {
        let mut whole: Vec<Bytes> = vec![];
        for page in stretch.clone() {
            whole.push(self.pages.load(&PageKey { object: cached_as, page: Some(page) }).await?);
        }
        metrics::counter!(PAGES_TOTAL, "source" => "disk").increment(whole.len() as u64);
        let bytes = if let [only] = whole.as_slice() { only.clone() } else { whole.concat().into() };
        Some(Extent { first_page: stretch.start, bytes })
    }

    /// Adjacent pages by one GET, within the budget. The object may end before they do.
    pub(super) async fn fetch(&self, object: ObjectId, stretch: Range<u32>) -> Fetched {
        let pages = stretch.len();
        let permits = u32::try_from(pages).unwrap_or(u32::MAX).min(self.budget_pages);
        // Never closed: an error cannot be, and without a permit the GET would be right all the same.
        let _permit = self.budget.acquire_many(permits).await;
        let range = u64::from(stretch.start) * PAGE_BYTES..u64::from(stretch.end) * PAGE_BYTES;
        let bytes = match self.bucket.get_range(&object.key(), range).await {
            Ok(ranged) => ranged.bytes,
            Err(GetError::Missing { .. }) => return Err(FetchError::Missing),
            Err(GetError::Short { got, .. }) if self.planted.truncated_read => got,
            Err(error) => return Err(FetchError::Failed(Arc::new(error))),
        };
        metrics::counter!(PAGES_TOTAL, "source" => "bucket").increment(pages as u64);
        Ok(Extent { first_page: stretch.start, bytes })
    }

    /// Puts the pages of an extent into the cache, each in a buffer of its own.
    pub(super) fn keep(&self, cached_as: ObjectId, extent: &Extent) {
        let page_bytes = usize::try_from(PAGE_BYTES).unwrap_or(usize::MAX);
        for (page, bytes) in (extent.first_page..).zip(extent.bytes.chunks(page_bytes)) {
            let own =
                if bytes.len() == extent.bytes.len() { extent.bytes.clone() } else { Bytes::copy_from_slice(bytes) };
            self.pages.insert(PageKey { object: cached_as, page: Some(page) }, own);
        }
    }
}

impl fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetcher").field("budget_pages", &self.budget_pages).finish_non_exhaustive()
    }
}
