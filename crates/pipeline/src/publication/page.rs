//! A report as HTML: one file for each run, one over all; no script, no network.

use std::collections::BTreeSet;

use headspan_query::{TERMS, definition};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::publication::{
    charts::svg,
    document::{Cell, DataTable, Document, Heading, Section},
    numbers::shown,
};

/// The page of one run.
pub(crate) fn run_page(document: &Document) -> String {
    let (answered, open): (Vec<&Section>, Vec<&Section>) =
        document.sections.iter().partition(|section| !section.tables.is_empty());
    let content = html! {
        h1 { (document.model) " over " (document.dataset) }
        p.note { a href="index.html" { "All runs" } " · every word that is underlined is " a href="#definitions" { "defined below" } }
        @for notice in &document.notices { p.warning { (notice) } }
        nav { ol { @for section in &answered { li { a href={ "#" (section.id) } { (section.title) } } } } }
        (made_with(document))
        @for section in &answered { (section_of(document, section)) }
        @if !open.is_empty() {
            h2 { "Not measured" }
            ul { @for section in &open { li { (section.title) ": " code { (section.command) } } } }
        }
        (definitions(&answered))
    };
    page(&format!("headspan: {} over {}", document.model, document.dataset), &content)
}

/// The page over all runs: their scores, each with a link.
pub(crate) fn index_page(documents: &[Document]) -> String {
    let dataset = documents.first().map_or("", |document| document.dataset.as_str());
    let scores = documents.iter().filter_map(|document| {
        let table =
            document.sections.iter().flat_map(|section| &section.tables).find(|table| table.name == "scores")?;
        Some((document, table))
    });
    let scores: Vec<(&Document, &DataTable)> = scores.collect();
    let content = html! {
        h1 { "What the heads look at: " (dataset) }
        @if let Some((_, first)) = scores.first() {
            div.scroll { table {
                thead { tr { th { "model" } (headings(first)) } }
                tbody { @for (document, table) in &scores { @for row in &table.rows { tr {
                    td { (link(document)) } @for (column, cell) in row.iter().enumerate() { (cell_of(table, column, cell)) }
                } } } }
            } }
        }
        h2 { "Runs" }
        ul { @for document in documents { li { (link(document)) @if !document.notices.is_empty() { " (out of date)" } } } }
        (definitions(&documents.iter().flat_map(|document| &document.sections).filter(|section| section.id == "scores").collect::<Vec<_>>()))
    };
    page(&format!("headspan: {dataset}"), &content)
}

fn link(document: &Document) -> Markup {
    html! { a href={ (document.model) ".html" } { (document.model) } }
}

fn page(title: &str, content: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(include_str!("../report/report.css"))) (PreEscaped(include_str!("page.css"))) }
            }
            body { main { (content) } }
        }
    };
    page.into_string()
}

fn made_with(document: &Document) -> Markup {
    html! {
        @if !document.made_with.is_empty() {
            details { summary { "Made with" }
                dl { @for (name, told) in &document.made_with { div { dt { (name) } dd { (told) } } } }
            }
        }
    }
}

fn section_of(document: &Document, section: &Section) -> Markup {
    html! {
        section id=(section.id) {
            h2 { (section.title) }
            p.note { (section.note) }
            @if let Some(warning) = &section.warning { p.warning { (warning) } }
            @for chart in &section.charts { (figure(document, chart.name, &chart.caption, &svg(chart))) }
            @for matrix in &section.matrices { (figure(document, matrix.name, &matrix.caption, &matrix.svg())) }
            @for table in &section.tables { (data_table(document, table)) }
            p.source { "Made by " code { (section.command) } "." (document.run_told()) }
        }
    }
}

fn figure(document: &Document, name: &str, caption: &str, drawn: &Markup) -> Markup {
    html! {
        figure {
            div.scroll tabindex="0" role="region" aria-label=(caption) { (drawn) }
            figcaption {
                (caption) " "
                a href=(document.data_file(name)) { "Data" } " · " a href=(document.figure_file(name)) { "SVG" }
            }
        }
    }
}

fn data_table(document: &Document, table: &DataTable) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label=(table.caption) { table {
            caption { (table.caption) }
            thead { tr { (headings(table)) } }
            tbody { @for row in table.rows.iter().take(table.shown) {
                tr { @for (column, cell) in row.iter().enumerate() { (cell_of(table, column, cell)) } }
            } }
        } }
        p.source {
            @if table.rows.len() > table.shown { (table.shown) " of " (table.rows.len()) " rows; all are in the " }
            a href=(document.data_file(table.name)) { @if table.rows.len() > table.shown { "data" } @else { "Data" } }
        }
    }
}

fn headings(table: &DataTable) -> Markup {
    html! { @for (column, heading) in table.headings.iter().enumerate() {
        th scope="col" .number[table.is_number(column)] { (title_of(heading)) }
    } }
}

fn title_of(heading: &Heading) -> Markup {
    let defined = heading.term.and_then(|key| Some((key, definition(key)?)));
    html! {
        @if let Some((key, told)) = defined {
            a.term href={ "#term-" (key) } title=(told) { (heading.title) }
        } @else {
            (heading.title)
        }
    }
}

fn cell_of(table: &DataTable, column: usize, cell: &Cell) -> Markup {
    match cell {
        Cell::Text(text) => html! { td.text { (text) } },
        Cell::Number { value: None, .. } => html! { td.none { "n/a" } },
        Cell::Number { value: Some(value), interval, unit } => html! {
            td.number {
                (shown(*value, *unit))
                @if let Some((low, high)) = interval {
                    " " span.interval { (shown(*low, *unit)) " to " (shown(*high, *unit)) }
                } @else if table.has_interval(column) { " " span.interval {} }
            }
        },
    }
}

/// The definitions of all terms that stand above a column.
fn definitions(sections: &[&Section]) -> Markup {
    let tables = sections.iter().flat_map(|section| &section.tables);
    let used: BTreeSet<&str> =
        tables.flat_map(|table| &table.headings).filter_map(|heading| heading.term).chain(["head"]).collect();
    html! {
        section id="definitions" {
            h2 { "Definitions" }
            dl { @for (key, told) in TERMS.iter().filter(|(key, _)| used.contains(key)) {
                div id={ "term-" (key) } { dt { (key.replace('-', " ")) } dd { (told) } }
            } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publication::document::{Unit, defined, heading};

    fn document(tables: Vec<DataTable>) -> Document {
        let section = |id, tables| Section {
            id,
            title: "Scores",
            command: "headspan metrics my-clip".to_owned(),
            note: String::new(),
            warning: None,
            tables,
            charts: Vec::new(),
            matrices: Vec::new(),
        };
        let sections = vec![section("scores", tables), section("other", Vec::new())];
        Document { model: "my-clip".to_owned(), dataset: "photos".to_owned(), sections, ..Document::default() }
    }

    #[test]
    fn a_page_shows_the_first_rows_and_says_what_is_missing() {
        let row = |text: &str, value| vec![Cell::text(text), Cell::within(value, Some((0.25, 0.75)), Unit::Percent)];
        let table = DataTable {
            name: "scores",
            caption: "Scores".to_owned(),
            headings: vec![heading("labeller", "labeller"), defined("entanglement", "entanglement", "entanglement")],
            rows: vec![row("<b>", Some(0.5)), row("other", None)],
            shown: 1,
        };
        let page = run_page(&document(vec![table]));
        assert!(page.contains("&lt;b&gt;") && page.contains("50.0 <span class=\"interval\">25.0 to 75.0"), "{page}");
        assert!(page.contains("1 of 2 rows") && !page.contains("other</td>"), "{page}");
        assert!(page.contains("href=\"#term-entanglement\"") && page.contains("id=\"term-entanglement\""), "{page}");
        assert!(page.contains("Not measured") && page.contains("<code>headspan metrics my-clip</code>"), "{page}");
    }

    #[test]
    fn the_page_over_all_runs_links_each() {
        let page = index_page(&[document(Vec::new())]);
        assert!(page.contains("href=\"my-clip.html\"") && page.contains("photos"), "{page}");
    }
}
