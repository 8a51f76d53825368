//! Compares the times of checks: of credentials with an id that exists, and with one that does not.

/// The times of the checks of each id in µs: for unknown ids, then for known ones.
pub struct Times(pub [Vec<Vec<f64>>; 2]);

impl Times {
    /// Returns the Kolmogorov-Smirnov distance between unknown and known ids, by one
    /// figure per id: 0 for equal distributions, 1 for distributions that do not overlap.
    pub fn ks_distance(&self, figure: fn(&[f64]) -> f64) -> f64 {
        let [unknown, known] =
            self.0.each_ref().map(|ids| sorted(ids.iter().map(|times| figure(times))));
        let share_up_to = |values: &[f64], limit: f64| {
            values.partition_point(|value| *value <= limit) as f64 / values.len() as f64
        };
        let distance =
            |limit: &f64| (share_up_to(&known, *limit) - share_up_to(&unknown, *limit)).abs();
        known.iter().chain(&unknown).map(distance).fold(0.0, f64::max)
    }

    /// Returns Welch's t value, and by how many µs the mean of known ids exceeds that of
    /// unknown ones. Ignores the slowest fifth of the checks, which are disturbed by the
    /// machine.
    pub fn welch(&self) -> (f64, f64) {
        let all = sorted(self.0.iter().flatten().flatten().copied());
        let limit = all[all.len() / 5 * 4];
        let [unknown, known] = self.0.each_ref().map(|ids| {
            let kept: Vec<_> = ids.iter().flatten().copied().filter(|time| *time < limit).collect();
            let count = kept.len() as f64;
            let mean = kept.iter().sum::<f64>() / count;
            let squares: f64 = kept.iter().map(|time| (time - mean).powi(2)).sum();
            (mean, squares / (count - 1.0) / count)
        });
        let difference = known.0 - unknown.0;
        (difference / (known.1 + unknown.1).sqrt(), difference)
    }
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

pub fn median(times: &[f64]) -> f64 {
    sorted(times.iter().copied())[times.len() / 2]
}

/// Returns the interquartile range as a fraction of the median.
pub fn spread(times: &[f64]) -> f64 {
    let times = sorted(times.iter().copied());
    let quartile = |number: usize| times[times.len() * number / 4];
    (quartile(3) - quartile(1)) / quartile(2)
}
