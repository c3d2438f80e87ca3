//! The table of a difference.

use std::{collections::BTreeMap, sync::Arc};

use arrow_array::{ArrayRef, BooleanArray, Float64Array, StringArray, UInt32Array};
use headspan_artifacts::answer_bytes;

use crate::diff::{DiffError, Difference, HeadPair, HeadState, ReadoutLikeness};

impl Difference {
    /// The pairs as a Parquet file, a row each, with the names of both runs. It says which records of the runs it was made from.
    /// `docs/artifacts.md` has the columns.
    pub fn to_parquet(
        &self,
        [before, after]: [&str; 2],
        made_from: &BTreeMap<String, String>,
    ) -> Result<Vec<u8>, DiffError> {
        let name =
            |name: &str| -> ArrayRef { Arc::new(StringArray::from_iter_values(self.heads.iter().map(|_| name))) };
        let likeness =
            |of: fn(&ReadoutLikeness) -> Option<f64>| self.numbers(|pair| pair.readouts.as_ref().and_then(of));
        let mut columns = vec![("before", name(before)), ("after", name(after))];
        for (side, [layer, head]) in
            [["layer_before", "head_before"], ["layer_after", "head_after"]].into_iter().enumerate()
        {
            columns.push((layer, self.places(|pair| pair.heads[side].layer)));
            columns.push((head, self.places(|pair| pair.heads[side].head)));
        }
        columns.extend([
            ("cka", self.numbers(|pair| pair.cka)),
            ("cka_low", self.numbers(|pair| pair.cka_interval.map(|interval| interval.0))),
            ("cka_high", self.numbers(|pair| pair.cka_interval.map(|interval| interval.1))),
            ("readout_cosine", likeness(|readouts| readouts.cosine)),
            ("readout_overlap", likeness(|readouts| Some(readouts.overlap))),
            ("smallest_angle", likeness(|readouts| Some(readouts.angles.0))),
            ("largest_angle", likeness(|readouts| Some(readouts.angles.1))),
            ("texts_kept", self.numbers(|pair| pair.texts_kept)),
            ("text_before", self.words(0, |state| state.texts.first().cloned())),
            ("text_after", self.words(1, |state| state.texts.first().cloned())),
            ("property_before", self.words(0, |state| state.property.clone())),
            ("property_after", self.words(1, |state| state.property.clone())),
            ("property_kept", Arc::new(self.heads.iter().map(|pair| pair.property_kept).collect::<BooleanArray>())),
            ("consistent_before", self.numbers(|pair| consistency(&pair.states[0]))),
            ("consistent_after", self.numbers(|pair| consistency(&pair.states[1]))),
            ("variance_share_before", self.numbers(|pair| pair.states[0].variance_share)),
            ("variance_share_after", self.numbers(|pair| pair.states[1].variance_share)),
        ]);
        Ok(answer_bytes(columns, made_from)?)
    }

    fn numbers(&self, of: impl Fn(&HeadPair) -> Option<f64>) -> ArrayRef {
        Arc::new(self.heads.iter().map(of).collect::<Float64Array>())
    }

    fn places(&self, of: impl Fn(&HeadPair) -> u32) -> ArrayRef {
        Arc::new(UInt32Array::from_iter_values(self.heads.iter().map(of)))
    }

    fn words(&self, side: usize, of: impl Fn(&HeadState) -> Option<String>) -> ArrayRef {
        Arc::new(self.heads.iter().map(|pair| of(&pair.states[side])).collect::<StringArray>())
    }
}

/// Share of the judged texts that fit the property.
fn consistency(state: &HeadState) -> Option<f64> {
    state.consistent.map(|(consistent, judged)| consistent as f64 / judged as f64)
}
