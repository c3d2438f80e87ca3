//! The moments against the published loop, written plainly over dense outputs.

use faer::Mat;
use headspan_headspace::Moments;
use headspan_textspan::{Settings, TextPool, textspan};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A head whose outputs are `X = U Bᵀ`.
struct Head {
    /// `[n, m]`.
    u: Mat<f64>,
    /// `[d, m]`.
    readout: Mat<f64>,
    /// `[texts, d]`, unit norm.
    texts: Mat<f64>,
}

impl Head {
    /// Float32 numbers, as the pipeline has them.
    fn random(seed: u64, n: usize, m: usize, d: usize, texts: usize) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut draw = || f64::from(random.random::<f32>() - 0.5 + random.random::<f32>() - 0.5);
        let u = Mat::from_fn(n, m, |_, j| draw() / (1.0 + j as f64) + 0.1);
        let readout = Mat::from_fn(d, m, |_, _| draw());
        let raw = Mat::from_fn(texts, d, |_, _| draw());
        let norm = |i: usize| raw.row(i).iter().map(|x| x * x).sum::<f64>().sqrt();
        let unit = Mat::from_fn(texts, d, |i, j| f64::from((raw[(i, j)] / norm(i)) as f32));
        let single = |x: &Mat<f64>| Mat::from_fn(x.nrows(), x.ncols(), |i, j| f64::from(x[(i, j)] as f32));
        Self { u: single(&u), readout: single(&readout), texts: unit }
    }

    fn moments(&self) -> Moments {
        let (n, m) = (self.u.nrows(), self.u.ncols());
        let second = self.u.transpose() * &self.u;
        Moments {
            n: n as u64,
            mean: (0..m).map(|j| self.u.col(j).iter().sum::<f64>() / n as f64).collect(),
            second_moment: (0..m * m).map(|i| second[(i / m, i % m)] / n as f64).collect(),
        }
    }

    fn rows(matrix: &Mat<f64>) -> Vec<f32> {
        (0..matrix.nrows()).flat_map(|i| matrix.row(i).iter().map(|x| *x as f32).collect::<Vec<_>>()).collect()
    }

    fn span(&self, settings: &Settings) -> headspan_textspan::Basis {
        let pool = TextPool::new(&Self::rows(&self.texts), self.texts.ncols()).expect("a valid pool");
        textspan(&Self::rows(&self.readout), &self.moments(), &pool, settings).expect("a basis")
    }

    /// `X = U Bᵀ`, `[n, d]`.
    fn outputs(&self) -> Mat<f64> {
        &self.u * self.readout.transpose()
    }

    /// The published algorithm (arXiv 2310.05916, algorithm 1): picks and their standard deviations, with the runner-up's.
    fn published(&self, settings: &Settings) -> Vec<(usize, f64, f64)> {
        let mut x = self.outputs();
        let svd = x.thin_svd().expect("an SVD");
        let v = svd.V().subcols(0, settings.rank).to_owned();
        let mut texts = (&self.texts * &v) * v.transpose();
        let (n, d) = (x.nrows(), x.ncols());
        for j in 0..d {
            let mean = x.col(j).iter().sum::<f64>() / n as f64;
            (0..n).for_each(|i| x[(i, j)] -= mean);
        }
        let mut picks = Vec::new();
        for _ in 0..settings.texts {
            let projections = &x * texts.transpose();
            let mut deviations: Vec<(f64, usize)> = (0..texts.nrows())
                .map(|text| {
                    let column = projections.col(text);
                    let mean = column.iter().sum::<f64>() / n as f64;
                    let squares = column.iter().map(|p| (p - mean).powi(2)).sum::<f64>();
                    ((squares / (n as f64 - 1.0)).sqrt(), text)
                })
                .collect();
            deviations.sort_by(|one, other| other.0.total_cmp(&one.0).then(one.1.cmp(&other.1)));
            let (deviation, pick) = deviations[0];
            picks.push((pick, deviation, deviations[1].0));
            let t: Vec<f64> = texts.row(pick).iter().copied().collect();
            let length: f64 = t.iter().map(|x| x * x).sum();
            for rows in [&mut x, &mut texts] {
                for i in 0..rows.nrows() {
                    let along: f64 = rows.row(i).iter().zip(&t).map(|(x, t)| x * t).sum::<f64>() / length;
                    (0..d).for_each(|j| rows[(i, j)] -= along * t[j]);
                }
            }
        }
        picks
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn picks_and_deviations_are_the_published_ones(seed in any::<u64>(), rank in 3_usize..=8, texts in 1_usize..=3) {
        // Eight dimensions of output in d = 12; the rank runs from well below to all of it.
        let head = Head::random(seed, 40, 8, 12, 30);
        let settings = Settings { texts: texts.min(rank), rank };
        let basis = head.span(&settings);
        prop_assert_eq!(basis.rank, rank);
        for (pick, (text, deviation, second)) in basis.picks.iter().zip(head.published(&settings)) {
            // Float64 on both sides, with a few thousand operations between: 1e-9 is far above rounding.
            prop_assert!((pick.std - deviation).abs() <= 1e-9 * deviation, "{} and {}", pick.std, deviation);
            // A near-tie may fall either way, and everything after it with it.
            if (deviation - second) < 1e-9 * deviation { break; }
            prop_assert_eq!(pick.text_index, text);
        }
    }

    #[test]
    fn shares_are_what_the_reconstruction_keeps(seed in any::<u64>(), texts in 1_usize..=8) {
        let head = Head::random(seed, 30, 6, 10, 25);
        let basis = head.span(&Settings { texts, rank: 6 });
        let reconstruction = basis.reconstruction();
        let x = head.outputs();
        let (mut lost, mut total) = (0.0, 0.0);
        for i in 0..x.nrows() {
            let row: Vec<f64> = x.row(i).iter().copied().collect();
            let kept = reconstruction.apply(&row);
            let again = reconstruction.apply(&kept);
            for (j, kept) in kept.iter().enumerate() {
                lost += (row[j] - kept).powi(2);
                total += (row[j] - reconstruction.mean()[j]).powi(2);
                prop_assert!((kept - again[j]).abs() < 1e-9, "a projection applied twice is itself");
            }
        }
        let share = basis.picks.last().map_or(0.0, |pick| pick.cumulative_share);
        prop_assert!((lost / total - (1.0 - share)).abs() < 1e-9, "lost {} of it, share {share}", lost / total);
        let shares: Vec<f64> = basis.picks.iter().map(|pick| pick.cumulative_share).collect();
        prop_assert!(shares.windows(2).all(|pair| pair[0] <= pair[1] + 1e-12) && share <= 1.0 + 1e-9);
        let mut picked: Vec<usize> = basis.picks.iter().map(|pick| pick.text_index).collect();
        picked.sort_unstable();
        picked.dedup();
        prop_assert_eq!(picked.len(), basis.picks.len());
    }
}

#[test]
fn equal_texts_go_to_the_lowest_index() {
    let mut head = Head::random(7, 40, 6, 9, 12);
    for j in 0..9 {
        head.texts[(4, j)] = head.texts[(2, j)];
    }
    let basis = head.span(&Settings { texts: 6, rank: 6 });
    let picked: Vec<usize> = basis.picks.iter().map(|pick| pick.text_index).collect();
    assert!(!picked.contains(&4), "the double of text 2 has nothing left: {picked:?}");
}

#[test]
fn the_loop_ends_with_the_variance_and_a_rank_above_the_head_is_the_heads() {
    let head = Head::random(3, 40, 5, 9, 20);
    let basis = head.span(&Settings { texts: 20, rank: 80 });
    assert_eq!(basis.rank, 5);
    assert_eq!(basis.picks.len(), 5);
    assert!((basis.picks[4].cumulative_share - 1.0).abs() < 1e-9);
}

/// Picks computed by numpy from the same numbers (`tools/reference/textspan_reference.py`).
#[test]
fn numpy_picks_the_same_texts() -> Result<(), Box<dyn std::error::Error>> {
    let text = include_str!("golden/numpy.json");
    let golden: serde_json::Value = serde_json::from_str(text)?;
    let matrix = |key: &str| -> Result<Mat<f64>, Box<dyn std::error::Error>> {
        let rows: Vec<Vec<f64>> = serde_json::from_value(golden[key].clone())?;
        Ok(Mat::from_fn(rows.len(), rows[0].len(), |i, j| rows[i][j]))
    };
    let head = Head { u: matrix("u")?, readout: matrix("readout")?, texts: matrix("texts")? };
    let picks: Vec<usize> = serde_json::from_value(golden["picks"].clone())?;
    let stds: Vec<f64> = serde_json::from_value(golden["std"].clone())?;
    let basis = head.span(&Settings { texts: picks.len(), rank: 10 });
    assert_eq!(basis.picks.iter().map(|pick| pick.text_index).collect::<Vec<_>>(), picks);
    for (pick, std) in basis.picks.iter().zip(stds) {
        assert!((pick.std - std).abs() <= 1e-9 * std, "{} and {std}", pick.std);
    }
    Ok(())
}
