//! One trace from a caller's request to its answer, as a collector gets it.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use eagre_proto::v1::{
    CreateTopicRequest, ProduceRequest, Record, RecordList, produce_request::Payload,
    produce_service_client::ProduceServiceClient, topic_service_client::TopicServiceClient,
};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    trace::v1::Span,
};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

use crate::support::{self, Server, wait_until};

const TRACE_ID: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// Keeps every span that it is sent, unless it refuses.
#[derive(Clone, Default)]
struct Collector {
    spans: Arc<Mutex<Vec<Span>>>,
    refuses: Arc<AtomicBool>,
    refused: Arc<AtomicUsize>,
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        if self.refuses.load(Ordering::Relaxed) {
            self.refused.fetch_add(1, Ordering::Relaxed);
            // Of a kind that is not tried again.
            return Err(Status::permission_denied("not from you"));
        }
        let scopes = request.into_inner().resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
        self.spans.lock().unwrap().extend(scopes.flat_map(|scope| scope.spans));
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    fn named(&self, name: &str) -> Vec<Span> {
        self.spans.lock().unwrap().iter().filter(|span| span.name == name).cloned().collect()
    }

    fn one(&self, name: &str) -> Span {
        let mut found = self.named(name);
        assert_eq!(found.len(), 1, "{name}: {found:#?}");
        found.remove(0)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Ids of the spans that a span is linked to.
fn links(span: &Span) -> BTreeSet<Vec<u8>> {
    span.links.iter().map(|link| link.span_id.clone()).collect()
}

async fn serve(collector: Collector) -> String {
    let listener = tokio::net::TcpListener::from_std(support::listener()).unwrap();
    let address = listener.local_addr().unwrap();
    let service = TraceServiceServer::new(collector);
    tokio::spawn(
        tonic::transport::Server::builder().add_service(service).serve_with_incoming(TcpListenerStream::new(listener)),
    );
    format!("http://{address}")
}

fn start(endpoint: &str) -> Server {
    let mut command = support::dev("memory://", "127.0.0.1:0", "127.0.0.1:0");
    // What is ready is sent at once.
    command.env("OTEL_BSP_SCHEDULE_DELAY", "20");
    // Of requests that belong to no trace, none.
    Server::spawn(command.args(["--otlp-endpoint", endpoint, "--trace-ratio", "0"]))
}

async fn produce(server: &Server, topic: &str, caller: Option<&str>) -> Result<(), Status> {
    let mut client = ProduceServiceClient::connect(server.endpoint()).await.unwrap();
    let record = Record { value: Some("v".into()), ..Record::default() };
    let mut request = Request::new(ProduceRequest {
        topic: topic.into(),
        partition: Some(0),
        payload: Some(Payload::Records(RecordList { records: vec![record] })),
        ..ProduceRequest::default()
    });
    if let Some(caller) = caller {
        request.metadata_mut().insert("traceparent", caller.parse().unwrap());
    }
    client.produce(request).await.map(drop)
}

async fn create_topic(server: &Server) {
    let mut topics = TopicServiceClient::connect(server.endpoint()).await.unwrap();
    let topic = CreateTopicRequest { name: "t".into(), partitions: Some(1), max_message_bytes: None };
    topics.create_topic(topic).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_request_is_one_trace_with_links_to_what_it_shares() {
    let collector = Collector::default();
    let server = start(&serve(collector.clone()).await);
    create_topic(&server).await;
    produce(&server, "t", None).await.unwrap();
    produce(&server, "t", Some(CALLER)).await.unwrap();
    // What waits in its queue is sent before the process ends.
    assert!(server.terminate().success());

    let (produce, object) = (collector.one("produce"), collector.one("object"));
    assert_eq!((hex(&produce.trace_id), hex(&produce.parent_span_id)), (TRACE_ID.into(), "b7ad6b7169203331".into()));
    assert!(links(&object).contains(&produce.span_id), "{object:#?}");
    assert!(links(&produce).contains(&object.span_id), "{produce:#?}");
    assert!(object.parent_span_id.is_empty() && object.trace_id != produce.trace_id, "{object:#?}");

    let (put, commit, sequence) = (collector.one("put"), collector.one("commit"), collector.one("sequence"));
    for (child, parent) in [(&put, &object), (&commit, &object), (&sequence, &commit)] {
        assert_eq!(child.parent_span_id, parent.span_id, "{child:#?}\n{parent:#?}");
        assert_eq!(child.trace_id, object.trace_id, "{child:#?}");
        assert!(child.start_time_unix_nano >= parent.start_time_unix_nano, "{child:#?}\n{parent:#?}");
    }
    let flush = collector.one("flush");
    assert!(links(&flush).contains(&sequence.span_id), "{flush:#?}");
    assert!(links(&sequence).contains(&flush.span_id), "{sequence:#?}");
    // Acked means durable: the request ends after the upload and the flush.
    for earlier in [&put, &flush] {
        assert!(produce.end_time_unix_nano >= earlier.end_time_unix_nano, "{produce:#?}\n{earlier:#?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_json_request_is_a_part_of_its_caller_s_trace() {
    let collector = Collector::default();
    let server = start(&serve(collector.clone()).await);
    create_topic(&server).await;
    let body = br#"{"records": [{"value": "v"}]}"#;
    for headers in ["application/json", &format!("application/json\r\nTraceparent: {CALLER}")] {
        let (status, answer) = server.http("POST", "/v1/topics/t/records", headers, body).unwrap();
        assert_eq!(status, 200, "{answer}");
    }
    assert!(server.terminate().success());
    let produce = collector.one("produce");
    assert_eq!((hex(&produce.trace_id), hex(&produce.parent_span_id)), (TRACE_ID.into(), "b7ad6b7169203331".into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_collector_that_takes_nothing_costs_one_line_of_log() {
    let collector = Collector::default();
    collector.refuses.store(true, Ordering::Relaxed);
    let server = start(&serve(collector.clone()).await);
    create_topic(&server).await;
    for refusals in 1..=3 {
        produce(&server, "t", Some(CALLER)).await.unwrap();
        wait_until("it was refused", || collector.refused.load(Ordering::Relaxed) >= refusals);
    }
    collector.refuses.store(false, Ordering::Relaxed);
    produce(&server, "t", Some(CALLER)).await.unwrap();
    wait_until("it is told that they are taken", || server.log().contains("traces are taken again"));
    assert_eq!(server.log().matches("traces are dropped").count(), 1, "{}", server.log());
    assert!(server.terminate().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_collector_that_is_not_there_is_told_of() {
    let server = start(&format!("http://127.0.0.1:{}", support::free_port()));
    create_topic(&server).await;
    produce(&server, "t", Some(CALLER)).await.unwrap();
    wait_until("it is told", || server.log().contains("traces are dropped until the collector takes them"));
    produce(&server, "t", Some(CALLER)).await.unwrap();
    assert!(server.terminate().success());
}

#[test]
fn what_is_no_collector_is_refused() {
    let mut command = support::dev("memory://", "127.0.0.1:0", "127.0.0.1:0");
    let refused = Server::try_spawn(command.args(["--otlp-endpoint", "https://collector:4317"])).map(drop).unwrap_err();
    let stderr = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("TLS to a collector is not built in"), "{stderr}");
}
