use std::path::PathBuf;

use headspan_artifacts::ArtifactError;

/// What can go wrong between settings and finished tables.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PipelineError {
    /// The memory that is free does not hold the weights.
    #[error("`{}` needs {} MB of memory, and {} MB are free", weights.display(), needed.div_ceil(1_000_000), free / 1_000_000)]
    NoRoom {
        /// The file of weights.
        weights: PathBuf,
        /// Bytes that the weights need.
        needed: u64,
        /// Bytes that are free: of the machine, of a container or job, or of the address space that is allowed.
        free: u64,
    },
    /// Something that an aligned model is made of is not what it was when its map was fitted.
    #[error("the {what} of `{}` is not what it was when the model was aligned: `{}`", path.display(), place.display())]
    AlignmentChanged {
        /// The `alignment.json`.
        path: PathBuf,
        /// `tower`, `CLIP` or `map`.
        what: &'static str,
        /// Its file; of a model the weights, whether these or the configuration changed.
        place: PathBuf,
    },
    /// A model that is aligned cannot be aligned once more, or be what another one is aligned to.
    #[error("`{model}` is an aligned model itself")]
    AlreadyAligned {
        /// The model.
        model: String,
    },
    /// A tower is to be aligned to a model without texts.
    #[error("`{model}` has no texts that a tower could get")]
    NoClip {
        /// The model.
        model: String,
        /// Why not.
        source: headspan_model::ClipError,
    },
    /// Something else is where an aligned model is to be written.
    #[error("`{}` exists and is not an aligned model", place.display())]
    PlaceTaken {
        /// The place.
        place: PathBuf,
    },
    /// The precision of shards must be the same, whatever machine does them.
    #[error("`images.precision = \"auto\"` chooses for one machine, and shards may run on several")]
    PrecisionOfShards,
    /// Whoever was told of progress asked to stop.
    #[error("stopped; stages that are done stay, and the same call continues")]
    Stopped,
    /// The operating system refused; the source names the path and the call.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// An artifact cannot be read or written.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// Notes of people could not be read.
    #[error(transparent)]
    Notes(#[from] headspan_notes::NotesError),
    /// Images or texts cannot be extracted.
    #[error(transparent)]
    Extract(#[from] headspan_extract::ExtractError),
    /// The images cannot be listed.
    #[error(transparent)]
    Dataset(#[from] headspan_images::DatasetError),
    /// An image of the data set cannot be read.
    #[error(transparent)]
    Read(#[from] headspan_images::ReadError),
    /// An image cannot be decoded.
    #[error(transparent)]
    Image(#[from] headspan_images::ImageError),
    /// A pool of descriptions cannot be read.
    #[error(transparent)]
    Pool(#[from] headspan_extract::PoolError),
    /// A checkpoint cannot be read, or its model cannot compute.
    #[error(transparent)]
    Model(#[from] headspan_model::ClipError),
    /// The hub does not answer as it should.
    #[error(transparent)]
    Hub(#[from] headspan_hub::HubError),
    /// A question has no answer.
    #[error(transparent)]
    Query(#[from] headspan_query::ExploreError),
    /// A name stands for no model, or a model's file is broken.
    #[error(transparent)]
    Registry(#[from] crate::registry::ModelError),
    /// Settings cannot be used.
    #[error(transparent)]
    Settings(#[from] crate::settings::SettingsError),
    /// Heads cannot be labelled.
    #[error(transparent)]
    Label(#[from] headspan_label::LabelError),
    /// The synonym table cannot be read.
    #[error(transparent)]
    Synonyms(#[from] headspan_metrics::SynonymsError),
    /// Runs cannot be compared.
    #[error(transparent)]
    Comparison(#[from] headspan_metrics::ComparisonError),
    /// Two runs cannot be compared head by head.
    #[error(transparent)]
    Diff(#[from] headspan_metrics::DiffError),
    /// The figures of stability could not be written as Parquet.
    #[error("the figures of stability could not be written as Parquet")]
    StabilityTable {
        /// What the Parquet library said.
        source: headspan_artifacts::ParquetError,
    },
    /// The data of a report could not be written as CSV.
    #[error("the data of the report could not be written as CSV")]
    ReportData {
        /// What the CSV library said.
        source: csv::Error,
    },
    /// A report was asked for of runs over several data sets.
    #[error("a report is of one data set, not of `{one}` and `{other}`")]
    ReportDataSets {
        /// A data set.
        one: String,
        /// Another one.
        other: String,
    },
    /// A report was to be written to a store.
    #[error("a report is written to a folder, and `{}` is an address", headspan_artifacts::shown(folder))]
    RemoteReport {
        /// The address.
        folder: PathBuf,
    },
    /// The accuracies with heads scaled could not be written as Parquet.
    #[error("the accuracies with heads scaled could not be written as Parquet")]
    PruningTable {
        /// What the Parquet library said.
        source: headspan_artifacts::ParquetError,
    },
    /// The accuracies of a repair could not be written as Parquet.
    #[error("the accuracies of a repair could not be written as Parquet")]
    RepairTable {
        /// What the Parquet library said.
        source: headspan_artifacts::ParquetError,
    },
    /// No image gives accuracy.
    #[error("no image has `{value}` in the column `{column}`")]
    NoTestImages {
        /// The column.
        column: String,
        /// The value.
        value: String,
    },
    /// A cue whose values are not those of the classes.
    #[error("no image has a value in the column `{column}` that is its class")]
    NoAgreement {
        /// The column.
        column: String,
    },
    /// Texts that do not differ.
    #[error("the texts `{texts}` have one embedding, which says nothing of a cue")]
    SameTexts {
        /// The texts.
        texts: String,
    },
    /// No head has that many consistent texts.
    #[error("no head of `{run}` has {level}")]
    NoHeadsOfLevel {
        /// `dataset/model`.
        run: String,
        /// The level.
        level: String,
    },
    /// A checkpoint holds one scaling.
    #[error("a checkpoint can be saved for one set of heads, not for {targets}")]
    SavedTargets {
        /// Number of sets.
        targets: usize,
    },
    /// Heads cannot be described from their weights.
    #[error(transparent)]
    HeadWeights(#[from] headspan_metrics::HeadWeightsError),
    /// Images cannot be classified, or ablations cannot be measured.
    #[error(transparent)]
    Classification(#[from] headspan_metrics::ClassificationError),
    /// A data set without classes was to be classified.
    #[error("`{run}` has no classes: no image has a `class_id`")]
    NoClasses {
        /// `dataset/model`.
        run: String,
    },
    /// A file of templates that cannot be used.
    #[error("`{}`: {message}", path.display())]
    Templates {
        /// The file.
        path: PathBuf,
        /// What is wrong, and in which row.
        message: String,
    },
    /// A file of heads that cannot be used.
    #[error("`{}`: row {row}: `{text}` is not a head such as L23.H7", path.display())]
    HeadFile {
        /// The file.
        path: PathBuf,
        /// The row, from 1.
        row: usize,
        /// What stands there.
        text: String,
    },
    /// Groups cannot be read.
    #[error("groups cannot be read from column `{column}` of `{}`", path.display())]
    Groups {
        /// The table.
        path: PathBuf,
        /// The column.
        column: String,
        /// Why.
        source: Box<headspan_images::DatasetError>,
    },
    /// Scenes cannot be rendered.
    #[error(transparent)]
    Scenes(#[from] headspan_scenes::SceneError),
    /// The pool of texts is no matrix of numbers.
    #[error(transparent)]
    Textspan(#[from] headspan_textspan::TextspanError),
    /// An engine cannot be asked, or does not do what it should.
    #[error(transparent)]
    Engine(#[from] crate::engine::EngineError),
    /// A value cannot be written as JSON.
    #[error(transparent)]
    Json(#[from] serde_json::Error),

    /// TEXTSPAN failed for a head.
    #[error("TEXTSPAN failed for head {head}")]
    Head {
        /// The head.
        head: headspan_artifacts::HeadId,
        /// Why.
        source: headspan_textspan::TextspanError,
    },
    /// The extraction of a model failed.
    #[error("the extraction of model `{model}` failed")]
    OfModel {
        /// Id of the model.
        model: String,
        /// Why.
        source: Box<headspan_extract::ExtractError>,
    },
    /// The images of a run cannot be listed any more.
    #[error("the images of `{run}` cannot be listed")]
    RunImages {
        /// `dataset/model`.
        run: String,
        /// Why.
        source: headspan_images::DatasetError,
    },
    /// An image of a run cannot be had.
    #[error("image `{image}` cannot be read")]
    RunImage {
        /// Id of the image, or the path of a file.
        image: String,
        /// Why.
        source: Box<PipelineError>,
    },
    /// The demo's files have no place.
    #[error("the demo has no place for its files: neither `HEADSPAN_CACHE` nor a home folder is set")]
    NoCache,
    /// A built-in model cannot be put where it can be opened.
    #[error("the built-in model `{model}` cannot be unpacked")]
    Unpack {
        /// Its id.
        model: &'static str,
        /// Why.
        source: std::io::Error,
    },

    /// A folder of weights has no tokenizer, and CLIP's is not in the hub's cache.
    #[error("`{}` has no `tokenizer.json`, and CLIP's tokenizer has not been fetched", folder.display())]
    NoTokenizer {
        /// The folder.
        folder: std::path::PathBuf,
    },
    /// An architecture was named for a model that has a configuration of its own.
    #[error("`model.architecture` is for weights without a configuration; that of model `{model}` is known")]
    KnownArchitecture {
        /// Id of the model.
        model: String,
    },

    /// A path that a setting names is not there.
    #[error("`{}` does not exist (setting `{key}`)", path.display())]
    NotThere {
        /// The setting.
        key: &'static str,
        /// The path.
        path: PathBuf,
    },
    /// A path that a setting names is a file where a folder is wanted, or the reverse.
    #[error("`{}` is {found}, expected {expected} (setting `{key}`)", path.display())]
    WrongKind {
        /// The setting.
        key: &'static str,
        /// The path.
        path: PathBuf,
        /// What it is.
        found: &'static str,
        /// What is wanted.
        expected: &'static str,
    },
    /// The address of runs is none, or that of something that cannot be written.
    #[error("runs cannot be in `{runs}`")]
    Runs {
        /// The address, without secrets.
        runs: String,
        /// Why not.
        source: std::io::Error,
    },
    /// A path that a setting names cannot be looked at.
    #[error("`{}` cannot be opened (setting `{key}`)", path.display())]
    Inaccessible {
        /// The setting.
        key: &'static str,
        /// The path.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// Shards of some minutes were asked for, and nobody measured the model.
    #[error("no rate of `{model}` on {} is known", if *on_gpus { "GPUs" } else { "processors" })]
    NoRate {
        /// The model.
        model: String,
        /// Whether tasks have GPUs.
        on_gpus: bool,
    },
    /// Shards of some bytes were asked for, and the images have no sizes.
    #[error("the sizes of these images are not known")]
    NoBytes,
    /// No images were named.
    #[error("no images: `path` in section [data] is empty")]
    NoImages,
    /// A stage reads weights and images, and neither is at hand.
    #[error("stage `{stage}` needs the weights and the images")]
    NeedsModel {
        /// The stage.
        stage: &'static str,
    },
    /// There is no such stage.
    #[error("there is no stage `{stage}`")]
    NoStage {
        /// Its name.
        stage: String,
    },
    /// The tables that a stage reads are not there.
    #[error("stage `{stage}` of `{}` needs the tables of `{input}`, which are not there", run.display())]
    InputMissing {
        /// The stage.
        stage: &'static str,
        /// The stage that writes the tables.
        input: &'static str,
        /// Folder of the run.
        run: PathBuf,
    },
    /// The checkpoint folder is not there.
    #[error("the checkpoint folder `{}` cannot be opened", folder.display())]
    NoCheckpoint {
        /// The folder.
        folder: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The weights of a known model are not in the cache.
    #[error("`{model}` is not fetched (looked in `{}`)", cache.display())]
    NotFetched {
        /// Id of the model.
        model: String,
        /// Folder of the cache.
        cache: PathBuf,
    },
    /// The repository of a known model has none of the weights that it should.
    #[error("`{repository}` has none of {expected}")]
    NoWeights {
        /// Repository on the hub.
        repository: String,
        /// Names of the files.
        expected: String,
        /// What the hub said of the first.
        source: Box<headspan_hub::HubError>,
    },
    /// The weights of a run are of a model that is not known.
    #[error("the weights of `{model}` are not known")]
    UnknownWeights {
        /// Id of the model.
        model: String,
    },
    /// The checkpoint at hand is not the one that a run was extracted with.
    #[error("`{}` is not the model that `{run}` was extracted with", weights.display())]
    OtherModel {
        /// The weights at hand.
        weights: PathBuf,
        /// `dataset/model`.
        run: String,
    },
    /// The data set at hand is not the one that a run was extracted from.
    #[error("`{}` no longer holds the images that `{run}` was extracted from", path.display())]
    OtherImages {
        /// The data set at hand.
        path: PathBuf,
        /// `dataset/model`.
        run: String,
    },
    /// A run has no finished extraction.
    #[error("`{}` has no finished extraction", run.display())]
    NotExtracted {
        /// Folder of the run.
        run: PathBuf,
    },
    /// A run's record does not say where its images are.
    #[error("`{run}` does not say where its images are")]
    NoProvenance {
        /// `dataset/model`.
        run: String,
    },
    /// A record says in a way that cannot be read where images and weights are.
    #[error("the record of stage `{stage}` is damaged")]
    Provenance {
        /// The stage.
        stage: String,
        /// What the JSON library said.
        source: serde_json::Error,
    },
    /// No run of a data set has metrics.
    #[error("no run in `{}` has metrics", folder.display())]
    NoMetrics {
        /// Folder of the data set's runs.
        folder: PathBuf,
    },
}

/// Result with [`PipelineError`].
pub type Result<T, E = PipelineError> = std::result::Result<T, E>;
