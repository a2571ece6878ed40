//! What differs between stores and what Eagre can do without.

use object_store::{
    Attribute, Attributes, Error as StoreError, GetOptions, GetRange, ObjectStore as _, ObjectStoreExt, PutMode,
    PutOptions,
};

use super::{
    Flaw, Judged,
    bench::{Bench, pattern},
    ensure,
};

/// Clocks may differ by so much without harm.
const CLOCK_DIFFERENCE_MAX_MS: i64 = 60_000;
/// A store may tell times by the second.
const TOLD_TO_MS: i64 = 1_000;

/// A key below another key: stores over file systems cannot have both.
pub(super) async fn nested(bench: &Bench) -> Judged {
    let (above, below) = (pattern(1, 10), pattern(2, 20));
    bench.put("nest", &above).await?;
    if let Err(error) = bench.put("nest/below", &below).await {
        let detail = match error {
            // How S3's interface says it over a file system.
            StoreError::AlreadyExists { .. } => String::new(),
            error => format!(": {error}"),
        };
        return Err(Flaw::Wrong(format!("there cannot be a key below another one{detail}")));
    }
    let both = (bench.read("nest").await?, bench.read("nest/below").await?);
    ensure(both == (above, below), || "a key and one below it were not kept apart".into())
}

/// The last bytes of an object, whatever its length.
pub(super) async fn suffix(bench: &Bench) -> Judged {
    let bytes = pattern(3, 1_000);
    bench.put("suffix", &bytes).await?;
    let options = GetOptions { range: Some(GetRange::Suffix(7)), ..GetOptions::default() };
    let read = bench.store.get_opts(&bench.at("suffix"), options).await?.bytes().await?;
    ensure(read == bytes.slice(993..), || format!("{} other bytes came back", read.len()))
}

/// A name that every store takes: some let it have letters alone, as in a program.
const ATTRIBUTE: &str = "eagrecheck";

/// Attributes of an object come back.
pub(super) async fn attributes(bench: &Bench) -> Judged {
    let attributes = Attributes::from_iter([(Attribute::Metadata(ATTRIBUTE.into()), "kept")]);
    let options = PutOptions { mode: PutMode::Create, attributes: attributes.clone(), ..PutOptions::default() };
    bench.store.put_opts(&bench.at("attributes"), pattern(0, 10).into(), options).await?;
    let got = bench.store.get(&bench.at("attributes")).await?.attributes;
    let name = Attribute::Metadata(ATTRIBUTE.into());
    ensure(got.get(&name) == attributes.get(&name), || format!("they came back as {got:?}"))
}

/// The store's clock, by the time that it gives to an object written just now.
pub(super) async fn clock(bench: &Bench) -> Judged {
    let before_ms = bench.clock.unix_ms();
    bench.put("clock", &pattern(0, 10)).await?;
    let after_ms = bench.clock.unix_ms();
    let told_ms = bench.store.head(&bench.at("clock")).await?.last_modified.timestamp_millis();
    let ahead_ms = ahead_ms(before_ms, after_ms, told_ms);
    ensure(ahead_ms.abs() <= CLOCK_DIFFERENCE_MAX_MS, || {
        let direction = if ahead_ms > 0 { "ahead of" } else { "behind" };
        format!("the store's clock is {} s {direction} this machine's", ahead_ms.abs() / 1_000)
    })
}

/// By how much at least the store's clock is ahead (or, negative, behind), when it told this time between those two of ours.
fn ahead_ms(before_ms: i64, after_ms: i64, told_ms: i64) -> i64 {
    if told_ms > after_ms {
        told_ms - after_ms
    } else if told_ms + TOLD_TO_MS <= before_ms {
        told_ms + TOLD_TO_MS - before_ms
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_are_compared_to_the_second() {
        for (before, after, told, expected) in [
            (5_400, 5_900, 5_000, 0),
            (5_400, 5_900, 5_700, 0),
            (5_400, 5_900, 5_900, 0),
            (5_400, 5_900, 95_900, 90_000),
            (95_000, 95_500, 4_000, -90_000),
        ] {
            assert_eq!(ahead_ms(before, after, told), expected, "{before} {after} {told}");
        }
    }
}
