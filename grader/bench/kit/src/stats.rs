//! Order statistics: they ask nothing of how noise is distributed, and noise of a busy machine is not
//! normal.

/// A value and the interval in which it lies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounded {
    /// The median.
    pub median: f64,
    /// The lower bound.
    pub low: f64,
    /// The upper bound.
    pub high: f64,
}

impl Bounded {
    /// The median of `values` with the interval that holds the true median in 95 of 100 such samples:
    /// from one order statistic to another, whose ranks come from the binomial distribution's normal
    /// approximation. Below six values it is all of them.
    ///
    /// All zero without values.
    #[must_use]
    pub fn of(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let Some(last) = sorted.len().checked_sub(1) else {
            return Self { median: 0.0, low: 0.0, high: 0.0 };
        };
        let count = sorted.len() as f64;
        let spread = 1.96 * count.sqrt();
        // Ranks count from 1.
        let low = ((count - spread) / 2.0).floor().max(1.0) as usize - 1;
        let high = ((count + spread) / 2.0 + 1.0).ceil() as usize - 1;
        Self { median: middle(&sorted), low: sorted[low], high: sorted[high.min(last)] }
    }

    /// Whether the interval leaves open which of two things is the larger one: it holds 1.
    #[must_use]
    pub fn is_undecided(&self) -> bool {
        self.low <= 1.0 && self.high >= 1.0
    }
}

fn middle(sorted: &[f64]) -> f64 {
    let half = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[half] } else { f64::midpoint(sorted[half - 1], sorted[half]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_lies_between() {
        assert_eq!(Bounded::of(&[4.0, 1.0, 3.0, 2.0]).median, 2.5);
    }

    #[test]
    fn few_values_bound_themselves() {
        let all = Bounded::of(&[3.0, 1.0, 2.0]);
        assert_eq!((all.low, all.median, all.high), (1.0, 2.0, 3.0));
        assert_eq!(Bounded::of(&[]).median, 0.0);
    }

    #[test]
    fn takes_the_ranks_of_the_binomial_distribution() {
        // For 100 values: the 40th and the 61st.
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        let bounds = Bounded::of(&values);
        assert_eq!((bounds.low, bounds.median, bounds.high), (40.0, 50.5, 61.0));
    }

    #[test]
    fn one_outlier_moves_nothing() {
        let mut values = vec![1.0; 30];
        values.push(1000.0);
        assert_eq!(Bounded::of(&values), Bounded { median: 1.0, low: 1.0, high: 1.0 });
    }
}
