//! Compressed messages, through the services as they are served.

use std::future::poll_fn;

use bytes::Bytes;
use eagre_model::batch::Compression;
use eagre_proto::v1::{ListTopicsRequest, ListTopicsResponse, ProduceRequest, ProduceResponse};
use http_body_util::{BodyExt, Full};
use prost::Message;
use tonic::{
    Code,
    body::Body,
    codegen::{Service, http},
};

use crate::world::{World, records};

const CODECS: [(&str, Compression); 2] = [("gzip", Compression::Gzip), ("zstd", Compression::Zstd)];

/// One call with one message in a codec; its answer's encoding, message and status.
struct Answered {
    encoding: Option<String>,
    message: Option<(u8, Bytes)>,
    code: Code,
}

async fn call(world: &World, path: &str, encoding: &str, accepted: &str, message: Vec<u8>) -> Answered {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    let framed = [&[1], &length[..], &message].concat();
    let request = http::Request::post(format!("http://gateway{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-encoding", encoding)
        .header("grpc-accept-encoding", accepted)
        .body(Body::new(Full::new(Bytes::from(framed))))
        .unwrap();
    let mut routes = world.gateway.routes().prepare();
    poll_fn(|cx| Service::<http::Request<Body>>::poll_ready(&mut routes, cx)).await.unwrap();
    let answer = routes.call(request).await.unwrap();
    let text = |value: &http::HeaderValue| value.to_str().unwrap().to_owned();
    let encoding = answer.headers().get("grpc-encoding").map(text);
    let mut status = answer.headers().get("grpc-status").map(text);
    let collected = answer.into_body().collect().await.unwrap();
    status = status.or_else(|| Some(text(collected.trailers()?.get("grpc-status")?)));
    let bytes = collected.to_bytes();
    let message = (bytes.len() >= 5).then(|| (bytes[0], bytes.slice(5..)));
    Answered { encoding, message, code: Code::from_bytes(status.unwrap().as_bytes()) }
}

fn compressed(codec: Compression, message: &impl Message) -> Vec<u8> {
    let mut out = Vec::new();
    codec.compress(&message.encode_to_vec(), &mut out).unwrap();
    out
}

const PRODUCE: &str = "/eagre.v1.ProduceService/Produce";
const LIST: &str = "/eagre.v1.TopicService/ListTopics";

#[tokio::test(start_paused = true)]
async fn requests_and_answers_are_compressed() {
    let world = World::new().await;
    for number in 0..40 {
        world.topic(&format!("a-topic-with-a-name-{number}"), 1).await;
    }
    for (offset, (name, codec)) in (0..).zip(CODECS) {
        let request = compressed(codec, &records("a-topic-with-a-name-0", 0, &["a"]));
        let answered = call(&world, PRODUCE, name, name, request).await;
        let (flag, message) = answered.message.unwrap();
        assert_eq!((answered.code, answered.encoding.as_deref(), flag), (Code::Ok, Some(name), 0), "short: as it is");
        assert_eq!(ProduceResponse::decode(message).unwrap().base_offset, offset);

        let request = compressed(codec, &ListTopicsRequest::default());
        let answered = call(&world, LIST, name, "identity", request.clone()).await;
        assert_eq!((answered.code, answered.encoding), (Code::Ok, None));
        let plain = answered.message.unwrap().1;

        let answered = call(&world, LIST, name, "gzip,zstd", request).await;
        let (flag, message) = answered.message.unwrap();
        assert_eq!((answered.code, answered.encoding.as_deref(), flag), (Code::Ok, Some(name), 1));
        assert!(message.len() < plain.len() / 2, "{} of {}", message.len(), plain.len());
        assert_eq!(codec.decompress(&message, 1 << 20).unwrap(), plain);
        assert_eq!(ListTopicsResponse::decode(plain).unwrap().topics.len(), 40);
    }
}

#[tokio::test(start_paused = true)]
async fn bombs_and_unknown_codecs_are_refused() {
    let world = World::new().await;
    world.topic("t", 1).await;
    for (name, codec) in CODECS {
        let mut bomb = Vec::new();
        codec.compress(&vec![0; 64 << 20], &mut bomb).unwrap();
        for path in [PRODUCE, LIST] {
            let answered = call(&world, path, name, "", bomb.clone()).await;
            assert_eq!(answered.code, Code::InvalidArgument, "{name} {path}");
        }
        // It decompresses to a request whose records are over the limit.
        let huge = ProduceRequest::decode(&*records("t", 0, &[&"x".repeat(2 << 20)]).encode_to_vec()).unwrap();
        assert_eq!(call(&world, PRODUCE, name, "", compressed(codec, &huge)).await.code, Code::InvalidArgument);
    }
    assert_eq!(call(&world, LIST, "deflate", "", Vec::new()).await.code, Code::Unimplemented);
    assert_eq!(call(&world, LIST, "identity", "", Vec::new()).await.code, Code::InvalidArgument);
}
