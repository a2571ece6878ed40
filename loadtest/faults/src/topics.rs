//! Topics pass as they are; where readers find other offsets than are stored, so do those who ask for the bounds.

use eagre_loadtest_stubs::v1::{
    CreateTopicRequest, CreateTopicResponse, DeleteTopicRequest, DeleteTopicResponse, DescribeTopicRequest,
    DescribeTopicResponse, ListTopicsRequest, ListTopicsResponse, topic_service_client::TopicServiceClient,
    topic_service_server::TopicService,
};
use tonic::{Request, Response, Status, transport::Channel};

use crate::service::{MESSAGE_BYTES_MAX, Onward, Service};

fn client(upstream: Channel) -> TopicServiceClient<Channel> {
    TopicServiceClient::new(upstream).max_decoding_message_size(MESSAGE_BYTES_MAX)
}

#[tonic::async_trait]
impl TopicService for Service {
    async fn create_topic(&self, call: Request<CreateTopicRequest>) -> Result<Response<CreateTopicResponse>, Status> {
        let (upstream, request) = Onward::take(call)?.split();
        client(upstream).create_topic(request).await
    }

    async fn describe_topic(
        &self,
        call: Request<DescribeTopicRequest>,
    ) -> Result<Response<DescribeTopicResponse>, Status> {
        let (upstream, request) = Onward::take(call)?.split();
        let topic = request.get_ref().name.clone();
        let mut answer = client(upstream).describe_topic(request).await?;
        if let Some(surveys) = &self.surveys {
            for bounds in &mut answer.get_mut().bounds {
                let survey = surveys.of(&topic, bounds.partition);
                let renumbering = surveys.until(&survey, bounds.high_watermark).await?;
                bounds.log_start_offset = renumbering.to_shown(bounds.log_start_offset);
                bounds.high_watermark = renumbering.to_shown_end(bounds.high_watermark);
            }
        }
        Ok(answer)
    }

    async fn list_topics(&self, call: Request<ListTopicsRequest>) -> Result<Response<ListTopicsResponse>, Status> {
        let (upstream, request) = Onward::take(call)?.split();
        client(upstream).list_topics(request).await
    }

    async fn delete_topic(&self, call: Request<DeleteTopicRequest>) -> Result<Response<DeleteTopicResponse>, Status> {
        let (upstream, request) = Onward::take(call)?.split();
        let topic = request.get_ref().name.clone();
        let answer = client(upstream).delete_topic(request).await?;
        if let Some(books) = &self.ledger {
            books.open().forget(&topic);
        }
        if let Some(surveys) = &self.surveys {
            surveys.forget(&topic);
        }
        Ok(answer)
    }
}
