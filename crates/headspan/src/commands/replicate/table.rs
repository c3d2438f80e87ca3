//! A replication in words.

use comfy_table::{Cell, Table, presets::UTF8_HORIZONTAL_ONLY};
use headspan_pipeline::{Paper, Unit};

use crate::commands::{
    replicate::{Answer, Row},
    right,
};

/// Title, a table for each of the paper's, then what is defined differently, made otherwise, not measured and not known.
pub(super) fn told(answer: &Answer, paper: &Paper, is_dry: bool) -> String {
    let mut texts = vec![format!("{}: {}\n{}", answer.paper, answer.title, answer.source)];
    for table in &paper.tables {
        let rows: Vec<&Row> = answer.figures.iter().filter(|row| row.table == table.name).collect();
        texts.push(one(&rows, is_dry));
    }
    if !is_dry && !answer.differences.is_empty() {
        let of = |(run, own): (&String, &Vec<String>)| format!("  {run}: {}", own.join("; "));
        texts.push(format!(
            "runs that were made otherwise\n{}",
            answer.differences.iter().map(of).collect::<Vec<_>>().join("\n")
        ));
    }
    texts.push(setting(paper));
    if !answer.not_known.is_empty() {
        texts.push(format!("not known of the paper\n{}", listed(&answer.not_known)));
    }
    texts.join("\n\n")
}

fn listed(lines: &[String]) -> String {
    lines.iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

fn one(rows: &[&Row], is_dry: bool) -> String {
    let Some(first) = rows.first() else { return String::new() };
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY);
    table.set_header(["", "", "published", if is_dry { "by" } else { "measured" }, "interval", "difference"]);
    for row in rows {
        let measured = if is_dry {
            row.command.as_deref().map(shortened)
        } else {
            row.measured.map(|value| number(value, row.unit))
        };
        let interval = row
            .ci_low
            .zip(row.ci_high)
            .map(|(low, high)| format!("{}–{}", number(low, row.unit), number(high, row.unit)));
        table.add_row([
            Cell::new(&row.row),
            Cell::new(&row.column),
            right(published(row)),
            right(measured.unwrap_or_else(|| "n/a".to_owned())),
            right(interval.unwrap_or_default()),
            right(difference(row).unwrap_or_default()),
        ]);
    }
    let place = first.place.as_ref().map(|place| format!(", {place}")).unwrap_or_default();
    let from = first.from.as_ref().map(|from| format!(" (from {from})")).unwrap_or_default();
    let unit = match first.unit {
        Unit::Share => "share",
        Unit::Percent => "%",
        Unit::Heads => "heads",
    };
    let mut lines = vec![format!("{}{place}, {unit}{from}\n{table}", first.table)];
    lines.extend(first.differs.iter().map(|line| format!("  differs: {line}")));
    lines.extend(reasons(rows, if is_dry && first.command.is_some() { "dry run" } else { "not measured" }));
    lines.join("\n")
}

/// Reasons, each once, with the rows that it holds for.
fn reasons(rows: &[&Row], what: &str) -> Vec<String> {
    let mut found: Vec<(&str, Vec<&str>)> = Vec::new();
    for row in rows {
        let Some(reason) = row.not_measured.as_deref() else { continue };
        match found.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, names)) if names.contains(&row.row.as_str()) => {}
            Some((_, names)) => names.push(&row.row),
            None => found.push((reason, vec![&row.row])),
        }
    }
    found.into_iter().map(|(reason, names)| format!("  {what} ({}): {reason}", names.join(", "))).collect()
}

/// A command that fits a column: lists of heads may be long.
fn shortened(command: &str) -> String {
    const WIDTH: usize = 40;
    if command.chars().count() <= WIDTH {
        return command.to_owned();
    }
    command.chars().take(WIDTH - 1).chain(['…']).collect()
}

fn number(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Share => format!("{value:.3}"),
        Unit::Percent => format!("{value:.1}"),
        Unit::Heads => format!("{value:.0}"),
    }
}

/// As it was published: with the digits that it has.
fn published(row: &Row) -> String {
    match (row.published, row.published_low.zip(row.published_high)) {
        (Some(value), _) => value.to_string(),
        (None, Some((low, high))) => format!("{low}–{high}"),
        (None, None) => String::new(),
    }
}

/// Measured less published; of a range, how far it is outside.
fn difference(row: &Row) -> Option<String> {
    let measured = row.measured?;
    let (low, high) =
        row.published.map(|value| (value, value)).or_else(|| row.published_low.zip(row.published_high))?;
    let away = if measured < low { measured - low } else { (measured - high).max(0.0) };
    let sign = if away < 0.0 { "-" } else { "+" };
    Some(format!("{sign}{}", number(away.abs(), row.unit)))
}

/// How the paper's runs are made, as far as it is known.
fn setting(paper: &Paper) -> String {
    let own = &paper.setting;
    let parts = [
        own.layers.as_ref().map(|layers| format!("layers {layers}")),
        own.k.map(|k| format!("{k} texts per head")),
        own.rank.map(|rank| format!("rank {rank}")),
        own.templates.as_ref().map(|templates| format!("templates {templates}")),
        own.labeller.map(|labeller| format!("labeller {labeller}")),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    let named = |what: &str, text: &Option<String>| text.as_ref().map(|text| format!("{what}: {text}"));
    let words = [named("pool", &own.pool), named("prompts", &own.prompts), named("judges", &own.judges)];
    let data = paper.data.iter().map(|data| format!("{}: {}", data.id, data.what));
    let lines: Vec<String> = std::iter::once(parts.join(", "))
        .filter(|line| !line.is_empty())
        .chain(words.into_iter().flatten())
        .chain(data)
        .collect();
    format!("the paper's setting\n{}", listed(&lines))
}
