//! HTTP/2 by hand, for what no well-behaved library sends.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf},
    task::JoinHandle,
};

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const CONTINUATION: u8 = 9;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// A frame, RFC 9113, section 4.1.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The headers of a gRPC call without compression (RFC 7541, 6.2.2), but for what the static table has whole.
pub fn call_headers(path: &str) -> Vec<u8> {
    // 0x83: POST; 0x86: http; 0x04 and 0x01: a path and an authority.
    [
        vec![0x83, 0x86, 0x04],
        text(path),
        vec![0x01],
        text("server"),
        header("content-type", "application/grpc"),
        header("te", "trailers"),
    ]
    .concat()
}

/// One more header.
pub fn header(name: &str, value: &str) -> Vec<u8> {
    [vec![0x00], text(name), text(value)].concat()
}

fn text(text: &str) -> Vec<u8> {
    [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat()
}

/// A peer that writes what it likes. What comes is taken in beside it, so that the server never waits for it.
pub struct Attacker {
    writer: WriteHalf<DuplexStream>,
    /// Ends with the connection.
    received: JoinHandle<Vec<u8>>,
}

impl Attacker {
    pub fn new(stream: DuplexStream) -> Self {
        let (mut reader, writer) = tokio::io::split(stream);
        Self { writer, received: tokio::spawn(async move { take_in(&mut reader).await }) }
    }

    /// With preface and settings, as a client begins.
    pub async fn begun(stream: DuplexStream) -> Self {
        let mut attacker = Self::new(stream);
        assert!(attacker.send(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).await);
        attacker
    }

    /// Whether the connection still takes it.
    pub async fn send(&mut self, bytes: &[u8]) -> bool {
        self.writer.write_all(bytes).await.is_ok()
    }

    /// All that came until the server closed the connection; waits for that.
    pub async fn closed(self) -> Vec<u8> {
        let received = self.received.await.unwrap();
        drop(self.writer);
        received
    }
}

async fn take_in(reader: &mut ReadHalf<DuplexStream>) -> Vec<u8> {
    let mut received = Vec::new();
    let mut piece = [0; 4_096];
    while let Ok(bytes @ 1..) = reader.read(&mut piece).await {
        // Enough to tell what it was; an attacker may be sent much.
        if received.len() < 1 << 20 {
            received.extend_from_slice(&piece[..bytes]);
        }
    }
    received
}

/// Kind, stream and payload of the frames in there.
pub fn frames(mut bytes: &[u8]) -> Vec<(u8, u32, Vec<u8>)> {
    let mut frames = Vec::new();
    while let Some((head, rest)) = bytes.split_first_chunk::<9>() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let Some(payload) = rest.get(..length) else { break };
        frames.push((head[3], stream, payload.to_vec()));
        bytes = &rest[length..];
    }
    frames
}

/// The error codes with which the server said goodbye.
pub fn goodbyes(bytes: &[u8]) -> Vec<u32> {
    let of_goaway = |(kind, _, payload): (u8, u32, Vec<u8>)| {
        (kind == GOAWAY).then(|| u32::from_be_bytes(payload[4..8].try_into().unwrap()))
    };
    frames(bytes).into_iter().filter_map(of_goaway).collect()
}
