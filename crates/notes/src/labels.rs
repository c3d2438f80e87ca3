use std::collections::BTreeMap;

use headspan_artifacts::{Fingerprint, HeadId, LabelRow, NoteKind, NoteRow};
use serde_json::json;

use crate::{
    standing::{Place, Standing},
    store::Notes,
};

/// Value of a judgement: the text fits.
pub const FITS: &str = "fits";
/// Value of a judgement: the text does not fit.
pub const FITS_NOT: &str = "not";

/// The first texts of each head as the run has them now.
pub type FirstTexts = BTreeMap<HeadId, Vec<String>>;

/// A text of a head that somebody judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// Who.
    pub author: String,
    /// The head.
    pub head: HeadId,
    /// The label that it was judged against.
    pub property: String,
    /// The text.
    pub text: String,
    /// Place among the head's picks when it was judged.
    pub pick: u32,
    /// Whether it fits; none for undecided, and while two answers stand.
    pub fits: Option<bool>,
    /// Number of the newest answer.
    pub revision: u64,
}

/// Hash of the texts that a person saw of a head, in their order.
pub fn state_of<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let texts: Vec<&str> = texts.into_iter().collect();
    let hash = Fingerprint::builder("texts", 1).config(&json!(texts)).finish();
    hash.as_str().chars().take(16).collect()
}

/// All judgements that stand, by author, head, label and text.
pub fn judgements(notes: &Notes) -> Vec<Judged> {
    let judged = |(place, standing): (Place, Standing)| {
        if place.kind != NoteKind::Judgement {
            return None;
        }
        let (revision, pick) = (standing.revision(), standing.last().pick.unwrap_or(0));
        let fits = standing.value().map(|value| value == FITS);
        Some(Judged {
            author: place.author,
            head: place.head?,
            property: place.property?,
            text: place.key?,
            pick,
            fits,
            revision,
        })
    };
    notes.standing().into_iter().filter_map(judged).collect()
}

/// The names that people gave without sight of a label, by person and head. With `texts`, those of heads whose texts have changed are left out.
pub fn names(notes: &Notes, texts: Option<&FirstTexts>) -> BTreeMap<(String, HeadId), String> {
    let named = |(place, standing): (Place, Standing)| {
        let row = standing.last();
        (place.kind == NoteKind::Name && is_current(row, texts))
            .then(|| Some(((place.author, place.head?), standing.value()?.to_owned())))?
    };
    notes.standing().into_iter().filter_map(named).collect()
}

/// Whether the texts that a note was made on are still those of the head.
fn is_current(row: &NoteRow, texts: Option<&FirstTexts>) -> bool {
    let (Some(texts), Some(state)) = (texts, &row.state) else { return true };
    let now = row.head_id().and_then(|head| texts.get(&head));
    now.is_some_and(|now| state_of(now.iter().map(String::as_str)) == *state)
}

/// Each person as a labeller. A head's property is the one that the person confirmed or gave in sight of its label, else the label whose texts they judged
/// last, else the name that they gave without sight of a label; `consistent` are their judgements against that property. With `texts`, judgements stand
/// where the texts are now, and answers about texts that the head no longer has are left out; else they stand where the texts were.
pub fn person_labels(notes: &Notes, texts: Option<&FirstTexts>) -> Vec<LabelRow> {
    let mut said = judged_by_head(notes, texts);
    for (place, standing) in notes.standing() {
        let (NoteKind::Name | NoteKind::Label, Some(head)) = (place.kind, place.head) else { continue };
        let Some(property) = standing.value().filter(|_| is_current(standing.last(), texts)) else { continue };
        let own = said.entry((place.author, head)).or_default();
        let given = if place.kind == NoteKind::Label { &mut own.label } else { &mut own.name };
        *given = Some(property.to_owned());
    }
    let one = |((author, head), said): ((String, HeadId), Said)| {
        let judged = said.judged.last().map(|one| one.property.clone());
        label(author, head, said.label.or(judged).or(said.name)?, said.judged, texts)
    };
    said.into_iter().filter_map(one).collect()
}

/// Each person as a judge of the texts of heads: a head's property is the label whose texts they judged last, whatever they call the head themselves.
pub fn judged_labels(notes: &Notes, texts: Option<&FirstTexts>) -> Vec<LabelRow> {
    let one = |((author, head), said): ((String, HeadId), Said)| {
        let property = said.judged.last()?.property.clone();
        label(author, head, property, said.judged, texts)
    };
    judged_by_head(notes, texts).into_iter().filter_map(one).collect()
}

/// What one person said of one head.
#[derive(Default)]
struct Said {
    /// Confirmed or given in sight of the label.
    label: Option<String>,
    /// Given without sight of it.
    name: Option<String>,
    /// Texts in the order in which they were judged.
    judged: Vec<Judged>,
}

fn judged_by_head(notes: &Notes, texts: Option<&FirstTexts>) -> BTreeMap<(String, HeadId), Said> {
    let mut all = judgements(notes);
    all.sort_by_key(|one| one.revision);
    let mut said: BTreeMap<(String, HeadId), Said> = BTreeMap::new();
    for judged in all {
        let is_there = |texts: &FirstTexts| texts.get(&judged.head).is_some_and(|own| own.contains(&judged.text));
        if texts.is_none_or(is_there) {
            said.entry((judged.author.clone(), judged.head)).or_default().judged.push(judged);
        }
    }
    said
}

fn label(
    author: String,
    head: HeadId,
    property: String,
    mut judged: Vec<Judged>,
    texts: Option<&FirstTexts>,
) -> Option<LabelRow> {
    judged.retain(|one| one.property.eq_ignore_ascii_case(&property));
    let now = texts.and_then(|texts| texts.get(&head));
    let place = |one: &Judged| match now {
        Some(now) => now.iter().position(|text| *text == one.text),
        None => Some(one.pick as usize),
    };
    let mut consistent = Vec::new();
    // In the order in which they were judged: of two texts that had the same place the newer one is there now.
    for one in &judged {
        let at = place(one)?;
        if consistent.len() <= at {
            consistent.resize(at + 1, None);
        }
        consistent[at] = one.fits;
    }
    Some(LabelRow {
        layer: head.layer,
        head: head.head,
        labeller: author,
        property: Some(property),
        description: None,
        consistent,
        agreement: None,
        prompt_sha256: None,
        llm_model: None,
        tokens_in: 0,
        tokens_out: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: HeadId = HeadId { layer: 0, head: 1 };

    fn row(revision: u64, kind: NoteKind, key: Option<&str>, value: Option<&str>) -> NoteRow {
        NoteRow {
            revision,
            after: revision - 1,
            author: "anna".to_owned(),
            at_ms: 0,
            kind,
            layer: Some(HEAD.layer),
            head: Some(HEAD.head),
            pick: key.map(|key| u32::from(key == "b")),
            property: (kind != NoteKind::Name).then(|| "colors".to_owned()),
            key: key.map(str::to_owned),
            value: value.map(str::to_owned),
            state: Some(state_of(["a", "b"])),
        }
    }

    #[test]
    fn judgements_make_a_label_of_the_property_that_was_judged() {
        let judged = |revision, key, value| row(revision, NoteKind::Judgement, Some(key), value);
        let notes = Notes::of_rows(vec![judged(1, "b", Some(FITS)), judged(2, "a", Some(FITS_NOT))]);
        let labels = person_labels(&notes, None);
        assert_eq!(labels.len(), 1);
        assert_eq!(labels[0].property.as_deref(), Some("colors"));
        assert_eq!(labels[0].consistent, [Some(false), Some(true)]);
    }

    #[test]
    fn what_the_head_no_longer_says_is_left_out_and_kept() {
        let notes = Notes::of_rows(vec![
            row(1, NoteKind::Judgement, Some("a"), Some(FITS)),
            row(2, NoteKind::Name, None, Some("reds")),
        ]);
        let now = FirstTexts::from([(HEAD, vec!["c".to_owned(), "a".to_owned()])]);
        let labels = person_labels(&notes, Some(&now));
        assert_eq!(labels[0].property.as_deref(), Some("colors"), "the name was given on other texts");
        assert_eq!(labels[0].consistent, [None, Some(true)], "the text has moved");
        assert!(names(&notes, Some(&now)).is_empty());
        assert_eq!(names(&notes, None).len(), 1);
    }

    #[test]
    fn a_label_of_ones_own_counts_first_and_a_blind_name_last() {
        let (judged, blind) =
            (row(2, NoteKind::Judgement, Some("a"), Some(FITS)), row(1, NoteKind::Name, None, Some("reds")));
        let of = |rows: Vec<NoteRow>| person_labels(&Notes::of_rows(rows), None).remove(0);
        let both = of(vec![blind.clone(), judged.clone()]);
        assert_eq!((both.property.as_deref(), both.consistent.len()), (Some("colors"), 1));
        assert_eq!(of(vec![blind]).property.as_deref(), Some("reds"));
        let renamed = vec![judged, row(3, NoteKind::Label, None, Some("reds"))];
        let own = of(renamed.clone());
        assert_eq!(own.property.as_deref(), Some("reds"));
        assert!(own.consistent.is_empty(), "the texts were judged against another label");
        let judge = judged_labels(&Notes::of_rows(renamed), None).remove(0);
        assert_eq!((judge.property.as_deref(), judge.consistent.as_slice()), (Some("colors"), &[Some(true)][..]));
    }
}
