//! Leaving SlateDB's own log, which stores of the first format have.

use std::sync::Arc;

use eagre_model::ShardId;
use object_store::{ObjectStore, path::Path};
use slatedb::{
    DbBuilder, ErrorKind, WalFile, WalReader,
    config::{FlushOptions, FlushType},
};

use crate::{
    changes::Changes,
    open::path,
    rows::{Meta, MetaName, MetaValue, ROWS_FORMAT},
};

/// Shuts out writers of the first format and leaves nothing in that log: its rows go to a table, together with the format's
/// number, by which a process of that version knows that it cannot read on. Opens the store with this builder.
pub(crate) async fn leave(store: DbBuilder<Path>) -> Result<(), slatedb::Error> {
    tracing::info!("moving metadata to the log of this version");
    let db = store.build().await?;
    let mut format = Changes::new();
    format.put::<Meta>(&MetaName::Format, &MetaValue::Number(ROWS_FORMAT));
    db.write(format.into_batch()).await?;
    db.flush_with_options(FlushOptions { flush_type: FlushType::MemTable }).await?;
    db.close().await
}

/// When the newest row behind this number was written; 0 when there is none.
pub(crate) async fn newest_ms(store: &Arc<dyn ObjectStore>, shard: ShardId, after: u64) -> Result<i64, slatedb::Error> {
    let files = WalReader::new(path(shard), store.clone()).list(after + 1..).await?;
    for file in files.iter().rev() {
        // A fence has none. One that is gone or damaged is for SlateDB to judge, when it replays.
        match newest_row(file).await {
            Ok(Some(ms)) => return Ok(ms),
            Ok(None) => {}
            Err(error) if error.kind() == ErrorKind::Data => {}
            Err(error) => return Err(error),
        }
    }
    Ok(0)
}

/// When the newest row of an object was written; `None` when it has none.
async fn newest_row(file: &WalFile) -> Result<Option<i64>, slatedb::Error> {
    let mut rows = file.iterator().await?;
    let mut newest = None;
    while let Some(row) = rows.next().await? {
        newest = newest.max(row.create_ts);
    }
    Ok(newest)
}
