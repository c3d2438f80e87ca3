use headspan_artifacts::{ImageRow, ImageStatus};
use maud::{Markup, html};
use serde::Serialize;

use super::layout::{QUESTION_CLASS, Title, formats, heading, image_id, kept_note, page};
use crate::{
    app::Shared,
    ask::{Fields, ImagesAsk, Next},
    error::WebError,
    page_request::Page,
};
use headspan_query::{Columns, ExploreRun, name_columns};

/// Images of one page.
const SHOWN: usize = 60;
/// Most classes offered in a list; above that they are typed.
const CLASSES: usize = 400;

/// Images of a run to leaf through and to choose from.
#[derive(Debug, Serialize)]
pub(crate) struct ImagesPage {
    run: String,
    find: Option<String>,
    class: Option<String>,
    from: usize,
    /// Images that fit, on all pages.
    found: usize,
    /// Images of this page.
    images: Vec<Listed>,
    #[serde(skip)]
    classes: Vec<String>,
    #[serde(skip)]
    next: Next,
    /// Fields of the page that an image is chosen for.
    #[serde(skip)]
    kept: Fields,
}

#[derive(Debug, Serialize)]
struct Listed {
    image_index: u64,
    image_id: String,
    class_id: Option<String>,
}

impl ImagesPage {
    pub(crate) fn new(run: &ExploreRun, ask: &ImagesAsk, fields: &Fields) -> Result<Self, WebError> {
        let wanted = ask.find.as_ref().map(|find| find.to_lowercase());
        let fits = |row: &&ImageRow| {
            row.status == ImageStatus::Ok
                && ask.class.as_ref().is_none_or(|class| row.class_id.as_ref() == Some(class))
                && wanted.as_ref().is_none_or(|wanted| row.image_id.to_lowercase().contains(wanted.as_str()))
        };
        let fitting: Vec<&ImageRow> = run.images().iter().filter(fits).collect();
        let found = fitting.len();
        if ask.from > 0 && ask.from >= found {
            let message =
                format!("{found} images of `{}` are like that; from: {} passes them all over", run.name(), ask.from);
            return Err(WebError::absent(message));
        }
        let images = fitting.into_iter().skip(ask.from).take(SHOWN).map(|row| Listed {
            image_index: row.image_index,
            image_id: row.image_id.clone(),
            class_id: row.class_id.clone(),
        });
        Ok(Self {
            run: run.name(),
            find: ask.find.clone(),
            class: ask.class.clone(),
            from: ask.from,
            found,
            images: images.collect(),
            classes: run.classes().iter().take(CLASSES + 1).cloned().collect(),
            next: ask.next,
            kept: fields.without(&["find", "class", "from", "next", "image", "upload", "by"]),
        })
    }

    /// What the images are filtered by.
    fn filter(&self) -> String {
        self.class.iter().chain(&self.find).cloned().collect::<Vec<_>>().join(", ")
    }

    /// This page with other images.
    fn link(&self, from: usize) -> String {
        let mut fields = self.kept.clone();
        fields.push("next", self.next.name());
        fields.push("find", self.find.as_deref().unwrap_or(""));
        fields.push("class", self.class.as_deref().unwrap_or(""));
        fields.push("from", &from.to_string());
        format!("/r/{}/images?{}", self.run, fields.text())
    }

    /// Which images are shown, up to the `last`, and the way to those before and after.
    fn turn(&self, last: usize) -> Markup {
        html! {
            span.turn {
                @if self.from > 0 { a rel="prev" href=(self.link(self.from.saturating_sub(SHOWN))) { "← before" } }
                span { @if self.found == 0 { "No image is like that." } @else { (self.from + 1) " to " (last) " of " (self.found) " images" } }
                @if last < self.found { a rel="next" href=(self.link(last)) { "after →" } }
            }
        }
    }
}

impl Page for ImagesPage {
    fn html(&self, shared: &Shared) -> Markup {
        let run = self.run.as_str();
        let target = format!("/r/{run}/{}", self.next.name());
        let link = self.link(self.from);
        // The question gets its own class back.
        let question = self.kept.renamed(QUESTION_CLASS, "class");
        let query = link.split_once('?').map_or("", |(_, query)| query);
        let last = (self.from + self.images.len()).min(self.found);
        page(
            &Title { section: "Images", asked: self.filter() },
            Some(run),
            &html! {
                (heading("Images", match self.next {
                    Next::Neighbours => "Choose an image to find its neighbours.",
                    Next::Segment => "Choose an image to see where in it a text is.",
                }))
                (kept_note(shared, run))
                form.ask autocomplete="off" method="get" action={ "/r/" (run) "/images" } {
                    @for (key, value) in self.kept.pairs() { input type="hidden" name=(key) value=(value); }
                    label { "Choose for "
                        select name="next" {
                            option value="neighbours" selected[self.next == Next::Neighbours] { "neighbours" }
                            option value="segment" selected[self.next == Next::Segment] { "segmentation" }
                        }
                    }
                    label { "Name holds " input type="search" name="find" maxlength="200" value=(self.find.as_deref().unwrap_or("")); }
                    @if !self.classes.is_empty() {
                        label { "Class "
                            @if self.classes.len() > CLASSES {
                                input type="text" name="class" maxlength="200" value=(self.class.as_deref().unwrap_or(""));
                            } @else {
                                select name="class" {
                                    option value="" { "any" }
                                    @for class in &self.classes { option value=(class) selected[self.class.as_ref() == Some(class)] { (class) } }
                                }
                            }
                        }
                    }
                    button { "Show" }
                }
                div.meta.ends { (self.turn(last)) " " (formats(&format!("/r/{run}/images"), query)) }
                ol.grid.small {
                    @for image in &self.images {
                        li {
                            a.picture href={ (target) "?" (question.with("image", &image.image_index.to_string())) } {
                                img loading="lazy" src={ "/r/" (run) "/image/" (image.image_index) } alt=(image.image_id);
                            }
                            @if let Some(class) = &image.class_id { p.class { (class) } }
                            (image_id(&image.image_id, image.class_id.as_deref()))
                        }
                    }
                }
                @if self.from > 0 || last < self.found { div.meta { (self.turn(last)) } }
            },
        )
    }

    fn table(&self) -> Columns {
        let images = self.images.iter();
        name_columns(images.map(|image| (image.image_index, image.image_id.as_str(), image.class_id.as_deref())))
    }
}
