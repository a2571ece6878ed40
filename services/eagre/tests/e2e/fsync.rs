//! kill -9 does not show a missing fsync, because the page cache survives the process. So the system calls of the real
//! binary are read: before each ack leaves, the record's bytes, their directory entry and the commit are synced.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use eagre_proto::v1::{
    CreateTopicRequest, InitProducerRequest, ProduceRequest, ProduceStreamRequest, ProducerSequence, Record,
    RecordList, produce_request::Payload, produce_service_client::ProduceServiceClient,
    produce_stream_response::Outcome, topic_service_client::TopicServiceClient,
};
use tokio_stream::wrappers::ReceiverStream;

use crate::{
    strace::{Call, parse},
    support::{Server, dev, wait_until},
};

const RECORDS: u64 = 12;
/// Request ids that no other bytes on the wire look like.
const FIRST_ID: u64 = 0x5ea6_7e5e_a67e_0000;

fn payload(number: u64) -> String {
    format!("<<< the bytes of record {number} >>>")
}

/// Every second record is so large that it needs an object of its own; the others travel inside of their commits.
fn has_object(number: u64) -> bool {
    number.is_multiple_of(2)
}

fn value(number: u64) -> String {
    let padding = if has_object(number) { "#".repeat(80 << 10) } else { String::new() };
    payload(number) + &padding
}

/// Field 1 of an answer: tag and varint.
fn answer_bytes(mut id: u64) -> Vec<u8> {
    let mut bytes = vec![0x08];
    while id >= 0x80 {
        bytes.push((id & 0x7f) as u8 | 0x80);
        id >>= 7;
    }
    bytes.push(id as u8);
    bytes
}

/// One record at a time: each waits for its ack, so each has a commit of its own, and a PUT unless it is small.
async fn produce(endpoint: String) {
    let mut topics = TopicServiceClient::connect(endpoint.clone()).await.unwrap();
    topics
        .create_topic(CreateTopicRequest { name: "t".into(), partitions: Some(1), ..Default::default() })
        .await
        .unwrap();
    let mut client = ProduceServiceClient::connect(endpoint).await.unwrap();
    let producer = client.init_producer(InitProducerRequest {}).await.unwrap().into_inner();
    let (requests, queue) = tokio::sync::mpsc::channel(1);
    let mut answers = client.produce_stream(ReceiverStream::new(queue)).await.unwrap().into_inner();
    for number in 0..RECORDS {
        let record = Record { value: Some(value(number).into()), ..Record::default() };
        let request = ProduceRequest {
            topic: "t".into(),
            partition: Some(0),
            payload: Some(Payload::Records(RecordList { records: vec![record] })),
            producer: Some(ProducerSequence {
                producer_id: producer.producer_id,
                producer_epoch: producer.producer_epoch,
                first_sequence: i32::try_from(number).unwrap(),
            }),
            topic_id: None,
        };
        let message = ProduceStreamRequest { request_id: FIRST_ID + number, request: Some(request) };
        requests.send(message).await.unwrap();
        let answer = answers.message().await.unwrap().unwrap();
        assert_eq!(answer.request_id, FIRST_ID + number);
        let Some(Outcome::Response(response)) = answer.outcome else { panic!("{answer:?}") };
        assert_eq!(response.base_offset, i64::try_from(number).unwrap());
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// What was found durable before an ack.
struct Durable {
    /// When the record was written.
    written: usize,
    /// Its object, unless its bytes are in the commit.
    object: Option<Stored>,
    commit: Stored,
}

/// A file under the name that it was written to, and under its own.
struct Stored {
    staged: String,
    name: String,
}

/// The trace with a few questions.
struct Trace(Vec<Call>);

impl Trace {
    fn of(&self, names: &'static [&'static str]) -> impl Iterator<Item = &Call> {
        self.0.iter().filter(move |call| names.contains(&call.name.as_str()))
    }

    /// When the answer began to be written to a socket.
    fn answered(&self, id: u64) -> usize {
        let answer = answer_bytes(id);
        let writes = self.of(&["write", "writev", "sendto", "sendmsg"]);
        let mut to_sockets = writes.filter(|call| call.file().is_some_and(|file| file.starts_with("TCP")));
        let write = to_sockets.find(|call| contains(&call.bytes(), &answer));
        write.unwrap_or_else(|| panic!("the answer to {id:x} was not seen on a socket")).began
    }

    /// Whether and when a file or folder was synced completely within this stretch of the trace.
    fn synced(&self, path: &str, after: usize, before: usize) -> Option<usize> {
        let syncs = self.of(&["fsync", "fdatasync"]).filter(|call| call.file() == Some(path));
        syncs.filter(|call| call.began > after && call.ended < before).map(|call| call.ended).min()
    }

    /// Writes of files below a folder: path and end of the write.
    fn written<'a>(&'a self, below: &'a str) -> impl Iterator<Item = (&'a str, &'a Call)> {
        let writes = self.of(&["write", "writev", "pwrite64", "pwritev"]);
        writes.filter_map(|call| Some((call.file()?, call))).filter(move |(file, _)| file.starts_with(below))
    }

    /// Everything that has to be durable before record `number` is acked.
    fn durable_before_ack(&self, bucket: &str, number: u64) -> Result<Durable, String> {
        let (data, metadata) = (format!("{bucket}/wal/"), format!("{bucket}/meta"));
        let answered = self.answered(FIRST_ID + number);
        let bytes = payload(number);
        let holds_it = |call: &Call| contains(&call.bytes(), bytes.as_bytes());
        let too_early = |missing| format!("record {number} was acked too early: {missing}");
        let (mut object, mut written, mut data_durable) = (None, None, 0);
        if has_object(number) {
            let mut writes = self.written(&data).filter(|(_, call)| holds_it(call));
            let (staged, write) = writes.next().ok_or(format!("record {number} was not written below {data}"))?;
            let (name, durable) = self.made_durable(staged, write.ended, answered).map_err(too_early)?;
            object = Some(Stored { staged: staged.to_owned(), name });
            (written, data_durable) = (Some(write.began), durable);
        }
        // The commit: SlateDB's next WAL file, written after the data was durable or with it inside, durable before the answer.
        let is_commit = |path: &str, call: &Call| {
            let is_next = path.contains("/wal/") && call.began > data_durable && call.ended < answered;
            is_next && (has_object(number) || holds_it(call))
        };
        let mut missing = "no commit was written".to_owned();
        for (path, call) in self.written(&metadata).filter(|(path, call)| is_commit(path, call)) {
            match self.made_durable(path, call.ended, answered) {
                Ok((name, _)) => {
                    let (commit, written) = (Stored { staged: path.to_owned(), name }, written.unwrap_or(call.began));
                    return Ok(Durable { written, object, commit });
                }
                Err(why) => missing = why,
            }
        }
        Err(too_early(missing))
    }

    /// Follows a written file to durability: its own sync, the move to its final name, the sync of its folder. Returns
    /// the final name and when all that had ended.
    fn made_durable(&self, staged: &str, written: usize, before: usize) -> Result<(String, usize), String> {
        let synced = self.synced(staged, written, before).ok_or(format!("{staged} was not synced"))?;
        let moves = self.of(&["rename", "renameat", "renameat2", "link", "linkat"]);
        let moved = moves.filter(|call| call.began > synced && call.ended < before).find_map(|call| {
            let names: Vec<String> =
                call.strings().into_iter().map(|name| String::from_utf8_lossy(&name).into_owned()).collect();
            (names.first()? == staged).then(|| (names[1].clone(), call.ended))
        });
        let (name, moved) = moved.unwrap_or((staged.to_owned(), synced));
        let folder = Path::new(&name).parent().unwrap().to_str().unwrap();
        let folder_synced =
            self.synced(folder, moved, before).ok_or(format!("{folder} was not synced after {name} came into it"))?;
        Ok((name, folder_synced))
    }
}

#[test]
#[ignore = "needs strace and the right to trace; .ci/run runs it"]
fn everything_is_synced_before_the_ack_leaves() {
    let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let bucket = folder.path().join("bucket").to_str().unwrap().to_owned();
    let file = elsewhere.path().join("trace");
    let calls =
        "openat,write,writev,pwrite64,pwritev,sendto,sendmsg,fsync,fdatasync,rename,renameat,renameat2,link,linkat";
    let dev = dev(&bucket, "127.0.0.1:0", "127.0.0.1:0");
    let mut command = Command::new("strace");
    // -D: strace stands aside, so that the process started here is the service itself.
    command.args(["-D", "-f", "-yy", "-x", "-s", "1000000", "-e", &format!("trace={calls}"), "-o"]).arg(&file);
    command.arg(dev.get_program()).args(dev.get_args());
    let server = Server::spawn(&mut command);
    tokio::runtime::Runtime::new().unwrap().block_on(produce(server.endpoint()));
    let pid = server.pid().to_string();
    assert!(server.terminate().success());
    // strace pads short process ids.
    let is_end = |line: &str| {
        line.split_once(' ').is_some_and(|(of, what)| of == pid && what.trim_start() == "+++ exited with 0 +++")
    };
    wait_until("strace has written everything", || fs::read_to_string(&file).unwrap().lines().any(is_end));

    let trace = Trace(parse(&fs::read_to_string(&file).unwrap()));
    let bucket = fs::canonicalize(&bucket).unwrap().to_str().unwrap().to_owned();
    let mut commits = BTreeSet::new();
    for number in 0..RECORDS {
        let durable = trace.durable_before_ack(&bucket, number).unwrap_or_else(|missing| panic!("{missing}"));
        let object = durable.object.map_or("inside".to_owned(), |object| object.name);
        println!("record {number}: {object}, then {}, then the ack", durable.commit.name);
        commits.insert(durable.commit.name);
    }
    assert_eq!(commits.len() as u64, RECORDS, "one record at a time has a commit of its own");
    let trace = the_reading_bites(trace, &bucket, RECORDS - 1);
    the_reading_bites(trace, &bucket, RECORDS - 2);
}

/// Without one of the syncs the same trace is not accepted.
fn the_reading_bites(mut trace: Trace, bucket: &str, number: u64) -> Trace {
    let answered = trace.answered(FIRST_ID + number);
    let durable = trace.durable_before_ack(bucket, number).unwrap();
    let folder = |path: &str| Path::new(path).parent().unwrap().to_str().unwrap().to_owned();
    let stored = durable.object.into_iter().chain([durable.commit]);
    let needed: Vec<String> = stored.flat_map(|file| [folder(&file.name), file.staged]).collect();
    assert_eq!(needed.len(), if has_object(number) { 4 } else { 2 });
    for path in &needed {
        let is_sync = |call: &Call| {
            ["fsync", "fdatasync"].contains(&&*call.name)
                && call.file() == Some(path)
                && (durable.written..answered).contains(&call.began)
        };
        let (syncs, others): (Vec<Call>, Vec<Call>) = trace.0.into_iter().partition(is_sync);
        trace.0 = others;
        assert!(!syncs.is_empty() && trace.durable_before_ack(bucket, number).is_err(), "{path} need not be synced?");
        trace.0.extend(syncs);
    }
    trace
}
