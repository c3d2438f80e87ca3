use headspan_artifacts::RunDirectory;
use headspan_metrics::About;
use maud::{Markup, html};

use crate::people::Agreement;

/// How far the labellers of each run and the people who reviewed it agree; nothing where no run has two.
pub(super) fn agreements(runs: &[RunDirectory], agreed: &[Agreement]) -> Markup {
    let rows = || runs.iter().zip(agreed).flat_map(|(run, agreed)| agreed.agreements.iter().map(move |row| (run, row)));
    let judged = || {
        let several = |agreed: &&Agreement| agreed.associations.iter().any(|one| one.judges > 0);
        runs.iter().zip(agreed).filter(move |(_, agreed)| several(agreed))
    };
    html! {
        @if rows().next().is_some() {
            h2 { "How far labellers agree" }
            p.note { "Cohen's kappa: 1 if two say the same of everything, 0 if they agree as by chance. People's names are those that they gave without sight of a label." }
            div.scroll { table {
                thead { tr { th { "model" } th { "labellers" } th { "about" } th.number { "kappa" } th.number { "interval" } th.number { "the same" } th.number { "of" } } }
                tbody { @for (run, row) in rows() { tr {
                    td { (run.id().model()) } td { (row.labellers.join(", ")) }
                    td { (match row.about { About::Texts => "texts that fit", About::Names => "names of heads" }) }
                    td.number { (row.kappa.map_or_else(|| "n/a".to_owned(), |kappa| format!("{kappa:.2}"))) }
                    td.number { (interval(row.interval)) } td.number { (format!("{:.0} %", 100.0 * row.share)) } td.number { (row.n) }
                } } }
            } }
        }
        @if judged().next().is_some() {
            p.note { "Association with all judges: the second interval also draws who judges." }
            div.scroll { table {
                thead { tr { th { "model" } th { "labeller" } th.number { "association" } th.number { "over heads" } th.number { "over heads and judges" } th.number { "other judges" } } }
                tbody { @for (run, agreed) in judged() { @for one in &agreed.associations { tr {
                    td { (run.id().model()) } td { (one.labeller) } td.number { (format!("{:.3}", one.value)) }
                    td.number { (interval(one.over_heads)) } td.number { (interval(one.over_judges)) } td.number { (one.judges) }
                } } } }
            } }
        }
    }
}

fn interval(interval: Option<(f64, f64)>) -> String {
    interval.map_or_else(|| "n/a".to_owned(), |(low, high)| format!("{low:.2} to {high:.2}"))
}
