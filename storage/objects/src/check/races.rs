//! Several writers, one key, and a condition that only one of them can meet.

use std::future::ready;

use bytes::Bytes;
use futures::{StreamExt, future::join_all, stream};
use object_store::{Error as StoreError, ObjectStore as _, ObjectStoreExt, PutMode, UpdateVersion};

use super::{
    Flaw, Judged, WRITERS,
    bench::{Bench, pattern},
    ensure,
};

/// Keys that are raced for at a time.
const RACES_IN_FLIGHT: usize = 4;
const BYTES: usize = 700;

/// What one writer was told.
#[derive(Debug)]
enum Told {
    Won,
    Lost,
    Nothing(StoreError),
}

/// At most one writer is told that it won, and the object is that one's. None may be told so: a client that tried twice takes
/// its own first try for a rival's, so whose the object is, its bytes say. `owner` is the writer whose bytes were read.
///
/// A race in which a writer was told nothing proves nothing, unless it proves the store wrong.
fn judge(race: usize, told: &[Told], owner: Option<usize>) -> Result<bool, Flaw> {
    let winners: Vec<usize> = (0..told.len()).filter(|writer| matches!(told[*writer], Told::Won)).collect();
    ensure(winners.len() <= 1, || format!("race {race}: writers {winners:?} were all told that they won"))?;
    let is_whole = !told.iter().any(|told| matches!(told, Told::Nothing(_)));
    let Some(owner) = owner else {
        return match is_whole || !winners.is_empty() {
            true => Err(Flaw::Wrong(format!("race {race}: the object is no writer's"))),
            false => Ok(false),
        };
    };
    ensure(winners.iter().all(|winner| *winner == owner), || {
        format!("race {race}: writer {winners:?} was told that it won, but the object is {owner}'s")
    })?;
    Ok(is_whole)
}

/// One writer's bytes of one race.
fn bytes(race: usize, writer: usize) -> Bytes {
    pattern((race * WRITERS + writer) as u64, BYTES)
}

fn told<T>(result: Result<T, StoreError>) -> Told {
    match result {
        Ok(_) => Told::Won,
        // A store that has several conditional writers at once may say "conflict" instead of "precondition failed".
        Err(StoreError::AlreadyExists { .. } | StoreError::Precondition { .. }) => Told::Lost,
        Err(error) => Told::Nothing(error),
    }
}

/// Runs so many races; those that proved nothing are run once more, over other keys. None is left while it goes on.
async fn run<F>(bench: &Bench, races: usize, race: impl Fn(usize) -> F) -> Judged
where
    F: Future<Output = Result<Option<StoreError>, Flaw>>,
{
    let mut error = None;
    let mut numbers = 0..races;
    for _ in 0..2 {
        let going_on = stream::iter(numbers.clone()).take_while(|_| ready(!bench.is_stopped()));
        let outcomes: Vec<_> = going_on.map(&race).buffer_unordered(RACES_IN_FLIGHT).collect().await;
        let errors: Vec<_> = outcomes.into_iter().filter_map(Result::transpose).collect::<Result<_, _>>()?;
        numbers = numbers.end..numbers.end + errors.len();
        error = errors.into_iter().next();
    }
    error.map_or(Ok(()), |error| Err(Flaw::Failed(error)))
}

/// What a race proved: nothing, because of an error; or that all was right.
async fn outcome(bench: &Bench, key: &str, race: usize, told: Vec<Told>) -> Result<Option<StoreError>, Flaw> {
    let unsupported = told.iter().any(|told| match told {
        Told::Nothing(error) => matches!(error, StoreError::NotImplemented { .. } | StoreError::NotSupported { .. }),
        Told::Won | Told::Lost => false,
    });
    if unsupported {
        return Err(Flaw::Unsupported);
    }
    let read = match bench.read(key).await {
        Ok(read) => Some(read),
        Err(StoreError::NotFound { .. }) => None,
        Err(error) => return Ok(Some(error)),
    };
    let owner = read.and_then(|read| (0..WRITERS).find(|writer| bytes(race, *writer) == read));
    if judge(race, &told, owner)? {
        return Ok(None);
    }
    Ok(told.into_iter().find_map(|told| match told {
        Told::Nothing(error) => Some(error),
        Told::Won | Told::Lost => None,
    }))
}

/// Creates of an absent key.
pub(super) async fn create(bench: &Bench, races: usize) -> Judged {
    run(bench, races, async |race| {
        let key = format!("create/{race}");
        let writers = (0..WRITERS).map(|writer| {
            let path = bench.at(&key);
            async move { told(bench.store.put_opts(&path, bytes(race, writer).into(), PutMode::Create.into()).await) }
        });
        let told = join_all(writers).await;
        outcome(bench, &key, race, told).await
    })
    .await
}

/// Overwrites of one version of an object, by its ETag.
pub(super) async fn update(bench: &Bench, races: usize) -> Judged {
    run(bench, races, async |race| {
        let key = format!("update/{race}");
        let path = bench.at(&key);
        let first = match bench.store.put(&path, pattern(u64::MAX, BYTES).into()).await {
            Ok(put) => UpdateVersion { e_tag: put.e_tag, version: put.version },
            Err(error) => return Ok(Some(error)),
        };
        if first.e_tag.is_none() && first.version.is_none() {
            return Err(Flaw::Unsupported);
        }
        let writers = (0..WRITERS).map(|writer| {
            let (path, mode) = (&path, PutMode::Update(first.clone()));
            async move { told(bench.store.put_opts(path, bytes(race, writer).into(), mode.into()).await) }
        });
        let told = join_all(writers).await;
        outcome(bench, &key, race, told).await
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(told: &str, owner: Option<usize>) -> &'static str {
        let told: Vec<Told> = told
            .chars()
            .map(|c| match c {
                'w' => Told::Won,
                'l' => Told::Lost,
                _ => Told::Nothing(StoreError::Generic { store: "test", source: "no answer".into() }),
            })
            .collect();
        match judge(0, &told, owner) {
            Ok(true) => "right",
            Ok(false) => "nothing",
            Err(_) => "wrong",
        }
    }

    #[test]
    fn a_race_has_one_winner_whose_the_object_is() {
        for (told, owner, expected) in [
            ("lwll", Some(1), "right"),
            // Its own first try was taken for a rival's.
            ("llll", Some(2), "right"),
            ("wwll", Some(0), "wrong"),
            ("wwww", Some(3), "wrong"),
            ("lwll", Some(2), "wrong"),
            ("llll", None, "wrong"),
            ("wlll", None, "wrong"),
            // One that got no answer may have won.
            ("l?ll", Some(1), "nothing"),
            ("????", None, "nothing"),
            ("?wll", Some(1), "nothing"),
            ("?wll", Some(0), "wrong"),
            ("w?w?", Some(0), "wrong"),
            ("w???", None, "wrong"),
        ] {
            assert_eq!(verdict(told, owner), expected, "{told} {owner:?}");
        }
    }
}
