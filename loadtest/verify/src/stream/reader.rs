//! One reader's way through the log.

use super::{
    Kind, Start,
    blocks::{BLOCK_OFFSETS, Blocks, Differ, Passing},
    findings::{Findings, offsets, seconds},
    intervals::{Budget, Intervals},
    lane::View,
};

/// A reader that has not left.
#[derive(Debug)]
pub(super) struct Reader {
    pub name: String,
    /// The first offset that it got or should have got; `None` before it got any when it may begin anywhere.
    pub low: Option<i64>,
    /// What it has to get next.
    pub next: i64,
    /// One above the highest offset that it got. Below it, it reads again.
    pub high: i64,
    /// It began at the log's first offset, so every lane has to begin at 0.
    pub from_start: bool,
    /// Offsets that it got, but for the stretch from `stretch` to `high`.
    pub covered: Intervals,
    pub stretch: i64,
    /// Offsets that it was not given though it got higher ones.
    pub jumped: Intervals,
    /// Lanes by their place in the judge.
    pub views: Vec<View>,
    /// The lane of the last record: records of one producer come in long stretches.
    pub last_lane: Option<(u32, usize)>,
    /// Counts its repeated readings.
    pub pass: u32,
    main: Passing,
    again: Option<Passing>,
    /// Records of which it got damaged bytes.
    pub damaged: u64,
    /// The same in its repeated reading, as far as they do not explain a record yet that it missed there.
    pub damaged_again: u64,
}

/// How a record came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Came {
    /// Above all that the reader got before.
    New,
    /// Once more, because the reader had asked for it.
    Again,
    /// Once more though it had not asked.
    Unasked,
    /// Too late: the reader had got higher offsets already.
    Late,
}

impl Reader {
    pub fn new(name: &str, start: Start, blocks: &Blocks) -> Self {
        let low = (start == Start::Earliest).then_some(0);
        Self {
            name: name.to_owned(),
            low,
            next: 0,
            high: 0,
            from_start: low.is_some(),
            covered: Intervals::default(),
            stretch: 0,
            jumped: Intervals::default(),
            views: Vec::new(),
            last_lane: None,
            pass: 0,
            main: Passing::new(0, blocks),
            again: None,
            damaged: 0,
            damaged_again: 0,
        }
    }

    /// Begins anew at an offset, without any memory. The sets must have been released.
    pub fn begin(&mut self, offset: i64, blocks: &Blocks) {
        let name = std::mem::take(&mut self.name);
        *self = Self::new(&name, Start::Anywhere, blocks);
        self.low = Some(offset);
        (self.next, self.high, self.stretch) = (offset, offset, offset);
        self.main = Passing::new(offset, blocks);
    }

    /// Whether it may continue there and keep what it knows: it reads again, or goes on where it stopped.
    pub fn knows(&self, offset: i64) -> bool {
        self.low.is_some_and(|low| (low..=self.high).contains(&offset))
    }

    /// Continues at an offset that it [knows](Self::knows).
    pub fn go_back(&mut self, offset: i64, blocks: &Blocks) {
        self.next = offset;
        self.pass += 1;
        self.damaged_again = 0;
        self.again = (offset < self.high).then(|| Passing::new(offset, blocks));
    }

    /// Takes the next offset.
    #[inline]
    pub fn take(&mut self, offset: i64, gaps: bool, at_ns: u64, judge: &mut Surroundings<'_>) -> Came {
        if offset != self.next || self.low.is_none() {
            return self.take_other(offset, gaps, at_ns, judge);
        }
        self.next += 1;
        if offset < self.high {
            return Came::Again;
        }
        self.high = self.next;
        Came::New
    }

    /// It got an offset when it read again. If it was not given it before, it is a skip that the reader got over.
    #[cold]
    pub fn given_at_last(&mut self, offset: i64, judge: &mut Surroundings<'_>) {
        let place = offset.cast_unsigned();
        if self.jumped.contains(place) {
            judge.budget.remove(&mut self.jumped, place, place + 1);
            judge.cover(&mut self.covered, offset, offset + 1);
            judge.findings.note(Kind::Skipped, 1, || {
                format!("{} was given offset {offset} only when it read a second time", self.name)
            });
        }
    }

    /// Adds what stands there to the sums.
    #[inline]
    pub fn add(&mut self, came: Came, offset: i64, mixed: u64, judge: &mut Surroundings<'_>) {
        match came {
            Came::New => {
                if self.again.is_some() {
                    self.caught_up(judge);
                }
                if let Some(differ) = self.main.add(offset, mixed, judge.blocks) {
                    self.disagrees(differ, judge.findings);
                }
            }
            Came::Again => {
                if let Some(again) = &mut self.again
                    && let Some(differ) = again.add(offset, mixed, judge.blocks)
                {
                    self.disagrees(differ, judge.findings);
                }
            }
            Came::Unasked | Came::Late => {}
        }
    }

    /// Damaged bytes: what the reader got in this block says nothing about the log.
    pub fn spoil(&mut self, came: Came) {
        match (came, &mut self.again) {
            (Came::Again, Some(again)) => again.spoil(),
            _ => self.main.spoil(),
        }
    }

    /// It stops here, for good or to begin elsewhere.
    pub fn settle(&mut self, judge: &mut Surroundings<'_>) {
        if self.low.is_none() {
            return;
        }
        if self.next == self.high {
            self.caught_up(judge);
        }
        if let Some(differ) = self.main.settle(judge.blocks) {
            self.disagrees(differ, judge.findings);
        }
        self.close_stretch(judge);
    }

    /// Another reader has stopped.
    pub fn look(&mut self, blocks: &Blocks) {
        self.main.look(blocks);
        if let Some(again) = &mut self.again {
            again.look(blocks);
        }
    }

    pub fn view(&mut self, lane: usize) -> &mut View {
        if lane >= self.views.len() {
            self.views.resize_with(lane + 1, View::default);
        }
        &mut self.views[lane]
    }

    pub fn heap_bytes(&self) -> usize {
        let views = self.views.capacity() * size_of::<View>();
        let seen: usize = self.views.iter().map(|view| view.seen.heap_bytes()).sum();
        size_of::<Self>() + self.name.capacity() + self.covered.heap_bytes() + self.jumped.heap_bytes() + views + seen
    }

    #[cold]
    fn take_other(&mut self, offset: i64, gaps: bool, at_ns: u64, judge: &mut Surroundings<'_>) -> Came {
        if self.low.is_none() {
            self.begin(offset, judge.blocks);
            (self.next, self.high) = (offset + 1, offset + 1);
            return Came::New;
        }
        if offset < self.next {
            return self.went_back(offset, at_ns, judge);
        }
        self.jump(offset, gaps, judge);
        self.next = offset + 1;
        if offset < self.high {
            return Came::Again;
        }
        self.high = self.next;
        Came::New
    }

    fn went_back(&mut self, offset: i64, at_ns: u64, judge: &mut Surroundings<'_>) -> Came {
        judge.findings.note(Kind::WentBack, 1, || {
            let (name, next) = (&self.name, self.next);
            format!("{name} got offset {offset} where {next} or a higher one had to follow, after {}", seconds(at_ns))
        });
        let place = offset.cast_unsigned();
        if offset < 0 || !self.jumped.contains(place) {
            return Came::Unasked;
        }
        judge.budget.remove(&mut self.jumped, place, place + 1);
        judge.cover(&mut self.covered, offset, offset + 1);
        Came::Late
    }

    /// Offsets from `next` on are left out.
    fn jump(&mut self, offset: i64, gaps: bool, judge: &mut Surroundings<'_>) {
        if gaps {
            return;
        }
        if self.next < self.high {
            let known = offset.min(self.high);
            // Lanes would miss the same records in this reading: they begin anew.
            self.pass += 1;
            if let Some(again) = &mut self.again {
                again.jump(known, judge.blocks);
            }
            // Those that it was not given the first time either are judged for themselves.
            let never = self.jumped.count_within(self.next.cast_unsigned(), known.cast_unsigned());
            judge.findings.note(Kind::Skipped, known.abs_diff(self.next) - never, || {
                format!("{} was not given {} when it read them again", self.name, offsets(self.next, known))
            });
        }
        let missing = self.next.max(self.high);
        if missing >= offset {
            return;
        }
        self.close_stretch(judge);
        self.stretch = offset;
        judge.jumped(&mut self.jumped, &self.name, missing, offset);
        self.main.jump(offset, judge.blocks);
    }

    fn close_stretch(&mut self, judge: &mut Surroundings<'_>) {
        judge.cover(&mut self.covered, self.stretch, self.high);
        self.stretch = self.high;
    }

    /// A repeated reading has come to where the first one stopped.
    #[cold]
    fn caught_up(&mut self, judge: &mut Surroundings<'_>) {
        let Some(mut again) = self.again.take() else {
            return;
        };
        if let Some(differ) = again.settle_quietly(judge.blocks) {
            self.disagrees(differ, judge.findings);
        }
        if again.agrees(&self.main) == Some(false) {
            let block = again.next.div_euclid(BLOCK_OFFSETS) * BLOCK_OFFSETS;
            self.disagrees(Differ(block, again.next), judge.findings);
        }
    }

    #[cold]
    fn disagrees(&self, Differ(from, to): Differ, findings: &mut Findings) {
        findings.note(Kind::ReadersDisagree, 1, || {
            format!("{} got other records in {} than were read there first", self.name, offsets(from, to))
        });
    }
}

/// What a reader touches of its judge.
pub(super) struct Surroundings<'a> {
    pub blocks: &'a mut Blocks,
    pub budget: &'a mut Budget,
    pub findings: &'a mut Findings,
}

impl Surroundings<'_> {
    /// Adds offsets to those that a reader got.
    pub fn cover(&mut self, covered: &mut Intervals, from: i64, to: i64) {
        if from >= 0 && self.budget.insert(covered, from.cast_unsigned(), to.cast_unsigned()).is_err() {
            self.findings.unchecked("a reader's offsets were too many stretches to keep; some gaps may be skips");
        }
    }

    /// Adds offsets to those that a reader was not given.
    fn jumped(&mut self, jumped: &mut Intervals, name: &str, from: i64, to: i64) {
        if from < 0 || self.budget.insert(jumped, from.cast_unsigned(), to.cast_unsigned()).is_err() {
            self.findings.note(Kind::Gap, from.abs_diff(to), || format!("{name} was not given {}", offsets(from, to)));
        }
    }
}
