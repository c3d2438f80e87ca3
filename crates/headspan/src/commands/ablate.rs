use std::path::Path;

use anyhow::Result;
use comfy_table::{Cell, Table, presets::UTF8_HORIZONTAL_ONLY};
use headspan_artifacts::{AblatedRow, ReconstructionRow};
use headspan_pipeline::{AblateOptions, Ablations};
use serde::Serialize;

use crate::{
    cli::AblateArgs,
    commands::{
        UsageError, percent,
        query::{open, selection},
        right,
    },
    console::Console,
};

/// Single heads that the terminal shows: those whose ablation changes the accuracy most.
const SHOWN: usize = 12;

/// Measures zero-shot accuracy without some heads.
pub(crate) fn ablate(arguments: &AblateArgs, console: &Console<'_>) -> Result<()> {
    let heads = if arguments.heads.is_empty() { None } else { Some(selection(&arguments.heads)?) };
    let kinds = arguments.kinds();
    if kinds.is_empty() && heads.is_none() && arguments.head_file.is_none() && !arguments.reconstruct {
        return Err(
            UsageError("nothing to ablate: give --kind, --heads, --head-file or --reconstruct".to_owned()).into()
        );
    }
    let session = open(&arguments.run)?;
    let options = AblateOptions {
        templates: arguments.classes.templates.clone(),
        groups: arguments.classes.groups.choice(),
        kinds,
        heads,
        head_file: arguments.head_file.clone(),
        replacements: arguments.replace.clone(),
        permutations: arguments.permutations,
        seed: arguments.seed,
        reconstruct: arguments.reconstruct,
        draws: arguments.draws,
    };
    let found = headspan_pipeline::ablate(&session, &options, console.progress())?;
    if arguments.json {
        console.print_json(&Answer {
            run: session.run().name(),
            ablations: &found.rows,
            reconstruction: &found.reconstruction,
            table: &found.table,
            reconstruction_table: found.reconstruction_table.as_deref(),
        })?;
    } else {
        console.print(&told(&found))?;
    }
    tracing::info!("{}", found.table.display());
    Ok(())
}

/// Ablations as JSON.
#[derive(Serialize)]
struct Answer<'a> {
    run: String,
    ablations: &'a [AblatedRow],
    reconstruction: &'a [ReconstructionRow],
    table: &'a Path,
    reconstruction_table: Option<&'a Path>,
}

fn told(found: &Ablations) -> String {
    let mut texts = Vec::new();
    if let Some(first) = found.rows.iter().find(|row| row.scope == "all") {
        texts.push(format!(
            "accuracy {} of {} images that gave no means\n{}",
            percent(first.accuracy_before),
            first.n,
            ablations(&found.rows)
        ));
    }
    if !found.reconstruction.is_empty() {
        texts.push(reconstruction(&found.reconstruction).to_string());
    }
    texts.join("\n\n")
}

/// Of all images, and of the worst group where there are groups; of single heads those that matter most.
fn ablations(rows: &[AblatedRow]) -> String {
    let of = |scope: &'static str| rows.iter().filter(move |row| row.scope == scope);
    let worst = |row: &AblatedRow| {
        let same = |other: &&AblatedRow| {
            (&other.kind, &other.target, &other.replacement) == (&row.kind, &row.target, &row.replacement)
        };
        of("worst_group").find(same)
    };
    let has_groups = of("worst_group").next().is_some();
    let change = |row: &AblatedRow| (row.accuracy_after - row.accuracy_before).abs();
    let (mut heads, others): (Vec<&AblatedRow>, Vec<&AblatedRow>) = of("all").partition(|row| row.kind == "head");
    heads.sort_by(|one, other| change(other).total_cmp(&change(one)));
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY);
    let ends = if has_groups { vec!["worst group"] } else { Vec::new() };
    table.set_header(["without", "replaced by", "accuracy", "95 % interval", "change", "p"].into_iter().chain(ends));
    for row in others.iter().chain(heads.iter().take(SHOWN)) {
        let name = if row.kind == "head" { row.target.clone() } else { format!("{}: {}", row.kind, row.target) };
        let mut cells = vec![
            Cell::new(name),
            Cell::new(&row.replacement),
            right(percent(row.accuracy_after)),
            right(format!("{}–{}", percent(row.ci_low), percent(row.ci_high))),
            right(format!("{:+.1}", 100.0 * (row.accuracy_after - row.accuracy_before))),
            right(row.p.map_or_else(String::new, |p| format!("{p:.3}"))),
        ];
        if has_groups {
            cells.push(right(worst(row).map_or_else(String::new, |row| {
                format!("{} → {}", percent(row.accuracy_before), percent(row.accuracy_after))
            })));
        }
        table.add_row(cells);
    }
    let more = if heads.len() > SHOWN {
        format!("\nThe {SHOWN} ablations of single heads that change most, of {}.", heads.len())
    } else {
        String::new()
    };
    format!("{table}{more}")
}

/// A row for each number of directions, a column for each kind.
fn reconstruction(rows: &[ReconstructionRow]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY);
    table.set_header(["k", "texts", "random texts", "principal directions"]);
    let find = |directions: &str, k: Option<u32>| rows.iter().find(|row| row.directions == directions && row.k == k);
    let cell = |row: Option<&ReconstructionRow>| right(row.map_or_else(String::new, |row| percent(row.accuracy)));
    for row in rows.iter().filter(|row| row.directions == "texts") {
        let number = right(row.k.map_or_else(String::new, |k| k.to_string()));
        table.add_row([number, cell(Some(row)), cell(find("random", row.k)), cell(find("pca", row.k))]);
    }
    for (name, directions) in [("all", "all"), ("model", "model")] {
        table.add_row([Cell::new(name), cell(find(directions, None)), Cell::new(""), Cell::new("")]);
    }
    table
}
