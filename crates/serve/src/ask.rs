//! Questions as they stand in a URL.

use std::collections::BTreeSet;

use form_urlencoded::{Serializer, parse};

use crate::error::WebError;
use headspan_query::{Baseline, HeadSelection, NeighboursRequest, Shading, Similarity};

/// Longest text that a question may hold, in characters.
const LONGEST_TEXT: usize = 1_000;
/// Most texts of one segmentation.
const MOST_TEXTS: usize = 6;
/// Most texts of one's own whose mean is subtracted.
const MOST_BASELINE_TEXTS: usize = 64;
/// Most images of one answer.
const MOST_IMAGES: usize = 200;

/// Fields of a query string in order; a field may stand several times.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    pub(super) fn read(query: Option<&str>) -> Self {
        let pairs = parse(query.unwrap_or_default().as_bytes());
        Self(pairs.map(|(key, value)| (key.into_owned(), value.into_owned())).collect())
    }

    /// First value of a field; none if it is missing or empty.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.all(key).next()
    }

    /// Values of a field that are not empty.
    pub(super) fn all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
        self.pairs().filter(move |(own, value)| *own == key && !value.trim().is_empty()).map(|(_, value)| value)
    }

    /// The same fields with one set anew, as a query string.
    pub(super) fn with(&self, key: &str, value: &str) -> String {
        let mut fields = self.without(&[key]);
        fields.push(key, value);
        fields.text()
    }

    /// Adds a field.
    pub(super) fn push(&mut self, key: &str, value: &str) {
        self.0.push((key.to_owned(), value.to_owned()));
    }

    /// All fields in order.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// The other fields.
    pub(super) fn without(&self, keys: &[&str]) -> Self {
        Self(self.0.iter().filter(|(own, _)| !keys.contains(&own.as_str())).cloned().collect())
    }

    /// These fields alone.
    pub(super) fn only(&self, keys: &[&str]) -> Self {
        Self(self.0.iter().filter(|(own, _)| keys.contains(&own.as_str())).cloned().collect())
    }

    /// The same fields, those of one name under another.
    pub(super) fn renamed(&self, from: &str, to: &str) -> Self {
        let name = |own: &String| if own == from { to.to_owned() } else { own.clone() };
        Self(self.0.iter().map(|(own, value)| (name(own), value.clone())).collect())
    }

    /// As a query string.
    pub(super) fn text(&self) -> String {
        Serializer::new(String::new()).extend_pairs(self.0.iter().filter(|(_, value)| !value.is_empty())).finish()
    }

    fn number<T: std::str::FromStr>(&self, key: &str, default: T) -> Result<T, WebError> {
        Ok(self.optional_number(key)?.unwrap_or(default))
    }

    /// A number, if the field is there.
    pub(super) fn optional_number<T: std::str::FromStr>(&self, key: &str) -> Result<Option<T>, WebError> {
        let Some(text) = self.get(key) else { return Ok(None) };
        let number = text.trim().parse();
        number
            .map(Some)
            .map_err(|_no_number| WebError::question(format!("{key}: `{}` is not a number", shortened(text))))
    }

    /// What one of two names stands for; the first, if the field is not there.
    fn either<T>(&self, key: &str, [(first, one), (second, other)]: [(&str, T); 2]) -> Result<T, WebError> {
        match self.get(key) {
            None => Ok(one),
            Some(name) if name == first => Ok(one),
            Some(name) if name == second => Ok(other),
            Some(name) => {
                let name = shortened(name);
                Err(WebError::question(format!("{key}: `{name}` is neither {first} nor {second}")))
            }
        }
    }

    fn flag(&self, key: &str) -> bool {
        self.get(key).is_some_and(|value| matches!(value, "1" | "true" | "on" | "yes"))
    }
}

/// What a question is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum QueryInput {
    /// An image of the run.
    Image(u64),
    /// An upload, by its hash.
    Upload(String),
    /// A text.
    Text(String),
}

impl QueryInput {
    /// Position of an image of the run.
    pub(super) fn image(&self) -> Option<u64> {
        if let Self::Image(image) = self { Some(*image) } else { None }
    }

    /// Name of an upload.
    pub(super) fn upload(&self) -> Option<String> {
        if let Self::Upload(name) = self { Some(name.clone()) } else { None }
    }

    /// A text.
    pub(super) fn text(&self) -> Option<String> {
        if let Self::Text(text) = self { Some(text.clone()) } else { None }
    }
}

/// Neighbours of what, by which heads.
#[derive(Debug, Clone)]
pub(super) struct NeighboursAsk {
    pub(super) input: Option<QueryInput>,
    pub(super) request: NeighboursRequest,
}

/// Which texts in which image.
#[derive(Debug, Clone)]
pub(super) struct SegmentAsk {
    pub(super) input: Option<QueryInput>,
    pub(super) texts: Vec<String>,
    pub(super) heads: HeadSelection,
    /// What is subtracted from each text.
    pub(super) baseline: Baseline,
    pub(super) shading: Shading,
}

/// Which images to leaf through.
#[derive(Debug, Clone)]
pub(super) struct ImagesAsk {
    /// Only those whose id holds this.
    pub(super) find: Option<String>,
    /// Only those of this class.
    pub(super) class: Option<String>,
    /// How many to pass over.
    pub(super) from: usize,
    /// Page of the run that a chosen image goes to.
    pub(super) next: Next,
}

/// Pages that an image can be chosen for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    Neighbours,
    Segment,
}

/// The analyses by the names that they have in a URL.
const NEXT: [(&str, Next); 2] = [("neighbours", Next::Neighbours), ("segment", Next::Segment)];

impl Next {
    /// Last part of the page's path.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Neighbours => "neighbours",
            Self::Segment => "segment",
        }
    }
}

/// A question to several runs.
#[derive(Debug, Clone)]
pub(super) enum CompareAsk {
    Neighbours(NeighboursAsk),
    Segment(SegmentAsk),
}

impl ImagesAsk {
    pub(super) fn read(fields: &Fields) -> Result<Self, WebError> {
        let own = |key: &str| -> Result<Option<String>, WebError> {
            let Some(text) = fields.get(key) else { return Ok(None) };
            short_enough(text)?;
            Ok(Some(text.trim().to_owned()))
        };
        let next = fields.either("next", NEXT)?;
        Ok(Self { find: own("find")?, class: own("class")?, from: fields.number("from", 0)?, next })
    }
}

impl CompareAsk {
    pub(super) fn read(fields: &Fields) -> Result<Self, WebError> {
        match fields.either("analysis", NEXT)? {
            Next::Neighbours => Ok(Self::Neighbours(NeighboursAsk::read(fields)?)),
            Next::Segment => Ok(Self::Segment(SegmentAsk::read(fields)?)),
        }
    }
}

impl NeighboursAsk {
    pub(super) fn read(fields: &Fields) -> Result<Self, WebError> {
        let heads = heads(fields)?;
        let count = fields.number("count", 12_usize)?;
        if !(1..=MOST_IMAGES).contains(&count) {
            return Err(WebError::question(format!("count: {count} is not between 1 and {MOST_IMAGES}")));
        }
        let similarity = similarity(fields)?;
        let classes: BTreeSet<String> = fields.all("class").map(str::to_owned).collect();
        let request = NeighboursRequest { heads, count, similarity, classes, farthest: fields.flag("farthest") };
        Ok(Self { input: query_input(fields, true)?, request })
    }
}

impl SegmentAsk {
    pub(super) fn read(fields: &Fields) -> Result<Self, WebError> {
        let texts: Vec<String> = fields.all("text").map(|text| text.trim().to_owned()).collect();
        if texts.len() > MOST_TEXTS {
            return Err(WebError::question(format!("{} texts are more than {MOST_TEXTS}", texts.len())));
        }
        texts.iter().try_for_each(|text| short_enough(text))?;
        let shading = fields.either("shading", [("smooth", Shading::Smooth), ("patches", Shading::Patches)])?;
        let (input, heads, baseline) = (query_input(fields, false)?, heads(fields)?, baseline(fields)?);
        Ok(Self { input, texts, heads, baseline, shading })
    }
}

/// How images are compared.
pub(super) fn similarity(fields: &Fields) -> Result<Similarity, WebError> {
    fields.either("similarity", [("cosine", Similarity::Cosine), ("dot", Similarity::Dot)])
}

/// Name of the choice of texts of one's own, which stand in [`OWN_BASELINE`], with semicolons between them.
pub(super) const OWN: &str = "texts";
/// Field of texts whose mean is subtracted.
pub(super) const OWN_BASELINE: &str = "baseline_text";

/// What is subtracted from texts: texts of one's own if they are chosen, or if nothing is chosen and some are given.
fn baseline(fields: &Fields) -> Result<Baseline, WebError> {
    let own: Vec<String> =
        fields.all(OWN_BASELINE).flat_map(|texts| texts.split(';')).map(|text| text.trim().to_owned()).collect();
    let own: Vec<String> = own.into_iter().filter(|text| !text.is_empty()).collect();
    own.iter().try_for_each(|text| short_enough(text))?;
    if own.len() > MOST_BASELINE_TEXTS {
        return Err(WebError::question(format!("{} texts to subtract are more than {MOST_BASELINE_TEXTS}", own.len())));
    }
    match fields.get("baseline") {
        None | Some(OWN) if !own.is_empty() => Ok(Baseline::Texts(own)),
        None | Some(OWN) => Ok(Baseline::Auto),
        Some(name) => name.parse().map_err(|error| WebError::question(format!("baseline: {error}"))),
    }
}

fn heads(fields: &Fields) -> Result<HeadSelection, WebError> {
    match fields.get("heads") {
        None => Ok(HeadSelection::All),
        Some(text) => {
            short_enough(text)?;
            Ok(text.parse()?)
        }
    }
}

/// The subject that the field `by` names, as far as it is given; else of an upload, an image and a text the first that is.
fn query_input(fields: &Fields, text_counts: bool) -> Result<Option<QueryInput>, WebError> {
    let text = if text_counts { fields.get("text") } else { None };
    match (fields.get("by"), text) {
        (Some("text"), Some(text)) => return text_input(text),
        (Some("image"), _) if fields.get("image").is_some() => return image_input(fields),
        _ => {}
    }
    if let Some(upload) = fields.get("upload") {
        let is_hash = upload.len() == 24 && upload.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_hash {
            return Err(WebError::question("upload: not the name of an upload"));
        }
        return Ok(Some(QueryInput::Upload(upload.to_owned())));
    }
    if fields.get("image").is_some() {
        return image_input(fields);
    }
    text.map_or(Ok(None), text_input)
}

/// What is searched for: an upload if one is named, else words, which the box of every page calls `q`.
pub(super) fn search_input(fields: &Fields) -> Result<Option<QueryInput>, WebError> {
    let own = fields.only(&["text", "upload", "by"]);
    let fields = if own.get("text").is_some() { own } else { fields.only(&["q", "upload", "by"]).renamed("q", "text") };
    query_input(&fields, true)
}

fn image_input(fields: &Fields) -> Result<Option<QueryInput>, WebError> {
    Ok(fields.optional_number("image")?.map(QueryInput::Image))
}

fn text_input(text: &str) -> Result<Option<QueryInput>, WebError> {
    short_enough(text)?;
    Ok(Some(QueryInput::Text(text.trim().to_owned())))
}

pub(super) fn short_enough(text: &str) -> Result<(), WebError> {
    let length = text.chars().count();
    if length > LONGEST_TEXT {
        return Err(WebError::question(format!("a text of {length} characters; at most {LONGEST_TEXT} are read")));
    }
    Ok(())
}

/// The beginning of a text, for a message.
pub(super) fn shortened(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn neighbours(query: &str) -> Result<NeighboursAsk, WebError> {
        NeighboursAsk::read(&Fields::read(Some(query)))
    }

    #[test]
    fn a_question_is_read_from_its_url() -> Result<(), WebError> {
        let ask =
            neighbours("heads=L3.H5&text=a+red%20boat&count=5&similarity=cosine&class=boat&class=fish&farthest=1")?;
        assert_eq!(ask.input, Some(QueryInput::Text("a red boat".to_owned())));
        assert_eq!((ask.request.count, ask.request.similarity, ask.request.farthest), (5, Similarity::Cosine, true));
        assert_eq!(ask.request.classes.len(), 2);
        assert_eq!(ask.request.heads.to_string(), "L3.H5");
        let by = |query: &str| neighbours(query).map(|ask| ask.input);
        assert_eq!(by("text=a&image=3")?, Some(QueryInput::Image(3)));
        assert_eq!(by("by=text&text=a&image=3")?, Some(QueryInput::Text("a".to_owned())));
        assert_eq!(by("by=text&text=&image=3")?, Some(QueryInput::Image(3)), "nothing was typed");
        assert_eq!(by("by=image&image=3&upload=0123456789abcdef01234567")?, Some(QueryInput::Image(3)));
        let empty = neighbours("heads=&text=&image=&upload=")?;
        assert_eq!((empty.input, empty.request.heads), (None, HeadSelection::All));
        Ok(())
    }

    #[test]
    fn what_cannot_be_is_said() {
        for (query, says) in [
            ("count=0", "count: 0 is not between 1 and 200"),
            ("count=NaN", "count: `NaN` is not a number"),
            ("image=-1", "image: `-1` is not a number"),
            ("image=99999999999999999999999", "is not a number"),
            ("similarity=euclid", "neither cosine nor dot"),
            ("upload=../../etc/passwd", "not the name of an upload"),
        ] {
            let message = neighbours(query).err().map(|error| error.message).unwrap_or_default();
            assert!(message.contains(says), "{query}: {message}");
        }
        let long = format!("text={}", "a".repeat(10_000));
        let message = neighbours(&long).err().map(|error| error.message).unwrap_or_default();
        assert_eq!(message, "a text of 10000 characters; at most 1000 are read");
        let many = "text=a&".repeat(7);
        assert!(SegmentAsk::read(&Fields::read(Some(&many))).is_err());
    }

    proptest! {
        #[test]
        fn no_query_string_panics(query in "\\PC*") {
            let fields = Fields::read(Some(&query));
            let _ = NeighboursAsk::read(&fields);
            let _ = SegmentAsk::read(&fields);
            let _ = ImagesAsk::read(&fields);
            let _ = CompareAsk::read(&fields);
        }

        #[test]
        fn fields_survive_a_link(pairs in proptest::collection::vec(("[a-z]{1,6}", "\\PC{1,12}"), 0..6)) {
            let fields = Fields(pairs);
            prop_assert_eq!(Fields::read(Some(&fields.text())), fields);
        }
    }
}
