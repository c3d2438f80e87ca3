//! A finished run with all that questions about it need: its tables, its model, its images.

use std::{
    path::Path,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use anyhow::{Context, Result, bail};
use headspan_artifacts::{RunDirectory, Stage, StageRecord};
use headspan_clip::{Checkpoint, DecodeLimits, RgbImage8, Tokenizer, decode_rgb, open_device};
use headspan_explore::{
    ColumnStore, ExploreModel, ExploreRun, ImageTrace, StoreBounds,
    web::{Subject, SubjectError},
};
use headspan_extract::{Dataset, DatasetSettings};

use crate::{
    built_in::BuiltInModel,
    commands::notices,
    models::{ModelChoice, ModelSource, resolve},
    pipeline::ModelFiles,
    settings::Settings,
};

/// What a process keeps of activations and weights: with what else a server of one ViT-L/14 over 50,000 images holds, it stays below
/// 2 GB. Columns are kept even beside larger weights: those of two heads.
const BOUNDS: StoreBounds = StoreBounds { columns: 512 << 20, with_weights: 1570 << 20, least: 32 << 20 };

/// A store for the columns of all runs of a process.
pub(crate) fn column_store() -> Arc<ColumnStore> {
    ColumnStore::new(BOUNDS)
}

/// Key of the extraction record under which the data set's settings stand.
pub(crate) const DATA: &str = "data";
/// Key under which the checkpoint folder stands, where it is not a known model's.
pub(crate) const CHECKPOINT: &str = "checkpoint";

/// Model and images are opened when a question first needs them: most need only tables.
pub(crate) struct Workbench {
    pub(crate) run: ExploreRun,
    record: StageRecord,
    settings: Settings,
    model: OnceLock<ExploreModel>,
    /// Held while weights are read: two first questions must not read them twice.
    loading: Mutex<()>,
    store: Arc<ColumnStore>,
    dataset: OnceLock<Dataset>,
}

impl Workbench {
    pub(crate) fn open(directory: RunDirectory, settings: Settings, store: &Arc<ColumnStore>) -> Result<Self> {
        let record = directory.record(Stage::Images)?;
        let record = record.with_context(|| {
            format!("`{}` has no finished extraction: run `headspan extract` or `run-all`", directory.path().display())
        })?;
        let run = ExploreRun::open(directory, store)?;
        Ok(Self {
            run,
            record,
            settings,
            model: OnceLock::new(),
            loading: Mutex::new(()),
            store: Arc::clone(store),
            dataset: OnceLock::new(),
        })
    }

    /// The model whose heads were extracted, checked by its hash.
    pub(crate) fn model(&self) -> Result<&ExploreModel> {
        if let Some(model) = self.model.get() {
            return Ok(model);
        }
        let _loading = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(model) = self.model.get() {
            return Ok(model);
        }
        let files = ModelFiles::open(&self.choice()?)?;
        if self.record.inputs.get("checkpoint") != Some(&files.checkpoint_hash) {
            bail!(
                "`{}` is not the model that `{}` was extracted with; give --checkpoint DIR, or extract again",
                files.files.weights.display(),
                self.run.name()
            );
        }
        let (device, kind) = open_device(self.settings.device)?;
        tracing::debug!("loading `{}` on {kind}", files.files.weights.display());
        let checkpoint = Checkpoint::open(&files.files.weights)?;
        let weights = checkpoint.towers_bytes();
        let text = &files.config.text;
        let tokenizer = Tokenizer::read(&files.files.tokenizer, text.context_length, text.vocab_size)?;
        self.store.make_room(weights);
        let towers = checkpoint.load_towers(&files.config, &device).inspect_err(|_| self.store.give_back(weights))?;
        Ok(self.model.get_or_init(|| ExploreModel::of_towers(towers, tokenizer, &files.config, device)))
    }

    /// The images, checked to be those that were extracted.
    pub(crate) fn dataset(&self) -> Result<&Dataset> {
        if let Some(dataset) = self.dataset.get() {
            return Ok(dataset);
        }
        let settings = self.data_settings()?;
        let dataset = Dataset::open(&settings)
            .with_context(|| format!("the images of `{}`; if they have moved, give --images PATH", self.run.name()))?;
        if self.record.inputs.get("dataset") != Some(&dataset.fingerprint()) {
            bail!(
                "`{}` no longer holds the images that `{}` was extracted from; give --images PATH, or extract again",
                settings.path.display(),
                self.run.name()
            );
        }
        Ok(self.dataset.get_or_init(|| dataset))
    }

    /// Pixels of an image of the run.
    pub(crate) fn image(&self, index: u64) -> Result<RgbImage8> {
        let id = &self.run.image(index)?.image_id;
        let bytes = self.dataset()?.read(index).with_context(|| format!("image `{id}`"))?;
        decode_rgb(&bytes, &self.limits()).with_context(|| format!("image `{id}`"))
    }

    /// Pixels of an image file.
    pub(crate) fn file(&self, path: &Path) -> Result<RgbImage8> {
        let bytes = fs_err::read(path)?;
        decode_rgb(&bytes, &self.limits()).with_context(|| format!("`{}`", path.display()))
    }

    /// One forward pass that keeps what all extracted layers read.
    pub(crate) fn trace(&self, image: &RgbImage8) -> Result<ImageTrace> {
        Ok(self.model()?.trace(image, &self.run.layers())?)
    }

    /// What of an image the model sees, at the model's size.
    pub(crate) fn seen(&self, image: &RgbImage8) -> Result<RgbImage8> {
        Ok(self.model()?.seen(image))
    }

    fn limits(&self) -> DecodeLimits {
        DecodeLimits { max_pixels: self.settings.images.max_pixels }
    }

    /// The model that the flags name, else the one that the record does.
    fn choice(&self) -> Result<ModelChoice> {
        let id = self.run.directory().id().model().to_owned();
        let recorded = self.record.figures.get(CHECKPOINT).and_then(|path| path.as_str()).map(Into::into);
        let source = if let Some(folder) = &self.settings.checkpoint {
            ModelSource::Folder(folder.clone())
        } else if let Some(model) = BuiltInModel::find(&id) {
            ModelSource::Folder(model.unpack(&self.settings.runs)?)
        } else if let Some(folder) = recorded {
            ModelSource::Folder(folder)
        } else {
            let known = resolve(&id).ok().and_then(|models| models.into_iter().next());
            let known = known.with_context(|| format!("the weights of `{id}` are not known; give --checkpoint DIR"))?;
            ModelSource::Hub(Box::new(known))
        };
        Ok(ModelChoice { id, source })
    }

    fn data_settings(&self) -> Result<DatasetSettings> {
        let own = &self.settings.data;
        let moved = !own.path.as_os_str().is_empty();
        let recorded = self.record.figures.get(DATA).cloned();
        if moved && recorded.is_none() {
            return Ok(own.clone());
        }
        let recorded = recorded
            .with_context(|| format!("`{}` does not say where its images are; give --images PATH", self.run.name()))?;
        let recorded: DatasetSettings =
            serde_json::from_value(recorded).context("the extraction's record is damaged; give --images PATH")?;
        if !moved {
            return Ok(recorded);
        }
        // Where they are is said anew; which of them count stays as it was extracted.
        let path = own.path.clone();
        Ok(DatasetSettings {
            root: own.root.clone().or_else(|| recorded.root.filter(|root| root.exists())),
            classes: own.classes.clone().or(recorded.classes),
            path,
            ..recorded
        })
    }
}

impl Subject for Workbench {
    fn run(&self) -> &ExploreRun {
        &self.run
    }

    fn notices(&self) -> Vec<String> {
        notices(self.run.directory()).unwrap_or_else(|error| vec![format!("{error:#}")])
    }

    fn model(&self) -> Result<&ExploreModel, SubjectError> {
        Self::model(self).map_err(|error| told(&error))
    }

    fn image_bytes(&self, index: u64) -> Result<Vec<u8>, SubjectError> {
        let read = || Ok(self.dataset()?.read(index)?);
        read().map_err(|error: anyhow::Error| told(&error))
    }

    fn decode(&self, bytes: &[u8]) -> Result<RgbImage8, SubjectError> {
        decode_rgb(bytes, &self.limits()).map_err(|error| SubjectError { message: error.to_string() })
    }
}

fn told(error: &anyhow::Error) -> SubjectError {
    SubjectError { message: format!("{error:#}") }
}
