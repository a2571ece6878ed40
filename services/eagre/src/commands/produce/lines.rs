//! Lines of a file or pipe, their bytes unchanged.

use std::{
    io::{self, Read},
    thread,
};

use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc;

/// Read at once.
const BLOCK_BYTES: usize = 256 << 10;
/// A longer line is left out. Above what a record may take, so that the limit itself is told by the client.
const LINE_BYTES_MAX: usize = 2 << 20;
/// Blocks between the thread that reads and whoever takes them.
const BLOCKS_MAX: usize = 4;

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Block {
    /// Whole lines, each ending with a newline but perhaps the last one of the input.
    Lines(Bytes),
    /// One line that is longer than 2 MiB.
    TooLong,
}

/// Gathers what a reader gives into whole lines. What is there is given at once, without waiting for more.
#[derive(Debug)]
pub struct LineReader<R> {
    source: R,
    /// All of it may be read into; the first `filled` bytes hold the beginning of a line.
    buffer: BytesMut,
    filled: usize,
    /// The rest of a line that is too long.
    is_skipping: bool,
}

impl<R: Read> LineReader<R> {
    /// Reads from `source`.
    pub fn new(source: R) -> Self {
        Self { source, buffer: BytesMut::zeroed(BLOCK_BYTES), filled: 0, is_skipping: false }
    }

    /// The next whole lines, or the rest of the input, which is one. `None`: the end.
    pub fn next_block(&mut self) -> io::Result<Option<Block>> {
        loop {
            if self.filled == self.buffer.len() {
                self.make_room();
                if self.filled > LINE_BYTES_MAX {
                    self.filled = 0;
                    if !std::mem::replace(&mut self.is_skipping, true) {
                        return Ok(Some(Block::TooLong));
                    }
                }
            }
            let read = match self.source.read(&mut self.buffer[self.filled..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read?,
            };
            if read == 0 {
                let rest = self.buffer.split_to(std::mem::take(&mut self.filled)).freeze();
                let is_line = !rest.is_empty() && !std::mem::take(&mut self.is_skipping);
                return Ok(is_line.then_some(Block::Lines(rest)));
            }
            let end = self.filled + read;
            let Some(last) = memchr::memrchr(b'\n', &self.buffer[self.filled..end]) else {
                self.filled = end;
                continue;
            };
            let mut lines = self.buffer.split_to(self.filled + last + 1);
            self.filled = end - lines.len();
            if std::mem::take(&mut self.is_skipping) {
                // There is a newline: `last` is one.
                let first = memchr::memchr(b'\n', &lines).unwrap_or(0);
                drop(lines.split_to(first + 1));
            }
            if !lines.is_empty() {
                return Ok(Some(Block::Lines(lines.freeze())));
            }
        }
    }

    /// Blocks that were given take the buffer's memory along: the beginning of a line moves to another.
    fn make_room(&mut self) {
        let mut buffer = BytesMut::zeroed((2 * self.filled).max(BLOCK_BYTES));
        buffer[..self.filled].copy_from_slice(&self.buffer[..self.filled]);
        self.buffer = buffer;
    }
}

/// The lines of a block, without their newlines.
pub fn lines(block: &Bytes) -> impl Iterator<Item = Bytes> + '_ {
    let mut rest = 0..block.len();
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let start = rest.start;
        let end = memchr::memchr(b'\n', &block[rest.clone()]).map_or(rest.end, |length| start + length);
        rest.start = end + 1;
        Some(block.slice(start..end))
    })
}

/// Reads in a thread of its own: reading from a pipe can wait for ever, and nothing else may wait with it.
pub fn read_in_thread<R: Read + Send + 'static>(source: R) -> io::Result<mpsc::Receiver<io::Result<Block>>> {
    let (sender, receiver) = mpsc::channel(BLOCKS_MAX);
    thread::Builder::new().name("lines".to_owned()).spawn(move || {
        let mut reader = LineReader::new(source);
        while let Some(block) = reader.next_block().transpose() {
            let is_last = block.is_err();
            if sender.blocking_send(block).is_err() || is_last {
                return;
            }
        }
    })?;
    Ok(receiver)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives its pieces one by one.
    struct Pieces(Vec<Vec<u8>>);

    impl Read for Pieces {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            while self.0.first().is_some_and(Vec::is_empty) {
                self.0.remove(0);
            }
            let Some(piece) = self.0.first_mut() else { return Ok(0) };
            let length = piece.len().min(out.len());
            out[..length].copy_from_slice(&piece[..length]);
            piece.drain(..length);
            Ok(length)
        }
    }

    fn blocks(pieces: &[&[u8]]) -> Vec<Block> {
        let mut reader = LineReader::new(Pieces(pieces.iter().map(|piece| piece.to_vec()).collect()));
        std::iter::from_fn(|| reader.next_block().unwrap()).collect()
    }

    fn all_lines(pieces: &[&[u8]]) -> Vec<Vec<u8>> {
        let line_list = |block: &Block| match block {
            Block::Lines(block) => lines(block).map(|line| line.to_vec()).collect(),
            Block::TooLong => vec![b"(too long)".to_vec()],
        };
        blocks(pieces).iter().flat_map(line_list).collect()
    }

    #[test]
    fn bytes_are_unchanged() {
        assert_eq!(all_lines(&[b"a\r\n\n\xff\0b\nlast"]), [&b"a\r"[..], b"", b"\xff\0b", b"last"]);
        assert_eq!(all_lines(&[b"a\n"]), [b"a"]);
        assert_eq!(all_lines(&[]), Vec::<Vec<u8>>::new());
        assert_eq!(all_lines(&[b"\n"]), [b""]);
    }

    #[test]
    fn whole_lines_are_given_at_once_and_the_rest_when_it_ends() {
        let expected =
            [&b"one\n"[..], b"two\nthree\n", b"four"].map(|lines| Block::Lines(Bytes::copy_from_slice(lines)));
        assert_eq!(blocks(&[b"one\nt", b"wo", b"\nthree\n", b"fo", b"ur"]), expected);
    }

    #[test]
    fn long_input_survives_the_change_of_buffers() {
        let text: Vec<u8> = (0..200_000).flat_map(|i| format!("line {i}\n").into_bytes()).collect();
        let pieces: Vec<_> = text.chunks(7_001).collect();
        let lines = all_lines(&pieces);
        assert_eq!(lines.len(), 200_000);
        assert!(lines.iter().enumerate().all(|(i, line)| *line == format!("line {i}").into_bytes()));
    }

    #[test]
    fn a_line_that_is_too_long_is_left_out() {
        let long = vec![b'x'; 3 * LINE_BYTES_MAX];
        let most = vec![b'y'; LINE_BYTES_MAX / 2];
        let lines = all_lines(&[b"a\n", &long, b"\n", &most, b"\nb\n", &long]);
        assert_eq!(lines, [&b"a"[..], b"(too long)", &most, b"b", b"(too long)"]);
    }
}
