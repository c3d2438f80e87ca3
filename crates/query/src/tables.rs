//! Answers as named columns, for Parquet files beside pages and pictures.

use std::sync::Arc;

use arrow_array::{ArrayRef, Float32Array, StringArray, UInt32Array, UInt64Array};

use crate::neighbours::Neighbour;

/// Named columns of equal length.
pub type Columns = Vec<(&'static str, ArrayRef)>;

/// One row an image: `image_index`, `image_id`, `class_id`, `score`, in the order given.
pub fn image_columns<'a>(images: impl IntoIterator<Item = &'a Neighbour>) -> Columns {
    let images: Vec<&Neighbour> = images.into_iter().collect();
    let names = images.iter().map(|one| (one.image_index, one.image_id.as_str(), one.class_id.as_deref()));
    let mut columns = name_columns(names);
    columns.push(("score", Arc::new(images.iter().map(|one| one.score).collect::<Float32Array>())));
    columns
}

/// One row an image: `image_index`, `image_id`, `class_id`.
pub fn name_columns<'a>(images: impl Iterator<Item = (u64, &'a str, Option<&'a str>)>) -> Columns {
    let images: Vec<_> = images.collect();
    vec![
        ("image_index", Arc::new(images.iter().map(|(index, _, _)| *index).collect::<UInt64Array>())),
        ("image_id", Arc::new(StringArray::from_iter_values(images.iter().map(|(_, id, _)| *id)))),
        ("class_id", Arc::new(images.iter().map(|(_, _, class)| *class).collect::<StringArray>())),
    ]
}

/// One row a patch of each map: `text`, `row`, `column`, `score`. Each map has a title and scores `[grid, grid]`.
pub fn map_columns(grid: usize, maps: &[(&str, &[f32])]) -> Columns {
    patch_columns(&maps.iter().map(|(title, scores)| (grid, *title, *scores)).collect::<Vec<_>>())
}

/// As [`map_columns`], of maps that each have a grid of their own.
pub fn patch_columns(maps: &[(usize, &str, &[f32])]) -> Columns {
    let places = || maps.iter().flat_map(|(grid, _, scores)| (0..scores.len()).map(move |at| (at / grid, at % grid)));
    let titles = maps.iter().flat_map(|(_, title, scores)| std::iter::repeat_n(*title, scores.len()));
    vec![
        ("text", Arc::new(StringArray::from_iter_values(titles))),
        ("row", Arc::new(places().map(|(row, _)| row as u32).collect::<UInt32Array>())),
        ("column", Arc::new(places().map(|(_, column)| column as u32).collect::<UInt32Array>())),
        ("score", Arc::new(maps.iter().flat_map(|(_, _, scores)| scores.iter().copied()).collect::<Float32Array>())),
    ]
}
