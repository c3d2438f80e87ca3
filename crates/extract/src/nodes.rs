//! Runs that do not keep all activations: what is committed of each part, and how it is joined.
//!
//! A part commits its sums, the rows of the images that are kept, and their activations if there are any. Sums are joined by a
//! [tree](Tree): a node's files appear before those of its children go, so that a crash loses nothing, and whoever joins it, however
//! often, writes the same bytes. Activations of the sample are joined once, into files of as many rows as a part has images.

use std::path::{Path, PathBuf};

use headspan_artifacts::{
    ActivationBatch, ActivationShape, ArtifactError, ImageRow, ImageStatus, PartReader, PartWriter, RunDirectory,
    SumsRow, read_rows, write_rows,
};

use crate::{
    error::Result,
    keep::Keep,
    moments::{Joined, terms_of},
    parts::PartPlan,
    sample::Sample,
    tree::{Node, Tree},
};

/// Skipped images whose rows are kept, whatever their number.
const NAMED: usize = 100;

/// The committed nodes of a run that keeps moments, and perhaps a sample.
pub(crate) struct Nodes<'a> {
    run: &'a RunDirectory,
    fingerprint: &'a str,
    plan: PartPlan,
    tree: Tree,
    sample: Option<Sample>,
}

/// What is left of a run when all its parts are joined.
pub(crate) struct Root {
    /// Rows of the sample and of the first skipped images, in order.
    pub(crate) rows: Vec<ImageRow>,
    /// Sums of each head over all images.
    pub(crate) sums: Vec<SumsRow>,
}

impl<'a> Nodes<'a> {
    /// Of a plan; none if it keeps the activations of all images.
    pub(crate) fn of(plan: &PartPlan, run: &'a RunDirectory, fingerprint: &'a str) -> Option<Self> {
        let sample = match plan.keep {
            Keep::All => return None,
            Keep::Moments => None,
            Keep::Sample(count) => Some(Sample::of(plan, count)),
        };
        Some(Self { run, fingerprint, plan: *plan, tree: Tree::new(plan.parts()), sample })
    }

    /// Which parts are committed: by themselves, or in a node above them.
    pub(crate) fn committed(&self) -> Result<Vec<bool>> {
        let mut found = vec![false; self.plan.parts() as usize];
        if !found.is_empty() {
            self.mark(self.tree.root(), &mut found)?;
        }
        let Some(sample) = &self.sample else { return Ok(found) };
        let files: Vec<PathBuf> = (0..sample.files()).map(|file| self.run.part(file)).collect();
        let files = self.are_ours(&files)?;
        for (part, found) in (0..).zip(&mut found) {
            let mut own = self.files_of(sample, part);
            *found = *found && (own.all(|file| files[file as usize]) || self.sample_is_there(part)?);
        }
        Ok(found)
    }

    fn mark(&self, node: Node, found: &mut [bool]) -> Result<()> {
        let parts = node.parts().start as usize..node.parts().end as usize;
        if !self.is_done(node)? {
            self.tree.children(node).try_for_each(|child| self.mark(child, found))?;
            // Another process may have joined the children meanwhile, and removed them.
            if found[parts.clone()].iter().all(|found| *found) || !self.is_done(node)? {
                return Ok(());
            }
        }
        found[parts].fill(true);
        Ok(())
    }

    /// Whether a node's sums and rows are there, of these settings and inputs.
    fn is_done(&self, node: Node) -> Result<bool> {
        self.are_done(&[node])
    }

    /// The same of several nodes.
    fn are_done(&self, nodes: &[Node]) -> Result<bool> {
        let files = nodes.iter().map(|node| self.files(*node)).flat_map(|(sums, rows)| [sums, rows]);
        Ok(!self.are_ours(&files.collect::<Vec<_>>())?.contains(&false))
    }

    /// Which files are there, of these settings and inputs. A store that does not answer is an error: it must not pass for one without
    /// the files.
    fn are_ours(&self, files: &[PathBuf]) -> Result<Vec<bool>> {
        let found = self.run.fingerprints(files)?;
        Ok(found.iter().map(|found| found.as_deref() == Some(self.fingerprint)).collect())
    }

    fn files(&self, node: Node) -> (PathBuf, PathBuf) {
        (self.run.sums(&node.parts()), self.run.images_of(&node.parts()))
    }

    /// Commits a part, and joins what can be joined with it.
    pub(crate) fn commit(
        &self,
        part: u64,
        rows: Vec<ImageRow>,
        activations: &ActivationBatch,
        shape: &ActivationShape,
    ) -> Result<()> {
        write_rows(&self.run.part_images(part), self.run.id(), self.fingerprint, &self.kept(rows))?;
        if let Some(sample) = self.sample.as_ref().filter(|sample| !self.files_of(sample, part).is_empty()) {
            let rows = activations.image_index.iter().enumerate().filter(|(_, image)| sample.has(**image));
            let rows: Vec<usize> = rows.map(|(row, _)| row).collect();
            self.write_activations(&self.run.part_sample(part), activations.select(&rows), shape)?;
        }
        let terms = terms_of(activations, shape).into_iter().zip(&shape.heads);
        let sums: Vec<SumsRow> = terms.map(|(terms, head)| SumsRow::new(*head, terms)).collect();
        // The sums last: a part counts as done when they are there.
        write_rows(&self.run.sums(&(part..part + 1)), self.run.id(), self.fingerprint, &sums)?;
        if let Some(sample) = &self.sample {
            for file in self.files_of(sample, part) {
                self.join_file(sample, file)?;
            }
        }
        for node in self.tree.above(part) {
            if !self.are_named(node)? || !self.join(node)? {
                break;
            }
        }
        Ok(())
    }

    /// Rows of the sample, and of the first skipped images: of rows that were kept of parts, it keeps those that it would keep of all.
    fn kept(&self, rows: Vec<ImageRow>) -> Vec<ImageRow> {
        let mut skipped = 0;
        let keep = |row: &ImageRow| {
            skipped += usize::from(row.status == ImageStatus::Skipped);
            let named = row.status == ImageStatus::Skipped && skipped <= NAMED;
            named || self.sample.as_ref().is_some_and(|sample| sample.has(row.image_index))
        };
        let mut rows = rows;
        rows.retain(keep);
        rows
    }

    fn write_activations(&self, path: &Path, batch: ActivationBatch, shape: &ActivationShape) -> Result<()> {
        let mut writer = PartWriter::create(path, self.run.id(), self.fingerprint, shape)?;
        if !batch.is_empty() {
            writer.write(batch)?;
        }
        Ok(writer.commit()?)
    }

    /// Whether the sums of all children of a node are there, whatever settings they are of.
    fn are_named(&self, node: Node) -> Result<bool> {
        // The last part is mostly the one that is not there yet: one look tells.
        for child in self.tree.children(node).rev() {
            if !self.run.has(&self.run.sums(&child.parts()))? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Joins the children of a node; false if one is not there.
    fn join(&self, node: Node) -> Result<bool> {
        let children: Vec<Node> = self.tree.children(node).collect();
        if !self.is_done(node)? {
            if !self.are_done(&children)? {
                return self.is_covered(node);
            }
            let root = match self.read(&children) {
                Ok(root) => root,
                // Whoever joined them first has removed them.
                Err(_) if self.is_covered(node)? => return Ok(true),
                Err(error) => return Err(error),
            };
            let (sums, rows) = self.files(node);
            write_rows(&rows, self.run.id(), self.fingerprint, &root.rows)?;
            write_rows(&sums, self.run.id(), self.fingerprint, &root.sums)?;
        }
        children.iter().try_for_each(|child| self.remove(*child))?;
        Ok(true)
    }

    /// Sums and rows of some nodes, joined in their order.
    fn read(&self, nodes: &[Node]) -> Result<Root> {
        let (sums, rows): (Vec<PathBuf>, Vec<PathBuf>) = nodes.iter().map(|node| self.files(*node)).unzip();
        let sums = Joined::of_files(&sums, |path| read_rows(path))?;
        Ok(Root { rows: self.kept(self.run.rows_of::<ImageRow>(&rows)?.concat()), sums })
    }

    /// Whether a node or one above it is done: nothing of it is left to do.
    fn is_covered(&self, node: Node) -> Result<bool> {
        let own = node.parts();
        let is_longer = |above: &Node| above.parts().end - above.parts().start > own.end - own.start;
        // From the root down, to the node itself.
        let found = self.tree.above(own.start).into_iter().rev().take_while(is_longer);
        for node in found.chain([node]) {
            if self.is_done(node)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Removes a node's files. Its sums go first, without which its rows count for nothing.
    fn remove(&self, node: Node) -> Result<()> {
        let (sums, rows) = self.files(node);
        remove(&sums)?;
        remove(&rows)
    }

    /// Joins whatever is missing below a node; false if a part is.
    fn ensure(&self, node: Node) -> Result<bool> {
        if self.is_done(node)? {
            return Ok(true);
        }
        let mut below = node.leaf().is_none();
        for child in self.tree.children(node) {
            below = below && self.ensure(child)?;
        }
        // Looked at again: another process may have joined the children while they were looked for.
        Ok(below && self.join(node)? || self.is_done(node)?)
    }

    /// Joins everything, and removes what else was left; none if parts are missing.
    pub(crate) fn finish(&self) -> Result<Option<Root>> {
        let root = self.tree.root();
        if !self.ensure(root)? {
            return Ok(None);
        }
        if let Some(sample) = &self.sample {
            for file in 0..sample.files() {
                if !self.join_file(sample, file)? {
                    return Ok(None);
                }
            }
        }
        let found = self.read(&[root])?;
        self.remove_all_but(root)?;
        Ok(Some(found))
    }

    /// Removes what a process left that was ended, or that joined what others had joined.
    fn remove_all_but(&self, root: Node) -> Result<()> {
        for parts in self.run.all_sums()?.into_iter().filter(|parts| *parts != root.parts()) {
            remove(&self.run.sums(&parts))?;
        }
        for parts in self.run.all_images_of()?.into_iter().filter(|parts| *parts != root.parts()) {
            remove(&self.run.images_of(&parts))?;
        }
        for part in self.run.all_part_samples()? {
            remove(&self.run.part_sample(part))?;
        }
        Ok(())
    }

    /// Files of activations that have images of a part.
    fn files_of(&self, sample: &Sample, part: u64) -> std::ops::Range<u64> {
        sample.files_with(&self.plan.images_of(part))
    }

    fn file_is_done(&self, file: u64) -> Result<bool> {
        Ok(self.are_ours(&[self.run.part(file)])? == [true])
    }

    fn sample_is_there(&self, part: u64) -> Result<bool> {
        Ok(self.are_ours(&[self.run.part_sample(part)])? == [true])
    }

    /// Writes a file of activations from those of its parts; false if one is not there.
    fn join_file(&self, sample: &Sample, file: u64) -> Result<bool> {
        let parts = sample.parts_of(file, &self.plan);
        if !self.file_is_done(file)? {
            for part in parts.iter().rev() {
                if !self.sample_is_there(*part)? {
                    return self.file_is_done(file);
                }
            }
            match self.write_file(sample, file, &parts) {
                // Whoever wrote it first has removed them.
                Err(_) if self.file_is_done(file)? => return Ok(true),
                other => other?,
            }
        }
        for part in parts {
            // A part may reach into the files before and after.
            let files: Vec<PathBuf> = self.files_of(sample, part).map(|file| self.run.part(file)).collect();
            if !self.are_ours(&files)?.contains(&false) {
                remove(&self.run.part_sample(part))?;
            }
        }
        Ok(true)
    }

    fn write_file(&self, sample: &Sample, file: u64, parts: &[u64]) -> Result<()> {
        let (mut all, mut shape) = (ActivationBatch::default(), None);
        let images = sample.images_of(file);
        for part in parts {
            let reader = PartReader::open(&self.run.part_sample(*part))?;
            let batch = reader.read(&reader.shape().heads, true)?;
            // A part may reach into the file before or after.
            let rows = batch.image_index.iter().enumerate().filter(|(_, image)| images.binary_search(image).is_ok());
            let rows: Vec<usize> = rows.map(|(row, _)| row).collect();
            if !rows.is_empty() {
                all.append(batch.select(&rows));
            }
            shape.get_or_insert_with(|| reader.shape().clone());
        }
        shape.map_or(Ok(()), |shape| self.write_activations(&self.run.part(file), all, &shape))
    }
}

/// Removes a file that may be gone already.
pub(crate) fn remove(path: &Path) -> Result<()> {
    Ok(headspan_artifacts::remove(path).map_err(ArtifactError::from)?)
}

#[cfg(test)]
mod tests;
