use std::collections::BTreeMap;

use anyhow::{Context, Result};
use comfy_table::{Cell, CellAlignment, Table, presets::UTF8_HORIZONTAL_ONLY};
use headspan_artifacts::{HeadId, LabelRow, RunDirectory, Table as RunTable, TextspanRow, read_rows};
use headspan_label::{Categories, LexiconSettings, Weighting, heads_of, lexicon};
use headspan_metrics::{
    Ablation, AblationSettings, AttributeTable, GroupAccuracy, HeadVariance, Prompt, Responses, Sides,
    SpuriousSettings, TruthError, ablate, associated_heads, explained_variance, group_accuracy, spurious_correlation,
};
use headspan_scenes::{Attribute, Background, Home, Kind, categories, descriptions};

use crate::{
    cli::TruthArgs,
    commands::{existing_run, percent, placed, settings, share, truth_neighbours::agreement_table},
    console::Console,
};
use headspan_pipeline::synonyms;

use crate::hints::Hinted;

/// Compares a run over rendered scenes with the true attributes: what ablation of a property's heads costs, and which
/// attribute explains each head.
pub(crate) fn truth(arguments: &TruthArgs, console: &Console<'_>) -> Result<()> {
    share("correlation", arguments.correlation as f32)?;
    let model = arguments.model.as_deref();
    let own = settings(&placed(&arguments.pipeline(), model)?, None)?;
    let run = existing_run(&own, model)?;
    let table = AttributeTable::read(&arguments.attributes, &categories())?;
    let labels: Vec<LabelRow> = read_rows(&run.table(RunTable::Labels)).with_context(|| {
        Hinted::new(format!("`{}` has no labels yet", run.path().display()), "run `headspan run-all`")
    })?;
    let responses = Responses::read(&run, &prompts())?;
    let (known, images) = (table.known(&responses.image_ids), responses.image_ids.len());
    if known == 0 {
        return Err(TruthError::NoImages { path: arguments.attributes.clone(), images }.into());
    }
    if known < images {
        let path = arguments.attributes.display();
        tracing::warn!("left out {} of the run's {images} images, which `{path}` does not list", images - known);
    }
    if let Some(note) = run.kept()?.note() {
        tracing::warn!("{note} What follows is about them alone.");
    }
    let settings = AblationSettings { permutations: arguments.permutations, ..AblationSettings::default() };
    let synonyms = synonyms(&own)?;
    let ablation = ablate(&responses, &table, &labels, &synonyms, &settings);
    let variance = explained_variance(&run, &table)?;
    let grounds = associated_heads(&responses.heads, Background::CATEGORY, &labels, &synonyms, &settings);
    let groups = group_accuracy(&responses, &table, &KINDS, &GROUNDS, &grounds)?;
    let correlation = SpuriousSettings { correlation: arguments.correlation, ..SpuriousSettings::default() };
    let spurious = spurious_correlation(&responses, &table, &KINDS, &GROUNDS, &grounds, &correlation)?;
    console.print(&ablation_table(&ablation, &responses.heads))?;
    console.print("")?;
    console.print("side of the object (water or land kinds) by zero-shot classification")?;
    console.print(&group_table(&groups, &grounds, &responses.heads))?;
    console.print("")?;
    console.print(&format!(
        "side of the object by a nearest-mean classifier of {} images, weighted so that {:.0} % have a background of their side",
        spurious.trained,
        100.0 * arguments.correlation
    ))?;
    console.print(&format!(
        "{}, without as many random heads {:.1} %",
        group_table(&spurious.groups, &grounds, &responses.heads),
        100.0 * spurious.random_worst
    ))?;
    console.print("")?;
    console.print(&variance_table(&run, &variance, table.categories(), &labels))?;
    console.print("")?;
    console.print("nearest neighbours under a property's heads that share the query's attribute")?;
    console.print(&agreement_table(&run, &table)?)?;
    console.print("")?;
    console.print(&weighting_table(&run, &variance, table.categories())?)
}

/// Kinds by the side where a spurious correlation puts them.
const KINDS: Sides<'static> = Sides { category: Kind::CATEGORY, side_of: &|value| side(Kind::ALL, value, Kind::home) };

/// Backgrounds by side.
const GROUNDS: Sides<'static> =
    Sides { category: Background::CATEGORY, side_of: &|value| side(Background::ALL, value, Background::home) };

fn side<A: Attribute>(all: &[A], value: &str, home: fn(A) -> Home) -> Option<String> {
    let found = all.iter().find(|one| one.name() == value)?;
    Some(match home(*found) {
        Home::Water => "water".to_owned(),
        Home::Land => "land".to_owned(),
    })
}

/// Whether the object's side is told, by group, with and without the heads of the background.
fn group_table(groups: &[GroupAccuracy], grounds: &[usize], heads: &[HeadId]) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY);
    table.set_header(["object", "background", "images", "accuracy", "without background heads"]);
    let right = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
    let share_of = |share: f64| right(percent(share));
    for group in groups {
        table.add_row([
            Cell::new(&group.object),
            Cell::new(&group.surroundings),
            right(group.images.to_string()),
            share_of(group.before),
            share_of(group.after),
        ]);
    }
    let worst = |share: fn(&GroupAccuracy) -> f64| groups.iter().map(share).fold(f64::INFINITY, f64::min);
    let names: Vec<String> = grounds.iter().map(|head| heads[*head].to_string()).collect();
    format!(
        "{table}\nworst group {:.1} %, without {} {:.1} %",
        100.0 * worst(|group| group.before),
        if names.is_empty() { "any head (none is associated with backgrounds)".to_owned() } else { names.join(" ") },
        100.0 * worst(|group| group.after)
    )
}

fn prompts() -> Vec<Prompt> {
    let prompt = |one: headspan_scenes::Description| Prompt {
        category: one.category.to_owned(),
        value: one.value.to_owned(),
        text: one.text,
    };
    descriptions().into_iter().map(prompt).collect()
}

/// Points of accuracy lost: row a property whose heads were replaced by their means, column an attribute.
fn ablation_table(ablation: &Ablation, heads: &[HeadId]) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY);
    let right = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
    let tasks: Vec<&str> = ablation
        .rows
        .iter()
        .take_while(|row| row.property == ablation.rows[0].property)
        .map(|row| row.category.as_str())
        .collect();
    let ends = ["others", "p", "heads"];
    table.set_header(["without"].into_iter().chain(tasks.iter().copied()).chain(ends));
    let first: Vec<Cell> =
        ablation.rows.iter().take(tasks.len()).map(|row| right(format!("{:.1}", 100.0 * row.before))).collect();
    table.add_row(std::iter::once(Cell::new("nothing (accuracy, %)")).chain(first));
    for (one, rows) in ablation.specificity.iter().zip(ablation.rows.chunks(tasks.len().max(1))) {
        let mut cells = vec![Cell::new(&one.property)];
        cells.extend(rows.iter().map(|row| {
            let lost = format!("{:+.1}", 100.0 * (row.after - row.before));
            right(if row.category == one.property { format!("[{lost}]") } else { lost })
        }));
        cells.push(right(format!("{:+.1}", -100.0 * one.others)));
        cells.push(right(format!("{:.3}", one.p_value)));
        let names: Vec<String> = one.heads.iter().map(|head| heads[*head].to_string()).collect();
        cells.push(Cell::new(names.join(" ")));
        table.add_row(cells);
    }
    format!("{table}\nall properties together, labels dealt anew: p = {:.3}", ablation.p_value)
}

/// Share of a head's variance from which the attribute that explains it is taken for what the head looks at.
const CLEAR: f64 = 1.0 / 3.0;

/// How often each weighting of the lexicon names the attribute that explains most of a head: to choose by one model and to
/// report on another.
fn weighting_table(run: &RunDirectory, variance: &[HeadVariance], categories: &[String]) -> Result<String> {
    let heads = heads_of(read_rows::<TextspanRow>(&run.table(RunTable::Textspan))?, []);
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY);
    table.set_header(["weighting of the lexicon", "clear heads that agree", "all heads that agree"]);
    for weighting in Weighting::ALL {
        let labels =
            lexicon::label(&heads, &Categories::Tagged, &LexiconSettings { weighting, ..LexiconSettings::default() });
        let (mut clear, mut agreeing, mut all) = (0, 0, 0);
        for one in variance {
            let Some((best, share)) = one.eta_squared.iter().copied().enumerate().max_by(|a, b| a.1.total_cmp(&b.1))
            else {
                continue;
            };
            let own = labels.iter().find(|label| label.head_id() == one.head);
            let agrees = own.is_some_and(|label| label.property.as_deref() == Some(categories[best].as_str()));
            clear += usize::from(share >= CLEAR);
            agreeing += usize::from(agrees && share >= CLEAR);
            all += usize::from(agrees);
        }
        table.add_row([
            weighting.name().to_owned(),
            format!("{agreeing} of {clear}"),
            format!("{all} of {}", variance.len()),
        ]);
    }
    Ok(table.to_string())
}

/// The attribute that explains most of each head, beside its label.
fn variance_table(run: &RunDirectory, variance: &[HeadVariance], categories: &[String], labels: &[LabelRow]) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY);
    table.set_header(["head", "explained most by", "η²", "second", "η²", "label", "agreement"]);
    let (mut clear, mut agreeing) = (0, 0);
    let mut confusion: BTreeMap<(String, String), usize> = BTreeMap::new();
    for one in variance {
        let mut order: Vec<usize> = (0..categories.len()).collect();
        order.sort_by(|a, b| one.eta_squared[*b].total_cmp(&one.eta_squared[*a]));
        let (best, second) = (order[0], order[1]);
        let label = labels.iter().find(|label| label.head_id() == one.head);
        let property = label.and_then(|label| label.property.clone()).unwrap_or_else(|| "n/a".to_owned());
        if one.eta_squared[best] >= CLEAR {
            clear += 1;
            agreeing += usize::from(property == categories[best]);
            *confusion.entry((categories[best].clone(), property.clone())).or_default() += 1;
        }
        let share = |at: usize| Cell::new(format!("{:.3}", one.eta_squared[at])).set_alignment(CellAlignment::Right);
        table.add_row([
            Cell::new(one.head),
            Cell::new(&categories[best]),
            share(best),
            Cell::new(&categories[second]),
            share(second),
            Cell::new(property),
            Cell::new(label.and_then(|label| label.agreement).map_or("n/a".to_owned(), |share| format!("{share:.2}"))),
        ]);
    }
    let pairs: Vec<String> =
        confusion.iter().map(|((truth, label), count)| format!("  {truth} labelled {label}: {count}")).collect();
    format!(
        "{table}\n{}: of {clear} heads with an attribute that explains at least a third, {agreeing} are labelled with it\n{}",
        run.id().model(),
        pairs.join("\n")
    )
}
