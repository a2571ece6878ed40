//! What can be made to go wrong.

use std::str::FromStr;

use crate::{alter::Mischief, ledger::FalseAnswer, picker::Alteration, tcp::Hardship};

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
    /// All readers: an offset behind a batch stays empty, and later offsets are renumbered.
    GapOnRead,
    /// All readers: a value is replaced by one that no producer of the run wrote.
    ForeignOnRead,
    /// The second reader misses a batch: its offsets jump.
    SkipForOne,
    /// The second reader gets a batch again at once.
    RepeatForOne,
    /// The second reader gets two batches in the other order, their offsets renumbered.
    SwapForOne,
    /// The end of a log is stated one below where it is.
    EndTooLow,
    /// A batch is appended, and the answer names another request.
    AnswerAstray,
    /// Everything that the service sends comes 50 ms later.
    Delay,
    /// All connections are cut every second.
    Reset,
    /// From time to time nothing passes for two seconds, then all of it.
    Stall,
    /// A batch is appended and answered as one whose outcome will never be known.
    Unknown,
}

/// Where in the proxy a fault takes place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Means {
    /// Everything passes.
    Nothing,
    /// What producers are told.
    Answers(FalseAnswer),
    /// What all readers find otherwise than it is stored.
    Reading(Alteration),
    /// What one reader gets otherwise than the others.
    OneReader(Mischief),
    /// Where logs are said to end.
    Ends,
    /// What befalls connections.
    Connections(Hardship),
}

/// A name that is no fault's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no fault {0:?}; there are: {names}", names = Fault::ALL.map(Fault::name).join(", "))]
pub struct UnknownFault(pub String);

impl Fault {
    /// All of them.
    pub const ALL: [Fault; 20] = [
        Fault::None,
        Fault::AckWithoutAppend,
        Fault::DropOnRead,
        Fault::DoubleOnRead,
        Fault::SwapOnRead,
        Fault::FlipBit,
        Fault::FlipBitRaw,
        Fault::WrongOffset,
        Fault::RefuseButAppend,
        Fault::GapOnRead,
        Fault::ForeignOnRead,
        Fault::SkipForOne,
        Fault::RepeatForOne,
        Fault::SwapForOne,
        Fault::EndTooLow,
        Fault::AnswerAstray,
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
            Fault::GapOnRead => "gap-on-read",
            Fault::ForeignOnRead => "foreign-on-read",
            Fault::SkipForOne => "skip-for-one",
            Fault::RepeatForOne => "repeat-for-one",
            Fault::SwapForOne => "swap-for-one",
            Fault::EndTooLow => "end-too-low",
            Fault::AnswerAstray => "answer-astray",
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
            Fault::GapOnRead => {
                "Every reader finds an offset at which there is nothing, and everything after it stands above the offset \
                 that was acknowledged."
            }
            Fault::ForeignOnRead => {
                "Every reader finds zeros in the place of a value, and the batch's CRC is mended: a record that no producer \
                 of the run wrote, and one that is not there any more."
            }
            Fault::SkipForOne => {
                "The reader whose stream is opened second misses a batch that all others get; its offsets jump over it."
            }
            Fault::RepeatForOne => {
                "The reader whose stream is opened second gets a batch and then the same batch again, at the same offsets."
            }
            Fault::SwapForOne => {
                "The reader whose stream is opened second gets two batches in the other order, renumbered so that offsets \
                 stay dense; all others get them as they are stored."
            }
            Fault::EndTooLow => "Whoever asks for the end of a log is told one less.",
            Fault::AnswerAstray => {
                "A batch is appended, and its acknowledgement carries the number of a request that was never made."
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
            Fault::GapOnRead => &["gap"],
            Fault::ForeignOnRead => &["foreign"],
            Fault::SkipForOne => &["skipped"],
            Fault::RepeatForOne => &["went_back"],
            Fault::SwapForOne => &["readers_disagree"],
            Fault::EndTooLow => &["wrong_end"],
            Fault::AnswerAstray => &["protocol"],
            Fault::None | Fault::Delay | Fault::Reset | Fault::Stall | Fault::Unknown => &[],
        }
    }

    /// Kinds of findings that may come with the expected ones, as their consequence; any other kind is a false alarm.
    pub fn may_follow(self) -> &'static [&'static str] {
        match self {
            Fault::DropOnRead => &["wrong_offset", "wrong_end"],
            Fault::AckWithoutAppend | Fault::DoubleOnRead | Fault::SwapOnRead | Fault::GapOnRead => &["wrong_offset"],
            // What cannot be read as what was sent may also be counted as missing.
            Fault::FlipBit | Fault::FlipBitRaw | Fault::ForeignOnRead => &["lost"],
            Fault::SkipForOne => &["gap", "readers_disagree", "lost"],
            // The two may be one producer's; the first of them is never shown where the log ends with it.
            Fault::SwapForOne => &["wrong_offset", "reordered", "skipped"],
            Fault::None
            | Fault::WrongOffset
            | Fault::RefuseButAppend
            | Fault::RepeatForOne
            | Fault::EndTooLow
            | Fault::AnswerAstray
            | Fault::Delay
            | Fault::Reset
            | Fault::Stall
            | Fault::Unknown => &[],
        }
    }

    /// Where it takes place.
    pub(crate) fn means(self) -> Means {
        match self {
            Fault::None => Means::Nothing,
            Fault::AckWithoutAppend => Means::Answers(FalseAnswer::Withheld),
            Fault::WrongOffset => Means::Answers(FalseAnswer::WrongOffset),
            Fault::RefuseButAppend => Means::Answers(FalseAnswer::Refused),
            Fault::Unknown => Means::Answers(FalseAnswer::NeverKnown),
            Fault::AnswerAstray => Means::Answers(FalseAnswer::Astray),
            Fault::DropOnRead => Means::Reading(Alteration::Drop),
            Fault::DoubleOnRead => Means::Reading(Alteration::Double),
            Fault::SwapOnRead => Means::Reading(Alteration::Swap),
            Fault::FlipBit => Means::Reading(Alteration::Flip { mend: true }),
            Fault::FlipBitRaw => Means::Reading(Alteration::Flip { mend: false }),
            Fault::GapOnRead => Means::Reading(Alteration::Gap),
            Fault::ForeignOnRead => Means::Reading(Alteration::Foreign),
            Fault::SkipForOne => Means::OneReader(Mischief::Skip),
            Fault::RepeatForOne => Means::OneReader(Mischief::Repeat),
            Fault::SwapForOne => Means::OneReader(Mischief::Swap),
            Fault::EndTooLow => Means::Ends,
            Fault::Delay => Means::Connections(Hardship::Delay),
            Fault::Reset => Means::Connections(Hardship::Reset),
            Fault::Stall => Means::Connections(Hardship::Stall),
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
