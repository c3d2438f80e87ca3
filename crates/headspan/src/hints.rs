//! What to do about an error: the hint that stands below it.

use std::{error::Error, path::Path};

use headspan_artifacts::{ArtifactError, is_remote, names_in, similar_name};
use headspan_extract::{ExtractError, PoolError};
use headspan_hub::HubError;
use headspan_images::is_local;
use headspan_label::{CategoriesError, LabelError, openai::OpenAiError};
use headspan_metrics::{ClassificationError, ComparisonError, DiffError, HeadWeightsError, TruthError};
use headspan_net::NetError;
use headspan_notes::NotesError;
use headspan_pipeline::{ModelError, PipelineError, SettingsError, demo::BuiltInModel, engine::EngineError};
use headspan_query::ExploreError;
use headspan_scenes::SceneError;
use headspan_textspan::TextspanError;
use headspan_train::TrainError;

mod handed_in;
mod store;

use handed_in::{clip, dataset};
use store::{image, store};

const EXTRACT: &str = "run `headspan extract` to complete it";
const EXTRACT_AGAIN: &str = "run `headspan extract` again";
const CONTINUE: &str = "run the same command to continue";
const WAIT: &str = "wait for it to end";
const DISK: &str = "check that the disk is not full";
const WEIGHTS: &str = "look for values in the checkpoint's weights that are not finite, or all zero";
const LEARNING_RATE: &str = "lower `learning_rate` or raise `warmup_steps`";

/// An error of the command line itself, with what to do about it.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Hinted {
    message: String,
    hint: String,
}

impl Hinted {
    pub(crate) fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: hint.into() }
    }
}

/// The error, its causes, and the hint, each on a line of its own.
pub(crate) fn report(error: &anyhow::Error) -> String {
    let mut text = told(error);
    if let Some(hint) = hint(error) {
        text.push_str("\n  hint: ");
        text.push_str(&hint);
    }
    text
}

/// The error and its causes, each on a line of its own. A cause is left out where a line above already says it.
pub(crate) fn told(error: &anyhow::Error) -> String {
    let mut lines: Vec<String> = Vec::new();
    for cause in error.chain() {
        let cause = cause.to_string().trim_end().to_owned();
        if !lines.iter().any(|line| line.contains(&cause)) {
            lines.push(cause);
        }
    }
    lines.join("\n  caused by: ")
}

/// What to do about an error: the hint for the outermost of its causes that has one.
pub(crate) fn hint(error: &anyhow::Error) -> Option<String> {
    // `chain` has the contexts only in wrappers of their own.
    let own = error.downcast_ref::<Hinted>().map(|hinted| hinted.hint.clone());
    own.or_else(|| error.chain().find_map(of))
}

fn of(error: &(dyn Error + 'static)) -> Option<String> {
    let known = error.downcast_ref().and_then(pipeline);
    let known = known.or_else(|| error.downcast_ref().and_then(artifact));
    let known = known.or_else(|| error.downcast_ref().and_then(dataset));
    let known = known.or_else(|| error.downcast_ref().and_then(clip));
    let known = known.or_else(|| error.downcast_ref().and_then(extract));
    let known = known.or_else(|| error.downcast_ref().and_then(pool));
    let known = known.or_else(|| error.downcast_ref().and_then(hub));
    let known = known.or_else(|| error.downcast_ref().and_then(query));
    let known = known.or_else(|| error.downcast_ref().and_then(textspan));
    let known = known.or_else(|| error.downcast_ref().and_then(truth));
    let known = known.or_else(|| error.downcast_ref().and_then(engine));
    let known = known.or_else(|| error.downcast_ref().and_then(label));
    let known = known.or_else(|| error.downcast_ref().and_then(language_model));
    let known = known.or_else(|| error.downcast_ref().and_then(scenes));
    let known = known.or_else(|| error.downcast_ref().and_then(train));
    let known = known.or_else(|| error.downcast_ref().and_then(settings));
    let known = known.or_else(|| error.downcast_ref().and_then(registry));
    let known = known.or_else(|| error.downcast_ref().and_then(image));
    known.or_else(|| error.downcast_ref().and_then(store))
}

fn diff(error: &DiffError) -> Option<String> {
    let hint = match error {
        DiffError::Artifact(inner) => return artifact(inner),
        DiffError::OtherImages { .. } => "extract both models from the same images, in the same order",
        DiffError::NoHead { .. } => "pair them by what they put out: --pair assignment",
        DiffError::NoActivations { .. } => "extract both runs with `images.keep` = `all`",
        _ => return None,
    };
    Some(hint.to_owned())
}

fn classification(error: &ClassificationError) -> Option<String> {
    let hint = match error {
        ClassificationError::Artifact(inner) => return artifact(inner),
        ClassificationError::NoLabels { .. } => {
            "give a file of the classes, `id,name`, whose ids are those of `class_id` in images.parquet: --classes FILE"
        }
        ClassificationError::NoGroups { .. } => {
            "its paths must be the ids of the run's images (`image_id` in images.parquet)"
        }
        ClassificationError::NoTexts { .. } => "run `headspan textspan` first",
        ClassificationError::NoMoments { .. } => EXTRACT_AGAIN,
        _ => return None,
    };
    Some(hint.to_owned())
}

fn pipeline(error: &PipelineError) -> Option<String> {
    let hint = match error {
        // These stand for the error in them, which the chain of causes passes over.
        PipelineError::Artifact(inner) | PipelineError::Comparison(ComparisonError::Artifact(inner)) => {
            return artifact(inner);
        }
        PipelineError::Diff(inner) => return diff(inner),
        PipelineError::HeadWeights(HeadWeightsError::Artifact(inner)) => return artifact(inner),
        PipelineError::HeadWeights(HeadWeightsError::NoTexts { .. }) => {
            "`headspan extract` with --texts embeds a pool; image towers without texts have none"
        }
        PipelineError::Classification(inner) => return classification(inner),
        PipelineError::NoAgreement { .. } => {
            "the values of the cue must be those of the classes, such as `water` and `land` of both: rename the values of one"
        }
        PipelineError::NoClasses { .. } => {
            "extract images with classes: a folder for each class, a manifest with a class column, or Parquet with labels"
        }
        PipelineError::Extract(inner) => return extract(inner),
        PipelineError::Dataset(inner) => return dataset(inner),
        PipelineError::Pool(inner) => return pool(inner),
        PipelineError::Model(inner) => return clip(inner),
        PipelineError::Hub(inner) => return hub(inner),
        PipelineError::Query(inner) => return query(inner),
        PipelineError::Registry(inner) => return registry(inner),
        PipelineError::Settings(inner) => return settings(inner),
        PipelineError::Label(inner) => return label(inner),
        PipelineError::Scenes(inner) => return scenes(inner),
        PipelineError::Engine(inner) => return engine(inner),
        PipelineError::Io(inner) => return store(inner),
        PipelineError::Textspan(inner) => return textspan(inner),
        // Not the hint of other tables, which are computed again.
        PipelineError::Notes(NotesError::Artifact(ArtifactError::Parquet { .. })) => {
            "what people said is nowhere else: put back a copy of the file, or move it away to begin anew"
        }
        PipelineError::Notes(NotesError::Busy { .. }) => WAIT,
        // The chain shows a boxed cause only as a box, which is another type.
        PipelineError::OfModel { source, .. } => return extract(source),
        PipelineError::NoWeights { source, .. } => return hub(source),
        PipelineError::RunImage { source, .. } => return pipeline(source),
        PipelineError::NotThere { key: "checkpoint", path } if is_built_in(path) => {
            "this model is in the program: name it without --checkpoint"
        }
        PipelineError::Runs { .. } => "give a folder, or an address such as s3://BUCKET/runs",
        PipelineError::NoRate { .. } => {
            "give the number of shards by --tasks, or measure the model with one shard where tasks run: `headspan extract … --shard 0/1000`"
        }
        PipelineError::PrecisionOfShards => "name the precision, for example `--set images.precision=float32`",
        PipelineError::NoBytes => "give the number of shards by --tasks",
        PipelineError::NoCache => "set `HEADSPAN_CACHE` to a folder",
        PipelineError::NotThere { path, .. } if is_local(path) => return Some(not_there(path)),
        PipelineError::RunImages { .. } => "if the images have moved, give --images PATH",
        PipelineError::NoImages => "give --images PATH, or set `path` in section [data] of a settings file",
        PipelineError::NeedsModel { .. } => "run `headspan run-all` with the model and --images PATH",
        PipelineError::InputMissing { input, .. } => return Some(before(input)),
        PipelineError::NoCheckpoint { .. } => "give the folder of the checkpoint as --checkpoint DIR",
        PipelineError::NotFetched { model, .. } => {
            return Some(format!("run `headspan fetch {model}`, or give --checkpoint DIR"));
        }
        PipelineError::NoTokenizer { .. } => {
            "run `headspan fetch tokenizer`, or put the model's `tokenizer.json` into the folder"
        }
        PipelineError::KnownArchitecture { .. } => "leave out --architecture, or give --checkpoint PATH",
        PipelineError::UnknownWeights { .. } => "give --checkpoint DIR",
        PipelineError::OtherModel { .. } => "give --checkpoint DIR, or extract again",
        PipelineError::OtherImages { .. } => "give --images PATH, or extract again",
        PipelineError::NotExtracted { .. } => "run `headspan extract` or `headspan run-all`",
        PipelineError::NoProvenance { .. } | PipelineError::Provenance { .. } => {
            "give --images PATH and, for a checkpoint of your own, --checkpoint DIR"
        }
        PipelineError::AlignmentChanged { .. } => "put back what it was, or run `headspan align` again",
        PipelineError::AlreadyAligned { .. } => "name the models that it was made of",
        PipelineError::NoClip { .. } => "give a CLIP, which has an image tower and a text tower, as --to",
        PipelineError::PlaceTaken { .. } => "give another folder as --out",
        PipelineError::NoRoom { .. } => {
            "allow the process more memory (`ulimit -v`, the container or the job), or use a smaller model"
        }
        PipelineError::NoMetrics { .. } => "run `headspan run-all` first",
        PipelineError::RemoteReport { .. } => "give --out DIR",
        _ => return None,
    };
    Some(hint.to_owned())
}

fn label(error: &LabelError) -> Option<String> {
    let hint = match error {
        LabelError::Artifact(inner) => return artifact(inner),
        LabelError::LanguageModel(inner) => return language_model(inner),
        LabelError::Categories(CategoriesError::NoPrompts) => "set `categories` in section [texts]",
        LabelError::NoImportFile => "set `import` in section [label] to the file of labels",
        _ => return None,
    };
    Some(hint.to_owned())
}

/// A name beside a path that is not there which may have been meant, or where relative paths start.
fn not_there(path: &Path) -> String {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let names = names_in(parent).unwrap_or_default();
    let wanted = path.file_name().unwrap_or_default().to_string_lossy();
    if let Some(meant) = similar_name(&wanted, names.iter().map(String::as_str)) {
        return did_you_mean(&path.with_file_name(meant).display().to_string());
    }
    match std::env::current_dir() {
        Ok(here) if path.is_relative() => format!("relative paths start at `{}`", here.display()),
        _ => "check the path".to_owned(),
    }
}

fn is_built_in(path: &Path) -> bool {
    path.to_str().is_some_and(|name| BuiltInModel::find(name).is_some())
}

fn did_you_mean(name: &str) -> String {
    format!("did you mean `{name}`?")
}

/// The command that writes the tables of a stage.
fn before(stage: &str) -> String {
    let command = if matches!(stage, "images" | "texts") { "extract" } else { stage };
    format!("run `headspan {command}` first, or `headspan run-all`")
}

fn artifact(error: &ArtifactError) -> Option<String> {
    let hint = match error {
        ArtifactError::Parquet { .. } | ArtifactError::Record { .. } => {
            "delete the file; the next run computes it again"
        }
        ArtifactError::SchemaVersion { found, .. } if found != "none" => {
            "read it with a newer headspan, or use another --runs"
        }
        ArtifactError::Replaced { .. } => "open the run again",
        ArtifactError::Unfinished { .. } => EXTRACT,
        ArtifactError::MomentsAlone { .. } => {
            "extract again with `--keep sample:50000` for a sample of the images, or `--keep all` for all of them"
        }
        ArtifactError::Locked { path, .. } if is_remote(path) => {
            "wait for it to end, or use another --runs or --dataset; the lock of a process that was killed ends within 90 seconds"
        }
        ArtifactError::Locked { .. } => "wait for it to end, or use another --runs or --dataset",
        _ => return None,
    };
    Some(hint.to_owned())
}

fn extract(error: &ExtractError) -> Option<String> {
    let hint = match error {
        ExtractError::Dataset(inner) => return dataset(inner),
        ExtractError::Pool(inner) => return pool(inner),
        ExtractError::Clip(inner) => return clip(inner),
        ExtractError::Artifact(inner) => return artifact(inner),
        ExtractError::BadImage { .. } => "without `--strict`, a bad image is recorded and skipped",
        ExtractError::Check { .. } => {
            "results of this device cannot be trusted: try `--device cpu`, and report this with the output of `headspan doctor`"
        }
        ExtractError::NotFinite { .. } => {
            "look for values in the checkpoint's weights that are not finite, and for a `std` of 0 in its preprocessing"
        }
        ExtractError::NoFeature { .. } | ExtractError::NoMap => WEIGHTS,
        ExtractError::TooFewImages { .. } => "give more images, or another --held-out",
        ExtractError::PartsMissing { .. } => "run the remaining shards, then `headspan extract --merge`",
        ExtractError::WorkerStopped => CONTINUE,
        _ => return None,
    };
    Some(hint.to_owned())
}

fn pool(error: &PoolError) -> Option<String> {
    let hint = match error {
        PoolError::EmptyLine { .. } => "remove the line",
        PoolError::Duplicate { .. } => "remove one of the two lines",
        _ => return None,
    };
    Some(hint.to_owned())
}

fn hub(error: &HubError) -> Option<String> {
    let hint = match error {
        HubError::Net(NetError::Request { .. }) => "check HF_ENDPOINT and HF_TOKEN",
        HubError::Net(inner) => return net(inner),
        HubError::Offline { .. } => "unset HF_HUB_OFFLINE to use the network",
        HubError::NotFound { .. } => "check the names of the repository, the revision and the file",
        HubError::Forbidden { .. } => "accept the repository's terms on the hub, and set HF_TOKEN",
        HubError::GaveUp { .. } => {
            "run the same command to continue where it stopped; without a network, put the files into a folder and give \
             --checkpoint DIR"
        }
        HubError::Busy { .. } => WAIT,
        _ => return None,
    };
    Some(hint.to_owned())
}

fn net(error: &NetError) -> Option<String> {
    let hint = match error {
        NetError::Client(_) => "install the system's certificates (`ca-certificates`), or set SSL_CERT_FILE",
        NetError::Certificates { variable, .. } => {
            return Some(format!("let `{variable}` name certificates in PEM format, or unset it"));
        }
        NetError::Untrusted { .. } => {
            "if a proxy or a server of your organisation has certificates of its own, set SSL_CERT_FILE to a file with the \
             system's and theirs"
        }
        NetError::NotTls { .. } => "begin the address with `http://`",
        _ => return None,
    };
    Some(hint.to_owned())
}

fn query(error: &ExploreError) -> Option<String> {
    if let Some(meant) = error.suggestion() {
        return Some(did_you_mean(&meant));
    }
    let hint = match error {
        ExploreError::Artifact(inner) => return artifact(inner),
        ExploreError::Clip(inner) => return clip(inner),
        ExploreError::Textspan(inner) => return textspan(inner),
        ExploreError::NoProperty { known, .. } if known.is_empty() => "run `headspan label` first",
        ExploreError::Empty { .. } => EXTRACT,
        ExploreError::NoFeature { .. } => WEIGHTS,
        ExploreError::MixedParts { .. } => EXTRACT_AGAIN,
        _ => return None,
    };
    Some(hint.to_owned())
}

fn textspan(error: &TextspanError) -> Option<String> {
    matches!(error, TextspanError::NotFinite { .. }).then(|| EXTRACT_AGAIN.to_owned())
}

fn truth(error: &TruthError) -> Option<String> {
    let hint = match error {
        TruthError::Artifact(inner) => return artifact(inner),
        TruthError::NoImages { .. } => "its column `image_id` must hold the run's image ids",
        TruthError::NoPrompt { .. } => "extract with the world's own pool (descriptions.csv) as --texts",
        TruthError::NoHead { .. } => EXTRACT_AGAIN,
        _ => return None,
    };
    Some(hint.to_owned())
}

fn engine(error: &EngineError) -> Option<String> {
    let hint = match error {
        EngineError::NoProgram { .. } => {
            "run this on a machine from which jobs are submitted (a login node); --dry-run prints the scripts anywhere"
        }
        EngineError::Silent { .. } => {
            "ask whether the cluster's controller is up; look for the job before you submit again"
        }
        EngineError::Script { .. } => "use another folder or value",
        _ => return None,
    };
    Some(hint.to_owned())
}

fn language_model(error: &OpenAiError) -> Option<String> {
    let hint = match error {
        OpenAiError::NoKey { variable } => {
            return Some(format!(
                "set `{variable}`, or name another variable as `api_key_env` in section [label.openai]"
            ));
        }
        OpenAiError::Key { variable, .. } => return Some(format!("set `{variable}` to the key alone")),
        OpenAiError::KeyVariable => {
            "put the key into an environment variable, and the variable's name into `api_key_env` in section [label.openai]"
        }
        OpenAiError::BaseUrl { .. } => "set `base_url` in section [label.openai], such as `http://127.0.0.1:8000/v1`",
        OpenAiError::NoModel => "set `model` in section [label.openai]",
        OpenAiError::Net(NetError::Request { .. }) => "check `base_url` in section [label.openai]",
        OpenAiError::Net(inner) => return net(inner),
        OpenAiError::Moved { .. } => "set `base_url` in section [label.openai] to the new address",
        OpenAiError::Refused { status: 401 | 403, .. } => {
            "check the key in OPENAI_API_KEY, or in the variable that `api_key_env` in section [label.openai] names"
        }
        OpenAiError::Refused { status: 404 | 405, .. } => {
            "check `base_url` and `model` in section [label.openai]; the path of most endpoints is `/v1`"
        }
        OpenAiError::Ceiling { key, .. } => {
            return Some(format!("raise `{key}` in section [label.openai] and {CONTINUE}"));
        }
        OpenAiError::GaveUp { .. } => {
            return Some(format!("check `base_url` in section [label.openai], and {CONTINUE}"));
        }
        OpenAiError::NoLabels { .. } => {
            "check `model` and `base_url` in section [label.openai], and run the same command to ask again"
        }
        _ => return None,
    };
    Some(hint.to_owned())
}

fn scenes(error: &SceneError) -> Option<String> {
    let hint = match error {
        SceneError::Taken { .. } => "choose another folder, or delete it",
        SceneError::Parquet { .. } => DISK,
        _ => return None,
    };
    Some(hint.to_owned())
}

fn train(error: &TrainError) -> Option<String> {
    let hint = match error {
        TrainError::Clip(inner) => return clip(inner),
        TrainError::OtherModel { .. } => "change the recipe, or `begin_with` another model",
        TrainError::OtherRecipe { .. } => "train into another folder, or delete the file to start over",
        TrainError::Checkpoint { .. } => "delete the file to start over",
        TrainError::Curve { .. } => DISK,
        TrainError::Diverged { .. } | TrainError::Weights { .. } => LEARNING_RATE,
        TrainError::Features { .. } => WEIGHTS,
        _ => return None,
    };
    Some(hint.to_owned())
}

fn settings(error: &SettingsError) -> Option<String> {
    match error {
        SettingsError::NotUtf8 { .. } => Some("give the file or folder another name".to_owned()),
        SettingsError::File { meant: Some(meant), .. } | SettingsError::Assignment { meant: Some(meant), .. } => {
            Some(did_you_mean(meant))
        }
        SettingsError::Variable { meant, .. } => Some(match meant {
            Some(meant) => did_you_mean(meant),
            None => "`headspan config` prints all settings; `HEADSPAN__TEXTSPAN__RANK` is `rank` in section [textspan]"
                .to_owned(),
        }),
        _ => None,
    }
}

fn registry(error: &ModelError) -> Option<String> {
    match error {
        ModelError::Unknown { meant: Some(meant), .. } => Some(did_you_mean(meant)),
        ModelError::Unknown { .. } => Some(
            "`headspan models` lists their ids; an architecture's name alone means all its models; for a checkpoint of your own, use --checkpoint DIR"
                .to_owned(),
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
