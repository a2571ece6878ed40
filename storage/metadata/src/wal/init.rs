//! Opening the log: the fence, what is to be replayed, and the writer.

use async_trait::async_trait;
use eagre_env::PlantedBug;
use slatedb::wal::{WalError, WriterInit, WriterInitResult, WriterManifest};

use super::{
    WINDOW,
    file::{self, Author},
    listing::{Chain, Listing},
    replay::Replay,
    store::{Created, LogStore},
    writer::LogWriter,
};

/// Fences the log and begins to write it.
pub(crate) struct LogInit(pub(crate) LogStore);

#[async_trait]
impl WriterInit for LogInit {
    /// On return nobody else can complete a flush: see the module's page.
    async fn fence_and_init(&self, manifest: &mut WriterManifest) -> Result<WriterInitResult, WalError> {
        let log = &self.0;
        let author = Author { epoch: manifest.epoch(), nonce: log.env().random.next_u64() };
        loop {
            let after = manifest.replay_after_wal_id();
            let Chain { ids, end } = Listing::after(log, after).await?.chain(log, after).await?;
            let skip = if log.env().has_planted(PlantedBug::FenceTooShort) { 1 } else { WINDOW };
            let fence = file::fence(end, author, u32::try_from(skip).expect("a small number"));
            match log.create(end, &fence).await? {
                Created::Own => {
                    // Nothing above `after` was deleted meanwhile: that takes a table of a later epoch.
                    manifest.refresh().await?;
                    let replay = Replay::new(log.clone(), ids, end + skip - 1);
                    let writer = LogWriter::start(log.clone(), author, end + skip);
                    return Ok(WriterInitResult { replay_iterator: Box::new(replay), wal_writer: Box::new(writer) });
                }
                // The writer before was quicker. Whether this one still has the latest epoch?
                Created::Rival => manifest.refresh().await?,
            }
        }
    }
}
