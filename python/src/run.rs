//! A finished run, asked in memory.

use std::{collections::BTreeSet, path::PathBuf};

use headspan::{RunSources, open_run};
use headspan_artifacts::Table as RunTable;
use headspan_headspace::HeadId;
use headspan_images::RgbImage8;
use headspan_pipeline::Session;
use headspan_query::{
    Baseline, Carried, ExtremesRequest, HeadSelection, NeighboursRequest, Query, Similarity, contrast, contrast_of,
    image_columns, segment, typical_contrast,
};
use pyo3::{prelude::*, types::PyBytes};

use crate::{
    answers,
    failure::{OrRaise, input, raised},
    log,
    numbers::{Numbers, Values},
    picture::Picture,
    process::may_compute,
    table::Table,
};

/// A finished run with its model and its images, which are opened when a question first needs them.
#[pyclass(frozen, module = "headspan._native")]
pub(crate) struct Run {
    session: Session,
}

/// Span, times and above, as Python's side names them.
fn figures(carried: Carried) -> (f64, f64, f64) {
    (carried.span, carried.times, carried.above)
}

/// One head by its name.
fn one_head(py: Python<'_>, name: &str) -> PyResult<HeadId> {
    let selection: HeadSelection = name.parse().or_raise(py)?;
    match selection {
        HeadSelection::Head(head) => Ok(head),
        _ => Err(input(py, format!("`{name}` is not one head such as L3.H5"))),
    }
}

impl Run {
    fn selection(&self, py: Python<'_>, heads: &str) -> PyResult<HeadSelection> {
        let selection: HeadSelection = heads.parse().or_raise(py)?;
        // Before a model is loaded for heads that there are not.
        self.session.run().resolve(&selection).or_raise(py)?;
        Ok(selection)
    }

    fn embeddings(&self, py: Python<'_>, texts: &[String]) -> PyResult<Vec<Vec<f32>>> {
        if let Some(empty) = texts.iter().find(|text| text.trim().is_empty()) {
            return Err(input(py, format!("the text {empty:?} is empty and has no direction")));
        }
        let embed = || {
            let named: Vec<&str> = texts.iter().map(String::as_str).collect();
            let found = self.session.model()?.embed(&named)?;
            for (text, _) in texts.iter().zip(&found).filter(|(_, (_, cut))| *cut) {
                tracing::warn!("{text:?} is longer than the model's context; its end was cut off");
            }
            Ok::<_, headspan_pipeline::PipelineError>(found.into_iter().map(|(embedding, _)| embedding).collect())
        };
        let found = py.detach(embed).or_raise(py);
        log::hand_over(py)?;
        found
    }
}

/// Images, heads, how many images were compared, and how much of a text the heads carry.
type FoundNeighbours = (Table, Vec<String>, usize, Option<(f64, f64, f64)>);
/// Scores, heads, those of the class token, margins, and what was subtracted.
type SegmentedMaps = (Numbers, Vec<String>, Vec<f32>, Vec<f32>, String);

#[pymethods]
impl Run {
    /// Opens the run in a folder.
    #[staticmethod]
    #[pyo3(signature = (folder, checkpoint=None, images=None, device=None))]
    fn open(
        py: Python<'_>,
        folder: PathBuf,
        checkpoint: Option<PathBuf>,
        images: Option<PathBuf>,
        device: Option<String>,
    ) -> PyResult<Self> {
        may_compute(py)?;
        log::keep();
        let sources = RunSources { checkpoint, images, device };
        let session = py.detach(|| open_run(&folder, &sources)).map_err(|error| raised(py, &error))?;
        log::hand_over(py)?;
        Ok(Self { session })
    }

    /// `dataset/model`.
    #[getter]
    fn name(&self) -> String {
        self.session.run().name()
    }

    /// The run's folder.
    #[getter]
    fn path(&self) -> PathBuf {
        self.session.run().directory().path().to_owned()
    }

    /// The model's folder or file of weights.
    fn checkpoint(&self, py: Python<'_>) -> PyResult<PathBuf> {
        py.detach(|| self.session.checkpoint()).or_raise(py)
    }

    /// What was said of the model beside its configuration: whether it is QuickGELU, and its image size.
    fn model_options(&self, py: Python<'_>) -> PyResult<(Option<bool>, Option<usize>)> {
        let options = self.session.model_options().or_raise(py)?;
        Ok((options.quick_gelu, options.image_size))
    }

    /// Length of the joint embedding.
    #[getter]
    fn d(&self) -> usize {
        self.session.run().d()
    }

    /// Whose labels are shown.
    #[getter]
    fn labeller(&self) -> Option<&'static str> {
        self.session.run().labeller()
    }

    /// Names of the extracted heads, by layer and head.
    fn head_names(&self) -> Vec<String> {
        self.session.run().heads().map(|head| head.to_string()).collect()
    }

    /// Names of the heads of a selection: a head, a layer, a property, a list of them, or `all`.
    fn resolve(&self, py: Python<'_>, heads: &str) -> PyResult<Vec<String>> {
        let selection = self.selection(py, heads)?;
        let found = self.session.run().resolve(&selection).or_raise(py)?;
        Ok(found.iter().map(ToString::to_string).collect())
    }

    /// Properties, each with its heads.
    fn properties(&self) -> Vec<(String, Vec<String>)> {
        let names = |heads: &BTreeSet<HeadId>| heads.iter().map(ToString::to_string).collect();
        self.session.run().properties().iter().map(|(name, heads)| (name.clone(), names(heads))).collect()
    }

    /// A head's label: property, description, agreement.
    fn label(&self, py: Python<'_>, head: &str) -> PyResult<(Option<String>, Option<String>, Option<f64>)> {
        let head = one_head(py, head)?;
        let label = self.session.run().label(head);
        Ok(label.map_or((None, None, None), |row| (row.property.clone(), row.description.clone(), row.agreement)))
    }

    /// Texts that span a head, in the order of TEXTSPAN's picks, each with the share of the variance that its pick removed.
    fn texts(&self, py: Python<'_>, head: &str) -> PyResult<Vec<(String, f64)>> {
        let head = one_head(py, head)?;
        self.session.run().readout(head).or_raise(py)?;
        Ok(self.session.run().textspan(head).iter().map(|pick| (pick.text.clone(), pick.variance_share)).collect())
    }

    /// A table: of the run by its name, or `heads`.
    fn table(&self, py: Python<'_>, name: &str) -> PyResult<Table> {
        may_compute(py)?;
        if name == "heads" {
            return Table::of_columns(py, py.detach(|| answers::heads(self.session.run())));
        }
        if name == "notes" {
            let columns = py.detach(|| self.session.notes()).or_raise(py)?;
            return Table::of_columns(py, columns);
        }
        let table = RunTable::ALL.iter().find(|table| table.name() == name);
        let table = table.ok_or_else(|| input(py, format!("`{name}` is no table of a run")))?;
        Table::read(py, &self.session.run().directory().table(*table))
    }

    /// `z/(σ|r|)` of a head for every extracted image, `[n, head_dim]`.
    fn activations(&self, py: Python<'_>, head: &str) -> PyResult<Numbers> {
        may_compute(py)?;
        let head = one_head(py, head)?;
        let column = py.detach(|| self.session.run().activations(head)).or_raise(py)?;
        let shape = vec![column.values().len() / column.head_dim().max(1), column.head_dim()];
        Ok(Numbers::new(Values::Column(column), shape))
    }

    /// `1/(σ|r|)`, `m/(σ|r|)` and `1/|r|` of every extracted image, `[n, 3]`.
    fn scalars(&self, py: Python<'_>) -> PyResult<Numbers> {
        let rows = py.detach(|| self.session.run().scalars()).or_raise(py)?;
        let values: Vec<f32> = rows.iter().flat_map(|row| row.to_array()).collect();
        Ok(Numbers::floats(values, vec![rows.len(), 3]))
    }

    /// Positions in the data set of the extracted images, `[n]`.
    fn image_indices(&self, py: Python<'_>) -> PyResult<Numbers> {
        let rows = py.detach(|| self.session.run().image_indices()).or_raise(py)?;
        let shape = vec![rows.len()];
        Ok(Numbers::new(Values::Indices(rows), shape))
    }

    /// Readout of a head, `[d, head_dim + 3]`.
    fn readout(&self, py: Python<'_>, head: &str) -> PyResult<Numbers> {
        let head = one_head(py, head)?;
        let readout = self.session.run().readout(head).or_raise(py)?;
        Ok(Numbers::floats(readout.matrix.clone(), vec![readout.d, readout.columns()]))
    }

    /// Contributions of a head to `r/|r|`, `[n, d]`: of some images, or of all.
    #[pyo3(signature = (head, images=None))]
    fn contributions(&self, py: Python<'_>, head: &str, images: Option<Vec<Picture>>) -> PyResult<Numbers> {
        may_compute(py)?;
        let (head, run) = (one_head(py, head)?, self.session.run());
        let Some(images) = images else {
            let values = py.detach(|| run.contributions(head, None)).or_raise(py)?;
            let shape = vec![values.len() / run.d().max(1), run.d()];
            return Ok(Numbers::floats(values, shape));
        };
        let mut values = Vec::new();
        for picture in &images {
            let known = picture.index(&self.session).or_raise(py)?;
            let one = if let Some(index) = known {
                run.contributions(head, Some(&[index])).or_raise(py)?
            } else {
                let trace = picture.trace(py, &self.session)?;
                let readout = run.readout(head).or_raise(py)?;
                readout.contribution(trace.u(head).or_raise(py)?.as_slice())
            };
            values.extend(one);
        }
        Ok(Numbers::floats(values, vec![images.len(), run.d()]))
    }

    /// Embeddings of texts, of unit norm, `[n, d]`.
    fn embed(&self, py: Python<'_>, texts: Vec<String>) -> PyResult<Numbers> {
        may_compute(py)?;
        if texts.is_empty() {
            return Ok(Numbers::floats(Vec::new(), vec![0, self.d()]));
        }
        let found = self.embeddings(py, &texts)?;
        Ok(Numbers::floats(found.concat(), vec![texts.len(), self.d()]))
    }

    /// Representation of an image, not normalised, `[d]`.
    fn representation(&self, py: Python<'_>, image: Picture) -> PyResult<Numbers> {
        may_compute(py)?;
        let trace = image.trace(py, &self.session)?;
        Ok(Numbers::floats(trace.representation().to_vec(), vec![self.d()]))
    }

    /// Images near an image or a text under some heads: a table, the heads, how many images were compared, and how much of the text the
    /// heads carry (span, times, above).
    #[pyo3(signature = (heads, image, text, direction, k, cosine, farthest, classes))]
    #[expect(clippy::too_many_arguments, reason = "Python's side gives them names")]
    fn neighbours(
        &self,
        py: Python<'_>,
        heads: &str,
        image: Option<Picture>,
        text: Option<String>,
        direction: Option<Vec<f32>>,
        k: usize,
        cosine: bool,
        farthest: bool,
        classes: Vec<String>,
    ) -> PyResult<FoundNeighbours> {
        may_compute(py)?;
        let similarity = if cosine { Similarity::Cosine } else { Similarity::Dot };
        let classes: BTreeSet<String> = classes.into_iter().collect();
        let heads = self.selection(py, heads)?;
        let request = NeighboursRequest { heads, count: k, similarity, classes, farthest };
        let run = self.session.run();
        let ask = |query: Query<'_>| py.detach(|| run.neighbours(query, &request)).or_raise(py);
        let mut carried = None;
        let found = match (image, text, direction) {
            (Some(picture), None, None) => match picture.index(&self.session).or_raise(py)? {
                Some(index) => ask(Query::Image(index))?,
                None => ask(Query::Trace(&picture.trace(py, &self.session)?))?,
            },
            (None, Some(text), None) => {
                let embedding = &self.embeddings(py, &[text])?[0];
                let heads = run.resolve(&request.heads).or_raise(py)?;
                carried = run.carried(&heads, embedding).or_raise(py)?;
                ask(Query::Text(embedding))?
            }
            (None, None, Some(direction)) => ask(Query::Text(&direction))?,
            _ => return Err(input(py, "ask with one of an image, a text and a direction")),
        };
        let heads = found.heads.iter().map(ToString::to_string).collect();
        Ok((Table::of_columns(py, image_columns(&found.images))?, heads, found.compared, carried.map(figures)))
    }

    /// Images at the ends of what a head says: a table, mean and standard deviation.
    #[pyo3(signature = (head, text=None, pick=None, count=8))]
    fn extremes(
        &self,
        py: Python<'_>,
        head: &str,
        text: Option<String>,
        pick: Option<usize>,
        count: usize,
    ) -> PyResult<(Table, f64, f64)> {
        may_compute(py)?;
        let head = one_head(py, head)?;
        let run = self.session.run();
        run.readout(head).or_raise(py)?;
        let embedded = text.map(|text| self.embeddings(py, &[text])).transpose()?;
        let request = match (&embedded, pick) {
            (Some(embedding), None) => ExtremesRequest::Text(&embedding[0]),
            (None, Some(pick)) => ExtremesRequest::Pick(pick),
            (None, None) => ExtremesRequest::Distance,
            (Some(_), Some(_)) => return Err(input(py, "give a text or a pick, not both")),
        };
        let found = py.detach(|| run.extremes(head, request, count)).or_raise(py)?;
        Ok((Table::of_columns(py, answers::extremes(&found))?, found.mean, found.std))
    }

    /// Heads of a run by how much what they say resembles what a head says.
    fn alike(&self, py: Python<'_>, head: &str, other: &Self) -> PyResult<Table> {
        may_compute(py)?;
        let head = one_head(py, head)?;
        let (own, others) = (self.session.run(), other.session.run());
        let found = py.detach(|| own.similar(head, others)).or_raise(py)?;
        Table::of_columns(py, answers::alike(&found, others))
    }

    /// Scores of an image's patches for texts through some heads, `[texts, grid, grid]`; where there are several texts, each less the
    /// largest of the others if `contrastive`. From each text the mean of `baseline_texts` is subtracted, or else what `baseline` names.
    /// With the heads, the scores of the class token, the margins, and what was subtracted.
    #[expect(clippy::too_many_arguments, reason = "Python's side gives them names")]
    fn segment(
        &self,
        py: Python<'_>,
        image: Picture,
        texts: Vec<String>,
        heads: &str,
        contrastive: bool,
        baseline: &str,
        baseline_texts: Vec<String>,
    ) -> PyResult<SegmentedMaps> {
        may_compute(py)?;
        let heads = self.selection(py, heads)?;
        if texts.is_empty() {
            return Err(input(py, "no text to segment by"));
        }
        let baseline =
            if baseline_texts.is_empty() { baseline.parse().or_raise(py)? } else { Baseline::Texts(baseline_texts) };
        let trace = image.trace(py, &self.session)?;
        let embeddings = self.embeddings(py, &texts)?;
        let run = self.session.run();
        let subtraction = py.detach(|| self.session.subtraction(&baseline)).or_raise(py)?;
        let embeddings: Vec<Vec<f32>> = embeddings.iter().map(|text| subtraction.of(text)).collect();
        let typical = py.detach(|| typical_contrast(run, &trace, &heads, &subtraction)).or_raise(py)?;
        let compute = || {
            if contrastive && embeddings.len() > 1 {
                let directions: Vec<&[f32]> = embeddings.iter().map(Vec::as_slice).collect();
                let found = contrast(run, &trace, &heads, &directions)?;
                return Ok((found.maps, found.differences));
            }
            let maps = embeddings.iter().map(|embedding| segment(run, &trace, &heads, embedding));
            let maps = maps.collect::<Result<Vec<_>, _>>()?;
            let patches = maps.iter().map(|map| map.patches.clone()).collect();
            Ok::<_, headspan_query::ExploreError>((maps, patches))
        };
        let (maps, scores) = py.detach(compute).or_raise(py)?;
        let named = maps[0].heads.iter().map(ToString::to_string).collect();
        let class_token = maps.iter().map(|map| map.class_token).collect();
        let shape = vec![texts.len(), trace.grid(), trace.grid()];
        let margins = maps.iter().map(|map| contrast_of(&map.patches) / typical).collect();
        Ok((Numbers::floats(scores.concat(), shape), named, class_token, margins, subtraction.in_words()))
    }

    /// All heads by how much of a text they carry, most first: name, property, times, above, span.
    fn heads_by_text(&self, py: Python<'_>, text: String) -> PyResult<Table> {
        may_compute(py)?;
        let embedding = &self.embeddings(py, &[text])?[0];
        let run = self.session.run();
        let found = py.detach(|| run.heads_by_text(embedding)).or_raise(py)?;
        Table::of_columns(py, answers::by_text(&found, run))
    }

    /// All heads by how much an image excites them, most first: name, property, excited.
    fn heads_by_image(&self, py: Python<'_>, image: Picture) -> PyResult<Table> {
        may_compute(py)?;
        let trace = image.trace(py, &self.session)?;
        let run = self.session.run();
        let found = py.detach(|| run.heads_by_image(&trace)).or_raise(py)?;
        Table::of_columns(py, answers::by_image(&found, run))
    }

    /// Why an image of the run is near a query: the patches' parts of their dot product, `[grid, grid]`, and the class token's.
    fn why(&self, py: Python<'_>, image: Picture, neighbour: Picture, heads: &str) -> PyResult<(Numbers, f32)> {
        may_compute(py)?;
        let heads = self.selection(py, heads)?;
        let near = neighbour.index(&self.session).or_raise(py)?;
        let near = near.ok_or_else(|| input(py, "the neighbour must be an image of the run"))?;
        let run = self.session.run();
        let direction = run.reason(near, &heads).or_raise(py)?;
        let trace = image.trace(py, &self.session)?;
        let map = segment(run, &trace, &heads, &direction).or_raise(py)?;
        Ok((Numbers::floats(map.patches, vec![trace.grid(), trace.grid()]), map.class_token))
    }

    /// Pixels of an image, `[height, width, 3]`; what the model sees of it where `seen`.
    #[pyo3(signature = (image, seen=false))]
    fn pixels(&self, py: Python<'_>, image: Picture, seen: bool) -> PyResult<Numbers> {
        may_compute(py)?;
        let read = || {
            let pixels = image.pixels(&self.session)?;
            if seen { self.session.seen(&pixels) } else { Ok(pixels) }
        };
        let RgbImage8 { width, height, data } = py.detach(read).or_raise(py)?;
        Ok(Numbers::new(Values::Bytes(data), vec![height as usize, width as usize, 3]))
    }

    /// Bytes of an image's file, as they are stored.
    fn image_bytes<'py>(&self, py: Python<'py>, image: Picture) -> PyResult<Bound<'py, PyBytes>> {
        let index = image.index(&self.session).or_raise(py)?;
        let index = index.ok_or_else(|| input(py, "not an image of the run"))?;
        let read = || Ok(self.session.dataset()?.read(index)?);
        let bytes: Result<Vec<u8>, headspan_pipeline::PipelineError> = py.detach(read);
        Ok(PyBytes::new(py, &bytes.or_raise(py)?))
    }
}
