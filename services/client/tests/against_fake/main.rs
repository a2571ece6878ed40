//! The client against a service that breaks its streams, falls silent and goes away.

#[cfg(test)]
mod fake;

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use eagre_client::{
        Client, Compression, ConsumedRecord, Consumer, Position, ProducerSettings, ReadError, Record, SendError,
        TopicError, TopicProducer,
    };
    use eagre_env::{Randomness as _, SeededRandomness};
    use futures::StreamExt;
    use tokio::{task::yield_now, time::timeout};

    use crate::fake::{Fake, TOPIC};

    /// Nothing here takes so long unless it hangs.
    const BOUND: Duration = Duration::from_secs(60);

    fn client(fake: &Fake) -> Client {
        Client::builder(&fake.endpoint).build().unwrap()
    }

    /// Small batches, so that there are many.
    fn small_batches() -> ProducerSettings {
        ProducerSettings { batch_bytes: 400, linger: Duration::ZERO, ..ProducerSettings::default() }
    }

    /// Sends numbers to a partition and waits for all of them.
    async fn send_numbers(topic: &TopicProducer, partition: u32, numbers: std::ops::Range<u64>) {
        let mut deliveries = Vec::new();
        for number in numbers {
            let record = Record::new(number.to_string()).with_partition(partition);
            deliveries.push(topic.send(record).await.unwrap());
        }
        for delivery in deliveries {
            delivery.await.unwrap();
        }
    }

    fn numbers(range: std::ops::Range<u64>) -> Vec<String> {
        range.map(|number| number.to_string()).collect()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn streams_that_break_lose_double_and_reorder_nothing() {
        let fake = Fake::start(3).await;
        fake.break_produce_streams_after(7);
        let producer = client(&fake).producer(&small_batches());
        let topic = producer.topic(TOPIC).await.unwrap();
        let mut deliveries = Vec::new();
        for number in 0..3_000u64 {
            let partition = u32::try_from(number % 3).unwrap();
            let record = Record::new(number.to_string()).with_partition(partition);
            deliveries.push((number, topic.send(record).await.unwrap()));
        }
        let mut acked = BTreeMap::new();
        for (number, delivery) in deliveries {
            let ack = timeout(BOUND, delivery).await.unwrap().unwrap();
            acked.insert(number, (ack.partition as usize, usize::try_from(ack.offset).unwrap()));
        }
        let logs: Vec<_> = (0..3).map(|partition| fake.log(partition)).collect();
        assert_eq!(logs.iter().map(Vec::len).sum::<usize>(), 3_000);
        for (number, (partition, offset)) in acked {
            assert_eq!(logs[partition][offset], number.to_string());
        }
        for (partition, log) in (0..).zip(logs) {
            assert_eq!(log, (0..1_000).map(|i| (3 * i + partition).to_string()).collect::<Vec<_>>(), "in order");
        }
        assert!(fake.streams() > 10, "{} streams", fake.streams());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_producer_that_was_forgotten_goes_on_under_another_id() {
        let fake = Fake::start(3).await;
        let producer = client(&fake).producer(&small_batches());
        let topic = producer.topic(TOPIC).await.unwrap();
        for round in 0..4u64 {
            let mut deliveries = Vec::new();
            for number in round * 300..(round + 1) * 300 {
                let partition = u32::try_from(number % 3).unwrap();
                let record = Record::new(number.to_string()).with_partition(partition);
                deliveries.push(topic.send(record).await.unwrap());
            }
            for delivery in deliveries {
                timeout(BOUND, delivery).await.unwrap().unwrap();
            }
            assert_eq!(fake.producers(), i64::try_from(round).unwrap() + 1, "one id for all partitions");
            fake.forget_producers();
        }
        for partition in 0..3 {
            let expected: Vec<_> = (0..400).map(|i| (3 * i + partition).to_string()).collect();
            assert_eq!(fake.log(partition), expected, "in order, each once");
        }
    }

    #[tokio::test]
    async fn reports_come_for_every_record_and_end() {
        let fake = Fake::start(2).await;
        let (producer, mut reports) = client(&fake).producer_with_reports(&small_batches());
        let topic = producer.topic(TOPIC).await.unwrap();
        for tag in 0..500 {
            topic.enqueue(Record::new(tag.to_string()).with_key(format!("key {}", tag % 7)), tag).await.unwrap();
        }
        // Nobody flushes: what was handed over is delivered all the same.
        drop((producer, topic));
        let mut places = BTreeMap::new();
        while let Some(report) = timeout(BOUND, reports.next()).await.unwrap() {
            assert_eq!((report.topic(), report.error()), (TOPIC, None));
            for (tag, offset) in report.acks() {
                places.insert(tag, (report.partition() as usize, usize::try_from(offset).unwrap()));
            }
        }
        let logs = [fake.log(0), fake.log(1)];
        assert!(logs.iter().all(|log| !log.is_empty()), "keys spread");
        assert_eq!(places.len(), 500);
        for (tag, (partition, offset)) in places {
            assert_eq!(logs[partition][offset], tag.to_string());
        }
    }

    #[tokio::test]
    async fn flush_does_not_wait_for_the_linger() {
        let fake = Fake::start(1).await;
        let settings = ProducerSettings { linger: Duration::from_secs(3_600), ..ProducerSettings::default() };
        let producer = client(&fake).producer(&settings);
        let topic = producer.topic(TOPIC).await.unwrap();
        let delivery = topic.send(Record::new("one")).await.unwrap();
        assert!(fake.log(0).is_empty());
        timeout(BOUND, producer.flush()).await.unwrap();
        assert_eq!(fake.log(0), ["one"]);
        assert_eq!(delivery.await.unwrap().offset, 0);
        timeout(BOUND, producer.flush()).await.expect("there is nothing to wait for");
    }

    #[tokio::test]
    async fn a_full_memory_waits_for_answers() {
        let fake = Fake::start(1).await;
        fake.silence(true);
        let settings = ProducerSettings { memory_bytes: 4 << 20, ..ProducerSettings::default() };
        let producer = client(&fake).producer(&settings);
        let topic = producer.topic(TOPIC).await.unwrap();
        let record = || Record::new(vec![b'x'; 512 << 10]);
        for _ in 0..7 {
            topic.send(record()).await.unwrap();
        }
        let mut waiting = Box::pin(topic.send(record()));
        for _ in 0..100 {
            assert!(futures::poll!(&mut waiting).is_pending());
            yield_now().await;
        }
        // Given up while it waits, it is not sent.
        drop(waiting);
        fake.silence(false);
        timeout(BOUND, topic.send(record())).await.unwrap().unwrap();
        producer.flush().await;
        assert_eq!(fake.log(0).len(), 8);
    }

    #[tokio::test]
    async fn records_that_cannot_be_sent_are_refused_at_once() {
        let fake = Fake::start(2).await;
        let producer = client(&fake).producer(&ProducerSettings::default());
        let topic = producer.topic(TOPIC).await.unwrap();
        for size in [(1 << 20) - 5, 1 << 20, 100 << 20] {
            let refused = topic.send(Record::new(vec![0; size])).await.unwrap_err();
            assert!(matches!(&refused, SendError::TooLarge(message) if message.contains("1048576")), "{refused}");
        }
        let refused = topic.send(Record::new("").with_partition(2)).await.unwrap_err();
        assert_eq!(refused, SendError::UnknownPartition { topic: TOPIC.into(), partition: 2 });
        // The largest one passes the check of the service, which the fake shares.
        topic.send(Record::new(vec![0; (1 << 20) - 16])).await.unwrap().await.unwrap();
        assert!(matches!(producer.topic("nothing").await, Err(TopicError::UnknownTopic(name)) if name == "nothing"));
    }

    #[tokio::test]
    async fn batches_fit_the_topic() {
        let fake = Fake::start(1).await;
        fake.limit_batches(4_096);
        // Random bytes grow when they are compressed.
        let random = SeededRandomness::new(1);
        let noise = || (0..50).flat_map(|_| random.below(u64::MAX).to_be_bytes()).collect::<Vec<u8>>();
        for compression in [Compression::None, Compression::Lz4, Compression::Zstd] {
            let settings =
                ProducerSettings { compression, linger: Duration::from_secs(3_600), ..ProducerSettings::default() };
            let producer = client(&fake).producer(&settings);
            let topic = producer.topic(TOPIC).await.unwrap();
            let mut deliveries = Vec::new();
            for _ in 0..200 {
                deliveries.push(topic.send(Record::new(noise())).await.unwrap());
            }
            producer.flush().await;
            for delivery in deliveries {
                delivery.await.unwrap();
            }
        }
        let producer = client(&fake).producer(&ProducerSettings::default());
        let topic = producer.topic(TOPIC).await.unwrap();
        let refused = topic.send(Record::new(vec![0; 4_096])).await.unwrap_err();
        assert!(matches!(&refused, SendError::TooLarge(why) if why.contains("takes up to 4096")), "{refused}");
    }

    #[tokio::test]
    async fn a_silent_service_makes_outcomes_unknown() {
        let fake = Fake::start(1).await;
        let settings = ProducerSettings { delivery_timeout: Duration::from_millis(200), ..ProducerSettings::default() };
        let producer = client(&fake).producer(&settings);
        let topic = producer.topic(TOPIC).await.unwrap();
        topic.send(Record::new("before")).await.unwrap().await.unwrap();
        fake.silence(true);
        let delivery = topic.send(Record::new("lost answer")).await.unwrap();
        let error = timeout(BOUND, delivery).await.unwrap().unwrap_err();
        assert!(matches!(error, SendError::OutcomeUnknown(_)), "{error}");
        fake.silence(false);
        // The next epoch begins.
        topic.send(Record::new("after")).await.unwrap().await.unwrap();
        assert_eq!(fake.log(0), ["before", "lost answer", "after"]);
    }

    #[tokio::test]
    async fn a_service_that_is_gone_makes_definite_failures_that_name_it() {
        let fake = Fake::start(1).await;
        let settings = ProducerSettings { delivery_timeout: Duration::from_millis(200), ..ProducerSettings::default() };
        let client = Client::builder(&fake.endpoint).patience(Duration::from_millis(50)).build().unwrap();
        let producer = client.producer(&settings);
        let topic = producer.topic(TOPIC).await.unwrap();
        let endpoint = fake.endpoint.clone();
        drop(fake);
        let listed = timeout(BOUND, async {
            while client.topics().list().await.is_ok() {
                yield_now().await;
            }
            client.topics().list().await
        });
        let gone = listed.await.unwrap().unwrap_err();
        assert!(matches!(&gone, TopicError::Unavailable(message) if message.contains(&endpoint)), "{gone:?}");
        let error = topic.send(Record::new("nobody hears")).await.unwrap().await.unwrap_err();
        assert!(matches!(&error, SendError::Expired(message) if message.contains(&endpoint)), "{error}");
    }

    fn values(records: Vec<ConsumedRecord>) -> Vec<String> {
        records.into_iter().map(|record| String::from_utf8(record.value.unwrap().to_vec()).unwrap()).collect()
    }

    #[tokio::test]
    async fn reading_goes_on_where_a_stream_broke() {
        let fake = Fake::start(2).await;
        let producer = client(&fake).producer(&small_batches());
        let topic = producer.topic(TOPIC).await.unwrap();
        send_numbers(&topic, 0, 0..100).await;
        send_numbers(&topic, 1, 1_000..1_100).await;
        fake.break_fetch_streams_after(3);
        let consumer = client(&fake).consumer().topic(TOPIC, Position::Beginning).until_end();
        let mut consumer = consumer.open().await.unwrap();
        // What comes after the end was fixed is not read.
        send_numbers(&topic, 0, 100..120).await;
        let mut read: [Vec<ConsumedRecord>; 2] = Default::default();
        while let Some(record) = timeout(BOUND, consumer.next()).await.unwrap() {
            let record = record.unwrap();
            let partition = &mut read[record.partition as usize];
            assert_eq!(record.offset, i64::try_from(partition.len()).unwrap());
            partition.push(record);
        }
        assert_eq!(read.map(values), [numbers(0..100), numbers(1_000..1_100)]);
    }

    #[tokio::test]
    async fn following_sees_what_comes_after_the_end() {
        let fake = Fake::start(1).await;
        let producer = client(&fake).producer(&small_batches());
        let topic = producer.topic(TOPIC).await.unwrap();
        send_numbers(&topic, 0, 0..10).await;
        let open = |position| client(&fake).consumer().partition(TOPIC, 0, position).open();
        let (mut end, mut last, mut middle) = (
            open(Position::End).await.unwrap(),
            open(Position::Last(2)).await.unwrap(),
            open(Position::Offset(5)).await.unwrap(),
        );
        send_numbers(&topic, 0, 10..20).await;
        for (consumer, first) in [(&mut end, 10), (&mut last, 8), (&mut middle, 5)] {
            for number in first..20 {
                let record = timeout(BOUND, consumer.next()).await.unwrap().unwrap().unwrap();
                assert_eq!((record.offset, record.value.unwrap()), (number, number.to_string().into()));
            }
        }
    }

    /// Reads so many records of both partitions and checks that each goes on where it is to.
    async fn read_on(consumer: &mut Consumer, next: &mut [i64; 2], records: usize) {
        for _ in 0..records {
            let record = timeout(BOUND, consumer.next()).await.unwrap().unwrap().unwrap();
            let next = &mut next[record.partition as usize];
            assert_eq!(record.offset, *next, "partition {}", record.partition);
            *next += 1;
        }
    }

    #[tokio::test]
    async fn what_was_read_ahead_does_not_come_after_a_seek() {
        const RECORDS: i64 = 1_000;
        let fake = Fake::start(2).await;
        let producer = client(&fake).producer(&small_batches());
        let topic = producer.topic(TOPIC).await.unwrap();
        for partition in 0..2 {
            send_numbers(&topic, partition, 0..RECORDS.unsigned_abs()).await;
        }
        let random = SeededRandomness::new(7);
        let below = |bound: i64| i64::try_from(random.below(bound.unsigned_abs())).unwrap();
        for breaks in [false, true] {
            if breaks {
                fake.break_fetch_streams_after(9);
            }
            let mut consumer = client(&fake).consumer().topic(TOPIC, Position::Beginning).open().await.unwrap();
            let mut next = [0, 0];
            for _ in 0..60 {
                let partition = random.below(2);
                let offset = below(RECORDS - 200);
                let position = match random.below(3) {
                    0 => Position::Offset(offset),
                    1 => Position::Last((RECORDS - offset).unsigned_abs()),
                    _ => Position::Beginning,
                };
                let position_offset = if position == Position::Beginning { 0 } else { offset };
                consumer.seek(TOPIC, u32::try_from(partition).unwrap(), position).await.unwrap();
                next[usize::try_from(partition).unwrap()] = position_offset;
                // As many as there are at least.
                let left = (RECORDS - next[0].max(next[1])).min(150);
                read_on(&mut consumer, &mut next, usize::try_from(below(left + 1)).unwrap()).await;
            }
        }
    }

    #[tokio::test]
    async fn a_consumer_at_its_end_reads_again_after_a_seek() {
        let fake = Fake::start(2).await;
        let producer = client(&fake).producer(&small_batches());
        let topic = producer.topic(TOPIC).await.unwrap();
        send_numbers(&topic, 1, 0..50).await;
        let consumer = client(&fake).consumer().topic(TOPIC, Position::Beginning).until_end();
        let mut consumer = consumer.open().await.unwrap();
        read_on(&mut consumer, &mut [0, 0], 50).await;
        assert_eq!(consumer.next().await, None);
        assert_eq!(consumer.next().await, None);
        send_numbers(&topic, 1, 50..60).await;
        consumer.seek(TOPIC, 1, Position::Offset(47)).await.unwrap();
        read_on(&mut consumer, &mut [0, 47], 3).await;
        assert_eq!(timeout(BOUND, consumer.next()).await.unwrap(), None, "the end is that of the beginning");
    }

    #[tokio::test]
    async fn a_seek_that_cannot_be_changes_nothing() {
        let fake = Fake::start(2).await;
        let producer = client(&fake).producer(&small_batches());
        let topic = producer.topic(TOPIC).await.unwrap();
        send_numbers(&topic, 0, 0..20).await;
        let mut consumer = client(&fake).consumer().partition(TOPIC, 0, Position::Beginning).open().await.unwrap();
        read_on(&mut consumer, &mut [0, 0], 5).await;
        for (topic, partition) in [(TOPIC, 1), ("another", 0)] {
            let refused = consumer.seek(topic, partition, Position::End).await.unwrap_err();
            assert!(matches!(&refused, ReadError::Invalid(message) if message.contains("is not read")), "{refused}");
        }
        read_on(&mut consumer, &mut [5, 0], 5).await;
        fake.recreate_topic();
        let refused = consumer.seek(TOPIC, 0, Position::Beginning).await.unwrap_err();
        assert_eq!(refused, ReadError::TopicRecreated(TOPIC.into()));
        // What was read ahead still comes, then the error, and nothing after it.
        let mut last = Ok(());
        while let Some(record) = timeout(BOUND, consumer.next()).await.unwrap() {
            last = record.map(|_| ());
        }
        assert_eq!(last, Err(ReadError::TopicRecreated(TOPIC.into())));
        let refused = consumer.seek(TOPIC, 0, Position::Beginning).await.unwrap_err();
        assert!(matches!(&refused, ReadError::Invalid(message) if message.contains("has failed")), "{refused}");
    }

    #[tokio::test]
    async fn reading_ahead_is_bounded_and_a_stream() {
        const PREFETCH_BYTES: usize = 64 << 10;
        let fake = Fake::start(1).await;
        let producer = client(&fake).producer(&small_batches());
        let topic = producer.topic(TOPIC).await.unwrap();
        for number in 0..100 {
            let record = Record::new(format!("{number:016384}")).with_partition(0);
            topic.send(record).await.unwrap().await.unwrap();
        }
        let consumer = client(&fake).consumer().topic(TOPIC, Position::Beginning).until_end();
        let mut consumer = consumer.prefetch_bytes(PREFETCH_BYTES).open().await.unwrap();
        // Nothing is asked for, and it reads ahead all the same: three batches of 16 KiB find room, a fourth one does not.
        let ahead = async {
            while consumer.prefetched_bytes() < PREFETCH_BYTES * 3 / 4 {
                yield_now().await;
            }
        };
        timeout(BOUND, ahead).await.unwrap();
        let mut offset = 0;
        while let Some(record) = StreamExt::next(&mut consumer).await {
            assert_eq!(record.unwrap().offset, offset);
            offset += 1;
            assert!(consumer.prefetched_bytes() <= PREFETCH_BYTES);
        }
        assert_eq!((offset, consumer.prefetched_bytes()), (100, 0));
        // A message that is larger than all of the room is read alone.
        let consumer = client(&fake).consumer().topic(TOPIC, Position::Beginning).until_end();
        let consumer = consumer.prefetch_bytes(0).open().await.unwrap();
        assert_eq!(timeout(BOUND, consumer.count()).await.unwrap(), 100);
    }

    #[tokio::test]
    async fn another_topic_of_the_same_name_is_not_read_on() {
        let fake = Fake::start(1).await;
        let producer = client(&fake).producer(&small_batches());
        let topic = producer.topic(TOPIC).await.unwrap();
        send_numbers(&topic, 0, 0..3).await;
        let mut consumer = client(&fake).consumer().topic(TOPIC, Position::Beginning).open().await.unwrap();
        for _ in 0..3 {
            timeout(BOUND, consumer.next()).await.unwrap().unwrap().unwrap();
        }
        fake.recreate_topic();
        let end = timeout(BOUND, consumer.next()).await.unwrap();
        assert_eq!(end, Some(Err(ReadError::TopicRecreated(TOPIC.into()))));
        assert_eq!(consumer.next().await, None, "an error is the end");
    }

    #[tokio::test]
    async fn topics_are_listed_to_the_last_page() {
        let fake = Fake::start(1).await;
        let topics = client(&fake).topics();
        let names: Vec<_> = topics.list().await.unwrap().into_iter().map(|topic| topic.name).collect();
        assert_eq!(names, [TOPIC, "second"]);
        assert_eq!(topics.create(TOPIC, None).await.unwrap_err(), TopicError::Exists(TOPIC.into()));
    }
}
