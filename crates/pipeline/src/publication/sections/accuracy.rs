use std::collections::BTreeMap;

use headspan_artifacts::{ClassRow, ZeroshotRow};
use headspan_metrics::wilson;

use crate::{
    error::Result,
    publication::{
        document::{Cell, Section, Unit, defined, heading},
        sections::{Question, section, table},
    },
};

/// Zero-shot accuracy of all images and by class, the classes that are hit least often first.
pub(super) fn zeroshot(question: &Question<'_>) -> Result<Section> {
    let mut section = section(
        "zeroshot",
        "Zero-shot accuracy",
        question.command("zeroshot", ""),
        "An image belongs to the class whose texts are nearest. Nothing was trained for it.",
    );
    let predictions: Vec<ZeroshotRow> = question.run.rows_if_there()?;
    let classes: Vec<ClassRow> = question.run.rows_if_there()?;
    let own: Vec<(u32, u32)> = predictions.iter().filter_map(|row| row.class_index.zip(row.rank)).collect();
    if own.is_empty() {
        return Ok(section);
    }
    let cell = |right: usize, all: usize| {
        let interval = wilson(right as u64, all as u64);
        Cell::within(Some(right as f64 / all as f64), Some(interval), Unit::Percent)
    };
    let at = |most: u32| own.iter().filter(|(_, rank)| *rank < most).count();
    let all = vec![
        Cell::count(own.len() as f64),
        Cell::count(classes.len() as f64),
        cell(at(1), own.len()),
        cell(at(5), own.len()),
    ];
    let headings = vec![
        heading("images", "images"),
        heading("classes", "classes"),
        defined("top1", "top-1 (%)", "accuracy"),
        defined("top5", "top-5 (%)", "accuracy"),
    ];
    section.tables.extend(table("zeroshot", "Zero-shot accuracy", headings, vec![all]));

    let mut by_class: BTreeMap<u32, (usize, usize)> = BTreeMap::new();
    for (class, rank) in &own {
        let (right, all) = by_class.entry(*class).or_default();
        *all += 1;
        *right += usize::from(*rank == 0);
    }
    let mut found: Vec<(u32, (usize, usize))> = by_class.into_iter().collect();
    let share = |(right, all): (usize, usize)| right as f64 / all as f64;
    found.sort_by(|one, other| share(one.1).total_cmp(&share(other.1)));
    let name = |class: u32| {
        let found = classes.iter().find(|row| row.class_index == class);
        found.map_or_else(|| class.to_string(), |row| row.name.clone())
    };
    let rows = found
        .iter()
        .map(|(class, (right, all))| vec![Cell::text(name(*class)), Cell::count(*all as f64), cell(*right, *all)]);
    let headings =
        vec![heading("class", "class"), heading("images", "images"), defined("top1", "top-1 (%)", "accuracy")];
    let caption = "Zero-shot accuracy by class, the lowest first";
    section.tables.extend(table("zeroshot-classes", caption, headings, rows.collect()));
    Ok(section)
}
