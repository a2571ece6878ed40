//! Opening a shard's SlateDB.

use std::{sync::Arc, time::Duration};

use eagre_env::Env;
use eagre_model::ShardId;
use object_store::{ObjectStore, path::Path};
use slatedb::{
    CompactorBuilder, Db, DbBuilder, ErrorKind, GarbageCollectorBuilder, Settings,
    admin::AdminBuilder,
    config::{CompactionWorkerOptions, CompactorOptions, GarbageCollectorDirectoryOptions, GarbageCollectorOptions},
    wal::WalError,
};
use tokio_util::sync::CancellationToken;

use crate::{
    block_cache::BlockCache,
    built_in_log,
    clock::StoreClock,
    error::OpenError,
    settings::{StoreMemory, StoreSettings},
    wal::{Listing, LogCollector, LogInit, LogStore},
};

const MIB: usize = 1024 * 1024;

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

/// Folder of a shard's log.
fn log_path(shard: ShardId) -> Path {
    path(shard).join("wal")
}

/// What the bucket says before the store is opened.
struct Found {
    /// 0 before the first writer.
    writer_epoch: u64,
    /// The latest time that anything there carries.
    latest_ms: i64,
    /// There are rows, and no object of our log: SlateDB's own had been in use until now.
    has_built_in_log: bool,
}

/// Opens the store as its only writer: with the epoch that the bucket shows now, so that of two that open at the same
/// time one gets it and the other is told.
pub(crate) async fn open(
    env: &Env,
    store: Arc<dyn ObjectStore>,
    shard: ShardId,
    settings: &StoreSettings,
    shut: &CancellationToken,
) -> Result<(Db, Arc<StoreClock>), OpenError> {
    let log = LogStore::new(env.clone(), store.clone(), log_path(shard), shut.clone());
    let mut found = look_until_answered(env, &store, shard, &log).await?;
    if found.has_built_in_log {
        let clock = Arc::new(StoreClock::start(env.clock.clone(), found.latest_ms));
        let left = built_in_log::leave(builder(env, &store, shard, (&clock, &settings.memory), &found)).await;
        left.map_err(|error| refused(&error, &found))?;
        found = look_until_answered(env, &store, shard, &log).await?;
    }
    let clock = Arc::new(StoreClock::start(env.clock.clone(), found.latest_ms));
    let mut compactor =
        CompactorBuilder::new(path(shard), store.clone()).with_options(compactor_options(&settings.memory));
    let collector = GarbageCollectorBuilder::new(path(shard), store.clone())
        .with_options(collector_options(settings))
        .with_wal_gc(Arc::new(LogCollector::new(log.clone(), clock.clone())));
    let mut builder = builder(env, &store, shard, (&clock, &settings.memory), &found)
        .with_db_cache(Arc::new(BlockCache::new(settings.memory.block_cache_bytes)), 0)
        .with_wal_writer(Box::new(LogInit(log)))
        .with_gc_builder(collector);
    if let Some(background) = &settings.background {
        compactor = compactor.with_runtime(background.clone());
        builder = builder.with_gc_runtime(background.clone());
    }
    let opened = builder.with_compactor_builder(compactor).build().await;
    let db = opened.map_err(|error| refused(&error, &found))?;
    Ok((db, clock))
}

fn builder(
    env: &Env,
    store: &Arc<dyn ObjectStore>,
    shard: ShardId,
    (clock, memory): (&Arc<StoreClock>, &StoreMemory),
    found: &Found,
) -> DbBuilder<Path> {
    Db::builder(path(shard), store.clone())
        .with_settings(db_settings(memory))
        .with_system_clock(clock.clone())
        .with_seed(env.random.next_u64())
        .with_expected_epoch(found.writer_epoch)
}

fn refused(error: &slatedb::Error, found: &Found) -> OpenError {
    match error.kind() {
        // The first manifest exists though it did not a moment ago: another's, or our own whose answer was lost.
        ErrorKind::Data if found.writer_epoch == 0 => OpenError::Fenced,
        _ => OpenError::from(error),
    }
}

async fn look_until_answered(
    env: &Env,
    store: &Arc<dyn ObjectStore>,
    shard: ShardId,
    log: &LogStore,
) -> Result<Found, OpenError> {
    loop {
        match look(env, store, shard, log).await {
            Err(OpenError::Unavailable(error)) => {
                tracing::warn!(%error, "metadata not readable yet");
                tokio::time::sleep(LOOK_AGAIN_AFTER).await;
            }
            answered => return answered,
        }
    }
}

/// Reads the manifest, the list of compactions and the newest object of the log.
async fn look(env: &Env, store: &Arc<dyn ObjectStore>, shard: ShardId, log: &LogStore) -> Result<Found, OpenError> {
    let admin = AdminBuilder::new(path(shard), store.clone())
        .with_seed(env.random.next_u64())
        .with_system_clock(Arc::new(StoreClock::start(env.clock.clone(), 0)))
        .build();
    let Some(manifest) = admin.read_manifest(None).await? else {
        return Ok(Found { writer_epoch: 0, latest_ms: 0, has_built_in_log: false });
    };
    let mut latest_ms = manifest.last_l0_clock_tick();
    let mut see = |ms: u64| latest_ms = latest_ms.max(i64::try_from(ms).unwrap_or(i64::MAX));
    manifest.all_sst_views().for_each(|view| see(view.sst.id.value().timestamp_ms()));
    if let Some(compactions) = admin.read_compactions(None).await? {
        compactions.recent_compactions().for_each(|compaction| see(compaction.id().timestamp_ms()));
    }
    let after = manifest.replay_after_wal_id();
    let listing = Listing::after(log, after).await?;
    for (id, _) in listing.objects().rev() {
        // A fence has no rows. An object that is gone or damaged is for the replay to judge.
        let newest = match log.load(id).await {
            Ok(file) => file.newest_ms(),
            Err(WalError::DataError(_) | WalError::WalTruncated(_)) => None,
            Err(error) => return Err(error.into()),
        };
        if let Some(newest_ms) = newest {
            latest_ms = latest_ms.max(newest_ms);
            break;
        }
    }
    // Fences are never deleted, so where there was ever a writer of this log there is an object of it.
    let has_built_in_log = listing.objects().next().is_none() && Listing::whole(log).await?.objects().next().is_none();
    if has_built_in_log {
        latest_ms = latest_ms.max(built_in_log::newest_ms(store, shard, after).await?);
    }
    Ok(Found { writer_epoch: manifest.writer_epoch(), latest_ms, has_built_in_log })
}

fn db_settings(memory: &StoreMemory) -> Settings {
    Settings {
        // The sequencer flushes; a timer would split its groups.
        flush_interval: None,
        manifest_poll_interval: POLL_INTERVAL,
        l0_sst_size_bytes: memory.table_bytes,
        l0_max_ssts: UNCOMPACTED_TABLES_MAX,
        l0_max_ssts_per_key: UNCOMPACTED_TABLES_MAX,
        l0_flush_parallelism: 1,
        max_unflushed_bytes: memory.unflushed_bytes_max,
        garbage_collector_options: None,
        ..Settings::default()
    }
}

fn collector_options(settings: &StoreSettings) -> GarbageCollectorOptions {
    let directory =
        |interval, min_age| GarbageCollectorDirectoryOptions { interval: Some(interval), min_age, dry_run: false };
    let wal = directory(settings.wal_deletion_interval, settings.wal_age_min);
    let tables = directory(TABLE_DELETION_INTERVAL, settings.table_age_min);
    GarbageCollectorOptions {
        manifest_options: Some(tables),
        wal_options: Some(wal),
        // The log keeps its fences itself.
        wal_fence_options: None,
        compacted_options: Some(tables),
        compactions_options: Some(tables),
        detach_options: None,
        boundary_files_enabled: settings.has_conditional_overwrite,
        ..GarbageCollectorOptions::default()
    }
}

fn compactor_options(memory: &StoreMemory) -> CompactorOptions {
    CompactorOptions {
        poll_interval: POLL_INTERVAL,
        commit_compacted_interval: POLL_INTERVAL,
        max_concurrent_compactions: 1,
        checkpoint_lifetime: READ_MAX,
        worker: Some(CompactionWorkerOptions {
            max_concurrent_compactions: 1,
            compactions_poll_interval: POLL_INTERVAL,
            max_sst_size: memory.compacted_table_bytes,
            max_fetch_tasks: 2,
            bytes_to_fetch: MIB,
            max_subcompactions: 1,
            ..CompactionWorkerOptions::default()
        }),
        ..CompactorOptions::default()
    }
}
