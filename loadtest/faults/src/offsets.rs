//! Positions of readers whose offsets are not the stored ones.

use eagre_loadtest_stubs::v1::{
    FetchPartition, Latest, ListOffsetsRequest, ListOffsetsResponse, PartitionOffset, Position,
    position::Position as Place,
};
use tonic::{Response, Status};

use crate::{
    fetch::client,
    service::Onward,
    survey::{Survey, Surveys},
};

/// Where a position is.
pub(crate) struct Resolved {
    /// Of its partition.
    pub survey: Survey,
    /// The offset that it is for readers.
    pub shown: i64,
    /// The stored offset from which on batches are needed to show it.
    pub stored: i64,
    /// Of the partition, for readers.
    bounds: PartitionOffset,
}

/// Resolves positions as readers mean them. Fails for all when it fails for one.
pub(crate) async fn resolve<T>(
    surveys: &Surveys,
    onward: &Onward<T>,
    partitions: &[FetchPartition],
) -> Result<Vec<Resolved>, Status> {
    let asked = partitions.iter().map(|partition| {
        let mut partition = partition.clone();
        // An offset means something else to the service, and counting back from the end as well.
        if let Some(Place::Offset(_) | Place::Last(_)) = place(&partition) {
            partition.position = Some(Position { position: Some(Place::Latest(Latest {})) });
        }
        partition
    });
    let request = ListOffsetsRequest { partitions: asked.collect() };
    let answer = client(onward.upstream.clone()).list_offsets(onward.with(request)).await?.into_inner();
    if answer.offsets.len() != partitions.len() {
        return Err(Status::internal("the service did not answer for each partition"));
    }
    let mut resolved = Vec::with_capacity(partitions.len());
    for (partition, found) in partitions.iter().zip(answer.offsets) {
        let survey = surveys.of(&partition.topic, partition.partition);
        let renumbering = surveys.until(&survey, found.high_watermark).await?;
        let bounds = PartitionOffset {
            offset: 0,
            timestamp_ms: found.timestamp_ms,
            log_start_offset: renumbering.to_shown(found.log_start_offset),
            high_watermark: renumbering.to_shown_end(found.high_watermark),
        };
        let shown = match place(partition) {
            Some(Place::Offset(offset)) => offset,
            Some(Place::Last(last)) => {
                let back = i64::try_from(last).unwrap_or(i64::MAX);
                bounds.high_watermark.saturating_sub(back).max(bounds.log_start_offset)
            }
            Some(Place::Latest(_)) => bounds.high_watermark,
            Some(Place::Earliest(_) | Place::TimestampMs(_)) | None => {
                renumbering.to_shown(found.offset).min(bounds.high_watermark)
            }
        };
        resolved.push(Resolved { survey, shown, stored: renumbering.to_stored(shown), bounds });
    }
    Ok(resolved)
}

/// States the ends of logs that were asked for one too low; says how many.
pub(crate) fn understate(asked: &[FetchPartition], answer: &mut ListOffsetsResponse) -> u64 {
    let mut lowered = 0;
    for (partition, found) in asked.iter().zip(&mut answer.offsets) {
        if matches!(place(partition), Some(Place::Latest(_))) && found.offset > 0 {
            found.offset -= 1;
            lowered += 1;
        }
    }
    lowered
}

fn place(partition: &FetchPartition) -> Option<Place> {
    partition.position.and_then(|position| position.position)
}

/// Answers a question for offsets.
pub(crate) async fn list(
    surveys: &Surveys,
    onward: Onward<ListOffsetsRequest>,
) -> Result<Response<ListOffsetsResponse>, Status> {
    let resolved = resolve(surveys, &onward, &onward.message.partitions).await?;
    let mut offsets = Vec::with_capacity(resolved.len());
    for (partition, resolved) in onward.message.partitions.iter().zip(resolved) {
        let Resolved { shown, stored, bounds, .. } = resolved;
        if !(bounds.log_start_offset..=bounds.high_watermark).contains(&shown) {
            // The service refuses it in its own words.
            let mut partition = partition.clone();
            partition.position = Some(Position { position: Some(Place::Offset(stored)) });
            let request = onward.with(ListOffsetsRequest { partitions: vec![partition] });
            client(onward.upstream.clone()).list_offsets(request).await?;
        }
        offsets.push(PartitionOffset { offset: shown, ..bounds });
    }
    Ok(Response::new(ListOffsetsResponse { offsets }))
}
