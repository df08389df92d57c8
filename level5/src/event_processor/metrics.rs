//! The figures of a processor: what it has done, and how long that took.

use std::time::Duration;

use crate::priority_queue::Priority;

/// The figures of a processor at one moment.
///
/// At every moment `accepted == delivered + dead + left_in_journal + pending()`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Metrics {
    /// Events that were accepted, including those that the journal held at the start.
    pub accepted: u64,
    /// Events that their services have acknowledged.
    pub delivered: u64,
    /// Dead letters that the processor has now.
    pub dead: u64,
    /// Events that died when there was no room for another dead letter. Only the journal has them; the next processor
    /// that starts with it sends them again.
    pub left_in_journal: u64,
    /// Events that have not ended, by priority, that of [`Priority::Low`] first. An event is here while it waits for
    /// its turn, for an earlier one of its key or for another attempt, and while it is under way.
    pub backlog: [u64; 4],
    /// Batches that were sent and have ended, with an answer or at their time limit.
    pub sends: u64,
    /// Batches among [`sends`](Self::sends) that ended with an error and no acknowledgements.
    pub failed_sends: u64,
    /// How long the delivered events took.
    pub latency: Latency,
}

impl Metrics {
    /// How many events have not ended.
    #[must_use]
    pub fn pending(&self) -> u64 {
        self.backlog.iter().sum()
    }

    /// The share of the sends that failed, from 0 to 1. It is 0 before the first send.
    #[must_use]
    pub fn error_rate(&self) -> f64 {
        if self.sends == 0 { 0.0 } else { self.failed_sends as f64 / self.sends as f64 }
    }

    pub(super) const fn backlog_of(&mut self, priority: Priority) -> &mut u64 {
        &mut self.backlog[priority as usize]
    }
}

/// The time from the acceptance of an event to its acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Latency {
    /// The mean of all delivered events.
    pub mean: Duration,
    /// 99 of 100 events took at most this time. It is at most 4 % longer than the exact figure.
    pub p99: Duration,
}

/// How many events took how long. Its size is fixed, however many events there were: a list of all times would grow
/// without a bound.
///
/// Times are grouped in whole milliseconds: below 32 ms each has its own group; from there on each doubling is divided
/// into 32 groups, so that the upper end of a group is at most 1/32 above each of its times.
#[derive(Debug, Clone)]
pub(super) struct Histogram {
    /// The number of events of each group.
    groups: Box<[u64]>,
    /// The sum of `groups`, kept so that no reader has to add them up.
    count: u64,
    /// For the mean, which is exact: the groups round up.
    total: Duration,
}

/// 2^5 groups for each doubling.
const BITS: u32 = 5;

impl Histogram {
    pub(super) fn new() -> Self {
        // One for every time that a `u64` can hold, so `add` needs no check: 1920 groups, 15 KB.
        let groups = group(u64::MAX) + 1;
        Self { groups: vec![0; groups].into(), count: 0, total: Duration::ZERO }
    }

    pub(super) fn add(&mut self, time: Duration) {
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.groups[group(millis)] += 1;
        self.count += 1;
        self.total = self.total.saturating_add(time);
    }

    pub(super) fn latency(&self) -> Latency {
        if self.count == 0 {
            return Latency::default();
        }
        // Rounded up: of 10 events, 99 % are all of them.
        let needed = self.count - self.count / 100;
        // The groups are in the order of their times: the first one up to which enough events are seen has the figure.
        let mut seen = 0;
        let reaches = |count: &u64| {
            seen += count;
            seen >= needed
        };
        let index = self.groups.iter().position(reaches).unwrap_or(self.groups.len() - 1);
        let mean = Duration::from_secs_f64(self.total.as_secs_f64() / self.count as f64);
        Latency { mean, p99: Duration::from_millis(upper_end(index)) }
    }
}

/// The group of a time.
const fn group(millis: u64) -> usize {
    // The leading `BITS + 1` bits of a time name its group, and `shift` is the number of bits that are cut off behind
    // them. From 32 ms on the first of the leading bits is 1. It adds 32 to the index, so that the groups of one shift
    // begin where those of the shift before end.
    let shift = (u64::BITS - millis.leading_zeros()).saturating_sub(BITS + 1);
    ((shift as usize) << BITS) + (millis >> shift) as usize
}

/// The longest time of a group.
const fn upper_end(group: usize) -> u64 {
    // The leading 1 has added one to the upper bits of the index. Below 32 ms there is none.
    let shift = (group >> BITS).saturating_sub(1);
    let first = (group - (shift << BITS)) as u64;
    (first << shift) | ((1 << shift) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_narrow_and_without_gaps() {
        let mut last = 0;
        for millis in (0..5000).chain([1 << 40, (1 << 40) + 1, u64::MAX - 1, u64::MAX]) {
            let index = group(millis);
            assert!(index >= last && (index <= last + 1 || millis > 5000), "{millis}");
            assert!(group(upper_end(index)) == index && upper_end(index) >= millis, "{millis}");
            assert!(upper_end(index) - millis <= millis / 32, "{millis}");
            last = index;
        }
    }

    #[test]
    fn the_ninety_ninth_of_a_hundred() {
        let mut histogram = Histogram::new();
        (1..=100).for_each(|millis| histogram.add(Duration::from_millis(millis * 10)));
        let latency = histogram.latency();
        assert_eq!(latency.mean, Duration::from_millis(505));
        assert!((990..=1021).contains(&latency.p99.as_millis()), "{latency:?}");
    }
}
