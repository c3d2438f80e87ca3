use std::path::Path;

use anyhow::Result;
use comfy_table::{Cell, Table, presets::UTF8_HORIZONTAL_ONLY};
use headspan_metrics::RepairRow;
use headspan_pipeline::{GroupChoice, Learning, RepairOptions};
use serde::Serialize;

use crate::{
    cli::RepairArgs,
    commands::{
        percent,
        query::{open, selection},
        right, share,
    },
    console::Console,
};

/// Measures the accuracy of the worst group without heads that bring a cue in.
pub(crate) fn repair(arguments: &RepairArgs, console: &Console<'_>) -> Result<()> {
    if let Some(correlation) = arguments.correlation {
        share("correlation", correlation as f32)?;
    }
    let heads = arguments.heads.iter().map(|one| selection(std::slice::from_ref(one))).collect::<Result<Vec<_>>>()?;
    let are_named = !heads.is_empty() || arguments.head_file.is_some() || !arguments.text.is_empty();
    let learning =
        arguments.learn.then(|| Learning { class: arguments.class.clone(), correlation: arguments.correlation });
    let session = open(&arguments.run)?;
    let options = RepairOptions {
        templates: arguments.templates.clone(),
        groups: GroupChoice { file: arguments.groups.clone(), columns: arguments.group.clone() },
        cue: arguments.cue.clone(),
        test: arguments.test.clone(),
        learning,
        heads,
        head_file: arguments.head_file.clone(),
        by_ablation: arguments.by_ablation || !are_named,
        texts: arguments.text.clone(),
        count: arguments.count,
        replacements: arguments.replace.clone(),
        permutations: arguments.permutations,
        seed: arguments.seed,
    };
    let found = headspan_pipeline::repair(&session, &options, console.progress())?;
    if arguments.json {
        let classifier = if arguments.learn { "learned" } else { "zeroshot" };
        let (run, repair, table) = (session.run().name(), &found.rows, &found.table);
        console.print_json(&Answer { run, classifier, repair, table })?;
    } else {
        console.print(&told(&found.rows, |head| {
            let label = head.parse().ok().and_then(|head| session.run().label(head));
            label.and_then(|label| label.property.clone())
        }))?;
    }
    tracing::info!("{}", found.table.display());
    Ok(())
}

/// A repair as JSON.
#[derive(Serialize)]
struct Answer<'a> {
    run: String,
    classifier: &'static str,
    repair: &'a [RepairRow],
    table: &'a Path,
}

/// A row a choice, then the groups by choice, then the heads.
fn told(rows: &[RepairRow], property_of: impl Fn(&str) -> Option<String>) -> String {
    let of = |scope: &'static str| rows.iter().filter(move |row| row.scope == scope);
    let (all, worst): (Vec<&RepairRow>, Vec<&RepairRow>) = (of("all").collect(), of("worst_group").collect());
    let Some((first, first_worst)) = all.first().zip(worst.first()) else { return "no heads".to_owned() };
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY);
    table.set_header([
        "",
        "removed",
        "replaced by",
        "accuracy",
        "worst group",
        "95 % interval",
        "random heads (range)",
        "p",
    ]);
    let nothing = ["", "nothing", ""].map(Cell::new).into_iter();
    table.add_row(nothing.chain([right(percent(first.accuracy_before)), right(percent(first_worst.accuracy_before))]));
    for (number, (all, worst)) in all.iter().zip(&worst).enumerate() {
        let random = worst.random_mean.zip(worst.random_low).zip(worst.random_high);
        table.add_row([
            Cell::new(number + 1),
            Cell::new(name(worst)),
            Cell::new(&worst.replacement),
            right(percent(all.accuracy_after)),
            right(percent(worst.accuracy_after)),
            right(format!("{}–{}", percent(worst.ci_low), percent(worst.ci_high))),
            right(random.map_or_else(String::new, |((mean, low), high)| {
                format!("{} ({}–{})", percent(mean), percent(low), percent(high))
            })),
            right(worst.p.map_or_else(String::new, |p| format!("{p:.3}"))),
        ]);
    }
    let heads: Vec<String> =
        worst.iter().enumerate().map(|(number, row)| chosen(number + 1, row, &property_of)).collect();
    format!("{table}\n{}\n\n{}", heads.join("\n"), by_group(rows, all.len()))
}

fn name(row: &RepairRow) -> String {
    match row.choice {
        "ablation" => "heads by ablation".to_owned(),
        "text" => format!("heads by text: {}", row.target),
        choice => format!("{choice}: {}", row.target),
    }
}

/// The heads of a choice, each with its label and with what it was chosen by.
fn chosen(number: usize, row: &RepairRow, property_of: impl Fn(&str) -> Option<String>) -> String {
    if row.heads.is_empty() {
        return format!("{number}: no head (none raises the accuracy of the worst group)");
    }
    let head = |(at, head): (usize, &String)| {
        let value = row.values.as_ref().and_then(|values| values.get(at));
        let notes = [
            property_of(head),
            value.map(|value| if row.choice == "ablation" { percent(*value) } else { format!("{value:.4}") }),
        ];
        let notes: Vec<String> = notes.into_iter().flatten().collect();
        if notes.is_empty() { head.clone() } else { format!("{head} ({})", notes.join(", ")) }
    };
    let heads: Vec<String> = row.heads.iter().enumerate().map(head).collect();
    format!("{number}: {}", heads.join(", "))
}

/// A row a group, a column a choice.
fn by_group(rows: &[RepairRow], choices: usize) -> String {
    let groups: Vec<&RepairRow> = rows.iter().filter(|row| row.scope == "group").collect();
    let of_first = groups.len() / choices;
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY);
    let numbers = (1..=choices).map(|number| number.to_string());
    table.set_header(["group", "images", "nothing"].map(str::to_owned).into_iter().chain(numbers));
    for (at, group) in groups.iter().take(of_first).enumerate() {
        let after = (0..choices).filter_map(|choice| groups.get(choice * of_first + at));
        let cells = after.map(|row| right(percent(row.accuracy_after)));
        let name = group.group.as_deref().unwrap_or_default();
        let first = [Cell::new(name), right(group.n.to_string()), right(percent(group.accuracy_before))];
        table.add_row(first.into_iter().chain(cells));
    }
    table.to_string()
}
