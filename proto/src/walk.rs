//! What a message will take in memory, told from its bytes before it is decoded.
//!
//! An empty message in a repeated field is two bytes on the wire and a hundred when it is decoded, so the length of a
//! request says little of what it becomes. A [`Walk`] reads the tags of a request as it arrives, in pieces of any length,
//! allocates nothing beside a stack as deep as the messages are nested, and tells how many elements it has and a bound of
//! the bytes that decoding it will allocate.

/// What is known of the fields of a message that take memory of their own: number and kind. Generated.
#[derive(Debug)]
struct Shape(&'static [(u32, Kind)]);

#[derive(Debug)]
enum Kind {
    /// A string: copied. A field of bytes is a part of what was received.
    Text,
    Message(&'static Shape),
    Messages {
        shape: &'static Shape,
        item_bytes: usize,
    },
    /// Repeated numbers, packed or not.
    Numbers,
}

/// A method's request.
#[derive(Debug, Clone, Copy)]
pub struct Method {
    request: &'static Shape,
    /// The client sends any number of requests.
    pub streams: bool,
}

include!(concat!(env!("OUT_DIR"), "/shapes.rs"));

/// The allocator's own for each allocation, and the least that a string takes.
const ALLOCATION_BYTES: usize = 32;
/// A number that is repeated.
const NUMBER_BYTES: usize = 8;
/// A list doubles as it grows, and for a moment there are the old and the new one; it begins with room for four.
const LIST_GROWTH: usize = 3;
/// As deep as the decoder goes.
const DEPTH_MAX: usize = 100;
/// A varint has ten bytes at most.
const VARINT_SHIFT_MAX: u32 = 63;

impl Method {
    /// The method of a gRPC path such as `/eagre.v1.TopicService/ListTopics`, if there is such a one.
    pub fn at(path: &str) -> Option<Self> {
        method_at(path)
    }

    /// Begins a request of this length.
    pub fn walk(&self, length_bytes: usize) -> Walk {
        let root = Frame { shape: Some(self.request), end: length_bytes, lists: 0 };
        Walk { frames: vec![root], at: 0, state: State::Tag(Varint::default()), cost: Cost::default() }
    }
}

/// What a request has and takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cost {
    /// Elements of repeated fields, on all levels together.
    pub elements: usize,
    /// What decoding allocates at most, beside the request's own struct.
    pub decoded_bytes: usize,
}

/// The bytes are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// A request that is being read. See the module.
#[derive(Debug)]
pub struct Walk {
    frames: Vec<Frame>,
    /// How many of its bytes were read.
    at: usize,
    state: State,
    cost: Cost,
}

#[derive(Debug)]
struct Frame {
    /// `None`: a group, which no field of these protocols is; nothing of it is kept.
    shape: Option<&'static Shape>,
    /// Where it ends in the request.
    end: usize,
    /// Which of the fields have been met, as bits: the first element of a list costs more than others.
    lists: u64,
}

#[derive(Debug)]
enum State {
    Tag(Varint),
    /// A number that is kept nowhere, or in its message.
    Number(Varint),
    Length(u32, Varint),
    /// Contents that need not be looked at.
    Skip(usize),
}

#[derive(Debug, Default, Clone, Copy)]
struct Varint {
    value: u64,
    shift: u32,
}

impl Varint {
    /// Takes one byte more; the value when that was the last one.
    fn push(&mut self, byte: u8) -> Result<Option<u64>, Malformed> {
        if self.shift > VARINT_SHIFT_MAX || (self.shift == VARINT_SHIFT_MAX && byte > 1) {
            return Err(Malformed);
        }
        self.value |= u64::from(byte & 0x7f) << self.shift;
        self.shift += 7;
        Ok((byte & 0x80 == 0).then_some(self.value))
    }
}

impl Walk {
    /// Reads on.
    ///
    /// # Errors
    ///
    /// What was read cannot be the beginning of a message of this length.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Result<(), Malformed> {
        while let Some(&byte) = bytes.first() {
            if let State::Skip(left) = self.state {
                let skipped = left.min(bytes.len());
                bytes = &bytes[skipped..];
                self.advance(skipped)?;
                self.state = if skipped == left { State::Tag(Varint::default()) } else { State::Skip(left - skipped) };
            } else {
                bytes = &bytes[1..];
                self.advance(1)?;
                self.take(byte)?;
            }
            self.leave()?;
        }
        Ok(())
    }

    /// What it takes as far as it was read; all of it once all bytes were.
    pub fn cost(&self) -> Cost {
        self.cost
    }

    fn frame(&mut self) -> &mut Frame {
        self.frames.last_mut().expect("the outermost frame is never left")
    }

    fn advance(&mut self, bytes: usize) -> Result<(), Malformed> {
        self.at += bytes;
        if self.at > self.frame().end { Err(Malformed) } else { Ok(()) }
    }

    /// Leaves the messages that end here.
    fn leave(&mut self) -> Result<(), Malformed> {
        while self.at == self.frame().end {
            if !matches!(self.state, State::Tag(Varint { shift: 0, .. })) {
                return Err(Malformed);
            }
            if self.frames.len() == 1 {
                break;
            }
            if self.frames.pop().is_some_and(|frame| frame.shape.is_none()) {
                return Err(Malformed);
            }
        }
        Ok(())
    }

    fn take(&mut self, byte: u8) -> Result<(), Malformed> {
        match &mut self.state {
            State::Tag(varint) => {
                let Some(tag) = varint.push(byte)? else { return Ok(()) };
                let tag = u32::try_from(tag).map_err(|_| Malformed)?;
                self.begin_field(tag >> 3, tag & 7)
            }
            State::Number(varint) => {
                if varint.push(byte)?.is_some() {
                    self.state = State::Tag(Varint::default());
                }
                Ok(())
            }
            State::Length(number, varint) => {
                let number = *number;
                let Some(length) = varint.push(byte)? else { return Ok(()) };
                let length = usize::try_from(length).map_err(|_| Malformed)?;
                self.begin_contents(number, length)
            }
            State::Skip(_) => Ok(()),
        }
    }

    fn begin_field(&mut self, number: u32, wire_type: u32) -> Result<(), Malformed> {
        if number == 0 {
            return Err(Malformed);
        }
        self.state = match wire_type {
            0 => State::Number(Varint::default()),
            1 => self.skip(8)?,
            2 => State::Length(number, Varint::default()),
            5 => self.skip(4)?,
            3 => {
                let end = self.frame().end;
                self.enter(None, end)?;
                State::Tag(Varint::default())
            }
            4 if self.frame().shape.is_none() => {
                self.frames.pop();
                State::Tag(Varint::default())
            }
            _ => return Err(Malformed),
        };
        if wire_type != 2 && matches!(self.kind(number), Some((Kind::Numbers, _))) {
            self.count(number, 1, NUMBER_BYTES);
        }
        Ok(())
    }

    fn begin_contents(&mut self, number: u32, length: usize) -> Result<(), Malformed> {
        let skip = self.skip(length)?;
        let end = self.at + length;
        let inner = match self.kind(number) {
            Some((Kind::Message(shape), _)) => Some(*shape),
            Some((Kind::Messages { shape, item_bytes }, _)) => {
                self.count(number, 1, *item_bytes);
                Some(*shape)
            }
            Some((Kind::Text, _)) => {
                self.cost.decoded_bytes += length + ALLOCATION_BYTES;
                None
            }
            Some((Kind::Numbers, _)) => {
                // Each has a byte at least.
                self.count(number, length, NUMBER_BYTES);
                None
            }
            None => None,
        };
        self.state = skip;
        if inner.is_some() && length > 0 {
            self.enter(inner, end)?;
            self.state = State::Tag(Varint::default());
        }
        Ok(())
    }

    fn enter(&mut self, shape: Option<&'static Shape>, end: usize) -> Result<(), Malformed> {
        if self.frames.len() > DEPTH_MAX {
            return Err(Malformed);
        }
        self.frames.push(Frame { shape, end, lists: 0 });
        Ok(())
    }

    /// So much will be skipped, if it is within the message.
    fn skip(&mut self, bytes: usize) -> Result<State, Malformed> {
        let left = self.frame().end - self.at;
        match bytes {
            0 => Ok(State::Tag(Varint::default())),
            _ if bytes > left => Err(Malformed),
            _ => Ok(State::Skip(bytes)),
        }
    }

    /// What a field of the present message is, and its place among those that are known.
    fn kind(&mut self, number: u32) -> Option<(&'static Kind, usize)> {
        let fields = self.frame().shape?.0;
        let place = fields.iter().position(|(known, _)| *known == number)?;
        Some((&fields[place].1, place))
    }

    fn count(&mut self, number: u32, items: usize, item_bytes: usize) {
        let bit = self.kind(number).map_or(0, |(_, place)| 1 << (place % 64));
        let frame = self.frame();
        let first = frame.lists & bit == 0;
        frame.lists |= bit;
        self.cost.elements += items;
        self.cost.decoded_bytes += LIST_GROWTH * items * item_bytes;
        if first && items > 0 {
            self.cost.decoded_bytes += item_bytes + ALLOCATION_BYTES;
        }
    }
}

#[cfg(test)]
mod tests;
