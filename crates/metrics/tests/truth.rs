//! Ablation and groups on responses whose outcome is known by hand.

use std::{path::Path, sync::Arc};

use arrow_array::{ArrayRef, StringArray};
use headspan_artifacts::{HeadId, LabelRow, parquet_bytes, write_atomic};
use headspan_metrics::{AblationSettings, AttributeTable, Responses, Sides, Synonyms, ablate, group_accuracy};

type Outcome = Result<(), Box<dyn std::error::Error>>;

const IMAGES: usize = 40;

/// Colour alternates, shape changes every two images. Head 0 carries the colour, head 1 the shape, head 2 nothing: a head's
/// change takes its own category's lead away and points at the other value a little.
fn world(folder: &Path) -> Result<(Responses, AttributeTable), Box<dyn std::error::Error>> {
    let colour = |image: usize| image % 2;
    let shape = |image: usize| image / 2 % 2;
    let ids: Vec<String> = (0..IMAGES).map(|image| format!("{image}.png")).collect();
    let colours: Vec<&str> = (0..IMAGES).map(|image| ["red", "blue"][colour(image)]).collect();
    let shapes: Vec<&str> = (0..IMAGES).map(|image| ["ball", "star"][shape(image)]).collect();
    let path = folder.join("attributes.parquet");
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("image_id", Arc::new(StringArray::from(ids.clone()))),
        ("colors", Arc::new(StringArray::from(colours))),
        ("shapes", Arc::new(StringArray::from(shapes))),
    ];
    write_atomic(&path, &parquet_bytes(columns)?)?;
    let classes = [("colors", "red"), ("colors", "blue"), ("shapes", "ball"), ("shapes", "star")];
    let score = |image: usize| -> [f32; 4] {
        let mut row = [0.0; 4];
        row[colour(image)] = 1.0;
        row[2 + shape(image)] = 1.0;
        row
    };
    let against = |image: usize, carried: usize| -> [f32; 4] {
        let mut row = [0.0; 4];
        match carried {
            0 => (row[colour(image)], row[1 - colour(image)]) = (-1.0, 0.1),
            1 => (row[2 + shape(image)], row[3 - shape(image)]) = (-1.0, 0.1),
            _ => {}
        }
        row
    };
    let responses = Responses {
        image_ids: ids,
        classes: classes.map(|(category, value)| (category.to_owned(), value.to_owned())).to_vec(),
        heads: (0..3).map(|head| HeadId { layer: 0, head }).collect(),
        scores: (0..IMAGES).flat_map(score).collect(),
        changes: (0..3).map(|head| (0..IMAGES).flat_map(|image| against(image, head)).collect()).collect(),
    };
    Ok((responses, AttributeTable::read(&path, &["colors", "shapes"])?))
}

fn label(head: u32, property: &str, consistent: usize) -> LabelRow {
    LabelRow {
        layer: 0,
        head,
        labeller: "lexicon".into(),
        property: Some(property.into()),
        description: None,
        consistent: (0..5).map(|text| Some(text < consistent)).collect(),
        agreement: None,
        prompt_sha256: None,
        llm_model: None,
        tokens_in: 0,
        tokens_out: 0,
    }
}

#[test]
fn ablation_costs_the_property_and_spares_the_rest() -> Outcome {
    let folder = tempfile::tempdir()?;
    let (responses, truth) = world(folder.path())?;
    // `Color` folds to the category; the third head's label is not associated and must not be ablated.
    let labels = [label(0, "Color", 5), label(1, "shapes", 3), label(2, "colors", 2)];
    let settings = AblationSettings { permutations: 200, ..AblationSettings::default() };
    let found = ablate(&responses, &truth, &labels, &Synonyms::default(), &settings);
    let cell = |property: &str, category: &str| {
        found
            .rows
            .iter()
            .find(|row| row.property == property && row.category == category)
            .map(|row| (row.before, row.after))
    };
    assert_eq!(cell("colors", "colors"), Some((1.0, 0.0)));
    assert_eq!(cell("colors", "shapes"), Some((1.0, 1.0)));
    assert_eq!(cell("shapes", "shapes"), Some((1.0, 0.0)));
    assert_eq!(found.specificity.iter().map(|one| one.heads.clone()).collect::<Vec<_>>(), [vec![0], vec![1]]);
    for one in &found.specificity {
        assert_eq!((one.own, one.others), (1.0, 0.0));
        // One of three heads is the right one, so a third of the draws are as good: binomial, 200 draws, 5 deviations.
        assert!((one.p_value - 1.0 / 3.0).abs() < 0.17, "{}", one.p_value);
    }
    // Two of three heads dealt to two properties: one order of six is as good.
    assert!((found.p_value - 1.0 / 6.0).abs() < 0.14, "{}", found.p_value);
    Ok(())
}

#[test]
fn groups_are_by_the_sides_of_object_and_surroundings() -> Outcome {
    let folder = tempfile::tempdir()?;
    let (responses, truth) = world(folder.path())?;
    let same = |value: &str| Some(value.to_owned());
    let sides = |category| Sides { category, side_of: &same };
    let groups = group_accuracy(&responses, &truth, &sides("shapes"), &sides("colors"), &[1])?;
    assert_eq!(groups.len(), 4);
    for group in &groups {
        assert_eq!((group.images, group.before, group.after), (10, 1.0, 0.0), "{group:?}");
    }
    let message = group_accuracy(&responses, &truth, &sides("sizes"), &sides("colors"), &[]).err();
    assert!(message.is_some_and(|error| error.to_string().contains("sizes")));
    Ok(())
}
