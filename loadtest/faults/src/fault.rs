//! What can be made to go wrong.

use std::str::FromStr;

use crate::{ledger::FalseAnswer, picker::Alteration, tcp::Hardship};

/// A promise that the proxy breaks, or a hardship that breaks none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Everything passes as it is.
    None,
    /// A batch is not forwarded and yet acknowledged.
    AckWithoutAppend,
    /// All readers: a stored batch is left out, and later offsets are renumbered so that they stay dense.
    DropOnRead,
    /// All readers: a stored batch comes twice, and later offsets are renumbered.
    DoubleOnRead,
    /// All readers: two batches of one producer change places.
    SwapOnRead,
    /// All readers: a bit of a value is flipped, and the batch's CRC is mended.
    FlipBit,
    /// All readers: a bit of a value is flipped, and the batch's CRC is left as it was.
    FlipBitRaw,
    /// An acknowledgement carries its offset plus one.
    WrongOffset,
    /// A batch is appended and yet answered as definitely failed.
    RefuseButAppend,
    /// The second reader misses a batch: its offsets jump.
    SkipForOne,
    /// Everything that the service sends comes 50 ms later.
    Delay,
    /// All connections are cut every second.
    Reset,
    /// From time to time nothing passes for two seconds, then all of it.
    Stall,
    /// A batch is appended and answered as one whose outcome will never be known.
    Unknown,
}

/// A name that is no fault's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no fault {0:?}; there are: {names}", names = Fault::ALL.map(Fault::name).join(", "))]
pub struct UnknownFault(pub String);

impl Fault {
    /// All of them.
    pub const ALL: [Fault; 14] = [
        Fault::None,
        Fault::AckWithoutAppend,
        Fault::DropOnRead,
        Fault::DoubleOnRead,
        Fault::SwapOnRead,
        Fault::FlipBit,
        Fault::FlipBitRaw,
        Fault::WrongOffset,
        Fault::RefuseButAppend,
        Fault::SkipForOne,
        Fault::Delay,
        Fault::Reset,
        Fault::Stall,
        Fault::Unknown,
    ];

    /// As it is written on a command line: in kebab case.
    pub fn name(self) -> &'static str {
        match self {
            Fault::None => "none",
            Fault::AckWithoutAppend => "ack-without-append",
            Fault::DropOnRead => "drop-on-read",
            Fault::DoubleOnRead => "double-on-read",
            Fault::SwapOnRead => "swap-on-read",
            Fault::FlipBit => "flip-bit",
            Fault::FlipBitRaw => "flip-bit-raw",
            Fault::WrongOffset => "wrong-offset",
            Fault::RefuseButAppend => "refuse-but-append",
            Fault::SkipForOne => "skip-for-one",
            Fault::Delay => "delay",
            Fault::Reset => "reset",
            Fault::Stall => "stall",
            Fault::Unknown => "unknown",
        }
    }

    /// What it does and what follows, in a sentence or two.
    pub fn about(self) -> &'static str {
        match self {
            Fault::None => "Everything passes as it is.",
            Fault::AckWithoutAppend => {
                "A batch is not forwarded and yet acknowledged, at the offset that the next batch really gets: the two \
                 acknowledgements contradict each other, and the batch is lost. Later sequences of its producer close up, \
                 so that the service finds no gap."
            }
            Fault::DropOnRead => {
                "Every reader misses a stored batch, and later offsets are renumbered so that they stay dense: the batch \
                 is lost, and everything after it stands below the offset that was acknowledged."
            }
            Fault::DoubleOnRead => {
                "Every reader gets a stored batch twice, and later offsets are renumbered: the batch is duplicated, and \
                 everything after it stands above the offset that was acknowledged."
            }
            Fault::SwapOnRead => {
                "Two batches of one producer change places for every reader: they are reordered, and they stand at \
                 other offsets than were acknowledged."
            }
            Fault::FlipBit => "A bit of a value is flipped for every reader, and the batch's CRC is mended.",
            Fault::FlipBitRaw => "A bit of a value is flipped for every reader, and the batch's CRC does not match.",
            Fault::WrongOffset => "An acknowledgement carries its offset plus one.",
            Fault::RefuseButAppend => "A batch is appended and yet answered as definitely not appended.",
            Fault::SkipForOne => {
                "The reader whose stream is opened second misses a batch that all others get; its offsets jump over it."
            }
            Fault::Delay => "Everything that the service sends comes 50 ms later; nothing is wrong.",
            Fault::Reset => "All connections are cut every second; nothing is wrong.",
            Fault::Stall => {
                "For two seconds of every ten nothing passes in either direction, then all of it; nothing is wrong."
            }
            Fault::Unknown => {
                "A batch is appended and answered as one whose outcome is not known any more; nothing is wrong."
            }
        }
    }

    /// Kinds of findings that a run behind it must have; empty: the run must pass.
    pub fn expected(self) -> &'static [&'static str] {
        match self {
            Fault::AckWithoutAppend | Fault::DropOnRead => &["lost"],
            Fault::DoubleOnRead => &["duplicated"],
            Fault::SwapOnRead => &["reordered"],
            Fault::FlipBit | Fault::FlipBitRaw => &["corrupted"],
            Fault::WrongOffset => &["wrong_offset"],
            Fault::RefuseButAppend => &["visible_though_failed"],
            Fault::SkipForOne => &["skipped"],
            Fault::None | Fault::Delay | Fault::Reset | Fault::Stall | Fault::Unknown => &[],
        }
    }

    /// Kinds of findings that may come with the expected ones, as their consequence; any other kind is a false alarm.
    pub fn may_follow(self) -> &'static [&'static str] {
        match self {
            Fault::DropOnRead => &["wrong_offset", "wrong_end"],
            Fault::AckWithoutAppend | Fault::DoubleOnRead | Fault::SwapOnRead => &["wrong_offset"],
            // What cannot be read as what was sent may also be counted as missing.
            Fault::FlipBit | Fault::FlipBitRaw => &["lost"],
            Fault::SkipForOne => &["gap", "readers_disagree", "lost"],
            Fault::None
            | Fault::WrongOffset
            | Fault::RefuseButAppend
            | Fault::Delay
            | Fault::Reset
            | Fault::Stall
            | Fault::Unknown => &[],
        }
    }

    /// What producers are told.
    pub(crate) fn false_answer(self) -> Option<FalseAnswer> {
        match self {
            Fault::AckWithoutAppend => Some(FalseAnswer::Withheld),
            Fault::WrongOffset => Some(FalseAnswer::WrongOffset),
            Fault::RefuseButAppend => Some(FalseAnswer::Refused),
            Fault::Unknown => Some(FalseAnswer::NeverKnown),
            Fault::None
            | Fault::DropOnRead
            | Fault::DoubleOnRead
            | Fault::SwapOnRead
            | Fault::FlipBit
            | Fault::FlipBitRaw
            | Fault::SkipForOne
            | Fault::Delay
            | Fault::Reset
            | Fault::Stall => None,
        }
    }

    /// What readers find otherwise than it is stored.
    pub(crate) fn alteration(self) -> Option<Alteration> {
        match self {
            Fault::DropOnRead => Some(Alteration::Drop),
            Fault::DoubleOnRead => Some(Alteration::Double),
            Fault::SwapOnRead => Some(Alteration::Swap),
            Fault::FlipBit => Some(Alteration::Flip { mend: true }),
            Fault::FlipBitRaw => Some(Alteration::Flip { mend: false }),
            Fault::None
            | Fault::AckWithoutAppend
            | Fault::WrongOffset
            | Fault::RefuseButAppend
            | Fault::SkipForOne
            | Fault::Delay
            | Fault::Reset
            | Fault::Stall
            | Fault::Unknown => None,
        }
    }

    /// What befalls connections.
    pub(crate) fn hardship(self) -> Option<Hardship> {
        match self {
            Fault::Delay => Some(Hardship::Delay),
            Fault::Reset => Some(Hardship::Reset),
            Fault::Stall => Some(Hardship::Stall),
            Fault::None
            | Fault::AckWithoutAppend
            | Fault::DropOnRead
            | Fault::DoubleOnRead
            | Fault::SwapOnRead
            | Fault::FlipBit
            | Fault::FlipBitRaw
            | Fault::WrongOffset
            | Fault::RefuseButAppend
            | Fault::SkipForOne
            | Fault::Unknown => None,
        }
    }
}

impl FromStr for Fault {
    type Err = UnknownFault;

    fn from_str(name: &str) -> Result<Self, UnknownFault> {
        Fault::ALL.into_iter().find(|fault| fault.name() == name).ok_or_else(|| UnknownFault(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_others_are_refused_with_the_list() {
        for fault in Fault::ALL {
            assert_eq!(fault.name().parse(), Ok(fault));
        }
        let refusal = "drop".parse::<Fault>().unwrap_err().to_string();
        assert!(refusal.contains("\"drop\"") && refusal.contains("drop-on-read, "), "{refusal}");
    }
}
