//! How a cost grows with a size.

/// The exponent `k` of the power law `cost = c * size^k` that fits best: the slope of a straight line
/// through the logarithms, by least squares. 0 is flat, 1 is proportional.
///
/// None with less than two different sizes. Points that are not positive have no logarithm and are left
/// out.
#[must_use]
pub fn exponent(points: &[(f64, f64)]) -> Option<f64> {
    let logs: Vec<(f64, f64)> = points
        .iter()
        .filter(|(size, cost)| *size > 0.0 && *cost > 0.0)
        .map(|(size, cost)| (size.ln(), cost.ln()))
        .collect();
    let count = logs.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| logs.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let across = logs.iter().map(|point| (point.0 - x).powi(2)).sum::<f64>();
    let along = logs.iter().map(|point| (point.0 - x) * (point.1 - y)).sum::<f64>();
    (across > 0.0).then(|| along / across)
}

/// An exponent as reports show it: `0.09`, and no `-0.00`.
#[must_use]
pub fn text(exponent: f64) -> String {
    // Adding zero makes a zero positive.
    format!("{:.2}", (exponent * 100.0).round() / 100.0 + 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_power() {
        for power in [0.0, 0.5, 1.0, 2.0] {
            let points: Vec<(f64, f64)> =
                [10.0_f64, 100.0, 1000.0].iter().map(|&n| (n, 3.0 * n.powf(power))).collect();
            let found = exponent(&points).expect("three sizes");
            assert!((found - power).abs() < 1e-9, "{found} instead of {power}");
        }
    }

    #[test]
    fn nothing_has_no_sign() {
        assert_eq!(text(-0.003), "0.00");
        assert_eq!((text(-0.034), text(1.0)), ("-0.03".to_owned(), "1.00".to_owned()));
    }

    #[test]
    fn one_size_says_nothing() {
        assert_eq!(exponent(&[(10.0, 1.0), (10.0, 2.0)]), None);
        assert_eq!(exponent(&[]), None);
        assert_eq!(exponent(&[(0.0, 1.0), (10.0, 2.0)]), None);
    }
}
