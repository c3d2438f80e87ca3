use std::path::PathBuf;

use headspan_artifacts::{
    ActivationBatch, ActivationShape, ArtifactError, MomentsRow, PartReader, RunDirectory, SumsRow,
};
use headspan_headspace::{HeadId, MomentSums, MomentTerms, vector_length};
use rayon::prelude::*;

use crate::{
    error::{ExtractError, Result},
    tree::{Node, Tree},
};

/// Parts of a store whose terms stand in memory together. A part of ViT-L/14 has 17 MB of activations.
const AT_ONCE: usize = 8;

/// Mean and second moment of `u` per head, in double precision, from committed parts in the order of their tree: a pure
/// function of the parts, so that it does not matter which process wrote them or how often it was interrupted. Memory is one part; of
/// a run in a store, which waits for each answer, eight.
pub fn moments_of_parts(run: &RunDirectory, parts: &[PathBuf]) -> Result<Vec<MomentsRow>> {
    let Some(first) = parts.first() else { return Ok(Vec::new()) };
    let shape = PartReader::open(first)?.shape().clone();
    let tree = Tree::new(parts.len() as u64);
    let terms = terms_below(run, tree, tree.root(), parts, &shape)?;
    Ok(moments(terms.into_iter().zip(&shape.heads).map(|(terms, head)| SumsRow::new(*head, terms)).collect()))
}

/// The moments of the heads of which these are the sums.
pub(crate) fn moments(sums: Vec<SumsRow>) -> Vec<MomentsRow> {
    let one = |row: SumsRow| {
        let (head, mut sums) = (row.head_id(), MomentSums::new(row.sum.len()));
        sums.join(&row.into());
        MomentsRow::new(head, sums.moments())
    };
    sums.into_iter().map(one).collect()
}

/// Terms of each head over the parts below a node.
fn terms_below(
    run: &RunDirectory,
    tree: Tree,
    node: Node,
    parts: &[PathBuf],
    shape: &ActivationShape,
) -> Result<Vec<MomentTerms>> {
    let of_parts = |parts: &[PathBuf]| {
        let one = |part: &PartReader| Ok(terms_of(&part.read(&shape.heads, false)?, shape));
        Ok::<_, ExtractError>(run.each_part(parts, one)?)
    };
    if let Some(part) = node.leaf() {
        let mut terms = of_parts(&parts[part as usize..=part as usize])?;
        return Ok(terms.pop().unwrap_or_default());
    }
    let mut joined = Joined::new(&shape.heads, vector_length(shape.head_dim));
    let below = node.parts();
    if tree.children(node).all(|child| child.leaf().is_some()) {
        for some in parts[below.start as usize..below.end as usize].chunks(AT_ONCE) {
            of_parts(some)?.iter().for_each(|terms| joined.add(terms));
        }
    } else {
        for child in tree.children(node) {
            joined.add(&terms_below(run, tree, child, parts, shape)?);
        }
    }
    Ok(joined.into_terms())
}

/// Terms of each head over the images of one part.
pub(crate) fn terms_of(batch: &ActivationBatch, shape: &ActivationShape) -> Vec<MomentTerms> {
    let of_head = |head: usize| batch.moment_terms(head, shape.head_dim, batch.len(), |image| image);
    (0..shape.heads.len()).into_par_iter().map(of_head).collect()
}

/// Sums of each head over nodes that are joined one after another.
pub(crate) struct Joined {
    heads: Vec<HeadId>,
    sums: Vec<MomentSums>,
}

impl Joined {
    fn new(heads: &[HeadId], length: usize) -> Self {
        Self { heads: heads.to_vec(), sums: heads.iter().map(|_| MomentSums::new(length)).collect() }
    }

    fn add(&mut self, terms: &[MomentTerms]) {
        self.sums.iter_mut().zip(terms).for_each(|(sums, terms)| sums.join(terms));
    }

    fn into_terms(self) -> Vec<MomentTerms> {
        self.sums.into_iter().map(MomentSums::into_terms).collect()
    }

    /// Joins the sums of files, in order. `read` reads one.
    pub(crate) fn of_files(
        paths: &[PathBuf],
        read: impl Fn(&PathBuf) -> Result<Vec<SumsRow>, ArtifactError>,
    ) -> Result<Vec<SumsRow>> {
        let mut joined: Option<Self> = None;
        for path in paths {
            let rows = read(path)?;
            let heads: Vec<HeadId> = rows.iter().map(SumsRow::head_id).collect();
            let length = rows.first().map_or(0, |row| row.sum.len());
            let own = joined.get_or_insert_with(|| Self::new(&heads, length));
            let terms: Vec<MomentTerms> = rows.into_iter().map(MomentTerms::from).collect();
            if own.heads != heads || !own.sums.iter().zip(&terms).all(|(sums, terms)| terms.fit(sums.length())) {
                return Err(ExtractError::Sums { path: path.clone() });
            }
            own.add(&terms);
        }
        let Some(Self { heads, sums }) = joined else { return Ok(Vec::new()) };
        Ok(heads.into_iter().zip(sums).map(|(head, sums)| SumsRow::new(head, sums.into_terms())).collect())
    }
}
