//! The table of heads from weights.

use std::{collections::BTreeMap, sync::Arc};

use arrow_array::{
    ArrayRef, BooleanArray, Float64Array, StringArray, UInt32Array,
    builder::{Float64Builder, ListBuilder, StringBuilder},
};
use headspan_artifacts::{RunId, answer_bytes};

use crate::weights::{HeadWeights, HeadWeightsError, NamedDirection, WeighedHead};

impl HeadWeights {
    /// The directions as a Parquet file, a row each: all of the spectrum, the first of each head with texts. It says which records of the run
    /// it was made from. `docs/artifacts.md` has the columns.
    pub fn to_parquet(&self, run: &RunId, made_from: &BTreeMap<String, String>) -> Result<Vec<u8>, HeadWeightsError> {
        let rows: Vec<(&WeighedHead, usize)> =
            self.heads.iter().flat_map(|head| (0..head.spectrum.len()).map(move |at| (head, at))).collect();
        let name = |name: &str| -> ArrayRef { Arc::new(StringArray::from_iter_values(rows.iter().map(|_| name))) };
        let numbers = |of: &dyn Fn(&WeighedHead, usize) -> Option<f64>| -> ArrayRef {
            Arc::new(rows.iter().map(|(head, at)| of(head, *at)).collect::<Float64Array>())
        };
        let places = |of: &dyn Fn(&WeighedHead, usize) -> u32| -> ArrayRef {
            Arc::new(UInt32Array::from_iter_values(rows.iter().map(|(head, at)| of(head, *at))))
        };
        let named: Vec<Option<&NamedDirection>> = rows.iter().map(|(head, at)| head.directions.get(*at)).collect();
        let (texts, weights) = lists(&named);
        let flipped: BooleanArray = named.iter().map(|named| named.map(|named| named.flipped)).collect();
        let categories: StringArray =
            named.iter().map(|named| named.and_then(|named| named.category.as_deref())).collect();
        let fidelity: Float64Array = named.iter().map(|named| named.map(|named| named.fidelity)).collect();
        let columns = vec![
            ("model", name(run.model())),
            ("dataset", name(run.dataset())),
            ("layer", places(&|head, _| head.head.layer)),
            ("head", places(&|head, _| head.head.head)),
            ("direction", places(&|_, at| at as u32)),
            ("singular_value", numbers(&|head, at| Some(head.spectrum[at]))),
            ("share", numbers(&share)),
            ("flipped", Arc::new(flipped)),
            ("fidelity", Arc::new(fidelity)),
            ("texts", texts),
            ("weights", weights),
            ("category", Arc::new(categories)),
        ];
        Ok(answer_bytes(columns, made_from)?)
    }
}

fn share(head: &WeighedHead, at: usize) -> Option<f64> {
    let all: f64 = head.spectrum.iter().map(|s| s * s).sum();
    (all > 0.0).then(|| head.spectrum[at].powi(2) / all)
}

/// Texts and weights of each row; null beyond the directions that are named.
fn lists(named: &[Option<&NamedDirection>]) -> (ArrayRef, ArrayRef) {
    let (mut texts, mut weights) = (ListBuilder::new(StringBuilder::new()), ListBuilder::new(Float64Builder::new()));
    for named in named {
        for text in named.iter().flat_map(|named| &named.texts) {
            texts.values().append_value(&text.text);
            weights.values().append_value(text.weight);
        }
        texts.append(named.is_some());
        weights.append(named.is_some());
    }
    (Arc::new(texts.finish()), Arc::new(weights.finish()))
}
