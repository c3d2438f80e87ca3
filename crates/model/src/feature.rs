/// A feature to unit norm, `[d]`. None of one without a direction: numbers that are not finite, or all zero. Divided by such a norm it would be
/// NaN, which a total order takes for the largest.
pub fn unit_feature(feature: &[f32]) -> Option<Vec<f32>> {
    let norm = feature.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
    let has_direction = norm.is_finite() && norm > 0.0;
    has_direction.then(|| feature.iter().map(|x| (f64::from(*x) / norm) as f32).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_direction_has_no_unit() {
        assert_eq!(unit_feature(&[3.0, 0.0, -4.0]), Some(vec![0.6, 0.0, -0.8]));
        for feature in [[0.0, 0.0], [f32::NAN, 1.0], [f32::INFINITY, 1.0]] {
            assert_eq!(unit_feature(&feature), None, "{feature:?}");
        }
    }
}
