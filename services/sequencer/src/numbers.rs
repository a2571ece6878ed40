//! Numbers that are given once: incarnations, producer ids, topic numbers. They are taken in durable blocks, so that
//! most of them cost no write.

/// A block of numbers. Those below `end` are taken as far as the store knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    next: u64,
    end: u64,
    size: u64,
}

impl Block {
    /// Goes on where the store says that no block has been. What an earlier term left of its last block is lost.
    pub fn starting_at(first_free: u64, size: u64) -> Self {
        assert!(size > 0, "a block gives at least one number");
        Self { next: first_free, end: first_free, size }
    }

    /// The lowest number that was not given away yet, in this term or before it.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// The next number. With it, where it is the first of a new block, the end of that block: to be durable before the
    /// number is given away.
    pub fn take(&mut self) -> (u64, Option<u64>) {
        let number = self.next;
        self.next += 1;
        if number < self.end {
            return (number, None);
        }
        self.end += self.size;
        (number, Some(self.end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_is_given_twice_across_terms() {
        let mut given = Vec::new();
        let mut durable = 1;
        for numbers_of_the_term in [1, 3, 4, 9, 0, 2] {
            let mut block = Block::starting_at(durable, 4);
            for _ in 0..numbers_of_the_term {
                let (number, end) = block.take();
                durable = end.unwrap_or(durable);
                assert!(number < durable, "it is covered by what the store knows");
                given.push(number);
            }
        }
        assert!(given.windows(2).all(|pair| pair[0] < pair[1]), "{given:?}");
    }

    #[test]
    fn most_numbers_cost_no_write() {
        let mut block = Block::starting_at(7, 100);
        assert_eq!((0..250).filter_map(|_| block.take().1).collect::<Vec<_>>(), [107, 207, 307]);
    }
}
