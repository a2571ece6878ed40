use std::collections::VecDeque;

use http_body_util::BodyExt;
use tokio::sync::mpsc;

use eagre_proto::{
    v1::{ProduceRequest, Record, RecordList, produce_request::Payload},
    walk::Method,
};
use prost::Message as _;

use super::{super::ByteBudget, *};

const DECODED_BYTES: usize = 1 << 20;

fn budget_of(bytes: usize) -> ByteBudget {
    ByteBudget::new(bytes, DECODED_BYTES)
}

fn admission(budget: &ByteBudget, grants: &Grants, path: Option<&str>) -> Admission {
    let bounds = MessageBounds {
        bytes_max: 1 << 20,
        elements_max: 1_000,
        arrival_max: Duration::from_secs(30),
        grant_max: Duration::from_secs(40),
    };
    let method = path.map(|path| Method::at(path).unwrap());
    Admission { budget: budget.clone(), bounds, grants: grants.clone(), method, streams: true, returns: false }
}

/// A body whose frames a test sends.
struct Frames(mpsc::Receiver<Bytes>);

impl HttpBody for Frames {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.0.poll_recv(cx).map(|frame| frame.map(|data| Ok(Frame::data(data))))
    }
}

fn message(length: usize) -> Vec<u8> {
    let prefix = u32::try_from(length).unwrap().to_be_bytes();
    [&[0], &prefix[..], &vec![7; length]].concat()
}

fn admitted(budget: &ByteBudget) -> (mpsc::Sender<Bytes>, AdmittedBody, Grants) {
    admitted_as(budget, None)
}

fn admitted_as(budget: &ByteBudget, codec: Option<Codec>) -> (mpsc::Sender<Bytes>, AdmittedBody, Grants) {
    let (frames, received) = mpsc::channel(16);
    let grants = Grants::default();
    let body = AdmittedBody::new(Body::new(Frames(received)), codec, admission(budget, &grants, None));
    (frames, body, grants)
}

#[tokio::test(start_paused = true)]
async fn messages_pass_unchanged_however_they_are_framed() {
    let lengths = [0, 1, 100, 0, 999, 5, 4];
    let sent: Vec<u8> = lengths.iter().flat_map(|&length| message(length)).collect();
    for frame_bytes in [1, 2, 3, 4, 5, 6, 7, 100, 1_004, 10_000] {
        let budget = budget_of(100_000);
        let (frames, mut body, grants) = admitted(&budget);
        let mut pending: VecDeque<Bytes> = sent.chunks(frame_bytes).map(Bytes::copy_from_slice).collect();
        tokio::spawn(async move {
            while let Some(frame) = pending.pop_front() {
                frames.send(frame).await.unwrap();
            }
        });
        let mut got = Vec::new();
        while let Some(frame) = body.frame().await {
            got.extend_from_slice(&frame.unwrap().into_data().unwrap());
        }
        assert_eq!(got, sent, "frames of {frame_bytes}");
        let charged: usize = lengths.iter().map(|length| length + OVERHEAD_BYTES).sum();
        assert_eq!(budget.used_bytes(), charged);
        for _ in lengths {
            drop(grants.take().unwrap());
        }
        assert!(grants.take().is_none());
        assert_eq!(budget.used_bytes(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_waits_for_its_grant_and_those_before_it_do_not() {
    let budget = budget_of(1_000 + 2 * OVERHEAD_BYTES);
    let (frames, mut body, grants) = admitted(&budget);
    frames.send([message(600), message(600)].concat().into()).await.unwrap();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(first, message(600));
    assert!(tokio::time::timeout(Duration::from_secs(30), body.frame()).await.is_err(), "the budget is spent");
    drop(grants.take());
    let second = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(second, message(600));
}

#[tokio::test(start_paused = true)]
async fn streams_are_served_in_turns() {
    let budget = budget_of(500 + OVERHEAD_BYTES);
    let mut streams: Vec<_> = (0..3).map(|_| admitted(&budget)).collect();
    for (frames, _, _) in &streams {
        for _ in 0..3 {
            frames.send(message(500).into()).await.unwrap();
        }
    }
    let mut served = Vec::new();
    while served.len() < 9 {
        for (index, (_, body, grants)) in streams.iter_mut().enumerate() {
            let turn = tokio::time::timeout(Duration::from_millis(1), body.frame());
            if turn.await.is_ok() {
                served.push(index);
                drop(grants.take().unwrap());
            }
        }
    }
    assert_eq!(served, [0, 1, 2, 0, 1, 2, 0, 1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_message_over_the_limit_is_refused_by_its_prefix() {
    let budget = budget_of(10_000);
    let (frames, mut body, _) = admitted(&budget);
    frames.send(Bytes::copy_from_slice(&message((1 << 20) + 1)[..5])).await.unwrap();
    let status = body.frame().await.unwrap().unwrap_err();
    assert_eq!(status.code(), tonic::Code::InvalidArgument);
    assert_eq!(budget.used_bytes(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_does_not_arrive_is_given_up() {
    let budget = budget_of(10_000);
    let (frames, mut body, grants) = admitted(&budget);
    let slow = async move {
        for byte in &message(100)[..50] {
            frames.send(Bytes::copy_from_slice(&[*byte])).await.unwrap();
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    tokio::spawn(slow);
    let status = body.frame().await.unwrap().unwrap_err();
    assert_eq!(status.code(), tonic::Code::Unavailable);
    assert_eq!(budget.used_bytes(), 0);
    drop((body, grants));
    assert_eq!(budget.begun.available_permits(), budget.begun_bytes());
}

/// Takes what a body gives, until it ends or fails.
async fn taken(mut body: AdmittedBody) -> (usize, Option<Status>) {
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => bytes += frame.into_data().unwrap().len(),
            Err(status) => return (bytes, Some(status)),
        }
    }
    (bytes, None)
}

#[tokio::test(start_paused = true)]
async fn a_large_message_arrives_at_the_slowest_rate_and_not_below() {
    for (pause_ms, arrives) in [(200, true), (400, false)] {
        let budget = budget_of(4 << 20);
        let (frames, body, grants) = admitted(&budget);
        tokio::spawn(async move {
            for part in message(1_000_000).chunks(16 << 10) {
                tokio::time::sleep(Duration::from_millis(pause_ms)).await;
                if frames.send(Bytes::copy_from_slice(part)).await.is_err() {
                    return;
                }
            }
        });
        let (bytes, failure) = taken(body).await;
        assert_eq!((bytes == 1_000_005, failure.is_none()), (arrives, arrives), "a frame in {pause_ms} ms: {bytes}");
        drop(grants);
        assert_eq!(budget.used_bytes(), 0);
        assert_eq!(budget.begun.available_permits(), budget.begun_bytes());
        assert_eq!(budget.arriving.available_permits(), 2 << 20);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_announced_is_charged_when_it_has_begun_to_come() {
    let budget = budget_of(4 << 20);
    let mut slow = Vec::new();
    for sent_bytes in [5, 1_000, 40_000, 40_000, 40_000] {
        let (frames, mut body, grants) = admitted(&budget);
        frames.send(Bytes::copy_from_slice(&message(900_000)[..sent_bytes])).await.unwrap();
        let taken = tokio::time::timeout(Duration::from_millis(1), body.frame()).await;
        slow.push((frames, body, grants, taken.is_ok()));
    }
    let granted: Vec<bool> = slow.iter().map(|(.., granted)| *granted).collect();
    assert_eq!(granted, [false, false, true, true, false], "half of the budget is for those that are whole");
    assert_eq!(budget.used_bytes(), 2 * (900_000 + OVERHEAD_BYTES));
    let (frames, mut body, _grants) = admitted(&budget);
    frames.send(message(10_000).into()).await.unwrap();
    let whole = tokio::time::timeout(Duration::from_millis(1), body.frame()).await.unwrap();
    assert_eq!(whole.unwrap().unwrap().into_data().unwrap().len(), 10_005);
}

#[tokio::test(start_paused = true)]
async fn a_grant_that_does_not_come_is_a_definite_answer() {
    let budget = budget_of(1_000 + 2 * OVERHEAD_BYTES);
    let (frames, mut body, _grants) = admitted(&budget);
    frames.send([message(600), message(600)].concat().into()).await.unwrap();
    body.frame().await.unwrap().unwrap();
    let began = Instant::now();
    let status = body.frame().await.unwrap().unwrap_err();
    assert_eq!((status.code(), began.elapsed().as_secs()), (tonic::Code::Unavailable, 40));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_ends_within_a_message_is_refused() {
    let budget = budget_of(100_000);
    let (frames, mut body, _grants) = admitted(&budget);
    frames.send(Bytes::copy_from_slice(&message(100)[..50])).await.unwrap();
    drop(frames);
    let status = body.frame().await.unwrap().unwrap_err();
    assert_eq!(status.code(), tonic::Code::InvalidArgument);
    assert!(body.frame().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn an_idle_stream_is_never_late() {
    let budget = budget_of(10_000);
    let (frames, mut body, _) = admitted(&budget);
    frames.send(message(10).into()).await.unwrap();
    body.frame().await.unwrap().unwrap();
    assert!(tokio::time::timeout(Duration::from_secs(3_600), body.frame()).await.is_err());
    frames.send(message(10).into()).await.unwrap();
    body.frame().await.unwrap().unwrap();
}

/// The message compressed, and its length.
fn compressed(codec: Codec, plain: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    codec.compress(plain, &mut body).unwrap();
    let prefix = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&[COMPRESSED], &prefix[..], &body].concat()
}

#[tokio::test(start_paused = true)]
async fn compressed_messages_come_out_plain_and_are_charged_as_such() {
    for codec in [Codec::Gzip, Codec::Zstd] {
        let lengths = [0, 1, 70_000, 5];
        let sent: Vec<u8> = lengths
            .iter()
            .flat_map(|&length| [compressed(codec, &message(length)[PREFIX_BYTES..]), message(3)].concat())
            .collect();
        let plain: Vec<u8> = lengths.iter().flat_map(|&length| [message(length), message(3)].concat()).collect();
        for frame_bytes in [1, 7, 100, 100_000] {
            let budget = budget_of(4 << 20);
            let (frames, mut body, grants) = admitted_as(&budget, Some(codec));
            let mut pending: VecDeque<Bytes> = sent.chunks(frame_bytes).map(Bytes::copy_from_slice).collect();
            tokio::spawn(async move {
                while let Some(frame) = pending.pop_front() {
                    frames.send(frame).await.unwrap();
                }
            });
            let mut got = Vec::new();
            while let Some(frame) = body.frame().await {
                got.extend_from_slice(&frame.unwrap().into_data().unwrap());
            }
            assert_eq!(got, plain, "frames of {frame_bytes}");
            let charged: usize = lengths.iter().map(|length| length + 3 + 2 * OVERHEAD_BYTES).sum();
            assert_eq!(budget.used_bytes(), charged, "what it has become, no more");
            drop(grants);
            drop(body);
            assert_eq!(budget.used_bytes(), 0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_does_not_decompress_is_refused_and_costs_nothing() {
    let damaged = |codec| {
        let mut bytes = compressed(codec, &[7; 5_000]);
        let middle = bytes.len() - 9;
        bytes[middle] ^= 0xff;
        bytes
    };
    // A window of 128 MiB, as its third byte of the frame says, and nothing in it.
    let wide = [&[COMPRESSED, 0, 0, 0, 9][..], &[0x28, 0xb5, 0x2f, 0xfd, 0x00, 17 << 3, 1, 0, 0]].concat();
    let cases = [
        ("a bomb", Codec::Gzip, compressed(Codec::Gzip, &vec![0; 64 << 20]), "TOO_LARGE"),
        ("a bomb", Codec::Zstd, compressed(Codec::Zstd, &vec![0; 64 << 20]), "TOO_LARGE"),
        ("damaged", Codec::Gzip, damaged(Codec::Gzip), "INVALID_ARGUMENT"),
        ("another codec", Codec::Zstd, compressed(Codec::Gzip, &[7; 5_000]), "INVALID_ARGUMENT"),
        ("a window too wide", Codec::Zstd, wide, "INVALID_ARGUMENT"),
    ];
    for (what, codec, bytes, reason) in cases {
        let budget = budget_of(4 << 20);
        let (frames, mut body, _grants) = admitted_as(&budget, Some(codec));
        frames.send(bytes.into()).await.unwrap();
        let status = body.frame().await.unwrap().unwrap_err();
        let info = tonic_types::StatusExt::get_details_error_info(&status).unwrap();
        assert_eq!(info.reason, reason, "{what}: {status:?}");
        assert_eq!(budget.used_bytes(), 0, "{what}");
    }
    let (frames, mut body, _grants) = admitted(&budget_of(4 << 20));
    frames.send(compressed(Codec::Gzip, &[7; 50]).into()).await.unwrap();
    assert!(body.frame().await.unwrap().unwrap_err().message().contains("grpc-encoding"));
}

#[tokio::test(start_paused = true)]
async fn a_compressed_message_waits_for_what_it_may_become() {
    let budget = budget_of(2 << 20);
    let (others, mut other, other_grants) = admitted(&budget);
    others.send([message(1_000_000), message(100_000)].concat().into()).await.unwrap();
    while budget.used_bytes() < 1_100_000 {
        other.frame().await.unwrap().unwrap();
    }
    let (frames, mut body, _grants) = admitted_as(&budget, Some(Codec::Zstd));
    frames.send(compressed(Codec::Zstd, &[7; 100]).into()).await.unwrap();
    assert!(tokio::time::timeout(Duration::from_secs(30), body.frame()).await.is_err(), "it may become 1 MiB");
    drop(other_grants.take());
    body.frame().await.unwrap().unwrap();
    assert_eq!(budget.used_bytes(), 100_000 + 100 + 2 * OVERHEAD_BYTES);
}

/// A request of so many empty records, as it is on the wire.
fn empty_records(count: usize) -> Vec<u8> {
    let payload = Some(Payload::Records(RecordList { records: vec![Record::default(); count] }));
    let message = ProduceRequest { payload, ..ProduceRequest::default() }.encode_to_vec();
    let prefix = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[0], &prefix[..], &message].concat()
}

fn of_produce(budget: &ByteBudget, codec: Option<Codec>) -> (mpsc::Sender<Bytes>, AdmittedBody, Grants) {
    let (frames, received) = mpsc::channel(1_024);
    let grants = Grants::default();
    let admission = admission(budget, &grants, Some("/eagre.v1.ProduceService/Produce"));
    (frames, AdmittedBody::new(Body::new(Frames(received)), codec, admission), grants)
}

#[tokio::test(start_paused = true)]
async fn too_many_elements_are_refused_before_they_are_decoded() {
    let plain = empty_records(1_001);
    let packed = compressed(Codec::Zstd, &plain[PREFIX_BYTES..]);
    for (what, bytes) in [("plain", &plain), ("compressed", &packed)] {
        for frame_bytes in [1, 100, 100_000] {
            let budget = budget_of(4 << 20);
            let (frames, body, grants) = of_produce(&budget, Some(Codec::Zstd));
            // What comes before it goes first.
            let all = [&empty_records(1_000), &bytes[..]].concat();
            let sender = tokio::spawn(async move {
                for frame in all.chunks(frame_bytes) {
                    let _ = frames.send(Bytes::copy_from_slice(frame)).await;
                }
            });
            let (given, failure) = taken(body).await;
            let status = failure.unwrap();
            let info = tonic_types::StatusExt::get_details_error_info(&status).unwrap();
            assert_eq!(info.reason, "TOO_LARGE", "{what} in frames of {frame_bytes}: {status:?}");
            let first = empty_records(1_000).len();
            assert!((first..first + plain.len()).contains(&given), "not to its end: {given}");
            sender.await.unwrap();
            drop(grants);
            assert_eq!(budget.used_bytes(), 0);
            assert_eq!(budget.decoded.available_permits(), DECODED_BYTES);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_messages_become_is_charged_until_they_are_something_else() {
    let budget = budget_of(4 << 20);
    let record = size_of::<Record>();
    let mut waiting = Vec::new();
    let mut granted = 0;
    for _ in 0..10 {
        let (frames, mut body, grants) = of_produce(&budget, None);
        frames.send(empty_records(1_000).into()).await.unwrap();
        let whole = tokio::time::timeout(Duration::from_millis(1), body.frame()).await;
        granted += usize::from(whole.is_ok());
        waiting.push((frames, body, grants, whole.is_ok()));
    }
    assert!((1..=DECODED_BYTES / (1_000 * record)).contains(&granted), "{granted} are decoded at a time");
    // The bytes of the others are here, and wait.
    assert_eq!(budget.used_bytes(), 10 * (empty_records(1_000).len() - PREFIX_BYTES + OVERHEAD_BYTES));
    let mut first = waiting[0].2.take().unwrap();
    drop(first.decoded());
    let (_, body, ..) = waiting.iter_mut().find(|(.., whole)| !whole).unwrap();
    let next = tokio::time::timeout(Duration::from_millis(1), body.frame()).await.unwrap();
    assert_eq!(next.unwrap().unwrap().into_data().unwrap().len(), empty_records(1_000).len());
    drop((waiting, first));
    assert_eq!(budget.decoded.available_permits(), DECODED_BYTES);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_message_is_refused_at_the_door() {
    let budget = budget_of(4 << 20);
    let (frames, body, _grants) = of_produce(&budget, None);
    frames.send(message(100).into()).await.unwrap();
    let (given, failure) = taken(body).await;
    assert_eq!((given, failure.unwrap().code()), (0, tonic::Code::InvalidArgument));
}

#[tokio::test(start_paused = true)]
async fn grants_go_back_when_the_next_message_is_asked_for() {
    let budget = budget_of(4 << 20);
    let (frames, received) = mpsc::channel(16);
    let grants = Grants::default();
    let admission = Admission { returns: true, ..admission(&budget, &grants, None) };
    let mut body = AdmittedBody::new(Body::new(Frames(received)), None, admission);
    let charge = 100 + OVERHEAD_BYTES;
    frames.send([message(100), message(100)].concat().into()).await.unwrap();
    body.frame().await.unwrap().unwrap();
    assert_eq!(budget.used_bytes(), 2 * charge, "both may be in the hands of the service");
    frames.send(message(100)[..50].to_vec().into()).await.unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(1), body.frame()).await.is_err());
    assert_eq!(budget.used_bytes(), 0, "whoever asks for more has done with them");
    frames.send(message(100)[50..].to_vec().into()).await.unwrap();
    body.frame().await.unwrap().unwrap();
    assert_eq!(budget.used_bytes(), charge);
    drop((body, frames, grants));
    assert_eq!(budget.used_bytes(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_call_of_one_message_is_not_quiet_for_long() {
    // Before its message, and when it does not end behind it.
    for messages in [0, 1] {
        let budget = budget_of(4 << 20);
        let (frames, received) = mpsc::channel(16);
        let grants = Grants::default();
        let admission = Admission { streams: false, ..admission(&budget, &grants, None) };
        let body = AdmittedBody::new(Body::new(Frames(received)), None, admission);
        for _ in 0..messages {
            frames.send(message(100).into()).await.unwrap();
        }
        let began = Instant::now();
        let (bytes, failure) = taken(body).await;
        assert_eq!((bytes, failure.unwrap().code()), (messages * 105, tonic::Code::Unavailable));
        assert_eq!(began.elapsed(), QUIET_MAX);
    }
}
