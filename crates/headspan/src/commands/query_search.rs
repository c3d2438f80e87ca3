use anyhow::Result;
use comfy_table::{Cell, CellAlignment, Table, presets::UTF8_HORIZONTAL_ONLY};
use headspan_artifacts::HeadId;
use headspan_pipeline::Session;
use headspan_query::{Carried, Found};
use serde::Serialize;

use crate::{
    cli::SearchArgs,
    commands::{explore::sessions, placed, query::embedding, settings},
    console::Console,
};

/// What a search found, over all models.
#[derive(Serialize)]
struct Answer {
    /// Heads that carry the text, or that the image excites, most first.
    heads: Vec<FoundHead>,
    /// What is called so, by run.
    named: Vec<Named>,
}

#[derive(Serialize)]
struct FoundHead {
    run: String,
    head: HeadId,
    property: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    carried: Option<Carried>,
    /// Distance of the image's contribution from the head's mean, over its root mean square over all images.
    #[serde(skip_serializing_if = "Option::is_none")]
    excited: Option<f64>,
}

impl FoundHead {
    fn strength(&self) -> f64 {
        self.carried.map(|carried| carried.times).or(self.excited).unwrap_or(0.0)
    }
}

#[derive(Serialize)]
struct Named {
    run: String,
    found: Found,
}

/// Finds heads by a text or an image over all models of a data set, and what is called so.
pub(super) fn search(arguments: &SearchArgs, console: &Console<'_>) -> Result<()> {
    let model = arguments.models.first().map(String::as_str);
    let pipeline = placed(&arguments.pipeline(), model)?;
    let own = settings(&pipeline, None)?;
    let mut answer = Answer { heads: Vec::new(), named: Vec::new() };
    for session in sessions(&arguments.models, &pipeline, &own)? {
        let (run, name) = (session.run(), session.run().name());
        if let Some(words) = &arguments.words {
            let found = run.find(words, arguments.count.get());
            if found != Found::default() {
                answer.named.push(Named { run: name.clone(), found });
            }
        }
        answer.heads.extend(heads(&session, arguments)?);
    }
    answer.heads.sort_by(|one, two| two.strength().total_cmp(&one.strength()));
    answer.heads.truncate(arguments.count.get());
    if arguments.json {
        return console.print_json(&answer);
    }
    console.print(&in_words(&answer))
}

/// A run's heads for the text or the image.
fn heads(session: &Session, arguments: &SearchArgs) -> Result<Vec<FoundHead>> {
    let (run, name) = (session.run(), session.run().name());
    let property = |head: HeadId| run.label(head).and_then(|label| label.property.clone());
    let found =
        |head, carried, excited| FoundHead { run: name.clone(), head, property: property(head), carried, excited };
    match (&arguments.words, &arguments.file) {
        (_, Some(file)) => {
            let trace = session.trace(&session.file(file)?)?;
            Ok(run
                .heads_by_image(&trace)?
                .into_iter()
                .map(|(head, excited)| found(head, None, Some(excited)))
                .collect())
        }
        (words, None) => {
            let embedding = embedding(session, words.as_deref().unwrap_or_default())?;
            let ranked = run.heads_by_text(&embedding)?;
            Ok(ranked.into_iter().map(|(head, carried)| found(head, Some(carried), None)).collect())
        }
    }
}

fn in_words(answer: &Answer) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY);
    let by_text = answer.heads.iter().any(|head| head.carried.is_some());
    let right = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
    let ends = if by_text { &["variance", "above", "in the span"][..] } else { &["excited"][..] };
    table.set_header(["run", "head", "property"].iter().chain(ends));
    for found in &answer.heads {
        let mut row = vec![
            Cell::new(&found.run),
            Cell::new(found.head),
            Cell::new(found.property.as_deref().unwrap_or("no label")),
        ];
        match &found.carried {
            Some(carried) => row.extend([
                right(format!("{:.1} ×", carried.times)),
                right(format!("{:.0} %", 100.0 * carried.above)),
                right(format!("{:.0} %", 100.0 * carried.span)),
            ]),
            None => row.push(right(format!("{:.1} ×", found.excited.unwrap_or(0.0)))),
        }
        table.add_row(row);
    }
    let mut lines = vec![table.to_string()];
    if by_text {
        lines.push(
            "variance: of the head along the text, over that along a typical text of the pool; above: share of the pool's \
             texts along which the head varies less"
                .to_owned(),
        );
        if answer.heads.iter().all(|head| head.carried.is_some_and(|carried| carried.is_noise())) {
            lines.push("no head carries the text: all vary more along most other texts".to_owned());
        }
    } else {
        lines.push("excited: distance from the head's mean, over its root mean square over all images".to_owned());
    }
    for Named { run, found } in &answer.named {
        for property in &found.properties {
            let heads: Vec<String> = property.heads.iter().map(ToString::to_string).collect();
            lines.push(format!("{run}: property {}: {}", property.property, heads.join(" ")));
        }
        for class in &found.classes {
            lines.push(format!("{run}: class {} ({} images)", class.class, class.images));
        }
        for text in &found.texts {
            let share = 100.0 * text.variance_share;
            lines.push(format!("{run}: text {:?} of {} (pick {}, {share:.1} %)", text.text, text.head, text.pick));
        }
    }
    lines.join("\n")
}
