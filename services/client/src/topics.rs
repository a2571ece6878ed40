//! Topics.

use eagre_model::{Placement, ResidueClass, keys::check_placement};
use eagre_proto::v1;
use tokio::time::Instant;

use crate::{Client, TopicError};

/// A topic as its record states it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// The name.
    pub name: String,
    /// Unlike that of any other topic, also of one of the same name at another time.
    pub id: String,
    /// How keys find their partition; knows the number of partitions.
    pub placement: Placement,
    /// Milliseconds since the epoch.
    pub created_at_ms: i64,
    /// The largest record batch that it takes, in bytes; `None`: what the service takes.
    pub max_message_bytes: Option<u32>,
}

/// What may be said of a new topic. What is left out is decided by the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TopicSettings {
    /// A fixed number of partitions; left out, the topic is elastic.
    pub partitions: Option<u32>,
    /// The largest record batch that it takes, in bytes as they are sent: 1,024 to 8 MiB, which is the default. Kafka's
    /// `max.message.bytes`. Producers of this crate make batches that fit.
    pub max_message_bytes: Option<u32>,
}

/// What a partition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionBounds {
    /// From 0.
    pub partition: u32,
    /// The first offset that can be read.
    pub log_start_offset: i64,
    /// One above the last durable offset.
    pub high_watermark: i64,
    /// Stored bytes of its record batches.
    pub size_bytes: u64,
}

/// A topic and what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicDescription {
    /// The topic's record.
    pub topic: Topic,
    /// One a partition, in their order.
    pub bounds: Vec<PartitionBounds>,
}

/// Calls about topics.
#[derive(Debug, Clone)]
pub struct Topics {
    client: Client,
}

impl Topics {
    pub(crate) fn new(client: Client) -> Self {
        Self { client }
    }

    /// Creates a topic with so many partitions, where keys are placed as Kafka does; or an elastic one when the count is
    /// left out.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/service.rs"));
    /// use eagre_client::{Client, TopicError};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> { with_service(async |endpoint| {
    /// let client = Client::builder(endpoint).build()?;
    /// let topics = client.topics();
    /// let fixed = topics.create("fixed", Some(12)).await?;
    /// let elastic = topics.create("elastic", None).await?;
    /// assert_eq!((fixed.placement.partitions(), elastic.placement.partitions()), (12, 4));
    /// assert_eq!(topics.create("fixed", None).await, Err(TopicError::Exists("fixed".into())));
    /// # Ok(()) }) }
    /// ```
    ///
    /// # Errors
    /// [`TopicError`]. When the outcome is unknown it may exist.
    pub async fn create(&self, name: &str, partitions: Option<u32>) -> Result<Topic, TopicError> {
        self.create_with(name, TopicSettings { partitions, ..TopicSettings::default() }).await
    }

    /// Creates a topic of which more is said than its partitions.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/service.rs"));
    /// use eagre_client::{Client, TopicSettings};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> { with_service(async |endpoint| {
    /// let client = Client::builder(endpoint).build()?;
    /// let settings = TopicSettings { max_message_bytes: Some(64 << 10), ..TopicSettings::default() };
    /// client.topics().create_with("small", settings).await?;
    /// assert_eq!(client.topics().describe("small").await?.topic.max_message_bytes, Some(64 << 10));
    /// # Ok(()) }) }
    /// ```
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub async fn create_with(&self, name: &str, settings: TopicSettings) -> Result<Topic, TopicError> {
        let TopicSettings { partitions, max_message_bytes } = settings;
        let make = |channel| async move {
            let request = v1::CreateTopicRequest { name: name.to_owned(), partitions, max_message_bytes };
            Client::topic_service(channel).create_topic(request).await
        };
        let answer =
            self.client.call(self.until(), false, make).await.map_err(|failure| failure.into_topic_error(name))?;
        topic_of(answer.topic)
    }

    /// Deletes a topic with all its records.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/service.rs"));
    /// use eagre_client::{Client, TopicError};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> { with_service(async |endpoint| {
    /// let client = Client::builder(endpoint).build()?;
    /// client.topics().delete("orders").await?;
    /// let gone = client.topics().describe("orders").await.unwrap_err();
    /// assert_eq!(gone, TopicError::UnknownTopic("orders".into()));
    /// # Ok(()) }) }
    /// ```
    ///
    /// # Errors
    /// [`TopicError`]. When the outcome is unknown it may still exist.
    pub async fn delete(&self, name: &str) -> Result<(), TopicError> {
        let make = |channel| async move {
            let request = v1::DeleteTopicRequest { name: name.to_owned() };
            Client::topic_service(channel).delete_topic(request).await
        };
        let answer = self.client.call(self.until(), false, make).await;
        answer.map(|_| ()).map_err(|failure| failure.into_topic_error(name))
    }

    /// A topic and what its partitions hold: after an ack, the acked record among it.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/service.rs"));
    /// use eagre_client::Client;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> { with_service(async |endpoint| {
    /// let client = Client::builder(endpoint).build()?;
    /// let orders = client.topics().describe("orders").await?;
    /// for bounds in &orders.bounds {
    ///     println!("partition {}: offsets {} to {}", bounds.partition, bounds.log_start_offset, bounds.high_watermark);
    /// }
    /// assert_eq!(orders.bounds.len(), 2);
    /// # Ok(()) }) }
    /// ```
    ///
    /// # Errors
    /// [`TopicError`].
    pub async fn describe(&self, name: &str) -> Result<TopicDescription, TopicError> {
        self.client.describe(name, self.until()).await
    }

    /// All topics in the order of their names.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/service.rs"));
    /// use eagre_client::Client;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> { with_service(async |endpoint| {
    /// let client = Client::builder(endpoint).build()?;
    /// for topic in client.topics().list().await? {
    ///     println!("{}: {} partitions", topic.name, topic.placement.partitions());
    /// }
    /// # Ok(()) }) }
    /// ```
    ///
    /// # Errors
    /// [`TopicError`].
    pub async fn list(&self) -> Result<Vec<Topic>, TopicError> {
        let mut topics = Vec::new();
        let mut page_token = String::new();
        loop {
            let make = |channel| {
                let request = v1::ListTopicsRequest { page_size: 0, page_token: page_token.clone() };
                async move { Client::topic_service(channel).list_topics(request).await }
            };
            let answer = self.client.call(self.until(), true, make).await;
            let answer = answer.map_err(|failure| failure.into_topic_error("").of_question())?;
            for topic in answer.topics {
                topics.push(topic_of(Some(topic))?);
            }
            if answer.next_page_token.is_empty() {
                return Ok(topics);
            }
            page_token = answer.next_page_token;
        }
    }

    fn until(&self) -> Instant {
        Instant::now() + self.client.patience()
    }
}

impl Client {
    pub(crate) async fn describe(&self, name: &str, until: Instant) -> Result<TopicDescription, TopicError> {
        let make = |channel| async move {
            let request = v1::DescribeTopicRequest { name: name.to_owned() };
            Client::topic_service(channel).describe_topic(request).await
        };
        let answer =
            self.call(until, true, make).await.map_err(|failure| failure.into_topic_error(name).of_question())?;
        let topic = topic_of(answer.topic)?;
        let bounds = answer.bounds.into_iter().map(|bounds| PartitionBounds {
            partition: bounds.partition,
            log_start_offset: bounds.log_start_offset,
            high_watermark: bounds.high_watermark,
            size_bytes: bounds.size_bytes,
        });
        Ok(TopicDescription { topic, bounds: bounds.collect() })
    }
}

/// Checks what the service says of a topic.
fn topic_of(topic: Option<v1::Topic>) -> Result<Topic, TopicError> {
    let invalid = |what: &str| TopicError::Protocol(format!("the service describes a topic {what}"));
    let topic = topic.ok_or_else(|| invalid("without its record"))?;
    let is_in_order = topic.partitions.iter().zip(0..).all(|(partition, number)| partition.partition == number);
    if !is_in_order {
        return Err(invalid("whose partitions are not in order"));
    }
    let placement = match topic.placement() {
        v1::Placement::Kafka => {
            Placement::Fixed { partitions: u32::try_from(topic.partitions.len()).unwrap_or(u32::MAX) }
        }
        v1::Placement::ResidueClass => {
            let class = |partition: &v1::TopicPartition| {
                let class = partition.residue_class.ok_or_else(|| invalid("with a partition without a class"))?;
                Ok(ResidueClass { remainder: class.remainder, modulus: class.modulus })
            };
            Placement::Elastic { classes: topic.partitions.iter().map(class).collect::<Result<_, _>>()? }
        }
        v1::Placement::Unspecified => return Err(invalid("with an unknown placement of keys")),
    };
    check_placement(&placement).map_err(|error| invalid(&format!("that cannot be: {error}")))?;
    let v1::Topic { name, id, created_at_ms, max_message_bytes, .. } = topic;
    Ok(Topic { name, id, placement, created_at_ms, max_message_bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elastic(classes: &[(u32, u32)]) -> v1::Topic {
        let partition = |(number, &(remainder, modulus)): (u32, &(u32, u32))| v1::TopicPartition {
            partition: number,
            residue_class: Some(v1::ResidueClass { remainder, modulus }),
        };
        v1::Topic {
            name: "orders".into(),
            placement: v1::Placement::ResidueClass.into(),
            partitions: (0..).zip(classes).map(partition).collect(),
            ..Default::default()
        }
    }

    #[test]
    fn a_topic_is_taken_when_every_key_has_one_partition() {
        let topic = topic_of(Some(elastic(&[(0, 2), (1, 4), (3, 4)]))).unwrap();
        assert_eq!(topic.placement.partitions(), 3);
    }

    #[test]
    fn a_topic_that_cannot_be_is_refused() {
        let hole = elastic(&[(0, 2), (1, 4)]);
        let no_class = {
            let mut topic = elastic(&[(0, 1)]);
            topic.partitions[0].residue_class = None;
            topic
        };
        let out_of_order = {
            let mut topic = elastic(&[(0, 2), (1, 2)]);
            topic.partitions.swap(0, 1);
            topic
        };
        let later = v1::Topic { placement: 77, ..elastic(&[(0, 1)]) };
        let empty = v1::Topic { placement: v1::Placement::Kafka.into(), ..Default::default() };
        for topic in [hole, no_class, out_of_order, later, empty] {
            assert!(matches!(topic_of(Some(topic.clone())), Err(TopicError::Protocol(_))), "{topic:?}");
        }
        assert!(matches!(topic_of(None), Err(TopicError::Protocol(_))));
    }
}
