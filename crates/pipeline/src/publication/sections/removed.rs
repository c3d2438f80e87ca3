//! What is left of the accuracy when heads are removed, or may only say some things.

use headspan_artifacts::{AblatedRow, Frame, HeadId, ReconstructionRow};

use crate::{
    error::Result,
    publication::{
        document::{Cell, Chart, DataTable, Line, Point, Section, Unit, defined, heading},
        matrix::{Matrix, Square},
        sections::{Question, SHOWN, interval, section, table},
    },
};

/// Ablations in the representation alone.
pub(super) fn ablations(question: &Question<'_>) -> Result<Section> {
    let mut section = section(
        "ablations",
        "What the classes need",
        question.command("ablate", ""),
        "Outputs are replaced in the representation alone (the direct effect). Means and choices come from one half of the images, accuracy from the other.",
    );
    let rows: Vec<AblatedRow> = question.run.rows_if_there()?;
    let change = |row: &AblatedRow| row.accuracy_after - row.accuracy_before;
    let of_all = rows.iter().filter(|row| row.scope == "all");
    let (mut heads, sets): (Vec<&AblatedRow>, Vec<&AblatedRow>) = of_all.partition(|row| row.kind == "head");
    heads.sort_by(|one, other| change(one).total_cmp(&change(other)));
    let cells = |row: &&AblatedRow| {
        let target = if row.kind == "head" { row.target.clone() } else { format!("{}: {}", row.kind, row.target) };
        vec![
            Cell::text(target),
            Cell::text(&row.replacement),
            Cell::number(Some(row.accuracy_before), Unit::Percent),
            Cell::within(Some(row.accuracy_after), Some((row.ci_low, row.ci_high)), Unit::Percent),
            Cell::number(Some(change(row)), Unit::Percent),
            Cell::number(row.p, Unit::Plain(3)),
        ]
    };
    let headings = || {
        vec![
            heading("without", "without"),
            heading("replacement", "replaced by"),
            defined("accuracy_before", "before (%)", "accuracy"),
            defined("accuracy_after", "after (%)", "accuracy"),
            heading("change", "change (points)"),
            defined("p", "p", "p"),
        ]
    };
    section.tables.extend(table(
        "ablations",
        "Accuracy without sets of heads",
        headings(),
        sets.iter().map(cells).collect(),
    ));
    let caption = "Accuracy without single heads, the largest loss first";
    section.tables.extend(table("ablations-heads", caption, headings(), heads.iter().map(cells).collect()));
    let by_mean: Vec<&AblatedRow> = heads.into_iter().filter(|row| row.replacement == "mean").collect();
    section.charts.extend(layers(&sets));
    section.charts.extend(losses(&by_mean));
    section.matrices.extend(by_head(&by_mean));
    Ok(section)
}

/// Accuracy without the first layers: one more with each point.
fn layers(sets: &[&AblatedRow]) -> Option<Chart> {
    let own = || sets.iter().filter(|row| row.kind == "layers" && row.replacement == "mean");
    let first = own().next()?;
    let names: Vec<String> = own().map(|row| row.target.clone()).collect();
    if names.len() < 2 {
        return None;
    }
    let point = |(at, row): (usize, &&AblatedRow)| Point {
        x: at as f64,
        y: row.accuracy_after,
        interval: Some((row.ci_low, row.ci_high)),
    };
    let points = own().enumerate().map(point).collect();
    let ends = [-0.5, names.len() as f64 - 0.5].map(|x| Point { x, y: first.accuracy_before, interval: None });
    Some(Chart {
        name: "ablated-layers",
        caption: "Accuracy without the heads of more and more layers, whose outputs are replaced by their means. Intervals are 95 % intervals of Wilson.".to_owned(),
        x: "layers without heads",
        y: "accuracy (%)",
        unit: Unit::Percent,
        names,
        lines: vec![
            Line { name: "without the layers".to_owned(), points, joined: true },
            Line { name: "whole model".to_owned(), points: ends.to_vec(), joined: true },
        ],
    })
}

/// What each head's ablation costs.
fn by_head(heads: &[&AblatedRow]) -> Option<Matrix> {
    let square = |row: &&AblatedRow| {
        let HeadId { layer, head } = row.target.parse().ok()?;
        Some(Square { layer, head, value: row.accuracy_before - row.accuracy_after })
    };
    let squares: Vec<Square> = heads.iter().filter_map(square).collect();
    (squares.len() > 1).then(|| Matrix {
        name: "losses-by-head",
        caption:
            "Accuracy lost without each head, in points: the more, the stronger the colour. Below 0, the model is better without it."
                .to_owned(),
        value: "loss",
        unit: Unit::Percent,
        squares,
    })
}

/// Accuracy without each of the heads whose ablation costs most.
fn losses(heads: &[&AblatedRow]) -> Option<Chart> {
    let first = heads.first()?;
    let shown = &heads[..heads.len().min(SHOWN)];
    let point = |(at, row): (usize, &&AblatedRow)| Point {
        x: at as f64,
        y: row.accuracy_after,
        interval: Some((row.ci_low, row.ci_high)),
    };
    let ends = [-0.5, shown.len() as f64 - 0.5].map(|x| Point { x, y: first.accuracy_before, interval: None });
    Some(Chart {
        name: "ablated-heads",
        caption: format!(
            "Accuracy without one head, whose output is replaced by its mean: the {} that cost most. Intervals are 95 % intervals of Wilson.",
            shown.len()
        ),
        x: "head",
        y: "accuracy (%)",
        unit: Unit::Percent,
        names: shown.iter().map(|row| row.target.clone()).collect(),
        lines: vec![
            Line {
                name: "without the head".to_owned(),
                points: shown.iter().enumerate().map(point).collect(),
                joined: false,
            },
            Line { name: "whole model".to_owned(), points: ends.to_vec(), joined: true },
        ],
    })
}

/// Accuracy where each head may only say what some directions say.
pub(super) fn reconstruction(question: &Question<'_>) -> Result<Section> {
    let mut section = section(
        "reconstruction",
        "Do the texts carry the model?",
        question.command("ablate", "--reconstruct"),
        "Each head's output is projected onto its first k texts. As many random texts and as many principal directions stand beside it. Everything that is no head is replaced by its mean.",
    );
    let rows: Vec<ReconstructionRow> = question.run.rows_if_there()?;
    let name = |directions: &str| {
        match directions {
            "texts" => "texts of TEXTSPAN",
            "random" => "random texts",
            "pca" => "principal directions",
            "all" => "whole output of the heads",
            "model" => "whole model",
            other => other,
        }
        .to_owned()
    };
    let cells = |row: &ReconstructionRow| {
        vec![
            Cell::text(name(&row.directions)),
            Cell::number(row.k.map(f64::from), Unit::Count),
            Cell::within(Some(row.accuracy), Some((row.ci_low, row.ci_high)), Unit::Percent),
            Cell::number(row.kept, Unit::Percent),
        ]
    };
    let headings = vec![
        heading("directions", "directions"),
        heading("k", "k"),
        defined("accuracy", "accuracy (%)", "accuracy"),
        defined("kept", "kept (%)", "kept"),
    ];
    let Some(made) =
        table("reconstruction", "Accuracy with each head projected", headings, rows.iter().map(cells).collect())
    else {
        return Ok(section);
    };
    section.tables.push(DataTable { shown: rows.len(), ..made });
    let of = |directions: &'static str| rows.iter().filter(move |row| row.directions == directions);
    let point = |row: &ReconstructionRow| {
        Some(Point { x: f64::from(row.k?), y: row.accuracy, interval: Some((row.ci_low, row.ci_high)) })
    };
    let mut lines: Vec<Line> = ["texts", "random", "pca"]
        .map(|directions| Line {
            name: name(directions),
            points: of(directions).filter_map(point).collect(),
            joined: true,
        })
        .into_iter()
        .filter(|line| !line.points.is_empty())
        .collect();
    let most = lines.iter().flat_map(|line| &line.points).map(|point| point.x).fold(0.0, f64::max);
    for row in of("all") {
        let points = [0.0, most].map(|x| Point { x, y: row.accuracy, interval: None });
        lines.push(Line { name: name("all"), points: points.to_vec(), joined: true });
    }
    section.charts.push(Chart {
        name: "reconstruction-curve",
        caption: "Accuracy against the number of directions that each head keeps. Intervals are 95 % intervals of Wilson; of random texts they are the lowest and highest draw.".to_owned(),
        x: "k, directions of each head",
        y: "accuracy (%)",
        unit: Unit::Percent,
        names: Vec::new(),
        lines,
    });
    Ok(section)
}

/// Heads scaled in the forward pass.
pub(super) fn pruning(question: &Question<'_>) -> Result<Section> {
    let mut section = section(
        "pruning",
        "Heads scaled in the forward pass",
        question.command("prune", ""),
        "The total effect: later layers see what is left. Random heads are as many heads; their interval is the lowest and the highest draw.",
    );
    let columns = ["target", "heads", "factor", "scope", "n", "accuracy_before", "accuracy_after", "ci_low", "ci_high"];
    let Some(frame) = question.frame("pruning.parquet", &columns)? else { return Ok(section) };
    let cells = |row: usize| {
        vec![
            text(&frame, "target", row),
            scope(&frame, row),
            Cell::number(frame.number("heads", row), Unit::Count),
            Cell::number(frame.number("factor", row), Unit::Plain(2)),
            Cell::number(frame.number("accuracy_before", row), Unit::Percent),
            Cell::within(
                frame.number("accuracy_after", row),
                interval(&frame, ["ci_low", "ci_high"], row),
                Unit::Percent,
            ),
        ]
    };
    let headings = vec![
        heading("target", "heads"),
        defined("scope", "images", "worst-group"),
        heading("heads", "number"),
        heading("factor", "factor"),
        defined("accuracy_before", "before (%)", "accuracy"),
        defined("accuracy_after", "after (%)", "accuracy"),
    ];
    section.tables.extend(table(
        "pruning",
        "Accuracy with heads scaled in the forward pass",
        headings,
        whole(&frame).map(cells).collect(),
    ));
    Ok(section)
}

/// Accuracy of the worst group without heads that bring a cue in.
pub(super) fn repair(question: &Question<'_>) -> Result<Section> {
    let mut section = section(
        "repair",
        "A spurious cue removed",
        question.command("repair", "--group COLUMN"),
        "Heads are chosen on one part of the images; accuracy is that of the others. Random heads are as many heads, drawn again and again.",
    );
    let columns = [
        "choice",
        "target",
        "heads",
        "replacement",
        "scope",
        "n",
        "accuracy_before",
        "accuracy_after",
        "ci_low",
        "ci_high",
        "random_mean",
        "random_low",
        "random_high",
        "p",
    ];
    let Some(frame) = question.frame("repair.parquet", &columns)? else { return Ok(section) };
    let cells = |row: usize| {
        let target = frame.text("target", row).unwrap_or_default();
        vec![
            Cell::text(format!("{}: {target}", frame.text("choice", row).unwrap_or_default())),
            scope(&frame, row),
            text(&frame, "heads", row),
            Cell::number(frame.number("accuracy_before", row), Unit::Percent),
            Cell::within(
                frame.number("accuracy_after", row),
                interval(&frame, ["ci_low", "ci_high"], row),
                Unit::Percent,
            ),
            Cell::within(
                frame.number("random_mean", row),
                interval(&frame, ["random_low", "random_high"], row),
                Unit::Percent,
            ),
            Cell::number(frame.number("p", row), Unit::Plain(3)),
        ]
    };
    let headings = vec![
        heading("chosen_by", "chosen by"),
        defined("scope", "images", "worst-group"),
        heading("heads", "heads"),
        defined("accuracy_before", "before (%)", "accuracy"),
        defined("accuracy_after", "after (%)", "accuracy"),
        heading("random", "random heads (%)"),
        defined("p", "p", "p"),
    ];
    section.tables.extend(table(
        "repair",
        "Accuracy before and after heads are removed",
        headings,
        whole(&frame).map(cells).collect(),
    ));
    Ok(section)
}

/// Rows about all images or the worst group.
fn whole(frame: &Frame) -> impl Iterator<Item = usize> {
    (0..frame.rows()).filter(|row| matches!(frame.text("scope", *row), Some("all" | "worst_group")))
}

fn scope(frame: &Frame, row: usize) -> Cell {
    Cell::text(if frame.text("scope", row) == Some("worst_group") { "worst group" } else { "all" })
}

fn text(frame: &Frame, column: &str, row: usize) -> Cell {
    Cell::text(frame.text(column, row).unwrap_or_default())
}
