//! Offsets as they are stored and as they are shown: a pure mapping, monotone in both directions.
//!
//! Where a batch is left out or doubled, every offset above it moves. What happens to a log is a row of spans: of stored
//! offsets `lo..hi`, shown as `shown` offsets. Between the spans both numberings run side by side.

/// A stretch of whole batches that the fault befalls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    /// The first stored offset.
    pub lo: i64,
    /// The stored offset after the last one.
    pub hi: i64,
    /// How many offsets it has for readers.
    pub shown: i64,
}

impl Span {
    fn growth(&self) -> i64 {
        self.shown - (self.hi - self.lo)
    }
}

/// The spans of one partition, as far as it has been surveyed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Renumbering {
    /// Rising, without overlap.
    spans: Vec<Span>,
}

impl Renumbering {
    /// Adds a span, which lies above all others.
    pub fn push(&mut self, span: Span) {
        debug_assert!(span.lo < span.hi && span.shown >= 0);
        debug_assert!(self.spans.last().is_none_or(|last| last.hi <= span.lo));
        self.spans.push(span);
    }

    /// The span that a stored offset lies in.
    pub fn span_of(&self, stored: i64) -> Option<Span> {
        self.spans.iter().copied().find(|span| (span.lo..span.hi).contains(&stored))
    }

    /// How far offsets above the spans that end at or below a stored offset have moved.
    fn shift(&self, stored: i64) -> i64 {
        self.spans.iter().take_while(|span| span.hi <= stored).map(Span::growth).sum()
    }

    /// Where a stored offset is shown; what is left out is shown where the next one is.
    pub fn to_shown(&self, stored: i64) -> i64 {
        let inside = self.span_of(stored).map_or(0, |span| (stored - span.lo - span.shown).max(0));
        stored - inside + self.shift(stored)
    }

    /// Where a stored end of a log is shown: an end amid a span is the span's beginning, because only a whole span can be
    /// shown.
    pub fn to_shown_end(&self, stored: i64) -> i64 {
        self.to_shown(self.span_of(stored).map_or(stored, |span| span.lo))
    }

    /// From where on stored batches are needed to show what begins at an offset: inside of a span, from its beginning on.
    pub fn to_stored(&self, shown: i64) -> i64 {
        let mut shift = 0;
        for span in &self.spans {
            let shown_lo = span.lo + shift;
            if shown < shown_lo {
                break;
            }
            if shown < shown_lo + span.shown {
                return span.lo;
            }
            shift += span.growth();
        }
        shown - shift
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn renumbering(spans: &[(i64, i64, i64)]) -> Renumbering {
        let mut renumbering = Renumbering::default();
        for &(lo, hi, shown) in spans {
            renumbering.push(Span { lo, hi, shown });
        }
        renumbering
    }

    #[test]
    fn without_spans_nothing_moves() {
        let none = Renumbering::default();
        for offset in [0, 1, 1 << 40] {
            assert_eq!(
                (none.to_shown(offset), none.to_shown_end(offset), none.to_stored(offset)),
                (offset, offset, offset)
            );
        }
    }

    #[test]
    fn what_is_left_out_closes_up() {
        let dropped = renumbering(&[(10, 13, 0), (20, 25, 0)]);
        let shown = [(9, 9), (10, 10), (11, 10), (12, 10), (13, 10), (19, 16), (20, 17), (24, 17), (25, 17), (26, 18)];
        for (stored, shown) in shown {
            assert_eq!(dropped.to_shown(stored), shown, "{stored}");
        }
        let stored = [(9, 9), (10, 13), (16, 19), (17, 25), (18, 26)];
        for (shown, stored) in stored {
            assert_eq!(dropped.to_stored(shown), stored, "{shown}");
        }
    }

    #[test]
    fn two_that_follow_each_other_are_both_left_out() {
        let dropped = renumbering(&[(10, 13, 0), (13, 15, 0)]);
        assert_eq!((dropped.to_stored(9), dropped.to_stored(10)), (9, 15));
        assert_eq!((dropped.to_shown(13), dropped.to_shown(15)), (10, 10));
    }

    #[test]
    fn what_is_doubled_moves_the_rest_up() {
        let doubled = renumbering(&[(10, 13, 6)]);
        for (stored, shown) in [(10, 10), (12, 12), (13, 16), (20, 23)] {
            assert_eq!(doubled.to_shown(stored), shown, "{stored}");
        }
        // The second copy needs the batch as much as the first.
        for (shown, stored) in [(9, 9), (10, 10), (13, 10), (15, 10), (16, 13), (17, 14)] {
            assert_eq!(doubled.to_stored(shown), stored, "{shown}");
        }
    }

    #[test]
    fn what_is_swapped_keeps_its_place_and_is_shown_whole() {
        let swapped = renumbering(&[(10, 16, 6)]);
        for (shown, stored) in [(9, 9), (10, 10), (13, 10), (15, 10), (16, 16)] {
            assert_eq!(swapped.to_stored(shown), stored, "{shown}");
        }
        for (end, shown) in [(10, 10), (13, 10), (15, 10), (16, 16), (17, 17)] {
            assert_eq!(swapped.to_shown_end(end), shown, "{end}");
        }
    }

    /// Every way to lay up to three spans of each kind into a short log.
    fn layouts() -> Vec<Renumbering> {
        let mut layouts = vec![Vec::new()];
        for start in [0, 3, 6] {
            for mut layout in layouts.clone() {
                for (length, shown) in [(1, 0), (3, 0), (1, 2), (3, 6), (3, 3), (1, 1)] {
                    layout.push((start, start + length, shown));
                    layouts.push(layout.clone());
                    layout.pop();
                }
            }
        }
        layouts.iter().map(|layout| renumbering(layout)).collect()
    }

    #[test]
    fn both_directions_are_monotone_and_agree() {
        for layout in layouts() {
            for offset in 0..20 {
                assert!(layout.to_shown(offset) <= layout.to_shown(offset + 1), "{layout:?} {offset}");
                assert!(layout.to_shown_end(offset) <= layout.to_shown_end(offset + 1), "{layout:?} {offset}");
                assert!(layout.to_stored(offset) <= layout.to_stored(offset + 1), "{layout:?} {offset}");
                // Whoever asks for a shown offset gets batches that begin at or below it, and nothing is skipped.
                let from = layout.to_stored(offset);
                assert!(layout.to_shown(from) <= offset, "{layout:?} {offset}");
                assert!(offset < layout.to_shown(from) + 6, "{layout:?} {offset}");
                // Outside of spans the way leads back.
                if layout.span_of(offset).is_none() {
                    assert_eq!(layout.to_stored(layout.to_shown(offset)), offset, "{layout:?} {offset}");
                }
            }
        }
    }
}
