//! A finished run with all that questions about it need: its tables, its model, its images.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use headspan_artifacts::{RunDirectory, RunFacts, StageRecord, with_causes};
use headspan_images::{Dataset, DatasetKind, DatasetSettings, DecodeLimits, RgbImage8, decode_rgb, is_local};
use headspan_model::{Checkpoint, LoadedModel, ModelOptions, open_device};
use headspan_notes::standing_columns;
use headspan_query::{
    AccessError, Baseline, ColumnStore, Columns, ExploreModel, ExploreRun, ImageTrace, RunAccess, StoreBounds,
    Subtraction,
};

use crate::{
    classification::named_classes,
    compare::notices,
    demo::BuiltInModel,
    error::{PipelineError, Result},
    facts::facts,
    model::ModelFiles,
    people::standing,
    provenance::Provenance,
    registry::{ModelChoice, ModelSource, Registry},
    settings::Settings,
    stages::IMAGES,
    weights::cached_files,
};

/// What a process keeps of activations and weights: with what else a server of one ViT-L/14 over 50,000 images holds, it stays below
/// 2 GB. Columns are kept even beside larger weights: those of two heads.
const BOUNDS: StoreBounds = StoreBounds { columns: 512 << 20, with_weights: 1570 << 20, least: 32 << 20 };

/// A store for the columns of all runs of a process.
pub fn column_store() -> Arc<ColumnStore> {
    ColumnStore::new(BOUNDS)
}

/// Model and images are opened when a question first needs them: most need only tables.
pub struct Session {
    run: ExploreRun,
    record: StageRecord,
    settings: Settings,
    registry: Arc<Registry>,
    model: OnceLock<ExploreModel>,
    /// Held while weights are read: two first questions must not read them twice.
    loading: Mutex<()>,
    store: Arc<ColumnStore>,
    dataset: OnceLock<Dataset>,
    classes: OnceLock<Vec<String>>,
}

impl Session {
    /// Opens a run. Its model and its images are found where `settings` say, else where its record does.
    pub fn open(
        directory: RunDirectory,
        settings: Settings,
        registry: Arc<Registry>,
        store: &Arc<ColumnStore>,
    ) -> Result<Self> {
        let missing = || PipelineError::NotExtracted { run: directory.path().to_owned() };
        let record = directory.record(IMAGES)?.ok_or_else(missing)?;
        let run = ExploreRun::open(directory, store)?;
        Ok(Self {
            run,
            record,
            settings,
            registry,
            model: OnceLock::new(),
            loading: Mutex::new(()),
            store: Arc::clone(store),
            dataset: OnceLock::new(),
            classes: OnceLock::new(),
        })
    }

    /// The run's tables and activations.
    pub fn run(&self) -> &ExploreRun {
        &self.run
    }

    /// The settings at hand.
    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What the extraction left on record.
    pub(crate) fn record(&self) -> &StageRecord {
        &self.record
    }

    /// The model whose heads were extracted, checked by its hash.
    pub fn model(&self) -> Result<&ExploreModel> {
        if let Some(model) = self.model.get() {
            return Ok(model);
        }
        let _loading = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(model) = self.model.get() {
            return Ok(model);
        }
        let files = self.checked_files()?;
        let device = open_device(self.settings.device)?;
        tracing::debug!("loading `{}` on {}", files.files.weights.display(), device.choice());
        let checkpoint = Checkpoint::open(&files.files.weights)?;
        let weights = checkpoint.towers_bytes() + files.config.bytes_beside()?;
        // An image tower alone answers what needs no text.
        let tokenizer = files.config.text.map(|_| files.tokenizer()).transpose()?;
        self.store.make_room(weights);
        let model = LoadedModel::for_queries(&checkpoint, &files.config, device)
            .inspect_err(|_| self.store.give_back(weights))?;
        Ok(self.model.get_or_init(|| ExploreModel::new(model, tokenizer)))
    }

    /// Names of the data set's classes; none if it has no classes. A class file that cannot be read is warned of.
    pub fn names_of_classes(&self) -> &[String] {
        self.classes.get_or_init(|| match named_classes(self) {
            Ok(named) => named.into_iter().map(|(_, name)| name).collect(),
            Err(PipelineError::NoClasses { .. }) => Vec::new(),
            Err(error) => {
                tracing::warn!("names of classes are not known: {}", with_causes(&error));
                Vec::new()
            }
        })
    }

    /// What a baseline of topic maps subtracts in this run.
    pub fn subtraction(&self, baseline: &Baseline) -> Result<Subtraction> {
        self.run.subtraction(baseline, self.names_of_classes(), || self.model())
    }

    /// The files of the model whose heads were extracted, checked by their hash.
    pub fn checked_files(&self) -> Result<ModelFiles> {
        let files = ModelFiles::open(&self.choice()?, &self.model_options()?)?;
        if self.record.inputs.get("checkpoint") != Some(&files.checkpoint_hash) {
            return Err(PipelineError::OtherModel { weights: files.files.weights, run: self.run.name() });
        }
        Ok(files)
    }

    /// The folder or the file of weights that the model's files are found by.
    pub fn checkpoint(&self) -> Result<PathBuf> {
        // Not by `ModelFiles`, which hashes the weights.
        match self.choice()?.source {
            ModelSource::Folder(place) => {
                let missing = |source| PipelineError::NoCheckpoint { folder: place.clone(), source };
                fs_err::metadata(&place).map_err(missing)?;
                Ok(std::path::absolute(&place)?)
            }
            ModelSource::Hub(model) => {
                let weights = cached_files(&model)?.weights;
                Ok(weights.parent().map(Path::to_owned).unwrap_or(weights))
            }
        }
    }

    /// The images, checked to be those that were extracted.
    pub fn dataset(&self) -> Result<&Dataset> {
        if let Some(dataset) = self.dataset.get() {
            return Ok(dataset);
        }
        let settings = self.data_settings()?.with_queries_aside();
        let moved = |source| PipelineError::RunImages { run: self.run.name(), source };
        let dataset = Dataset::open(&settings).map_err(moved)?;
        if self.record.inputs.get("dataset") != Some(&dataset.fingerprint()) {
            return Err(PipelineError::OtherImages { path: settings.path, run: self.run.name() });
        }
        Ok(self.dataset.get_or_init(|| dataset))
    }

    /// Pixels of an image of the run.
    pub fn image(&self, index: u64) -> Result<RgbImage8> {
        let read = || Ok(decode_rgb(&self.dataset()?.read(index)?, &self.limits())?);
        let image = self.run.image(index)?.image_id.clone();
        read().map_err(|source: PipelineError| PipelineError::RunImage { image, source: Box::new(source) })
    }

    /// Pixels of an image file.
    pub fn file(&self, path: &Path) -> Result<RgbImage8> {
        let bytes = fs_err::read(path)?;
        let failed = |source: headspan_images::ImageError| PipelineError::RunImage {
            image: path.display().to_string(),
            source: Box::new(source.into()),
        };
        decode_rgb(&bytes, &self.limits()).map_err(failed)
    }

    /// One forward pass that keeps what all extracted layers read.
    pub fn trace(&self, image: &RgbImage8) -> Result<ImageTrace> {
        Ok(self.model()?.trace(image, &self.run.layers())?)
    }

    /// What of an image the model sees, at the model's size.
    pub fn seen(&self, image: &RgbImage8) -> Result<RgbImage8> {
        Ok(self.model()?.seen(image))
    }

    fn limits(&self) -> DecodeLimits {
        DecodeLimits { max_pixels: self.settings.images.max_pixels }
    }

    /// The model that the settings name, else the one that the record does.
    fn choice(&self) -> Result<ModelChoice> {
        let id = self.run.directory().id().model().to_owned();
        let source = if let Some(folder) = &self.settings.checkpoint {
            ModelSource::Folder(folder.clone())
        } else if let Some(model) = BuiltInModel::find(&id) {
            ModelSource::Folder(model.unpack(&self.settings.runs)?)
        } else if let Some(folder) = Provenance::of(&self.record)?.checkpoint {
            ModelSource::Folder(folder)
        } else {
            let known = self.registry.resolve(&id).ok().and_then(|models| models.into_iter().next());
            let known = known.ok_or_else(|| PipelineError::UnknownWeights { model: id.clone() })?;
            ModelSource::Hub(Box::new(known))
        };
        Ok(ModelChoice { id, source })
    }

    /// What the settings say of the model, else what the record does.
    pub fn model_options(&self) -> Result<ModelOptions> {
        if !self.settings.model.is_empty() {
            return Ok(self.settings.model.clone());
        }
        Ok(Provenance::of(&self.record)?.model.unwrap_or_default())
    }

    /// Where the images are, and which of them count.
    pub(crate) fn data_settings(&self) -> Result<DatasetSettings> {
        let own = &self.settings.data;
        let moved = !own.path.as_os_str().is_empty();
        let recorded = Provenance::of(&self.record)?.data;
        let Some(recorded) = recorded else {
            let unknown = || PipelineError::NoProvenance { run: self.run.name() };
            return if moved { Ok(own.clone()) } else { Err(unknown()) };
        };
        // What a folder of several kinds of files is read as may have to be said now, though it was not when the run was made.
        let kind = if own.kind == DatasetKind::Auto { recorded.kind } else { own.kind };
        let recorded = DatasetSettings { kind, ..recorded };
        if !moved {
            return Ok(recorded);
        }
        // The settings say where the images are now; which of them count stays as it was extracted.
        Ok(DatasetSettings {
            root: own.root.clone().or_else(|| recorded.root.filter(|root| !is_local(root) || root.exists())),
            classes: own.classes.clone().or(recorded.classes),
            path: own.path.clone(),
            ..recorded
        })
    }
}

impl Session {
    /// What people said of the run, a row each ([`standing`](crate::standing)).
    pub fn notes(&self) -> Result<Columns> {
        Ok(standing_columns(&standing(&self.settings, self.run.directory())?))
    }
}

impl RunAccess for Session {
    fn run(&self) -> &ExploreRun {
        &self.run
    }

    fn notices(&self) -> Vec<String> {
        notices(&self.settings, self.run.directory()).unwrap_or_else(|error| vec![with_causes(&error)])
    }

    fn facts(&self) -> RunFacts {
        facts(self.run.directory(), self.run.labeller().unwrap_or("none")).unwrap_or_default()
    }

    fn class_names(&self) -> &[String] {
        self.names_of_classes()
    }

    fn model(&self) -> Result<&ExploreModel, AccessError> {
        Self::model(self).map_err(AccessError::new)
    }

    fn image_bytes(&self, index: u64) -> Result<Vec<u8>, AccessError> {
        let read = || Ok(self.dataset()?.read(index)?);
        read().map_err(|error: PipelineError| AccessError::new(error))
    }

    fn decode(&self, bytes: &[u8]) -> Result<RgbImage8, AccessError> {
        decode_rgb(bytes, &self.limits()).map_err(AccessError::new)
    }
}
