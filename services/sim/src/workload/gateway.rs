//! Plain gRPC calls to one gateway, without any of the client crate's care.

use std::{sync::Arc, time::Duration};

use eagre_env::Network;
use eagre_proto::{
    internal::v1::sequencer_service_client::SequencerServiceClient,
    v1::{
        ErrorReason, fetch_service_client::FetchServiceClient, produce_service_client::ProduceServiceClient,
        topic_service_client::TopicServiceClient,
    },
};
use eagre_transport::{ChannelSettings, channel};
use eagre_verify::Gateway;
use tonic::{Status, transport::Channel};
use tonic_types::StatusExt;

use super::Role;
use crate::{network::TurmoilNetwork, nodes::GRPC_PORT};

/// A gateway as a client sees it.
#[derive(Clone)]
pub(crate) struct Reached {
    pub gateway: Gateway,
    channel: Channel,
}

/// One connection to each gateway.
pub(crate) fn reach_all(role: &Role) -> Vec<Reached> {
    let network: Arc<dyn Network> = Arc::new(TurmoilNetwork::new(&role.host, &role.world.links));
    let settings = ChannelSettings {
        connect_timeout: Duration::from_secs(2),
        keepalive_interval: Duration::from_secs(3),
        keepalive_timeout: Duration::from_secs(3),
        ..ChannelSettings::default()
    };
    let reach = |(number, host): (u32, &String)| {
        let endpoint = format!("http://{host}:{GRPC_PORT}");
        let channel = channel(Arc::clone(&network), &endpoint, &settings).expect("the endpoint is well formed");
        Reached { gateway: Gateway(number), channel }
    };
    (0..).zip(&role.gateways).map(reach).collect()
}

impl Reached {
    pub fn topics(&self) -> TopicServiceClient<Channel> {
        TopicServiceClient::new(self.channel.clone())
    }

    pub fn produce(&self) -> ProduceServiceClient<Channel> {
        ProduceServiceClient::new(self.channel.clone())
    }

    pub fn sequencer(&self) -> SequencerServiceClient<Channel> {
        SequencerServiceClient::new(self.channel.clone())
    }

    pub fn fetch(&self) -> FetchServiceClient<Channel> {
        FetchServiceClient::new(self.channel.clone()).max_decoding_message_size(eagre_transport::MESSAGE_BYTES_MAX)
    }
}

/// The reason that the service gave, if the answer is the service's own.
pub(crate) fn reason(status: &Status) -> Option<ErrorReason> {
    let info = status.get_details_error_info()?;
    ErrorReason::from_str_name(&format!("ERROR_REASON_{}", info.reason))
}

/// Whether a refusal for this reason says that this attempt was certainly not appended.
pub(crate) fn is_definite(reason: ErrorReason) -> bool {
    match reason {
        ErrorReason::InvalidArgument
        | ErrorReason::InvalidBatch
        | ErrorReason::CorruptBatch
        | ErrorReason::TooLarge
        | ErrorReason::UnknownTopic
        | ErrorReason::UnknownPartition
        | ErrorReason::TopicExists
        | ErrorReason::InvalidTopicName
        | ErrorReason::OffsetOutOfRange
        | ErrorReason::OutOfOrderSequence
        | ErrorReason::ProducerFenced
        | ErrorReason::UnissuedProducerId
        // Of earlier attempts nothing is said.
        | ErrorReason::UnknownProducerId
        | ErrorReason::Unavailable => true,
        ErrorReason::Unspecified
        | ErrorReason::SequenceTooOld
        | ErrorReason::OutcomeUnknown
        | ErrorReason::StoredDataCorrupt => false,
    }
}
