use serde::Serialize;

use super::layout::counted;
use crate::error::WebError;
use headspan_query::{
    Carried, Columns, ExploreRun, HeadSelection, ImageTrace, Scale, Subtraction, contrast, contrast_of, looks,
    patch_columns, segment as token_scores, typical_contrast,
};

/// Heat maps on one scale.
#[derive(Debug, Serialize)]
pub(crate) struct Maps {
    pub(super) grid: usize,
    pub(super) heads: usize,
    pub(super) scale: Scale,
    /// Contrast of a typical map of this image, over texts of the pool: the unit that a scale is read in. None of a neighbour's map.
    pub(super) typical: Option<f32>,
    /// What was subtracted from each text. None of a neighbour's map.
    pub(super) subtracted: Option<Subtraction>,
    /// Whether a text was longer than the model's context. The pages say it, beside their answer.
    #[serde(skip)]
    pub(super) cut: bool,
    /// Of one text its scores, of several the lead of each over the best of the others.
    pub(super) shown: Vec<Map>,
    /// Of several texts the scores of each, which the leads are differences of.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) texts: Vec<TextScores>,
    /// Of several texts the position of the one that is ahead, for each patch.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) winners: Vec<usize>,
}

#[derive(Debug, Serialize)]
pub(super) struct Map {
    pub(super) title: String,
    /// `[grid, grid]`, rows from the top.
    pub(super) scores: Vec<f32>,
    /// Part of the score that stands at the class token, nowhere in the picture.
    pub(super) class_token: f32,
    /// Score of all tokens together.
    pub(super) total: f64,
    /// Contrast of the text's map over that of a typical one.
    pub(super) margin: Option<f32>,
    /// How much of the text the heads carry.
    pub(super) carried: Option<Carried>,
}

#[derive(Debug, Serialize)]
pub(super) struct TextScores {
    pub(super) title: String,
    /// `[grid, grid]`, rows from the top.
    pub(super) scores: Vec<f32>,
}

impl Maps {
    /// Of one text its scores, of several the lead of each over the others. The texts come as
    /// [`ExploreModel::embed`] gives them.
    ///
    /// [`ExploreModel::embed`]: crate::ExploreModel::embed
    pub(crate) fn of_texts(
        run: &ExploreRun,
        trace: &ImageTrace,
        heads: &HeadSelection,
        texts: &[String],
        embeddings: &[(Vec<f32>, bool)],
        subtracted: Subtraction,
    ) -> Result<Self, WebError> {
        let carriers = run.resolve(heads)?;
        let carried =
            embeddings.iter().map(|(text, _cut)| run.carried(&carriers, text)).collect::<Result<Vec<_>, _>>()?;
        let left: Vec<Vec<f32>> = embeddings.iter().map(|(text, _cut)| subtracted.of(text)).collect();
        let directions: Vec<&[f32]> = left.iter().map(Vec::as_slice).collect();
        let typical = Some(typical_contrast(run, trace, heads, &subtracted)?).filter(|typical| *typical > 0.0);
        let cut = embeddings.iter().any(|(_, cut)| *cut);
        if let [only] = directions[..] {
            let mut found = Self::single(run, trace, heads, &texts[0], only)?;
            found.shown[0].carried = carried[0];
            found.shown[0].margin = typical.map(|typical| contrast_of(&found.shown[0].scores) / typical);
            let scale = Scale::around_zero_of(&found.shown[0].scores);
            return Ok(Self { scale, cut, typical, subtracted: Some(subtracted), ..found });
        }
        let found = contrast(run, trace, heads, &directions)?;
        let (grid, count) = (found.maps[0].grid, found.maps[0].heads.len());
        let shown = texts.iter().zip(&found.maps).zip(found.differences).zip(carried);
        let shown = shown.map(|(((text, map), scores), carried)| Map {
            title: text.clone(),
            scores,
            class_token: map.class_token,
            total: map.total(),
            margin: typical.map(|typical| contrast_of(&map.patches) / typical),
            carried,
        });
        let shown: Vec<Map> = shown.collect();
        let texts = texts.iter().zip(found.maps);
        let texts: Vec<TextScores> =
            texts.map(|(text, map)| TextScores { title: text.clone(), scores: map.patches }).collect();
        // The texts and their differences are shown side by side, so the scale holds them all.
        let scale = Scale::around_zero_of(texts.iter().flat_map(|text| &text.scores).chain([&found.scale]));
        let winners = (0..grid * grid).map(|patch| ahead(&texts, patch)).collect();
        Ok(Self { grid, heads: count, scale, typical, subtracted: Some(subtracted), cut, shown, texts, winners })
    }

    /// Of the direction in which a neighbour lies.
    pub(crate) fn of_direction(
        run: &ExploreRun,
        trace: &ImageTrace,
        heads: &HeadSelection,
        neighbour: u64,
        direction: &[f32],
    ) -> Result<Self, WebError> {
        Self::single(run, trace, heads, &format!("near image {neighbour}"), direction)
    }

    /// Of attention, and of what patches add, whatever they say: shares of all tokens.
    pub(crate) fn of_looks(run: &ExploreRun, trace: &ImageTrace, heads: &HeadSelection) -> Result<Self, WebError> {
        let found = looks(run, trace, heads)?;
        let map = |title: &str, scores: Vec<f32>, class_token: f32| Map {
            title: title.to_owned(),
            total: f64::from(class_token) + scores.iter().map(|score| f64::from(*score)).sum::<f64>(),
            scores,
            class_token,
            margin: None,
            carried: None,
        };
        let scale = Scale::of(&[found.attention.as_slice(), &found.added].concat());
        let shown = vec![
            map("attention", found.attention, found.elsewhere),
            map("share in what is added", found.added, found.added_elsewhere),
        ];
        Ok(Self {
            grid: found.grid,
            heads: found.heads.len(),
            scale,
            typical: None,
            subtracted: None,
            cut: false,
            shown,
            texts: Vec::new(),
            winners: Vec::new(),
        })
    }

    fn single(
        run: &ExploreRun,
        trace: &ImageTrace,
        heads: &HeadSelection,
        title: &str,
        direction: &[f32],
    ) -> Result<Self, WebError> {
        let found = token_scores(run, trace, heads, direction)?;
        let (grid, heads, scale) = (found.grid, found.heads.len(), Scale::of(&found.patches));
        let (class_token, total) = (found.class_token, found.total());
        let map =
            Map { title: title.to_owned(), scores: found.patches, class_token, total, margin: None, carried: None };
        Ok(Self {
            grid,
            heads,
            scale,
            typical: None,
            subtracted: None,
            cut: false,
            shown: vec![map],
            texts: Vec::new(),
            winners: Vec::new(),
        })
    }

    /// One row a patch of each map.
    pub(super) fn table(&self) -> Columns {
        patch_columns(&self.grids())
    }

    /// Patches along one side, title and scores of each map.
    pub(super) fn grids(&self) -> Vec<(usize, &str, &[f32])> {
        self.shown.iter().map(|map| (self.grid, map.title.as_str(), map.scores.as_slice())).collect()
    }

    /// What was summed, in words.
    pub(super) fn summary(&self) -> String {
        let less = self.subtracted.as_ref().map(|less| format!(", less {}", less.in_words())).unwrap_or_default();
        format!("{0} × {0} patches of {1}{less}", self.grid, counted(self.heads, "head"))
    }

    /// One scale for the maps of several answers, if they have maps of one kind.
    pub(super) fn common_scale<'a>(answers: impl Iterator<Item = &'a Self>) -> Option<Scale> {
        let scales = answers.map(|answer| answer.scale);
        scales.reduce(|one, other| Scale {
            low: one.low.min(other.low),
            high: one.high.max(other.high),
            diverging: one.diverging || other.diverging,
        })
    }
}

/// The text with the largest score in a patch; of equal ones the first.
fn ahead(texts: &[TextScores], patch: usize) -> usize {
    let better =
        |best: usize, text: usize| if texts[text].scores[patch] > texts[best].scores[patch] { text } else { best };
    (0..texts.len()).fold(0, better)
}
