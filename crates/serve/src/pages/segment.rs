use maud::{Markup, html};
use serde::Serialize;

use super::{
    heat::maps,
    layout::{
        Title, breadcrumbs, cut_note, formats, heading, heads_field, image_choice, in_words, own_image, page,
        selection_tag, sight, subject_query, upload_form, urlencoded,
    },
    maps::Maps,
};
use crate::{
    app::Shared,
    ask::{Fields, OWN, OWN_BASELINE, QueryInput, SegmentAsk},
    error::WebError,
    page_request::Page,
};
use headspan_query::{Baseline, Columns, ExploreRun, Shading, Similarity};

/// Text fields of the form.
const FIELDS: usize = 3;

/// A question about texts in an image and its answer.
#[derive(Debug, Serialize)]
pub(crate) struct SegmentPage {
    run: String,
    heads: String,
    texts: Vec<String>,
    image: Option<u64>,
    upload: Option<String>,
    shading: Shading,
    /// What was asked to be subtracted from each text.
    baseline: Baseline,
    /// Whether a text was longer than the model's context.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    cut: bool,
    /// Maps of the texts; without a text, where the heads look.
    answer: Option<Maps>,
    /// Why there is nothing to see without a text.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    #[serde(skip)]
    query: String,
}

impl SegmentPage {
    pub(crate) fn new(
        run: &ExploreRun,
        ask: &SegmentAsk,
        fields: &Fields,
        answer: Option<Maps>,
        note: Option<String>,
    ) -> Self {
        Self {
            run: run.name(),
            heads: ask.heads.to_string(),
            texts: ask.texts.clone(),
            image: ask.input.as_ref().and_then(QueryInput::image),
            upload: ask.input.as_ref().and_then(QueryInput::upload),
            shading: ask.shading,
            baseline: ask.baseline.clone(),
            cut: answer.as_ref().is_some_and(|maps| maps.cut),
            answer,
            note,
            query: fields.text(),
        }
    }
}

/// Name of the picture that the model sees.
pub(super) fn seen(run: &str, image: Option<u64>, upload: Option<&str>) -> String {
    let name = image.map_or_else(|| upload.unwrap_or_default().to_owned(), |image| image.to_string());
    format!("/r/{run}/seen/{name}.png")
}

impl Page for SegmentPage {
    fn html(&self, shared: &Shared) -> Markup {
        let run = self.run.as_str();
        let path = format!("/r/{run}/segment");
        let picture = seen(run, self.image, self.upload.as_deref());
        let has_image = self.image.is_some() || self.upload.is_some();
        page(
            &Title {
                section: "Segmentation",
                asked: in_words(&self.texts, self.image, self.upload.as_deref(), &self.heads),
            },
            Some(run),
            &html! {
                (heading("Segmentation", "Where in an image the chosen heads find a text, or which of several texts is ahead where."))
                (form(shared, self, &path))
                (upload_form(&format!("{path}?{}", self.query)))
                @if let Some(answer) = &self.answer {
                    section aria-label="Answer" {
                        @if self.texts.is_empty() {
                            p.hint { "Where the heads look, whatever they find: the class token's attention (the mean over heads), and the share of each patch in what is added, by length. Now say what to look for." }
                        }
                        p.meta {
                            (selection_tag(shared, run, &self.heads)) " · " (answer.summary()) (as_published(self, answer, &path)) " · "
                            a href={ "/r/" (run) "/neighbours?heads=" (urlencoded(&self.heads)) "&" (subject_query(self.image, self.upload.as_deref()).unwrap_or_default()) }
                                { "neighbours of this image" }
                            " · " a href={ "/compare?analysis=segment&" (self.query) } { "other models" } " · " (formats(&path, &self.query))
                        }
                        (cut_note(self.cut))
                        (maps(answer, &picture, self.shading, None))
                    }
                } @else if has_image {
                    figure.query { img src=(picture) alt="The image as the model sees it"; }
                    p.hint { "Now say what to look for." @if let Some(note) = &self.note { " Where the heads look is not shown: " (note) "." } }
                } @else {
                    p.empty { "Choose an image of the run, or one of yours, and say what to look for." }
                }
            },
        )
    }

    fn table(&self) -> Columns {
        self.answer.as_ref().map(Maps::table).unwrap_or_default()
    }
}

fn form(shared: &Shared, shown: &SegmentPage, path: &str) -> Markup {
    let sight = sight(&shown.run, "segment", &shown.query);
    // With nothing else to choose, an image of the run needs no choosing.
    let chosen = shown.upload.is_some().then_some(shown.image.is_some());
    html! {
        form.ask autocomplete="off" method="get" action=(path) {
            @if let Some(subject) = shared.runs.get(&shown.run) { (heads_field(subject.run(), &shown.heads)) }
            div.texts { (text_fields(&shown.texts)) }
            fieldset {
                legend { "In" }
                (image_choice("an image of the run", shown.image, chosen, Some(&sight)))
                (own_image(shown.upload.as_deref()))
            }
            div.details {
                (baseline_fields(&shown.baseline))
                label { "Shading "
                    select name="shading" {
                        option value="smooth" selected[shown.shading == Shading::Smooth] { "smooth" }
                        option value="patches" selected[shown.shading == Shading::Patches] { "patches" }
                    }
                }
                button { "Show" }
            }
        }
    }
}

/// The same question with nothing subtracted, or with the default, whichever this one is not.
fn as_published(shown: &SegmentPage, answer: &Maps, path: &str) -> Markup {
    let other = |baseline: &str| {
        let fields = Fields::read(Some(&shown.query)).without(&[OWN_BASELINE]);
        format!("{path}?{}", fields.with("baseline", baseline))
    };
    html! {
        @if let Some(subtracted) = &answer.subtracted {
            " ("
            @if subtracted.baseline == Baseline::Nothing { a href=(other("auto")) { "less what all texts share" } }
            @else { a href=(other("none")) { "as published" } }
            ")"
        }
    }
}

/// The choice of what is subtracted from each text.
pub(super) fn baseline_fields(chosen: &Baseline) -> Markup {
    let own = if let Baseline::Texts(texts) = chosen { texts.join("; ") } else { String::new() };
    let option = |value: &str, name: &str, is: bool| html! { option value=(value) selected[is] { (name) } };
    html! {
        label { "Subtract "
            select name="baseline" {
                (option("auto", "default: class names, else the pool", *chosen == Baseline::Auto))
                (option("classes", "the mean of the class names", *chosen == Baseline::Classes))
                (option("pool", "the mean of the pool", *chosen == Baseline::Pool))
                (option(OWN, "others, of my own", matches!(chosen, Baseline::Texts(_))))
                (option("none", "nothing, as published", *chosen == Baseline::Nothing))
            }
        }
        label { "Texts of mine " input type="text" name=(OWN_BASELINE) maxlength="1000" value=(own) placeholder="a photo; a scene" data-chooses="baseline"; }
    }
}

/// Fields for texts, those that were given and some empty ones.
pub(super) fn text_fields(texts: &[String]) -> Markup {
    html! {
        @for field in 0..FIELDS.max(texts.len()) {
            label { "Text " @if field > 0 { (field + 1) " " }
                input type="text" name="text" maxlength="1000" value=(texts.get(field).map_or("", String::as_str))
                    placeholder=(match field { 0 => "what to look for", 1 => "against this", _ => "" });
            }
        }
    }
}

/// Which patches of an image make another its neighbour.
#[derive(Debug, Serialize)]
pub(crate) struct WhyPage {
    run: String,
    heads: String,
    image: Option<u64>,
    upload: Option<String>,
    neighbour: u64,
    neighbour_id: String,
    answer: Maps,
    #[serde(skip)]
    similarity: Similarity,
    /// What the question about neighbours was, its subject left out.
    #[serde(skip)]
    kept: Fields,
    #[serde(skip)]
    query: String,
}

impl WhyPage {
    pub(crate) fn new(
        run: &ExploreRun,
        ask: &SegmentAsk,
        fields: &Fields,
        (neighbour, similarity): (u64, Similarity),
        answer: Maps,
    ) -> Result<Self, WebError> {
        let subject = ask.input.as_ref();
        let (image, upload) = (subject.and_then(QueryInput::image), subject.and_then(QueryInput::upload));
        let neighbour_id = run.image(neighbour)?.image_id.clone();
        let (heads, query) = (ask.heads.to_string(), fields.text());
        let mut kept = Fields::default();
        kept.push("heads", &heads);
        for (key, value) in fields.only(&["similarity", "class", "count", "farthest"]).pairs() {
            kept.push(key, value);
        }
        Ok(Self { run: run.name(), heads, image, upload, neighbour, neighbour_id, answer, similarity, kept, query })
    }

    fn title(&self) -> Title<'static> {
        let asked = in_words(&[], self.image, self.upload.as_deref(), &self.heads);
        Title { section: "Why", asked: format!("image {} near {asked}", self.neighbour) }
    }

    /// What the map says, which is not the score where that is a cosine.
    fn lead(&self) -> &'static str {
        match self.similarity {
            Similarity::Dot => {
                "The score of a neighbour is a sum over the patches of the query. Bright patches carry it."
            }
            Similarity::Cosine => {
                "The map is of the dot product, a sum over the patches of the query: the cosine by which the neighbour was found, times the lengths of the two contributions. Bright patches carry it."
            }
        }
    }
}

impl Page for WhyPage {
    fn html(&self, shared: &Shared) -> Markup {
        let run = self.run.as_str();
        let turned = format!("image={}&neighbour={}", self.neighbour, self.image.unwrap_or(0));
        let subject = subject_query(self.image, self.upload.as_deref()).unwrap_or_default();
        let kept = self.kept.text();
        let back = format!("/r/{run}/neighbours?{kept}&{subject}");
        page(
            &self.title(),
            Some(run),
            &html! {
                (breadcrumbs(&[("Neighbours", back)], &format!("why image {}", self.neighbour)))
                (heading("Why this neighbour", self.lead()))
                p.meta {
                    (selection_tag(shared, run, &self.heads)) " · " (self.answer.summary())
                    @if self.image.is_some() {
                        " · " a href={ "/r/" (run) "/why?" (kept) "&" (turned) } { "the other way round" }
                    }
                    " · " a href={ "/r/" (run) "/neighbours?" (kept) "&image=" (self.neighbour) } { "neighbours of the neighbour" }
                    " · " (formats(&format!("/r/{run}/why"), &self.query))
                }
                div.pair {
                    (maps(&self.answer, &seen(run, self.image, self.upload.as_deref()), Shading::Patches, None))
                    figure.neighbour {
                        figcaption { strong { "The neighbour" } " " span.id { (self.neighbour_id) } }
                        div.picture { img src={ "/r/" (run) "/seen/" (self.neighbour) ".png" } alt={ "The neighbour, " (self.neighbour_id) }; }
                    }
                }
            },
        )
    }

    fn table(&self) -> Columns {
        self.answer.table()
    }
}
