use std::collections::{BTreeMap, HashMap};

use headspan_artifacts::{HeadId, ImageRow, ReadoutRow, RunDirectory, Table, read_rows};
use headspan_headspace::Readout;

use crate::truth::{AttributeTable, TruthError, responses::rows_of};

/// How much of a head's output each attribute explains.
#[derive(Debug, Clone, PartialEq)]
pub struct HeadVariance {
    /// The head.
    pub head: HeadId,
    /// Eta squared by category, in the order of the attribute table: between-group share, 0 to 1, of the variance of the
    /// head's contributions `c = B u` about their mean (all `d` directions together).
    pub eta_squared: Vec<f64>,
}

/// Eta squared of every head of a run for every category of the table. Reads one head at a time.
pub fn explained_variance(run: &RunDirectory, truth: &AttributeTable) -> Result<Vec<HeadVariance>, TruthError> {
    let readouts: Vec<ReadoutRow> = read_rows(&run.table(Table::Readout))?;
    let images: Vec<ImageRow> = read_rows(&run.table(Table::Images))?;
    let ids: HashMap<u64, &str> = images.iter().map(|row| (row.image_index, row.image_id.as_str())).collect();
    let parts = run.parts_of(&images)?;
    let mut image_ids = Vec::new();
    for part in &parts {
        let indices = part.read(&[], false)?.image_index;
        image_ids.extend(indices.iter().map(|index| ids.get(index).copied().unwrap_or_default().to_owned()));
    }
    let columns: Vec<Vec<Option<&str>>> =
        (0..truth.categories().len()).map(|category| truth.column(category, &image_ids)).collect();
    let mut all = Vec::with_capacity(readouts.len());
    for readout in readouts.into_iter().map(Readout::from) {
        let head = readout.head;
        let mut rows = Vec::with_capacity(image_ids.len());
        for part in &parts {
            rows.extend(rows_of(part, head)?);
        }
        let metric = metric(&readout);
        let eta_squared = columns.iter().map(|groups| eta_squared(&rows, groups, &metric)).collect();
        all.push(HeadVariance { head, eta_squared });
    }
    Ok(all)
}

/// `BᵀB`: the lengths of contributions, in head space.
fn metric(readout: &Readout) -> Vec<Vec<f64>> {
    let width = readout.columns();
    let mut metric = vec![vec![0.0; width]; width];
    for row in readout.rows() {
        for (one, out) in row.iter().zip(&mut metric) {
            out.iter_mut().zip(row).for_each(|(sum, other)| *sum += f64::from(*one) * f64::from(*other));
        }
    }
    metric
}

/// Sum of squares between groups over the total sum of squares, of rows whose lengths `metric` measures. Rows without a
/// group are left out. Zero where nothing varies.
fn eta_squared(rows: &[Vec<f32>], groups: &[Option<&str>], metric: &[Vec<f64>]) -> f64 {
    let width = metric.len();
    // In the order of names, so that no map's own order shows in the last digit.
    let mut sums: BTreeMap<&str, (f64, Vec<f64>)> = BTreeMap::new();
    let known = || rows.iter().zip(groups).filter_map(|(row, group)| Some((row, (*group)?)));
    for (row, group) in known() {
        let (count, sum) = sums.entry(group).or_insert_with(|| (0.0, vec![0.0; width]));
        *count += 1.0;
        sum.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(*x));
    }
    let count: f64 = sums.values().map(|(count, _)| count).sum();
    if count < 2.0 {
        return 0.0;
    }
    let mut mean = vec![0.0; width];
    for (_, sum) in sums.values() {
        mean.iter_mut().zip(sum).for_each(|(mean, x)| *mean += x / count);
    }
    let length = |away: &[f64]| -> f64 {
        metric.iter().zip(away).map(|(row, x)| x * row.iter().zip(away).map(|(m, y)| m * y).sum::<f64>()).sum()
    };
    let total: f64 = known()
        .map(|(row, _)| length(&row.iter().zip(&mean).map(|(x, mean)| f64::from(*x) - mean).collect::<Vec<_>>()))
        .sum();
    let between: f64 = sums
        .values()
        .map(|(own, sum)| own * length(&sum.iter().zip(&mean).map(|(x, mean)| x / own - mean).collect::<Vec<_>>()))
        .sum();
    if total > 0.0 { between / total } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eta_squared_is_the_share_between_groups() {
        let unit = vec![vec![1.0, 0.0], vec![0.0, 1.0]];
        let rows = [vec![1.0, 0.0], vec![3.0, 0.0], vec![7.0, 0.0], vec![9.0, 0.0], vec![50.0, 9.0]];
        let groups = [Some("low"), Some("low"), Some("high"), Some("high"), None];
        // Means 2 and 8 about 5: between 4·9 = 36, total 16 + 4 + 4 + 16 = 40.
        assert!((eta_squared(&rows, &groups, &unit) - 0.9).abs() < 1e-12);
        assert!(eta_squared(&rows[..2], &[Some("a"), Some("a")], &unit).abs() < 1e-12);
    }

    #[test]
    fn only_lengths_that_the_metric_sees_count() {
        let first_only = vec![vec![1.0, 0.0], vec![0.0, 0.0]];
        let rows = [vec![1.0, 5.0], vec![1.0, -5.0], vec![2.0, 90.0], vec![2.0, 3.0]];
        let groups = [Some("a"), Some("a"), Some("b"), Some("b")];
        assert!((eta_squared(&rows, &groups, &first_only) - 1.0).abs() < 1e-12);
    }
}
