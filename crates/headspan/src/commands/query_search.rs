use anyhow::Result;
use comfy_table::{Cell, CellAlignment, Table, presets::UTF8_HORIZONTAL_ONLY};
use headspan_pipeline::Session;
use headspan_query::{Found, FoundHead};
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
    answer.heads = FoundHead::strongest(answer.heads, arguments.count.get());
    if arguments.json {
        return console.print_json(&answer);
    }
    console.print(&in_words(&answer))
}

/// A run's heads for the text or the image.
fn heads(session: &Session, arguments: &SearchArgs) -> Result<Vec<FoundHead>> {
    let run = session.run();
    let found = match (&arguments.words, &arguments.file) {
        (_, Some(file)) => FoundHead::by_image(run, &session.trace(&session.file(file)?)?),
        (words, None) => FoundHead::by_text(run, &embedding(session, words.as_deref().unwrap_or_default())?),
    };
    Ok(found?)
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
        if FoundHead::are_noise(&answer.heads) {
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
