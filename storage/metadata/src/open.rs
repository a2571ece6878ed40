//! Opening a shard's SlateDB.

use std::{sync::Arc, time::Duration};

use eagre_env::Env;
use eagre_model::ShardId;
use object_store::{ObjectStore, path::Path};
use slatedb::{
    CompactorBuilder, Db, ErrorKind, Settings, WalFile, WalReader,
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
const UNFLUSHED_BYTES_MAX: usize = 32 * MIB;
/// Tables that wait for compaction. Commits stall above it, so it is far above what piles up between two polls.
const UNCOMPACTED_TABLES_MAX: usize = 64;
/// While there are flushes, everything that polls does so this often; see [`StoreClock`] for idle times.
const POLL_INTERVAL: Duration = Duration::from_secs(15);
/// Between two rounds of deletion of tables and manifests.
const TABLE_DELETION_INTERVAL: Duration = Duration::from_secs(2 * 60);
/// How long a read may go on over tables that are merged meanwhile.
const READ_MAX: Duration = Duration::from_secs(5 * 60);
/// Pause after the bucket failed to show what is there.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(250);

/// Folder of a shard's SlateDB below the bucket's prefix.
pub(crate) fn path(shard: ShardId) -> Path {
    Path::from(format!("meta/{}", shard.0))
}

/// What the bucket says before the store is opened.
struct Found {
    /// 0 before the first writer.
    writer_epoch: u64,
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
    let found = look_until_answered(env, &store, shard).await?;
    let clock = Arc::new(StoreClock::start(env.clock.clone(), found.latest_ms));
    let mut compactor = CompactorBuilder::new(path(shard), store.clone()).with_options(compactor_options());
    let mut builder = Db::builder(path(shard), store)
        .with_settings(db_settings(settings))
        .with_db_cache(Arc::new(BlockCache::new(BLOCK_CACHE_BYTES)), 0)
        .with_system_clock(clock.clone())
        .with_seed(env.random.next_u64())
        .with_expected_epoch(found.writer_epoch);
    if let Some(background) = &settings.background {
        compactor = compactor.with_runtime(background.clone());
        builder = builder.with_gc_runtime(background.clone());
    }
    let opened = builder.with_compactor_builder(compactor).build().await;
    let db = opened.map_err(|error| match error.kind() {
        // The first manifest exists though it did not a moment ago: another's, or our own whose answer was lost.
        ErrorKind::Data if found.writer_epoch == 0 => OpenError::Fenced,
        _ => OpenError::from(error),
    })?;
    Ok((db, clock))
}

async fn look_until_answered(env: &Env, store: &Arc<dyn ObjectStore>, shard: ShardId) -> Result<Found, OpenError> {
    loop {
        match look(env, store, shard).await {
            Err(OpenError::Unavailable(error)) => {
                tracing::warn!(%error, "metadata not readable yet");
                tokio::time::sleep(LOOK_AGAIN_AFTER).await;
            }
            answered => return answered,
        }
    }
}

/// Reads the manifest, the list of compactions and the newest WAL object.
async fn look(env: &Env, store: &Arc<dyn ObjectStore>, shard: ShardId) -> Result<Found, OpenError> {
    let admin = AdminBuilder::new(path(shard), store.clone())
        .with_seed(env.random.next_u64())
        .with_system_clock(Arc::new(StoreClock::start(env.clock.clone(), 0)))
        .build();
    let Some(manifest) = admin.read_manifest(None).await? else {
        return Ok(Found { writer_epoch: 0, latest_ms: 0 });
    };
    let mut latest_ms = manifest.last_l0_clock_tick();
    let mut see = |ms: u64| latest_ms = latest_ms.max(i64::try_from(ms).unwrap_or(i64::MAX));
    manifest.all_sst_views().for_each(|view| see(view.sst.id.value().timestamp_ms()));
    if let Some(compactions) = admin.read_compactions(None).await? {
        compactions.recent_compactions().for_each(|compaction| see(compaction.id().timestamp_ms()));
    }
    let wal = WalReader::new(path(shard), store.clone());
    let files = wal.list(manifest.replay_after_wal_id() + 1..).await?;
    for file in files.iter().rev() {
        // A fence has none. One that is gone or damaged is for SlateDB to judge, when it replays.
        match newest_row(file).await {
            Ok(Some(ms)) => {
                latest_ms = latest_ms.max(ms);
                break;
            }
            Ok(None) => {}
            Err(error) if error.kind() == ErrorKind::Data => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Found { writer_epoch: manifest.writer_epoch(), latest_ms })
}

/// When the newest row of a WAL object was written; `None` when it has none.
async fn newest_row(file: &WalFile) -> Result<Option<i64>, slatedb::Error> {
    let mut rows = file.iterator().await?;
    let mut newest = None;
    while let Some(row) = rows.next().await? {
        newest = newest.max(row.create_ts);
    }
    Ok(newest)
}

fn db_settings(settings: &StoreSettings) -> Settings {
    let directory =
        |interval, min_age| GarbageCollectorDirectoryOptions { interval: Some(interval), min_age, dry_run: false };
    let wal = directory(settings.wal_deletion_interval, settings.wal_age_min);
    let tables = directory(TABLE_DELETION_INTERVAL, settings.table_age_min);
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
            manifest_options: Some(tables),
            wal_options: Some(wal),
            // A fence must never go: a writer that was asleep would write in its place.
            wal_fence_options: None,
            compacted_options: Some(tables),
            compactions_options: Some(tables),
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
        checkpoint_lifetime: READ_MAX,
        worker: Some(CompactionWorkerOptions {
            max_concurrent_compactions: 1,
            compactions_poll_interval: POLL_INTERVAL,
            max_sst_size: 32 * MIB,
            max_fetch_tasks: 2,
            bytes_to_fetch: MIB,
            max_subcompactions: 1,
            ..CompactionWorkerOptions::default()
        }),
        ..CompactorOptions::default()
    }
}
