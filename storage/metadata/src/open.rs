//! Opening a shard's SlateDB.

use std::{sync::Arc, time::Duration};

use eagre_env::Env;
use eagre_model::ShardId;
use object_store::{ObjectStore, path::Path};
use slatedb::{
    CompactorBuilder, Db, Settings, WalReader,
    admin::AdminBuilder,
    config::{CompactionWorkerOptions, CompactorOptions, GarbageCollectorDirectoryOptions, GarbageCollectorOptions},
};

use crate::{block_cache::BlockCache, clock::StoreClock, error::OpenError, settings::StoreSettings};

const MIB: usize = 1024 * 1024;

/// Blocks, indexes and filters kept in memory.
const BLOCK_CACHE_BYTES: usize = 24 * MIB;
/// Rows in memory become a sorted table at this size.
const TABLE_BYTES: usize = 8 * MIB;
/// Writers wait above this.
const UNFLUSHED_BYTES_MAX: usize = 64 * MIB;
/// Tables that wait for compaction. Commits stall above it, so it is far above what piles up between two polls.
const UNCOMPACTED_TABLES_MAX: usize = 64;
/// While there are flushes, everything that polls does so this often; see [`StoreClock`] for idle times.
const POLL_INTERVAL: Duration = Duration::from_secs(15);
/// Between two rounds of deletion: each lists four folders.
const DELETE_INTERVAL: Duration = Duration::from_secs(2 * 60);

/// Folder of a shard's SlateDB below the bucket's prefix.
pub(crate) fn path(shard: ShardId) -> Path {
    Path::from(format!("meta/{}", shard.0))
}

/// What the bucket says before the store is opened.
struct Found {
    writer_epoch: Option<u64>,
    /// The latest time that anything there carries.
    latest_ms: i64,
}

/// Opens the store as its only writer: with the epoch that the bucket shows now, so that of two that open at the same
/// time one gets it and the other is told.
pub(crate) async fn open(
    env: &Env,
    store: Arc<dyn ObjectStore>,
    shard: ShardId,
    settings: &StoreSettings,
) -> Result<(Db, Arc<StoreClock>), OpenError> {
    let found = look(&store, shard).await?;
    let clock = Arc::new(StoreClock::start(env.clock.clone(), found.latest_ms));
    let mut compactor = CompactorBuilder::new(path(shard), store.clone()).with_options(compactor_options());
    let mut builder = Db::builder(path(shard), store)
        .with_settings(db_settings(settings))
        .with_db_cache(Arc::new(BlockCache::new(BLOCK_CACHE_BYTES)), 0)
        .with_system_clock(clock.clone())
        .with_seed(env.random.next_u64());
    if let Some(background) = &settings.background {
        compactor = compactor.with_runtime(background.clone());
        builder = builder.with_gc_runtime(background.clone());
    }
    if let Some(epoch) = found.writer_epoch {
        builder = builder.with_expected_epoch(epoch);
    }
    let db = builder.with_compactor_builder(compactor).build().await?;
    Ok((db, clock))
}

/// Reads the manifest, the list of compactions and the newest WAL object.
async fn look(store: &Arc<dyn ObjectStore>, shard: ShardId) -> Result<Found, OpenError> {
    let admin = AdminBuilder::new(path(shard), store.clone()).build();
    let Some(manifest) = admin.read_manifest(None).await? else {
        return Ok(Found { writer_epoch: None, latest_ms: 0 });
    };
    let mut latest_ms = manifest.last_l0_clock_tick();
    let mut see = |ms: u64| latest_ms = latest_ms.max(i64::try_from(ms).unwrap_or(i64::MAX));
    manifest.all_sst_views().for_each(|view| see(view.sst.id.value().timestamp_ms()));
    if let Some(compactions) = admin.read_compactions(None).await? {
        compactions.recent_compactions().for_each(|compaction| see(compaction.id().timestamp_ms()));
    }
    let wal = WalReader::new(path(shard), store.clone());
    let files = wal.list(manifest.replay_after_wal_id() + 1..).await?;
    // The newest ones may be fences, which hold no rows.
    for file in files.iter().rev() {
        let mut rows = file.iterator().await?;
        let mut newest = None;
        while let Some(row) = rows.next().await? {
            newest = newest.max(row.create_ts);
        }
        if let Some(tick) = newest {
            latest_ms = latest_ms.max(tick);
            break;
        }
    }
    Ok(Found { writer_epoch: Some(manifest.writer_epoch()), latest_ms })
}

fn db_settings(settings: &StoreSettings) -> Settings {
    let directory =
        |min_age| Some(GarbageCollectorDirectoryOptions { interval: Some(DELETE_INTERVAL), min_age, dry_run: false });
    Settings {
        // The sequencer flushes; a timer would split its groups.
        flush_interval: None,
        manifest_poll_interval: POLL_INTERVAL,
        l0_sst_size_bytes: TABLE_BYTES,
        l0_max_ssts: UNCOMPACTED_TABLES_MAX,
        l0_max_ssts_per_key: UNCOMPACTED_TABLES_MAX,
        l0_flush_parallelism: 1,
        max_unflushed_bytes: UNFLUSHED_BYTES_MAX,
        garbage_collector_options: Some(GarbageCollectorOptions {
            manifest_options: directory(settings.table_age_min),
            wal_options: directory(settings.wal_age_min),
            // A fence must never go: a writer that was asleep would write in its place.
            wal_fence_options: None,
            compacted_options: directory(settings.table_age_min),
            compactions_options: directory(settings.table_age_min),
            detach_options: None,
            boundary_files_enabled: settings.has_conditional_overwrite,
            ..GarbageCollectorOptions::default()
        }),
        ..Settings::default()
    }
}

fn compactor_options() -> CompactorOptions {
    CompactorOptions {
        poll_interval: POLL_INTERVAL,
        commit_compacted_interval: POLL_INTERVAL,
        max_concurrent_compactions: 1,
        worker: Some(CompactionWorkerOptions {
            max_concurrent_compactions: 1,
            compactions_poll_interval: POLL_INTERVAL,
            max_sst_size: 64 * MIB,
            max_fetch_tasks: 2,
            bytes_to_fetch: MIB,
            max_subcompactions: 1,
            ..CompactionWorkerOptions::default()
        }),
        ..CompactorOptions::default()
    }
}
